import { assert } from '../base/index.ts'
import {
  type CallMetadata,
  type GrpcError,
  type GrpcStream,
  type GrpcStreamHandlers,
  grpcStatus,
  MessageDecoder,
  type MessageLimits,
} from '../grpc/index.ts'
import { type Call, framed } from './call.ts'

/**
 * A call with a stream of messages both ways. Handlers run one at a time; what a handler throws ends the call with
 * Internal. A message that was decoded before a pause waits, and so does the half-close behind it.
 */
export class StreamCall implements GrpcStream {
  readonly #call: Call
  readonly #decoder: MessageDecoder
  readonly #sendBufferBytesMax: number
  #handlers: GrpcStreamHandlers | undefined
  #isPaused = false
  #isDelivering = false
  #hasEnded = false
  #isHalfCloseTold = false
  #isSendBlocked = false

  constructor(call: Call, limits: MessageLimits, sendBufferBytesMax: number) {
    this.#call = call
    this.#decoder = new MessageDecoder(limits)
    this.#sendBufferBytesMax = sendBufferBytesMax
  }

  /** Begins to read; the handlers are set by now. */
  start(): void {
    assert(this.#handlers !== undefined, 'a stream handler sets its handlers in its turn')
    const { stream } = this.#call
    stream.on('data', (chunk: Buffer) => {
      if (this.#call.isOver) return
      this.#decoder.push(chunk)
      this.#deliver()
    })
    stream.on('end', () => {
      this.#hasEnded = true
      this.#deliver()
    })
    stream.on('drain', () => {
      if (!this.#isSendBlocked || this.#call.isOver) return
      this.#isSendBlocked = false
      this.#guard((handlers) => handlers.onDrain())
    })
    // A client that resets without an error closes a paused stream only when it is read to its end. Not within this
    // event: node:http2 tells it before it submits the reset. A stream that is gone by then stays open for nghttp2,
    // which asks for its waiting data without end (empty DATA frames, until the memory is full) as soon as another
    // stream of the connection sends.
    stream.on('aborted', () => process.nextTick(() => stream.destroy()))
    if (this.#isPaused) stream.pause()
  }

  /** The stream is gone, after the call was told. */
  closed(): void {
    try {
      this.#handlers?.onClose()
    } catch (error) {
      this.#call.logFault(error)
    }
  }

  get path(): string {
    return this.#call.path
  }

  get peer(): string {
    return this.#call.peer
  }

  get metadata(): CallMetadata {
    return this.#call.metadata
  }

  get timeoutMs(): number | undefined {
    return this.#call.timeoutMs
  }

  get isCancelled(): boolean {
    return this.#call.isCancelled
  }

  onCancel(callback: () => void): void {
    this.#call.onCancel(callback)
  }

  setTrailer(name: string, value: string): void {
    this.#call.setTrailer(name, value)
  }

  setHandlers(handlers: GrpcStreamHandlers): void {
    assert(this.#handlers === undefined, 'handlers of a stream are set once')
    this.#handlers = handlers
  }

  send(message: Uint8Array): boolean {
    const { stream } = this.#call
    // The close is on its way and will be told by onClose; nobody hears this message, so nobody has to wait.
    if (this.#call.isOver || stream.destroyed || stream.closed) return true
    if (!stream.headersSent) this.#call.open()
    stream.write(framed(message))
    this.#isSendBlocked = stream.writableLength > this.#sendBufferBytesMax
    return !this.#isSendBlocked
  }

  get bufferedBytes(): number {
    return this.#call.stream.writableLength
  }

  end(): void {
    this.#call.finish(grpcStatus.ok, '')
  }

  fail(error: GrpcError): void {
    this.#call.fail(error)
  }

  pauseReading(): void {
    this.#isPaused = true
    this.#call.stream.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    // In a turn of its own: the caller may be in the middle of something.
    setImmediate(() => {
      this.#deliver()
      if (!this.#isPaused) this.#call.stream.resume()
    })
  }

  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    while (!this.#isPaused && !this.#call.isOver) {
      const message = this.#nextMessage()
      if (message === undefined) break
      this.#guard((handlers) => handlers.onMessage(message))
    }
    this.#isDelivering = false
    if (this.#hasEnded && !this.#isPaused && !this.#isHalfCloseTold && !this.#call.isOver) {
      this.#isHalfCloseTold = true
      this.#guard((handlers) => handlers.onHalfClose())
    }
  }

  #nextMessage(): Uint8Array | undefined {
    try {
      return this.#decoder.next()
    } catch (error) {
      this.#call.fail(error)
      return undefined
    }
  }

  #guard(run: (handlers: GrpcStreamHandlers) => void): void {
    assert(this.#handlers !== undefined, 'a started stream has handlers')
    try {
      run(this.#handlers)
    } catch (error) {
      this.#call.fail(error)
    }
  }
}
