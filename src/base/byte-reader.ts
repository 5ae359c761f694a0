import { assert } from './assert.ts'
import { QuorateError } from './errors.ts'

/**
 * Reads what ByteWriter wrote. Every step checks what is left, so bytes from a stranger end in
 * `frame-malformed` and never in an allocation of their choosing.
 */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #end: number
  #position: number

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    assert(end <= bytes.length, 'a reader ends within its bytes')
    this.#position = start
    this.#end = end
  }

  get position(): number {
    return this.#position
  }

  get remaining(): number {
    return this.#end - this.#position
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number
  }

  u16(): number {
    const at = this.#take(2)
    return (this.#bytes[at] as number) | ((this.#bytes[at + 1] as number) << 8)
  }

  u32(): number {
    return this.#u32At(this.#take(4))
  }

  u53(): number {
    const at = this.#take(8)
    const high = this.#u32At(at + 4)
    if (high >= 0x20_0000) throw new QuorateError('frame-malformed', 'a counter is larger than 2^53')
    return high * 0x1_0000_0000 + this.#u32At(at)
  }

  u64(): bigint {
    const at = this.#take(8)
    return (BigInt(this.#u32At(at + 4)) << 32n) | BigInt(this.#u32At(at))
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 8; count++) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) break
        return value
      }
      scale *= 0x80
    }
    throw new QuorateError('frame-malformed', 'a variable-length number is longer than 53 bits')
  }

  /** The next `count` bytes as a view on the input, not a copy. */
  raw(count: number): Uint8Array {
    const at = this.#take(count)
    const { buffer, byteOffset } = this.#bytes
    return new Uint8Array(buffer, byteOffset + at, count)
  }

  /** Length as varint, then that many bytes, as a view on the input. */
  sized(): Uint8Array {
    return this.raw(this.varint())
  }

  /** Call when all must have been read. */
  finish(what: string): void {
    if (this.remaining !== 0) {
      throw new QuorateError('frame-malformed', `${what} has ${this.remaining} bytes after its end`)
    }
  }

  #u32At(at: number): number {
    const bytes = this.#bytes
    const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
    return (((d as number) << 24) | ((c as number) << 16) | ((b as number) << 8) | (a as number)) >>> 0
  }

  #take(count: number): number {
    const at = this.#position
    if (count > this.#end - at) {
      throw new QuorateError('frame-malformed', `${count} bytes wanted, ${this.#end - at} left`)
    }
    this.#position = at + count
    return at
  }
}
