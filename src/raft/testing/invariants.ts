import { assert, type NodeId, present } from '../../base/index.ts'
import { candidateOf, checkLeaving, checkMessage, Past } from '../invariants.ts'
import type { Entry, Message } from '../types.ts'
import type { Observer, TestNode } from './cluster.ts'

/** Checks every step of a run of several nodes. Broken: an AssertionError that names the rule. */
export class Invariants implements Observer {
  readonly #past: Past
  readonly #reads = new Map<string, number>()
  /** Their disks were damaged on purpose: they are compared with nobody. */
  readonly #damaged = new Set<NodeId>()

  constructor(inflightMax: number) {
    this.#past = new Past(inflightMax)
  }

  stepped(node: TestNode, running: Iterable<TestNode>): void {
    if (this.#damaged.has(node.id)) return
    const whole = Array.from(running, ({ raft }) => raft).filter(({ id }) => !this.#damaged.has(id))
    this.#past.observe(node.raft, node.life, whole)
  }

  damaged(id: NodeId): void {
    this.#damaged.add(id)
  }

  left(node: TestNode, message: Message): void {
    checkMessage(message, node.disk)
    checkLeaving(message, node.raft)
    const candidate = candidateOf(message)
    if (candidate !== undefined) this.#past.voted(node.id, message.term, candidate)
  }

  /** State machine safety: all apply the same entries in the same order, from their own disk. */
  applied(node: TestNode, entry: Entry): void {
    if (this.#damaged.has(node.id)) return
    checkApplied(node, entry)
    assert(entry.index <= this.#past.lastIndex, `node ${node.id} applies only what is committed`)
    const chain = present(this.#past.chainAt(entry.index), 'a leader commits what it has in memory')
    assert(chain === entry.chain, `entry ${entry.index} is the same on all nodes`)
  }

  readAsked(node: TestNode, request: number): void {
    this.#reads.set(`${node.id}.${request}`, this.#past.lastIndex)
  }

  /** A read sees everything that was committed anywhere before it was asked. */
  readAnswered(node: TestNode, read: { readonly request: number; readonly index: number }): void {
    const least = this.#reads.get(`${node.id}.${read.request}`)
    assert(least !== undefined, `read ${read.request} of node ${node.id} was asked`)
    checkRead(read, least)
    this.readEnded(node, read.request)
  }

  readEnded(node: TestNode, request: number): void {
    const wasOpen = this.#reads.delete(`${node.id}.${request}`)
    assert(wasOpen, 'a read ends once')
  }
}

/** An entry is applied in its turn and from the node's own disk. */
export function checkApplied(node: TestNode, entry: Entry): void {
  const isInTurn = node.state.length === entry.index && node.state.at(-1) === entry
  assert(isInTurn, `node ${node.id} applies in order`)
  const durable = node.disk.entryAt(entry.index)
  assert(durable?.chain === entry.chain, `node ${node.id} applies ${entry.index} only once it is durable`)
}

/** `least`: what was committed when the read was asked. */
export function checkRead(read: { readonly request: number; readonly index: number }, least: number): void {
  assert(read.index >= least, `read ${read.request} at ${read.index} misses what was committed, ${least}`)
}
