import { QuorateError } from '../base/index.ts'
import type { GrpcCall, GrpcMethod, GrpcStream, GrpcStreamHandlers, UnaryHandler } from '../grpc/index.ts'
import { requiresLeader } from './call-metadata.ts'
import type { EtcdDependencies } from './dependencies.ts'
import { toGrpcError } from './error-map.ts'
import type { LeaderMonitor } from './leader-monitor.ts'

/** What holds for a method whatever it does. */
export interface MethodRules {
  readonly kind: 'read' | 'write'
  /** Whether a learner serves it. */
  readonly learners: boolean
}
export const readRules: MethodRules = { kind: 'read', learners: false }
export const writeRules: MethodRules = { kind: 'write', learners: false }
export const localRules: MethodRules = { kind: 'read', learners: true }

/** A handler whose expected failures reach the client as etcd's errors. */
export function unary(from: EtcdDependencies, rules: MethodRules, handle: UnaryHandler): GrpcMethod {
  const refuse = (error: unknown): never => {
    throw toGrpcError(error, rules.kind)
  }
  return {
    kind: 'unary',
    handle(request, call) {
      try {
        admit(from, rules, call)
        const answer = handle(request, call)
        return answer instanceof Promise ? answer.catch(refuse) : answer
      } catch (error) {
        return refuse(error)
      }
    },
  }
}

/** What a stream's handler answers to; `fail` ends the stream with the error's etcd form. */
export type StreamService = (
  stream: GrpcStream,
  fail: (error: unknown) => void,
) => Partial<GrpcStreamHandlers>

export function streaming(
  from: EtcdDependencies,
  rules: MethodRules,
  monitor: LeaderMonitor,
  open: StreamService,
): GrpcMethod {
  return { kind: 'stream', handle: (stream) => openStream(from, rules, monitor, open, stream) }
}

/** grpc-go has another sentence for streams than for single requests. */
const malformedInStream = 'grpc: failed to unmarshal the received message'

function openStream(
  from: EtcdDependencies,
  rules: MethodRules,
  monitor: LeaderMonitor,
  open: StreamService,
  stream: GrpcStream,
): void {
  let isOver = false
  let handlers: Partial<GrpcStreamHandlers> = {}
  const close = (): void => {
    if (isOver) return
    isOver = true
    monitor.remove(fail)
    handlers.onClose?.()
  }
  // The service is told at once, not only when the transport is done: it sends nothing behind its refusal.
  const fail = (error: unknown): void => {
    const refusal = toGrpcError(error, rules.kind, malformedInStream)
    if (isOver) return
    close()
    stream.fail(refusal)
  }
  const attempt = (action: () => void): void => {
    if (isOver) return
    try {
      action()
    } catch (error) {
      fail(error)
    }
  }
  attempt(() => {
    admit(from, rules, stream)
    handlers = open(stream, fail)
    if (requiresLeader(stream.metadata)) monitor.add(fail)
  })
  stream.setHandlers({
    onMessage: (message) => attempt(() => handlers.onMessage?.(message)),
    onHalfClose: () => attempt(() => handlers.onHalfClose?.()),
    onDrain: () => attempt(() => handlers.onDrain?.()),
    onClose: close,
  })
}

function admit(from: EtcdDependencies, rules: MethodRules, call: GrpcCall): void {
  if (!rules.learners && from.group.isLearner) {
    throw new QuorateError('learner-unsupported', 'this member is a learner')
  }
  if (from.group.leader === 0n && requiresLeader(call.metadata)) {
    throw new QuorateError('no-leader', 'this member knows no leader')
  }
}
