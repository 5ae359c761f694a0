import { concatBytes, copyBytes, emptyBytes } from '../base/index.ts'
import { ConnectionFault } from './faults.ts'
import { frameBytesMax, frameHeaderBytes, http2Error, readU31 } from './frame.ts'

/**
 * Cuts what a connection receives into frames: push bytes, then call `next` until it answers false. The fields describe
 * the frame until the next call. Payloads are views on what was pushed; only a frame that came in pieces is put together,
 * in memory that grows with what was received and never with what a length claims.
 */
export class FrameReader {
  type = 0
  flags = 0
  streamId = 0
  payload: Uint8Array = emptyBytes
  #bytes: Uint8Array = emptyBytes
  #position = 0
  /** The bytes are not those that were pushed. */
  #isOwn = true

  /** Bytes that were pushed and not given out. */
  get unreadBytes(): number {
    return this.#bytes.length - this.#position
  }

  push(bytes: Uint8Array): void {
    this.#isOwn = this.#position < this.#bytes.length
    this.#bytes = this.#isOwn ? concatBytes([this.#bytes.subarray(this.#position), bytes]) : bytes
    this.#position = 0
  }

  /** True: a frame was read. Throws ConnectionFault when its length is above the limit. */
  next(): boolean {
    const bytes = this.#bytes
    const start = this.#position
    if (bytes.length - start < frameHeaderBytes) return this.#wait()
    const [a, b, c] = [bytes[start], bytes[start + 1], bytes[start + 2]]
    const length = ((a as number) << 16) | ((b as number) << 8) | (c as number)
    this.type = bytes[start + 3] as number
    this.flags = bytes[start + 4] as number
    this.streamId = readU31(bytes, start + 5)
    if (length > frameBytesMax) {
      throw new ConnectionFault(http2Error.frameSizeError, `a frame of ${length} bytes`)
    }
    const end = start + frameHeaderBytes + length
    if (bytes.length < end) return this.#wait()
    this.payload = new Uint8Array(bytes.buffer, bytes.byteOffset + start + frameHeaderBytes, length)
    this.#position = end
    return true
  }

  /** What is left is at most one frame. It must not keep a large read alive, and who pushed may use the memory again. */
  #wait(): false {
    this.payload = emptyBytes
    if (this.#position === this.#bytes.length) {
      this.#bytes = emptyBytes
      this.#position = 0
      this.#isOwn = true
    } else if (this.#position > 0 || !this.#isOwn) {
      this.#bytes = copyBytes(this.#bytes.subarray(this.#position))
      this.#position = 0
      this.#isOwn = true
    }
    return false
  }
}
