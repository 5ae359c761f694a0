import { connect, type Socket } from 'node:net'
import { fieldOf, HpackDecoder, HpackEncoder, headerList } from '../../src/hpack/index.ts'
import { frameFlag, frameType, http2Error, readU32 } from '../../src/http2/frame.ts'
import { FrameReader } from '../../src/http2/frame-reader.ts'
import { clientPreface } from '../../src/http2/index.ts'
import { OutgoingFrames } from '../../src/http2/outgoing-frames.ts'

export interface Place {
  readonly host: string
  readonly port: number
}

/** A client by hand: it sends what it likes, and takes down how the server ends its streams and it. Told to go, it goes. */
export class HostileSocket {
  /** The code of GOAWAY, by its name. */
  goAway: string | undefined
  /** The first code of RST_STREAM, by its name. */
  reset: string | undefined
  /** The first status of a call that is not 0. */
  status: string | undefined
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #reader = new FrameReader()
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 65_536 })

  /** `isReading` false: what the server sends stays where it is. */
  constructor({ host, port }: Place, isReading = true) {
    this.#socket = connect({ host, port, noDelay: true })
    this.#socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
    if (isReading) this.#socket.on('data', (bytes) => this.#receive(bytes))
    else this.#socket.pause()
  }

  get isClosed(): boolean {
    return this.#socket.closed || this.#socket.destroyed
  }

  /** Bytes that were handed to the network so far. */
  get bytesSent(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  /** Resolves when the network has taken it, or the connection is gone. */
  async write(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.isClosed) return
    const written = new Promise<void>((resolve) => this.#socket.write(Buffer.concat(parts), () => resolve()))
    await Promise.race([written, this.closed])
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #receive(bytes: Uint8Array): void {
    this.#reader.push(bytes)
    while (this.#reader.next()) {
      const { type, payload, flags } = this.#reader
      if (type === frameType.goAway) {
        this.goAway ??= nameOf(readU32(payload, 4))
        this.destroy()
      } else if (type === frameType.rstStream) this.reset ??= nameOf(readU32(payload, 0))
      else if (type === frameType.headers) this.#headers(payload, flags)
    }
  }

  #headers(block: Uint8Array, flags: number): void {
    const status = fieldOf(this.#decoder.decode(block), 'grpc-status')
    if ((flags & frameFlag.endStream) !== 0 && status !== '0') this.status ??= status
  }
}

function nameOf(code: number): string {
  return Object.entries(http2Error).find(([, known]) => known === code)?.[0] ?? `code ${code}`
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** The same frame so many times. */
export function many(count: number, one: Uint8Array): Uint8Array {
  return Buffer.alloc(count * one.length, one)
}

/** What a connection begins with. `windowBytes`: what the server may send ahead on each stream. */
export function opening(windowBytes = 65_535): Uint8Array {
  const frames = new OutgoingFrames()
  frames.settings([[4, windowBytes]])
  return Buffer.concat([clientPreface, ...frames.take()])
}

const requestBlocks = new Map<string, Uint8Array>()

/** HEADERS of a call, without its end; its block changes no table. */
export function callHeaders(stream: number, path: string, isEnd = false): Uint8Array {
  let block = requestBlocks.get(path)
  if (block === undefined) {
    const fields = [':method', 'POST', ':scheme', 'http', ':path', path, 'content-type', 'application/grpc']
    block = new HpackEncoder().encode(headerList([...fields, 'te', 'trailers']))
    requestBlocks.set(path, block)
  }
  const flags = frameFlag.endHeaders | (isEnd ? frameFlag.endStream : 0)
  return frame(frameType.headers, flags, stream, block)
}

/** DATA that begins a message which says that it has `claimedBytes`. */
export function messageData(
  stream: number,
  body: Uint8Array,
  { claimedBytes = body.length, isEnd = false }: { claimedBytes?: number; isEnd?: boolean } = {},
): Uint8Array {
  const message = Buffer.alloc(5 + body.length)
  message.writeUInt32BE(claimedBytes, 1)
  message.set(body, 5)
  return frame(frameType.data, isEnd ? frameFlag.endStream : 0, stream, message)
}
