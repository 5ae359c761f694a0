import {
  GrpcError,
  grpcStatus,
  MessageDecoder,
  type MessageLimits,
  type UnaryHandler,
  wholeMessage,
} from '../grpc/index.ts'
import type { Call, CallReader } from './call.ts'

/** Reads the one message of a request, runs the service and sends its answer. */
export class UnaryCall implements CallReader {
  readonly #call: Call
  readonly #handle: UnaryHandler
  readonly #limits: MessageLimits
  #decoder: MessageDecoder | undefined
  #isStarted = false

  constructor(call: Call, handle: UnaryHandler, limits: MessageLimits) {
    this.#call = call
    this.#handle = handle
    this.#limits = limits
  }

  onData(bytes: Uint8Array): void {
    if (this.#isStarted) return
    let message: Uint8Array | undefined
    try {
      message = this.#take(bytes)
    } catch (error) {
      this.#call.fail(error)
      return
    }
    if (message === undefined) return
    this.#isStarted = true
    this.#run(message)
  }

  onEnd(): void {
    if (this.#isStarted) return
    this.#call.finish(grpcStatus.internal, 'grpc: received no request message for a unary method')
  }

  onDrain(): void {}

  drop(): void {
    this.#decoder = undefined
  }

  onClose(): void {}

  #take(bytes: Uint8Array): Uint8Array | undefined {
    if (this.#decoder === undefined) {
      const whole = wholeMessage(bytes, this.#limits)
      if (whole !== undefined) return whole
      this.#decoder = new MessageDecoder(this.#limits)
    }
    const decoder = this.#decoder
    decoder.push(bytes)
    const message = decoder.next()
    this.#call.gathers(decoder.gatheredBytes)
    if (message !== undefined && !decoder.isBetweenMessages) {
      const text = 'grpc: received more than one request message for a unary method'
      throw new GrpcError(grpcStatus.internal, text)
    }
    return message
  }

  #run(message: Uint8Array): void {
    const call = this.#call
    try {
      const answer = this.#handle(message, call)
      if (answer instanceof Promise)
        answer.then(
          (message) => call.answer(message),
          (error) => call.fail(error),
        )
      else call.answer(answer)
    } catch (error) {
      call.fail(error)
    }
  }
}
