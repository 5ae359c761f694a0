import { assert, type NodeId, present } from '../../base/index.ts'
import type { Entry, Message, RoleChange } from '../types.ts'
import type { TestNode } from './cluster.ts'

/** What must hold at every step of every run, whatever happens. Broken: an AssertionError that names it. */
export class Invariants {
  readonly #leaders = new Map<number, NodeId>()
  readonly #votes = new Map<string, NodeId>()
  readonly #chains = new Map<string, number>()
  /** Every entry that any node applied; index 1 first. */
  readonly #applied: Entry[] = []
  readonly #reads = new Map<string, number>()
  /** Highest commit index that any node had. */
  #committed = 0

  get committed(): number {
    return this.#committed
  }

  /** Election safety and leader completeness. */
  roleChanged(node: TestNode, change: RoleChange): void {
    if (change.role !== 'leader') return
    const before = this.#leaders.get(change.term) ?? node.id
    assert(before === node.id, `term ${change.term} has one leader, not ${before} and ${node.id}`)
    this.#leaders.set(change.term, node.id)
    for (const entry of this.#applied) {
      if (entry.index <= node.disk.base.index) continue
      const own = node.issued(entry.index)
      assert(own?.chain === entry.chain, `leader ${node.id} of term ${change.term} has entry ${entry.index}`)
    }
  }

  /** Log matching: an index and a term name one history. */
  appended(entry: Entry): void {
    const place = `${entry.index}/${entry.term}`
    const chain = this.#chains.get(place) ?? entry.chain
    assert(chain === entry.chain, `entry ${place} has one history`)
    this.#chains.set(place, chain)
  }

  /** State machine safety: all apply the same entries in the same order, from their own disk. */
  applied(node: TestNode, entry: Entry): void {
    assert(entry.index === node.state.length, `node ${node.id} applies in order`)
    const durable = node.disk.entryAt(entry.index)
    assert(durable?.chain === entry.chain, `node ${node.id} applies ${entry.index} only once it is durable`)
    const before = this.#applied[entry.index - 1]
    if (before === undefined) {
      assert(entry.index === this.#applied.length + 1, 'nothing is applied before what precedes it')
      this.#applied.push(entry)
    }
    const known = present(this.#applied[entry.index - 1], 'the entry was noted')
    assert(known.chain === entry.chain, `entry ${entry.index} is the same on all nodes`)
  }

  /** The commit index never moves back and never passes the log. */
  observed(node: TestNode): void {
    const { commitIndex, lastIndex, durableIndex, term } = node.raft
    assert(commitIndex >= node.commitSeen, `commit index of ${node.id} never moves back`)
    assert(commitIndex <= lastIndex && durableIndex <= lastIndex, `marks of ${node.id} lie in its log`)
    assert(term >= node.termSeen, `term of ${node.id} never moves back`)
    node.commitSeen = commitIndex
    node.termSeen = term
    this.#committed = Math.max(this.#committed, commitIndex)
  }

  /** What a message claims is on the disk of its sender at the moment it leaves. */
  left(node: TestNode, message: Message): void {
    const { hardState, end } = node.disk
    const isAhead = (message.kind === 'voteRequest' || message.kind === 'voteResponse') && message.pre
    assert(isAhead || message.term <= hardState.term, `term of a message of ${node.id} is durable`)
    if (message.kind === 'voteResponse' && message.granted && !message.pre) {
      this.#voted(node.id, message.term, message.to)
    }
    if (message.kind === 'voteRequest' && !message.pre) this.#voted(node.id, message.term, node.id)
    if (message.kind === 'appendResponse' && message.accepted) {
      assert(message.index <= end.index, `node ${node.id} acknowledges only what is durable`)
    }
  }

  readAsked(node: TestNode, request: number): void {
    this.#reads.set(`${node.id}.${request}`, this.#committed)
  }

  /** A read sees everything that was committed anywhere before it was asked. */
  readAnswered(node: TestNode, read: { readonly request: number; readonly index: number }): void {
    const least = this.#reads.get(`${node.id}.${read.request}`)
    assert(least !== undefined, `read ${read.request} of node ${node.id} was asked`)
    assert(read.index >= least, `read ${read.request} at ${read.index} misses what was committed, ${least}`)
    this.readEnded(node, read.request)
  }

  readEnded(node: TestNode, request: number): void {
    assert(this.#reads.delete(`${node.id}.${request}`), 'a read ends once')
  }

  #voted(id: NodeId, term: number, candidate: NodeId): void {
    const before = this.#votes.get(`${id}/${term}`) ?? candidate
    assert(before === candidate, `node ${id} votes once in term ${term}`)
    this.#votes.set(`${id}/${term}`, candidate)
  }
}
