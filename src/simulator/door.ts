/**
 * The seam of `grpc` without a transport: what a client says reaches the handler at once, and what the handler answers
 * reaches the client at once. Whoever calls puts the way between the two: delay, death, a client that goes away.
 */
import { assert } from '../base/index.ts'
import {
  type GrpcError,
  type GrpcServices,
  type GrpcStream,
  type GrpcStreamHandlers,
  type GrpcUnaryCall,
  grpcStatus,
  type Metadata,
  noMetadata,
  wholeAnswer,
} from '../grpc/index.ts'
import type { CallTerms } from './server-seam.ts'

/** What waits for a client that does not read, before the server is told to send no more. */
const streamBufferBytesMax = 4_096

class Call implements GrpcUnaryCall {
  readonly path: string
  readonly metadata: Metadata
  readonly peer = 'simulated client'
  readonly timeoutMs: number | undefined
  /** Its client takes what it asked for. */
  readonly hasRoom = true
  isCancelled = false
  #callbacks: (() => void)[] = []

  constructor(path: string, metadata: Metadata, timeoutMs: number | undefined) {
    this.path = path
    this.metadata = metadata
    this.timeoutMs = timeoutMs
  }

  onCancel(callback: () => void): void {
    this.#callbacks.push(callback)
  }

  onRoom(callback: () => void): void {
    callback()
  }

  /** Trailers of answers that are no refusals: no service has any. */
  setTrailer(): void {}

  cancelled(): void {
    if (this.isCancelled) return
    this.isCancelled = true
    for (const callback of this.#callbacks) callback()
  }
}

/** Rejects with the handler's GrpcError. */
export async function callUnary(
  services: GrpcServices,
  path: string,
  message: Uint8Array,
  metadata: Metadata,
  terms: CallTerms,
): Promise<Uint8Array> {
  const method = services.get(path)
  assert(method?.kind === 'unary', () => `${path} takes one message`)
  const call = new Call(path, metadata, terms.timeoutMs)
  terms.onCancel(() => call.cancelled())
  return wholeAnswer(await method.handle(message, call))
}

export interface StreamClient {
  onMessage(message: Uint8Array): void
  /** Undefined: the server ended it well. Not called after `cancel`. */
  onEnd(error: GrpcError | undefined): void
}

/** One stream. `later` runs a callback in a turn of its own. */
export class OpenStream implements GrpcStream {
  readonly path: string
  readonly metadata: Metadata = noMetadata
  readonly peer = 'simulated client'
  readonly timeoutMs: number | undefined
  readonly #call: Call
  readonly #client: StreamClient
  readonly #later: (callback: () => void) => void
  #handlers: GrpcStreamHandlers | undefined
  #isOver = false
  /** What the client said while the server did not read, and what the server said while the client did not. */
  #said: Uint8Array[] = []
  #told: Uint8Array[] = []
  #isServerReading = true
  #isClientReading = true
  #isDrainDue = false

  constructor(
    services: GrpcServices,
    path: string,
    client: StreamClient,
    later: (callback: () => void) => void,
    timeoutMs?: number,
  ) {
    const method = services.get(path)
    assert(method?.kind === 'stream', () => `${path} is a stream`)
    this.path = path
    this.timeoutMs = timeoutMs
    this.#call = new Call(path, noMetadata, timeoutMs)
    this.#client = client
    this.#later = later
    method.handle(this)
  }

  // ---- the client's side -----------------------------------------------------------------------------------------

  write(message: Uint8Array): void {
    if (this.#isOver) return
    if (this.#isServerReading && this.#said.length === 0) this.#handlers?.onMessage(message)
    else this.#said.push(message)
  }

  halfClose(): void {
    if (!this.#isOver) this.#handlers?.onHalfClose()
  }

  setReading(isReading: boolean): void {
    this.#isClientReading = isReading
    if (!isReading || this.#isOver) return
    for (const message of this.#told.splice(0)) this.#client.onMessage(message)
    if (!this.#isDrainDue) return
    this.#isDrainDue = false
    this.#later(() => {
      if (!this.#isOver) this.#handlers?.onDrain()
    })
  }

  cancel(): void {
    if (this.#isOver) return
    this.#call.cancelled()
    this.#close()
  }

  // ---- the server's side -----------------------------------------------------------------------------------------

  get isCancelled(): boolean {
    return this.#call.isCancelled
  }

  get bufferedBytes(): number {
    return this.#told.reduce((sum, message) => sum + message.length, 0)
  }

  onCancel(callback: () => void): void {
    this.#call.onCancel(callback)
  }

  setTrailer(): void {}

  setHandlers(handlers: GrpcStreamHandlers): void {
    this.#handlers = handlers
    if (this.#isOver) this.#close()
  }

  send(message: Uint8Array): boolean {
    assert(!this.#isOver || this.isCancelled, 'nothing is sent behind the end')
    if (this.#isOver) return true
    if (this.#isClientReading) {
      this.#client.onMessage(message)
      return true
    }
    this.#told.push(message)
    this.#isDrainDue = this.bufferedBytes > streamBufferBytesMax
    return !this.#isDrainDue
  }

  end(): void {
    this.#finish(undefined)
  }

  fail(error: GrpcError): void {
    this.#finish(error)
  }

  pauseReading(): void {
    this.#isServerReading = false
  }

  resumeReading(): void {
    this.#isServerReading = true
    this.#later(() => {
      while (this.#isServerReading && !this.#isOver && this.#said.length > 0) {
        this.#handlers?.onMessage(this.#said.shift() as Uint8Array)
      }
    })
  }

  #finish(error: GrpcError | undefined): void {
    if (this.#isOver) return
    for (const message of this.#told.splice(0)) this.#client.onMessage(message)
    this.#close()
    this.#client.onEnd(error)
  }

  #close(): void {
    this.#isOver = true
    const handlers = this.#handlers
    this.#handlers = undefined
    handlers?.onClose()
  }
}

/** Says why a stream ended, for whoever opens another. */
export function endingText(error: GrpcError | undefined): string {
  if (error === undefined) return 'the server ended the stream'
  const status = Object.entries(grpcStatus).find(([, value]) => value === error.status)
  return `${status?.[0]}: ${error.message}`
}
