import type { ClusterId, NodeId } from '../base/index.ts'
import type { Disk, Logger, Maybe, Time } from '../io/index.ts'
import type { Configuration, Entry, HardState, LogEnd } from '../raft/index.ts'

export interface WriteAheadLogOptions {
  readonly disk: Disk
  readonly time: Time
  readonly logger: Logger
  /** Default: never. */
  readonly maybe?: Maybe
  readonly directory: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** A segment is preallocated to this size and closed when the next batch does not fit. */
  readonly segmentBytesMax: number
  /** Largest payload of one entry. */
  readonly entryBytesMax: number
}

/** What a group had on disk when the log was opened. All of it is durable (rewritten and synced where in doubt). */
export interface RecoveredGroup {
  readonly group: number
  readonly hardState: HardState
  /** The entry just before the first one kept. */
  readonly base: LogEnd
  readonly end: LogEnd
  /** Set when a tail that may have been acknowledged was cut: the highest index it can have held. */
  readonly cutEnd: number | undefined
  /** Configuration entries above the base, oldest first. */
  readonly configurations: readonly { index: number; configuration: Configuration }[]
}

/**
 * One part of a group's storage queue, in the order hard state, truncation, entries. The entries follow on what was
 * written before, none has a term above the one of the hard state, and nothing up to the base is cut. A new term or vote
 * is durable when the write resolves; a new commit index alone is saved later, and only as far as it is durable.
 */
export interface LogWrite {
  readonly group: number
  readonly hardState: HardState | undefined
  readonly truncateAfter: number | undefined
  readonly entries: readonly Entry[]
}

/**
 * The journal of one disk: the records of all groups, each tagged with its group. Writes are taken in order; what
 * gathers while a write is under way becomes the next single durable write (group commit).
 * A failed write is final: every later call rejects with `disk-failed`. Only a full disk is survived, see `write`.
 */
export interface WriteAheadLog {
  readonly recovered: readonly RecoveredGroup[]
  /**
   * Resolves when durable. Resolves in the order of the calls. `disk-full`: neither this nor anything that waited behind
   * it was taken; what follows on it is refused as well until it was written again.
   */
  write(write: LogWrite): Promise<void>
  /**
   * Entries [first, end) as far as they are durable, at least one, then until `bytesMax`. Errors: `log-released` when
   * first <= base, `log-index-out-of-range` when first is behind the durable end, `data-damaged`.
   */
  read(
    group: number,
    first: number,
    end: number,
    bytesMax: number,
  ): Promise<{ previous: LogEnd; entries: Entry[] }>
  /** After a snapshot at `base` is durable: entries up to base.index may go. Frees whole segments in the background. */
  release(group: number, base: LogEnd): Promise<void>
  /** After a snapshot was installed: the group's log is empty and goes on after `base`. Durable when resolved. */
  reset(group: number, base: LogEnd, hardState: HardState | undefined): Promise<void>
  /** For status and metrics. */
  readonly gauges: LogGauges
  close(): Promise<void>
}

export interface LogGauges {
  readonly segments: number
  readonly bytes: number
  readonly durableWrites: number
  readonly recordsWritten: number
  readonly queuedBytes: number
  /** Duration of the last durable write in milliseconds. */
  readonly lastWriteMs: number
}
