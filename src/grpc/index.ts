/**
 * grpc: what a service and a transport agree on, and the rules of gRPC that are the same on every transport. Knows
 * nothing of HTTP/2 libraries, and nothing of etcd.
 *
 * Words. A *service* is a set of methods, a *method* has a full path ("/package.Service/Method"). A *unary* call is one
 * message each way; a *stream* is any number both ways. *Trailers* come after the last message and carry the status.
 * A call is *cancelled* when the client went away or its deadline passed.
 *
 * Invariants
 * 1. A service sees messages, never frames; a transport sees bytes, never what they mean.
 * 2. No message larger than the limit is gathered: the prefix is checked before the body is awaited.
 * 3. What waits in a decoder is at most twice what the client really sent.
 * 4. The bytes of a message belong to the receiver and keep no larger buffer alive.
 * 5. Texts of refusals made here are grpc-go's, because clients compare them.
 *
 * Sources: grpc/doc/PROTOCOL-HTTP2.md, http-grpc-status-mapping.md, health-checking.md.
 *
 * Left out: compressing answers (allowed by the specification, and the bytes are small), server reflection.
 */

export {
  type Decompress,
  frameMessage,
  MessageDecoder,
  type MessageLimits,
  messagePrefix,
  ownBytes,
  wholeAnswer,
  wholeMessage,
} from './framing.ts'
export { createHealthServices, HealthState, type ServingStatus } from './health.ts'
export {
  type CallMetadata,
  type GrpcCall,
  GrpcError,
  type GrpcMethod,
  type GrpcServices,
  type GrpcStatus,
  type GrpcStream,
  type GrpcStreamHandlers,
  type GrpcUnaryCall,
  grpcStatus,
  type Metadata,
  noMetadata,
  type StreamHandler,
  type UnaryAnswer,
  type UnaryHandler,
} from './seam.ts'
export {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatTimeout,
  isGrpcContentType,
  parseTimeout,
  statusFromHttp,
  unknownMethodText,
} from './wire-text.ts'
