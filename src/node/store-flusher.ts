import { isQuorateError } from '../base/index.ts'
import { type Maybe, never, type Time } from '../io/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { FlushLimits, GroupLimits } from './options.ts'
import type { StateMachine } from './state-machine.ts'

/**
 * Carries what was applied to the durable store in large, rare commits, and knows the durable applied index: what the
 * last commit that resolved contained. The low-water mark of the log never passes it.
 */
export class StoreFlusher<Result> {
  readonly #machine: StateMachine<Result>
  readonly #backend: StoreBackend
  readonly #time: Time
  readonly #limits: FlushLimits & Pick<GroupLimits, 'flushIntervalMs'>
  readonly #maybe: Maybe
  readonly #failed: (error: unknown) => void
  readonly #flushed: () => void
  #underWay: Promise<void> | undefined
  #lastFlushMs: number
  #durableIndex: number
  #isDiskFull = false
  #isStopped = false

  constructor(options: {
    machine: StateMachine<Result>
    backend: StoreBackend
    time: Time
    limits: FlushLimits & Pick<GroupLimits, 'flushIntervalMs'>
    /** Default: never. */
    maybe?: Maybe
    /** A commit became durable. */
    flushed(): void
    failed(error: unknown): void
  }) {
    this.#machine = options.machine
    this.#backend = options.backend
    this.#time = options.time
    this.#limits = options.limits
    this.#maybe = options.maybe ?? never
    this.#failed = options.failed
    this.#flushed = options.flushed
    this.#lastFlushMs = options.time.monotonicMs()
    this.#durableIndex = options.machine.appliedIndex
  }

  /** Everything up to here survives a power cut without the log. */
  get durableIndex(): number {
    return this.#durableIndex
  }

  get isDiskFull(): boolean {
    return this.#isDiskFull
  }

  /** Starts a commit when enough gathered or enough time passed. */
  poll(): void {
    if (this.#underWay !== undefined || this.#isStopped) return
    const { operations, bytes } = this.#machine.pending
    if (operations === 0) return
    const sinceMs = this.#time.monotonicMs() - this.#lastFlushMs
    const { flushOperations, flushBytes, flushIntervalMs } = this.#limits
    const isDue = operations >= flushOperations || bytes >= flushBytes || sinceMs >= flushIntervalMs
    if (this.#maybe(isDue ? 'store-flush-late' : 'store-flush') !== isDue) this.#start()
  }

  /** Resolves when everything applied by now is durable, or cannot be: the log still has it. No commit follows. */
  async drain(): Promise<void> {
    this.#isStopped = true
    for (;;) {
      await this.#underWay
      if (this.#machine.pending.operations === 0 || !this.#start()) return
    }
  }

  /** Waits for a commit that is under way, and starts none. */
  async settle(): Promise<void> {
    await this.#underWay
  }

  /** The state was replaced by a snapshot that is durable up to `index`. */
  replaced(index: number): void {
    this.#durableIndex = index
  }

  /** False when there was nothing to take (or a failed commit is still out). */
  #start(): boolean {
    const taken = this.#machine.takeBatch()
    if (taken === undefined) return false
    this.#lastFlushMs = this.#time.monotonicMs()
    this.#underWay = this.#commit(taken).finally(() => {
      this.#underWay = undefined
    })
    return true
  }

  async #commit(taken: NonNullable<ReturnType<StateMachine<Result>['takeBatch']>>): Promise<void> {
    for (;;) {
      try {
        await this.#backend.commit(taken.batch)
        break
      } catch (error) {
        if (!isQuorateError(error, 'disk-full')) {
          this.#failed(error)
          return
        }
        // The batch is kept and tried again: nothing is lost, only memory is used, and that is bounded by the applier.
        this.#isDiskFull = true
        if (this.#isStopped) return
        await new Promise<void>((resolve) => {
          this.#time.startTimer(1_000, resolve)
        })
      }
    }
    this.#isDiskFull = false
    this.#machine.flushed()
    this.#durableIndex = taken.appliedIndex
    this.#flushed()
  }
}
