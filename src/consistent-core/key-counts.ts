import { assert, compareBytes } from '../base/index.ts'
import type { FormBounds } from './key-form.ts'
import { scanNewest } from './scan.ts'
import type { Tables } from './tables.ts'

/** Keys between two marks where they are set. A count reads up to two buckets, so this is what one costs. */
const bucketKeys = 256
/** A bucket with more is cut when a count has to read in it; writes only make it larger. */
const bucketKeysMax = 2 * bucketKeys
/** Neighbours with no more than this together become one, so that marks go when keys do. */
const mergedKeysMax = bucketKeys / 2
/** Keys passed in one cut, between two pauses. */
const cutKeys = 8 * bucketKeys

/** No key has a lower form. */
const lowestForm: Uint8Array = Uint8Array.of(0, 0xff, 0, 0)

/**
 * Counts the live keys of a range without reading all of them. *Marks*, forms in ascending order, cut the keys into
 * buckets, and of each bucket the number of live keys is known; a count adds up the buckets within its range and reads
 * only what the range has of the first and the last one. Nothing of it is kept in the store: there are no marks at
 * first, and counts set them, from the lowest key on, as far as they need them. From then on each put that creates a
 * key and each deletion says so here. About 1 byte of memory a key.
 *
 * Invariant: the count of a bucket is that of the live keys within it in the newest state, in the middle of a command
 * too; only that of the last bucket may be unknown (NaN).
 */
export class KeyCounts {
  readonly #tables: Tables
  #marks: Uint8Array[] = []
  /** One more than there are marks: bucket i has the keys from mark i - 1 on that are below mark i. */
  #counts: number[] = [Number.NaN]

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** Nothing is known any more. */
  clear(): void {
    this.#marks = []
    this.#counts = [Number.NaN]
  }

  created(form: Uint8Array): void {
    const bucket = this.#bucketOf(form)
    this.#counts[bucket] = this.#countOf(bucket) + 1
  }

  deleted(form: Uint8Array): void {
    const bucket = this.#bucketOf(form)
    this.#counts[bucket] = this.#countOf(bucket) - 1
    if (bucket + 1 < this.#counts.length) this.#mergeWithNext(bucket)
    if (bucket > 0) this.#mergeWithNext(bucket - 1)
  }

  /** The live keys within the bounds in the newest state as it is when this ends; `resumed` is called after a pause. */
  *count(bounds: FormBounds, resumed: () => void): Generator<void, number, void> {
    const { first, end } = bounds
    if (!this.#isCut(bounds)) {
      const few = this.#countFew(bounds)
      if (few !== undefined) return few
      for (const edge of [first, end]) {
        while (!this.#isFine(edge)) {
          this.#cut(this.#bucketOf(edge))
          yield
          resumed()
        }
      }
    }
    return this.#sum(bounds)
  }

  /** Whether the range has buckets of its own between two that are short to read. */
  #isCut({ first, end }: FormBounds): boolean {
    return this.#bucketOf(first) < this.#bucketOf(end) && this.#isFine(first) && this.#isFine(end)
  }

  /** Whether the bucket that an edge of a range lies in is short to read; the end of all keys asks for no reading. */
  #isFine(edge: Uint8Array | undefined): boolean {
    const count = this.#countOf(this.#bucketOf(edge))
    return edge === undefined ? !Number.isNaN(count) : count <= bucketKeysMax
  }

  /** By reading, when there are no more than a bucket has. */
  #countFew(bounds: FormBounds): number | undefined {
    let passed = 0
    const isAll = this.#scan(bounds, () => ++passed <= bucketKeysMax)
    return isAll ? passed : undefined
  }

  #sum(bounds: FormBounds): number {
    const { first, end } = bounds
    const from = this.#bucketOf(first)
    const to = this.#bucketOf(end)
    const isWhole = compareBytes(first, this.#startOf(from)) <= 0
    if (from === to && !(isWhole && end === undefined)) return this.#read(bounds)
    let count = isWhole ? this.#countOf(from) : this.#read({ first, end: this.#marks[from] })
    if (from === to) return count
    for (let bucket = from + 1; bucket < to; bucket++) count += this.#countOf(bucket)
    return count + (end === undefined ? this.#countOf(to) : this.#read({ first: this.#startOf(to), end }))
  }

  #read(bounds: FormBounds): number {
    let passed = 0
    this.#scan(bounds, () => ++passed > 0)
    return passed
  }

  /** Sets marks from the start of a bucket on, for as many keys as one turn may pass. */
  #cut(bucket: number): void {
    const marks: Uint8Array[] = []
    let passed = 0
    const isAll = this.#scan({ first: this.#startOf(bucket), end: this.#marks[bucket] }, (form) => {
      if (passed > 0 && passed % bucketKeys === 0) marks.push(form)
      return passed++ < cutKeys
    })
    const known = this.#countOf(bucket)
    const left = isAll ? passed - marks.length * bucketKeys : known - marks.length * bucketKeys
    assert(!isAll || Number.isNaN(known) || known === passed, 'a bucket has as many keys as were counted')
    this.#marks.splice(bucket, 0, ...marks)
    this.#counts.splice(bucket, 1, ...marks.map(() => bucketKeys), left)
  }

  #mergeWithNext(bucket: number): void {
    const together = this.#countOf(bucket) + this.#countOf(bucket + 1)
    // Not where one is unknown: then so is the sum, and this comparison is false.
    if (!(together <= mergedKeysMax)) return
    this.#marks.splice(bucket, 1)
    this.#counts.splice(bucket, 2, together)
  }

  /** The bucket of a form, or the last one. Each write asks, so no comparison looks again at what is known as equal. */
  #bucketOf(form: Uint8Array | undefined): number {
    const marks = this.#marks
    if (form === undefined) return marks.length
    let low = 0
    let high = marks.length
    let lowShared = 0
    let highShared = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      const mark = marks[middle] as Uint8Array
      let shared = Math.min(lowShared, highShared)
      const size = Math.min(mark.length, form.length)
      while (shared < size && mark[shared] === form[shared]) shared++
      const isAbove =
        shared === size ? mark.length > size : (mark[shared] as number) > (form[shared] as number)
      if (isAbove) {
        high = middle
        highShared = shared
      } else {
        low = middle + 1
        lowShared = shared
      }
    }
    return low
  }

  #startOf(bucket: number): Uint8Array {
    return bucket === 0 ? lowestForm : (this.#marks[bucket - 1] as Uint8Array)
  }

  #countOf(bucket: number): number {
    return this.#counts[bucket] as number
  }

  #scan(bounds: FormBounds, visit: (form: Uint8Array) => boolean): boolean {
    if (bounds.end !== undefined && compareBytes(bounds.first, bounds.end) >= 0) return true
    return scanNewest(this.#tables, bounds, visit)
  }
}
