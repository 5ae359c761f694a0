import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { assert, QuorateError } from '../base/index.ts'
import type { GrpcServices } from '../grpc/index.ts'
import { Calls } from '../grpc-http2/index.ts'
import type { Address, Listener, Logger, Time } from '../io/index.ts'
import { ClientConnection, type ConnectionContext } from './client-connection.ts'
import { gunzip } from './gunzip.ts'
import { defaultLimits, type GrpcLimits } from './limits.ts'
import { Offenders } from './offenders.ts'
import { nodeTransport, ownTransport } from './transports.ts'
import { TurnQueue } from './turn-queue.ts'

/** How often the time limits of connections are looked at, at most. */
const checkEveryMs = 1_000
const keepAliveMs = 15_000
/** Connections whose clients are gone and that end in one turn of the loop. */
const leaversPerTurn = 50

export interface GrpcServerOptions {
  readonly services: GrpcServices
  /** Who speaks HTTP/2: the room http2 (the default), or the library of Node. */
  readonly http2Library?: 'own' | 'node'
  readonly time: Time
  readonly logger: Logger
  readonly limits?: Partial<GrpcLimits>
  /** Answers HTTP/1 requests on the same port. Without it such connections are closed. */
  readonly onHttp1Request?: (request: IncomingMessage, response: ServerResponse) => void
}

export interface GrpcServer {
  /**
   * Serves at `address`; port 0 takes a free one. Closing the listener tells its clients to go, ends streams that have no
   * end of their own with Unavailable, lets other calls under way end for `closeGraceMs`, then cuts them. Errors:
   * `address-in-use`, `address-invalid`.
   */
  listen(address: Address): Promise<Listener>
  readonly gauges: GrpcGauges
}

/** For status and metrics, of all listeners together. */
export interface GrpcGauges {
  readonly connectionCount: number
  readonly openCallCount: number
  readonly startedCallCount: number
  readonly refusedConnectionCount: number
}

