import type { NodeId } from '../base/index.ts'

/** What an entry is. The numbers are part of the log format. */
export const entryKind = { noop: 0, command: 1, configuration: 2 } as const
export type EntryKind = (typeof entryKind)[keyof typeof entryKind]

/** One entry of a group's replicated log. All but `payload` is small; the payload is never changed. */
export interface Entry {
  readonly index: number
  readonly term: number
  readonly kind: EntryKind
  readonly payload: Uint8Array
  /** CRC-32C of the payload, computed once where the entry is born and checked wherever it is read. */
  readonly payloadChecksum: number
  /** Checksum chain over the replicated fields of this and all earlier entries: equal on all replicas. */
  readonly chain: number
}

/** Where a log ends or a snapshot stands: enough to compare two replicas. */
export interface LogEnd {
  readonly index: number
  readonly term: number
  readonly chain: number
}

/** Must be durable before a message of its term or a vote leaves. `vote` is 0n when none was cast. */
export interface HardState {
  readonly term: number
  readonly vote: NodeId
  /** A lower bound of the commit index; never ahead of what was durable with it. */
  readonly commit: number
}

/**
 * Who counts. Outside a change `outgoing` is empty. During a joint change both `voters` and `outgoing` must agree.
 * `context` is opaque to raft and travels with the entry that brought the configuration about (the node keeps
 * names and addresses of the members there).
 */
export interface Configuration {
  readonly voters: readonly NodeId[]
  readonly outgoing: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly context: Uint8Array
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader'

/** A snapshot's place in the log; its bytes are the node's matter. */
export interface SnapshotMark {
  readonly end: LogEnd
  readonly configuration: Configuration
  /** Index of the entry that brought `configuration` about. */
  readonly configurationIndex: number
}

// ---- messages between nodes of one group -------------------------------------------------------------------

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
  readonly term: number
}
/** `pre`: asks whether a vote would be given, changes nothing. `transfer`: a leader asked for it; skip the lease. */
export interface VoteRequest extends Envelope {
  readonly kind: 'voteRequest'
  readonly pre: boolean
  readonly transfer: boolean
  readonly end: LogEnd
}
export interface VoteResponse extends Envelope {
  readonly kind: 'voteResponse'
  readonly pre: boolean
  readonly granted: boolean
}
export interface AppendRequest extends Envelope {
  readonly kind: 'appendRequest'
  readonly previous: LogEnd
  readonly entries: readonly Entry[]
  readonly commit: number
}
/**
 * Accepted: `index` is the highest durable index known to match. Refused: `index` is that of the `previous` that
 * was refused and `hint` is where the follower can match. `forget`: the follower cannot confirm what the leader
 * believes of it (it restarted, or lost a tail at its start); beyond `hint` nothing of it holds.
 */
export interface AppendResponse extends Envelope {
  readonly kind: 'appendResponse'
  readonly accepted: boolean
  readonly index: number
  readonly hint: LogEnd
  readonly forget: boolean
}
/**
 * `round` names the leadership-confirmation round. `context` is the node's (state digest), opaque to raft: it is
 * empty here, and the node puts its own in when it sends.
 */
export interface Heartbeat extends Envelope {
  readonly kind: 'heartbeat'
  readonly commit: number
  readonly round: number
  readonly context: Uint8Array
}
export interface HeartbeatResponse extends Envelope {
  readonly kind: 'heartbeatResponse'
  readonly round: number
  readonly context: Uint8Array
}
/** A follower asks its leader for a read index on behalf of its readers. Each attempt has a new `request`. */
export interface ReadIndexRequest extends Envelope {
  readonly kind: 'readIndexRequest'
  readonly request: number
}
export interface ReadIndexResponse extends Envelope {
  readonly kind: 'readIndexResponse'
  readonly request: number
  readonly index: number
}
/** The leader asks the target of a transfer to campaign at once. */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeoutNow'
}
/** Announces a snapshot; the bytes follow outside raft. Answered by an appendResponse once it is installed. */
export interface InstallSnapshot extends Envelope {
  readonly kind: 'installSnapshot'
  readonly snapshot: SnapshotMark
}
export type Message =
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | Heartbeat
  | HeartbeatResponse
  | ReadIndexRequest
  | ReadIndexResponse
  | TimeoutNow
  | InstallSnapshot

// ---- outputs -----------------------------------------------------------------------------------------------

/**
 * One step of the group's storage queue. The node performs the operations strictly in order (it may merge
 * neighbours into one disk write) and reports each with `storageCompleted(sequence)`. Within an operation: hard
 * state first, then truncation, then append. An operation that changes nothing only keeps the order for messages that wait.
 */
export type StorageOperation = WriteOperation | InstallOperation
export interface WriteOperation {
  readonly kind: 'write'
  readonly sequence: number
  readonly hardState: HardState | undefined
  /** Entries with a higher index are removed before the append; undefined when nothing is cut. */
  readonly truncateAfter: number | undefined
  readonly entries: readonly Entry[]
  /** The end of the log once this operation is durable. A completion counts only if the log still has it. */
  readonly end: LogEnd
}
/** Replace state and log by a snapshot whose bytes the node holds complete and checked. */
export interface InstallOperation {
  readonly kind: 'install'
  readonly sequence: number
  /** Only the state is replaced: the log has the snapshot's end and stays, with all that follows. */
  readonly keepsLog: boolean
  readonly hardState: HardState | undefined
  readonly snapshot: SnapshotMark
  readonly end: LogEnd
}

/**
 * Read entries [first, end) from the log, at most about `bytesMax` (at least one), and hand them to `entriesRead`.
 * `to` is the lagging peer they are for, or this node itself when they are to be applied here after a restart.
 */
export interface LogRead {
  readonly to: NodeId
  readonly first: number
  readonly end: number
  readonly bytesMax: number
}

export interface ReadState {
  readonly request: number
  readonly index: number
}

/**
 * This replica and `peer` hold an entry of the same index and term with different histories, or `peer` sent an
 * entry that does not continue its own. One of the two is damaged; nothing of the message was taken.
 */
export interface Corruption {
  readonly peer: NodeId
  readonly index: number
  readonly term: number
  /** What the chain is here, or what it had to be. */
  readonly chain: number
  readonly peerChain: number
}

export interface RoleChange {
  readonly role: Role
  readonly term: number
  /** 0n while none is known. */
  readonly leader: NodeId
  /** In plain words, for the one log line a role change. */
  readonly cause: string
}

/** Everything that happened since the last call of `ready`. Taking it hands it over. */
export interface Ready {
  readonly roleChanges: readonly RoleChange[]
  readonly storage: readonly StorageOperation[]
  /** May leave at once. */
  readonly messages: readonly Message[]
  /** Committed and locally durable: apply in order. */
  readonly committed: readonly Entry[]
  /** The leadership was confirmed after the request arrived: serve the read once `index` is applied. */
  readonly readStates: readonly ReadState[]
  /** These requests will get no answer (leadership lost, no leader): refuse or ask again with a new number. */
  readonly readFailures: readonly number[]
  readonly logReads: readonly LogRead[]
  /** Peers that need a snapshot; the node sends one and reports with `snapshotSent`. */
  readonly snapshotsWanted: readonly NodeId[]
  /** The configuration that counts from now on (set on append, on truncation and on install). */
  readonly configuration: Configuration | undefined
  /** The first evidence of damage since the last call; the node must act on it. */
  readonly corruption: Corruption | undefined
}
