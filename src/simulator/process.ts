import type { ScheduledEvent, Scheduler } from './scheduler.ts'

/**
 * One life of a program on a simulated machine. All that the world tells the program (timers, disk, network) passes
 * through `deliver`: a dead program hears nothing, a paused one hears it all when it goes on, in the same order.
 */
export class SimulatedProcess {
  #isAlive = true
  #isPaused = false
  /** The program begins by itself. */
  #wasActive = true
  #waiting: (() => void)[] = []
  readonly #scheduler: Scheduler

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Whether anything was delivered since this was last asked: without it the program does nothing. */
  takeActivity(): boolean {
    const wasActive = this.#wasActive
    this.#wasActive = false
    return wasActive
  }

  /** Runs `callback` now, at the end of the pause, or never. Call it from an event. */
  deliver(callback: () => void): void {
    if (!this.#isAlive) return
    if (this.#isPaused || this.#waiting.length > 0) this.#waiting.push(callback)
    else this.#run(callback)
  }

  #run(callback: () => void): void {
    this.#wasActive = true
    callback()
  }

  after(delayMs: number, callback: () => void): ScheduledEvent {
    return this.#scheduler.after(delayMs, () => this.deliver(callback))
  }

  /** The program stands still while the world goes on (a stop signal, a long collection of garbage). */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#deliverNext()
  }

  end(): void {
    this.#isAlive = false
    this.#waiting = []
  }

  /** Each callback that waited becomes an event of its own, before anything that comes later. */
  #deliverNext(): void {
    if (this.#waiting.length === 0) return
    this.#scheduler.after(0, () => {
      if (!this.#isAlive || this.#isPaused) return
      const callback = this.#waiting.shift()
      if (callback !== undefined) this.#run(callback)
      this.#deliverNext()
    })
  }
}
