import type { Socket } from 'node:net'
import { type Calls, GrpcConnection, type GrpcTransport } from '../grpc-http2/index.ts'
import type { Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import type { Backlog, Backlogged } from './backlog.ts'
import type { Session } from './session.ts'

/** Answers of pings, headers and the like that may wait for a client that does not read; then it is not read either. */
const unreadBytesMax = 64 * 1024
/** How long a connection that broke a rule is kept, unread: it hears why, and cannot begin again at once. */
const lingerMs = 1_000
/** What a socket reads at once. The library under Node goes on up to 32 times while each is whole: 2 MiB of one client. */
const wholeReadBytes = 64 * 1024

/** Connections that send without a pause and are read in one turn of the loop. */
const restedPerTurn = 8

export interface OwnSessionContext {
  readonly calls: Calls
  readonly limits: Http2Limits
  readonly flushes: FlushQueue
  readonly rests: RestQueue
  readonly backlog: Backlog
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

interface Resting {
  resume(): void
}

/** Connections of a server that sent more than one read takes: they go on in turn, a few in each turn of the loop. */
export class RestQueue {
  readonly #resting = new Set<Resting>()
  #isScheduled = false

  add(session: Resting): void {
    this.#resting.add(session)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#resting.size === 0) return
    this.#isScheduled = true
    setImmediate(() => this.#run())
  }

  #run(): void {
    this.#isScheduled = false
    let left = restedPerTurn
    for (const session of this.#resting) {
      if (left-- === 0) break
      this.#resting.delete(session)
      session.resume()
    }
    this.#schedule()
  }
}

/** HTTP/2 of our own on one socket, which has been read up to and without `received`. */
export class OwnSession implements Session, GrpcTransport, Backlogged {
  readonly #socket: Socket
  readonly #context: OwnSessionContext
  readonly #connection: GrpcConnection
  readonly #peer: string
  #isFlushDue = false
  #isBlocked = false
  #isLingering = false

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
      this.resume()
    })
    socket.on('close', () => this.#connection.lost())
    this.#receive(received)
    this.resume()
  }

  get isEstablished(): boolean {
    return this.#connection.isEstablished
  }

  get openCallCount(): number {
    return this.#connection.openCallCount
  }

  get isUnused(): boolean {
    return this.#isLingering || !this.#connection.hasCalled
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
    if (this.#socket.destroyed) return
    this.#connection.flush()
    this.#context.backlog.note(this)
  }

  get waitingBytes(): number {
    return this.#socket.destroyed ? 0 : this.#connection.waitingBytes + this.#socket.writableLength
  }

  dropBacklog(): void {
    const { waitingBytes } = this
    this.#context.logger.log('warn', 'grpc-connection-dropped', {
      peer: this.#peer,
      reason: 'holds-most',
      waitingBytes,
    })
    this.#socket.destroy()
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
    else this.#linger()
  }

  /**
   * Closed with bytes unread, a socket tells its peer of that and not what was written last: GOAWAY would be lost. And who
   * floods would be back at once.
   */
  #linger(): void {
    if (this.#isLingering) return
    this.#isLingering = true
    this.#socket.pause()
    const end = setTimeout(() => this.#socket.destroy(), lingerMs)
    this.#socket.once('close', () => clearTimeout(end))
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
    if (this.#isUnread) this.#socket.pause()
    else if (bytes.length >= wholeReadBytes) this.#rest()
    this.#context.backlog.note(this)
  }

  get #isUnread(): boolean {
    return this.#isBlocked && this.#connection.outputBytes > unreadBytesMax
  }

  /** More has come than one read takes: the other connections have their turn before it. */
  #rest(): void {
    this.#socket.pause()
    this.#context.rests.add(this)
  }

  /** Reads on, unless there is a reason not to. */
  resume(): void {
    if (!this.#isUnread && !this.#isLingering) this.#socket.resume()
  }
}
