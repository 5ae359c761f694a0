/**
 * The states that single nodes can be in, and what an input makes of them. A step of the whole touches one node, and the
 * same node state meets the same input in very many states of the whole: the real raft code runs once for each pair, on
 * a copy, and what came of it is kept.
 */
import { AssertionError, assert, type NodeId, present, utf8Encode } from '../../src/base/index.ts'
import type { RaftNode } from '../../src/raft/contract.ts'
import {
  checkLeaving,
  checkMessage,
  checkNode,
  checkStep,
  type Marks,
  marksOf,
  wasLeader,
} from '../../src/raft/invariants.ts'
import { raftOver } from '../../src/raft/node.ts'
import { Cluster, describeMessage, type Observer, type TestNode } from '../../src/raft/testing/cluster.ts'
import { TestDisk, voterSet } from '../../src/raft/testing/disk.ts'
import { checkApplied } from '../../src/raft/testing/invariants.ts'
import { forgetTime, type Passed, passTime } from '../../src/raft/testing/time.ts'
import type { HardState, LogEnd, Message } from '../../src/raft/types.ts'
import { type BudgetName, budgetNames, type Model } from './model.ts'
import { copyState, hashText, type Renaming, textOf } from './state.ts'
import { HashColumns, PairTable } from './tables.ts'

/** What a leader learns of a snapshot that it sent: not a message between nodes, but it comes when it comes. */
export interface SnapshotReport {
  readonly kind: 'snapshotReport'
  readonly from: NodeId
  readonly to: NodeId
  readonly term: number
  readonly result: 'delivered' | 'failed'
  readonly end: LogEnd
}
export type Sent = Message | SnapshotReport

/** A node and its disk. */
export interface LocalState {
  readonly id: NodeId
  readonly running: TestNode
  readonly disk: TestDisk
  readonly life: number
}

/** Done to a node while it is down. */
export type AtCrash = (node: TestNode) => void

/** What a step of one node means for the history of all. */
export interface Effect {
  readonly spent: number
  /** A leader of `term` committed up to `chains.length`; undefined where its memory begins later. */
  readonly commit: { readonly term: number; readonly chains: readonly (number | undefined)[] } | undefined
  readonly asked: { readonly node: NodeId; readonly request: number } | undefined
  readonly answered: readonly { readonly node: NodeId; readonly request: number; readonly index: number }[]
  readonly ended: readonly { readonly node: NodeId; readonly request: number }[]
  /** Its readers are gone with it. */
  readonly crashed: NodeId | undefined
}

export interface StepResult {
  readonly next: number
  readonly sent: readonly number[]
  /** -1: none. */
  readonly effect: number
  /** The rule that it broke. */
  readonly broken: string | undefined
}

export const inputKinds = [
  'deliver',
  'disk',
  'readLog',
  'election',
  'candidacy',
  'lease',
  'heartbeat',
  'quorum',
  'retry',
  'propose',
  'read',
  'crash',
  'compact',
  'transfer',
  'change',
] as const
export type InputKind = (typeof inputKinds)[number]

/** Kind and argument of an input in one number. */
export function inputOf(kind: InputKind, argument = 0): number {
  return inputKinds.indexOf(kind) | (argument << 4)
}

export function kindOf(input: number): InputKind {
  return present(inputKinds[input & 15], 'an input has a kind')
}

export function argumentOf(input: number): number {
  return input >> 4
}

const budgetOf: Partial<Record<InputKind, BudgetName>> = {
  election: 'timeouts',
  candidacy: 'timeouts',
  heartbeat: 'heartbeats',
  retry: 'heartbeats',
  propose: 'proposals',
  read: 'reads',
  crash: 'crashes',
  quorum: 'stepDowns',
  compact: 'compactions',
  transfer: 'transfers',
  change: 'changes',
}

/** Slot of the budget that an input takes from; -1 for none. */
export function budgetSlotOf(input: number): number {
  const name = budgetOf[kindOf(input)]
  return name === undefined ? -1 : budgetNames.indexOf(name)
}

/** The step leads out of the model; it is not taken. */
const outside = -2
const unchanged = -3

const payload = utf8Encode('v')

export class Nodes {
  readonly hashes: HashColumns
  readonly messageHashes: HashColumns
  readonly messages: Sent[] = []
  readonly effects: Effect[] = []
  readonly #model: Model
  readonly #atCrash: AtCrash
  readonly #renamings: readonly Renaming[]
  readonly #states: LocalState[] = []
  readonly #known = new Map<string, number>()
  readonly #knownMessages = new Map<string, number>()
  readonly #knownEffects = new Map<string, number>()
  readonly #menus: (Int32Array | undefined)[] = []
  readonly #steps = new PairTable(1 << 16)
  readonly #results: StepResult[] = []

