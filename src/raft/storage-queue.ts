import { assert, type NodeId } from '../base/index.ts'
import type { RaftLog } from './log.ts'
import type { HardState, InstallOperation, Message, SnapshotMark, StorageOperation } from './types.ts'

/** Entries after which the commit index is written down again although term and vote stand. */
const commitLagMax = 1024

/** An operation under way. `credit` is how far it still makes the present log durable. */
interface InFlight {
  readonly sequence: number
  readonly hardState: HardState | undefined
  credit: number
}

/**
 * The group's one queue to the disk: what has been handed out, what of it is durable.
 *
 * An operation under way is worth only what the log still contains of it. Comparing its end with the log when it
 * completes is not enough: an entry may be cut and come back while the cut is still under way, and would then be
 * counted although the disk is about to lose it for a moment. So each cut lowers the credit of what is under way.
 */
export class StorageQueue {
  #sequence = 0
  #inFlight: InFlight[] = []
  #issued: HardState
  #durableHardState: HardState
  #writtenIndex: number
  #durableIndex: number
  #truncateAfter: number | undefined
  #install: SnapshotMark | undefined
  /** Replaces the state only. */
  #restore: SnapshotMark | undefined
  /** Sequence of the last operation that replaces the state only; 0 once it is through. */
  #restoring = 0

  constructor(hardState: HardState, durableIndex: number) {
    this.#issued = hardState
    this.#durableHardState = hardState
    this.#writtenIndex = durableIndex
    this.#durableIndex = durableIndex
  }

  /** Highest index of the present log that is known to be durable here. */
  get durableIndex(): number {
    return this.#durableIndex
  }

  get durableState(): HardState {
    return this.#durableHardState
  }

  isDurable(term: number, vote: NodeId): boolean {
    return this.#durableHardState.term === term && this.#durableHardState.vote === vote
  }

  /** The log was cut: the disk has to follow, and nothing under way counts beyond `index` any more. */
  truncated(index: number): void {
    if (index < this.#writtenIndex) {
      this.#truncateAfter = Math.min(index, this.#truncateAfter ?? index)
      this.#writtenIndex = index
    }
    this.#limitCredit(index)
  }

  /** A snapshot replaced the log. Only up to `commitIndex`, where the old log agrees with it, anything counts. */
  installed(snapshot: SnapshotMark, commitIndex: number): void {
    assert(snapshot.end.index > commitIndex, 'a snapshot replaces an older state')
    this.#install = snapshot
    this.#restore = undefined
    this.#truncateAfter = undefined
    this.#writtenIndex = snapshot.end.index
    this.#limitCredit(commitIndex)
  }

  /** A committed snapshot replaces the state and leaves the log alone. */
  restored(snapshot: SnapshotMark): void {
    this.#restore = snapshot
  }

  /** The state is being replaced, or is about to be. */
  get isRestoring(): boolean {
    return this.#restore !== undefined || this.#restoring > 0
  }

  isDue(log: RaftLog, term: number, vote: NodeId): boolean {
    return this.#restore !== undefined || this.#isWriteDue(log, term, vote)
  }

  #isWriteDue(log: RaftLog, term: number, vote: NodeId): boolean {
    if (this.#install !== undefined || this.#truncateAfter !== undefined) return true
    return log.lastIndex > this.#writtenIndex || this.#issued.term !== term || this.#issued.vote !== vote
  }

  /** The next operations for the disk; `after` rides on the last that it has to wait for. */
  take(log: RaftLog, state: HardState, after: readonly Message[]): StorageOperation[] {
    const restore = this.#restore
    if (restore === undefined) return this.#takeWrites(log, state, after)
    // Last: no vote and no acknowledgement waits for it.
    const isWriteDue = after.length > 0 || this.#isWriteDue(log, state.term, state.vote)
    const writes = isWriteDue ? this.#takeWrites(log, state, after) : []
    this.#restore = undefined
    this.#restoring = this.#begin(undefined, 0)
    const install: InstallOperation = {
      kind: 'install',
      sequence: this.#restoring,
      keepsLog: true,
      hardState: undefined,
      snapshot: restore,
      end: restore.end,
      after: [],
    }
    return [...writes, install]
  }

  #takeWrites(log: RaftLog, state: HardState, after: readonly Message[]): StorageOperation[] {
    const install = this.#takeInstall(state)
    const hasEntries = log.lastIndex > this.#writtenIndex
    if (install !== undefined && !hasEntries) return [{ ...install, after }]
    const hardState = install === undefined ? this.#hardStateDue(state, hasEntries) : undefined
    const end = log.end()
    const write: StorageOperation = {
      kind: 'write',
      sequence: this.#begin(hardState, end.index),
      hardState,
      truncateAfter: this.#truncateAfter,
      entries: hasEntries
        ? log.slice(this.#writtenIndex + 1, log.lastIndex + 1, Number.POSITIVE_INFINITY)
        : [],
      end,
      after,
    }
    this.#truncateAfter = undefined
    this.#writtenIndex = log.lastIndex
    return install === undefined ? [write] : [install, write]
  }

  /** Operations complete in order, so one completion stands for all before it. */
  completed(sequence: number): void {
    const first = this.#inFlight[0]
    assert(first !== undefined && sequence >= first.sequence, 'a completed operation was under way')
    assert(sequence <= this.#sequence, 'a completed operation was handed out')
    while (this.#inFlight[0] !== undefined && this.#inFlight[0].sequence <= sequence) {
      const { hardState, credit } = this.#inFlight.shift() as InFlight
      if (hardState !== undefined) this.#durableHardState = hardState
      this.#durableIndex = Math.max(this.#durableIndex, credit)
    }
    if (sequence >= this.#restoring) this.#restoring = 0
    assert(this.#durableIndex <= this.#writtenIndex, 'only what was written is durable')
  }

  #takeInstall(state: HardState): InstallOperation | undefined {
    const snapshot = this.#install
    if (snapshot === undefined) return undefined
    assert(this.#truncateAfter === undefined, 'nothing is cut from a log that is replaced')
    this.#install = undefined
    const hardState = this.#hardStateDue(state, false)
    const { end } = snapshot
    const sequence = this.#begin(hardState, end.index)
    return { kind: 'install', sequence, keepsLog: false, hardState, snapshot, end, after: [] }
  }

  /** `credit`: how far the operation makes the log durable. */
  #begin(hardState: HardState | undefined, credit: number): number {
    this.#sequence++
    if (hardState !== undefined) this.#issued = hardState
    this.#inFlight.push({ sequence: this.#sequence, hardState, credit })
    return this.#sequence
  }

  #hardStateDue(state: HardState, hasEntries: boolean): HardState | undefined {
    if (state.term !== this.#issued.term || state.vote !== this.#issued.vote) return state
    return hasEntries && state.commit - this.#issued.commit >= commitLagMax ? state : undefined
  }

  #limitCredit(index: number): void {
    for (const operation of this.#inFlight) operation.credit = Math.min(operation.credit, index)
    this.#durableIndex = Math.min(this.#durableIndex, index)
  }
}
