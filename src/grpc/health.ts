import { assert, ByteReader, QuorateError, utf8Decode } from '../base/index.ts'
import { GrpcError, type GrpcMethod, type GrpcServices, type GrpcStream, grpcStatus } from './seam.ts'

/**
 * grpc.health.v1.Health, as load balancers and client libraries ask for it.
 *
 *   HealthCheckRequest  { string service = 1 }
 *   HealthCheckResponse { ServingStatus status = 1 }   UNKNOWN 0, SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3
 *
 * Source: grpc/doc/health-checking.md and grpc.health.v1.proto.
 */
export type ServingStatus = 'serving' | 'not-serving'

const statusNumbers = { serving: 1, 'not-serving': 2, 'service-unknown': 3 } as const

/** What is served now. The service "" stands for the whole server. */
export class HealthState {
  readonly #statuses = new Map<string, ServingStatus>()
  readonly #listeners = new Set<() => void>()

  /** `undefined` when there is no such service. */
  get(service: string): ServingStatus | undefined {
    return this.#statuses.get(service)
  }

  set(service: string, status: ServingStatus): void {
    if (this.#statuses.get(service) === status) return
    this.#statuses.set(service, status)
    for (const listener of [...this.#listeners]) listener()
  }

  /** Calls `listener` after each change until the returned function is called. */
  subscribe(listener: () => void): () => void {
    assert(!this.#listeners.has(listener), 'a listener subscribes once')
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

export function createHealthServices(state: HealthState): GrpcServices {
  return new Map<string, GrpcMethod>([
    ['/grpc.health.v1.Health/Check', { kind: 'unary', handle: (request) => check(state, request) }],
    ['/grpc.health.v1.Health/Watch', { kind: 'stream', handle: (stream) => watch(state, stream) }],
  ])
}

function check(state: HealthState, request: Uint8Array): Uint8Array {
  const status = state.get(decodeService(request))
  if (status === undefined) throw new GrpcError(grpcStatus.notFound, 'unknown service')
  return encodeStatus(status)
}

/** The present status at once, then each change. A slow reader gets the latest, not every one. */
function watch(state: HealthState, stream: GrpcStream): void {
  let service: string | undefined
  let sent: string | undefined
  let isBlocked = false
  const tell = (): void => {
    if (service === undefined || isBlocked) return
    const status = state.get(service) ?? 'service-unknown'
    if (status === sent) return
    sent = status
    isBlocked = !stream.send(encodeStatus(status))
  }
  const unsubscribe = state.subscribe(tell)
  stream.setHandlers({
    onMessage(request) {
      if (service !== undefined) return
      try {
        service = decodeService(request)
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error
        stream.fail(error)
        return
      }
      tell()
    },
    onHalfClose() {
      if (service === undefined) {
        stream.fail(new GrpcError(grpcStatus.invalidArgument, 'a health watch names a service'))
      }
    },
    onDrain() {
      isBlocked = false
      tell()
    },
    onClose: unsubscribe,
  })
}

function encodeStatus(status: keyof typeof statusNumbers): Uint8Array {
  return Uint8Array.of(0x08, statusNumbers[status])
}

/** Field 1, length-delimited; the last one counts and unknown fields are skipped, as protobuf asks. */
function decodeService(request: Uint8Array): string {
  let service: string | undefined = ''
  try {
    const reader = new ByteReader(request)
    while (reader.remaining > 0) {
      const tag = reader.varint()
      if (tag === 0x0a) service = utf8Decode(reader.sized())
      else skipField(reader, tag % 8)
    }
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error
    service = undefined
  }
  if (service === undefined) {
    throw new GrpcError(grpcStatus.internal, 'grpc: error unmarshalling request: not a HealthCheckRequest')
  }
  return service
}

function skipField(reader: ByteReader, wireType: number): void {
  switch (wireType) {
    case 0:
      while (reader.u8() >= 0x80);
      return
    case 1:
      reader.raw(8)
      return
    case 2:
      reader.sized()
      return
    case 5:
      reader.raw(4)
      return
    default:
      throw new QuorateError('frame-malformed', `wire type ${wireType}`)
  }
}
