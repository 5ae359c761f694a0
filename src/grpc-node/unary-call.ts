import {
  GrpcError,
  grpcStatus,
  MessageDecoder,
  type MessageLimits,
  type UnaryHandler,
  wholeMessage,
} from '../grpc/index.ts'
import type { Call } from './call.ts'

/** Reads the one message of a request, runs the handler and sends its answer. */
export function startUnaryCall(call: Call, handle: UnaryHandler, limits: MessageLimits): void {
  const { stream } = call
  let decoder: MessageDecoder | undefined
  let isStarted = false

  stream.on('data', (chunk: Buffer) => {
    if (isStarted || call.isOver) return
    let message: Uint8Array | undefined
    try {
      if (decoder === undefined) message = wholeMessage(chunk, limits)
      if (message === undefined) {
        decoder ??= new MessageDecoder(limits)
        message = onlyMessage(decoder, chunk)
      }
    } catch (error) {
      call.fail(error)
      return
    }
    if (message === undefined) return
    isStarted = true
    run(call, handle, message)
  })
  stream.on('end', () => {
    if (!isStarted) call.finish(grpcStatus.internal, 'grpc: received no request message for a unary method')
  })
}

function run(call: Call, handle: UnaryHandler, message: Uint8Array): void {
  try {
    const answer = handle(message, call)
    if (answer instanceof Uint8Array) call.answer(answer)
    else
      answer.then(
        (bytes) => call.answer(bytes),
        (error) => call.fail(error),
      )
  } catch (error) {
    call.fail(error)
  }
}

function onlyMessage(decoder: MessageDecoder, chunk: Uint8Array): Uint8Array | undefined {
  decoder.push(chunk)
  const message = decoder.next()
  if (message !== undefined && !decoder.isBetweenMessages) {
    const text = 'grpc: received more than one request message for a unary method'
    throw new GrpcError(grpcStatus.internal, text)
  }
  return message
}
