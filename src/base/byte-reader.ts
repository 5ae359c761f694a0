import { QuorateError } from './errors.ts'

/**
 * Reads what ByteWriter wrote. Every step checks what is left, so bytes from a stranger end in
 * `frame-malformed` and never in an allocation of their choosing.
 */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #end: number
  #position: number

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
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
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u53(): number {
    const at = this.#take(8)
    const high = this.#view.getUint32(at + 4, true)
    if (high >= 0x20_0000) throw new QuorateError('frame-malformed', 'a counter is larger than 2^53')
    return high * 0x1_0000_0000 + this.#view.getUint32(at, true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
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
    return this.#bytes.subarray(at, at + count)
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

  #take(count: number): number {
    const at = this.#position
    if (count > this.#end - at) {
      throw new QuorateError('frame-malformed', `${count} bytes wanted, ${this.#end - at} left`)
    }
    this.#position = at + count
    return at
  }
}