  /** The first of `renamings` changes nothing. */
  constructor(model: Model, renamings: readonly Renaming[], atCrash: AtCrash) {
    this.#model = model
    this.#atCrash = atCrash
    this.#renamings = renamings
    this.hashes = new HashColumns(renamings.length)
    this.messageHashes = new HashColumns(renamings.length)
  }

  get size(): number {
    return this.#states.length
  }

  state(index: number): LocalState {
    return present(this.#states[index], 'the state is known')
  }

  /** A node as the model begins with it. */
  first(id: NodeId): number {
    const { options, voters, nodes, logs, term } = this.#model
    const cluster = new Cluster(options, 1, silent, () => undefined)
    const disk = new TestDisk(voterSet(...voters))
    disk.giveLog(options.group, logs[nodes.indexOf(id)] ?? [], term)
    cluster.disks.set(id, disk)
    cluster.start(id, 1000)
    return this.#intern(this.#stateOf(cluster, id, 1))
  }

  /** What may happen at a node besides a message: inputs, leaving budgets aside. */
  menu(index: number): Int32Array {
    const known = this.#menus[index]
    if (known !== undefined) return known
    const menu = Int32Array.from(this.#menuOf(this.state(index)))
    this.#menus[index] = menu
    return menu
  }

  /** Whether the node has room for an input. */
  takesMessages(index: number): boolean {
    return this.state(index).running.storage.length < this.#model.storageMax
  }

  /** Undefined when nothing comes of it, or it leads out of the model. */
  step(index: number, input: number): StepResult | undefined {
    let code = this.#steps.get(index, input)
    if (code === -1) {
      code = this.#compute(index, input)
      this.#steps.set(index, input, code)
    }
    return code < 0 ? undefined : this.#results[code]
  }

  describe(index: number): string {
    const sent = present(this.messages[index], 'the message is known')
    return sent.kind === 'snapshotReport' ? `report ${sent.result}` : describeMessage(sent)
  }

  #menuOf({ running }: LocalState): number[] {
    const { core, raft, storage, reads } = running
    const menu: number[] = []
    if (storage.length > 0) menu.push(inputOf('disk'))
    if (reads.length > 0) menu.push(inputOf('readLog'))
    const { budgets } = this.#model
    if (budgets.crashes > 0) menu.push(inputOf('crash'))
    if (storage.length >= this.#model.storageMax) return menu
    if (budgets.reads > 0) menu.push(inputOf('read'))
    if (budgets.compactions > 0 && running.state.length > running.disk.base.index)
      menu.push(inputOf('compact'))
    if (raft.role !== 'leader') {
      const { termMax, hasPreVote } = this.#model
      if (raft.term < termMax) menu.push(inputOf(hasPreVote ? 'election' : 'candidacy'))
      if (hasPreVote && raft.leader !== 0n && core.electionElapsed < core.options.electionTicks)
        menu.push(inputOf('lease'))
      if (core.reads.forward !== undefined) menu.push(inputOf('retry'))
      return menu
    }
    menu.push(inputOf('heartbeat'), inputOf('quorum'), inputOf('propose'))
    if (core.leadership?.transfer !== undefined) menu.push(inputOf('retry'))
    if (budgets.transfers > 0) {
      this.#model.nodes.forEach((id, slot) => {
        if (id !== raft.id) menu.push(inputOf('transfer', slot))
      })
    }
    for (let slot = 0; slot < this.#model.changes.length; slot++) menu.push(inputOf('change', slot))
    return menu
  }

  #compute(index: number, input: number): number {
    const before = this.state(index)
    const recorder = new Recorder()
    const cluster = new Cluster(this.#model.options, 1, recorder, () => undefined)
    let broken: string | undefined
    let after = before
    try {
      after = this.#run(cluster, recorder, before, input)
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      broken = error.message
    }
    const { running } = after
    if (running.raft.term > this.#model.termMax) return outside
    const next = broken === undefined ? this.#intern(after) : index
    const sent = [...new Set(this.#sentIn(cluster, input))]
    const effect = this.#internEffect(recorder.effect(before, input))
    if (broken === undefined && next === index && sent.length === 0 && effect === -1) return unchanged
    this.#results.push({ next, sent, effect, broken })
    return this.#results.length - 1
  }

  #run(cluster: Cluster, recorder: Recorder, before: LocalState, input: number): LocalState {
    const { id } = before
    const disk = Object.assign(new TestDisk(before.disk.configuration), before.disk, {
      entries: [...before.disk.entries],
    })
    cluster.disks.set(id, disk)
    const kind = kindOf(input)
    const node = copyNode(before.running, disk)
    cluster.nodes.set(id, node)
    recorder.resume(node)
    this.#act(cluster, node, kind, argumentOf(input))
    if (!this.#model.isDiskSlow && kind !== 'crash') {
      while (node.storage.length > 0) cluster.completeStorage(node)
    }
    checkDiskStep(before.disk.hardState, disk.hardState, id)
    return this.#stateOf(cluster, id, before.life + (kind === 'crash' ? 1 : 0))
  }

  #act(cluster: Cluster, node: TestNode, kind: InputKind, argument: number): void {
    switch (kind) {
      case 'deliver': {
        const sent = present(this.messages[argument], 'the message is known')
        if (sent.kind !== 'snapshotReport') cluster.arrive(sent)
        else {
          node.raft.snapshotSent(sent.from, sent.result, sent.end)
          cluster.pump(node)
        }
        break
      }
      case 'disk':
        cluster.completeStorage(node)
        break
      case 'readLog':
        cluster.completeRead(node)
        break
      case 'propose':
        node.raft.propose([payload])
        cluster.pump(node)
        break
      case 'read':
        node.raft.readIndex(1)
        cluster.pump(node)
        break
      case 'crash':
        cluster.crash(node.id)
        this.#atCrash(node)
        // One that is down is one to which nothing happens: that needs no state of its own.
        cluster.pump(cluster.start(node.id, 1000))
        break
      case 'compact':
        cluster.compact(node)
        break
      case 'transfer':
        node.raft.transferLeadership(present(this.#model.nodes[argument], 'a node of the model'))
        cluster.pump(node)
        break
      case 'change': {
        const change = present(this.#model.changes[argument], 'a change of the model')
        node.raft.proposeConfiguration({ ...change, context: new Uint8Array(0) })
        cluster.pump(node)
        break
      }
      default:
        passTime(node, kind satisfies Passed)
        cluster.pump(node)
    }
  }

  #stateOf(cluster: Cluster, id: NodeId, life: number): LocalState {
    const running = cluster.node(id)
    const disk = present(cluster.disks.get(id), 'a node has a disk')
    forgetTime(running)
    // Answers of a campaign that is over are never looked at again.
    if (running.raft.role === 'follower' || running.raft.role === 'leader') running.core.votes = new Map()
    assert(!running.raft.hasReady(), 'a node has handed out all that followed')
    // A late answer to an earlier life must be told from one to this life, without the chance that does it.
    if (running.core.reads.nextForward > 0xffff) running.core.reads.nextForward = life * 16
    return { id, running, disk, life }
  }

  #sentIn(cluster: Cluster, input: number): number[] {
    const sent: number[] = []
    for (const message of cluster.network) {
      // Nobody is there to take it.
      if (!this.#model.nodes.includes(message.to)) continue
      sent.push(this.#internMessage(message))
      if (message.kind === 'installSnapshot') sent.push(this.#internReport(message, 'failed'))
    }
    if (kindOf(input) !== 'deliver') return sent
    const message = present(this.messages[argumentOf(input)], 'the message is known')
    if (message.kind === 'installSnapshot') sent.push(this.#internReport(message, 'delivered'))
    return sent
  }

  #internReport(
    message: Extract<Message, { kind: 'installSnapshot' }>,
    result: SnapshotReport['result'],
  ): number {
    const { from: to, to: from, term, snapshot } = message
    return this.#internMessage({ kind: 'snapshotReport', from, to, term, result, end: snapshot.end })
  }

  #intern(state: LocalState): number {
    const texts = (rename: Renaming): string => localText(state, rename, this.#model.budgets.reads > 0)
    const text = texts(present(this.#renamings[0], 'the renaming that changes nothing'))
    const known = this.#known.get(text)
    if (known !== undefined) return known
    this.#known.set(text, this.#states.length)
    this.#states.push(state)
    return this.hashes.push(this.#renamings.flatMap((rename) => hashText(`node ${texts(rename)}`)))
  }

  #internMessage(message: Sent): number {
    const texts = (rename: Renaming): string => textOf(message, rename, 0)
    const text = texts(present(this.#renamings[0], 'the renaming that changes nothing'))
    const known = this.#knownMessages.get(text)
    if (known !== undefined) return known
    this.#knownMessages.set(text, this.messages.length)
    this.messages.push(message)
    return this.messageHashes.push(this.#renamings.flatMap((rename) => hashText(`message ${texts(rename)}`)))
  }

  #internEffect(effect: Effect | undefined): number {
    if (effect === undefined) return -1
    const text = textOf(effect, (id) => id, 0)
    const known = this.#knownEffects.get(text)
    if (known !== undefined) return known
    this.#knownEffects.set(text, this.effects.length)
    this.effects.push(effect)
    return this.effects.length - 1
  }
}

const silent: Observer = {
  stepped: () => undefined,
  left: () => undefined,
  applied: () => undefined,
  readAnswered: () => undefined,
  readEnded: () => undefined,
}

/** Checks a step of one node by itself, and notes what it means for the others. */
class Recorder implements Observer {
  #marks: Marks | undefined
  #raft: RaftNode | undefined
  #commit: Effect['commit']
  readonly #answered: Effect['answered'][number][] = []
  readonly #ended: Effect['ended'][number][] = []

  /** The node goes on from here. */
  resume({ raft }: TestNode): void {
    this.#marks = marksOf(raft)
    this.#raft = raft
  }

  stepped({ raft, core }: TestNode): void {
    const before = raft === this.#raft ? this.#marks : undefined
    this.#raft = raft
    if (before !== undefined) checkStep(before, raft)
    checkNode(raft, core.options.inflightMax)
    this.#marks = marksOf(raft)
    if (!wasLeader(before, raft) || raft.commitIndex <= (before?.commitIndex ?? 0)) return
    const term = before?.role === 'leader' ? before.term : raft.term
    const chains = Array.from({ length: raft.commitIndex }, (_, i) => raft.endAt(i + 1)?.chain)
    this.#commit = { term, chains }
  }

  left(node: TestNode, message: Message): void {
    checkMessage(message, node.disk)
    checkLeaving(message, node.raft)
  }

  applied(node: TestNode, entry: Parameters<Observer['applied']>[1]): void {
    checkApplied(node, entry)
  }

  readAnswered(node: TestNode, { request, index }: { request: number; index: number }): void {
    this.#answered.push({ node: node.id, request, index })
  }

  readEnded(node: TestNode, request: number): void {
    this.#ended.push({ node: node.id, request })
  }

  effect(before: LocalState, input: number): Effect | undefined {
    const kind = kindOf(input)
    const spent = budgetSlotOf(input)
    const isNothing = spent === -1 && this.#commit === undefined && this.#answered.length === 0
    if (isNothing && this.#ended.length === 0) return undefined
    return {
      spent,
      commit: this.#commit,
      asked: kind === 'read' ? { node: before.id, request: 1 } : undefined,
      answered: this.#answered,
      ended: this.#ended,
      crashed: kind === 'crash' ? before.id : undefined,
    }
  }
}

/** What was promised on disk outlives every crash. */
function checkDiskStep(before: HardState, after: HardState, id: NodeId): void {
  assert(after.term >= before.term, `the term on the disk of node ${id} never moves back`)
  const keepsVote = after.term > before.term || before.vote === 0n || after.vote === before.vote
  assert(keepsVote, `node ${id} votes once in term ${after.term}, also across a crash`)
}

function copyNode(node: TestNode, disk: TestDisk): TestNode {
  const core = copyState(node.core)
  return {
    ...node,
    core,
    raft: raftOver(core),
    disk,
    storage: [...node.storage],
    reads: [...node.reads],
    state: [...node.state],
  }
}

/** The life counts only where numbers of an earlier one may still be under way. */
function localText({ id, running, disk, life }: LocalState, rename: Renaming, hasReads: boolean): string {
  const { hardState, base, entries, configuration, configurationIndex } = disk
  const { core, storage, reads, state } = running
  const { _sequence: sequence } = core.storage as unknown as { _sequence: number }
  const onDisk = textOf({ hardState, base, entries, configuration, configurationIndex }, rename, 0)
  const place = `${rename(id)} ${hasReads ? life : ''} ${onDisk}`
  const rest = { storage, reads, applied: state.length, at: running.configurationIndex }
  return `${place} ${textOf(core, rename, sequence)} ${textOf(rest, rename, sequence)}`
}
