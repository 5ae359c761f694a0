/**
 * Walks the fields of a message where it lies, without objects of their own: the events of a thousand watchers are
 * read with it.
 */
export class FieldReader {
  /** Of the field that `next` has read: its number, and its bytes or its value. */
  number = 0
  value = 0
  at = 0
  end = 0
  #bytes: Uint8Array = new Uint8Array(0)
  #position = 0
  #limit = 0

  /** The message is bytes [at, end) of `bytes`. */
  reset(bytes: Uint8Array, at: number, end: number): this {
    this.#bytes = bytes
    this.#position = at
    this.#limit = end
    return this
  }

  /** False: the message has no more fields. */
  next(): boolean {
    if (this.#position >= this.#limit) return false
    const tag = this.#varint()
    const wireType = tag & 7
    this.number = tag >>> 3
    if (wireType === 0) this.value = this.#varint()
    else if (wireType === 2) {
      const size = this.#varint()
      this.at = this.#position
      this.end = this.#position + size
      this.#position = this.end
    } else throw new Error(`wire type ${wireType}`)
    if (this.#position > this.#limit) throw new Error('message is cut short')
    return true
  }

  /** Exact below 2^53; of ids beyond, the lower bits are lost. */
  #varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#position++]
      if (byte === undefined) throw new Error('message is cut short')
      if (byte < 0x80) return value + byte * factor
      value += (byte & 0x7f) * factor
    }
  }
}
