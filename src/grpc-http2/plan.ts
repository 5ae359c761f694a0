import {
  type CallMetadata,
  type Decompress,
  type GrpcMethod,
  type GrpcServices,
  type GrpcStatus,
  grpcStatus,
  isGrpcContentType,
  type MessageLimits,
  parseTimeout,
  unknownMethodText,
} from '../grpc/index.ts'
import { fieldOf, type HeaderList } from '../hpack/index.ts'

export interface Refusal {
  readonly httpStatus: number
  readonly status: GrpcStatus
  readonly text: string
  readonly trailers: readonly string[]
}

/** What the headers of a call decide. */
export interface CallPlan {
  readonly path: string
  readonly metadata: CallMetadata
  readonly timeoutMs: number | undefined
  readonly limits: MessageLimits
  /** Undefined: it is refused before anything is read. */
  readonly method: GrpcMethod | undefined
  readonly refusal: Refusal | undefined
}

/** Reads the headers of calls; the same object is read once. */
export class Planner {
  readonly #services: GrpcServices
  readonly #serviceNames: ReadonlySet<string>
  readonly #plain: MessageLimits
  readonly #gzipped: MessageLimits
  readonly #plans = new WeakMap<HeaderList, CallPlan>()

  constructor(services: GrpcServices, messageBytesMax: number, gunzip: Decompress) {
    this.#services = services
    this.#serviceNames = new Set([...services.keys()].map((path) => path.slice(1, path.lastIndexOf('/'))))
    this.#plain = { messageBytesMax, decompress: undefined }
    this.#gzipped = { messageBytesMax, decompress: gunzip }
  }

  plan(headers: HeaderList): CallPlan {
    let plan = this.#plans.get(headers)
    if (plan === undefined) {
      plan = this.#read(headers)
      this.#plans.set(headers, plan)
    }
    return plan
  }

  #read(headers: HeaderList): CallPlan {
    const path = fieldOf(headers, ':path') ?? ''
    const timeout = fieldOf(headers, 'grpc-timeout')
    const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout)
    const encoding = fieldOf(headers, 'grpc-encoding')
    const limits = encoding === 'gzip' ? this.#gzipped : this.#plain
    const refusal = this.#refusal(headers, path, timeoutMs)
    const method = refusal === undefined ? this.#services.get(path) : undefined
    return { path, metadata: new HeaderMetadata(headers), timeoutMs, limits, method, refusal }
  }

  /** What is not gRPC is answered in HTTP's terms, and in gRPC's beside them, as grpc-go does. */
  #refusal(headers: HeaderList, path: string, timeoutMs: number | undefined): Refusal | undefined {
    const method = fieldOf(headers, ':method')
    if (method !== 'POST') {
      const text = `the method is ${JSON.stringify(method)} and should be POST`
      return { httpStatus: 405, status: grpcStatus.internal, text, trailers: [] }
    }
    const contentType = fieldOf(headers, 'content-type')
    if (!isGrpcContentType(contentType)) {
      const text = `invalid gRPC request content-type ${JSON.stringify(contentType ?? '')}`
      return { httpStatus: 415, status: grpcStatus.invalidArgument, text, trailers: [] }
    }
    const refuse = (status: GrpcStatus, text: string, trailers: readonly string[] = []): Refusal => {
      return { httpStatus: 200, status, text, trailers }
    }
    const timeout = fieldOf(headers, 'grpc-timeout')
    if (timeout !== undefined && timeoutMs === undefined) {
      return refuse(grpcStatus.internal, `malformed grpc-timeout: ${JSON.stringify(timeout)}`)
    }
    if (timeoutMs === 0) return refuse(grpcStatus.deadlineExceeded, 'context deadline exceeded')
    if (!this.#services.has(path)) {
      const text = unknownMethodText(path, (service) => this.#serviceNames.has(service))
      return refuse(grpcStatus.unimplemented, text)
    }
    const encoding = fieldOf(headers, 'grpc-encoding')
    if (encoding === undefined || encoding === 'identity' || encoding === 'gzip') return undefined
    const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`
    return refuse(grpcStatus.unimplemented, text, ['grpc-accept-encoding', 'identity,gzip'])
  }
}

class HeaderMetadata implements CallMetadata {
  readonly #headers: HeaderList

  constructor(headers: HeaderList) {
    this.#headers = headers
  }

  /** Fields of one name are one value, as HTTP has it. */
  get(name: string): string | undefined {
    if (name.startsWith(':')) return undefined
    const { fields } = this.#headers
    let value: string | undefined
    for (let i = 0; i < fields.length; i += 2) {
      if (fields[i] === name) value = value === undefined ? fields[i + 1] : `${value}, ${fields[i + 1]}`
    }
    return value
  }
}
