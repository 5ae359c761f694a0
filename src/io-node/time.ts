import { assert } from '../base/index.ts'
import type { Time, Timer } from '../io/index.ts'

/** The longest delay that setTimeout takes; above it, it fires at once. */
const delayMsMax = 2 ** 31 - 1

/** One piece of large work in each turn of the loop. */
class BulkTurns {
  readonly #waiting: (() => void)[] = []
  #isScheduled = false

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#waiting.shift()?.()
      this.#schedule()
    })
  }
}

/** The real clocks. Its timers keep the process alive, as everything that still has work to do should. */
export function createNodeTime(): Time {
  const bulkTurns = new BulkTurns()
  return {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
    startTimer: (delayMs, callback) => new NodeTimer(delayMs, callback),
    yieldTurn: () => new Promise((resolve) => setImmediate(resolve)),
    yieldBulkTurn: () => bulkTurns.next(),
  }
}

/**
 * setTimeout counts whole milliseconds of the event loop's own clock: it can fire up to one early, and at once when
 * asked for more than 24 days. So the end is kept on the clock that callers measure with, and an early call waits on.
 */
class NodeTimer implements Timer {
  readonly #dueMs: number
  readonly #callback: () => void
  #timeout: NodeJS.Timeout

  constructor(delayMs: number, callback: () => void) {
    assert(delayMs >= 0, 'a delay is a number and not negative')
    this.#dueMs = performance.now() + delayMs
    this.#callback = callback
    this.#timeout = this.#arm(delayMs)
  }

  cancel(): void {
    clearTimeout(this.#timeout)
  }

  #arm(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#fire(), Math.min(Math.ceil(delayMs), delayMsMax))
  }

  #fire(): void {
    const leftMs = this.#dueMs - performance.now()
    if (leftMs <= 0) this.#callback()
    else this.#timeout = this.#arm(leftMs)
  }
}
