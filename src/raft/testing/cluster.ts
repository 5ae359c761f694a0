import { assert, type NodeId, present } from '../../base/index.ts'
import { decodeConfiguration } from '../configuration.ts'
import type { RaftNode, RaftOptions } from '../contract.ts'
import type { Core } from '../core.ts'
import { raftOver, startCore } from '../node.ts'
import {
  type Configuration,
  type Entry,
  entryKind,
  type InstallOperation,
  type LogRead,
  type Message,
  type ReadState,
  type Ready,
  type SnapshotMark,
  type StorageOperation,
} from '../types.ts'
import { type State, TestDisk } from './disk.ts'

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
  /** Which life of the node it is. */
  readonly life: number
  readonly core: Core
  readonly raft: RaftNode
  readonly disk: TestDisk
  /** Operations handed out and not performed. */
  readonly storage: StorageOperation[]
  readonly reads: LogRead[]
  state: Entry[]
  isStateLost: boolean
  configuration: Configuration
  configurationIndex: number
}

/** Who checks what the nodes of a cluster do, as they do it. */
export interface Observer {
  /** The node took an input, or handed out what followed from it. */
  stepped(node: TestNode, running: Iterable<TestNode>): void
  left(node: TestNode, message: Message): void
  applied(node: TestNode, entry: Entry): void
  readAnswered(node: TestNode, read: ReadState): void
  readEnded(node: TestNode, request: number): void
}

/** The bytes of the snapshots that were announced. */
const statesOfSnapshots = new WeakMap<SnapshotMark, State>()

export type Note = (level: 'story' | 'detail', text: string) => void

/**
 * Nodes, disks and a network in one value, driven step by step. Nothing moves by itself: the caller decides when a
 * message arrives and when an operation becomes durable. Every step is checked against the invariants.
 */
export class Cluster {
  readonly disks: Map<NodeId, TestDisk> = new Map()
  readonly nodes: Map<NodeId, TestNode> = new Map()
  network: Message[] = []
  /** Every message that ever left. */
  readonly sent: Message[] = []
  readonly #options: TestOptions
  readonly #seed: number
  readonly #observer: Observer
  readonly #note: Note
  #starts = 0

  constructor(options: TestOptions, seed: number, observer: Observer, note: Note) {
    this.#options = options
    this.#seed = seed
    this.#observer = observer
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
    const life = ++this.#starts
    const seed = this.#seed * 1000 + life
    const core = startCore({ ...this.#options, id, seed }, disk.restore(recentMax))
    disk.cutEnd = undefined
    const node: TestNode = {
      id,
      life,
      core,
      raft: raftOver(core),
      disk,
      storage: [],
      reads: [],
      state: [...disk.state],
      isStateLost: false,
      configuration: disk.configuration,
      configurationIndex: disk.configurationIndex,
    }
    this.nodes.set(id, node)
    return node
  }

  /** Loses everything that is not on disk. */
  crash(id: NodeId): void {
    const wasRunning = this.nodes.delete(id)
    assert(wasRunning, 'only a running node crashes')
  }

  node(id: NodeId): TestNode {
    return present(this.nodes.get(id), `node ${id} runs`)
  }

  /** Takes all that a node has ready. */
  pump(node: TestNode): void {
    for (let count = 0; node.raft.hasReady(); count++) {
      assert(count < 1000, 'a node comes to rest')
      const ready = node.raft.ready()
      this.#observer.stepped(node, this.nodes.values())
      this.#take(node, ready)
    }
    this.#observer.stepped(node, this.nodes.values())
  }

  /** Performs the oldest storage operation of a node. */
  completeStorage(node: TestNode): void {
    const operation = present(node.storage.shift(), 'an operation is under way')
    const stateOf = (snapshot: SnapshotMark): State =>
      present(statesOfSnapshots.get(snapshot), 'a snapshot has bytes')
    node.disk.perform(operation, stateOf)
    if (operation.kind === 'install') this.#installed(node, operation, stateOf(operation.snapshot))
    for (const message of node.raft.storageCompleted(operation.sequence)) this.#leave(node, message)
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
    }
    for (const message of ready.messages) this.#leave(node, message)
    for (const entry of ready.committed) this.#apply(node, entry)
    for (const read of ready.readStates) {
      this.#note('story', `${node.id} read ${read.request} at index ${read.index}`)
      this.#observer.readAnswered(node, read)
    }
    for (const request of ready.readFailures) {
      this.#note('story', `${node.id} read ${request} failed`)
      this.#observer.readEnded(node, request)
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
  }

  #apply(node: TestNode, entry: Entry): void {
    this.#note('story', `${node.id} applies ${describeEntry(entry)}`)
    node.state.push(entry)
    if (entry.kind === entryKind.configuration) {
      node.configuration = decodeConfiguration(entry.payload)
      node.configurationIndex = entry.index
    }
    this.#observer.applied(node, entry)
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
    this.#observer.left(node, message)
    this.#note('detail', describeMessage(message))
    this.network.push(message)
    this.sent.push(message)
  }

  #sendSnapshot(node: TestNode, to: NodeId): void {
    const snapshot = node.disk.mark()
    statesOfSnapshots.set(snapshot, node.disk.state)
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
