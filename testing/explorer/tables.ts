import { assert } from '../../src/base/index.ts'

/** Whole numbers for pairs of whole numbers, in flat memory. */
export class PairTable {
  #left: Int32Array
  #right: Int32Array
  #values: Int32Array
  #size = 0

  constructor(capacity: number) {
    assert((capacity & (capacity - 1)) === 0, 'a table has a power of two slots')
    this.#left = new Int32Array(capacity).fill(-1)
    this.#right = new Int32Array(capacity)
    this.#values = new Int32Array(capacity)
  }

  /** -1 when the pair is not known. */
  get(left: number, right: number): number {
    const slot = this.#slotOf(left, right)
    return this.#left[slot] === -1 ? -1 : (this.#values[slot] as number)
  }

  set(left: number, right: number, value: number): void {
    if (this.#size * 2 >= this.#left.length) this.#grow()
    const slot = this.#slotOf(left, right)
    if (this.#left[slot] === -1) this.#size++
    this.#left[slot] = left
    this.#right[slot] = right
    this.#values[slot] = value
  }

  #slotOf(left: number, right: number): number {
    const mask = this.#left.length - 1
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35)
    let slot = (hash ^ (hash >>> 13)) & mask
    while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) {
      slot = (slot + 1) & mask
    }
    return slot
  }

  #grow(): void {
    const [left, right, values] = [this.#left, this.#right, this.#values]
    this.#left = new Int32Array(left.length * 2).fill(-1)
    this.#right = new Int32Array(left.length * 2)
    this.#values = new Int32Array(left.length * 2)
    for (let slot = 0; slot < left.length; slot++) {
      if (left[slot] === -1) continue
      const target = this.#slotOf(left[slot] as number, right[slot] as number)
      this.#left[target] = left[slot] as number
      this.#right[target] = right[slot] as number
      this.#values[target] = values[slot] as number
    }
  }
}

/** 64-bit fingerprints that were seen. */
export class FingerprintSet {
  #high: Uint32Array
  #low: Uint32Array
  #size = 0

  constructor(capacity: number) {
    assert((capacity & (capacity - 1)) === 0, 'a set has a power of two slots')
    this.#high = new Uint32Array(capacity)
    this.#low = new Uint32Array(capacity)
  }

  get size(): number {
    return this.#size
  }

  /** True when it was not there. */
  add(high: number, low: number): boolean {
    if (this.#size * 10 >= this.#high.length * 7) this.#grow()
    // A slot of two zeros is free.
    const lowSafe = high === 0 && low === 0 ? 1 : low
    const slot = this.#slotOf(high, lowSafe)
    if (this.#high[slot] !== 0 || this.#low[slot] !== 0) return false
    this.#high[slot] = high
    this.#low[slot] = lowSafe
    this.#size++
    return true
  }

  #slotOf(high: number, low: number): number {
    const mask = this.#high.length - 1
    let slot = low & mask
    for (;;) {
      const [storedHigh, storedLow] = [this.#high[slot] as number, this.#low[slot] as number]
      if ((storedHigh === high && storedLow === low) || (storedHigh === 0 && storedLow === 0)) return slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const [high, low] = [this.#high, this.#low]
    this.#high = new Uint32Array(high.length * 2)
    this.#low = new Uint32Array(high.length * 2)
    for (let i = 0; i < high.length; i++) {
      if (high[i] === 0 && low[i] === 0) continue
      const slot = this.#slotOf(high[i] as number, low[i] as number)
      this.#high[slot] = high[i] as number
      this.#low[slot] = low[i] as number
    }
  }
}

/** Rows of whole numbers, in chunks; rows before a given one can be let go. */
export class Rows {
  readonly #width: number
  readonly #chunkRows: number
  readonly #chunks: (Int32Array | undefined)[] = []
  #length = 0

  constructor(width: number, chunkRows: number = 1 << 18) {
    this.#width = width
    this.#chunkRows = chunkRows
  }

  get length(): number {
    return this.#length
  }

  push(row: Int32Array): void {
    const at = this.#length % this.#chunkRows
    if (at === 0) this.#chunks.push(new Int32Array(this.#chunkRows * this.#width))
    this.#chunks.at(-1)?.set(row, at * this.#width)
    this.#length++
  }

  read(index: number, row: Int32Array): void {
    const chunk = this.#chunks[Math.floor(index / this.#chunkRows)]
    assert(chunk !== undefined, 'the row is still there')
    const start = (index % this.#chunkRows) * this.#width
    for (let i = 0; i < this.#width; i++) row[i] = chunk[start + i] as number
  }

  releaseBefore(index: number): void {
    const chunk = Math.floor(index / this.#chunkRows) - 1
    if (chunk >= 0) this.#chunks[chunk] = undefined
  }
}

/** Two 32-bit halves a permutation for each member of a growing set. */
export class HashColumns {
  readonly width: number
  #values: Uint32Array
  #length = 0

  constructor(permutations: number) {
    this.width = permutations * 2
    this.#values = new Uint32Array(this.width * 1024)
  }

  get length(): number {
    return this.#length
  }

  /** The columns of row `index` begin at `index * width`. */
  get values(): Uint32Array {
    return this.#values
  }

  push(row: ArrayLike<number>): number {
    if ((this.#length + 1) * this.width > this.#values.length) {
      const larger = new Uint32Array(this.#values.length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values.set(row, this.#length * this.width)
    return this.#length++
  }
}
