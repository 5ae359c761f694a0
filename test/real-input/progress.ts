// One line on stderr that says how far a long step is, how fast, and how long it still takes.

const intervalMs = 1_000

export class Progress {
  readonly #label: string
  readonly #total: number | undefined
  readonly #startedAt: number = performance.now()
  #shownAt = 0

  constructor(label: string, total?: number) {
    this.#label = label
    this.#total = total
  }

  /** Shows at most one line a second. */
  update(done: number): void {
    const now = performance.now()
    if (now - this.#shownAt < intervalMs) return
    this.#shownAt = now
    this.#write(done, now)
  }

  finish(done: number): void {
    this.#write(done, performance.now())
    process.stderr.write('\n')
  }

  #write(done: number, now: number): void {
    const seconds = (now - this.#startedAt) / 1000
    const rate = done / Math.max(seconds, 0.001)
    const left = this.#total === undefined || done >= this.#total ? undefined : (this.#total - done) / rate
    const parts = [
      `${this.#label}: ${done}${this.#total === undefined ? '' : ` of ${this.#total}`}`,
      `${Math.round(rate)}/s`,
      left === undefined ? `${seconds.toFixed(1)} s` : `${Math.ceil(left)} s left`,
    ]
    const line = parts.join(', ')
    // On a terminal the line is overwritten; in a log each is its own.
    process.stderr.write(process.stderr.isTTY ? `\r${line.padEnd(78)}` : `${line}\n`)
  }
}
