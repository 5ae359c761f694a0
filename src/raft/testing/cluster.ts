import { assert, type NodeId, present } from '../../base/index.ts'
import { decodeConfiguration } from '../configuration.ts'
import type { RaftNode, RaftOptions } from '../contract.ts'
import { createRaft } from '../node.ts'
import {
  type Configuration,
  type Entry,
  entryKind,
  type InstallOperation,
  type LogRead,
  type Message,
  type Ready,
  type SnapshotMark,
  type StorageOperation,
} from '../types.ts'
import { type State, TestDisk } from './disk.ts'
import { Invariants } from './invariants.ts'

export type TestOptions = Omit<RaftOptions, 'id' | 'seed'>

export const defaultTestOptions: TestOptions = {
  group: 7,
  electionTicks: 10,
  heartbeatTicks: 3,
  appendBytesMax: 4096,
  inflightMax: 4,
  windowBytesMax: 1 << 20,
  uncommittedBytesMax: 1 << 20,
}

/** One life of a node: what a crash takes away. The disk outlives it. */
export interface TestNode {
  readonly id: NodeId
  readonly raft: RaftNode
  readonly disk: TestDisk
  /** Operations handed out and not performed. */
  readonly storage: StorageOperation[]
  readonly reads: LogRead[]
  /** The log as the operations handed out so far will leave it. */
  readonly issuedEntries: Map<number, Entry>
  issued(index: number): Entry | undefined
  state: Entry[]
  isStateLost: boolean
  configuration: Configuration
  configurationIndex: number
  commitSeen: number
  termSeen: number
}

export type Note = (level: 'story' | 'detail', text: string) => void

/**
 * Nodes, disks and a network in one value, driven step by step. Nothing moves by itself: the caller decides when a
 * message arrives and when an operation becomes durable. Every step is checked against the invariants.
 */
export class Cluster {
  readonly invariants: Invariants = new Invariants()
  readonly disks: Map<NodeId, TestDisk> = new Map()
  readonly nodes: Map<NodeId, TestNode> = new Map()
  network: Message[] = []
  readonly #options: TestOptions
  readonly #seed: number
  readonly #note: Note
  readonly #states = new WeakMap<SnapshotMark, State>()
  #starts = 0

  constructor(options: TestOptions, seed: number, note: Note) {
    this.#options = options
    this.#seed = seed
    this.#note = note
  }

  add(id: NodeId, initial: Configuration): void {
    assert(!this.disks.has(id), 'a node is added once')
    this.disks.set(id, new TestDisk(initial))
    this.start(id, 0)
  }

