import { connect, type Socket } from 'node:net'
import { fieldOf, HpackDecoder } from '../../src/hpack/index.ts'
import {
  clientPreface,
  frameFlag,
  frameHeaderBytes,
  frameType,
  initialWindowBytes,
  readU16,
  readU31,
  readU32,
  settingId,
  windowBytesMax,
} from '../../src/http2/frame.ts'

export interface ClientConnectionOptions {
  readonly host: string
  readonly port: number
  /** Bytes [at, end) of `bytes` are the next of an answer. They are overwritten once this has returned. */
  data(stream: number, bytes: Buffer, at: number, end: number, nowMs: number): void
  /** The answer is complete. `status`: as in its trailers, or what broke the stream. */
  ended(stream: number, status: string, nowMs: number): void
  /** The server granted bytes to send: on a stream, or with 0 on the connection. */
  granted(stream: number, count: number): void
  /** All frames of what has arrived were told. */
  settled(nowMs: number): void
  failed(error: unknown): void
  /** Whether calls are under way, which the end of the connection breaks. */
  isInUse(): boolean
}

/** Every socket reads into it: what is read is told before the next read. */
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024)
const nothing = Buffer.alloc(0)

/**
 * The client's end of one HTTP/2 connection. It knows no more than a load takes, so that it costs less than what it
 * measures: bulk data is told where it was read, and never copied here.
 */
export class ClientConnection {
  readonly #options: ClientConnectionOptions
  readonly #socket: Socket
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 65_536 })
  /** Bytes of answers that were not granted again. */
  #consumed = 0
  /** The beginning of a frame whose end has not come; never of data beyond its header. */
  #rest: Buffer = nothing
  /** Of the data frame that is being read. */
  #dataLeft = 0
  #dataStream = 0
  #dataEnds = false
  #streamWindowBytes = initialWindowBytes

  constructor(options: ClientConnectionOptions) {
    this.#options = options
    this.#socket = connect({
      ...{ host: options.host, port: options.port, noDelay: true },
      onread: {
        buffer: readBuffer,
        callback: (size) => {
          try {
            this.#receive(readBuffer.subarray(0, size))
          } catch (error) {
            options.failed(error)
          }
          return true
        },
      },
    })
    this.#socket.once('error', (error) => options.failed(error))
    this.#socket.once('close', () => {
      if (options.isInUse()) options.failed(new Error('the server closed a connection with open calls'))
    })
  }

  /** What the server lets a client send on a stream before it grants more. */
  get streamWindowBytes(): number {
    return this.#streamWindowBytes
  }

  async ready(): Promise<void> {
    if (this.#socket.connecting) await new Promise<void>((resolve) => this.#socket.once('connect', resolve))
    const settings = Buffer.alloc(frameHeaderBytes + 12)
    settings.set([0, 0, 12, frameType.settings])
    settings.writeUInt16BE(settingId.enablePush, 9)
    settings.writeUInt16BE(settingId.initialWindowSize, 15)
    settings.writeUInt32BE(windowBytesMax, 17)
    this.#socket.write(Buffer.concat([clientPreface, settings, grant(windowBytesMax - initialWindowBytes)]))
  }

  write(frames: Uint8Array): void {
    this.#socket.write(frames)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    const nowMs = performance.now()
    let at = this.#dataLeft > 0 ? this.#data(chunk, 0, nowMs) : 0
    let bytes = chunk
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk])
      this.#rest = nothing
      at = 0
    }
    while (bytes.length - at >= frameHeaderBytes) {
      const size = (readU16(bytes, at) << 8) + (bytes[at + 2] as number)
      if (bytes[at + 3] === frameType.data) at = this.#dataHeader(bytes, at, size, nowMs)
      else {
        const end = at + frameHeaderBytes + size
        if (end > bytes.length) break
        this.#frame(bytes, at, end, nowMs)
        at = end
      }
    }
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at))
    if (this.#consumed > windowBytesMax >>> 1) {
      this.#socket.write(grant(this.#consumed))
      this.#consumed = 0
    }
    this.#options.settled(nowMs)
  }

  #dataHeader(bytes: Buffer, at: number, size: number, nowMs: number): number {
    this.#dataLeft = size
    this.#dataStream = readU31(bytes, at + 5)
    this.#dataEnds = ((bytes[at + 4] as number) & frameFlag.endStream) !== 0
    this.#consumed += size
    return this.#data(bytes, at + frameHeaderBytes, nowMs)
  }

  /** Tells what is there of the data frame; answers where it stopped. */
  #data(bytes: Buffer, at: number, nowMs: number): number {
    const end = Math.min(bytes.length, at + this.#dataLeft)
    this.#dataLeft -= end - at
    if (end > at) this.#options.data(this.#dataStream, bytes, at, end, nowMs)
    if (this.#dataLeft === 0 && this.#dataEnds) this.#options.ended(this.#dataStream, 'no trailers', nowMs)
    return end
  }

  #frame(bytes: Buffer, at: number, end: number, nowMs: number): void {
    const [type, flags] = [bytes[at + 3] as number, bytes[at + 4] as number]
    const stream = readU31(bytes, at + 5)
    if (type === frameType.headers) {
      const expected = frameFlag.endHeaders | (flags & frameFlag.endStream)
      if (flags !== expected) throw new Error(`headers with flags ${flags} are beyond this client`)
      const list = this.#decoder.decode(bytes.subarray(at + frameHeaderBytes, end))
      if ((flags & frameFlag.endStream) !== 0) {
        this.#options.ended(stream, fieldOf(list, 'grpc-status') ?? 'no status', nowMs)
      }
    } else if (type === frameType.rstStream) this.#options.ended(stream, 'reset', nowMs)
    else if (type === frameType.goAway) this.#options.failed(new Error('the server goes away'))
    else if (type === frameType.windowUpdate) {
      this.#options.granted(stream, readU31(bytes, at + frameHeaderBytes))
    } else this.#control(type, flags, bytes.subarray(at, end))
  }

  #control(type: number, flags: number, frame: Buffer): void {
    const isAnswered = type === frameType.ping || type === frameType.settings
    if (!isAnswered || (flags & frameFlag.ack) !== 0) return
    if (type === frameType.settings) this.#settings(frame)
    const answer = type === frameType.ping ? Buffer.from(frame) : Buffer.alloc(frameHeaderBytes)
    answer[3] = type
    answer[4] = frameFlag.ack
    this.#socket.write(answer)
  }

  #settings(frame: Buffer): void {
    for (let at = frameHeaderBytes; at + 6 <= frame.length; at += 6) {
      if (readU16(frame, at) === settingId.initialWindowSize) this.#streamWindowBytes = readU32(frame, at + 2)
    }
  }
}

function grant(count: number): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + 4)
  frame.set([0, 0, 4, frameType.windowUpdate])
  frame.writeUInt32BE(count, frameHeaderBytes)
  return frame
}
