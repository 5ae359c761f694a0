/**
 * grpc-http2: calls of gRPC on the streams of HTTP/2. Bytes come from and go to a transport that somebody else holds; so
 * that the same calls run on sockets and on the simulated network.
 *
 * Words: those of grpc and http2. A *plan* is everything that the headers of a call decide before its first message; a
 * client that repeats itself gets the plan of its earlier call.
 *
 * Invariants
 * 1. Every call ends once: with a status, or cancelled because nobody is left to hear one. Whatever comes later (a late
 *    answer, a deadline that passes, a client that leaves) changes nothing.
 * 2. No service is run after the deadline of its call, nor a unary one before its message is whole.
 * 3. What a service throws ends its call and no other; what is not a GrpcError is logged and told without details.
 * 4. A message that nobody reads waits at the client: a paused stream grants nothing; `send` says when it is too much.
 * 5. What one turn of the loop writes leaves together.
 *
 * Sources: grpc/doc/PROTOCOL-HTTP2.md; texts of refusals are grpc-go's.
 */
export { Calls, type CallsOptions } from './calls.ts'
export { GrpcConnection, type GrpcTransport } from './connection.ts'
