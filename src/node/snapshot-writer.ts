import { assert, isQuorateError, QuorateError } from '../base/index.ts'
import type { Logger, Maybe, Time } from '../io/index.ts'
import type { LogEnd, SnapshotMark } from '../raft/index.ts'
import type { SnapshotStore } from '../snapshot/index.ts'
import type { WriteAheadLog } from '../write-ahead-log/index.ts'
import type { AppliedMembers } from './applied-members.ts'
import type { GroupLimits } from './options.ts'
import { stoppedError } from './refusals.ts'
import type { SnapshotSource, StateMachine } from './state-machine.ts'

/**
 * Writes snapshots of the state when the log has grown enough, and releases the log before them: the low-water mark.
 *
 * 1. One cut of the state is open at a time, and it is the state at its mark.
 * 2. The low-water mark passes neither the oldest snapshot that is kept nor what the store holds durably.
 * 3. Of a state that turned out to be wrong while it was written, no snapshot stays.
 */
export interface SnapshotWriterOptions<Result> {
  readonly group: number
  readonly time: Time
  readonly logger: Logger
  readonly maybe: Maybe
  readonly limits: GroupLimits
  readonly log: WriteAheadLog
  readonly snapshots: SnapshotStore
  readonly machine: StateMachine<Result>
  readonly members: AppliedMembers
  /** The low-water mark at the start. */
  readonly baseIndex: number
  /** The end of the log at the applied index. */
  appliedEnd(): LogEnd
  /** What the store holds durably. */
  durableIndex(): number
  /** How often the state was lost since the start. */
  lossCount(): number
  /** Some peer that was sent a snapshot, or is being sent one, still needs the log from `index` on. */
  needsLog(index: number): boolean
  /** There is no state, or a snapshot takes its place just now. */
  isReplacing(): boolean
  /** The snapshot that ends at `index` is still to be installed. */
  isAwaited(index: number): boolean
  isStopped(): boolean
  /** The log on disk begins after `end` now. Not in the group's turn. */
  released(end: LogEnd): void
  failed(error: unknown): void
}

/** Snapshots that are kept, while none is being written. */
export const snapshotsKept = 2

export class SnapshotWriter<Result> {
  readonly #options: SnapshotWriterOptions<Result>
  #isWriting = false
  /** Resolves when the snapshot that is being written now is done with. */
  #writing: Promise<void> = Promise.resolve()
  /** Resolves when the cut that is open now is done with. */
  #cut: Promise<void> = Promise.resolve()
  #lastIndex: number
  #lowWaterMark: number
  #logBytesSinceLast: number

  constructor(options: SnapshotWriterOptions<Result>) {
    this.#options = options
    this.#lastIndex = options.snapshots.list()[0]?.mark.end.index ?? 0
    this.#lowWaterMark = options.baseIndex
    // How much of the log is newer than the last snapshot is not known after a restart: all of it, at the most.
    this.#logBytesSinceLast = options.log.gauges.bytes
  }

  /** The log on disk begins after it. */
  get lowWaterMark(): number {
    return this.#lowWaterMark
  }

  /** An entry with a payload of so many bytes was applied. */
  applied(payloadBytes: number): void {
    this.#logBytesSinceLast += payloadBytes
  }

