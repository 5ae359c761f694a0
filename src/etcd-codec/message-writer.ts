import { assert, utf8Encode } from '../base/index.ts'

/** Messages are cut from slabs of this size; a larger one gets bytes of its own. */
const slabSize = 64 * 1024
/** Below this a loop is faster than Uint8Array.set. */
const copyByLoopBytesMax = 24

const idScratch = new BigInt64Array(1)
const idHalves = new Uint32Array(idScratch.buffer)
const lowHalf = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 0 : 1

/**
 * Writes protobuf messages from their last byte to their first, so that the length in front of an embedded message
 * is known when it is written, without measuring first. Fields are therefore written in falling order.
 *
 * A finished message is a view on a slab that is never written there again: no copy. A field with its default
 * value is left out, as proto3 says.
 */
export class MessageWriter {
  #slab: Uint8Array = new Uint8Array(slabSize)
  /** The finished messages lie in [end, slab.length). */
  #end: number = slabSize
  #position: number = slabSize

  /** Starts a message; one that was given up in the middle is forgotten. */
  begin(): void {
    this.#position = this.#end
  }

  /** The message; its bytes are the caller's. */
  finish(): Uint8Array {
    const slab = this.#slab
    const size = this.#end - this.#position
    const message = new Uint8Array(slab.buffer, this.#position, size)
    // A slab that grew for a large message is not kept: small messages would hold all of it in memory.
    if (slab.length > slabSize) {
      this.#slab = new Uint8Array(slabSize)
      this.#position = slabSize
    }
    this.#end = this.#position
    return message
  }

  /** Bytes of this message written so far: give it to `embedded` after the fields of an embedded message. */
  mark(): number {
    return this.#end - this.#position
  }

  /** Puts tag and length in front of the embedded message whose fields were written since `mark`. */
  embedded(tag: number, mark: number): void {
    this.#varint(this.#end - this.#position - mark)
    this.#varint(tag)
  }

  count(tag: number, value: number): void {
    if (value === 0) return
    assert(Number.isSafeInteger(value), 'a counter is a safe whole number')
    if (value > 0) this.#varint(value)
    else this.#varint64(value >>> 0, Math.floor(value / 0x1_0000_0000) >>> 0)
    this.#varint(tag)
  }

  id(tag: number, value: bigint): void {
    if (value === 0n) return
    idScratch[0] = value
    this.#varint64(idHalves[lowHalf] as number, idHalves[1 - lowHalf] as number)
    this.#varint(tag)
  }

  u32(tag: number, value: number): void {
    if (value === 0) return
    this.#varint(value >>> 0)
    this.#varint(tag)
  }

  enumeration(tag: number, value: number): void {
    if (value === 0) return
    this.#enumerationValue(value)
    this.#varint(tag)
  }

  bool(tag: number, value: boolean): void {
    if (!value) return
    this.#room(1)
    this.#slab[--this.#position] = 1
    this.#varint(tag)
  }

  byteString(tag: number, value: Uint8Array): void {
    if (value.length !== 0) this.byteStringAlways(tag, value)
  }

  /** Also when empty: an element of a repeated field. */
  byteStringAlways(tag: number, value: Uint8Array): void {
    const size = value.length
    this.#room(size)
    const start = this.#position - size
    const slab = this.#slab
    if (size <= copyByLoopBytesMax) for (let i = 0; i < size; i++) slab[start + i] = value[i] as number
    else slab.set(value, start)
    this.#position = start
    this.#varint(size)
    this.#varint(tag)
  }

  text(tag: number, value: string): void {
    if (value !== '') this.byteStringAlways(tag, utf8Encode(value))
  }

  textAlways(tag: number, value: string): void {
    this.byteStringAlways(tag, utf8Encode(value))
  }

  packedEnumerations(tag: number, values: readonly number[]): void {
    if (values.length === 0) return
    const mark = this.mark()
    for (let i = values.length - 1; i >= 0; i--) this.#enumerationValue(values[i] as number)
    this.embedded(tag, mark)
  }

  #enumerationValue(value: number): void {
    if (value >= 0) this.#varint(value)
    else this.#varint64(value >>> 0, 0xffff_ffff)
  }

  /** A whole number in [0, 2^53). */
  #varint(value: number): void {
    if (value < 0x80) {
      if (this.#position === 0) this.#grow(1)
      this.#slab[--this.#position] = value
    } else if (value < 0x4000) {
      this.#room(2)
      this.#slab[--this.#position] = value >>> 7
      this.#slab[--this.#position] = (value & 0x7f) | 0x80
    } else this.#varint64(value >>> 0, Math.floor(value / 0x1_0000_0000))
  }

  #varint64(low: number, high: number): void {
    // Groups of seven bits: four in the low half, one across, five in the high half (the last of one bit).
    let size = 10
    if (high === 0) {
      size = low < 0x80 ? 1 : low < 0x4000 ? 2 : low < 0x20_0000 ? 3 : low < 0x1000_0000 ? 4 : 5
    } else if (high < 0x8000_0000) {
      size = high < 8 ? 5 : high < 0x400 ? 6 : high < 0x2_0000 ? 7 : high < 0x100_0000 ? 8 : 9
    }
    this.#room(size)
    const slab = this.#slab
    const start = this.#position - size
    for (let i = 0; i < size; i++) {
      const group = i < 4 ? low >>> (7 * i) : i === 4 ? (low >>> 28) | (high << 4) : high >>> (7 * i - 32)
      slab[start + i] = i === size - 1 ? group & 0x7f : (group & 0x7f) | 0x80
    }
    this.#position = start
  }

  #room(size: number): void {
    if (size > this.#position) this.#grow(size)
  }

  /** Moves the message under way to the end of a new slab that has room for `size` more in front of it. */
  #grow(size: number): void {
    const written = this.#end - this.#position
    const needed = written + size
    const larger = new Uint8Array(
      needed <= slabSize / 4 ? slabSize : Math.max(slabSize + 1, needed + (needed >>> 1)),
    )
    larger.set(this.#slab.subarray(this.#position, this.#end), larger.length - written)
    this.#slab = larger
    this.#end = larger.length
    this.#position = larger.length - written
  }
}

/** The one writer of all encoders: encoding never waits, so two messages are never under way at once. */
export const writer: MessageWriter = new MessageWriter()
