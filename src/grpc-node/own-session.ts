import type { Socket } from 'node:net'
import { type Calls, GrpcConnection, type GrpcTransport } from '../grpc-http2/index.ts'
import type { Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import type { Session } from './session.ts'

/** Answers of pings, headers and the like that may wait for a client that does not read; then it is not read either. */
const unreadBytesMax = 64 * 1024

export interface OwnSessionContext {
  readonly calls: Calls
  readonly limits: Http2Limits
  readonly flushes: FlushQueue
  readonly time: Time
  readonly logger: Logger
}

/** What has to be flushed once the turn is over, of all connections of a server. */
export class FlushQueue {
  #due: OwnSession[] = []
  #isScheduled = false

  add(session: OwnSession): void {
    this.#due.push(session)
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => this.#run())
  }

  #run(): void {
    this.#isScheduled = false
    const due = this.#due
    this.#due = []
    for (const session of due) session.flush()
  }
}

/** HTTP/2 of our own on one socket, which has been read up to and without `received`. */
export class OwnSession implements Session, GrpcTransport {
  readonly #socket: Socket
  readonly #context: OwnSessionContext
  readonly #connection: GrpcConnection
  readonly #peer: string
  #isFlushDue = false
  #isBlocked = false

  constructor(socket: Socket, received: Uint8Array, context: OwnSessionContext, peer: string) {
    this.#socket = socket
    this.#context = context
    this.#peer = peer
    this.#connection = new GrpcConnection(this, context.calls, context.limits, peer, (code, text) => {
      if (code !== 0) context.logger.log('debug', 'grpc-session-failed', { peer, error: text })
    })
    socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    socket.on('drain', () => {
      this.#isBlocked = false
      this.#connection.drained()
      socket.resume()
    })
    socket.on('close', () => this.#connection.lost())
    this.#receive(received)
    socket.resume()
  }

  get isEstablished(): boolean {
    return this.#connection.isEstablished
  }

  get openCallCount(): number {
    return this.#connection.openCallCount
  }

  ping(): void {
    this.#connection.ping()
  }

  close(): void {
    this.#connection.close()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  flush(): void {
    this.#isFlushDue = false
    if (!this.#socket.destroyed) this.#connection.flush()
  }

  // ---- for the connection -------------------------------------------------------------------------------------

  scheduleFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#context.flushes.add(this)
  }

  write(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    if (pieces.length === 1) {
      this.#isBlocked = !socket.write(pieces[0] as Uint8Array)
    } else {
      socket.cork()
      for (const piece of pieces) this.#isBlocked = !socket.write(piece)
      socket.uncork()
    }
    return !this.#isBlocked
  }

  end(isFault: boolean): void {
    if (!isFault) this.#socket.end()
    else if (this.#isBlocked) this.#socket.destroy()
    else this.#socket.destroySoon()
  }

  #receive(bytes: Uint8Array): void {
    try {
      this.#connection.receive(bytes, this.#context.time.monotonicMs())
    } catch (error) {
      // A fault of ours ends this connection and nothing else.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#context.logger.log('error', 'grpc-dispatch-failed', { peer: this.#peer, error: text })
      this.#socket.destroy()
      return
    }
    if (this.#isBlocked && this.#connection.outputBytes > unreadBytesMax) this.#socket.pause()
  }
}
