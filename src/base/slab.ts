const slabSize = 16 * 1024
/** What is larger gets memory of its own: at most an eighth of a slab is left over at its end. */
const sharedSizeMax: number = slabSize / 8

/**
 * Memory for small messages that are made in great numbers. An array of its own costs several times what it takes to
 * fill it, and the collector works for each one; here neighbours in time share one. In return any of them keeps the
 * whole slab alive: use it for what is let go in about the order it was made, not for what a few may keep for long.
 */
export class Slab {
  #bytes: Uint8Array = new Uint8Array(0)
  #used = 0

  /** `size` zero bytes that nobody else gets. */
  take(size: number): Uint8Array {
    if (size > sharedSizeMax) return new Uint8Array(size)
    if (this.#used + size > this.#bytes.length) {
      this.#bytes = new Uint8Array(slabSize)
      this.#used = 0
    }
    const taken = new Uint8Array(this.#bytes.buffer, this.#used, size)
    this.#used += size
    return taken
  }
}
