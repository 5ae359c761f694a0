import type { ErrorCode, LeaseId } from '../base/index.ts'

/** One version of a key. Revisions and version are counters that start at 1; lease 0n is none. */
export interface KeyValue {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: LeaseId
}

/** A refusal is a value here: equal on all replicas, and it changed nothing. */
export interface Refusal {
  readonly kind: 'refused'
  readonly code: ErrorCode
  /** The facts, for a human: limits, revisions, ids. */
  readonly detail: string
}

// ---- operations ----------------------------------------------------------------------------------------------

/** `rangeEnd` empty: the single key; one zero byte: every key from `key` on; else half-open [key, rangeEnd). */
export interface KeyInterval {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
}
export type SortOrder = 'none' | 'ascend' | 'descend'
export type SortTarget = 'key' | 'version' | 'create' | 'mod' | 'value'
/** 0 means "not asked for" in limit, revision and the four filters. */
export interface RangeOperation extends KeyInterval {
  readonly kind: 'range'
  readonly limit: number
  readonly revision: number
  readonly sortOrder: SortOrder
  readonly sortTarget: SortTarget
  readonly keysOnly: boolean
  readonly countOnly: boolean
  readonly modRevisionMin: number
  readonly modRevisionMax: number
  readonly createRevisionMin: number
  readonly createRevisionMax: number
}
export interface PutOperation {
  readonly kind: 'put'
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly lease: LeaseId
  readonly previous: boolean
  readonly ignoreValue: boolean
  readonly ignoreLease: boolean
}
export interface DeleteRangeOperation extends KeyInterval {
  readonly kind: 'deleteRange'
  readonly previous: boolean
}
export type CompareTarget = 'version' | 'create' | 'mod' | 'value' | 'lease'
export type CompareResult = 'equal' | 'greater' | 'less' | 'notEqual'
export interface Compare extends KeyInterval {
  readonly target: CompareTarget
  readonly result: CompareResult
  /** For version, create and mod. */
  readonly number: number
  readonly value: Uint8Array
  readonly lease: LeaseId
}
export interface TransactionOperation {
  readonly kind: 'transaction'
  readonly compare: readonly Compare[]
  readonly success: readonly Operation[]
  readonly failure: readonly Operation[]
}
export type Operation = RangeOperation | PutOperation | DeleteRangeOperation | TransactionOperation

// ---- commands: what goes through the log ----------------------------------------------------------------------

export interface CompactCommand {
  readonly kind: 'compact'
  readonly revision: number
}
export interface LeaseGrantCommand {
  readonly kind: 'leaseGrant'
  /** Chosen by client or proposing node; never 0n. */
  readonly id: LeaseId
  readonly ttlSeconds: number
}
export interface LeaseRevokeCommand {
  readonly kind: 'leaseRevoke'
  readonly id: LeaseId
  /** True when the leader found it expired (then unknown is no refusal worth logging). */
  readonly expired: boolean
}
export interface LeaseCheckpointCommand {
  readonly kind: 'leaseCheckpoint'
  readonly leases: readonly { id: LeaseId; remainingSeconds: number }[]
}
export type WriteCommand =
  | PutOperation
  | DeleteRangeOperation
  | TransactionOperation
  | CompactCommand
  | LeaseGrantCommand
  | LeaseRevokeCommand
  | LeaseCheckpointCommand

/** What makes a retry the same request: answers are kept in the state until `answeredBelow` passes them. */
export interface SessionStamp {
  readonly session: LeaseId
  readonly request: number
  readonly answeredBelow: number
}
/** Encoded by `encodeCommand`; docs/formats/command.md has every byte. */
export interface Command {
  readonly session: SessionStamp | undefined
  readonly write: WriteCommand
}

// ---- results ---------------------------------------------------------------------------------------------------

export interface RangeResult {
  readonly kind: 'range'
  readonly pairs: readonly KeyValue[]
  readonly count: number
  readonly more: boolean
}
/** Takes the pairs of a range that is being read, front to back, and makes bytes of them. All takers make the same of a pair. */
export interface RangeTaker {
  /** Bytes that it has made so far. */
  readonly size: number
  /** The bytes of the pair are good until this returns: what is to be kept is copied. */
  add(pair: KeyValue): void
  /** A copy of what it made, half-open: of the pairs that were added while its size went from `start` to `end`. */
  copy(start: number, end: number): Uint8Array
  /** Takes a copy in place of the pairs it was made of. Nobody changes it any more. */
  addBytes(bytes: Uint8Array): void
}
export interface PutResult {
  readonly kind: 'put'
  readonly previous: KeyValue | undefined
  /** Revision inside a transaction at which this operation saw or left the store. */
  readonly revision: number
}
export interface DeleteRangeResult {
  readonly kind: 'deleteRange'
  readonly deleted: number
  readonly previous: readonly KeyValue[]
  readonly revision: number
}
export interface TransactionResult {
  readonly kind: 'transaction'
  readonly succeeded: boolean
  readonly results: readonly OperationResult[]
  readonly revision: number
}
export type OperationResult =
  | (RangeResult & { readonly revision: number })
  | PutResult
  | DeleteRangeResult
  | TransactionResult
