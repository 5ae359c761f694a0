import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import {
  encodeGrpcMessage,
  type GrpcServices,
  type GrpcStatus,
  grpcStatus,
  isGrpcContentType,
  type MessageLimits,
  parseTimeout,
  unknownMethodText,
} from '../grpc/index.ts'
import type { Logger } from '../io/index.ts'
import { Call } from './call.ts'
import { gunzip } from './gunzip.ts'
import type { GrpcLimits } from './limits.ts'
import { StreamCall } from './stream-call.ts'
import { startUnaryCall } from './unary-call.ts'

export interface Dispatch {
  /** Takes one request, from its headers on. */
  start(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: string): void
  readonly openCallCount: number
  readonly startedCallCount: number
}

/** Finds the method of a request and runs it; what is not a proper gRPC request is refused here. */
export function createDispatch(services: GrpcServices, limits: GrpcLimits, logger: Logger): Dispatch {
  const plain: MessageLimits = { messageBytesMax: limits.messageBytesMax, decompress: undefined }
  const gzipped: MessageLimits = { messageBytesMax: limits.messageBytesMax, decompress: gunzip }
  const serviceNames = new Set([...services.keys()].map((path) => path.slice(1, path.lastIndexOf('/'))))
  let openCallCount = 0
  let startedCallCount = 0

  function start(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, peer: string): void {
    openCallCount++
    startedCallCount++
    // Resets and protocol errors of one stream; its close tells the call.
    stream.on('error', ignore)
    if (refuseNonGrpc(stream, headers)) {
      stream.on('close', () => {
        openCallCount--
      })
      return
    }
    const timeout = headers['grpc-timeout']
    const timeoutMs = typeof timeout === 'string' ? parseTimeout(timeout) : undefined
    const call = new Call(stream, headers, timeoutMs, { peer, logger })
    let streamCall: StreamCall | undefined
    stream.on('close', () => {
      openCallCount--
      call.closed()
      streamCall?.closed()
    })
    if (timeout !== undefined && timeoutMs === undefined) {
      call.finish(grpcStatus.internal, `malformed grpc-timeout: ${JSON.stringify(timeout)}`)
      return
    }
    if (timeoutMs === 0) {
      call.finish(grpcStatus.deadlineExceeded, 'context deadline exceeded')
      return
    }
    const method = services.get(call.path)
    if (method === undefined) {
      const text = unknownMethodText(call.path, (service) => serviceNames.has(service))
      call.finish(grpcStatus.unimplemented, text)
      return
    }
    const encoding = headers['grpc-encoding']
    if (encoding !== undefined && encoding !== 'identity' && encoding !== 'gzip') {
      call.setTrailer('grpc-accept-encoding', 'identity,gzip')
      const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`
      call.finish(grpcStatus.unimplemented, text)
      return
    }
    const messageLimits = encoding === 'gzip' ? gzipped : plain
    if (method.kind === 'unary') {
      startUnaryCall(call, method.handle, messageLimits)
      return
    }
    streamCall = new StreamCall(call, messageLimits, limits.sendBufferBytesMax)
    try {
      method.handle(streamCall)
      streamCall.start()
    } catch (error) {
      call.fail(error)
    }
  }

  return {
    start,
    get openCallCount() {
      return openCallCount
    },
    get startedCallCount() {
      return startedCallCount
    },
  }
}

/** Answers what is not gRPC in HTTP's terms, and in gRPC's beside them, as grpc-go does. */
function refuseNonGrpc(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
  const method = headers[':method']
  const contentType = headers['content-type']
  if (method !== 'POST') {
    refuse(stream, 405, grpcStatus.internal, `the method is ${JSON.stringify(method)} and should be POST`)
    return true
  }
  if (contentType !== 'application/grpc' && !isGrpcContentType(contentType)) {
    const text = `invalid gRPC request content-type ${JSON.stringify(contentType ?? '')}`
    refuse(stream, 415, grpcStatus.invalidArgument, text)
    return true
  }
  return false
}

function refuse(stream: ServerHttp2Stream, httpStatus: number, status: GrpcStatus, text: string): void {
  if (stream.destroyed || stream.closed) return
  const headers = {
    ':status': httpStatus,
    'content-type': 'application/grpc',
    'grpc-status': `${status}`,
    'grpc-message': encodeGrpcMessage(text),
  }
  stream.respond(headers, { endStream: true })
  stream.resume()
  setImmediate(() => {
    if (!stream.destroyed && !stream.closed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR)
  })
}

function ignore(): void {}
