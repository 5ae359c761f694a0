import { emptyBytes, QuorateError, utf8Decode } from '../base/index.ts'

/** Embedded messages inside each other; a transaction takes two levels a nesting. */
export const nestingMax = 512

const varintBytesMax = 10

/** Two 32-bit halves and the bigint they make, in one place of memory: no arithmetic on bigints. */
const idScratch = new BigInt64Array(1)
const idScratchUnsigned = new BigUint64Array(idScratch.buffer)
const idHalves = new Uint32Array(idScratch.buffer)
const lowHalf = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 0 : 1

/**
 * Walks over the bytes of one protobuf message. Every step is checked against the end of the innermost message,
 * so whatever a stranger sends ends in `frame-malformed`. Byte fields are views on the input, not copies.
 */
export class MessageReader {
  readonly bytes: Uint8Array
  position = 0
  /** End of the innermost open message. */
  end: number
  #depth = 0
  #low = 0
  #high = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.end = bytes.length
  }

  /** Field number and wire type of the next field: number << 3 | type. */
  tag(): number {
    if (this.position < this.end) {
      const byte = this.bytes[this.position] as number
      if (byte < 0x80) {
        this.position++
        if (byte < 8) throw malformed('proto: illegal tag 0')
        return byte
      }
    }
    this.#varint()
    if (this.#high !== 0 || this.#low < 8) throw malformed(`proto: illegal tag ${this.#low >>> 3}`)
    return this.#low
  }

  /** An int64 as a number; what lies outside of +-(2^53 - 1) is taken as that bound: it compares the same. */
  count(): number {
    if (this.position < this.end) {
      const byte = this.bytes[this.position] as number
      if (byte < 0x80) {
        this.position++
        return byte
      }
    }
    this.#varint()
    const high = this.#high
    if (high < 0x20_0000) return high * 0x1_0000_0000 + this.#low
    if (high < 0x8000_0000) return Number.MAX_SAFE_INTEGER
    if (high < 0xffe0_0000) return Number.MIN_SAFE_INTEGER
    return Math.max((high - 0x1_0000_0000) * 0x1_0000_0000 + this.#low, Number.MIN_SAFE_INTEGER)
  }

  /** An int64 as a bigint. */
  id(): bigint {
    this.#varint()
    if (this.#low === 0 && this.#high === 0) return 0n
    idHalves[lowHalf] = this.#low
    idHalves[1 - lowHalf] = this.#high
    return idScratch[0] as bigint
  }

  /** A uint64 as a bigint. */
  uid(): bigint {
    this.#varint()
    if (this.#low === 0 && this.#high === 0) return 0n
    idHalves[lowHalf] = this.#low
    idHalves[1 - lowHalf] = this.#high
    return idScratchUnsigned[0] as bigint
  }

  u32(): number {
    this.#varint()
    return this.#low
  }

  /** An int32: the low half, signed, as protobuf says for enumerations. */
  enumeration(): number {
    this.#varint()
    return this.#low | 0
  }

  bool(): boolean {
    this.#varint()
    return this.#low !== 0 || this.#high !== 0
  }

  byteString(): Uint8Array {
    const size = this.#size()
    if (size === 0) return emptyBytes
    const start = this.position
    this.position = start + size
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + start, size)
  }

  text(): string {
    const bytes = this.byteString()
    if (bytes.length === 0) return ''
    const text = utf8Decode(bytes)
    if (text === undefined) throw malformed('proto: a string field is not UTF-8')
    return text
  }

  /** Opens an embedded message; give what it returns to `close` after its last field. */
  open(): number {
    const size = this.#size()
    const outer = this.end
    if (++this.#depth > nestingMax) throw malformed(`proto: messages are nested deeper than ${nestingMax}`)
    this.end = this.position + size
    return outer
  }

  close(outer: number): void {
    this.#depth--
    this.end = outer
  }

  /** A repeated enumeration in its packed form, added to `values`. */
  packedEnumerations(values: number[]): void {
    const outer = this.open()
    while (this.position < this.end) values.push(this.enumeration())
    this.close(outer)
  }

  /** Steps over a field that this version does not know. `known` fields come here only with a wrong wire type. */
  skip(tag: number, known: readonly number[]): void {
    const field = tag >>> 3
    const wireType = tag & 7
    if (known.includes(field)) throw malformed(`proto: wrong wireType = ${wireType} for field ${field}`)
    if (wireType === 0) this.#varint()
    else if (wireType === 1) this.#step(8)
    else if (wireType === 2) this.#step(this.#size())
    else if (wireType === 5) this.#step(4)
    else throw malformed(`proto: illegal wireType ${wireType}`)
  }

  #size(): number {
    const size = this.count()
    if (size < 0 || size > this.end - this.position) throw malformed('unexpected EOF')
    return size
  }

  #step(size: number): void {
    if (size > this.end - this.position) throw malformed('unexpected EOF')
    this.position += size
  }

  #varint(): void {
    const bytes = this.bytes
    const end = this.end
    let at = this.position
    let low = 0
    let high = 0
    for (let i = 0; i < varintBytesMax; i++) {
      if (at >= end) throw malformed('unexpected EOF')
      const byte = bytes[at++] as number
      const part = byte & 0x7f
      if (i < 4) low |= part << (7 * i)
      else if (i === 4) {
        low |= part << 28
        high = part >>> 4
      } else high |= part << (7 * i - 32)
      if (byte < 0x80) {
        this.position = at
        this.#low = low >>> 0
        this.#high = high >>> 0
        return
      }
    }
    throw malformed('proto: integer overflow')
  }
}

function malformed(detail: string): QuorateError {
  return new QuorateError('frame-malformed', detail)
}
