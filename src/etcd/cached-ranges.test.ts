// Whole RangeResponses, byte for byte, of a replica that keeps runs of ranges ready against one that never does: random
// writes of every kind, and ranges that are read in turns with writes between them. SEED=n repeats one run.
import assert from 'node:assert/strict'
import test from 'node:test'
import { concatBytes, isQuorateError, SeededRandom, utf8Encode } from '../base/index.ts'
import {
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type PutOperation,
  type RangeCacheLimits,
  type RangeOperation,
  type WriteCommand,
} from '../consistent-core/index.ts'
import { RangeAnswer } from '../etcd-codec/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend } from '../store/index.ts'

const header = { clusterId: 2n ** 63n, memberId: 7n, revision: 12, raftTerm: 3 }
/** Several of them end a turn. */
const large = new Uint8Array(1_000_000).fill(7)

interface Replica {
  readonly core: ConsistentCore
  readonly backend: MemoryBackend
}

function openReplica(rangeCacheLimits: RangeCacheLimits): Replica {
  const schedule = (finish: () => void): Promise<void> => {
    finish()
    return Promise.resolve()
  }
  const backend = createMemoryBackend({ schedule, random: new SeededRandom(1) })
  return { core: createConsistentCore({ store: createStore(backend), rangeCacheLimits }), backend }
}

/** An answer in the making. */
class Answering {
  readonly #answer = new RangeAnswer(header)
  readonly #steps: ReturnType<ConsistentCore['range']>

  constructor({ core }: Replica, operation: RangeOperation) {
    this.#steps = core.range(operation, this.#answer)
  }

  /** Undefined: it paused. */
  step(): Uint8Array | undefined {
    const { done, value } = this.#steps.next()
    if (done !== true) return undefined
    assert.ok(value.kind === 'range')
    const finished = this.#answer.finish(value.more, value.count)
    return finished instanceof Uint8Array ? finished : concatBytes(finished)
  }

  finish(): Uint8Array {
    for (;;) {
      const bytes = this.step()
      if (bytes !== undefined) return bytes
    }
  }
}

interface OpenAnswer {
  readonly answering: Answering
  readonly expected: Uint8Array
  readonly text: string
}

