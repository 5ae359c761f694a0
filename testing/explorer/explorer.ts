/**
 * Visits every state that a model can be in, breadth first, and checks the rules of src/raft/invariants.ts in each. The
 * nodes run the real raft code (nodes.ts). A state is one number a node, one for the history, one for the set of
 * messages; states that differ only in the names of the nodes are one. A state that was seen is known by 64 bits, the
 * sum of the hashes of its parts, least over all renamings.
 */
import { AssertionError, type NodeId, present } from '../../src/base/index.ts'
import { checkCommitted, checkPair } from '../../src/raft/invariants.ts'
import { Histories } from './history.ts'
import type { Model } from './model.ts'
import { isDead, Networks } from './network.ts'
import { type AtCrash, argumentOf, budgetSlotOf, inputOf, kindOf, Nodes, type StepResult } from './nodes.ts'
import type { Renaming } from './state.ts'
import { FingerprintSet, PairTable, Rows } from './tables.ts'

export interface Violation {
  readonly rule: string
  /** From the first state to the one that breaks it. */
  readonly path: readonly PathStep[]
}

export interface PathStep {
  readonly node: NodeId
  readonly kind: ReturnType<typeof kindOf>
  readonly argument: number
  /** Of a message that arrives. */
  readonly message: string | undefined
}

export interface Progress {
  readonly states: number
  readonly transitions: number
  readonly depth: number
  readonly violations: readonly Violation[]
  /** Every state within the model was visited. */
  readonly isExhausted: boolean
  /** Node states, sets of messages and histories that the states are made of. */
  readonly parts: { readonly nodes: number; readonly networks: number; readonly histories: number }
}

/** A state broken in the same way is reached in many ways: the first, which is the shortest, is told. */
const violationsMax = 1

export class Explorer {
  readonly #model: Model
  readonly #nodes: Nodes
  readonly #histories: Histories
  readonly #networks: Networks
  readonly #count: number
  readonly #seen = new FingerprintSet(1 << 16)
  /** Node states, history and messages of each state that is still to be visited. */
  readonly #states: Rows
  /** From which state, by which node and input. */
  readonly #origins = new Rows(3)
  readonly #pairs = new PairTable(1 << 12)
  readonly #commits = new PairTable(1 << 12)
  /** Node states that were shown what is left of earlier terms. */
  readonly #unread = new Set<number>()
  readonly #violations: Violation[] = []
  readonly #row: Int32Array
  readonly #nextRow: Int32Array
  readonly #origin = new Int32Array(3)
  readonly #deliverable: number[][]
  #visited = 0
  #transitions = 0
  #depth = 0
  #levelEnd = 1

  /** `atCrash` does something to a node that is down: a disk that loses what it confirmed must be found. */
  constructor(model: Model, atCrash: AtCrash = () => undefined) {
    this.#model = model
    const renamings = renamingsOf(model)
    this.#nodes = new Nodes(model, renamings, atCrash)
    this.#histories = new Histories(renamings)
    this.#networks = new Networks(this.#nodes.messages, this.#nodes.messageHashes)
    this.#count = model.nodes.length
    this.#states = new Rows(this.#count + 2)
    this.#row = new Int32Array(this.#count + 2)
    this.#nextRow = new Int32Array(this.#count + 2)
    this.#deliverable = model.nodes.map(() => [])
    model.nodes.forEach((id, slot) => {
      this.#nextRow[slot] = this.#nodes.first(id)
    })
    this.#nextRow[this.#count] = this.#histories.first(model)
    this.#nextRow[this.#count + 1] = 0
    this.#origin.set([-1, 0, 0])
    this.#enter()
  }

