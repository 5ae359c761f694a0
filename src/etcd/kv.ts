import { isQuorateError, QuorateError } from '../base/index.ts'
import {
  checkOperation,
  type Operation,
  type OperationResult,
  type RangeOperation,
  type TransactionOperation,
  type TransactionResult,
} from '../consistent-core/index.ts'
import {
  decodeCompactionRequest,
  decodeDeleteRangeRequest,
  decodePutRequest,
  decodeRangeRequest,
  decodeTxnRequest,
  encodeDeleteRangeResponse,
  encodeHeaderResponse,
  encodePutResponse,
  encodeTxnResponse,
  RangeAnswer,
  type ResponseHeader,
  type ResponseOp,
  type TxnResponse,
} from '../etcd-codec/index.ts'
import type { GrpcCall, GrpcMethod, GrpcUnaryCall, UnaryAnswer } from '../grpc/index.ts'
import { minRevisionOf, sessionOf } from './call-metadata.ts'
import { headerAt, inSlices, propose, refusal, waitOptions } from './context.ts'
import type { EtcdDependencies } from './dependencies.ts'
import { localRules, unary, writeRules } from './methods.ts'
import { ReadTurns } from './read-turns.ts'
import {
  deleteRangeOperation,
  isReadOnly,
  isSerializable,
  putOperation,
  rangeOperation,
  transactionOperation,
} from './requests.ts'

/** etcdserverpb.KV: ranges, writes, transactions, compaction. */
export function kvService(from: EtcdDependencies): [string, GrpcMethod][] {
  const turns = new ReadTurns(from.time)
  return [
    // A learner serves serializable ranges; `range` itself refuses the others.
    ['/etcdserverpb.KV/Range', unary(from, localRules, (bytes, call) => range(from, turns, bytes, call))],
    ['/etcdserverpb.KV/Put', unary(from, writeRules, (bytes, call) => put(from, bytes, call))],
    [
      '/etcdserverpb.KV/DeleteRange',
      unary(from, writeRules, (bytes, call) => deleteRange(from, bytes, call)),
    ],
    ['/etcdserverpb.KV/Txn', unary(from, writeRules, (bytes, call) => transact(from, turns, bytes, call))],
    ['/etcdserverpb.KV/Compact', unary(from, writeRules, (bytes, call) => compact(from, bytes, call))],
  ]
}

function range(
  from: EtcdDependencies,
  turns: ReadTurns,
  bytes: Uint8Array,
  call: GrpcUnaryCall,
): UnaryAnswer | Promise<UnaryAnswer> {
  const request = decodeRangeRequest(bytes)
  if (!request.serializable && from.group.isLearner) {
    throw new QuorateError('learner-unsupported', 'a learner serves serializable ranges only')
  }
  const operation = checked(from, rangeOperation(request))
  const ready = freshEnough(from, call, !request.serializable)
  const read = (): UnaryAnswer | Promise<UnaryAnswer> => readRange(from, turns, operation, call)
  // A single key has no turn to wait for.
  if (operation.rangeEnd.length === 0) return ready === undefined ? read() : ready.then(read)
  return turns.run(call, waitOptions(from, call).timeoutMs, ready, read)
}

/** Resolves when this member's state is what the reader asked for: linearizable, at a revision, or both; undefined: it is. */
function freshEnough(
  from: EtcdDependencies,
  call: GrpcCall,
  isLinearizable: boolean,
): Promise<void> | undefined {
  const revision = minRevisionOf(call.metadata)
  if (revision > from.core.revision) return freshAt(from, call, isLinearizable, revision)
  // The usual read, without a promise of its own.
  return isLinearizable ? from.group.readBarrier(waitOptions(from, call)) : undefined
}

async function freshAt(
  from: EtcdDependencies,
  call: GrpcCall,
  isLinearizable: boolean,
  revision: number,
): Promise<void> {
  if (isLinearizable) await from.group.readBarrier(waitOptions(from, call))
  if (from.core.revision < revision) {
    await from.group.waitApplied(() => from.core.revision >= revision, waitOptions(from, call))
  }
}

function readRange(
  from: EtcdDependencies,
  turns: ReadTurns,
  operation: RangeOperation,
  call: GrpcCall,
): UnaryAnswer | Promise<UnaryAnswer> {
  // The revision that the pairs were read at: whoever watches from the next one on must miss nothing.
  const header = headerAt(from, from.core.revision)
  const answer = new RangeAnswer(header)
  const slices = from.core.range(operation, answer)
  return inSlices(turns, call, slices, ({ more, count }) => answer.finish(more, count))
}

