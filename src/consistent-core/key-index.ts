import { assert, compareBytes, emptyBytes, present } from '../base/index.ts'
import type { FormBounds } from './key-form.ts'
import { liveRowSize } from './rows.ts'

/** Called for each live key in order: its form, the visitor's to keep, and its row, which is lent. False ends the visit. */
export type VisitLive = (form: Uint8Array, row: Uint8Array) => boolean

/** Walks live keys one by one; valid until the next change. `form` is undefined past the last. */
export interface LiveCursor {
  readonly form: Uint8Array | undefined
  /** Lent: it changes with the index. */
  readonly row: Uint8Array
  advance(): void
}

/** A full leaf is cut in two. */
const leafKeysMax = 256
/** So is one with more than this, unless it has one long key only. */
const leafBytesMax = 64 * 1024
const leafBytesMin = 1024
/** Before the key of an entry: u32 size of the form | row. */
const headSize = 4 + liveRowSize

/**
 * The live keys in order, each with the row that says where its newest version is. All of it is in memory and made again from
 * the records at each start, as in etcd: a row at a random place would cost a page of the store at each put
 * (docs/decisions/0067). Its bytes lie in few arrays outside of the engine's heap, so the collector need not walk them.
 *
 * Leaves of up to 256 keys under one sorted list of leaves. In a leaf the entries lie as they came, and their places are sorted;
 * a key that is there gets its new row in place.
 */
export class KeyIndex {
  /** Never empty; no leaf but the only one is empty. Each has the keys from its `low` on that are below the next one's. */
  #leaves: Leaf[] = [new Leaf(emptyBytes)]
  /** How many keys each leaf has. */
  #counts: number[] = [0]
  /** Counts changes, so that a visit notices a write under its feet. */
  #changes = 0
  /** What was asked for last is what is written next, as a rule; without `form` after a change. */
  readonly #asked: { form: Uint8Array | undefined; leaf: number; slot: number } = {
    form: undefined,
    leaf: 0,
    slot: 0,
  }

  clear(): void {
    this.#leaves = [new Leaf(emptyBytes)]
    this.#counts = [0]
    this.#changed()
  }

  /** The row of a form, a copy. */
  get(form: Uint8Array): Uint8Array | undefined {
    const { leaf, slot } = this.#find(form)
    return slot < 0 ? undefined : this.#leafAt(leaf).copyOfRow(slot)
  }

  has(form: Uint8Array): boolean {
    return this.#find(form).slot >= 0
  }

  /** Copies form and row. */
  set(form: Uint8Array, row: Uint8Array): void {
    assert(row.length === liveRowSize, 'a live row has its size')
    const { leaf: index, slot } = this.#find(form)
    this.#changed()
    const leaf = this.#leafAt(index)
    if (slot >= 0) {
      leaf.setRow(slot, row)
      return
    }
    if (!leaf.isFull) {
      leaf.insert(~slot, form, row)
      this.#counts[index] = leaf.count
      return
    }
    // Keys that only ever grow leave full leaves behind instead of half-empty ones.
    const isLast = index === this.#leaves.length - 1 && ~slot === leaf.count
    const upper = isLast ? new Leaf(form.slice()) : leaf.split(leaf.count >>> 1)
    this.#leaves.splice(index + 1, 0, upper)
    const target = compareBytes(form, upper.low) < 0 ? leaf : upper
    target.insert(~target.find(form), form, row)
    this.#counts.splice(index, 1, leaf.count, upper.count)
  }

  /** Of a form that is there. */
  delete(form: Uint8Array): void {
    const { leaf: index, slot } = this.#find(form)
    this.#changed()
    assert(slot >= 0, 'a key that is deleted is live')
    const leaf = this.#leafAt(index)
    leaf.remove(slot)
    this.#counts[index] = leaf.count
    if (leaf.count > 0 || this.#leaves.length === 1) return
    this.#leaves.splice(index, 1)
    this.#counts.splice(index, 1)
  }

  /** Keys within the bounds. */
  count(bounds: FormBounds): number {
    const { first, end } = this.#placesOf(bounds)
    if (first.leaf > end.leaf || (first.leaf === end.leaf && first.slot >= end.slot)) return 0
    let count = end.slot - first.slot
    for (let leaf = first.leaf; leaf < end.leaf; leaf++) count += this.#counts[leaf] as number
    return count
  }

  /** False: the visitor ended it. The visitor must not write. */
  scan(bounds: FormBounds, visit: VisitLive): boolean {
    const changes = this.#changes
    const { first, end } = this.#placesOf(bounds)
    for (let { leaf: index, slot } = first; index <= end.leaf; index++, slot = 0) {
      const leaf = this.#leafAt(index)
      const stop = index === end.leaf ? end.slot : leaf.count
      for (; slot < stop; slot++) {
        const isOver = !visit(leaf.form(slot), leaf.row(slot))
        assert(changes === this.#changes, 'the keys were written to while they were read')
        if (isOver) return false
      }
    }
    return true
  }

  cursor(bounds: FormBounds): LiveCursor {
    const { first, end } = this.#placesOf(bounds)
    return new Cursor(this.#leaves, first, end)
  }

  #placesOf({ first, end }: FormBounds): { first: Place; end: Place } {
    const last = this.#leaves.length - 1
    return {
      first: this.#place(first),
      end: end === undefined ? { leaf: last, slot: this.#leafAt(last).count } : this.#place(end),
    }
  }

  /** Where the first key at or above the form is, or would be. */
  #place(form: Uint8Array): Place {
    const { leaf, slot } = this.#find(form)
    return { leaf, slot: slot < 0 ? ~slot : slot }
  }

  /** The place of a form, or of where it would be with ~slot. Until the next call. */
  #find(form: Uint8Array): Place {
    const asked = this.#asked
    if (asked.form !== form) {
      asked.form = form
      asked.leaf = this.#leafFor(form)
      asked.slot = this.#leafAt(asked.leaf).find(form)
    }
    return asked
  }

  #changed(): void {
    this.#changes++
    this.#asked.form = undefined
  }

  /** No comparison looks again at what is known to be equal: keys have long beginnings in common. */
  #leafFor(form: Uint8Array): number {
    const leaves = this.#leaves
    let low = 0
    let high = leaves.length
    let lowShared = 0
    let highShared = 0
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      const begin = (leaves[middle] as Leaf).low
      const size = Math.min(begin.length, form.length)
      let shared = Math.min(lowShared, highShared)
      while (shared < size && begin[shared] === form[shared]) shared++
      const isAbove =
        shared === size ? begin.length > form.length : (begin[shared] as number) > (form[shared] as number)
      if (isAbove) {
        high = middle
        highShared = shared
      } else {
        low = middle
        lowShared = shared
      }
    }
    return low
  }

  #leafAt(index: number): Leaf {
    return this.#leaves[index] as Leaf
  }
}

