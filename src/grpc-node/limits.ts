/** Every bound of the server. Each default stands for one process that serves a few thousand clients. */
export interface GrpcLimits {
  /** Largest message a client may send. etcd: 1.5 MiB a request and 512 KiB for what is around it. */
  readonly messageBytesMax: number
  /**
   * Connections at a time, of all listeners. A further one takes the place of the oldest on which nothing was asked or that
   * broke a rule; where there is none, it is closed at once.
   */
  readonly connectionCountMax: number
  /** Calls at a time in one connection; further ones wait in the client. */
  readonly streamCountMax: number
  /** Bytes of the headers of one call. */
  readonly headerBytesMax: number
  /** Bytes of answers that wait in one stream before `send` answers false. */
  readonly sendBufferBytesMax: number
  /** Bytes of answers to unary calls that wait in one connection before nothing large is begun for it. */
  readonly untakenBytesMax: number
  /** Bytes a client may send ahead, in one stream and in one connection. */
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
  /** What may wait in one connection, in MiB; above it no further call is taken. */
  readonly sessionMemoryMiB: number
  /**
   * Bytes of request messages that are not whole, or that nobody takes yet, in one connection; the call that passes it is
   * refused. At least `messageBytesMax`.
   */
  readonly gatheredBytesMax: number
  /**
   * Bytes that all connections together hold, of answers that were not taken and of requests that are not whole; above it
   * the connection that holds most is closed. Not with the library of Node.
   */
  readonly waitingBytesMax: number
  /**
   * Calls a client may cancel: so many at once, and so many a second for ever. Above it the connection ends. A call that is
   * cancelled before it is read counts as eight, but with the library of Node.
   */
  readonly resetCountBurst: number
  readonly resetCountPerSecond: number
  /** Frames that break the protocol before the connection ends. */
  readonly invalidFrameCountMax: number
  /** From the connection to its first whole frame (or HTTP/1 header). */
  readonly handshakeMs: number
  /** After so long without a byte from the client it is asked for a sign of life... */
  readonly pingAfterMs: number
  /** ...and has so long to give it. */
  readonly pingTimeoutMs: number
  /** A connection without a call for so long is closed in good order. */
  readonly idleMs: number
  /** How long calls may go on after `close` was called. */
  readonly closeGraceMs: number
}

export const defaultLimits: GrpcLimits = {
  messageBytesMax: 2_097_152,
  connectionCountMax: 4_096,
  streamCountMax: 4_096,
  headerBytesMax: 32 * 1024,
  sendBufferBytesMax: 1024 * 1024,
  untakenBytesMax: 1024 * 1024,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 8 * 1024 * 1024,
  sessionMemoryMiB: 64,
  gatheredBytesMax: 64 * 1024 * 1024,
  waitingBytesMax: 512 * 1024 * 1024,
  resetCountBurst: 4_096,
  resetCountPerSecond: 500,
  invalidFrameCountMax: 100,
  handshakeMs: 10_000,
  pingAfterMs: 60_000,
  pingTimeoutMs: 20_000,
  idleMs: 1_800_000,
  closeGraceMs: 5_000,
}
