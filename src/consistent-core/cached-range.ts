import { compareBytes, copyBytes } from '../base/index.ts'
import type { RangeTaker } from './contract.ts'
import { afterForm, type FormBounds } from './key-form.ts'
import { isBefore, type RangeCache, type Run } from './range-cache.ts'
import { noMore, scan, sliceWork, type View, type Visitor } from './view.ts'

/** Of handing on a run that is there. */
const runTakenWork = 4

/** Who reads a range in the order of its keys. */
export interface RunVisitor {
  /** Hands each key that it sees to the taker. */
  readonly visit: Visitor
  readonly taker: RangeTaker
  /** Whether the whole of a run of so many keys belongs to the answer. */
  fits(count: number): boolean
  /** It was handed to the taker. */
  took(count: number): void
}

/** A run that is being read; its bytes begin at `start` of the answer. */
interface OpenRun {
  readonly first: Uint8Array
  readonly start: number
  firstKey: Uint8Array | undefined
  work: number
  count: number
}

/** A run that was read and is not kept yet: its bytes are [start, stop) of the answer. */
interface ClosedRun {
  readonly spans: Pick<Run, 'first' | 'firstKey' | 'lastKey' | 'end' | 'count'>
  readonly start: number
  readonly stop: number
}

/**
 * Visits the keys within the bounds as `visitBounds` does, and takes what it can from the cache. What it reads of the newest
 * state it keeps there, when the range is a large one.
 */
export function* visitThroughCache(
  view: View,
  bounds: FormBounds,
  visitor: RunVisitor,
): Generator<void, void, void> {
  const reading = new CachedReading(view, bounds.end, visitor)
  for (let next: Uint8Array | undefined = bounds.first; next !== undefined; ) {
    next = reading.goOn(next)
    if (next !== undefined && reading.hasTurn) continue
    reading.keep()
    if (next === undefined) return
    yield
    view.resumed()
    reading.beginTurn()
  }
}

class CachedReading {
  readonly #view: View
  readonly #cache: RangeCache
  readonly #end: Uint8Array | undefined
  readonly #visitor: RunVisitor
  readonly #range: number
  /** Of this turn, not yet kept. */
  #runs: ClosedRun[] = []
  #work = 0
  #left = sliceWork
  #hasMetRun = false

  constructor(view: View, end: Uint8Array | undefined, visitor: RunVisitor) {
    this.#view = view
    this.#cache = view.keys.cache
    this.#end = end
    this.#visitor = visitor
    this.#range = this.#cache.beginRange()
  }

  get hasTurn(): boolean {
    return this.#left > 0
  }

  beginTurn(): void {
    this.#left = sliceWork
  }

  /** Takes a run or reads up to one; where to go on, or undefined at the end. */
  goOn(first: Uint8Array): Uint8Array | undefined {
    if (!isBefore(first, this.#end)) return undefined
    const { run, nextFirst } = this.#cache.find(first)
    if (run === undefined) return this.#read(first, lower(this.#end, nextFirst), this.#isNewest)
    // A part of a run, or one that is too new, is read past.
    if (!this.#isWhole(run, first)) return this.#read(first, lower(this.#end, run.end), false)
    const { taker } = this.#visitor
    taker.addBytes(run.bytes)
    this.#visitor.took(run.count)
    this.#cache.used(run, this.#range)
    this.#spend(runTakenWork)
    this.#hasMetRun = true
    return run.end
  }

  /** Of a state that has moved on nobody can say whether it is what the cache would have to show. */
  get #isNewest(): boolean {
    return this.#view.revision >= this.#view.keys.newest
  }

  #isWhole(run: Run, first: Uint8Array): boolean {
    return (
      run.revision <= this.#view.revision &&
      compareBytes(first, run.firstKey) <= 0 &&
      isBefore(run.lastKey, this.#end) &&
      this.#visitor.fits(run.count)
    )
  }

  #read(first: Uint8Array, end: Uint8Array | undefined, isKept: boolean): Uint8Array | undefined {
    let run = this.#open(first)
    let last: Uint8Array | undefined
    let isFull = false
    scan(this.#view, { first, end }, (form, modRevision, sub, row) => {
      const work = this.#visitor.visit(form, modRevision, sub, row)
      if (work === noMore) {
        isFull = true
        return false
      }
      this.#spend(work)
      last = form
      run.work += work
      run.count++
      run.firstKey ??= form
      if (isKept && run.work >= this.#cache.limits.runWork) {
        const after = afterForm(form)
        this.#close(run, form, after)
        run = this.#open(after)
      }
      return this.hasTurn
    })
    const isPaused = !isFull && !this.hasTurn
    const reached = (isFull || isPaused) && last !== undefined ? afterForm(last) : end
    if (isKept && last !== undefined) this.#close(run, last, reached)
    return isFull ? undefined : reached
  }

  #spend(work: number): void {
    this.#left -= work
    this.#work += work
  }

  #open(first: Uint8Array): OpenRun {
    return { first, start: this.#visitor.taker.size, firstKey: undefined, work: 0, count: 0 }
  }

  #close(run: OpenRun, lastKey: Uint8Array, end: Uint8Array | undefined): void {
    const { first, firstKey, start, count } = run
    if (firstKey === undefined) return
    const spans = { first, firstKey: copyBytes(firstKey), lastKey: copyBytes(lastKey), end, count }
    this.#runs.push({ spans, start, stop: this.#visitor.taker.size })
  }

  /** At the end of a turn: nothing was written since the runs of it were read. */
  keep(): void {
    const runs = this.#runs
    this.#runs = []
    if (this.#work < this.#cache.limits.rangeWorkMin && !this.#hasMetRun) return
    const { revision } = this.#view
    for (const { spans, start, stop } of runs) {
      if (!this.#cache.makeRoom(stop - start, this.#range)) continue
      const bytes = this.#visitor.taker.copy(start, stop)
      this.#cache.add({ ...spans, revision, bytes, usedBy: this.#range })
    }
  }
}

function lower(left: Uint8Array | undefined, right: Uint8Array | undefined): Uint8Array | undefined {
  return left === undefined || (right !== undefined && isBefore(right, left)) ? right : left
}