class Comparison {
  readonly #random: SeededRandom
  readonly #plain: Replica
  readonly #cached: Replica
  #open: OpenAnswer[] = []
  comparedCount = 0
  pauseCount = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    const limits = {
      bytesMax: this.#random.pick([16_384, 1_000_000, 32_000_000]),
      runWork: this.#random.pick([1, 30, 600]),
      rangeWorkMin: this.#random.pick([0, 0, 100]),
    }
    this.#plain = openReplica({ ...limits, bytesMax: 0 })
    this.#cached = openReplica(limits)
  }

  step(): void {
    const draw = this.#random.unit()
    if (draw < 0.4) this.#write([this.#plain, this.#cached])
    else if (draw < 0.7) this.#begin()
    else if (draw < 0.9) this.#goOn()
    else if (draw < 0.94) this.#maintain()
    else if (draw < 0.99) this.#flush()
    else this.#install()
  }

  end(): void {
    while (this.#open.length > 0) this.#goOn()
  }

  #key(): string {
    return `k${this.#random.between(0, 30)}`
  }

  #put(): PutOperation {
    const random = this.#random
    const value = random.chance(0.3) ? large : utf8Encode(`v${random.between(0, 1_000)}`)
    const lease = random.chance(0.2) ? BigInt(random.between(1, 4)) : 0n
    const flags = { previous: false, ignoreValue: false, ignoreLease: false }
    return { kind: 'put', key: utf8Encode(this.#key()), value, lease, ...flags }
  }

  #delete(): Extract<WriteCommand, { kind: 'deleteRange' }> {
    const rangeEnd = this.#random.chance(0.2) ? utf8Encode(this.#key()) : new Uint8Array()
    return { kind: 'deleteRange', key: utf8Encode(this.#key()), rangeEnd, previous: false }
  }

  #command(): WriteCommand {
    const random = this.#random
    const id = BigInt(random.between(1, 4))
    const draw = random.unit()
    if (draw < 0.62) return this.#put()
    if (draw < 0.7) return this.#delete()
    if (draw < 0.85) return { kind: 'leaseGrant', id, ttlSeconds: 60 }
    if (draw < 0.9) return { kind: 'leaseRevoke', id, expired: true }
    if (draw < 0.93) {
      return { kind: 'compact', revision: this.#plain.core.revision - random.between(0, 10) }
    }
    const success = [this.#put(), this.#range(0), this.#delete(), this.#put()]
    return { kind: 'transaction', compare: [], success, failure: [] }
  }

  /** Some are refused, by all alike. */
  #write(replicas: readonly Replica[]): void {
    const payload = encodeCommand({ session: undefined, write: this.#command() })
    const index = this.#plain.core.appliedIndex + 1
    for (const { core } of replicas) core.apply({ index, term: 1, timeMs: 0, payload })
  }

  /** Most are of few intervals, as clients' are. */
  #range(revision: number): RangeOperation {
    const random = this.#random
    const [key, rangeEnd] = random.pick([
      ['k', 'l'],
      ['k', 'l'],
      ['k1', 'k2'],
      ['\0', '\0'],
      [this.#key(), 'l'],
    ])
    const isPlain = random.chance(0.7)
    const sortOrder = isPlain ? 'none' : random.pick(['none', 'ascend', 'descend'] as const)
    return {
      ...{ kind: 'range', key: utf8Encode(key), rangeEnd: utf8Encode(rangeEnd), revision, sortOrder },
      limit: random.pick([0, 0, 0, 3, 10]),
      sortTarget: isPlain ? 'key' : random.pick(['key', 'version', 'create', 'mod'] as const),
      keysOnly: !isPlain && random.chance(0.3),
      countOnly: !isPlain && random.chance(0.3),
      modRevisionMin: !isPlain && random.chance(0.3) ? random.between(1, 20) : 0,
      ...{ modRevisionMax: 0, createRevisionMin: 0, createRevisionMax: 0 },
    }
  }

  #begin(): void {
    const { revision, compactRevision } = this.#plain.core
    const isOld = this.#random.chance(0.2)
    const asked = isOld ? this.#random.between(Math.max(1, compactRevision), revision + 1) : 0
    const operation = this.#range(asked)
    const text = JSON.stringify({ ...operation, key: [...operation.key], rangeEnd: [...operation.rangeEnd] })
    const expected = new Answering(this.#plain, operation).finish()
    const open = { answering: new Answering(this.#cached, operation), expected, text }
    if (!this.#advance(open)) this.#open.push(open)
    if (this.#open.length > 3) this.#goOn()
  }

  #goOn(): void {
    const open = this.#open.shift()
    if (open !== undefined && !this.#advance(open)) this.#open.push(open)
  }

  #advance({ answering, expected, text }: OpenAnswer): boolean {
    const bytes = answering.step()
    if (bytes === undefined) {
      this.pauseCount++
      return false
    }
    assert.ok(Buffer.from(bytes).equals(expected), text)
    this.comparedCount++
    return true
  }

  #maintain(): void {
    this.#plain.core.maintain()
    this.#cached.core.maintain()
  }

  #flush(): void {
    for (const { core, backend } of [this.#plain, this.#cached]) {
      const taken = core.takeBatch()
      if (taken === undefined) continue
      backend.commit(taken.batch).catch(assert.fail)
      core.flushed()
    }
  }

  /** The one with the cache falls behind and gets a snapshot: whoever reads is told. */
  #install(): void {
    for (let left = this.#random.between(0, 4); left > 0; left--) this.#write([this.#plain])
    const source = this.#plain.core.openSnapshot()
    const sink = this.#cached.core.beginRestore()
    this.#cached.backend.clear().catch(assert.fail)
    for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) sink.write(chunk)
    source.done()
    sink.finish()
    for (const { answering } of this.#open) {
      assert.throws(
        () => answering.finish(),
        (error) => isQuorateError(error, 'leader-changed'),
      )
    }
    this.#open = []
  }
}

const seeds = process.env.SEED === undefined ? [1, 2, 3, 4, 5] : [Number(process.env.SEED)]

for (const seed of seeds) {
  test(`answers out of the cache have the bytes of those out of the store, seed ${seed}`, () => {
    const comparison = new Comparison(seed)
    for (let step = 0; step < 300; step++) comparison.step()
    comparison.end()
    const { comparedCount, pauseCount } = comparison
    assert.ok(comparedCount > 50 && pauseCount > 0, `${comparedCount} compared, ${pauseCount} pauses`)
  })
}
