import { type ErrorCode, isQuorateError, QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import type { CallOptions } from './contract.ts'
import { stoppedError, unknownOutcome } from './refusals.ts'

/**
 * Callers that wait until something is so on this replica. What they wait for is tested after every slice of applying
 * and with every tick, never in between; each has its deadline.
 */
export class AppliedWaiters {
  readonly bound: number
  readonly #time: Time
  readonly #waiters = new Set<Waiter>()
  #isStopped = false

  constructor(bound: number, time: Time) {
    this.bound = bound
    this.#time = time
  }

  get size(): number {
    return this.#waiters.size
  }

  /** Resolves once `isReached` is true. Errors: `revision-wait-timeout`, `overloaded`, `stopped`. */
  wait(isReached: () => boolean, options: CallOptions): Promise<void> {
    if (isReached()) return Promise.resolve()
    if (this.#isStopped) return Promise.reject(stoppedError())
    if (this.#waiters.size >= this.bound) {
      return Promise.reject(
        new QuorateError('overloaded', `${this.#waiters.size} calls wait for a revision already`),
      )
    }
    const deadlineMs = this.#time.monotonicMs() + options.timeoutMs
    return new Promise((resolve, reject) => {
      this.#waiters.add({ isReached, resolve, reject, deadlineMs })
    })
  }

  /** Waits for the end of what was begun, which can come well after nobody waits any more: error `outcome-unknown`. */
  async waitForEnd(isReached: () => boolean, options: CallOptions): Promise<void> {
    await this.wait(isReached, options).catch((error: unknown) => {
      throw isQuorateError(error) ? unknownOutcome(error) : error
    })
  }

  wake(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.isReached()) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  tick(nowMs: number): void {
    this.wake()
    for (const waiter of this.#waiters) {
      if (waiter.deadlineMs > nowMs) continue
      this.#waiters.delete(waiter)
      waiter.reject(
        new QuorateError('revision-wait-timeout', 'what was waited for was not applied here in time'),
      )
    }
  }

  /** Rejects everyone, and whoever comes later is told `stopped`. */
  stop(code: ErrorCode, text: string): void {
    this.#isStopped = true
    for (const waiter of this.#waiters) waiter.reject(new QuorateError(code, text))
    this.#waiters.clear()
  }
}

interface Waiter {
  isReached(): boolean
  resolve(): void
  reject(error: QuorateError): void
  readonly deadlineMs: number
}