/** Of the most frequent calls: without a promise of its own. */
function put(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const operation = checked(from, putOperation(decodePutRequest(bytes)))
  checkSize(from, bytes)
  return propose(from, call, 'put', operation, sessionOf(call.metadata)).then(({ revision, result }) =>
    encodePutResponse({ header: headerAt(from, revision), prevKv: result.previous }),
  )
}

async function deleteRange(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const operation = checked(from, deleteRangeOperation(decodeDeleteRangeRequest(bytes)))
  checkSize(from, bytes)
  const { revision, result } = await propose(from, call, 'deleteRange', operation, sessionOf(call.metadata))
  const header = headerAt(from, revision)
  return encodeDeleteRangeResponse({ header, deleted: result.deleted, prevKvs: result.previous })
}

async function transact(
  from: EtcdDependencies,
  turns: ReadTurns,
  bytes: Uint8Array,
  call: GrpcUnaryCall,
): Promise<UnaryAnswer> {
  const request = decodeTxnRequest(bytes)
  const operation = checked(from, transactionOperation(request, from.options))
  if (isReadOnly(operation)) {
    const ready = freshEnough(from, call, !isSerializable(request))
    const { timeoutMs } = waitOptions(from, call)
    return turns.run(call, timeoutMs, ready, () => readTransaction(from, turns, operation, call))
  }
  checkSize(from, bytes)
  const { revision, result } = await propose(from, call, 'transaction', operation, sessionOf(call.metadata))
  return encodeTxnResponse(transactionResponse(headerAt(from, revision), result))
}

function readTransaction(
  from: EtcdDependencies,
  turns: ReadTurns,
  operation: TransactionOperation,
  call: GrpcCall,
): Uint8Array | Promise<Uint8Array> {
  const header = headerAt(from, from.core.revision)
  return inSlices(turns, call, from.core.readTransaction(operation), (result) =>
    encodeTxnResponse(transactionResponse(header, result)),
  )
}

async function compact(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const request = decodeCompactionRequest(bytes)
  if (request.revision < 0) {
    throw new QuorateError('revision-compacted', `${request.revision} is below every revision`)
  }
  const write = { kind: 'compact', revision: request.revision } as const
  const { revision } = await propose(from, call, 'done', write, sessionOf(call.metadata))
  if (request.physical) {
    await from.maintenance.compacted(waitOptions(from, call).timeoutMs).catch((error: unknown) => {
      // Its place is not free yet, but the history has ended: no code that denies it.
      throw isQuorateError(error) ? new QuorateError('outcome-unknown', error.message) : error
    })
  }
  return encodeHeaderResponse({ header: headerAt(from, revision) })
}

/** The operation, when nothing is wrong with it whatever the state: the rest never reaches the log. */
function checked<T extends Operation>(from: EtcdDependencies, operation: T): T {
  const refused = checkOperation(operation, from.options)
  if (refused !== undefined) throw refusal(refused)
  return operation
}

function checkSize(from: EtcdDependencies, bytes: Uint8Array): void {
  const { requestBytesMax } = from.options
  if (bytes.length <= requestBytesMax) return
  throw new QuorateError('request-too-large', `${bytes.length} bytes, ${requestBytesMax} are allowed`)
}

/** etcd sends the header of a nested transaction with every field zero. */
const nestedHeader: ResponseHeader = { clusterId: 0n, memberId: 0n, revision: 0, raftTerm: 0 }

function transactionResponse(header: ResponseHeader, result: TransactionResult): TxnResponse {
  return { header, succeeded: result.succeeded, responses: result.results.map(responseOf) }
}

/** Headers inside a transaction carry the revision and nothing else. */
function responseOf(result: OperationResult): ResponseOp {
  switch (result.kind) {
    case 'range':
      return {
        kind: 'responseRange',
        responseRange: {
          header: { ...nestedHeader, revision: result.revision },
          kvs: result.pairs,
          more: result.more,
          count: result.count,
        },
      }
    case 'put':
      return {
        kind: 'responsePut',
        responsePut: {
          header: { ...nestedHeader, revision: result.revision },
          prevKv: result.previous,
        },
      }
    case 'deleteRange':
      return {
        kind: 'responseDeleteRange',
        responseDeleteRange: {
          header: { ...nestedHeader, revision: result.revision },
          deleted: result.deleted,
          prevKvs: result.previous,
        },
      }
    case 'transaction':
      return { kind: 'responseTxn', responseTxn: transactionResponse(nestedHeader, result) }
  }
}
