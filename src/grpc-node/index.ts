/**
 * grpc-node: the seam of `grpc` on sockets, in the clear, with HTTP/1 on the same port. Platform room.
 *
 * A connection is decided by its first 24 bytes: the HTTP/2 preface makes it gRPC, anything else goes to the HTTP/1
 * handler. HTTP/2 is spoken by the room http2 (own-session), or by node:http2 (node-session), whose streams node-stream
 * makes into what the calls of grpc-http2 need. The calls are the same on both.
 *
 * Words. A *connection* is one socket, a *session* the HTTP/2 on it, a *stream* one call inside it.
 *
 * Invariants
 * 1. Every socket, session and stream has an error handler before its first byte is read. Nothing from outside ends the
 *    process.
 * 2. Everything that waits has a bound (limits.ts): bytes by flow-control windows, the send buffer and what is gathered
 *    of requests, calls and connections by count, time by the sweep, which needs no timer a connection.
 *
 * Sources: RFC 9113; the Node documentation of http2.
 *
 * Left out: TLS (a listener in the clear only, as yet).
 */
export { defaultLimits, type GrpcLimits } from './limits.ts'
export { createGrpcServer, type GrpcGauges, type GrpcServer, type GrpcServerOptions } from './server.ts'
