import { assert } from './assert.ts'

/**
 * Grows as it is written to. All fixed-width numbers are little-endian, the order of all formats of ours
 * except keys that must sort as bytes (those use the big-endian functions).
 */
export class ByteWriter {
  #bytes: Uint8Array
  #view: DataView
  #size = 0

  constructor(initialSize = 256) {
    this.#bytes = new Uint8Array(initialSize)
    this.#view = new DataView(this.#bytes.buffer)
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
    this.#view.setUint16(at, value, true)
  }

  u32(value: number): void {
    const at = this.#take(4)
    this.#view.setUint32(at, value, true)
  }

  /** A whole number in [0, 2^53) in eight bytes. */
  u53(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'u53 takes a safe, non-negative whole number')
    const at = this.#take(8)
    this.#view.setUint32(at, value >>> 0, true)
    this.#view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
  }

  /** The low 64 bits, signed or not. */
  u64(value: bigint): void {
    const at = this.#take(8)
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), true)
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
    this.#view.setUint32(position, value, true)
  }

  /** What was written, without a copy: valid until the next write or reset. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#size)
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

  #grow(): void {
    const larger = new Uint8Array(Math.max(this.#size, this.#bytes.length * 2))
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}
