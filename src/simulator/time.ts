import type { SeededRandom } from '../base/index.ts'
import type { Time, Timer } from '../io/index.ts'
import type { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

/** Timers of a real event loop are late by up to this much. */
const timerLatenessMsMax = 0.5

/** The clocks of one machine: they go on across restarts, and each machine's run differently. */
export class MachineClock {
  readonly #scheduler: Scheduler
  /** Local time and virtual time at the last change of rate. */
  #localBaseMs: number
  #virtualBaseMs: number
  #rate = 1
  #wallOffsetMs: number

  constructor(scheduler: Scheduler, options: { monotonicStartMs: number; wallStartMs: number }) {
    this.#scheduler = scheduler
    this.#virtualBaseMs = scheduler.now
    this.#localBaseMs = options.monotonicStartMs
    this.#wallOffsetMs = options.wallStartMs - options.monotonicStartMs
  }

  get monotonicMs(): number {
    return this.#localBaseMs + (this.#scheduler.now - this.#virtualBaseMs) * this.#rate
  }

  get wallMs(): number {
    return Math.floor(this.monotonicMs + this.#wallOffsetMs)
  }

  /** Local milliseconds a virtual millisecond; 1 is a good clock. */
  get rate(): number {
    return this.#rate
  }

  setRate(rate: number): void {
    this.#localBaseMs = this.monotonicMs
    this.#virtualBaseMs = this.#scheduler.now
    this.#rate = rate
  }

  /** The date jumps; durations do not. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }
}

/** Clock and timers of one process; its timers end with it. */
export function createSimulatedTime(options: {
  clock: MachineClock
  process: SimulatedProcess
  random: SeededRandom
}): Time {
  const { clock, process, random } = options
  const startTimer = (delayMs: number, callback: () => void): Timer => {
    const due = clock.monotonicMs + Math.max(0, delayMs)
    let isCancelled = false
    const wait = (): void => {
      const left = (due - clock.monotonicMs) / clock.rate
      process.after(Math.max(0, left) + timerLatenessMsMax * random.unit(), () => {
        if (isCancelled) return
        // The clock went slower meanwhile: not yet.
        if (clock.monotonicMs < due) wait()
        else callback()
      })
    }
    wait()
    return {
      cancel: () => {
        isCancelled = true
      },
    }
  }
  const yieldTurn = (): Promise<void> =>
    new Promise((resolve) => {
      process.after(0, resolve)
    })
  return {
    monotonicMs: () => clock.monotonicMs,
    wallMs: () => clock.wallMs,
    startTimer,
    yieldTurn,
    yieldBulkTurn: yieldTurn,
  }
}
