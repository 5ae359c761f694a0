import type { SeededRandom } from '../base/index.ts'
import {
  type KeySpan,
  type ModelCompare,
  type ModelRequest,
  type ModelTransaction,
  plainRange,
  type RangeVariant,
  type SimpleRequest,
} from './kv-model.ts'

/** Transactions inside a transaction, one inside the other. */
const nestingMax = 2
/** Keys of transactions alone, so that those with many operations exist even where the load has one key. */
const wideKeys = 6

/**
 * Draws the key-value requests of one client. Values are unique in a run. No transaction changes a key twice: the server
 * would refuse it, and refusals of that kind have tests of their own.
 */
export class RequestDrawer {
  readonly #name: string
  readonly #random: SeededRandom
  readonly #keys: number
  readonly #recordedRevision: () => number
  readonly #readsPast: boolean
  /** This one deletes as often as it puts: what is compacted are tombstones. */
  readonly #isDeleteHeavy: boolean
  #values = 0

  constructor(setup: {
    name: string
    random: SeededRandom
    keys: number
    /** A revision that has been, and has been recorded. */
    recordedRevision: () => number
    /** Whether ranges of transactions may ask for older revisions. */
    readsPast: boolean
  }) {
    this.#name = setup.name
    this.#random = setup.random
    this.#keys = setup.keys
    this.#recordedRevision = setup.recordedRevision
    this.#readsPast = setup.readsPast
    this.#isDeleteHeavy = setup.random.chance(0.3)
  }

  draw(): ModelRequest {
    const choice = this.#random.unit()
    if (choice < 0.3) return this.#isDeleteHeavy && choice < 0.15 ? this.#delete() : this.#put(this.#key())
    if (choice < 0.65) return this.#range(0)
    if (choice < 0.67) return { kind: 'range', key: 'a', end: '\0', limit: 0 }
    if (choice < 0.75) return this.#delete()
    return this.#transaction(new Set(), 0)
  }

  /** Keys with a lease are apart, before all others, so that nothing but the end of the lease deletes them. */
  leasePut(lease: bigint): SimpleRequest & { kind: 'put' } {
    const key = `a${lease}.${this.#random.between(0, 2)}`
    return { kind: 'put', key, value: this.#value(), lease }
  }

  #value(): string {
    return `${this.#name}.${++this.#values}`
  }

  #key(): string {
    return `k${this.#random.between(0, this.#keys)}`
  }

  #span(): KeySpan {
    return { key: this.#key(), end: this.#random.pick(['', '', '\0', 'k5']) }
  }

  #put(key: string): SimpleRequest {
    const random = this.#random
    // Now and then a value that is larger than a sector, a page, a batch, an answer to a watch.
    const padding = random.chance(0.05) ? 'x'.repeat(random.between(100, 5000)) : ''
    const put = { kind: 'put', key, value: `${this.#value()}${padding}`, lease: 0n } as const
    const choice = random.unit()
    if (choice < 0.2) return { ...put, previous: true }
    if (choice < 0.24) return { ...put, value: '', ignoreValue: true }
    return choice < 0.28 ? { ...put, ignoreLease: true, previous: true } : put
  }

  #delete(): SimpleRequest {
    const span = this.#span()
    return this.#random.chance(0.3)
      ? { kind: 'delete', ...span, previous: true }
      : { kind: 'delete', ...span }
  }

  #range(revision: number): SimpleRequest {
    const random = this.#random
    const range = { kind: 'range', ...this.#span(), limit: random.pick([0, 0, 1, 2]) } as const
    if (revision === 0 && random.chance(0.5)) return range
    return { ...range, variant: this.#variant(revision) }
  }

  #variant(revision: number): RangeVariant {
    const random = this.#random
    const near = Math.max(1, this.#recordedRevision() - random.between(0, 20))
    const bound = (): number => (random.chance(0.2) ? near : 0)
    // A target without an order cuts before it sorts, a quirk of etcd; a story holds it.
    const sortOrder = random.pick(['none', 'ascend', 'descend'] as const)
    const sortTarget = random.pick(['key', 'version', 'create', 'mod', 'value'] as const)
    return {
      ...plainRange,
      revision,
      sortOrder,
      sortTarget: sortOrder === 'none' ? 'key' : sortTarget,
      keysOnly: random.chance(0.2),
      countOnly: random.chance(0.2),
      modRevisionMin: bound(),
      modRevisionMax: bound(),
      createRevisionMin: bound(),
      createRevisionMax: bound(),
    }
  }

  /** `used`: keys that the transaction around it changes already. */
  #transaction(used: Set<string>, depth: number): ModelTransaction {
    const random = this.#random
    // One operation may stand in both branches: only one of them is done.
    const success = this.#steps(new Set(used), depth)
    const failure = this.#steps(new Set(used), depth)
    for (const key of changedKeys([...success, ...failure])) used.add(key)
    const compare = random.chance(0.1) ? [] : [this.#compare()]
    if (random.chance(0.1)) compare.push(this.#compare())
    return { kind: 'transaction', compare, success, failure }
  }

  #steps(used: Set<string>, depth: number): ModelRequest[] {
    const random = this.#random
    const steps: ModelRequest[] = []
    const isWide = random.chance(0.1)
    for (let count = isWide ? wideKeys : random.between(0, 4); count > 0; count--) {
      const choice = random.unit()
      if (choice < 0.2)
        steps.push(this.#range(this.#readsPast && random.chance(0.3) ? this.#oldRevision() : 0))
      else if (choice < 0.3 && depth < nestingMax) steps.push(this.#transaction(used, depth + 1))
      else {
        const key = isWide ? `m${random.between(0, wideKeys)}` : this.#key()
        if (used.has(key)) continue
        used.add(key)
        steps.push(random.chance(0.25) ? { kind: 'delete', key, end: '' } : this.#put(key))
      }
    }
    return steps
  }

  /** What may be compacted by the time it is read. */
  #oldRevision(): number {
    return Math.max(2, this.#recordedRevision() - this.#random.between(0, 30))
  }

  #compare(): ModelCompare {
    const random = this.#random
    const result = random.pick(['equal', 'greater', 'less', 'notEqual'] as const)
    const span = random.chance(0.1) ? this.#span() : { key: this.#key(), end: '' }
    const compares: ModelCompare[] = [
      { ...span, target: 'version', result, operand: random.between(0, 4) },
      { ...span, target: 'mod', result, operand: this.#recordedRevision() },
      { ...span, target: 'create', result, operand: 0 },
      { ...span, target: 'value', result, operand: `${this.#name}.${this.#values}` },
      { ...span, target: 'lease', result, operand: 0n },
    ]
    return random.pick(compares)
  }
}

function changedKeys(requests: readonly ModelRequest[]): string[] {
  return requests.flatMap((request) => {
    if (request.kind === 'transaction') return changedKeys([...request.success, ...request.failure])
    return request.kind === 'range' ? [] : [request.key]
  })
}
