import { assert } from '../base/index.ts'
import {
  type CallMetadata,
  encodeGrpcMessage,
  frameMessage,
  GrpcError,
  type GrpcStatus,
  type GrpcUnaryCall,
  grpcStatus,
  messagePrefix,
  type UnaryAnswer,
} from '../grpc/index.ts'
import { type HeaderList, headerList } from '../hpack/index.ts'
import { fieldProblem, http2Error, type StreamListener } from '../http2/index.ts'
import type { Logger, Time, Timer } from '../io/index.ts'
import type { CallStream } from './call-stream.ts'
import type { CallPlan } from './plan.ts'

/** The same objects each time, so that they are sent by their indexes. */
const answerHeaders: HeaderList = headerList([':status', '200', 'content-type', 'application/grpc'])
const okTrailers: HeaderList = headerList(['grpc-status', '0'])

/** Larger messages leave as they are, behind a prefix of their own. */
const copiedBytesMax = 16 * 1024

/** Calls that wait for room and go on when another one of their connection has ended. */
const releasedPerEnd = 2

/** A deadline beyond it is none: timers take no longer delay. */
const timerMsMax = 2 ** 31 - 1

export interface CallContext {
  readonly peer: string
  readonly time: Time
  readonly logger: Logger
  /** After the turn in which it is called. */
  readonly later: (run: () => void) => void
  /** The call is over, and its stream gone. */
  readonly ended: () => void
  readonly gathered: GatheredBytes
  readonly untaken: UntakenBytes
  /** Streams of messages that are open. */
  readonly streams: Set<OpenStream>
}

export interface OpenStream {
  /** The server takes no more requests: what would go on for ever ends here. */
  leave(): void
}

/** What the calls of one connection keep of requests: of messages that are not whole, and of those that nobody takes yet. */
interface GatheredBytes {
  readonly bytesMax: number
  bytes: number
}

/** What the unary calls of one connection answered and its client has not taken, and who waits for it to do so. */
interface UntakenBytes {
  readonly bytesMax: number
  bytes: number
  readonly waiting: Set<Call>
}

/** What reads the messages of one call. */
export interface CallReader {
  onData(bytes: Uint8Array): void
  onEnd(): void
  onDrain(): void
  /** What was gathered is of no use any more. */
  drop(): void
  onClose(): void
}

/** One call, from its headers to its trailers: what a service sees as GrpcCall, and the way every answer takes. */
export class Call implements GrpcUnaryCall, StreamListener {
  readonly stream: CallStream
  readonly #plan: CallPlan
  readonly #context: CallContext
  #reader: CallReader | undefined
  #trailers: string[] | undefined
  #cancelCallbacks: (() => void)[] | undefined
  #roomCallback: (() => void) | undefined
  #timer: Timer | undefined
  #gatheredBytes = 0
  #untakenBytes = 0
  #isDecided = false
  #isCancelled = false

  constructor(stream: CallStream, plan: CallPlan, context: CallContext) {
    this.stream = stream
    this.#plan = plan
    this.#context = context
    const { timeoutMs } = plan
    if (timeoutMs !== undefined && timeoutMs > 0 && timeoutMs <= timerMsMax && plan.refusal === undefined) {
      this.#timer = context.time.startTimer(coarseDelay(timeoutMs), () => this.#expire())
    }
  }

  set reader(reader: CallReader) {
    this.#reader = reader
  }

  get path(): string {
    return this.#plan.path
  }

  get metadata(): CallMetadata {
    return this.#plan.metadata
  }

  get peer(): string {
    return this.#context.peer
  }

