/**
 * Sets of messages. What was once sent may arrive at any time, any number of times, or never: loss, duplication and
 * reordering need no steps of their own, and what a node said once stays on record for the rules about it.
 */
import { assert, type NodeId } from '../../src/base/index.ts'
import { candidateOf } from '../../src/raft/invariants.ts'
import type { Sent } from './nodes.ts'
import { HashColumns, PairTable } from './tables.ts'

export class Networks {
  readonly hashes: HashColumns
  readonly #messages: readonly Sent[]
  readonly #messageHashes: HashColumns
  /** Each set is another one and one message more; the empty set is 0. */
  readonly #parents: number[] = [-1]
  readonly #added: number[] = [-1]
  readonly #known = new Map<number, number>()
  readonly #unions = new PairTable(1 << 16)
  readonly #remaining = new PairTable(1 << 12)
  /** By set, the rule that its messages break together. */
  readonly #broken = new Map<number, string>()
  readonly #row: number[]

  constructor(messages: readonly Sent[], messageHashes: HashColumns) {
    this.#messages = messages
    this.#messageHashes = messageHashes
    this.hashes = new HashColumns(messageHashes.width / 2)
    this.#row = new Array(messageHashes.width).fill(0)
    this.hashes.push(this.#row)
  }

  get size(): number {
    return this.#parents.length
  }

  /** The set with `message` in it. */
  add(set: number, message: number): number {
    const known = this.#unions.get(set, message)
    if (known !== -1) return known
    const union = this.#has(set, message) ? set : this.#create(set, message)
    this.#unions.set(set, message, union)
    return union
  }

  /** The set without what `node` would never look at again, now that its disk knows `term`. */
  forget(set: number, node: NodeId, slot: number, term: number): number {
    const key = slot * 64 + term
    const known = this.#remaining.get(set, key)
    if (known !== -1) return known
    const kept: number[] = []
    for (let at = set; at > 0; at = this.#parents[at] as number) {
      const message = this.#messages[this.#added[at] as number] as Sent
      if (message.to !== node || !isDead(message, term)) kept.push(this.#added[at] as number)
    }
    const remaining = kept.reduceRight((union, message) => this.add(union, message), 0)
    this.#remaining.set(set, key, remaining)
    return remaining
  }

  /** The messages for each of `nodes`. */
  sort(set: number, nodes: readonly NodeId[], lists: number[][]): void {
    for (const list of lists) list.length = 0
    for (let at = set; at > 0; at = this.#parents[at] as number) {
      const message = this.#added[at] as number
      lists[nodes.indexOf((this.#messages[message] as Sent).to)]?.push(message)
    }
  }

  broken(set: number): string | undefined {
    return this.#broken.get(set)
  }

  #has(set: number, message: number): boolean {
    for (let at = set; at > 0; at = this.#parents[at] as number) if (this.#added[at] === message) return true
    return false
  }

  #create(set: number, message: number): number {
    const { width, values } = this.hashes
    for (let i = 0; i < width; i++) {
      const own = this.#messageHashes.values[message * width + i] as number
      this.#row[i] = ((values[set * width + i] as number) + own) >>> 0
    }
    const key = (this.#row[0] as number) * 0x20_0000 + ((this.#row[1] as number) >>> 11)
    const known = this.#known.get(key)
    if (known !== undefined) {
      const isSame = this.#row.every((value, i) => this.hashes.values[known * width + i] === value)
      assert(isSame, 'sets of messages have different hashes')
      return known
    }
    const created = this.#parents.length
    this.#known.set(key, created)
    this.#parents.push(set)
    this.#added.push(message)
    this.hashes.push(this.#row)
    assert(this.hashes.length === created + 1, 'each set has its hashes')
    const broken = this.#broken.get(set) ?? this.#contradiction(set, message)
    if (broken !== undefined) this.#broken.set(created, broken)
    return created
  }

  /** A node votes once a term, and a term has one leader: told by what they said. */
  #contradiction(set: number, message: number): string | undefined {
    const said = this.#messages[message] as Sent
    for (let at = set; at > 0; at = this.#parents[at] as number) {
      const other = this.#messages[this.#added[at] as number] as Sent
      if (other.term !== said.term) continue
      if (isLeaders(said) && isLeaders(other) && said.from !== other.from) {
        return `term ${said.term} has one leader, not ${other.from} and ${said.from}`
      }
      if (said.kind === 'snapshotReport' || other.kind === 'snapshotReport' || said.from !== other.from)
        continue
      const [candidate, before] = [candidateOf(said), candidateOf(other)]
      if (candidate !== undefined && before !== undefined && candidate !== before) {
        return `node ${said.from} votes once in term ${said.term}`
      }
    }
    return undefined
  }
}

/** An answer or a hint of an old term is dropped unread; a request of an old term is answered. */
export function isDead(message: Sent, term: number): boolean {
  return message.term < term && message.kind !== 'voteRequest' && !isLeaders(message)
}

function isLeaders({ kind }: Sent): boolean {
  return kind === 'appendRequest' || kind === 'heartbeat' || kind === 'installSnapshot'
}
