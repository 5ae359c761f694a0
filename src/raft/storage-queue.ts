import { assert, type NodeId } from '../base/index.ts'
import type { RaftLog } from './log.ts'
import type { HardState, InstallOperation, Message, SnapshotMark, StorageOperation } from './types.ts'

/** Entries after which the commit index is written down again although term and vote stand. */
const commitLagMax = 1024

const nothing: readonly Message[] = []

/** An operation under way. `credit` is how far it still makes the present log durable. */
interface InFlight {
  readonly sequence: number
  readonly hardState: HardState | undefined
  credit: number
  /** Waits for it. */
  after: readonly Message[]
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

  /**
   * A snapshot replaced the log. Only up to `commitIndex`, where the old log agrees with it, anything counts; what waits to
   * be acknowledged beyond that is not, as the answer to the snapshot says more.
   */
  installed(snapshot: SnapshotMark, commitIndex: number): void {
    assert(snapshot.end.index > commitIndex, 'a snapshot replaces an older state')
    this.#install = snapshot
    this.#restore = undefined
    this.#truncateAfter = undefined
    this.#writtenIndex = snapshot.end.index
    this.#limitCredit(commitIndex)
    for (const operation of this.#inFlight) {
      operation.after = operation.after.filter((message) => !acknowledges(message, commitIndex))
    }
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

  /** The next operations for the disk; `after` waits for the last that it has to wait for. */
  take(log: RaftLog, state: HardState, after: readonly Message[]): StorageOperation[] {
    const restore = this.#restore
    if (restore === undefined) return this.#takeWrites(log, state, after)
    // Last: no vote and no acknowledgement waits for it.
    const isWriteDue = after.length > 0 || this.#isWriteDue(log, state.term, state.vote)
    const writes = isWriteDue ? this.#takeWrites(log, state, after) : []
    this.#restore = undefined
    this.#restoring = this.#begin({ hardState: undefined, credit: 0, after: nothing })
    const install: InstallOperation = {
      kind: 'install',
      sequence: this.#restoring,
      keepsLog: true,
      hardState: undefined,
      snapshot: restore,
      end: restore.end,
    }
    return [...writes, install]
  }

  #takeWrites(log: RaftLog, state: HardState, after: readonly Message[]): StorageOperation[] {
    const hasEntries = log.lastIndex > this.#writtenIndex
    const install = this.#takeInstall(state, hasEntries ? nothing : after)
    if (install !== undefined && !hasEntries) return [install]
    const hardState = install === undefined ? this.#hardStateDue(state, hasEntries) : undefined
    const end = log.end()
    const write: StorageOperation = {
      kind: 'write',
      sequence: this.#begin({ hardState, credit: end.index, after }),
      hardState,
      truncateAfter: this.#truncateAfter,
      entries: hasEntries
        ? log.slice(this.#writtenIndex + 1, log.lastIndex + 1, Number.POSITIVE_INFINITY)
        : [],
      end,
    }
    this.#truncateAfter = undefined
    this.#writtenIndex = log.lastIndex
    return install === undefined ? [write] : [install, write]
  }

  /** Operations complete in order, so one completion stands for all before it. Gives what may be said from now on. */
  completed(sequence: number): readonly Message[] {
    const first = this.#inFlight[0]
    assert(first !== undefined && sequence >= first.sequence, 'a completed operation was under way')
    assert(sequence <= this.#sequence, 'a completed operation was handed out')
    let free = nothing
    while (this.#inFlight[0] !== undefined && this.#inFlight[0].sequence <= sequence) {
      const { hardState, credit, after } = this.#inFlight.shift() as InFlight
      if (hardState !== undefined) this.#durableHardState = hardState
      this.#durableIndex = Math.max(this.#durableIndex, credit)
      free = free.length === 0 ? after : [...free, ...after]
    }
    if (sequence >= this.#restoring) this.#restoring = 0
    assert(this.#durableIndex <= this.#writtenIndex, 'only what was written is durable')
    return free
  }

  #takeInstall(state: HardState, after: readonly Message[]): InstallOperation | undefined {
    const snapshot = this.#install
    if (snapshot === undefined) return undefined
    assert(this.#truncateAfter === undefined, 'nothing is cut from a log that is replaced')
    this.#install = undefined
    const hardState = this.#hardStateDue(state, false)
    const { end } = snapshot
    const sequence = this.#begin({ hardState, credit: end.index, after })
    return { kind: 'install', sequence, keepsLog: false, hardState, snapshot, end }
  }

  #begin(operation: Omit<InFlight, 'sequence'>): number {
    this.#sequence++
    if (operation.hardState !== undefined) this.#issued = operation.hardState
    this.#inFlight.push({ sequence: this.#sequence, ...operation })
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

/** Whether the message says that entries beyond `index` are durable. */
function acknowledges(message: Message, index: number): boolean {
  return message.kind === 'appendResponse' && message.accepted && message.index > index
}
