import { assert, type NodeId, noNode, present, SeededRandom } from '../base/index.ts'
import { ConfigurationHistory } from './configuration.ts'
import type { RaftOptions, RaftRestore } from './contract.ts'
import { RaftLog } from './log.ts'
import type { Progress } from './progress.ts'
import { StorageQueue } from './storage-queue.ts'
import type {
  Configuration,
  Corruption,
  Entry,
  LogRead,
  Message,
  ReadState,
  Role,
  RoleChange,
} from './types.ts'
import type { VoteBlock } from './vote-block.ts'

/** Everything one node knows about its group. The files of this room are functions over it, one subject each. */
export interface Core {
  readonly options: RaftOptions
  readonly id: NodeId
  readonly random: SeededRandom
  readonly log: RaftLog
  readonly storage: StorageQueue
  readonly configurations: ConfigurationHistory
  readonly reads: Reads
  outbox: Outbox

  role: Role
  term: number
  vote: NodeId
  leader: NodeId
  /** Ticks since this node heard its leader, voted or campaigned. */
  electionElapsed: number
  /** Drawn anew for each wait, in [electionTicks, 2 x electionTicks). */
  electionTimeout: number
  /** Follower: nothing of its leader was heard since their last connection ended. */
  isLeaderDisconnected: boolean
  /** Answers of the present campaign. */
  votes: Map<NodeId, boolean>
  /** The highest index that was lost with a cut tail at the start; 0 when none was. */
  readonly cutEnd: number
  /** Set while a cut tail forbids to vote. */
  voteBlock: VoteBlock | undefined

  commitIndex: number
  /** Highest index handed out to be applied. */
  deliveredIndex: number
  appliedIndex: number
  /** There is no state to apply to, and no snapshot was taken yet that brings one. */
  isStateLost: boolean
  /** Committed entries that were read back from the log to be applied, next to hand out. */
  readBack: readonly Entry[]
  isReadingBack: boolean
  /** Follower: highest index known to equal the log of the leader of this term. */
  verifiedIndex: number
  /** Follower: the leader waits for an answer that reports `verifiedIndex`. */
  isAcknowledgeDue: boolean
  configurationReported: Configuration
  /** Present exactly while this node leads. */
  leadership: Leadership | undefined
}

export interface Leadership {
  /** All members but this node, ascending. */
  peers: Map<NodeId, Progress>
  /** Index of this term's first entry: once it is committed, so is everything before it. */
  readonly termStart: number
  heartbeatElapsed: number
  /** Number of the newest heartbeat round. */
  round: number
  uncommittedBytes: number
  transfer: { readonly to: NodeId; elapsed: number; isAsked: boolean } | undefined
  /** Something happened that may allow an append to leave. */
  isAppendDue: boolean
  /** A match index moved, so the commit index may. */
  isCommitDue: boolean
}

/** One reader that waits for a read index: this node's when `from` is its own id. */
export interface WaitingRead {
  readonly from: NodeId
  readonly request: number
}

export interface Reads {
  /** Came after the present round began: they wait for the next one. */
  queued: WaitingRead[]
  /** Leader: those that share the present round. */
  batch: { readonly round: number; readonly index: number; readonly waiting: WaitingRead[] } | undefined
  /** Follower: those that share the present request to the leader. */
  forward: { readonly number: number; elapsed: number; readonly waiting: WaitingRead[] } | undefined
  nextForward: number
}

/** What `ready` will hand over. */
export interface Outbox {
  roleChanges: RoleChange[]
  messages: Message[]
  after: Message[]
  readStates: ReadState[]
  readFailures: number[]
  logReads: LogRead[]
  snapshotsWanted: NodeId[]
  corruption: Corruption | undefined
}

export function createOutbox(): Outbox {
  return {
    roleChanges: [],
    messages: [],
    after: [],
    readStates: [],
    readFailures: [],
    logReads: [],
    snapshotsWanted: [],
    corruption: undefined,
  }
}

