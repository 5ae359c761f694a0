/**
 * grpc-node: the seam of `grpc` on sockets, in the clear, with HTTP/1 on the same port. Platform room.
 *
 * A connection is decided by its first 24 bytes: the HTTP/2 preface makes it gRPC, anything else goes to the HTTP/1
 * handler. HTTP/2 is spoken by the rooms grpc-http2 and http2 (own-session), or by node:http2 (node-session), for which a
 * call runs from its headers (dispatch) over its messages (unary-call, stream-call) to one status (call).
 *
 * Words. A *connection* is one socket, a *session* the HTTP/2 on it, a *stream* one call inside it. A call is
 * *over* when its status is decided, *closed* when its stream is gone.
 *
 * Invariants
 * 1. The status of a call is decided once. A late answer, a passed deadline, a client that leaves: the first one counts.
 * 2. `onCancel` runs only for calls that were not answered; `onClose` of a stream runs exactly once, last.
 * 3. Every socket, session and stream has an error handler before its first byte is read; what a handler throws ends
 *    its call. Nothing from outside ends the process.
 * 4. Everything that waits has a bound (limits.ts): bytes by flow-control windows and the send buffer, calls and
 *    connections by count, time by the sweep, which needs no timer a connection.
 * 5. No request is run after its deadline, and none before its one message (or, streaming, its headers) is whole.
 *
 * Sources: RFC 9113; grpc/doc/PROTOCOL-HTTP2.md; the Node documentation of http2; the texts of grpc-go.
 *
 * Left out: TLS (a listener in the clear only, as yet), compressed answers.
 */
export { defaultLimits, type GrpcLimits } from './limits.ts'
export { createGrpcServer, type GrpcGauges, type GrpcServer, type GrpcServerOptions } from './server.ts'