  get timeoutMs(): number | undefined {
    return this.#plan.timeoutMs
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** Whether the status is decided, or nobody is left to hear it. */
  get isOver(): boolean {
    return this.#isDecided || this.#isCancelled
  }

  onCancel(callback: () => void): void {
    if (this.#isCancelled) this.#context.later(() => this.#guard(callback))
    else if (this.#cancelCallbacks === undefined) this.#cancelCallbacks = [callback]
    else this.#cancelCallbacks.push(callback)
  }

  get hasRoom(): boolean {
    const { bytes, bytesMax } = this.#context.untaken
    return bytes < bytesMax
  }

  /** Who need not wait is told after this turn. */
  onRoom(callback: () => void): void {
    assert(this.#roomCallback === undefined, 'a call waits for room once at a time')
    this.#roomCallback = callback
    if (this.hasRoom || this.#isCancelled) this.#context.later(() => this.#enter())
    else this.#context.untaken.waiting.add(this)
  }

  setTrailer(name: string, value: string): void {
    this.#trailers ??= []
    const at = this.#trailers.indexOf(name)
    if (at >= 0) this.#trailers.splice(at, 2)
    this.#trailers.push(name, value)
  }

  /** Sends a message of the answer, its headers before the first. */
  send(message: UnaryAnswer): void {
    if (!this.stream.hasHeaders) this.stream.sendHeaders(answerHeaders, true, false)
    if (!(message instanceof Uint8Array)) {
      this.#sendPieces(message)
      return
    }
    if (message.length <= copiedBytesMax) this.stream.write(frameMessage(message))
    else this.#sendPieces([message])
  }

  #sendPieces(pieces: readonly Uint8Array[]): void {
    let length = 0
    for (const piece of pieces) length += piece.length
    this.stream.write(messagePrefix(length))
    for (const piece of pieces) this.stream.write(piece)
  }

  /** The only message of the answer, and status OK. */
  answer(message: UnaryAnswer): void {
    if (this.isOver) return
    this.#decide()
    if (!this.#hasProperTrailers()) return
    this.send(message)
    this.stream.end(this.#finalTrailers(grpcStatus.ok, ''), this.#trailers === undefined)
    this.#untakenBytes = this.stream.pendingBytes
    this.#context.untaken.bytes += this.#untakenBytes
  }

  /** Ends the answer after what was sent. Without a message before it the status goes as headers (trailers-only). */
  finish(status: GrpcStatus, text: string, httpStatus = 200): void {
    if (this.isOver) return
    this.#decide()
    if (!this.#hasProperTrailers()) return
    const isConstant = status === grpcStatus.ok && this.#trailers === undefined
    const trailers = this.#finalTrailers(status, text)
    if (this.stream.hasHeaders) {
      this.stream.end(trailers, isConstant)
    } else {
      const fields = [':status', `${httpStatus}`, 'content-type', 'application/grpc', ...trailers.fields]
      this.stream.sendHeaders(headerList(fields), false, true)
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
    const { logger, peer } = this.#context
    logger.log('error', 'grpc-handler-failed', { path: this.path, peer, error: text })
  }

  later(run: () => void): void {
    this.#context.later(run)
  }

  /** Its reader keeps so many bytes of the request. The call that brings its connection above the limit is refused. */
  gathers(bytes: number): void {
    const more = bytes - this.#gatheredBytes
    if (more === 0) return
    const { gathered } = this.#context
    this.#gatheredBytes = bytes
    gathered.bytes += more
    if (more < 0 || gathered.bytes <= gathered.bytesMax) return
    const text = `grpc: more than ${gathered.bytesMax} bytes of unfinished request messages in one connection`
    this.finish(grpcStatus.resourceExhausted, text)
  }

  // ---- from the stream ----------------------------------------------------------------------------------------

  onData(bytes: Uint8Array): void {
    if (!this.isOver) this.#reader?.onData(bytes)
  }

  onEnd(): void {
    if (!this.isOver) this.#reader?.onEnd()
  }

  onDrain(): void {
    if (!this.isOver) this.#reader?.onDrain()
  }

  /** A client that is still sending is told to stop, after the turn in which the end is sent. */
  onLocalEnd(): void {
    this.#context.later(() => {
      if (!this.stream.isRemoteEnded) this.stream.reset(http2Error.noError)
    })
  }

  onClose(): void {
    this.#timer?.cancel()
    this.#drop()
    if (!this.#isDecided) this.#cancel()
    this.#reader?.onClose()
    this.#leaveRoom()
    this.#context.ended()
  }

  /** Whoever goes on closes later and lets others go on: not all at once, only to find that the first took the room. */
  #leaveRoom(): void {
    const { untaken } = this.#context
    untaken.bytes -= this.#untakenBytes
    if (untaken.waiting.size === 0) return
    let left = releasedPerEnd
    for (const call of untaken.waiting) {
      if (left-- === 0 || !this.hasRoom) return
      call.#enter()
    }
  }

  /** It has waited for room, if it did, long enough. */
  #enter(): void {
    const callback = this.#roomCallback
    if (callback === undefined) return
    this.#roomCallback = undefined
    this.#context.untaken.waiting.delete(this)
    this.#guard(callback)
  }

  #decide(): void {
    this.#isDecided = true
    this.#timer?.cancel()
    this.#drop()
  }

  #drop(): void {
    if (this.#gatheredBytes === 0) return
    this.#reader?.drop()
    this.gathers(0)
  }

  #expire(): void {
    // Answers that wait for a client that does not read would hold the status back for ever.
    const isBlocked = this.stream.pendingBytes > 0
    this.finish(grpcStatus.deadlineExceeded, 'context deadline exceeded')
    this.#cancel()
    if (isBlocked) this.stream.reset(http2Error.cancel)
  }

  #cancel(): void {
    if (this.#isCancelled) return
    this.#isCancelled = true
    for (const callback of this.#cancelCallbacks ?? []) this.#guard(callback)
    this.#cancelCallbacks = undefined
    this.#enter()
  }

  #guard(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.logFault(error)
    }
  }

  /** A trailer that HTTP/2 does not allow is a fault of the service: its call ends, and nothing else. */
  #hasProperTrailers(): boolean {
    if (this.#trailers === undefined) return true
    for (let i = 0; i < this.#trailers.length; i += 2) {
      const problem = fieldProblem(this.#trailers[i] as string, this.#trailers[i + 1] as string)
      if (problem === undefined) continue
      this.logFault(new Error(`a trailer: ${problem}`))
      this.stream.reset(http2Error.internalError)
      return false
    }
    return true
  }

  #finalTrailers(status: GrpcStatus, text: string): HeaderList {
    if (status === grpcStatus.ok && this.#trailers === undefined) return okTrailers
    const fields = [...(this.#trailers ?? []), 'grpc-status', `${status}`]
    if (text !== '') fields.push('grpc-message', encodeGrpcMessage(text))
    return headerList(fields)
  }
}

/** Timers of one delay share a list in Node; rounding up makes the lists few. Up to 1/16 late, at least a millisecond. */
function coarseDelay(delayMs: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(delayMs, 1))) - 4)
  return Math.ceil(delayMs / step) * step
}