/** A follower with what was durable. */
export function createCore(options: RaftOptions, restore: RaftRestore): Core {
  assertOptions(options)
  assertRestore(restore)
  const { hardState, base, end } = restore
  const commitIndex = Math.max(base.index, restore.applied, Math.min(hardState.commit, end.index))
  const random = new SeededRandom(options.seed)
  const configurations = new ConfigurationHistory(restore.configurations)
  return {
    options,
    id: options.id,
    random,
    configurations,
    log: restoreLog(restore, commitIndex),
    storage: new StorageQueue(hardState, end.index),
    reads: {
      queued: [],
      batch: undefined,
      forward: undefined,
      // A late answer to a number of an earlier life must not be taken for an answer to one of this life.
      nextForward: random.nextU32() * 0x10_0000,
    },
    outbox: createOutbox(),
    role: 'follower',
    term: hardState.term,
    vote: hardState.vote,
    leader: noNode,
    electionElapsed: 0,
    electionTimeout: drawElectionTimeout(options, random),
    isLeaderDisconnected: false,
    votes: new Map(),
    cutEnd: restore.cutEnd ?? 0,
    voteBlock: restore.cutEnd === undefined ? undefined : { heard: new Map(), ticks: 0 },
    commitIndex,
    deliveredIndex: restore.applied,
    appliedIndex: restore.applied,
    isStateLost: false,
    readBack: [],
    isReadingBack: false,
    verifiedIndex: commitIndex,
    isAcknowledgeDue: false,
    configurationReported: configurations.current,
    leadership: undefined,
  }
}

export function drawElectionTimeout(options: RaftOptions, random: SeededRandom): number {
  return random.between(options.electionTicks, 2 * options.electionTicks)
}

/**
 * Queues a message. It may leave at once when term and vote are durable; otherwise it rides on the storage operation
 * that makes them so: nobody may hear of a term or a vote that this node could forget.
 */
export function send(core: Core, message: Message): void {
  assert(message.to !== core.id && message.to !== noNode, 'a message goes to another node')
  const isFree = core.storage.isDurable(core.term, core.vote)
  if (isFree) core.outbox.messages.push(message)
  else core.outbox.after.push(message)
}

/** How far entries may be applied: committed and durable on this very node. */
export function deliverableIndex(core: Core): number {
  return Math.min(core.commitIndex, core.storage.durableIndex)
}

/** A leader whose own term has a committed entry knows every commit of the terms before. */
export function isSettled(core: Core): boolean {
  return core.leadership !== undefined && core.commitIndex >= core.leadership.termStart
}

/** Keeps the first piece of evidence; the node is expected to act before a second one matters. */
export function reportCorruption(core: Core, evidence: Corruption): void {
  core.outbox.corruption ??= evidence
}

function restoreLog(restore: RaftRestore, commitIndex: number): RaftLog {
  const { base, end, recent } = restore
  const first = recent[0]
  const isWhole = first === undefined ? end.index === base.index : first.index === base.index + 1
  // When the log is longer than what was read of it, the oldest entry given only serves as the edge of the window.
  const before = isWhole ? base : first === undefined ? end : edgeOf(first)
  const log = new RaftLog(base, before)
  for (const entry of isWhole ? recent : recent.slice(1)) log.append(entry)
  assert(log.firstIndex <= commitIndex + 1, 'the entries above the commit index are restored to memory')
  const restored = log.end()
  assert(restored.index === end.index, 'the restored entries end where the log ends')
  assert(restored.term === end.term && restored.chain === end.chain, 'the restored end matches the log')
  return log
}

function edgeOf(entry: Entry): { index: number; term: number; chain: number } {
  return { index: entry.index, term: entry.term, chain: entry.chain }
}

function assertOptions(options: RaftOptions): void {
  assert(options.id !== noNode, 'id 0 is no node')
  assert(options.heartbeatTicks > 0, 'heartbeats are at least a tick apart')
  assert(options.electionTicks > options.heartbeatTicks, 'an election takes longer than a heartbeat')
  assert(options.appendBytesMax > 0 && options.windowBytesMax > 0, 'limits are positive')
  assert(options.inflightMax > 0 && options.uncommittedBytesMax > 0, 'limits are positive')
}

function assertRestore(restore: RaftRestore): void {
  const { hardState, base, end, applied } = restore
  assert(base.index <= end.index, 'the log ends at or after its base')
  assert(hardState.term >= end.term, 'the hard state knows every term of the log')
  assert(applied >= base.index, 'what the log no longer has is applied')
  assert(applied <= end.index, 'nothing is applied that the log does not have')
  const [first] = restore.configurations
  assert(present(first, 'a configuration is restored').index <= base.index, 'the base has a configuration')
}