export interface LeaseGrantResult {
  readonly kind: 'leaseGrant'
  readonly id: LeaseId
  readonly ttlSeconds: number
}
export interface DoneResult {
  readonly kind: 'done'
}
/** The answer of an earlier execution that was too large to keep: it was done at that revision. */
export interface DoneBeforeResult {
  readonly kind: 'doneBefore'
}
/** What `apply` returns for every command. `revision` is the store's revision after it (header.revision). */
export interface Applied {
  readonly revision: number
  readonly result:
    | PutResult
    | DeleteRangeResult
    | TransactionResult
    | LeaseGrantResult
    | DoneResult
    | DoneBeforeResult
    | Refusal
}

// ---- watching --------------------------------------------------------------------------------------------------

export interface WatchEvent {
  readonly kind: 'put' | 'delete'
  /** Of a delete only key and modRevision are set. */
  readonly pair: KeyValue
  readonly previous: KeyValue | undefined
}
export interface WatchCreate extends KeyInterval {
  /** 0: from the next change on. */
  readonly startRevision: number
  /** 0: the server chooses. */
  readonly watchId: number
  readonly previous: boolean
  readonly noPut: boolean
  readonly noDelete: boolean
  readonly progressNotify: boolean
  readonly fragment: boolean
}
/** What a stream has to tell its client, in order. `watchId` -1 only for a progress answer about all watchers. */
export type WatchOutput =
  | { readonly kind: 'created'; readonly watchId: number; readonly revision: number }
  | {
      readonly kind: 'createRefused'
      readonly watchId: -1
      readonly reason: string
      readonly revision: number
    }
  | {
      readonly kind: 'events'
      readonly watchId: number
      readonly revision: number
      readonly events: readonly WatchEvent[]
      /** More of the same revision follows in the next output (only for watchers that asked for fragments). */
      readonly fragment: boolean
    }
  | { readonly kind: 'progress'; readonly watchId: number; readonly revision: number }
  | {
      readonly kind: 'canceled'
      readonly watchId: number
      readonly revision: number
      readonly reason: string
    }
  | { readonly kind: 'compacted'; readonly watchId: number; readonly compactRevision: number }

/** All watchers of one client stream. Pulled by the door as fast as the client reads, so memory stays bounded. */
export interface WatchStream {
  create(request: WatchCreate): void
  cancel(watchId: number): void
  /** Answered, once all watchers of the stream are caught up, by a progress output with watchId -1. */
  requestProgress(): void
  /** The periodic progress of watchers that asked for it and had nothing to tell since the last call. */
  notifyProgress(): void
  /** The next output, or undefined when nothing waits; then `onReady` is called once there is. */
  next(bytesMax: number): WatchOutput | undefined
  close(): void
}

// ---- leases ----------------------------------------------------------------------------------------------------

export interface LeaseView {
  readonly id: LeaseId
  readonly grantedSeconds: number
  /** Whole seconds left; only the leader knows, undefined elsewhere. */
  readonly remainingSeconds: number | undefined
  readonly keys: readonly Uint8Array[]
}

// ---- the core --------------------------------------------------------------------------------------------------

/**
 * Reads see the applied state of this replica; whoever needs linearizability passes a read barrier first. While a
 * snapshot takes its place they throw `leader-changed`, and so does the creation of a watcher.
 */
export interface ConsistentCoreReads {
  /** Store revision: 1 when empty, plus one per changing command. */
  readonly revision: number
  readonly compactRevision: number
  /**
   * A range at the newest or an older revision; yields between slices so that the caller can let others run. When a taker
   * is given, it is handed the pairs one by one, in their order, or the bytes of many at once, and the result has none.
   */
  range(operation: RangeOperation, taker?: RangeTaker): Generator<void, RangeResult | Refusal, void>
  /** A transaction of ranges only (at any depth 1): needs no log entry. */
  readTransaction(operation: TransactionOperation): Generator<void, TransactionResult | Refusal, void>
  /** Hash over keys and versions up to `revision` (0: now), equal on all replicas whatever was compacted when. */
  hash(
    revision: number,
  ): Generator<void, { hash: number; hashRevision: number; compactRevision: number } | Refusal, void>
  /** `onReady` is called, in a turn of the applier, when a drained stream has something to tell again. */
  openWatchStream(onReady: () => void): WatchStream
  lease(id: LeaseId, nowMs: number): LeaseView | undefined
  leaseIds(): readonly LeaseId[]
  /**
   * Leader only, after a quorum round that began after the request: full TTL from `nowMs`; 0: unknown. Errors that pass:
   * `not-leader` while the clocks do not run, `leader-changed` while a revoke of the lease is on its way.
   */
  renewLease(id: LeaseId, nowMs: number): number
  /** Whether a renewal may be told only once a checkpoint of the lease, written or on its way, is set back to 0. */
  isCheckpointed(id: LeaseId): boolean
  /** `rangeCacheBytes`: of answers that are kept ready. */
  readonly counts: {
    leases: number
    sessions: number
    watchers: number
    watchStreams: number
    rangeCacheBytes: number
  }
}

/**
 * Duties of the leader that end in commands. Deadlines live only here, on the monotonic clock, never in the state.
 */
export interface LeaderDuties {
  /** Leadership is settled: all leases get their full (or checkpointed) time from now on. */
  start(nowMs: number): void
  stop(): void
  /** The event loop was late by more than an election timeout: expire nothing until `start` is called again. */
  suspend(): void
  /** Commands to propose now: revokes of expired leases (bounded a call), checkpoints. */
  tick(nowMs: number): readonly Uint8Array[]
  /** A command of `tick` could not be proposed: offer it again later. */
  refused(command: Uint8Array): void
}
