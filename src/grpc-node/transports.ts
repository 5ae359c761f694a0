import type { ServerOptions } from 'node:http2'
import type { Calls } from '../grpc-http2/index.ts'
import type { Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import { Backlog } from './backlog.ts'
import type { ConnectionContext } from './client-connection.ts'
import type { GrpcLimits } from './limits.ts'
import { NodeSession } from './node-session.ts'
import type { Offenders } from './offenders.ts'
import { FlushQueue, OwnSession } from './own-session.ts'
import { TurnQueue } from './turn-queue.ts'

/** Connections that send without a pause and have their next read in one turn of the loop: 64 KiB each. */
const restedPerTurn = 2
/** Connections that are given more to send in one turn: a quarter of a mebibyte each. */
const drainedPerTurn = 1
/** Connections that end in one turn, when nothing was under way in them. */
const lostPerTurn = 50

/** Who speaks HTTP/2 with the clients of a server. */
type StartSession = ConnectionContext['startSession']

interface TransportContext {
  readonly calls: Calls
  readonly time: Time
  readonly logger: Logger
  /** Hears of those who break a rule. */
  readonly offenders: Offenders
}

/** HTTP/2 of this project. */
export function ownTransport(
  { calls, time, logger, offenders }: TransportContext,
  limits: GrpcLimits,
): StartSession {
  const context = {
    calls,
    limits: http2LimitsOf(limits),
    untakenBytesMax: limits.untakenBytesMax,
    flushes: new FlushQueue(),
    rests: new TurnQueue<OwnSession>(time, restedPerTurn, (session) => session.readOn()),
    drains: new TurnQueue<OwnSession>(time, drainedPerTurn, sendOn),
    losses: new TurnQueue<OwnSession>(time, lostPerTurn, endLost),
    backlog: new Backlog(limits.waitingBytesMax),
    offenders,
    time,
    logger,
  }
  return (socket, received) => new OwnSession(socket, received, context)
}

/** HTTP/2 of Node's library. */
export function nodeTransport({ calls, logger }: TransportContext, limits: GrpcLimits): StartSession {
  const { connectionWindowBytes } = limits
  // Loaded only where it is wanted: it takes longer than any other module of Node.
  const { performServerHandshake } = process.getBuiltinModule('node:http2')
  const options = nodeOptionsOf(limits)
  const context = { calls, logger, performServerHandshake, options, connectionWindowBytes }
  return (socket, received) => {
    socket.unshift(received)
    return new NodeSession(socket, context)
  }
}

function sendOn(session: OwnSession): true {
  session.sendOn()
  return true
}

function endLost(session: OwnSession): true {
  session.lost()
  return true
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
