import {
  assert,
  ByteReader,
  ByteWriter,
  concatBytes,
  copyBytes,
  crc32c,
  QuorateError,
} from '../base/index.ts'

/**
 * Frames on the connection between two nodes. A message is one frame, or several that carry "more follows"; frames of
 * the two classes may alternate, so a heartbeat passes a large message that is under way.
 * Shape: u8 magic 0x51 | u8 version 1 | u8 class | u8 flags (1: more follows) | u32 group | u32 length |
 *        u32 payload checksum | u32 header checksum over the 16 bytes before | payload.
 * Frozen: docs/formats/peer-frame.md.
 */
export const frameClass = { control: 0, bulk: 1 } as const
export type FrameClass = (typeof frameClass)[keyof typeof frameClass]

export const frameHeaderSize = 20
/** Larger messages are cut into pieces of this size, so that control frames wait for at most one piece. */
export const framePayloadMax: number = 64 * 1024
const magic = 0x51
const frameVersion = 1
const flagMore = 1

export interface PeerMessageBytes {
  readonly frameClass: FrameClass
  readonly group: number
  readonly payload: Uint8Array
}

/** The frames of one message, ready to be written one after the other. */
export function framesOf(message: PeerMessageBytes): Uint8Array[] {
  const frames: Uint8Array[] = []
  const { payload } = message
  for (let start = 0; start === 0 || start < payload.length; start += framePayloadMax) {
    const end = Math.min(start + framePayloadMax, payload.length)
    const frame = new Uint8Array(frameHeaderSize + end - start)
    const writer = new ByteWriter(frame)
    writer.u8(magic)
    writer.u8(frameVersion)
    writer.u8(message.frameClass)
    writer.u8(end < payload.length ? flagMore : 0)
    writer.u32(message.group)
    writer.u32(end - start)
    writer.u32(crc32c(payload, 0, start, end))
    writer.u32(crc32c(frame, 0, 0, writer.size))
    frame.set(payload.subarray(start, end), frameHeaderSize)
    frames.push(frame)
  }
  return frames
}

/** A frame whose header has come, and so much of its payload. */
interface OpenFrame {
  readonly header: FrameHeader
  readonly payload: Uint8Array
  filled: number
}

/** Frames of a message that goes on. */
interface Partial {
  readonly parts: Uint8Array[]
  size: number
}

/** Cuts a byte stream into messages. Any violation throws; the connection is then closed and nothing else. */
export class FrameReader {
  #messageBytesMax: number
  /** A header that has not come whole. */
  readonly #head = new Uint8Array(frameHeaderSize)
  #headSize = 0
  #open: OpenFrame | undefined
  readonly #partial: [Partial | undefined, Partial | undefined] = [undefined, undefined]

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax
  }

  /** Whoever has said who it is may send larger messages. */
  allow(messageBytesMax: number): void {
    this.#messageBytesMax = messageBytesMax
  }

  /**
   * The messages that became whole with these bytes; one that came in one piece is a view on them. Errors:
   * `frame-malformed`, `frame-too-large`, `format-unsupported`.
   */
  push(bytes: Uint8Array): PeerMessageBytes[] {
    const messages: PeerMessageBytes[] = []
    let at = 0
    while (at < bytes.length) {
      if (this.#open !== undefined) at += this.#fill(this.#open, bytes, at, messages)
      else if (this.#headSize === 0 && bytes.length - at >= frameHeaderSize) {
        const header = readHeader(bytes, at)
        at = this.#begin(header, bytes, at + frameHeaderSize, messages)
      } else {
        const part = bytes.subarray(at, at + frameHeaderSize - this.#headSize)
        this.#head.set(part, this.#headSize)
        this.#headSize += part.length
        at += part.length
        if (this.#headSize < frameHeaderSize) break
        this.#headSize = 0
        at = this.#begin(readHeader(this.#head, 0), bytes, at, messages)
      }
    }
    return messages
  }

  /** Where the next frame begins, or all that came is read. */
  #begin(header: FrameHeader, bytes: Uint8Array, at: number, messages: PeerMessageBytes[]): number {
    const size = (this.#partial[header.frameClass]?.size ?? 0) + header.length
    if (size > this.#messageBytesMax) {
      throw new QuorateError('frame-too-large', `a message is larger than ${this.#messageBytesMax} bytes`)
    }
    const end = at + header.length
    if (end <= bytes.length) {
      const payload = bytes.subarray(at, end)
      // A part is copied: its bytes may be a large shared chunk of which nothing else is needed by then.
      this.#take(header, header.more ? copyBytes(payload) : payload, messages)
      return end
    }
    const open = { header, payload: new Uint8Array(header.length), filled: 0 }
    this.#open = open
    return at + this.#fill(open, bytes, at, messages)
  }

  /** How many of the bytes the frame took. */
  #fill(open: OpenFrame, bytes: Uint8Array, at: number, messages: PeerMessageBytes[]): number {
    const { header, payload, filled } = open
    const part = bytes.subarray(at, at + payload.length - filled)
    payload.set(part, filled)
    open.filled += part.length
    if (open.filled === payload.length) {
      this.#open = undefined
      this.#take(header, payload, messages)
    }
    return part.length
  }

  #take(header: FrameHeader, payload: Uint8Array, messages: PeerMessageBytes[]): void {
    if (crc32c(payload) !== header.payloadChecksum) {
      throw new QuorateError('frame-malformed', 'a frame does not match its payload checksum')
    }
    const { frameClass, group, more } = header
    const partial = this.#partial[frameClass]
    if (more) {
      if (partial === undefined) this.#partial[frameClass] = { parts: [payload], size: payload.length }
      else {
        partial.parts.push(payload)
        partial.size += payload.length
      }
      return
    }
    this.#partial[frameClass] = undefined
    const whole = partial === undefined ? payload : concatBytes([...partial.parts, payload])
    messages.push({ frameClass, group, payload: whole })
  }
}

interface FrameHeader {
  readonly frameClass: FrameClass
  readonly more: boolean
  readonly group: number
  readonly length: number
  readonly payloadChecksum: number
}

function readHeader(input: Uint8Array, position: number): FrameHeader {
  const reader = new ByteReader(input, position, position + frameHeaderSize)
  const foundMagic = reader.u8()
  if (foundMagic !== magic) {
    throw new QuorateError(
      'frame-malformed',
      `a frame starts with byte ${foundMagic}, not with ${magic}: is this a peer?`,
    )
  }
  const version = reader.u8()
  const kind = reader.u8()
  const flags = reader.u8()
  const group = reader.u32()
  const length = reader.u32()
  const payloadChecksum = reader.u32()
  if (crc32c(input, 0, position, position + 16) !== reader.u32()) {
    throw new QuorateError('frame-malformed', 'a frame does not match its header checksum')
  }
  if (version !== frameVersion) {
    throw new QuorateError(
      'format-unsupported',
      `a frame has version ${version}; this build knows ${frameVersion}`,
    )
  }
  if (kind !== frameClass.control && kind !== frameClass.bulk) {
    throw new QuorateError('frame-malformed', `a frame has the unknown class ${kind}`)
  }
  if (length > framePayloadMax) {
    throw new QuorateError(
      'frame-too-large',
      `a frame of ${length} bytes is over the limit of ${framePayloadMax}`,
    )
  }
  assert(reader.remaining === 0, 'the header was read whole')
  return { frameClass: kind, more: (flags & flagMore) !== 0, group, length, payloadChecksum }
}
