import { connect, createServer, type Server, type Socket } from 'node:net'
import { assert, QuorateError } from '../base/index.ts'
import type {
  Address,
  Connection,
  ConnectionHandlers,
  Listener,
  LogFields,
  Logger,
  Network,
} from '../io/index.ts'

export interface NodeNetworkOptions {
  readonly logger: Logger
  /** Bytes queued in one connection above which `write` answers false. */
  readonly writeBufferBytesMax?: number
  /** Connections one listener holds at a time; further ones are closed at once. */
  readonly connectionCountMax?: number
}

/** How long `end` waits for the other side to close as well. */
const lingerMs = 5_000
const keepAliveMs = 15_000

type SocketLimits = { highWaterMark: number }

/** TCP. Small messages leave at once (no Nagle); the system's keep-alive finds peers that vanished without a word. */
export function createNodeNetwork(options: NodeNetworkOptions): Network {
  const { logger, writeBufferBytesMax = 1024 * 1024, connectionCountMax = 4096 } = options
  const limits: SocketLimits = { highWaterMark: writeBufferBytesMax }
  return {
    listen: (address, onConnection) =>
      startListening({ address, onConnection, logger, limits, connectionCountMax }),
    connect: (address, timeoutMs) => openConnection(address, timeoutMs, limits, logger),
  }
}

interface ListenParts {
  address: Address
  onConnection: (connection: Connection) => void
  logger: Logger
  limits: SocketLimits
  connectionCountMax: number
}

function startListening(parts: ListenParts): Promise<Listener> {
  const { address, onConnection, logger, limits, connectionCountMax } = parts
  const server = createServer({
    ...limits,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    pauseOnConnect: true,
  })
  server.maxConnections = connectionCountMax
  server.on('connection', (socket) => {
    const connection = new NodeConnection(socket, logger)
    guard(connection, logger, 'connection', () => onConnection(connection))
  })
  server.on('drop', () => {
    logger.log('warn', 'connection-refused', { ...address, limit: connectionCountMax })
  })
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown): void => reject(listenError(address, cause))
    server.once('error', refuse)
    server.once('listening', () => {
      server.off('error', refuse)
      // A failed accept (too many open files) concerns one connection; the listener goes on.
      server.on('error', (error) =>
        logger.log('error', 'accept-failed', { ...address, error: error.message }),
      )
      resolve(listenerOf(server, address))
    })
    try {
      server.listen({ host: address.host, port: address.port })
    } catch (error) {
      refuse(error)
    }
  })
}

function listenerOf(server: Server, asked: Address): Listener {
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : asked.port
  return {
    address: { host: asked.host, port },
    close() {
      // The callback of close would wait for all connections to end; the port is free without it.
      server.close()
      return new Promise((resolve) => setImmediate(resolve))
    },
  }
}

function listenError(address: Address, cause: unknown): QuorateError {
  const where = `${address.host}:${address.port}`
  if (codeOf(cause) === 'EADDRINUSE') {
    return new QuorateError('address-in-use', `listen on ${where}: the address is already in use`, { cause })
  }
  return new QuorateError('address-invalid', `listen on ${where}: ${messageOf(cause)}`, { cause })
}

function openConnection(
  address: Address,
  timeoutMs: number,
  limits: SocketLimits,
  logger: Logger,
): Promise<Connection> {
  const where = `${address.host}:${address.port}`
  return new Promise((resolve, reject) => {
    const refuse = (text: string, cause?: unknown): void => {
      reject(new QuorateError('connect-failed', `connect to ${where}: ${text}`, { cause }))
    }
    let socket: Socket
    try {
      socket = connect({
        ...limits,
        host: address.host,
        port: address.port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs,
      })
    } catch (error) {
      refuse(messageOf(error), error)
      return
    }
    const timer = setTimeout(() => {
      refuse(`no answer within ${timeoutMs} ms`)
      socket.destroy()
    }, timeoutMs)
    const onError = (error: Error): void => {
      clearTimeout(timer)
      refuse(messageOf(error), error)
    }
    socket.on('error', onError)
    socket.once('connect', () => {
      clearTimeout(timer)
      const connection = new NodeConnection(socket, logger)
      socket.off('error', onError)
      resolve(connection)
    })
  })
}

/**
 * A socket behind the contract of Connection. Node emits 'data', 'drain' and 'close' in turns of their own, never inside
 * write, end or destroy; the one case to care for is a socket that closed before its handlers came.
 */
class NodeConnection implements Connection {
  readonly remote: string
  readonly #socket: Socket
  readonly #logger: Logger
  #handlers: ConnectionHandlers | undefined
  #reason = 'closed by the other side'
  #isClosed = false
  #linger: NodeJS.Timeout | undefined

  constructor(socket: Socket, logger: Logger) {
    this.#socket = socket
    this.#logger = logger
    this.remote = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`
    socket.pause()
    socket.on('error', (error) => {
      this.#reason = messageOf(error)
    })
    socket.on('close', () => this.#close())
  }

  setHandlers(handlers: ConnectionHandlers): void {
    assert(this.#handlers === undefined, 'handlers of a connection are set once')
    this.#handlers = handlers
    if (this.#isClosed) {
      setImmediate(() => this.#tellClose(handlers))
      return
    }
    this.#socket.on('data', (chunk: Buffer) => {
      // A plain view: on a Buffer, slice() would not copy, and the receiver need not know where bytes come from.
      const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
      guard(this, this.#logger, 'data', () => handlers.onData(bytes))
    })
    this.#socket.on('drain', () => guard(this, this.#logger, 'drain', () => handlers.onDrain()))
    this.#socket.resume()
  }

  write(bytes: Uint8Array): boolean {
    // After end or destroy bytes have nowhere to go, and nobody will call onDrain.
    if (!this.#socket.writable) return true
    return this.#socket.write(bytes)
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    if (this.#handlers !== undefined) this.#socket.resume()
  }

  end(): void {
    if (this.#isClosed || this.#linger !== undefined) return
    this.#reason = 'ended'
    this.#socket.end()
    this.#linger = setTimeout(() => this.#socket.destroy(), lingerMs)
  }

  destroy(): void {
    if (this.#isClosed) return
    this.#reason = 'destroyed'
    this.#socket.destroy()
  }

  #close(): void {
    this.#isClosed = true
    clearTimeout(this.#linger)
    if (this.#handlers !== undefined) this.#tellClose(this.#handlers)
  }

  #tellClose(handlers: ConnectionHandlers): void {
    guard(this, this.#logger, 'close', () => handlers.onClose(this.#reason))
  }
}

/** A handler that throws costs its own connection and nothing else. */
function guard(connection: Connection, logger: Logger, handler: string, run: () => void): void {
  try {
    run()
  } catch (error) {
    const fields: LogFields = { remote: connection.remote, handler, error: messageOf(error) }
    logger.log('error', 'connection-handler-failed', fields)
    connection.destroy()
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** The text of an error; of a connect that failed on each address of a name, the texts of all. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