type Place = { readonly leaf: number; readonly slot: number }

class Leaf {
  /** No key of this leaf is below it, unless it is the first one. */
  readonly low: Uint8Array
  count = 0
  /** Where the entries begin, in the order of their forms. */
  readonly #places = new Uint32Array(leafKeysMax)
  #bytes = new Uint8Array(leafBytesMin)
  #used = 0
  /** Of what was removed, below `#used`. */
  #garbage = 0

  constructor(low: Uint8Array) {
    this.low = low
  }

  get isFull(): boolean {
    return this.count === leafKeysMax || (this.count > 1 && this.#used - this.#garbage > leafBytesMax)
  }

  /** The slot of a form, or ~slot of where it would be. */
  find(form: Uint8Array): number {
    const bytes = this.#bytes
    let low = 0
    let high = this.count
    let lowShared = 0
    let highShared = 0
    while (low < high) {
      const middle = (low + high) >>> 1
      const at = this.#places[middle] as number
      const size = this.#formSize(at)
      const sharedMax = Math.min(size, form.length)
      const start = at + headSize
      let shared = Math.min(lowShared, highShared)
      while (shared < sharedMax && bytes[start + shared] === form[shared]) shared++
      if (shared === sharedMax && size === form.length) return middle
      const isAbove =
        shared === sharedMax
          ? size > form.length
          : (bytes[start + shared] as number) > (form[shared] as number)
      if (isAbove) {
        high = middle
        highShared = shared
      } else {
        low = middle + 1
        lowShared = shared
      }
    }
    return ~low
  }

  /** Lent. */
  row(slot: number): Uint8Array {
    const at = (this.#places[slot] as number) + 4
    return this.#bytes.subarray(at, at + liveRowSize)
  }

  copyOfRow(slot: number): Uint8Array {
    const copy = new Uint8Array(liveRowSize)
    const at = (this.#places[slot] as number) + 4
    for (let i = 0; i < liveRowSize; i++) copy[i] = this.#bytes[at + i] as number
    return copy
  }

  setRow(slot: number, row: Uint8Array): void {
    const bytes = this.#bytes
    const at = (this.#places[slot] as number) + 4
    for (let i = 0; i < liveRowSize; i++) bytes[at + i] = row[i] as number
  }

  /** A copy. */
  form(slot: number): Uint8Array {
    const at = this.#places[slot] as number
    const size = this.#formSize(at)
    const form = new Uint8Array(size)
    for (let i = 0; i < size; i++) form[i] = this.#bytes[at + headSize + i] as number
    return form
  }

  insert(slot: number, form: Uint8Array, row: Uint8Array): void {
    assert(this.count < leafKeysMax, 'a leaf that is full is cut before')
    const size = headSize + form.length
    if (this.#used + size > this.#bytes.length) this.#makeRoom(size)
    const at = this.#used
    const bytes = this.#bytes
    bytes[at] = form.length
    bytes[at + 1] = form.length >>> 8
    bytes[at + 2] = form.length >>> 16
    bytes[at + 3] = form.length >>> 24
    for (let i = 0; i < form.length; i++) bytes[at + headSize + i] = form[i] as number
    this.#used += size
    this.#places.copyWithin(slot + 1, slot, this.count)
    this.#places[slot] = at
    this.count++
    this.setRow(slot, row)
  }

  remove(slot: number): void {
    this.#garbage += headSize + this.#formSize(this.#places[slot] as number)
    this.#places.copyWithin(slot, slot + 1, this.count)
    this.count--
  }

  /** Keeps the first `kept` keys, and returns a leaf with the others. */
  split(kept: number): Leaf {
    const upper = new Leaf(this.form(kept))
    upper.#take(this, kept, this.count)
    const lower = new Leaf(this.low)
    lower.#take(this, 0, kept)
    this.#places.set(lower.#places)
    this.#bytes = lower.#bytes
    this.#used = lower.#used
    this.#garbage = 0
    this.count = kept
    return upper
  }

  /** The entries [from, to) of another leaf, in their order. This one is empty. */
  #take(other: Leaf, from: number, to: number): void {
    let size = 0
    for (let slot = from; slot < to; slot++) size += headSize + other.#formSize(other.#places[slot] as number)
    this.#bytes = new Uint8Array(Math.max(leafBytesMin, size + (size >>> 2)))
    for (let slot = from; slot < to; slot++) {
      const at = other.#places[slot] as number
      const end = at + headSize + other.#formSize(at)
      this.#places[slot - from] = this.#used
      this.#bytes.set(other.#bytes.subarray(at, end), this.#used)
      this.#used += end - at
    }
    this.count = to - from
  }

  #makeRoom(size: number): void {
    const needed = this.#used - this.#garbage + size
    const bytes = new Uint8Array(needed + (needed >>> 1))
    if (this.#garbage === 0) {
      bytes.set(this.#bytes)
      this.#bytes = bytes
      return
    }
    let used = 0
    for (let slot = 0; slot < this.count; slot++) {
      const at = this.#places[slot] as number
      const end = at + headSize + this.#formSize(at)
      bytes.set(this.#bytes.subarray(at, end), used)
      this.#places[slot] = used
      used += end - at
    }
    this.#bytes = bytes
    this.#used = used
    this.#garbage = 0
  }

  #formSize(at: number): number {
    const bytes = this.#bytes
    return (
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    )
  }
}

class Cursor implements LiveCursor {
  form: Uint8Array | undefined
  row: Uint8Array = emptyBytes
  readonly #leaves: readonly Leaf[]
  readonly #end: Place
  #leaf: number
  #slot: number

  constructor(leaves: readonly Leaf[], first: Place, end: Place) {
    this.#leaves = leaves
    this.#end = end
    this.#leaf = first.leaf
    this.#slot = first.slot
    this.advance()
  }

  advance(): void {
    for (; this.#leaf <= this.#end.leaf; this.#leaf++, this.#slot = 0) {
      const leaf = present(this.#leaves[this.#leaf], 'a cursor stays within its leaves')
      if (this.#slot >= (this.#leaf === this.#end.leaf ? this.#end.slot : leaf.count)) continue
      this.form = leaf.form(this.#slot)
      this.row = leaf.row(this.#slot)
      this.#slot++
      return
    }
    this.form = undefined
    this.row = emptyBytes
  }
}