/** A gRPC server in the clear, which speaks HTTP/1 on the same port. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { services, time, logger, onHttp1Request } = options
  const limits: GrpcLimits = { ...defaultLimits, ...options.limits }
  const counts = { connections: 0, refused: 0 }
  const { messageBytesMax, gatheredBytesMax, sendBufferBytesMax, untakenBytesMax } = limits
  const bounds = { messageBytesMax, gatheredBytesMax, sendBufferBytesMax, untakenBytesMax }
  const calls = new Calls({ services, time, logger, later, gunzip, ...bounds })
  const transport = options.http2Library === 'node' ? nodeTransport : ownTransport
  const offenders = new Offenders(time)
  const startSession = transport({ calls, time, logger, offenders }, limits)
  const shared: Shared = { limits, time, logger, startSession, offenders, counts, onHttp1Request }
  return {
    listen: (address) => startListening(address, shared),
    gauges: {
      get connectionCount() {
        return counts.connections
      },
      get openCallCount() {
        return calls.openCount
      },
      get startedCallCount() {
        return calls.startedCount
      },
      get refusedConnectionCount() {
        return counts.refused
      },
    },
  }
}

function later(run: () => void): void {
  setImmediate(run)
}

interface Shared {
  readonly limits: GrpcLimits
  readonly time: Time
  readonly logger: Logger
  readonly startSession: ConnectionContext['startSession']
  readonly offenders: Offenders
  readonly counts: { connections: number; refused: number }
  readonly onHttp1Request: GrpcServerOptions['onHttp1Request']
}

async function startListening(address: Address, shared: Shared): Promise<Listener> {
  const { limits, time, logger, counts } = shared
  const connections = new Set<ClientConnection>()
  // Thousands may go at once, and the end of each takes what a call does.
  const leavers = new TurnQueue<ClientConnection>(time, leaversPerTurn, (connection) => {
    connection.leave()
    return true
  })
  const emptied = Promise.withResolvers<void>()
  const server = createHttp1Server(shared)
  // The HTTP/1 server is the one that listens, so that its own time limits work; its way of taking a connection is
  // kept for those that turn out to be HTTP/1.
  const [takeHttp1, ...others] = server.listeners('connection')
  assert(takeHttp1 !== undefined && others.length === 0, 'an HTTP/1 server takes connections in one listener')
  server.removeAllListeners('connection')

  const context: ConnectionContext = {
    limits,
    time,
    logger,
    offenders: shared.offenders,
    startSession: shared.startSession,
    onOtherProtocol(socket) {
      if (shared.onHttp1Request === undefined) {
        socket.destroy()
        return
      }
      takeHttp1.call(server, socket)
      socket.resume()
    },
    onEnd: (connection) => leavers.add(connection),
    onClose(connection) {
      counts.connections--
      connections.delete(connection)
      if (connections.size === 0 && !server.listening) emptied.resolve()
    },
  }
  server.on('connection', (socket: Socket) => {
    if (counts.connections >= limits.connectionCountMax && !makeRoom(connections)) {
      counts.refused++
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    counts.connections++
    connections.add(new ClientConnection(socket, context))
  })

  await listen(server, address)
  server.on('error', (error) => logger.log('error', 'accept-failed', { ...address, error: error.message }))
  const sweep = setInterval(() => {
    const nowMs = time.monotonicMs()
    for (const connection of connections) connection.check(nowMs)
  }, checkInterval(limits))
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    address: { host: address.host, port },
    async close() {
      const ends = closeServer(server, connections, limits.closeGraceMs)
      if (connections.size > 0) await emptied.promise
      clearTimeout(ends)
      clearInterval(sweep)
    },
  }
}

/** Ends the oldest connection on which nothing was asked: connections that do nothing keep nobody out. */
function makeRoom(connections: Set<ClientConnection>): boolean {
  for (const connection of connections) {
    if (!connection.isUnused) continue
    // Its socket closes after this turn, in which others may come.
    connections.delete(connection)
    connection.destroy()
    return true
  }
  return false
}

function createHttp1Server(shared: Shared): Server {
  const { limits, logger, onHttp1Request } = shared
  const options = {
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.handshakeMs,
    requestTimeout: 6 * limits.handshakeMs,
    connectionsCheckingInterval: checkInterval(limits),
  }
  return createServer(options, (request, response) => {
    // An answer that nobody reads any more is no fault.
    response.on('error', () => undefined)
    try {
      onHttp1Request?.(request, response)
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      logger.log('error', 'http-handler-failed', { path: request.url, error: text })
      request.socket.destroy()
    }
  })
}

function checkInterval(limits: GrpcLimits): number {
  const shortest = Math.min(limits.handshakeMs, limits.pingAfterMs, limits.pingTimeoutMs, limits.idleMs)
  return Math.max(10, Math.min(checkEveryMs, shortest / 2))
}

function listen(server: Server, address: Address): Promise<void> {
  const where = `${address.host}:${address.port}`
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown): void => {
      const text = cause instanceof Error ? cause.message : String(cause)
      const isInUse = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE'
      reject(
        isInUse
          ? new QuorateError('address-in-use', `listen on ${where}: the address is already in use`, { cause })
          : new QuorateError('address-invalid', `listen on ${where}: ${text}`, { cause }),
      )
    }
    server.once('error', refuse)
    server.once('listening', () => {
      server.off('error', refuse)
      resolve()
    })
    try {
      server.listen({ host: address.host, port: address.port })
    } catch (error) {
      refuse(error)
    }
  })
}

/** The timer that ends what does not end within the grace. */
function closeServer(server: Server, connections: Set<ClientConnection>, graceMs: number): NodeJS.Timeout {
  // Whoever comes from here on is refused by the system; the connections there are can only become fewer.
  server.close()
  for (const connection of connections) connection.close()
  server.closeIdleConnections()
  return setTimeout(() => {
    for (const connection of connections) connection.destroy()
  }, graceMs)
}
