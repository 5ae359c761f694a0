/**
 * grpc-http2: calls of gRPC on the streams of HTTP/2. A call runs from its headers (plan) over its messages (unary-call,
 * stream-call) to one status (call), on any stream that has what call-stream asks for: those of http2, to which connection
 * brings the bytes of a transport that somebody else holds, or those of another library.
 *
 * Words: those of grpc and http2. A *plan* is everything that the headers of a call decide before its first message; a
 * client that repeats itself gets the plan of its earlier call. A call is *over* when its status is decided or nobody is
 * left to hear it, *closed* when its stream is gone. *Gathered* is what came of requests and was not handed on.
 *
 * Invariants
 * 1. Every call ends once: with a status, or cancelled because nobody is left to hear one. Whatever comes later (a late
 *    answer, a deadline that passes, a client that leaves) changes nothing. `onCancel` runs only for calls that were not
 *    answered; `onClose` of a stream runs exactly once, last.
 * 2. No service is run after the deadline of its call, nor a unary one before its message is whole.
 * 3. What a service throws ends its call and no other; what is not a GrpcError is logged and told without details.
 * 4. A message that nobody reads waits at the client: a paused stream grants nothing; `send` says when it is too much.
 * 5. What is gathered for all calls of a connection has a bound: the call that passes it is refused, and what it gathered
 *    is let go.
 * 6. What one turn of the loop writes leaves together.
 * 7. Unary answers that a client has not taken are counted for its connection: a service that asks (`hasRoom`, `onRoom`) begins
 *    nothing large for it meanwhile, and every call of a connection that ends lets some of those that wait go on.
 *
 * Sources: grpc/doc/PROTOCOL-HTTP2.md; texts of refusals are grpc-go's.
 */
export type { CallStream } from './call-stream.ts'
export { Calls, type CallsOptions } from './calls.ts'
export { GrpcConnection, type GrpcTransport } from './connection.ts'
