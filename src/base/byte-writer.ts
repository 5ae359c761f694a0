import { assert } from './assert.ts'

/**
 * Grows as it is written to. All fixed-width numbers are little-endian, the order of all formats of ours
 * except keys that must sort as bytes (those use the big-endian functions). Bytes are set one by one: a DataView
 * costs more to make than a short message does to write with it.
 */
export class ByteWriter {
  #bytes: Uint8Array
  #size = 0

  /** `memory`: a size, or bytes to write into as long as they are enough. */
  constructor(memory: number | Uint8Array = 256) {
    this.#bytes = typeof memory === 'number' ? new Uint8Array(memory) : memory
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  u8(value: number): void {
    const at = this.#take(1)
    this.#bytes[at] = value
  }

  u16(value: number): void {
    const at = this.#take(2)
    this.#bytes[at] = value
    this.#bytes[at + 1] = value >>> 8
  }

  u32(value: number): void {
    this.#putU32(this.#take(4), value)
  }

  /** A whole number in [0, 2^53) in eight bytes. */
  u53(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'u53 takes a safe, non-negative whole number')
    const at = this.#take(8)
    this.#putU32(at, value >>> 0)
    this.#putU32(at + 4, Math.floor(value / 0x1_0000_0000))
  }

  /** The low 64 bits, signed or not. */
  u64(value: bigint): void {
    const at = this.#take(8)
    this.#putU32(at, Number(value & 0xffff_ffffn))
    this.#putU32(at + 4, Number((value >> 32n) & 0xffff_ffffn))
  }

  /** Base-128 variable length, least significant group first; value in [0, 2^53). */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'varint takes a safe, non-negative whole number')
    let rest = value
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.u8(rest)
  }

  raw(bytes: Uint8Array): void {
    const at = this.#take(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** Length as varint, then the bytes. */
  sized(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.raw(bytes)
  }

  /** Overwrites four bytes written before, for a length or checksum that is known only afterwards. */
  setU32(position: number, value: number): void {
    assert(position + 4 <= this.#size, 'setU32 overwrites what was written')
    this.#putU32(position, value)
  }

  /** What was written, without a copy: valid until the next write or reset. */
  view(): Uint8Array {
    const bytes = this.#bytes
    return this.#size === bytes.length ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, this.#size)
  }

  /** What was written, as bytes of its own. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#size)
  }

  reset(): void {
    this.#size = 0
  }

  #take(count: number): number {
    const at = this.#size
    this.#size += count
    if (this.#size > this.#bytes.length) this.#grow()
    return at
  }

  #putU32(at: number, value: number): void {
    const bytes = this.#bytes
    bytes[at] = value
    bytes[at + 1] = value >>> 8
    bytes[at + 2] = value >>> 16
    bytes[at + 3] = value >>> 24
  }

  #grow(): void {
    const larger = new Uint8Array(Math.max(this.#size, this.#bytes.length * 2))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}
