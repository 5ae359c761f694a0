import { assert } from '../base/index.ts'
import {
  type CallMetadata,
  GrpcError,
  type GrpcStream,
  type GrpcStreamHandlers,
  grpcStatus,
  MessageDecoder,
  type MessageLimits,
  ownBytes,
} from '../grpc/index.ts'
import type { Call, CallReader, OpenStream } from './call.ts'

/** What a piece that waits costs beside its bytes: a client may send them one by one. */
const pieceBytes = 256

/**
 * A call with a stream of messages both ways. Handlers run one at a time; what a handler throws ends the call with
 * Internal. A message that was decoded before a pause waits, and so does the half-close behind it.
 */
export class StreamCall implements GrpcStream, CallReader, OpenStream {
  readonly #call: Call
  readonly #open: Set<OpenStream>
  readonly #decoder: MessageDecoder
  readonly #sendBufferBytesMax: number
  #handlers: GrpcStreamHandlers | undefined
  /** Received while the stream was paused: at most a window. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #isPaused = false
  #isDelivering = false
  #hasEnded = false
  #isHalfCloseTold = false
  #isSendBlocked = false

  /** `open`: those of its connection, to which it belongs from its handlers to its close. */
  constructor(call: Call, limits: MessageLimits, sendBufferBytesMax: number, open: Set<OpenStream>) {
    this.#call = call
    this.#open = open
    this.#decoder = new MessageDecoder(limits)
    this.#sendBufferBytesMax = sendBufferBytesMax
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

  get hasHandlers(): boolean {
    return this.#handlers !== undefined
  }

  setHandlers(handlers: GrpcStreamHandlers): void {
    assert(this.#handlers === undefined, 'handlers of a stream are set once')
    this.#handlers = handlers
    this.#open.add(this)
  }

  send(message: Uint8Array): boolean {
    if (this.#call.isOver) return true
    this.#call.send(message)
    this.#isSendBlocked = this.bufferedBytes > this.#sendBufferBytesMax
    return !this.#isSendBlocked
  }

  get bufferedBytes(): number {
    return this.#call.stream.pendingBytes
  }

  end(): void {
    this.#call.finish(grpcStatus.ok, '')
  }

  fail(error: GrpcError): void {
    this.#call.fail(error)
  }

  pauseReading(): void {
    this.#isPaused = true
    this.#call.stream.hold()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    // In a turn of its own: the caller may be in the middle of something.
    this.#call.later(() => {
      this.#deliver()
      if (!this.#isPaused) this.#call.stream.release()
    })
  }

  // ---- from the call ------------------------------------------------------------------------------------------

  onData(bytes: Uint8Array): void {
    this.#waiting.push(this.#isPaused ? ownBytes(bytes) : bytes)
    this.#waitingBytes += pieceBytes + bytes.length
    this.#deliver()
  }

  onEnd(): void {
    this.#hasEnded = true
    this.#deliver()
  }

  onDrain(): void {
    if (!this.#isSendBlocked) return
    this.#isSendBlocked = false
    this.#guard((handlers) => handlers.onDrain())
  }

  drop(): void {
    this.#waiting = []
    this.#waitingBytes = 0
    this.#decoder.drop()
  }

  /** A client that has said all may get its answer to the end; one that goes on has to go on elsewhere. */
  leave(): void {
    if (!this.#hasEnded) this.fail(new GrpcError(grpcStatus.unavailable, 'the server is shutting down'))
  }

  onClose(): void {
    this.#open.delete(this)
    try {
      this.#handlers?.onClose()
    } catch (error) {
      this.#call.logFault(error)
    }
  }

  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    while (!this.#isPaused && !this.#call.isOver) {
      const message = this.#nextMessage()
      if (message !== undefined) {
        this.#guard((handlers) => handlers.onMessage(message))
        continue
      }
      const bytes = this.#waiting.shift()
      if (bytes === undefined) break
      this.#waitingBytes -= pieceBytes + bytes.length
      this.#decoder.push(bytes)
    }
    this.#isDelivering = false
    if (this.#call.isOver) this.drop()
    else this.#call.gathers(this.#waitingBytes + this.#decoder.gatheredBytes)
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
