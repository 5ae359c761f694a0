import type { ServerHttp2Session, ServerOptions } from 'node:http2'
import type { Socket } from 'node:net'
import type { Calls } from '../grpc-http2/index.ts'
import { headerList } from '../hpack/index.ts'
import type { Logger } from '../io/index.ts'
import { NodeStream } from './node-stream.ts'
import { peerOf } from './peer.ts'
import type { Session } from './session.ts'

export type PerformServerHandshake = typeof import('node:http2').performServerHandshake

export interface NodeSessionContext {
  readonly calls: Calls
  readonly logger: Logger
  /** Of `node:http2`. */
  readonly performServerHandshake: PerformServerHandshake
  readonly options: ServerOptions
  readonly connectionWindowBytes: number
}

/** HTTP/2 of Node on one socket, into which the bytes read so far were put back. */
export class NodeSession implements Session {
  readonly #session: ServerHttp2Session
  readonly #leave: () => void
  #isEstablished = false
  #openCallCount = 0
  #hasCalled = false

  constructor(socket: Socket, context: NodeSessionContext) {
    const peer = peerOf(socket)
    // The end of the bytes is the end of the connection, and of its streams.
    socket.allowHalfOpen = false
    const { calls, logger, performServerHandshake, options, connectionWindowBytes } = context
    const session = performServerHandshake(socket, options)
    this.#session = session
    session.setLocalWindowSize(connectionWindowBytes)
    session.on('error', (error) => {
      logger.log('debug', 'grpc-session-failed', { peer, error: error.message })
    })
    session.once('remoteSettings', () => {
      this.#isEstablished = true
    })
    const callContext = calls.context(peer)
    this.#leave = () => calls.leave(callContext)
    const onFault = (error: unknown): void => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      logger.log('error', 'grpc-dispatch-failed', { peer, error: text })
    }
    session.on('stream', (stream, _headers, _flags, rawHeaders) => {
      this.#openCallCount++
      this.#hasCalled = true
      stream.on('close', this.#onStreamClose)
      try {
        calls.start(new NodeStream(stream, onFault), headerList(rawHeaders), callContext)
      } catch (error) {
        onFault(error)
        stream.destroy()
      }
    })
  }

  get isEstablished(): boolean {
    return this.#isEstablished
  }

  get openCallCount(): number {
    return this.#openCallCount
  }

  get isUnused(): boolean {
    return !this.#hasCalled
  }

  ping(): void {
    // The answer counts as bytes heard; the callback has nothing to add.
    if (!this.#session.destroyed) this.#session.ping(() => undefined)
  }

  close(): void {
    this.#session.close()
    this.#leave()
  }

  destroy(): void {
    this.#session.destroy()
  }

  readonly #onStreamClose = (): void => {
    this.#openCallCount--
  }
}
