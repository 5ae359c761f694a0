import type { KeyValue, ResponseHeader } from './common.ts'
import { encodeRangeResponse } from './kv.ts'

/** Answers are cut from pages of this size; a longer part of a value gets one of its own. */
const pageBytes = 64 * 1024
/** Below this a loop is faster than Uint8Array.set. */
const copyByLoopBytesMax = 24
/** Of a pair, all but key and value: six tags, five numbers and three lengths. */
const restBytesMax = 6 + 5 * 10 + 3 * 5

/** The rest of the last page: the next answer begins there. */
let sparePage: Uint8Array = new Uint8Array(0)
let spareStart = 0

/**
 * Writes a RangeResponse from its first byte to its last while its pairs are found, so that none of them has to be kept: what
 * is added is copied at once. An answer of many pages is told as pieces, in their order.
 *
 * RangeResponse { header ResponseHeader=1, kvs repeated KeyValue=2, more bool=3, count count=4 }
 * KeyValue { key bytes=1, createRevision count=2, modRevision count=3, version count=4, value bytes=5, lease id=6 }
 */
export class RangeAnswer {
  readonly #pieces: Uint8Array[] = []
  #page: Uint8Array
  /** Of the page: where the present piece begins, and where it ends. */
  #start: number
  #end: number
  /** In pieces that are closed. */
  #closedBytes = 0

  constructor(header: ResponseHeader) {
    this.#page = sparePage
    this.#start = spareStart
    this.#end = spareStart
    // Whoever begins before this one has ended gets a page of its own.
    sparePage = new Uint8Array(0)
    spareStart = 0
    this.#copy(encodeRangeResponse({ header, kvs: [], more: false, count: 0 }))
  }

  /** Its counters are not negative. */
  add(pair: KeyValue): void {
    const { key, value, createRevision, modRevision, version, lease } = pair
    const head = headBytes(key, createRevision, modRevision, version)
    const valueHead = value.length === 0 ? 0 : 1 + varintBytes(value.length)
    const leaseBytes = lease === 0n ? 0 : 1 + idBytes(lease)
    this.#makeRoom(restBytesMax + key.length)
    this.#byte(0x12)
    this.#varint(head + valueHead + value.length + leaseBytes)
    if (key.length > 0) {
      this.#byte(0xa)
      this.#varint(key.length)
      this.#copy(key)
    }
    this.#count(0x10, createRevision)
    this.#count(0x18, modRevision)
    this.#count(0x20, version)
    if (value.length > 0) {
      this.#byte(0x2a)
      this.#varint(value.length)
      this.#copy(value)
    }
    if (lease !== 0n) {
      this.#makeRoom(restBytesMax)
      this.#byte(0x30)
      this.#id(lease)
    }
  }

  /** Bytes so far. */
  get size(): number {
    return this.#closedBytes + this.#end - this.#start
  }

  /** The bytes in [start, end), in memory of their own and no more of it than they need. */
  copy(start: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - start)
    // What is asked for was written last: from the end backwards.
    let last = this.size
    let piece: Uint8Array | undefined = this.#piece()
    for (let at = this.#pieces.length; piece !== undefined && last > start; piece = this.#pieces[--at]) {
      const first = last - piece.length
      const part = piece.subarray(Math.max(0, start - first), Math.max(0, end - first))
      if (first < end) bytes.set(part, Math.max(0, first - start))
      last = first
    }
    return bytes
  }

  /** Pairs that `copy` gave of such an answer. */
  addBytes(bytes: Uint8Array): void {
    this.#closePiece()
    this.#pieces.push(bytes)
    this.#closedBytes += bytes.length
  }

  /** The whole message; its bytes are the caller's. Nothing can be added afterwards. */
  finish(more: boolean, count: number): Uint8Array | readonly Uint8Array[] {
    this.#copy(encodeRangeResponse({ header: undefined, kvs: [], more, count }))
    const last = this.#piece()
    if (this.#page.length <= pageBytes) {
      sparePage = this.#page
      spareStart = this.#end
    }
    if (this.#pieces.length === 0) return last
    this.#pieces.push(last)
    return this.#pieces
  }

  #piece(): Uint8Array {
    return new Uint8Array(this.#page.buffer, this.#start, this.#end - this.#start)
  }

  #closePiece(): void {
    if (this.#end === this.#start) return
    this.#pieces.push(this.#piece())
    this.#closedBytes += this.#end - this.#start
    this.#start = this.#end
  }

  /** Closes the present piece unless the page has room for so many more. */
  #makeRoom(bytes: number): void {
    if (this.#page.length - this.#end >= bytes) return
    this.#closePiece()
    this.#page = new Uint8Array(Math.max(pageBytes, bytes))
    this.#start = 0
    this.#end = 0
  }

  /** What does not fit into the page goes on in the next. */
  #copy(bytes: Uint8Array): void {
    let rest = bytes
    for (;;) {
      const room = this.#page.length - this.#end
      if (rest.length <= room) break
      this.#page.set(rest.subarray(0, room), this.#end)
      this.#end += room
      rest = rest.subarray(room)
      this.#makeRoom(rest.length)
    }
    const page = this.#page
    const start = this.#end
    if (rest.length > copyByLoopBytesMax) page.set(rest, start)
    else for (let i = 0; i < rest.length; i++) page[start + i] = rest[i] as number
    this.#end = start + rest.length
  }

  #byte(value: number): void {
    this.#page[this.#end++] = value
  }

  #count(tag: number, value: number): void {
    if (value === 0) return
    this.#byte(tag)
    this.#varint(value)
  }

  /** A whole number in [0, 2^53). */
  #varint(value: number): void {
    let rest = value
    for (; rest >= 0x80; rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80)) {
      this.#byte((rest & 0x7f) | 0x80)
    }
    this.#byte(rest)
  }

  #id(value: bigint): void {
    let rest = BigInt.asUintN(64, value)
    for (; rest >= 0x80n; rest >>= 7n) this.#byte(Number(rest & 0x7fn) | 0x80)
    this.#byte(Number(rest))
  }
}

function headBytes(key: Uint8Array, ...counts: readonly [number, number, number]): number {
  let bytes = key.length === 0 ? 0 : 1 + varintBytes(key.length) + key.length
  for (const count of counts) if (count > 0) bytes += 1 + varintBytes(count)
  return bytes
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}

function idBytes(value: bigint): number {
  let bytes = 1
  for (let rest = BigInt.asUintN(64, value); rest >= 0x80n; rest >>= 7n) bytes++
  return bytes
}
