import { utf8Decode, utf8Encode } from '../base/index.ts'
import { type GrpcStatus, grpcStatus } from './seam.ts'

/** Milliseconds a unit of `grpc-timeout` has. Source: grpc/doc/PROTOCOL-HTTP2.md, "TimeoutUnit". */
const timeoutUnits: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
}

/** Milliseconds that a `grpc-timeout` header gives ("1500m", "2S"), undefined when it is malformed. */
export function parseTimeout(text: string): number | undefined {
  const unit = timeoutUnits[text.slice(-1)]
  const digits = text.slice(0, -1)
  if (unit === undefined || !/^[0-9]{1,8}$/.test(digits)) return undefined
  return Number(digits) * unit
}

/** The header that gives `timeoutMs`, rounded up in the finest unit that eight digits can hold. */
export function formatTimeout(timeoutMs: number): string {
  for (const unit of ['n', 'u', 'm', 'S', 'M']) {
    const count = Math.ceil(timeoutMs / (timeoutUnits[unit] as number))
    if (count < 100_000_000) return `${Math.max(0, count)}${unit}`
  }
  return `${Math.min(99_999_999, Math.ceil(timeoutMs / 3_600_000))}H`
}

const plainText = /^[\x20-\x24\x26-\x7e]*$/

/** The `grpc-message` trailer: UTF-8, all but printable ASCII, and the percent sign, as %XX. */
export function encodeGrpcMessage(text: string): string {
  if (plainText.test(text)) return text
  let encoded = ''
  for (const byte of utf8Encode(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** The text of a `grpc-message` trailer. As the specification asks, what is not valid stays as it came. */
export function decodeGrpcMessage(encoded: string): string {
  if (!encoded.includes('%')) return encoded
  const bytes: number[] = []
  for (let i = 0; i < encoded.length; i++) {
    const digits = encoded.slice(i + 1, i + 3)
    if (encoded[i] === '%' && /^[0-9a-fA-F]{2}$/.test(digits)) {
      bytes.push(Number.parseInt(digits, 16))
      i += 2
    } else {
      bytes.push(encoded.charCodeAt(i))
    }
  }
  return utf8Decode(Uint8Array.from(bytes)) ?? encoded
}

/**
 * The status a client reports for an answer that is not gRPC, as a proxy gives it.
 * Source: grpc/doc/http-grpc-status-mapping.md.
 */
export function statusFromHttp(httpStatus: number): GrpcStatus {
  switch (httpStatus) {
    case 400:
      return grpcStatus.internal
    case 401:
      return grpcStatus.unauthenticated
    case 403:
      return grpcStatus.permissionDenied
    case 404:
      return grpcStatus.unimplemented
    case 429:
    case 502:
    case 503:
    case 504:
      return grpcStatus.unavailable
    default:
      return grpcStatus.unknown
  }
}

/** Whether a content type is gRPC's: application/grpc, or it with a suffix (+proto) or parameters. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc($|[+;])/.test(contentType)
}

/**
 * What is wrong with a method path that no service has, in grpc-go's words. Paths that lack the two parts count as
 * malformed.
 */
export function unknownMethodText(path: string, hasService: (service: string) => boolean): string {
  const slash = path.lastIndexOf('/')
  if (!path.startsWith('/') || slash <= 0) return `malformed method name: ${JSON.stringify(path)}`
  const [service, method] = [path.slice(1, slash), path.slice(slash + 1)]
  return hasService(service)
    ? `unknown method ${method} for service ${service}`
    : `unknown service ${service}`
}
