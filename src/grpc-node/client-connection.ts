import type { Socket } from 'node:net'
import type { Logger, Time } from '../io/index.ts'
import type { GrpcLimits } from './limits.ts'
import type { Offenders } from './offenders.ts'
import { peerOf } from './peer.ts'
import type { Session } from './session.ts'

const ignore = (): void => undefined

/** What every HTTP/2 client sends first. Source: RFC 9113 section 3.4. */
const preface: Uint8Array = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export interface ConnectionContext {
  readonly limits: GrpcLimits
  readonly time: Time
  readonly logger: Logger
  readonly offenders: Offenders
  /** Takes a connection that begins as HTTP/2, paused, with what was read of it so far. */
  readonly startSession: (socket: Socket, received: Buffer) => Session
  /** Takes a connection that does not begin as HTTP/2; the bytes read so far are back in the socket. */
  readonly onOtherProtocol: (socket: Socket) => void
  /** Its client sends no more: `leave` is to be called, not for all at once. */
  readonly onEnd: (connection: ClientConnection) => void
  readonly onClose: (connection: ClientConnection) => void
}

/**
 * One connection from its first byte. It begins in no protocol; the preface makes it HTTP/2, anything else hands it on.
 * `check` is called every so often and ends what takes too long: there is no timer a connection.
 */
export class ClientConnection {
  readonly #socket: Socket
  readonly #context: ConnectionContext
  #protocol: 'undecided' | 'http2' | 'other' = 'undecided'
  #session: Session | undefined
  #received: Buffer | undefined
  #bytesRead = 0
  /** When it began, when the last byte was seen to have come, when the last call ended, when a ping was sent. */
  readonly #startMs: number
  #heardMs: number
  #busyMs: number
  #pingMs: number | undefined

  constructor(socket: Socket, context: ConnectionContext) {
    const nowMs = context.time.monotonicMs()
    this.#socket = socket
    this.#context = context
    this.#startMs = nowMs
    this.#heardMs = nowMs
    this.#busyMs = nowMs
    // Before anything else: a socket without this listener can end the process.
    socket.on('error', ignore)
    socket.on('close', () => context.onClose(this))
    socket.on('end', this.#onEnd)
    const delayMs = context.offenders.delayMsOf(socket)
    if (delayMs === 0) this.#read()
    else {
      const begin = context.time.startTimer(delayMs, () => this.#read())
      socket.on('close', () => begin.cancel())
    }
  }

  #read(): void {
    this.#socket.on('data', this.#onFirstBytes)
  }

  /** Nobody would miss it: whoever comes next may have its place. */
  get isUnused(): boolean {
    if (this.#protocol === 'undecided') return true
    return this.#session?.isUnused === true
  }

  /** Ends the connection when one of its time limits has passed. */
  check(nowMs: number): void {
    const { limits } = this.#context
    if (this.#protocol === 'other') return
    const session = this.#session
    if (session === undefined || !session.isEstablished) {
      if (nowMs - this.#startMs > limits.handshakeMs) this.#drop('handshake-timeout')
      return
    }
    if (session.openCallCount > 0) this.#busyMs = nowMs
    if (this.#socket.bytesRead !== this.#bytesRead) {
      this.#bytesRead = this.#socket.bytesRead
      this.#heardMs = nowMs
      this.#pingMs = undefined
    }
    if (this.#pingMs !== undefined && nowMs - this.#pingMs > limits.pingTimeoutMs) {
      this.#drop('ping-timeout')
    } else if (nowMs - this.#busyMs > limits.idleMs) {
      this.close()
    } else if (this.#pingMs === undefined && nowMs - this.#heardMs > limits.pingAfterMs) {
      this.#pingMs = nowMs
      session.ping()
    }
  }

  /** GOAWAY, and the end once the calls under way are done. */
  close(): void {
    if (this.#session !== undefined) this.#session.close()
    else if (this.#protocol === 'undecided') this.#socket.destroy()
  }

  destroy(): void {
    this.#session?.destroy()
    this.#socket.destroy()
  }

  /** Its client sends no more. What was written still leaves. */
  leave(): void {
    this.#socket.destroySoon()
  }

  /**
   * The HTTP/1 server lets a client close its half and still read. In HTTP/2 the end of the bytes is the end of the connection,
   * and its open streams hear of it by that.
   */
  readonly #onEnd = (): void => this.#context.onEnd(this)

  readonly #onFirstBytes = (chunk: Buffer): void => {
    const received = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk])
    const count = Math.min(received.length, preface.length)
    const isHttp2 = received.subarray(0, count).equals(preface.subarray(0, count))
    if (isHttp2 && count < preface.length) {
      this.#received = received
      return
    }
    this.#received = undefined
    this.#socket.off('data', this.#onFirstBytes)
    this.#socket.pause()
    if (isHttp2) {
      this.#protocol = 'http2'
      this.#session = this.#context.startSession(this.#socket, received)
    } else {
      this.#protocol = 'other'
      this.#socket.unshift(received)
      this.#socket.off('end', this.#onEnd)
      this.#context.onOtherProtocol(this.#socket)
    }
  }

  #drop(reason: string): void {
    this.#context.logger.log('info', 'grpc-connection-dropped', { peer: peerOf(this.#socket), reason })
    this.destroy()
  }
}
