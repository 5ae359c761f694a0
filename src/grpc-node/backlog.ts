/** What a connection holds is looked at from here on. */
const backlogBytesMin = 64 * 1024

export interface Backlogged {
  /** Bytes that it holds for its client or from it: answers that were not taken, requests that are not whole. */
  readonly waitingBytes: number
  /** Ends the connection at once: it holds more than any other. */
  dropBacklog(): void
}

/**
 * Keeps what all connections of a server hold together below a bound: above it, whoever holds most has to go. A client
 * that reads what it asks for and sends what it begins is never that one for long.
 */
export class Backlog {
  readonly #bytesMax: number
  readonly #holders = new Set<Backlogged>()
  #isScheduled = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** To be called whenever it may hold more than before; it is looked at once a turn. */
  note(holder: Backlogged): void {
    if (holder.waitingBytes < backlogBytesMin) return
    this.#holders.add(holder)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#check())
  }

  #check(): void {
    this.#isScheduled = false
    let bytes = 0
    for (const holder of this.#holders) {
      const { waitingBytes } = holder
      if (waitingBytes < backlogBytesMin) this.#holders.delete(holder)
      else bytes += waitingBytes
    }
    while (bytes > this.#bytesMax) bytes -= this.#dropLargest()
  }

  #dropLargest(): number {
    let largest: Backlogged | undefined
    for (const holder of this.#holders) {
      if (largest === undefined || holder.waitingBytes > largest.waitingBytes) largest = holder
    }
    if (largest === undefined) return Number.POSITIVE_INFINITY
    const { waitingBytes } = largest
    this.#holders.delete(largest)
    largest.dropBacklog()
    return waitingBytes
  }
}
