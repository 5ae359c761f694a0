import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2'
import {
  type CallMetadata,
  encodeGrpcMessage,
  type GrpcCall,
  GrpcError,
  type GrpcStatus,
  grpcStatus,
  messagePrefixBytes,
  writeFramed,
} from '../grpc/index.ts'
import type { Logger } from '../io/index.ts'

/** Shared by all answers: building them a call is what a fast path saves first. A date helps no gRPC client. */
const answerHeaders = { ':status': 200, 'content-type': 'application/grpc' }
const answerOptions = { waitForTrailers: true, sendDate: false }
const trailersOnlyOptions = { endStream: true, sendDate: false }
const okTrailers = { 'grpc-status': '0' }

/** setTimeout takes no longer delay; a deadline beyond it is none. */
const timerMsMax = 2 ** 31 - 1

/**
 * One call, from its headers to its trailers: what a handler sees as GrpcCall, and the way every answer takes. The
 * status is decided once; whatever comes after that (a late answer, a deadline that fires, a client that leaves) changes
 * nothing.
 */
export class Call implements GrpcCall {
  readonly path: string
  readonly peer: string
  readonly timeoutMs: number | undefined
  readonly stream: ServerHttp2Stream
  readonly #headers: IncomingHttpHeaders
  readonly #logger: Logger
  #metadata: CallMetadata | undefined
  #trailers: Record<string, string> | undefined
  #cancelCallbacks: (() => void)[] | undefined
  #timer: NodeJS.Timeout | undefined
  #status: GrpcStatus | undefined
  #statusText = ''
  #isCancelled = false

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    timeoutMs: number | undefined,
    context: { peer: string; logger: Logger },
  ) {
    this.stream = stream
    this.path = headers[':path'] ?? ''
    this.peer = context.peer
    this.timeoutMs = timeoutMs
    this.#headers = headers
    this.#logger = context.logger
    if (timeoutMs !== undefined && timeoutMs <= timerMsMax) {
      this.#timer = setTimeout(() => this.#expire(), coarseDelay(timeoutMs))
    }
  }

  get metadata(): CallMetadata {
    this.#metadata ??= new HeaderMetadata(this.#headers)
    return this.#metadata
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** Whether the status is decided, or nobody is left to hear it. */
  get isOver(): boolean {
    return this.#status !== undefined || this.#isCancelled
  }

  onCancel(callback: () => void): void {
    if (this.#isCancelled) queueMicrotask(() => this.#runGuarded(callback))
    else if (this.#cancelCallbacks === undefined) this.#cancelCallbacks = [callback]
    else this.#cancelCallbacks.push(callback)
  }

  setTrailer(name: string, value: string): void {
    this.#trailers ??= {}
    this.#trailers[name] = value
  }

  /** Sends the headers of an answer that has messages. */
  open(): void {
    this.stream.on('wantTrailers', () => this.#sendTrailers())
    this.stream.respond(answerHeaders, answerOptions)
  }

  /** The only message of the answer, and status OK. */
  answer(message: Uint8Array): void {
    if (this.isOver) return
    this.#decide(grpcStatus.ok, '')
    if (this.stream.destroyed || this.stream.closed) return
    try {
      this.open()
      this.stream.end(framed(message))
    } catch (error) {
      this.#abandon(error)
    }
  }

  /** Ends the answer after what was sent. Without a message before it the status goes as headers (trailers-only). */
  finish(status: GrpcStatus, text: string): void {
    if (this.isOver) return
    this.#decide(status, text)
    if (this.stream.destroyed || this.stream.closed) return
    if (this.stream.headersSent) {
      this.stream.end()
      return
    }
    try {
      this.stream.respond({ ...answerHeaders, ...this.#finalTrailers() }, trailersOnlyOptions)
      this.#leaveRequest()
    } catch (error) {
      this.#abandon(error)
    }
  }

  /** Answers whatever was thrown. What is not a GrpcError is a fault of ours: logged, and told without details. */
  fail(error: unknown): void {
    if (error instanceof GrpcError) {
      for (const [name, value] of error.trailers) this.setTrailer(name, value)
      this.finish(error.status, error.message)
      return
    }
    this.logFault(error)
    this.finish(grpcStatus.internal, 'internal error')
  }

  logFault(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#logger.log('error', 'grpc-handler-failed', { path: this.path, peer: this.peer, error: text })
  }

  /** The stream is gone. Called once, by the stream's own close. */
  closed(): void {
    clearTimeout(this.#timer)
    if (this.#status === undefined) this.#cancel()
  }

  #decide(status: GrpcStatus, text: string): void {
    this.#status = status
    this.#statusText = text
    clearTimeout(this.#timer)
  }

  #expire(): void {
    // Answers that wait for a client that does not read would hold the status back for ever.
    const isBlocked = this.stream.headersSent && this.stream.writableLength > 0
    this.finish(grpcStatus.deadlineExceeded, 'context deadline exceeded')
    if (isBlocked) this.stream.close(constants.NGHTTP2_CANCEL)
    this.#cancel()
  }

  #cancel(): void {
    if (this.#isCancelled) return
    this.#isCancelled = true
    for (const callback of this.#cancelCallbacks ?? []) this.#runGuarded(callback)
    this.#cancelCallbacks = undefined
  }

  #runGuarded(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.logFault(error)
    }
  }

  #sendTrailers(): void {
    if (this.stream.destroyed || this.stream.closed) return
    try {
      this.stream.sendTrailers(this.#finalTrailers())
      this.#leaveRequest()
    } catch (error) {
      this.#abandon(error)
    }
  }

  /** What a handler gave cannot be sent (a trailer HTTP/2 does not allow): its call ends, and nothing else. */
  #abandon(error: unknown): void {
    this.logFault(error)
    if (!this.stream.destroyed) this.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  #finalTrailers(): OutgoingHttpHeaders {
    if (this.#status === grpcStatus.ok && this.#trailers === undefined) return okTrailers
    const trailers: OutgoingHttpHeaders = { ...this.#trailers, 'grpc-status': `${this.#status}` }
    if (this.#statusText !== '') trailers['grpc-message'] = encodeGrpcMessage(this.#statusText)
    return trailers
  }

  /** The answer is whole: a client that is still sending is told to stop. After the turn in which the end is sent. */
  #leaveRequest(): void {
    const { stream } = this
    if (stream.readableEnded) return
    stream.resume()
    setImmediate(() => {
      if (!stream.destroyed && !stream.closed && !stream.readableEnded)
        stream.close(constants.NGHTTP2_NO_ERROR)
    })
  }
}

/** The framed message in memory that is neither cleared first nor, when it is small, allocated alone. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(messagePrefixBytes + message.length)
  writeFramed(bytes, message)
  return bytes
}

/** Timers of one delay share a list in Node; rounding up makes the lists few. Up to 1/16 late, at least a millisecond. */
function coarseDelay(delayMs: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(delayMs, 1))) - 4)
  return Math.ceil(delayMs / step) * step
}

class HeaderMetadata implements CallMetadata {
  readonly #headers: IncomingHttpHeaders

  constructor(headers: IncomingHttpHeaders) {
    this.#headers = headers
  }

  get(name: string): string | undefined {
    const value = name.startsWith(':') ? undefined : this.#headers[name]
    return value === undefined || typeof value === 'string' ? value : value.join(', ')
  }
}
