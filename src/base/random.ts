import { assert } from './assert.ts'

/**
 * Repeatable pseudo-random numbers from a seed (xoshiro128**, seeded by splitmix32). For election jitter,
 * the simulator and tests; never for secrets.
 */
export class SeededRandom {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number) {
    let state = seed >>> 0
    const next = (): number => {
      state = (state + 0x9e3779b9) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      return (z ^ (z >>> 15)) >>> 0
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next()
  }

  /** Unsigned 32 bits. */
  nextU32(): number {
    const product = Math.imul(this.#b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result
  }

  /** A whole number in [first, end). */
  between(first: number, end: number): number {
    assert(
      Number.isSafeInteger(first) && Number.isSafeInteger(end) && first < end,
      'between needs first < end',
    )
    return first + Math.floor(this.unit() * (end - first))
  }

  /** A number in [0, 1) with 32 bits of precision. */
  unit(): number {
    return this.nextU32() / 0x1_0000_0000
  }

  /** True in about `probability` of all calls. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<T>(values: readonly T[]): T {
    assert(values.length > 0, 'pick needs at least one value')
    return values[this.between(0, values.length)] as T
  }

  /** An independent stream: drawing from it does not move this one. */
  fork(): SeededRandom {
    return new SeededRandom(this.nextU32())
  }
}
