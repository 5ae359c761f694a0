import type { ServerOptions } from 'node:http2'
import type { GrpcServices } from '../grpc/index.ts'
import { Calls } from '../grpc-http2/index.ts'
import type { Http2Limits } from '../http2/index.ts'
import type { Logger, Time } from '../io/index.ts'
import type { ConnectionContext } from './client-connection.ts'
import { createDispatch } from './dispatch.ts'
import { gunzip } from './gunzip.ts'
import type { GrpcLimits } from './limits.ts'
import { NodeSession } from './node-session.ts'
import { FlushQueue, OwnSession } from './own-session.ts'

/** Who speaks HTTP/2 with the clients of a server. */
export interface Transport {
  readonly startSession: ConnectionContext['startSession']
  readonly calls: { readonly openCallCount: number; readonly startedCallCount: number }
}

/** HTTP/2 of this project. */
export function ownTransport(services: GrpcServices, limits: GrpcLimits, logger: Logger): Transport {
  const { messageBytesMax, sendBufferBytesMax } = limits
  const later = (run: () => void): void => {
    setImmediate(run)
  }
  const calls = new Calls({ services, time, logger, later, gunzip, messageBytesMax, sendBufferBytesMax })
  const context = { calls, limits: http2LimitsOf(limits), flushes: new FlushQueue(), logger }
  return {
    startSession: (socket, received, peer) => new OwnSession(socket, received, context, peer),
    calls: {
      get openCallCount() {
        return calls.openCount
      },
      get startedCallCount() {
        return calls.startedCount
      },
    },
  }
}

/** HTTP/2 of Node's library. */
export function nodeTransport(services: GrpcServices, limits: GrpcLimits, logger: Logger): Transport {
  const dispatch = createDispatch(services, limits, logger)
  const { connectionWindowBytes } = limits
  const context = { dispatch, logger, options: nodeOptionsOf(limits), connectionWindowBytes }
  return {
    startSession(socket, received, peer) {
      socket.unshift(received)
      return new NodeSession(socket, context, peer)
    },
    calls: dispatch,
  }
}

const time: Time = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  startTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  yieldTurn: () => new Promise((resolve) => setImmediate(resolve)),
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
    idleFrameCountBurst: 10_000,
    idleFrameCountPerSecond: 2_000,
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
