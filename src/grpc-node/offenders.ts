import type { Time } from '../io/index.ts'

/** How long after a fault new connections from its address begin late. */
const rememberedMs = 1_000
const rememberedCountMax = 1_000
/** Eight clients that do nothing else then come 80 times a second instead of 1,300. */
const delayMs = 100

/**
 * Addresses whose clients broke a rule of HTTP/2 a moment ago. Who floods is back with a new connection at once, each of which
 * takes as long as a hundred requests: from there they begin a little later. A client that shares the address waits too, once.
 */
export class Offenders {
  readonly #time: Time
  /** When the last fault of an address was, oldest first. */
  readonly #faultMs = new Map<string, number>()

  constructor(time: Time) {
    this.#time = time
  }

  add(address: string | undefined): void {
    if (address === undefined) return
    this.#faultMs.delete(address)
    this.#faultMs.set(address, this.#time.monotonicMs())
    if (this.#faultMs.size <= rememberedCountMax) return
    for (const oldest of this.#faultMs.keys()) {
      this.#faultMs.delete(oldest)
      return
    }
  }

  /** By how much a connection from there begins later. Asked for by name only when there is anybody to remember. */
  delayMsOf(peer: { readonly remoteAddress?: string | undefined }): number {
    if (this.#faultMs.size === 0 || peer.remoteAddress === undefined) return 0
    const faultMs = this.#faultMs.get(peer.remoteAddress)
    if (faultMs === undefined) return 0
    if (this.#time.monotonicMs() - faultMs <= rememberedMs) return delayMs
    this.#faultMs.delete(peer.remoteAddress)
    return 0
  }
}
