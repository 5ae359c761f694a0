import { assert, present } from '../base/index.ts'
import type { Entry, LogEnd } from './types.ts'

/** What an entry costs in memory besides its payload. */
const entryOverheadBytes = 96

export const logStart: LogEnd = { index: 0, term: 0, chain: 0 }

export function entryBytes(entry: Entry): number {
  return entry.payload.length + entryOverheadBytes
}

/**
 * The group's log as far as memory holds it: a window of the newest entries over what the disk has.
 *
 *     base ...on disk only... before | first ...window... last
 *
 * `base` is the entry before the first that the disk keeps, `before` the one before the window. The window is a ring
 * of slots, so that cutting at either end costs what is cut and nothing is ever copied to make room at the front.
 */
export class RaftLog {
  #base: LogEnd
  #before: LogEnd
  #lastIndex: number
  #bytes = 0
  #slots: (Entry | undefined)[] = new Array(64)

  constructor(base: LogEnd, before: LogEnd) {
    assert(before.index >= base.index, 'the window lies within the log')
    this.#base = base
    this.#before = before
    this.#lastIndex = before.index
  }

  get base(): LogEnd {
    return this.#base
  }

  /** First index of the window; lastIndex + 1 when it is empty. */
  get firstIndex(): number {
    return this.#before.index + 1
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  get lastTerm(): number {
    return present(this.termAt(this.#lastIndex), 'the end of the log is known')
  }

  get bytes(): number {
    return this.#bytes
  }

  end(): LogEnd {
    return present(this.endAt(this.#lastIndex), 'the end of the log is known')
  }

  /** The entry, or undefined when the window does not hold it. */
  entryAt(index: number): Entry | undefined {
    if (index <= this.#before.index || index > this.#lastIndex) return undefined
    return this.#slots[index & (this.#slots.length - 1)]
  }

  termAt(index: number): number | undefined {
    if (index === this.#before.index) return this.#before.term
    if (index === this.#base.index) return this.#base.term
    return this.entryAt(index)?.term
  }

  chainAt(index: number): number | undefined {
    if (index === this.#before.index) return this.#before.chain
    if (index === this.#base.index) return this.#base.chain
    return this.entryAt(index)?.chain
  }

  /** Index, term and chain at `index`, or undefined when memory does not know. */
  endAt(index: number): LogEnd | undefined {
    if (index === this.#before.index) return this.#before
    if (index === this.#base.index) return this.#base
    const entry = this.entryAt(index)
    return entry === undefined ? undefined : { index, term: entry.term, chain: entry.chain }
  }

  append(entry: Entry): void {
    assert(entry.index === this.#lastIndex + 1, 'entries are appended without a gap')
    assert(entry.term >= this.lastTerm, 'terms never fall along the log')
    if (this.#lastIndex - this.#before.index === this.#slots.length) this.#grow()
    this.#slots[entry.index & (this.#slots.length - 1)] = entry
    this.#lastIndex = entry.index
    this.#bytes += entryBytes(entry)
  }

  /** Removes all entries above `index`. */
  truncateAfter(index: number): void {
    assert(index >= this.#before.index, 'what is cut is in the window')
    assert(index <= this.#lastIndex, 'a cut lies within the log')
    for (let i = this.#lastIndex; i > index; i--) this.#clear(i)
    this.#lastIndex = index
  }

  /** Entries [first, end) of the window: at least one, then until `bytesMax`. */
  slice(first: number, end: number, bytesMax: number): Entry[] {
    assert(first > this.#before.index && first < end, 'a slice is not empty and lies in the window')
    assert(end <= this.#lastIndex + 1, 'a slice ends within the log')
    const entries: Entry[] = []
    let bytes = 0
    for (let index = first; index < end; index++) {
      const entry = present(this.entryAt(index), 'the window has no gap')
      bytes += entryBytes(entry)
      if (bytes > bytesMax && entries.length > 0) break
      entries.push(entry)
    }
    return entries
  }

  /** Drops entries up to `limit` from memory until the rest fits into `bytesMax`. */
  shrink(limit: number, bytesMax: number): void {
    assert(limit <= this.#lastIndex, 'the window is shrunk within the log')
    while (this.#bytes > bytesMax && this.#before.index < limit) {
      const index = this.#before.index + 1
      this.#before = present(this.endAt(index), 'the window has no gap')
      this.#clear(index)
    }
  }

  /** The log on disk now begins after `base`. What memory still holds of it stays good. */
  release(base: LogEnd): void {
    assert(base.index >= this.#base.index, 'the base of the log never moves back')
    assert(base.index <= this.#lastIndex, 'the base of the log lies within it')
    this.#base = base
  }

  /** A snapshot replaced the log: it is empty and goes on after `base`. */
  reset(base: LogEnd): void {
    assert(base.index > this.#base.index, 'a snapshot is newer than the base of the log')
    this.#slots = new Array(64)
    this.#bytes = 0
    this.#base = base
    this.#before = base
    this.#lastIndex = base.index
  }

  /**
   * The highest index <= `index` whose term is at most `term`, or undefined when it lies below what memory knows.
   * Terms never fall along the log, so halving finds it.
   */
  lastIndexWithin(term: number, index: number): number | undefined {
    let low = this.#before.index
    let high = Math.min(index, this.#lastIndex)
    if (high < low || this.#before.term > term) return undefined
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (present(this.termAt(middle), 'the window has no gap') <= term) low = middle
      else high = middle - 1
    }
    return low
  }

  #clear(index: number): void {
    const slot = index & (this.#slots.length - 1)
    this.#bytes -= entryBytes(present(this.#slots[slot], 'the window has no gap'))
    this.#slots[slot] = undefined
  }

  #grow(): void {
    const larger = new Array<Entry | undefined>(this.#slots.length * 2)
    for (let index = this.firstIndex; index <= this.#lastIndex; index++) {
      larger[index & (larger.length - 1)] = this.entryAt(index)
    }
    this.#slots = larger
  }
}
