// A gRPC client on node:http2 with nothing between it and the wire: every status code, text and byte is seen as sent.
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { type MethodName, methods } from './etcd-messages.ts'
import { decode, encode, type Message } from './protobuf.ts'

/** gRPC status codes that tests ask for by name. */
export const grpcCode = { ok: 0, deadlineExceeded: 4, unavailable: 14 } as const

/**
 * `code` 0 with a `message`, or a refusal with its text. `lost`: the server did not say so; the connection failed
 * (code 14) or the deadline passed (code 4), and a write may have happened.
 */
export type Answer = {
  code: number
  text: string
  message: Message
  lost: boolean
  /** The trailer `quorate-outcome`: whether a refused write can have happened; empty when there is none. */
  outcome: string
}

export const deadlineMsDefault = 30_000

export class GrpcClient {
  readonly endpoint: string
  readonly #session: ClientHttp2Session
  #failure: Error | undefined

  /** `endpoint`: host:port, with or without http://. */
  constructor(endpoint: string) {
    this.endpoint = endpoint.replace(/^http:\/\//, '')
    this.#session = connect(`http://${this.endpoint}`, {
      settings: { initialWindowSize: 4 << 20, maxHeaderListSize: 1 << 20 },
    })
    this.#session.on('error', (error) => {
      this.#failure = error
    })
    this.#session.on('connect', () => {
      if (!this.#session.destroyed) this.#session.setLocalWindowSize?.(16 << 20)
    })
  }

  get usable(): boolean {
    return this.#failure === undefined && !this.#session.closed && !this.#session.destroyed
  }

  async call(
    name: MethodName,
    request: Message,
    deadlineMs: number = deadlineMsDefault,
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const { path, request: requestSchema, response } = methods[name]
    return await new Promise((resolve) => {
      const call = this.#open({ path, metadata }, deadlineMs, ({ code, text, parts, lost, outcome }) => {
        const [first] = parts
        if (code !== 0) resolve({ code, text, message: {}, lost, outcome })
        else if (first === undefined)
          resolve({ code: 13, text: 'an answer without a message', message: {}, lost, outcome })
        else resolve({ code, text, message: decode(first, response), lost, outcome })
      })
      call?.end(frame(encode(request, requestSchema)))
    })
  }

  /** Like `call`; throws unless the code is 0. */
  async must(name: MethodName, request: Message, deadlineMs: number = deadlineMsDefault): Promise<Message> {
    const answer = await this.call(name, request, deadlineMs)
    if (answer.code !== 0) throw new Error(`${name} at ${this.endpoint}: code ${answer.code} ${answer.text}`)
    return answer.message
  }

  /** A stream in both directions. Messages wait in it until they are taken. */
  openStream(name: MethodName): GrpcStream {
    const { path, request, response } = methods[name]
    const stream = new GrpcStream((message) => frame(encode(message, request)))
    const http = this.#open(
      { path, metadata: {} },
      0,
      ({ code, text }) => stream.endWith(code, text),
      (bytes) => stream.push(decode(bytes, response)),
    )
    if (http !== undefined) stream.attach(http)
    return stream
  }

  close(): void {
    this.#session.destroy()
  }

  #open(
    { path, metadata }: { path: string; metadata: Readonly<Record<string, string>> },
    deadlineMs: number,
    onEnd: (end: { code: number; text: string; parts: Uint8Array[]; lost: boolean; outcome: string }) => void,
    onMessage?: (bytes: Uint8Array) => void,
  ): ClientHttp2Stream | undefined {
    const parts: Uint8Array[] = []
    let outcome = ''
    let ended = false
    let timer: NodeJS.Timeout | undefined
    const end = (code: number, text: string, lost: boolean): void => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      onEnd({ code, text, parts, lost, outcome })
    }
    if (!this.usable) {
      setImmediate(end, grpcCode.unavailable, `not connected: ${this.#failure?.message ?? 'closed'}`, true)
      return undefined
    }
    const http = this.#session.request({
      ':method': 'POST',
      ':path': path,
      ...metadata,
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    if (deadlineMs > 0) {
      timer = setTimeout(() => {
        end(grpcCode.deadlineExceeded, `no answer within ${deadlineMs} ms`, true)
        http.close(constants.NGHTTP2_CANCEL)
      }, deadlineMs)
    }
    let status: [number, string] | undefined
    const readStatus = (headers: Record<string, unknown>): void => {
      const code = headers['grpc-status']
      if (code === undefined) return
      status = [Number(code), decodeText(String(headers['grpc-message'] ?? ''))]
      outcome = String(headers['quorate-outcome'] ?? '')
    }
    const splitter = new FrameSplitter((bytes) => {
      if (onMessage === undefined) parts.push(bytes)
      else onMessage(bytes)
    })
    http.on('response', (headers) => {
      if (headers[':status'] !== 200) end(2, `HTTP status ${headers[':status']}`, false)
      readStatus(headers)
    })
    http.on('trailers', readStatus)
    http.on('data', (chunk: Uint8Array) => splitter.push(chunk))
    http.on('error', (error: Error) => end(grpcCode.unavailable, `connection: ${error.message}`, true))
    http.on('close', () => {
      if (status === undefined) end(grpcCode.unavailable, 'the stream ended without a status', true)
      else end(status[0], status[1], false)
    })
    return http
  }
}

