import { QuorateError } from '../base/index.ts'
import {
  type Applied,
  encodeCommand,
  type Refusal,
  type SessionStamp,
  type WriteCommand,
} from '../consistent-core/index.ts'
import type { ResponseHeader } from '../etcd-codec/index.ts'
import { type GrpcCall, GrpcError, grpcStatus } from '../grpc/index.ts'
import type { Time } from '../io/index.ts'
import type { CallOptions } from '../node/index.ts'
import type { EtcdDependencies } from './dependencies.ts'

/** etcd's bound on a request: this and twice the election timeout. */
const requestTimeoutBaseMs = 5000

/** How long this call may wait: the client's deadline, but never longer than etcd itself would. */
export function waitOptions(from: EtcdDependencies, call: GrpcCall): CallOptions {
  const own = requestTimeoutBaseMs + 2 * from.options.electionTimeoutMs
  return { timeoutMs: Math.min(own, call.timeoutMs ?? own) }
}

/** Revision 0 where etcd leaves it out (Cluster). */
export function headerAt(from: EtcdDependencies, revision: number): ResponseHeader {
  const { group } = from
  return { clusterId: group.clusterId, memberId: group.nodeId, revision, raftTerm: group.term }
}

type Outcome = Exclude<Applied['result'], Refusal | { kind: 'doneBefore' }>

/** Sends a write through the log. Resolves with the result that this member's own apply gave, and its revision. */
export function propose<Kind extends Outcome['kind']>(
  from: EtcdDependencies,
  call: GrpcCall,
  kind: Kind,
  write: WriteCommand,
  session?: SessionStamp,
): Promise<{ revision: number; result: Extract<Outcome, { kind: Kind }> }> {
  const command = encodeCommand({ session, write })
  return from.group.propose(command, waitOptions(from, call)).then(({ result }) => outcomeOf(result, kind))
}

function outcomeOf<Kind extends Outcome['kind']>(
  { revision, result }: Applied,
  kind: Kind,
): { revision: number; result: Extract<Outcome, { kind: Kind }> } {
  if (result.kind === 'refused') throw refusal(result)
  if (result.kind === 'doneBefore') {
    const text = `quorate: done before, at revision ${revision} or earlier; its answer was too large to keep`
    throw new GrpcError(grpcStatus.failedPrecondition, text)
  }
  if (!isOfKind(result, kind)) {
    // Only a client that gives one request number to two different requests comes here.
    throw new QuorateError('invalid-argument', 'the request number belongs to another request')
  }
  return { revision, result }
}

function isOfKind<Kind extends Outcome['kind']>(
  result: Outcome,
  kind: Kind,
): result is Extract<Outcome, { kind: Kind }> {
  return result.kind === kind
}

export function refusal(refused: Refusal): QuorateError {
  return new QuorateError(refused.code, refused.detail)
}

type Turns = Pick<Time, 'yieldTurn'>

/**
 * Runs a read of the core slice by slice, each in a turn that `turns` gives, and hands its result to `then`. A read of
 * one slice, the usual one, answers in this turn without a promise. The caller takes what must belong to the same state
 * (the header's revision) before the call: the first slice runs inside it.
 */
export function inSlices<Result extends object, Answer>(
  turns: Turns,
  call: GrpcCall,
  work: Generator<void, Result | Refusal, void>,
  then: (result: Result) => Answer,
): Answer | Promise<Answer> {
  const first = work.next()
  return first.done ? then(granted(first.value)) : remainingSlices(turns, call, work, then)
}

async function remainingSlices<Result extends object, Answer>(
  turns: Turns,
  call: GrpcCall,
  work: Generator<void, Result | Refusal, void>,
  then: (result: Result) => Answer,
): Promise<Answer> {
  for (;;) {
    await turns.yieldTurn()
    if (call.isCancelled) work.throw(new QuorateError('cancelled', 'the client went away'))
    const slice = work.next()
    if (slice.done) return then(granted(slice.value))
  }
}

function granted<Result extends object>(result: Result | Refusal): Result {
  if (isRefusal(result)) throw refusal(result)
  return result
}

function isRefusal(result: object): result is Refusal {
  return 'kind' in result && result.kind === 'refused'
}
