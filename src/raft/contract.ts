import type { NodeId } from '../base/index.ts'
import type { PlacedConfiguration } from './configuration.ts'
import type { Configuration, Entry, HardState, LogEnd, Message, Ready, Role, SnapshotMark } from './types.ts'

/**
 * Ticks are the node's unit of time: `heartbeatTicks` between heartbeats, an election after `electionTicks` to
 * twice that.
 */
export interface RaftOptions {
  readonly id: NodeId
  readonly group: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
  /** Seed of the election jitter and of the first read-index number: a fresh one at every start of the process. */
  readonly seed: number
  readonly appendBytesMax: number
  /** Append requests to one peer without an answer. */
  readonly inflightMax: number
  /** Recent entries kept in memory, in bytes; older ones are asked for with a LogRead. */
  readonly windowBytesMax: number
  /** Bytes proposed and not yet committed; past it proposals are refused as overloaded. */
  readonly uncommittedBytesMax: number
}

/** What was durable when the node started. */
export interface RaftRestore {
  readonly hardState: HardState
  /** The log's base: the entry just before the first one that is kept, {0,0,0} for a log from the start. */
  readonly base: LogEnd
  readonly end: LogEnd
  /**
   * The newest entries, ending at `end`. May be fewer than the log holds, but then the oldest one is at or below
   * max(hardState.commit, applied): what may yet be cut has to be known, and where it is attached.
   */
  readonly recent: readonly Entry[]
  /** Every configuration in the log above the base, oldest first, and the one at the base. */
  readonly configurations: readonly { index: number; configuration: Configuration }[]
  /** Applied already (durable applied index of the state machine); `committed` starts after it. */
  readonly applied: number
  /** The end of the log before a tail was cut at start-up: until the commit index passes it, votes are held back. */
  readonly cutEnd: number | undefined
}

export type ProposeResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | {
      readonly ok: false
      readonly reason: 'not-leader' | 'overloaded' | 'transferring' | 'change-in-progress' | 'not-a-voter'
    }

/** What a node is at this moment, for status and for whoever checks it from outside: live, and only to be read. */
export interface RaftView {
  readonly id: NodeId
  readonly role: Role
  readonly term: number
  readonly vote: NodeId
  /** 0n when unknown. */
  readonly leader: NodeId
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly lastIndex: number
  readonly durableIndex: number
  /** Term and vote as the disk has them. */
  readonly durableState: HardState
  readonly configuration: Configuration
  /** The configurations of the log that can still count, oldest first; the last one is `configuration`. */
  readonly configurations: readonly PlacedConfiguration[]
  /** Index, term and chain of the entry at `index`, where memory knows it. */
  endAt(index: number): LogEnd | undefined
  /** What each peer has. Leader only, else empty. */
  progress(): ReadonlyMap<NodeId, PeerProgress>
}

/** The consensus rules of one group on one node: inputs change state, `ready` takes what follows from them. */
export interface RaftNode extends RaftView {
  /** True once a leader has committed an entry of its own term: it may serve reads and leases. */
  readonly isSettledLeader: boolean

  tick(): void
  step(message: Message): void
  /** Adds commands to the log, one entry a payload; the index is that of the first. Leader only. */
  propose(payloads: readonly Uint8Array[]): ProposeResult
  /** Starts a configuration change (joint where needed); it is over when a configuration without `outgoing` commits. */
  proposeConfiguration(change: ConfigurationChange): ProposeResult
  /** Asks for a read index; answered by a ReadState or a readFailure with the same number. Numbers are never reused. */
  readIndex(request: number): void
  transferLeadership(to: NodeId): ProposeResult
  /** This node asks to give up leadership (shutdown, full disk): transfers to the most caught-up voter. */
  resign(): void
  /** The operation is durable, and all before it. Gives the messages that waited for that: they may leave now. */
  storageCompleted(sequence: number): readonly Message[]
  /** Answer to a LogRead. Empty `entries`: the log no longer has them, the peer needs a snapshot. */
  entriesRead(read: { to: NodeId; entries: readonly Entry[]; previous: LogEnd | undefined }): void
  /** A snapshot announced by `installSnapshot` is complete and checked on this node. */
  snapshotReceived(snapshot: SnapshotMark): void
  snapshotSent(to: NodeId, result: 'delivered' | 'failed', end: LogEnd): void
  peerUnreachable(id: NodeId): void
  /**
   * Of all connections with this peer, in both directions, none is left. Where it leads, votes are no longer refused for its
   * sake; this node asks for none sooner than it would have.
   */
  peerDisconnected(id: NodeId): void
  /** Nor can a new connection be made: nothing runs there. Where it leads, this node asks for pre-votes at once. */
  peerDown(id: NodeId): void
  /** State up to `index` is applied here: entries below may leave the window, reads may be served. */
  applied(index: number): void
  /**
   * The state machine has no state any more. Nothing is handed out to apply until a snapshot at or above the base of the
   * log was received and installed; then it goes on from there. Log, votes and acknowledgements are not touched.
   */
  stateLost(): void
  /** The log before and including `base` was released from disk after a snapshot. */
  released(base: LogEnd): void
  hasReady(): boolean
  ready(): Ready
}

export interface PeerProgress {
  readonly match: number
  readonly next: number
  readonly state: 'probe' | 'replicate' | 'snapshot'
  /** Appends without an answer, at most `inflightMax`. */
  readonly inflight: number
  /** Ticks since the last answer. */
  readonly silentTicks: number
  readonly isLearner: boolean
}

export interface ConfigurationChange {
  readonly voters: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly context: Uint8Array
}
