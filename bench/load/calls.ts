import { type HeaderList, HpackEncoder } from '../../src/hpack/index.ts'
import { frameBytesMax, frameFlag, frameType, initialWindowBytes, readU32 } from '../../src/http2/frame.ts'
import { type MethodName, methods } from '../../test/support/etcd-messages.ts'
import { decode, encode, type Message } from '../../test/support/protobuf.ts'
import { ClientConnection } from './client-connection.ts'
import { frameHeader, requestHeaders } from './requests.ts'

export interface CallHandlers {
  /** Bytes [at, end) of `bytes` are a message. They are overwritten once this has returned. */
  message(bytes: Buffer, at: number, end: number, nowMs: number): void
  /** `status`: as in the answer's trailers, or what broke the stream. Not told of what `destroy` ends. */
  ended(status: string, nowMs: number): void
}

type Waiting = { call: Call; frame: Buffer; dataBytes: number }

const messageHeadBytes = 5
/** Messages that wait for a window: a server that grants nothing is not sent to for ever. */
const waitingCountMax = 100_000

/** Calls and streams on one connection, for loads that are no closed loop of one request. */
export class CallConnection {
  readonly #connection: ClientConnection
  readonly #authority: string
  readonly #encoder = new HpackEncoder()
  readonly #headers = new Map<MethodName, HeaderList>()
  readonly #calls = new Map<number, Call>()
  #waiting: Waiting[] = []
  #nextStream = 1
  #sendWindow = initialWindowBytes
  #out: Uint8Array[] = []

  /** `failed`: the connection is of no use any more. */
  constructor(host: string, port: number, failed: (error: unknown) => void) {
    this.#authority = `${host}:${port}`
    this.#connection = new ClientConnection({
      ...{ host, port, failed },
      data: (stream, bytes, at, end, nowMs) => this.#calls.get(stream)?.receive(bytes, at, end, nowMs),
      ended: (stream, status, nowMs) => {
        const call = this.#calls.get(stream)
        this.#calls.delete(stream)
        call?.handlers.ended(status, nowMs)
      },
      granted: (stream, count) => this.#granted(stream, count),
      settled: () => undefined,
      isInUse: () => this.#calls.size > 0,
    })
  }

  async ready(): Promise<void> {
    await this.#connection.ready()
  }

  /** Whatever is under way is given up. */
  destroy(): void {
    this.#calls.clear()
    this.#connection.destroy()
  }

  /** A stream to which messages can be sent for as long as it is open. */
  open(method: MethodName, handlers: CallHandlers): Call {
    const call = new Call(this.#nextStream, handlers, (message, isLast) => this.#send(call, message, isLast))
    this.#nextStream += 2
    this.#calls.set(call.stream, call)
    const block = this.#encoder.encodeConstant(this.#headersOf(method))
    const head = frameHeader(block.length, frameType.headers, frameFlag.endHeaders)
    Buffer.from(head.buffer).writeUInt32BE(call.stream, 5)
    this.#write(head, block)
    return call
  }

  /** Resolves with the answer; rejects when the status is not 0. */
  async unary(method: MethodName, request: Message): Promise<Message> {
    const { request: requestSchema, response } = methods[method]
    const { promise, resolve, reject } = Promise.withResolvers<Message>()
    let answer: Message = {}
    const call = this.open(method, {
      message: (bytes, at, end) => {
        answer = decode(Buffer.from(bytes.subarray(at, end)), response)
      },
      ended: (status) => {
        if (status === '0') resolve(answer)
        else reject(new Error(`${method}: status ${status}`))
      },
    })
    call.sendLast(encode(request, requestSchema))
    return await promise
  }

  #headersOf(method: MethodName): HeaderList {
    let headers = this.#headers.get(method)
    if (headers === undefined) {
      headers = requestHeaders(methods[method].path, this.#authority)
      this.#headers.set(method, headers)
    }
    return headers
  }

  #send(call: Call, message: Uint8Array, isLast: boolean): void {
    const dataBytes = messageHeadBytes + message.length
    if (dataBytes > frameBytesMax)
      throw new Error(`a message of over ${frameBytesMax} bytes is beyond this load`)
    const head = frameHeader(dataBytes, frameType.data, isLast ? frameFlag.endStream : 0)
    const frame = Buffer.alloc(head.length + dataBytes)
    frame.set(head)
    frame.writeUInt32BE(call.stream, 5)
    frame.writeUInt32BE(message.length, head.length + 1)
    frame.set(message, head.length + messageHeadBytes)
    const waiting = { call, frame, dataBytes }
    if (this.#waiting.length === 0 && this.#fits(waiting)) this.#sendNow(waiting)
    else if (this.#waiting.length < waitingCountMax) this.#waiting.push(waiting)
    else throw new Error('the server takes no more messages')
  }

  #fits({ call, dataBytes }: Waiting): boolean {
    const streamWindow = this.#connection.streamWindowBytes + call.grantedBytes - call.sentBytes
    return dataBytes <= this.#sendWindow && dataBytes <= streamWindow
  }

  #sendNow({ call, frame, dataBytes }: Waiting): void {
    this.#sendWindow -= dataBytes
    call.sentBytes += dataBytes
    this.#write(frame)
  }

  #granted(stream: number, count: number): void {
    if (stream === 0) this.#sendWindow += count
    else {
      const call = this.#calls.get(stream)
      if (call !== undefined) call.grantedBytes += count
    }
    let sent = 0
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting)) break
      this.#sendNow(waiting)
      sent++
    }
    this.#waiting = this.#waiting.slice(sent)
  }

  /** What one turn of the loop sends leaves in one write. */
  #write(...frames: Uint8Array[]): void {
    if (this.#out.length === 0) {
      setImmediate(() => {
        this.#connection.write(Buffer.concat(this.#out))
        this.#out = []
      })
    }
    this.#out.push(...frames)
  }
}

export class Call {
  readonly stream: number
  readonly handlers: CallHandlers
  grantedBytes = 0
  sentBytes = 0
  readonly #send: (message: Uint8Array, isLast: boolean) => void
  /** The beginning of a message whose end has not come. */
  #rest: Buffer = Buffer.alloc(0)

  constructor(stream: number, handlers: CallHandlers, send: (message: Uint8Array, isLast: boolean) => void) {
    this.stream = stream
    this.handlers = handlers
    this.#send = send
  }

  send(message: Uint8Array): void {
    this.#send(message, false)
  }

  sendLast(message: Uint8Array): void {
    this.#send(message, true)
  }

  receive(chunk: Buffer, chunkAt: number, chunkEnd: number, nowMs: number): void {
    let [bytes, at, end] = [chunk, chunkAt, chunkEnd]
    if (this.#rest.length > 0) {
      bytes = Buffer.concat([this.#rest, chunk.subarray(chunkAt, chunkEnd)])
      at = 0
      end = bytes.length
    }
    while (end - at >= messageHeadBytes) {
      if (bytes[at] !== 0) throw new Error('a compressed message was not asked for')
      const messageEnd = at + messageHeadBytes + readU32(bytes, at + 1)
      if (messageEnd > end) break
      this.handlers.message(bytes, at + messageHeadBytes, messageEnd, nowMs)
      at = messageEnd
    }
    this.#rest = Buffer.from(bytes.subarray(at, end))
  }
}