/** The receiving side is a queue: `next` waits for one message, with a deadline. */
export class GrpcStream {
  readonly #encode: (message: Message) => Uint8Array
  readonly #queue: Message[] = []
  #http: ClientHttp2Stream | undefined
  #ended: { code: number; text: string } | undefined
  #wake: (() => void) | undefined

  constructor(encodeMessage: (message: Message) => Uint8Array) {
    this.#encode = encodeMessage
  }

  /** How the stream ended, once it has. */
  get ended(): { code: number; text: string } | undefined {
    return this.#ended
  }

  send(message: Message): void {
    if (this.#ended === undefined && this.#http?.writable === true) this.#http.write(this.#encode(message))
  }

  /** The next message; undefined when the stream has ended or `deadlineMs` have passed. */
  async next(deadlineMs: number): Promise<Message | undefined> {
    const until = performance.now() + deadlineMs
    for (;;) {
      const message = this.#queue.shift()
      if (message !== undefined) {
        if (this.#queue.length < queueLow) this.#http?.resume()
        return message
      }
      const left = until - performance.now()
      if (this.#ended !== undefined || left <= 0) return undefined
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Messages that have arrived and were not taken. */
  takeAll(): Message[] {
    this.#http?.resume()
    return this.#queue.splice(0)
  }

  close(): void {
    this.#http?.close(constants.NGHTTP2_CANCEL)
  }

  attach(http: ClientHttp2Stream): void {
    this.#http = http
  }

  push(message: Message): void {
    this.#queue.push(message)
    // Back-pressure to the server, so that a long history does not pile up here.
    if (this.#queue.length > queueHigh) this.#http?.pause()
    this.#wake?.()
  }

  endWith(code: number, text: string): void {
    this.#ended = { code, text }
    this.#wake?.()
  }
}

const queueHigh = 512
const queueLow = 128

function frame(bytes: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + bytes.length)
  framed[0] = 0
  framed.writeUInt32BE(bytes.length, 1)
  framed.set(bytes, 5)
  return framed
}

/** Cuts a byte stream into messages: u8 compressed | u32 length | message. */
class FrameSplitter {
  readonly #onMessage: (bytes: Uint8Array) => void
  #chunks: Uint8Array[] = []
  #size = 0

  constructor(onMessage: (bytes: Uint8Array) => void) {
    this.#onMessage = onMessage
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    while (this.#size >= 5) {
      const needed = 5 + this.#peekLength()
      if (this.#size < needed) return
      const bytes = this.#take(needed)
      if (bytes[0] !== 0) throw new Error('a compressed message was not asked for')
      this.#onMessage(bytes.subarray(5))
    }
  }

  #peekLength(): number {
    if ((this.#chunks[0]?.length ?? 0) < 5) this.#chunks = [Buffer.concat(this.#chunks)]
    const [head = Buffer.alloc(0)] = this.#chunks
    return new DataView(head.buffer, head.byteOffset).getUint32(1)
  }

  #take(size: number): Uint8Array {
    const [head = Buffer.alloc(0)] = this.#chunks
    const all = head.length >= size ? head : Buffer.concat(this.#chunks)
    const rest = all.subarray(size)
    if (head.length >= size) {
      if (rest.length === 0) this.#chunks.shift()
      else this.#chunks[0] = rest
    } else {
      this.#chunks = rest.length === 0 ? [] : [rest]
    }
    this.#size -= size
    return all.subarray(0, size)
  }
}

function decodeText(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
