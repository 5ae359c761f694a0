import { emptyBytes } from '../base/index.ts'
import { frameBytesMax, frameFlag, frameHeaderBytes, frameType, type Http2ErrorCode } from './frame.ts'

/** The first page of a connection; each further one is twice as large as the one before. */
const firstPageBytes = 1024
const pageBytesMax = 32 * 1024
/** Payloads above it are handed on as they are; copying less is cheaper than another piece. */
const copiedBytesMax = 2 * 1024

/** SETTINGS with ack. */
export const settingsAck: Uint8Array = Uint8Array.of(0, 0, 0, frameType.settings, frameFlag.ack, 0, 0, 0, 0)

/** Frames that wait for the network, in the order in which they have to leave, in as few pieces as possible. */
export class OutgoingFrames {
  #pieces: Uint8Array[] = []
  #page: Uint8Array = emptyBytes
  /** Of the page: where the piece that is being written begins, and what is written. */
  #start = 0
  #used = 0
  #size = 0

  /** Bytes that wait. */
  get size(): number {
    return this.#size
  }

  /** All that waits, in order. They must not be changed. */
  take(): readonly Uint8Array[] {
    this.#closePiece()
    const pieces = this.#pieces
    this.#pieces = []
    this.#size = 0
    return pieces
  }

  settings(values: readonly (readonly [id: number, value: number])[]): void {
    this.#header(6 * values.length, frameType.settings, 0, 0)
    for (const [id, value] of values) {
      this.#u16(id)
      this.#u32(value)
    }
  }

  /** Whole frames that are the same for many connections. One that has sent nothing else so far holds no page for them. */
  constant(frames: Uint8Array): void {
    if (this.#page.length === 0) this.#pass(frames)
    else this.#payload(frames)
  }

  /** Eight bytes of the sender's choice. */
  ping(payload: Uint8Array, isAck: boolean): void {
    this.#header(8, frameType.ping, isAck ? frameFlag.ack : 0, 0)
    this.#payload(payload)
  }

  goAway(lastStreamId: number, code: Http2ErrorCode, text: Uint8Array): void {
    this.#header(8 + text.length, frameType.goAway, 0, 0)
    this.#u32(lastStreamId)
    this.#u32(code)
    this.#payload(text)
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#header(4, frameType.windowUpdate, 0, streamId)
    this.#u32(increment)
  }

  rstStream(streamId: number, code: Http2ErrorCode): void {
    this.#header(4, frameType.rstStream, 0, streamId)
    this.#u32(code)
  }

  /** A block larger than `frameBytesMax` goes on in CONTINUATION frames (section 6.10). */
  headers(streamId: number, block: Uint8Array, isEnd: boolean): void {
    const endFlag = isEnd ? frameFlag.endStream : 0
    if (block.length <= frameBytesMax) {
      this.#header(block.length, frameType.headers, frameFlag.endHeaders | endFlag, streamId)
      this.#payload(block)
      return
    }
    for (let start = 0; start < block.length; start += frameBytesMax) {
      const part = block.subarray(start, start + frameBytesMax)
      const lastFlag = start + frameBytesMax >= block.length ? frameFlag.endHeaders : 0
      const type = start === 0 ? frameType.headers : frameType.continuation
      this.#header(part.length, type, lastFlag | (start === 0 ? endFlag : 0), streamId)
      this.#payload(part)
    }
  }

  data(streamId: number, payload: Uint8Array, isEnd: boolean): void {
    this.#header(payload.length, frameType.data, isEnd ? frameFlag.endStream : 0, streamId)
    this.#payload(payload)
  }

  #header(length: number, type: number, flags: number, streamId: number): void {
    this.#makeRoom(frameHeaderBytes)
    const page = this.#page
    const at = this.#used
    page[at] = length >>> 16
    page[at + 1] = length >>> 8
    page[at + 2] = length
    page[at + 3] = type
    page[at + 4] = flags
    page[at + 5] = streamId >>> 24
    page[at + 6] = streamId >>> 16
    page[at + 7] = streamId >>> 8
    page[at + 8] = streamId
    this.#took(frameHeaderBytes)
  }

  #u16(value: number): void {
    this.#makeRoom(2)
    this.#page[this.#used] = value >>> 8
    this.#page[this.#used + 1] = value
    this.#took(2)
  }

  #u32(value: number): void {
    this.#makeRoom(4)
    const page = this.#page
    const at = this.#used
    page[at] = value >>> 24
    page[at + 1] = value >>> 16
    page[at + 2] = value >>> 8
    page[at + 3] = value
    this.#took(4)
  }

  #payload(bytes: Uint8Array): void {
    if (bytes.length <= copiedBytesMax) {
      this.#makeRoom(bytes.length)
      this.#page.set(bytes, this.#used)
      this.#took(bytes.length)
      return
    }
    this.#pass(bytes)
  }

  #pass(bytes: Uint8Array): void {
    this.#closePiece()
    this.#pieces.push(bytes)
    this.#size += bytes.length
  }

  #took(count: number): void {
    this.#used += count
    this.#size += count
  }

  #makeRoom(count: number): void {
    if (this.#used + count <= this.#page.length) return
    this.#closePiece()
    const bytes = Math.min(Math.max(2 * this.#page.length, firstPageBytes), pageBytesMax)
    this.#page = new Uint8Array(Math.max(bytes, count))
    this.#start = 0
    this.#used = 0
  }

  #closePiece(): void {
    if (this.#start === this.#used) return
    this.#pieces.push(this.#page.subarray(this.#start, this.#used))
    this.#start = this.#used
  }
}
