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
  settingId,
  windowBytesMax,
} from '../../src/http2/frame.ts'
import type { RequestTemplate } from './requests.ts'

export interface LoadConnectionOptions {
  readonly host: string
  readonly port: number
  /** Requests that are under way at a time. */
  readonly streams: number
  readonly first: RequestTemplate
  readonly later: RequestTemplate
  nextKey(): number
  /** False: no more requests. */
  mayStart(nowMs: number): boolean
  started(): void
  /** `status`: as in the answer's trailers, or what broke the stream. */
  answered(latencyMs: number, nowMs: number, status: string, bytes: number): void
  failed(error: unknown): void
}

/**
 * The client's end of one connection: keeps its number of requests under way, and knows no more of HTTP/2 than that
 * takes, so that it costs less than what it measures. Every answer is read to its gRPC status.
 */
export class LoadConnection {
  readonly #options: LoadConnectionOptions
  readonly #socket: Socket
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 65_536 })
  readonly #underWay = new Map<number, { startMs: number; bytes: number }>()
  #nextStream = 1
  #sendWindow = initialWindowBytes
  /** Bytes of answers that were not granted again. */
  #consumed = 0
  #rest: Buffer = Buffer.alloc(0)

  constructor(options: LoadConnectionOptions) {
    this.#options = options
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true })
    this.#socket.on('data', (bytes: Buffer) => {
      try {
        this.#receive(bytes)
      } catch (error) {
        options.failed(error)
      }
    })
    this.#socket.once('error', (error) => options.failed(error))
    this.#socket.once('close', () => {
      if (this.#underWay.size > 0) options.failed(new Error('the server closed a connection with open calls'))
    })
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

  /** Fills the connection with requests. */
  start(): void {
    this.#fill(performance.now())
  }

  /** Whatever is under way is given up. */
  destroy(): void {
    this.#underWay.clear()
    this.#socket.destroy()
  }

  #fill(nowMs: number): void {
    const { later, first, streams } = this.#options
    let count = Math.min(streams - this.#underWay.size, Math.floor(this.#sendWindow / later.dataBytes))
    if (!this.#options.mayStart(nowMs)) count = 0
    if (count <= 0) return
    const isFirst = this.#nextStream === 1
    const out = Buffer.allocUnsafe(
      (isFirst ? first.bytes.length - later.bytes.length : 0) + count * later.bytes.length,
    )
    let at = 0
    for (let i = 0; i < count; i++) {
      const template = isFirst && i === 0 ? first : later
      out.set(template.bytes, at)
      template.complete(out, at, this.#nextStream, this.#options.nextKey())
      this.#underWay.set(this.#nextStream, { startMs: nowMs, bytes: 0 })
      this.#options.started()
      at += template.bytes.length
      this.#sendWindow -= template.dataBytes
      this.#nextStream += 2
    }
    this.#socket.write(out)
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const nowMs = performance.now()
    let at = 0
    while (bytes.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + (readU16(bytes, at) << 8) + (bytes[at + 2] as number)
      if (end > bytes.length) break
      this.#frame(bytes, at, end, nowMs)
      at = end
    }
    this.#rest = bytes.subarray(at)
    if (this.#consumed > windowBytesMax >>> 1) {
      this.#socket.write(grant(this.#consumed))
      this.#consumed = 0
    }
    this.#fill(nowMs)
  }

  #frame(bytes: Buffer, at: number, end: number, nowMs: number): void {
    const [type, flags] = [bytes[at + 3] as number, bytes[at + 4] as number]
    const stream = readU31(bytes, at + 5)
    const payload = at + frameHeaderBytes
    if (type === frameType.data) {
      this.#consumed += end - payload
      const call = this.#underWay.get(stream)
      if (call !== undefined) call.bytes += end - payload
      if ((flags & frameFlag.endStream) !== 0) this.#ended(stream, 'no trailers', nowMs)
    } else if (type === frameType.headers) {
      const expected = frameFlag.endHeaders | (flags & frameFlag.endStream)
      if (flags !== expected) throw new Error(`headers with flags ${flags} are beyond this client`)
      const list = this.#decoder.decode(bytes.subarray(payload, end))
      if ((flags & frameFlag.endStream) !== 0) {
        this.#ended(stream, fieldOf(list, 'grpc-status') ?? 'no status', nowMs)
      }
    } else if (type === frameType.rstStream) this.#ended(stream, 'reset', nowMs)
    else if (type === frameType.goAway) this.#options.failed(new Error('the server goes away'))
    else this.#control(type, flags, bytes.subarray(at, end))
  }

  #control(type: number, flags: number, frame: Buffer): void {
    if (type === frameType.windowUpdate) {
      if (readU31(frame, 5) === 0) this.#sendWindow += readU31(frame, frameHeaderBytes)
    } else if ((type === frameType.ping || type === frameType.settings) && (flags & frameFlag.ack) === 0) {
      const answer = type === frameType.ping ? Buffer.from(frame) : Buffer.alloc(frameHeaderBytes)
      answer[3] = type
      answer[4] = frameFlag.ack
      this.#socket.write(answer)
    }
  }

  #ended(stream: number, status: string, nowMs: number): void {
    const call = this.#underWay.get(stream)
    if (call === undefined) return
    this.#underWay.delete(stream)
    this.#options.answered(nowMs - call.startMs, nowMs, status, call.bytes)
  }
}

function grant(count: number): Buffer {
  const frame = Buffer.alloc(frameHeaderBytes + 4)
  frame.set([0, 0, 4, frameType.windowUpdate])
  frame.writeUInt32BE(count, frameHeaderBytes)
  return frame
}
