import type { Batch } from '../store/index.ts'

/** A committed command, as the state machine sees it. */
export interface CommittedCommand {
  readonly index: number
  readonly term: number
  /** Wall clock of the leader that took it in, in milliseconds: the only time a state machine sees. */
  readonly timeMs: number
  readonly payload: Uint8Array
}

/**
 * What a group's log drives. Pure and deterministic: the same commands in the same order give the same state, the
 * same results and the same digest on every replica. The node calls it from one place, in index order, once each.
 */
export interface StateMachine<Result> {
  /** The newest version of commands that it understands; at least 1. */
  readonly commandVersion: number
  /** The last index applied; 0 when fresh. Restored from the store on open. */
  readonly appliedIndex: number
  /** Term of that entry. */
  readonly appliedTerm: number
  /** Chained digest of everything applied up to `appliedIndex`: equal on all replicas. */
  readonly digest: number
  /** Applies one command. Refusals are results, never exceptions: what throws here stops the node. */
  apply(command: CommittedCommand): Result
  /** An entry without a command (a leader's no-op, a configuration change): only moves the applied index. */
  applyNothing(entry: { index: number; term: number }): void
  /** Operations and bytes applied and not yet durable in the store. */
  readonly pending: { operations: number; bytes: number }
  /** The next batch for the store's backend and the applied index it makes durable, or undefined. */
  takeBatch(): { batch: Batch; appliedIndex: number } | undefined
  flushed(): void
  /**
   * A consistent cut of the state at `appliedIndex` as a sequence of chunks, read lazily while commands go on being
   * applied. Every chunk is at most about 64 KiB. `done` must be called at the end or to give up early.
   */
  openSnapshot(): SnapshotSource
  /**
   * Starts to replace the whole state: feed every chunk in order, then `finish`. From here on nothing can be read. The
   * backend is emptied before the first chunk.
   */
  beginRestore(): SnapshotSink
  readonly leader: LeaderDuties
  /** In slices: brings into memory what it keeps there of a store that is not empty. Before all else but `verify`. */
  load(): Generator<void, void, void>
  /** In slices: reads all of the backend and says whether it holds what was written. Before anything is applied. */
  verify(): Generator<void, boolean, void>
  /** Does a slice of background work (compaction of old revisions); false when there is nothing to do. */
  maintain(): boolean
}

export interface SnapshotSource {
  readonly appliedIndex: number
  readonly appliedTerm: number
  /** The next chunk, or undefined at the end. Costs at most a few milliseconds. */
  next(): Uint8Array | undefined
  done(): void
}

export interface SnapshotSink {
  /** Keeps no part of the chunk's memory. */
  write(chunk: Uint8Array): void
  finish(): void
}

/**
 * Duties of the leader that end in commands (leases that expire). Deadlines live only here, on the monotonic clock,
 * never in the state.
 */
export interface LeaderDuties {
  /** Leadership is settled: deadlines count from now. */
  start(nowMs: number): void
  stop(): void
  /** The event loop was late by more than an election timeout: nothing may expire until `start` is called again. */
  suspend(): void
  /** Commands to propose now; a bounded number a call. */
  tick(nowMs: number): readonly Uint8Array[]
  /** A command of `tick` could not be proposed: it is offered again later. */
  refused(command: Uint8Array): void
}
