import { assert, RingQueue } from '../base/index.ts'
import type { Maybe, Time } from '../io/index.ts'
import { type Entry, entryKind, type LogEnd, type RaftNode } from '../raft/index.ts'
import type { AppliedMembers } from './applied-members.ts'
import { decodeEnvelope } from './envelope.ts'
import type { GroupLimits } from './options.ts'
import type { Proposals } from './proposals.ts'
import type { StateMachine } from './state-machine.ts'
import type { StorageQueue } from './storage-queue.ts'

/**
 * Makes what is committed part of the state, and knows where in the log the state stands.
 *
 * 1. Entries are applied in order, each once, and only when they are durable on this node.
 * 2. State, log and consensus stand at one place, unless a snapshot is about to take the state to where the others are.
 * 3. A slice ends after about a millisecond, and none begins while too much of what was applied is not in the store yet.
 *
 * Called in the group's turn; `replaced` while a snapshot is installed, when nothing is applied.
 */
export interface ApplierOptions<Result> {
  readonly raft: Pick<RaftNode, 'applied' | 'appliedIndex' | 'durableIndex'>
  readonly time: Time
  readonly limits: Pick<GroupLimits, 'pendingOperationsMax' | 'pendingBytesMax'>
  readonly maybe: Maybe
  readonly machine: Pick<StateMachine<Result>, 'appliedIndex' | 'pending' | 'apply' | 'applyNothing'>
  readonly members: Pick<AppliedMembers, 'apply'>
  readonly proposals: Pick<Proposals<Result>, 'applied'>
  readonly storage: Pick<StorageQueue, 'hasInstall'>
  /** Where the state stands at the start. */
  readonly appliedEnd: LogEnd
  /** The state holds `entry` now. */
  applied(entry: Entry): void
}

const sliceMs = 1
const clockEvery = 32

export class Applier<Result> {
  readonly #options: ApplierOptions<Result>
  /** In order. A member that comes back from far behind has hundreds of thousands of them. */
  readonly #committed = new RingQueue<Entry>(Number.MAX_SAFE_INTEGER)
  #appliedEnd: LogEnd

  constructor(options: ApplierOptions<Result>) {
    this.#options = options
    this.#appliedEnd = options.appliedEnd
  }

  /** The end of the log at the applied index. */
  get appliedEnd(): LogEnd {
    return this.#appliedEnd
  }

  /** Something is committed that the next slice can apply. */
  get hasWork(): boolean {
    return this.#committed.size > 0 && !this.#isHeld
  }

  /** `entry` is committed and durable here, and follows the one before. */
  committed(entry: Entry): void {
    this.#committed.push(entry)
  }

  /** Applies a slice of what is committed. True: the applied index moved. There has to be a state. */
  applySlice(): boolean {
    this.#checkPlace()
    const { raft, time, maybe, machine } = this.#options
    const startMs = time.monotonicMs()
    let done = 0
    for (let entry = this.#committed.peek(); entry !== undefined; entry = this.#committed.peek()) {
      if (this.#isHeld) break
      if (done > 0 && maybe('apply-slice-short')) break
      if (done % clockEvery === clockEvery - 1 && time.monotonicMs() - startMs > sliceMs) break
      this.#apply(entry)
      this.#committed.shift()
      done++
    }
    if (done > 0) raft.applied(machine.appliedIndex)
    return done > 0
  }

  /** The state is the one at `end`: what was to be applied up to there no longer is. */
  replaced(end: LogEnd): void {
    this.#forget(end.index)
    this.#appliedEnd = end
  }

  /** There is no state: what is committed is in the snapshot that brings one, or is handed out again behind it. */
  stateLost(): void {
    this.#forget(Number.POSITIVE_INFINITY)
  }

  /** The store has to take some of what was applied first. */
  get #isHeld(): boolean {
    const { machine, limits } = this.#options
    const { operations, bytes } = machine.pending
    return operations >= limits.pendingOperationsMax || bytes >= limits.pendingBytesMax
  }

  #checkPlace(): void {
    const { raft, machine, storage } = this.#options
    const { appliedIndex } = machine
    assert(appliedIndex === this.#appliedEnd.index, 'the state stands at its place in the log')
    if (storage.hasInstall) return
    assert(appliedIndex === raft.appliedIndex, 'the state stands where consensus knows it to be')
    assert(appliedIndex <= raft.durableIndex, 'what is applied is durable on this node')
  }

  #apply(entry: Entry): void {
    const { machine, members } = this.#options
    assert(entry.index === machine.appliedIndex + 1, 'entries are applied in order, each once')
    if (entry.kind === entryKind.command) this.#applyCommand(entry)
    else {
      machine.applyNothing(entry)
      if (entry.kind === entryKind.configuration) members.apply(entry)
    }
    this.#appliedEnd = { index: entry.index, term: entry.term, chain: entry.chain }
    this.#options.applied(entry)
  }

  #applyCommand(entry: Entry): void {
    const { machine, proposals } = this.#options
    const { index, term } = entry
    const envelope = decodeEnvelope(entry.payload)
    const result = machine.apply({ index, term, timeMs: envelope.timeMs, payload: envelope.command })
    proposals.applied(envelope, result, entry)
  }

  #forget(index: number): void {
    for (let entry = this.#committed.peek(); entry !== undefined; entry = this.#committed.peek()) {
      if (entry.index > index) return
      this.#committed.shift()
    }
  }
}
