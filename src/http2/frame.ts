/**
 * Every frame is
 *
 *   u24 length | u8 type | u8 flags | u1 reserved, u31 stream | length bytes of payload
 *
 * in network byte order. Source: RFC 9113, section 4.1; types and flags section 6, error codes section 7.
 */
export const frameHeaderBytes = 9

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const frameFlag = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const

export const http2Error = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const
export type Http2ErrorCode = (typeof http2Error)[keyof typeof http2Error]

export const settingId = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const

/** What every client sends first (section 3.4). */
export const clientPreface: Uint8Array = Uint8Array.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', (character) =>
  character.charCodeAt(0),
)

/** The largest payload that is taken without having announced more (section 4.2). */
export const frameBytesMax = 16_384
export const initialWindowBytes = 65_535
export const windowBytesMax = 0x7fff_ffff

export function readU31(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) & 0x7fff_ffff
}

export function readU32(bytes: Uint8Array, at: number): number {
  const [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
  return (((a as number) << 24) | ((b as number) << 16) | ((c as number) << 8) | (d as number)) >>> 0
}

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
}