  /** Starts a node from its disk, with `recentMax` entries more in memory than it needs. */
  start(id: NodeId, recentMax: number): TestNode {
    assert(!this.nodes.has(id), 'a running node is not started')
    const disk = present(this.disks.get(id), 'a node has a disk')
    const seed = this.#seed * 1000 + ++this.#starts
    const raft = createRaft({ ...this.#options, id, seed }, disk.restore(recentMax))
    disk.cutEnd = undefined
    const issuedEntries = new Map(disk.entries.map((entry) => [entry.index, entry]))
    const node: TestNode = {
      id,
      raft,
      disk,
      storage: [],
      reads: [],
      issuedEntries,
      issued: (index) => issuedEntries.get(index),
      state: [...disk.state],
      isStateLost: false,
      configuration: disk.configuration,
      configurationIndex: disk.configurationIndex,
      commitSeen: 0,
      termSeen: disk.hardState.term,
    }
    this.nodes.set(id, node)
    return node
  }

  /** Loses everything that is not on disk. */
  crash(id: NodeId): void {
    assert(this.nodes.delete(id), 'only a running node crashes')
  }

  node(id: NodeId): TestNode {
    return present(this.nodes.get(id), `node ${id} runs`)
  }

  /** Takes all that a node has ready. */
  pump(node: TestNode): void {
    for (let count = 0; node.raft.hasReady(); count++) {
      assert(count < 1000, 'a node comes to rest')
      this.#take(node, node.raft.ready())
      this.invariants.observed(node)
    }
  }

  /** Performs the oldest storage operation of a node. */
  completeStorage(node: TestNode): void {
    const operation = present(node.storage.shift(), 'an operation is under way')
    const stateOf = (snapshot: SnapshotMark): State =>
      present(this.#states.get(snapshot), 'a snapshot has bytes')
    node.disk.perform(operation, stateOf)
    if (operation.kind === 'install') this.#installed(node, operation, stateOf(operation.snapshot))
    node.raft.storageCompleted(operation.sequence)
    for (const message of operation.after) this.#leave(node, message)
    this.pump(node)
  }

  /** Answers the oldest request for entries of the log. */
  completeRead(node: TestNode): void {
    const { to, first, end, bytesMax } = present(node.reads.shift(), 'a read is under way')
    const entries: Entry[] = []
    let bytes = 0
    for (let index = first; index < end && index > node.disk.base.index; index++) {
      const entry = present(node.disk.entryAt(index), 'what is asked for is in the log')
      bytes += entry.payload.length
      if (entries.length > 0 && bytes > bytesMax) break
      entries.push(entry)
    }
    const before = node.disk.entryAt(first - 1) ?? node.disk.base
    const previous = { index: before.index, term: before.term, chain: before.chain }
    node.raft.entriesRead({ to, entries, previous: entries.length === 0 ? undefined : previous })
    this.pump(node)
  }

  /** A message arrives. With a snapshot's announcement its bytes arrive too. */
  arrive(message: Message): void {
    const node = this.nodes.get(message.to)
    if (node === undefined) {
      this.lose(message)
      return
    }
    node.raft.step(message)
    this.pump(node)
    if (message.kind !== 'installSnapshot') return
    node.raft.snapshotReceived(message.snapshot)
    this.pump(node)
    this.nodes.get(message.from)?.raft.snapshotSent(message.to, 'delivered', message.snapshot.end)
  }

  /** A message is lost. The sender of a snapshot learns it. */
  lose(message: Message): void {
    if (message.kind !== 'installSnapshot') return
    const sender = this.nodes.get(message.from)
    if (sender === undefined) return
    sender.raft.snapshotSent(message.to, 'failed', message.snapshot.end)
    this.pump(sender)
  }

  /** A node makes a snapshot of what it applied and releases the log up to there. */
  compact(node: TestNode): void {
    const { state, configuration, configurationIndex, disk } = node
    if (state.length <= disk.base.index) return
    node.raft.released(disk.release([...state], configuration, configurationIndex))
    this.pump(node)
  }

  /** The state of a node turns out to be wrong, and is thrown away. Its log stays. */
  loseState(node: TestNode): void {
    node.state = []
    node.isStateLost = true
    node.raft.stateLost()
    this.pump(node)
  }

  /** A leader sends a snapshot of all it applied to one that asks for a state. */
  giveState(leader: TestNode, to: NodeId): void {
    this.compact(leader)
    this.#sendSnapshot(leader, to)
  }

  #take(node: TestNode, ready: Ready): void {
    for (const operation of ready.storage) this.#issue(node, operation)
    for (const change of ready.roleChanges) {
      const whom = change.leader === 0n || change.leader === node.id ? '' : ` of ${change.leader}`
      this.#note('story', `${node.id} ${change.role}${whom} at term ${change.term}: ${change.cause}`)
      this.invariants.roleChanged(node, change)
    }
    for (const message of ready.messages) this.#leave(node, message)
    for (const entry of ready.committed) this.#apply(node, entry)
    for (const read of ready.readStates) {
      this.#note('story', `${node.id} read ${read.request} at index ${read.index}`)
      this.invariants.readAnswered(node, read)
    }
    for (const request of ready.readFailures) {
      this.#note('story', `${node.id} read ${request} failed`)
      this.invariants.readEnded(node, request)
    }
    for (const read of ready.logReads) {
      this.#note('detail', `${node.id} reads entries [${read.first}, ${read.end}) for ${read.to}`)
      node.reads.push(read)
    }
    for (const to of ready.snapshotsWanted) this.#sendSnapshot(node, to)
    if (ready.configuration !== undefined) {
      this.#note('story', `${node.id} counts ${describeConfiguration(ready.configuration)}`)
    }
    if (ready.corruption !== undefined) {
      const { peer, index, term } = ready.corruption
      this.#note('story', `${node.id} CORRUPTION: entry ${index}/${term} differs from that of ${peer}`)
    }
  }

  #issue(node: TestNode, operation: StorageOperation): void {
    this.#note('detail', `${node.id} ${describeOperation(operation)}`)
    node.storage.push(operation)
    if (operation.kind === 'install') {
      if (!operation.keepsLog) node.issuedEntries.clear()
      return
    }
    if (operation.truncateAfter !== undefined) {
      for (let i = operation.truncateAfter + 1; node.issuedEntries.delete(i); i++);
    }
    for (const entry of operation.entries) {
      this.invariants.appended(entry)
      node.issuedEntries.set(entry.index, entry)
    }
  }

  #apply(node: TestNode, entry: Entry): void {
    this.#note('story', `${node.id} applies ${describeEntry(entry)}`)
    node.state.push(entry)
    if (entry.kind === entryKind.configuration) {
      node.configuration = decodeConfiguration(entry.payload)
      node.configurationIndex = entry.index
    }
    this.invariants.applied(node, entry)
    node.raft.applied(entry.index)
  }

