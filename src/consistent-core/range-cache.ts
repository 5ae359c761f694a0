import { assert, compareBytes } from '../base/index.ts'
import { sliceWork } from './view.ts'

/** Bounds and thresholds of a range cache. Work is that of views: in units of about a microsecond. */
export interface RangeCacheLimits {
  /** Bytes of all runs together; 0: none are kept. */
  readonly bytesMax: number
  /** A run ends with the key that brings its work here: so much is read again when one of its keys is written. */
  readonly runWork: number
  /** Of ranges that take less work nothing is kept, unless they met a run. */
  readonly rangeWorkMin: number
}

export const defaultRangeCacheLimits: RangeCacheLimits = {
  bytesMax: 32 * 1024 * 1024,
  runWork: sliceWork / 2,
  rangeWorkMin: sliceWork,
}

/** A smaller run counts as so many bytes: this bounds how many there are. */
const runBytesMin = 4 * 1024

/** Keys that follow each other, and what a taker made of them. */
export interface Run {
  /** Half-open bounds, in forms; all keys between them are in it. `end` undefined is open. */
  readonly first: Uint8Array
  readonly end: Uint8Array | undefined
  readonly firstKey: Uint8Array
  readonly lastKey: Uint8Array
  /** Its keys were read as of this revision, and none between its bounds was written since. */
  readonly revision: number
  readonly count: number
  /** Nobody changes them. */
  readonly bytes: Uint8Array
  /** The last range that used it. */
  usedBy: number
}

/** Where a key lies: in a run, or in front of the next one. */
export interface Place {
  readonly run: Run | undefined
  readonly nextFirst: Uint8Array | undefined
}

const nowhere: Place = { run: undefined, nextFirst: undefined }

/**
 * Runs of the newest state that large ranges read, ready to be handed to the next of them. A write of a key ends the run it
 * lies in, so a run says at all times what a reader of the store would find.
 */
export class RangeCache {
  readonly limits: RangeCacheLimits
  /** In order of their keys; no two overlap. */
  readonly #runs: Run[] = []
  /** The one that was not used for longest comes first. */
  readonly #byUse = new Set<Run>()
  #bytes = 0
  #rangeCount = 0

  constructor(limits: RangeCacheLimits) {
    this.limits = limits
  }

  /** Of all runs. */
  get bytes(): number {
    return this.#bytes
  }

  /** A number for a range, larger than those before. */
  beginRange(): number {
    return ++this.#rangeCount
  }

  /** Where the form lies among the runs. */
  find(form: Uint8Array): Place {
    if (this.#runs.length === 0) return nowhere
    const at = this.#lastUpTo(form)
    const run = this.#runs[at]
    return {
      run: run !== undefined && isBefore(form, run.end) ? run : undefined,
      nextFirst: this.#runs[at + 1]?.first,
    }
  }

  /** The range took the run. */
  used(run: Run, range: number): void {
    const wasKept = this.#byUse.delete(run)
    assert(wasKept, 'a run that is used is there')
    this.#byUse.add(run)
    run.usedBy = Math.max(run.usedBy, range)
  }

  /**
   * Whether so many bytes can be kept for the range; those that were not used for longest make room. They do not when they
   * were used since the range began: one that is larger than the cache would throw out what it needs first the next time.
   */
  makeRoom(bytes: number, range: number): boolean {
    const left = this.limits.bytesMax - Math.max(runBytesMin, bytes)
    for (const oldest of this.#byUse) {
      if (this.#bytes <= left) break
      if (oldest.usedBy >= range) return false
      this.#remove(this.#lastUpTo(oldest.first))
    }
    return this.#bytes <= left
  }

  /** Keeps a run of the present state. */
  add(run: Run): void {
    const at = this.#lastUpTo(run.first) + 1
    const before = this.#runs[at - 1]
    const after = this.#runs[at]
    assert(before === undefined || !isBefore(run.first, before.end), 'a run begins behind the one before')
    assert(after === undefined || !isBefore(after.first, run.end), 'a run ends before the next begins')
    this.#runs.splice(at, 0, run)
    this.#byUse.add(run)
    this.#bytes += sizeOf(run)
  }

  /** The key of this form is put or deleted. */
  written(form: Uint8Array): void {
    if (this.#runs.length === 0) return
    const at = this.#lastUpTo(form)
    const run = this.#runs[at]
    if (run !== undefined && isBefore(form, run.end)) this.#remove(at)
  }

  clear(): void {
    this.#runs.length = 0
    this.#byUse.clear()
    this.#bytes = 0
  }

  #remove(at: number): void {
    const [run] = this.#runs.splice(at, 1)
    const wasKept = run !== undefined && this.#byUse.delete(run)
    assert(wasKept, 'a run is in both orders')
    this.#bytes -= sizeOf(run)
  }

  /** Of the runs that begin at or before the form, the place of the last; -1: none does. */
  #lastUpTo(form: Uint8Array): number {
    let low = 0
    let high = this.#runs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes((this.#runs[middle] as Run).first, form) <= 0) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

function sizeOf({ bytes }: Run): number {
  return Math.max(runBytesMin, bytes.length)
}

/** Whether a form lies before an end that may be open. */
export function isBefore(form: Uint8Array, end: Uint8Array | undefined): boolean {
  return end === undefined || compareBytes(form, end) < 0
}
