import type { ServerOptions } from 'node:http2'
import type { Calls } from '../grpc-http2/index.ts'
import type { Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import { Backlog } from './backlog.ts'
import type { ConnectionContext } from './client-connection.ts'
import type { GrpcLimits } from './limits.ts'
import { NodeSession } from './node-session.ts'
import { FlushQueue, OwnSession, RestQueue } from './own-session.ts'

/** Who speaks HTTP/2 with the clients of a server. */
type StartSession = ConnectionContext['startSession']

interface TransportContext {
  readonly calls: Calls
  readonly time: Time
  readonly logger: Logger
}

/** HTTP/2 of this project. */
export function ownTransport({ calls, time, logger }: TransportContext, limits: GrpcLimits): StartSession {
  const context = {
    calls,
    limits: http2LimitsOf(limits),
    flushes: new FlushQueue(),
    rests: new RestQueue(),
    backlog: new Backlog(limits.waitingBytesMax),
    time,
    logger,
  }
  return (socket, received, peer) => new OwnSession(socket, received, context, peer)
}

/** HTTP/2 of Node's library. */
export function nodeTransport({ calls, logger }: TransportContext, limits: GrpcLimits): StartSession {
  const { connectionWindowBytes } = limits
  // Loaded only where it is wanted: it takes longer than any other module of Node.
  const { performServerHandshake } = process.getBuiltinModule('node:http2')
  const options = nodeOptionsOf(limits)
  const context = { calls, logger, performServerHandshake, options, connectionWindowBytes }
  return (socket, received, peer) => {
    socket.unshift(received)
    return new NodeSession(socket, context, peer)
  }
}

function http2LimitsOf(limits: GrpcLimits): Http2Limits {
  return {
    streamCountMax: limits.streamCountMax,
    headerBytesMax: limits.headerBytesMax,
    streamWindowBytes: limits.streamWindowBytes,
    connectionWindowBytes: limits.connectionWindowBytes,
    pendingBytesMax: limits.sessionMemoryMiB * 1024 * 1024,
    resetCountBurst: limits.resetCountBurst,
    resetCountPerSecond: limits.resetCountPerSecond,
    idleFrameCountBurst: 2_000,
    idleFrameCountPerSecond: 1_000,
  }
}

function nodeOptionsOf(limits: GrpcLimits): ServerOptions {
  return {
    settings: {
      initialWindowSize: limits.streamWindowBytes,
      maxConcurrentStreams: limits.streamCountMax,
      maxHeaderListSize: limits.headerBytesMax,
    },
    maxSessionMemory: limits.sessionMemoryMiB,
    maxSessionInvalidFrames: limits.invalidFrameCountMax,
    streamResetBurst: limits.resetCountBurst,
    streamResetRate: limits.resetCountPerSecond,
  }
}
