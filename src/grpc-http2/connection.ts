import type { HeaderList } from '../hpack/index.ts'
import {
  type ConnectionListener,
  type Http2ErrorCode,
  type Http2Limits,
  http2Error,
  ServerConnection,
  type ServerStream,
} from '../http2/index.ts'
import type { CallContext } from './call.ts'
import type { Calls } from './calls.ts'

/** Where the bytes of a connection go. */
export interface GrpcTransport {
  /** Sends the pieces, in order, as one. False: no more until `GrpcConnection.drained`. */
  write(pieces: readonly Uint8Array[]): boolean
  /** Sends what was written, then closes; `isFault`: without waiting for a client that does not take it. */
  end(isFault: boolean): void
  /** The connection has ended, with code 0 in good order: told once, before `end`. */
  ended(code: Http2ErrorCode, text: string): void
  /** Who the client is. */
  readonly peer: string
  /** Asks for `flush` once this turn is over; more than once asked is once. */
  scheduleFlush(): void
}

/** One connection: its HTTP/2 end and its calls. */
export class GrpcConnection implements ConnectionListener {
  readonly #transport: GrpcTransport
  readonly #http2: ServerConnection
  readonly #calls: Calls
  /** Since its first call. */
  #context: CallContext | undefined
  #ending: Http2ErrorCode | undefined

  /** `patience`: see `ServerConnection`. */
  constructor(transport: GrpcTransport, calls: Calls, limits: Http2Limits, patience: number) {
    this.#transport = transport
    this.#calls = calls
    this.#http2 = new ServerConnection(limits, this, patience)
    this.#transport.scheduleFlush()
  }

  get openCallCount(): number {
    return this.#http2.openStreamCount
  }

  /** The client has made a call, whatever became of it. */
  get hasCalled(): boolean {
    return this.#http2.lastStreamId > 0
  }

  /** The client has said what HTTP/2 begins with. */
  get isEstablished(): boolean {
    return this.#http2.isEstablished
  }

  /** Bytes that wait for a flush. */
  get outputBytes(): number {
    return this.#http2.outputBytes
  }

  /** Bytes of answers that were not taken, and of requests that are not whole or not read. */
  get waitingBytes(): number {
    const { pendingBytes, outputBytes, unreadBytes } = this.#http2
    return pendingBytes + outputBytes + unreadBytes + (this.#context?.gathered.bytes ?? 0)
  }

  /** True: so many frames were read, and more may wait for `goOn`. */
  receive(bytes: Uint8Array, nowMs: number, frameCountMax: number): boolean {
    return this.#http2.receive(bytes, nowMs, frameCountMax)
  }

  /** Reads on in what was received; as `receive`. */
  goOn(nowMs: number, frameCountMax: number): boolean {
    return this.#http2.goOn(nowMs, frameCountMax)
  }

  /** Hands what waits to the transport. */
  flush(): void {
    while (this.#http2.outputBytes > 0) {
      if (!this.#transport.write(this.#http2.take())) {
        this.#http2.block()
        break
      }
      this.#http2.pump()
    }
    if (this.#ending !== undefined) this.#transport.end(this.#ending !== http2Error.noError)
  }

  /** The transport takes more. */
  drained(): void {
    this.#http2.unblock()
  }

  ping(): void {
    this.#http2.ping(pingPayload)
  }

  /** GOAWAY, the end of endless streams, and of the connection once the calls under way are done. */
  close(): void {
    this.#http2.close()
    if (this.#context !== undefined) this.#calls.leave(this.#context)
  }

  /** The transport is gone. */
  lost(): void {
    this.#http2.lost()
  }

  // ---- from http2 ---------------------------------------------------------------------------------------------

  onRequest(stream: ServerStream, headers: HeaderList): void {
    this.#context ??= this.#calls.context(this.#transport.peer)
    this.#calls.start(stream, headers, this.#context)
  }

  onOutput(): void {
    this.#transport.scheduleFlush()
  }

  onEnd(code: Http2ErrorCode, text: string): void {
    this.#ending = code
    this.#transport.scheduleFlush()
    this.#transport.ended(code, text)
  }
}

const pingPayload = Uint8Array.of(0x71, 0x75, 0x6f, 0x72, 0x61, 0x74, 0x65, 0x21)
