import type { Socket } from 'node:net'
import { type Calls, GrpcConnection, type GrpcTransport } from '../grpc-http2/index.ts'
import type { Http2ErrorCode, Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import type { Backlog, Backlogged } from './backlog.ts'
import type { Offenders } from './offenders.ts'
import { peerOf } from './peer.ts'
import type { Session } from './session.ts'
import type { TurnQueue } from './turn-queue.ts'

/** Answers of pings, headers and the like that may wait for a client that does not read; then it is not read either. */
const unreadBytesMax = 64 * 1024
/** What a socket reads at once. The library under Node goes on up to 32 times while each is whole: 2 MiB of one client. */
const wholeReadBytes = 64 * 1024

/** Frames of one connection that are read before others have their turn: an eighth of a millisecond for most of them. */
const framesPerSlice = 32
/** After writing so much a connection waits for its turn before it is given more. */
const largeWriteBytes = 128 * 1024

export interface OwnSessionContext {
  readonly calls: Calls
  readonly limits: Http2Limits
  /** Bytes that may wait for a client whose socket takes no more; then it is not read either. */
  readonly untakenBytesMax: number
  readonly flushes: FlushQueue
  /** Those that sent more than one read takes, or more than a slice of frames. */
  readonly rests: TurnQueue<OwnSession>
  /** Those whose clients took all they were sent, and have more coming: some take megabytes as fast as they come. */
  readonly drains: TurnQueue<OwnSession>
  /** Those whose clients are gone: a thousand calls of each may have to hear of it. */
  readonly losses: TurnQueue<OwnSession>
  readonly backlog: Backlog
  readonly offenders: Offenders
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
export class OwnSession implements Session, GrpcTransport, Backlogged {
  readonly #socket: Socket
  readonly #context: OwnSessionContext
  readonly #connection: GrpcConnection
  #isFlushDue = false
  #isBlocked = false
  /** Since the socket last took all of it at once, or was given more. */
  #writtenBytes = 0
  #isLingering = false
  #isResting = false
  /** What it rests from is not read before its client has taken something. */
  #isHeld = false

  constructor(socket: Socket, received: Uint8Array, context: OwnSessionContext) {
    this.#socket = socket
    this.#context = context
    const patience = context.offenders.patienceWith(socket)
    this.#connection = new GrpcConnection(this, context.calls, context.limits, patience)
    socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    socket.on('drain', () => {
      if (this.#writtenBytes < largeWriteBytes) this.sendOn()
      else context.drains.add(this)
    })
    socket.on('close', () => context.losses.add(this))
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
    // Who broke a rule has no calls that could end in order.
    if (this.#isLingering) this.#socket.destroy()
    else this.#connection.close()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  flush(): void {
    this.#isFlushDue = false
    if (this.#socket.destroyed) return
    this.#connection.flush()
    if (this.#isUnread) this.#socket.pause()
    this.#context.backlog.note(this)
  }

  get waitingBytes(): number {
    return this.#socket.destroyed ? 0 : this.#connection.waitingBytes + this.#socket.writableLength
  }

  dropBacklog(): void {
    const { waitingBytes, peer } = this
    this.#context.logger.log('warn', 'grpc-connection-dropped', { peer, reason: 'holds-most', waitingBytes })
    this.#socket.destroy()
  }

  // ---- for the connection -------------------------------------------------------------------------------------

  get peer(): string {
    return peerOf(this.#socket)
  }

  scheduleFlush(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    this.#context.flushes.add(this)
  }

  write(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    for (const piece of pieces) this.#writtenBytes += piece.length
    if (pieces.length === 1) {
      this.#isBlocked = !socket.write(pieces[0] as Uint8Array)
    } else {
      socket.cork()
      for (const piece of pieces) this.#isBlocked = !socket.write(piece)
      socket.uncork()
    }
    if (!this.#isBlocked) this.#writtenBytes = 0
    return !this.#isBlocked
  }

  /** What was written has been taken. */
  sendOn(): void {
    if (this.#socket.destroyed) return
    this.#isBlocked = false
    this.#writtenBytes = 0
    this.#connection.drained()
    if (this.#isHeld) this.#rest()
    else this.resume()
  }

  /** The socket has closed. */
  lost(): void {
    this.#connection.lost()
  }

  ended(code: Http2ErrorCode, text: string): void {
    if (code === 0) return
    this.#context.logger.log('debug', 'grpc-session-failed', { peer: this.peer, error: text })
  }

  end(isFault: boolean): void {
    if (!isFault) this.#socket.end()
    else if (this.#isBlocked) this.#socket.destroy()
    else this.#linger()
  }

  /**
   * Closed with bytes unread, a socket tells its peer of that and not what was written last: GOAWAY would be lost. And who
   * floods would be back at once: the connection is kept, unread.
   */
  #linger(): void {
    if (this.#isLingering) return
    this.#isLingering = true
    this.#socket.pause()
    const { offenders, time } = this.#context
    const keptMs = offenders.add(this.#socket.remoteAddress)
    const end = time.startTimer(keptMs, () => this.#socket.destroy())
    this.#socket.once('close', () => end.cancel())
  }

  #receive(bytes: Uint8Array): void {
    let mayBeMore = false
    try {
      mayBeMore = this.#connection.receive(bytes, this.#context.time.monotonicMs(), framesPerSlice)
    } catch (error) {
      this.#fault(error)
      return
    }
    if (mayBeMore || bytes.length >= wholeReadBytes) this.#rest()
    else if (this.#isUnread) this.#socket.pause()
    this.#context.backlog.note(this)
  }

  /** Reads a slice of what came. True: that was all, and more may come; false: it rests again. */
  readOn(): boolean {
    if (this.#socket.destroyed) return true
    this.#isHeld = this.#isUnread
    if (this.#isHeld) return true
    try {
      const mayBeMore = this.#connection.goOn(this.#context.time.monotonicMs(), framesPerSlice)
      if (mayBeMore) return false
    } catch (error) {
      this.#fault(error)
      return true
    }
    this.#isResting = false
    this.resume()
    return true
  }

  /** A fault of ours ends this connection and nothing else. */
  #fault(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#context.logger.log('error', 'grpc-dispatch-failed', { peer: this.peer, error: text })
    this.#socket.destroy()
  }

  get #isUnread(): boolean {
    if (!this.#isBlocked) return false
    return this.#connection.outputBytes > unreadBytesMax || this.waitingBytes > this.#context.untakenBytesMax
  }

  /** More has come than one turn takes: the other connections have theirs before it. */
  #rest(): void {
    this.#isResting = true
    this.#socket.pause()
    this.#context.rests.add(this)
  }

  /** Reads on, unless there is a reason not to. */
  resume(): void {
    if (!this.#isUnread && !this.#isLingering && !this.#isResting) this.#socket.resume()
  }
}
