import type { Time } from '../io/index.ts'

/** All that go on in one turn of the loop take so long of it, or what the last of them needs more. */
const msPerTurn = 0.3

/**
 * Connections of a server that have more to do than they may at once: they go on one after the other, in a part of each turn
 * of the loop. Everybody else is read and answered in between.
 */
export class TurnQueue<Waiting> {
  readonly #time: Time
  readonly #countPerTurn: number
  readonly #goOn: (one: Waiting) => boolean
  readonly #waiting = new Set<Waiting>()
  #isScheduled = false

  /** In one turn at most `countPerTurn` are done with what they wait for. `goOn` answers false: it waits again. */
  constructor(time: Time, countPerTurn: number, goOn: (one: Waiting) => boolean) {
    this.#time = time
    this.#countPerTurn = countPerTurn
    this.#goOn = goOn
  }

  add(one: Waiting): void {
    this.#waiting.add(one)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return
    this.#isScheduled = true
    void this.#time.yieldBulkTurn().then(() => this.#run())
  }

  #run(): void {
    this.#isScheduled = false
    const endMs = this.#time.monotonicMs() + msPerTurn
    let left = this.#countPerTurn
    // Who waits again is behind all others, and goes on once more when there is time for it.
    for (const one of this.#waiting) {
      this.#waiting.delete(one)
      if (this.#goOn(one)) left--
      else this.#waiting.add(one)
      if (left === 0 || this.#time.monotonicMs() >= endMs) break
    }
    this.#schedule()
  }
}
