import { ErrorWithoutStack } from '../base/index.ts'

/**
 * The seam between a gRPC transport and the services behind it: method path -> handler over message bytes.
 * A transport (grpc-http2 on sockets, or node:http2) does HTTP/2, framing, deadlines and limits; a service sees none of it.
 */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const
export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus]

/** Header or trailer names (lower case) to values; binary ones (-bin) stay base64. */
export type Metadata = ReadonlyMap<string, string>
export const noMetadata: Metadata = new Map()
/** The metadata of a call. Most calls are asked for a name or two that they do not have: nothing is copied for that. */
export type CallMetadata = Pick<Metadata, 'get'>

/** An answer that is a refusal: the status, the text the client sees, trailers beside it. */
export class GrpcError extends ErrorWithoutStack {
  override readonly name = 'GrpcError'
  readonly status: GrpcStatus
  readonly trailers: Metadata

  constructor(status: GrpcStatus, message: string, trailers: Metadata = noMetadata) {
    super(message)
    this.status = status
    this.trailers = trailers
  }
}

export interface GrpcCall {
  readonly path: string
  readonly metadata: CallMetadata
  /** Address of the client, for logs. */
  readonly peer: string
  /** Milliseconds until the client's deadline when the call arrived; undefined without one. */
  readonly timeoutMs: number | undefined
  /** True once the client went away, cancelled, or the deadline passed. */
  readonly isCancelled: boolean
  /** Runs once when the call becomes cancelled before it was answered. */
  onCancel(callback: () => void): void
  /** Adds a trailer to the answer, whatever its status. */
  setTrailer(name: string, value: string): void
}

export interface GrpcUnaryCall extends GrpcCall {
  /** False: more answers than a bound wait for the client in its connection. Nothing large should be begun for it now. */
  readonly hasRoom: boolean
  /**
   * Runs it once, when the client has taken its answers down to that bound or this call is cancelled. It may run inside the
   * end of any call, and before `onRoom` returns where nothing is to be waited for.
   */
  onRoom(callback: () => void): void
}

/** One message: whole, or in pieces that follow each other. Nobody changes them any more. */
export type UnaryAnswer = Uint8Array | readonly Uint8Array[]

/** One message in, one out. Throw GrpcError to refuse; anything else thrown answers Internal and is logged. */
export type UnaryHandler = (request: Uint8Array, call: GrpcUnaryCall) => UnaryAnswer | Promise<UnaryAnswer>

/** A stream of messages both ways; server streaming is the case in which the client sends one and half-closes. */
export interface GrpcStream extends GrpcCall {
  /** Set once, in the turn the handler is called. */
  setHandlers(handlers: GrpcStreamHandlers): void
  /** Queues a message. False: more than the buffer's limit waits; send no more until `onDrain`. */
  send(message: Uint8Array): boolean
  /** Bytes queued and not yet taken by the network. */
  readonly bufferedBytes: number
  /** Ends with status OK. */
  end(): void
  fail(error: GrpcError): void
  /** Back-pressure towards the client. */
  pauseReading(): void
  resumeReading(): void
}
export interface GrpcStreamHandlers {
  onMessage(message: Uint8Array): void
  /** The client sends no more; it may still read. */
  onHalfClose(): void
  onDrain(): void
  /** Exactly once, last, however it ended. */
  onClose(): void
}
export type StreamHandler = (stream: GrpcStream) => void

export type GrpcMethod =
  | { readonly kind: 'unary'; readonly handle: UnaryHandler }
  | { readonly kind: 'stream'; readonly handle: StreamHandler }
/** Full method path ("/etcdserverpb.KV/Range") to handler. */
export type GrpcServices = ReadonlyMap<string, GrpcMethod>