  #installed(node: TestNode, operation: InstallOperation, state: State): void {
    const { end, configuration, configurationIndex } = operation.snapshot
    assert(state.length === end.index, 'a snapshot holds everything up to its end')
    const what = operation.keepsLog ? 'the state of the snapshot' : 'the snapshot'
    this.#note('story', `${node.id} installs ${what} at ${end.index}/${end.term}`)
    node.state = [...state]
    node.isStateLost = false
    node.configuration = configuration
    node.configurationIndex = configurationIndex
  }

  #leave(node: TestNode, message: Message): void {
    this.invariants.left(node, message)
    this.#note('detail', describeMessage(message))
    this.network.push(message)
  }

  #sendSnapshot(node: TestNode, to: NodeId): void {
    const snapshot = node.disk.mark()
    this.#states.set(snapshot, node.disk.state)
    this.#leave(node, { kind: 'installSnapshot', from: node.id, to, term: node.raft.term, snapshot })
  }
}

export function describeEntry(entry: Entry): string {
  const place = `${entry.index}/${entry.term}`
  if (entry.kind === entryKind.noop) return place
  if (entry.kind === entryKind.configuration) {
    return `${place}:${describeConfiguration(decodeConfiguration(entry.payload))}`
  }
  return `${place}:${String.fromCharCode(...entry.payload)}`
}

export function describeConfiguration(configuration: Configuration): string {
  const { voters, outgoing, learners, context } = configuration
  let text = `(${voters.join(' ')})`
  if (outgoing.length > 0) text += `&(${outgoing.join(' ')})`
  if (learners.length > 0) text += ` learners ${learners.join(' ')}`
  if (context.length > 0) text += ` context ${String.fromCharCode(...context)}`
  return text
}

function describeOperation(operation: StorageOperation): string {
  const { hardState, sequence } = operation
  let text = `writes #${sequence}`
  if (hardState !== undefined) text += ` term ${hardState.term} vote ${hardState.vote}`
  if (operation.kind === 'install') {
    const what = operation.keepsLog ? 'state of snapshot' : 'snapshot'
    return `${text} ${what} ${operation.end.index}/${operation.end.term}`
  }
  if (operation.truncateAfter !== undefined) text += ` cut after ${operation.truncateAfter}`
  if (operation.entries.length > 0) text += ` entries ${operation.entries.map(describeEntry).join(' ')}`
  return text
}

export function describeMessage(message: Message): string {
  return `${message.from}->${message.to} ${describeBody(message)} (term ${message.term})`
}

function describeBody(message: Message): string {
  switch (message.kind) {
    case 'voteRequest': {
      const { pre, transfer, end } = message
      return `${pre ? 'pre-vote?' : 'vote?'}${transfer ? ' transfer' : ''} log ends at ${end.index}/${end.term}`
    }
    case 'voteResponse':
      return `${message.pre ? 'pre-vote' : 'vote'} ${message.granted ? 'yes' : 'no'}`
    case 'appendRequest': {
      const { previous, entries, commit } = message
      const list = entries.length === 0 ? '' : ` ${entries.map(describeEntry).join(' ')}`
      return `append after ${previous.index}/${previous.term}${list} commit ${commit}`
    }
    case 'appendResponse': {
      if (message.accepted) return `accepted to ${message.index}`
      const { index, hint, forget } = message
      return `refused ${index}, hint ${hint.index}/${hint.term}${forget ? ', forget the rest' : ''}`
    }
    case 'heartbeat':
      return `heartbeat round ${message.round} commit ${message.commit}`
    case 'heartbeatResponse':
      return `heartbeat answer round ${message.round}`
    case 'readIndexRequest':
      return 'read index?'
    case 'readIndexResponse':
      return `read index ${message.index}`
    case 'timeoutNow':
      return 'timeout now'
    case 'installSnapshot':
      return `snapshot ${message.snapshot.end.index}/${message.snapshot.end.term}`
  }
}