  /** Visits up to `count` states more. False when there is nothing left to do. */
  advance(count: number): boolean {
    for (let i = 0; i < count; i++) {
      if (this.#visited === this.#states.length || this.#violations.length >= violationsMax) return false
      if (this.#visited === this.#levelEnd) {
        this.#depth++
        this.#levelEnd = this.#states.length
        this.#states.releaseBefore(this.#visited)
      }
      this.#visit(this.#visited)
      this.#visited++
    }
    return true
  }

  get progress(): Progress {
    return {
      states: this.#seen.size,
      transitions: this.#transitions,
      depth: this.#depth,
      violations: this.#violations,
      isExhausted: this.#visited === this.#states.length,
      parts: { nodes: this.#nodes.size, networks: this.#networks.size, histories: this.#histories.size },
    }
  }

  #visit(index: number): void {
    const row = this.#row
    this.#states.read(index, row)
    this.#origin[0] = index
    this.#networks.sort(row[this.#count + 1] as number, this.#model.nodes, this.#deliverable)
    for (let slot = 0; slot < this.#count; slot++) {
      const local = row[slot] as number
      const menu = this.#nodes.menu(local)
      for (let i = 0; i < menu.length; i++) this.#take(slot, menu[i] as number)
      if (!this.#nodes.takesMessages(local)) continue
      const messages = this.#deliverable[slot] as number[]
      for (let i = 0; i < messages.length; i++)
        this.#take(slot, deliverInput | ((messages[i] as number) << 4))
    }
  }

  /** One input at one node of the state in `row`. */
  #take(slot: number, input: number): void {
    const history = this.#row[this.#count] as number
    if (!this.#histories.has(history, budgetSlotOf(input))) return
    const step = this.#nodes.step(this.#row[slot] as number, input)
    if (step === undefined) return
    this.#transitions++
    this.#origin[1] = slot
    this.#origin[2] = input
    if (step.broken !== undefined) {
      this.#report(step.broken)
      return
    }
    const next = this.#nextRow
    next.set(this.#row)
    next[slot] = step.next
    if (!this.#follow(step, slot, history)) return
    if (this.#enter()) this.#check(slot, next[this.#count] !== history)
  }

  /** What the step means for history and messages. */
  #follow(step: StepResult, moved: number, history: number): boolean {
    const next = this.#nextRow
    if (step.effect !== -1) {
      const after = this.#histories.step(
        history,
        step.effect,
        present(this.#nodes.effects[step.effect], 'known'),
      )
      if (after < -1) {
        this.#report(present(this.#histories.broken[-2 - after], 'a broken rule has a name'))
        return false
      }
      next[this.#count] = after
    }
    let network = next[this.#count + 1] as number
    for (let i = 0; i < step.sent.length; i++) network = this.#networks.add(network, step.sent[i] as number)
    for (let slot = 0; slot < this.#count; slot++) {
      if (slot === moved || step.sent.length > 0) network = this.#forget(network, slot, next[slot] as number)
    }
    next[this.#count + 1] = network
    return true
  }

  /** `local` will never look again at answers to terms before the one that its disk knows. */
  #forget(network: number, slot: number, local: number): number {
    const { id, disk } = this.#nodes.state(local)
    const { term } = disk.hardState
    return term === 0 ? network : this.#networks.forget(network, id, slot, term)
  }

  /** Whether the state in `nextRow` is a new one. */
  #enter(): boolean {
    const row = this.#nextRow
    const { width, values: ofNodes } = this.#nodes.hashes
    const ofHistories = this.#histories.hashes.values
    const ofNetworks = this.#networks.hashes.values
    const history = (row[this.#count] as number) * width
    const network = (row[this.#count + 1] as number) * width
    let bestHigh = 0x1_0000_0000
    let bestLow = 0
    for (let column = 0; column < width; column += 2) {
      let high = (ofHistories[history + column] as number) + (ofNetworks[network + column] as number)
      let low = (ofHistories[history + column + 1] as number) + (ofNetworks[network + column + 1] as number)
      for (let slot = 0; slot < this.#count; slot++) {
        const at = (row[slot] as number) * width + column
        high += ofNodes[at] as number
        low += ofNodes[at + 1] as number
      }
      high >>>= 0
      low >>>= 0
      if (high < bestHigh || (high === bestHigh && low < bestLow)) {
        bestHigh = high
        bestLow = low
      }
    }
    if (!this.#seen.add(bestHigh, bestLow)) return false
    this.#states.push(row)
    this.#origins.push(this.#origin)
    return true
  }

  /** The rules between the node that moved and the others, and against the history. */
  #check(slot: number, isHistoryNew: boolean): void {
    const row = this.#nextRow
    const moved = row[slot] as number
    this.#checkForgotten(moved)
    try {
      for (let other = 0; other < this.#count; other++) {
        const local = row[other] as number
        if (other !== slot) this.#checkPair(Math.min(moved, local), Math.max(moved, local))
        if (other === slot || isHistoryNew) this.#checkCommitted(local, row[this.#count] as number)
      }
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      this.#report(error.message)
    }
    const contradiction = this.#networks.broken(row[this.#count + 1] as number)
    if (contradiction !== undefined) this.#report(contradiction)
  }

  /** What `#forget` takes for granted: such a message changes nothing, whenever it comes. */
  #checkForgotten(local: number): void {
    if (this.#unread.has(local)) return
    this.#unread.add(local)
    const { id, disk } = this.#nodes.state(local)
    const { messages } = this.#nodes
    for (let message = 0; message < messages.length; message++) {
      const sent = present(messages[message], 'the message is known')
      if (sent.to !== id || !isDead(sent, disk.hardState.term)) continue
      const isRead = this.#nodes.step(local, deliverInput | (message << 4)) !== undefined
      if (isRead)
        this.#report(`node ${id} drops what is left of an earlier term: ${this.#nodes.describe(message)}`)
    }
  }

  #checkPair(one: number, other: number): void {
    if (this.#pairs.get(one, other) !== -1) return
    const [left, right] = [this.#nodes.state(one).running, this.#nodes.state(other).running]
    checkPair(left.raft, right.raft, 1)
    this.#pairs.set(one, other, 1)
  }

  #checkCommitted(local: number, history: number): void {
    if (this.#commits.get(local, history) !== -1) return
    const { running } = this.#nodes.state(local)
    checkCommitted(running.raft, this.#histories.committed(history))
    this.#commits.set(local, history, 1)
  }

  /** The step in `origin` broke `rule`. */
  #report(rule: string): void {
    if (this.#violations.length >= violationsMax) return
    const path: PathStep[] = []
    const origin = Int32Array.from(this.#origin)
    while ((origin[0] as number) >= 0) {
      path.unshift(this.#pathStep(origin[1] as number, origin[2] as number))
      this.#origins.read(origin[0] as number, origin)
    }
    this.#violations.push({ rule, path })
  }

  #pathStep(slot: number, input: number): PathStep {
    const kind = kindOf(input)
    const argument = argumentOf(input)
    const message = kind === 'deliver' ? this.#nodes.describe(argument) : undefined
    return { node: present(this.#model.nodes[slot], 'a node of the model'), kind, argument, message }
  }
}

const deliverInput = inputOf('deliver')

/** The renamings under which the model is what it was; the first changes nothing. Entries that name nodes forbid any. */
export function renamingsOf(model: Model): Renaming[] {
  const { nodes, voters, logs } = model
  const roleOf = (id: NodeId): string => `${voters.includes(id)} ${logs[nodes.indexOf(id)]}`
  if (model.budgets.changes > 0) return [(id) => id]
  return permutationsOf(nodes)
    .filter((names) => nodes.every((id, slot) => roleOf(id) === roleOf(names[slot] as NodeId)))
    .map((names) => (id) => (id === 0n ? id : present(names[nodes.indexOf(id)], 'a node of the model')))
}

function permutationsOf(ids: readonly NodeId[]): NodeId[][] {
  if (ids.length <= 1) return [[...ids]]
  return ids.flatMap((id) => permutationsOf(ids.filter((other) => other !== id)).map((rest) => [id, ...rest]))
}