  /** Starts a snapshot if the log has grown enough since the last. */
  poll(): void {
    const { limits, snapshots } = this.#options
    const entries = this.#options.appliedEnd().index - this.#lastIndex
    const isChosen = entries > 0 && this.#options.maybe('snapshot')
    if (this.#isWriting || (entries < limits.snapshotCount && !isChosen)) return
    // Whoever is sent a snapshot needs the log behind it: a new one now could make it need the next one for ever.
    const newest = snapshots.list()[0]
    if (this.#options.needsLog(newest?.mark.end.index ?? 0)) return
    // The last snapshot and not the state as it is now: that grows with the log, and the log would never outgrow it.
    const share = limits.snapshotLogShare * (newest?.sizeBytes ?? 0)
    if (isChosen || this.#logBytesSinceLast > Math.max(share, limits.snapshotLogBytesMin)) this.start()
  }

  /** Starts a snapshot of what is applied now, unless one is being written. */
  start(): void {
    if (this.#isWriting || this.#options.appliedEnd().index === 0) return
    this.#isWriting = true
    this.#writing = this.#write().then(
      () => {
        this.#isWriting = false
      },
      (error: unknown) => {
        this.#isWriting = false
        if (!isQuorateError(error, 'disk-full', 'no-leader', 'leader-changed', 'stopped'))
          this.#options.failed(error)
        else this.#options.logger.log('warn', 'snapshot-failed', { cause: error.message })
      },
    )
  }

  /** One cut of the state at a time: whoever wants the next waits for the end of the one before. */
  async openCut(): Promise<{ source: SnapshotSource; mark: SnapshotMark }> {
    const { machine, members } = this.#options
    const before = this.#cut
    let release: () => void = () => undefined
    this.#cut = new Promise((resolve) => {
      release = resolve
    })
    await before
    const isStopped = this.#options.isStopped()
    if (isStopped || this.#options.isReplacing()) {
      release()
      throw isStopped ? stoppedError() : new QuorateError('no-leader', 'the state is being replaced')
    }
    // Source and mark in one turn: nothing may be applied between them.
    const source = machine.openSnapshot()
    const { index: configurationIndex, configuration } = members
    const mark: SnapshotMark = { end: this.#options.appliedEnd(), configuration, configurationIndex }
    assert(source.appliedIndex === mark.end.index, 'a snapshot is the state at its mark')
    const cut: SnapshotSource = {
      appliedIndex: source.appliedIndex,
      appliedTerm: source.appliedTerm,
      next: () => {
        // The store may be closed already.
        if (this.#options.isStopped()) throw stoppedError()
        return source.next()
      },
      done: () => {
        source.done()
        release()
      },
    }
    return { source: cut, mark }
  }

  /** The state was replaced by the snapshot at `index`, and so was the log unless it goes on from there. */
  installed(index: number, keepsLog: boolean): void {
    this.#lastIndex = index
    if (!keepsLog) this.#lowWaterMark = index
    this.#logBytesSinceLast = 0
  }

  /** Resolves when no snapshot is being written. */
  async settle(): Promise<void> {
    await this.#writing
  }

  async #write(): Promise<void> {
    const { snapshots, logger, time } = this.#options
    const { source, mark } = await this.openCut()
    const startMs = time.monotonicMs()
    const lossCount = this.#options.lossCount()
    this.#logBytesSinceLast = 0
    try {
      const file = await snapshots.save(mark, () => source.next())
      this.#lastIndex = Math.max(this.#lastIndex, mark.end.index)
      if (lossCount !== this.#options.lossCount()) {
        snapshots.forget(file)
        return
      }
      const ms = Math.round(time.monotonicMs() - startMs)
      logger.log('info', 'snapshot-saved', { index: mark.end.index, bytes: file.sizeBytes, ms })
    } finally {
      source.done()
    }
    await this.#release()
  }

  /**
   * The low-water mark: the older of the snapshots that are kept, and only what the store holds durably. What stands
   * before it goes only once the log begins there: the base of the log needs its snapshot for the configuration.
   */
  async #release(): Promise<void> {
    const { snapshots, log, logger, group } = this.#options
    const durableIndex = this.#options.durableIndex()
    const kept = snapshots
      .list()
      .findIndex(({ mark: { end } }, slot) => slot + 1 >= snapshotsKept && end.index <= durableIndex)
    const oldest = snapshots.list()[kept]
    if (oldest === undefined || this.#options.isStopped()) return
    const { end } = oldest.mark
    await log.release(group, end)
    this.#lowWaterMark = Math.max(this.#lowWaterMark, end.index)
    logger.log('info', 'log-released', { index: end.index })
    this.#options.released(end)
    await snapshots.prune(kept + 1, (mark) => this.#options.isAwaited(mark.end.index))
  }
}
