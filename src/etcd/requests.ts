import { emptyBytes, type LeaseId, QuorateError } from '../base/index.ts'
import {
  type Compare,
  type CompareResult,
  type CompareTarget,
  checkOperation,
  type DeleteRangeOperation,
  type Operation,
  type OperationLimits,
  type PutOperation,
  type RangeOperation,
  type SortOrder,
  type SortTarget,
  type TransactionOperation,
  type WatchCreate,
} from '../consistent-core/index.ts'
import {
  type DeleteRangeRequest,
  type Compare as MessageCompare,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
  type WatchCreateRequest,
  watchFilter,
} from '../etcd-codec/index.ts'
import { refusal } from './context.ts'

const sortOrders: readonly SortOrder[] = ['none', 'ascend', 'descend']
const sortTargets: readonly SortTarget[] = ['key', 'version', 'create', 'mod', 'value']
const compareTargets: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease']
const compareResults: readonly CompareResult[] = ['equal', 'greater', 'less', 'notEqual']

/**
 * Messages to operations of the core. What an operation cannot express is refused here; so is, in a transaction, what
 * etcd would find before that.
 */
export function rangeOperation(request: RangeRequest): RangeOperation {
  if (request.key.length === 0) throw new QuorateError('key-empty', 'a range has an empty key')
  const order = sortOrders[request.sortOrder]
  const target = sortTargets[request.sortTarget]
  if (order === undefined || target === undefined) {
    const asked = `order ${request.sortOrder}, target ${request.sortTarget}`
    throw new QuorateError('sort-option-invalid', asked)
  }
  // A negative highest revision lets nothing through; "not asked for" is 0, so it becomes a lowest one.
  const isNothing = request.maxModRevision < 0 || request.maxCreateRevision < 0
  return {
    kind: 'range',
    key: request.key,
    rangeEnd: request.rangeEnd,
    limit: Math.max(request.limit, 0),
    revision: Math.max(request.revision, 0),
    sortOrder: order,
    sortTarget: target,
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    modRevisionMin: isNothing ? Number.MAX_SAFE_INTEGER : Math.max(request.minModRevision, 0),
    modRevisionMax: Math.max(request.maxModRevision, 0),
    createRevisionMin: Math.max(request.minCreateRevision, 0),
    createRevisionMax: Math.max(request.maxCreateRevision, 0),
  }
}

export function putOperation(request: PutRequest): PutOperation {
  return {
    kind: 'put',
    key: request.key,
    value: request.value,
    lease: leaseId(request.lease),
    previous: request.prevKv,
    ignoreValue: request.ignoreValue,
    ignoreLease: request.ignoreLease,
  }
}

export function deleteRangeOperation(request: DeleteRangeRequest): DeleteRangeOperation {
  return { kind: 'deleteRange', key: request.key, rangeEnd: request.rangeEnd, previous: request.prevKv }
}

/** `limits`: of the door. Faults are met in etcd's order: counts, compares, then each operation whole. */
export function transactionOperation(request: TxnRequest, limits: OperationLimits): TransactionOperation {
  const { compare, success, failure } = request
  const count = Math.max(compare.length, success.length, failure.length)
  const { transactionOperationsMax } = limits
  if (count > transactionOperationsMax) {
    throw new QuorateError(
      'too-many-operations',
      `${count} operations, allowed are ${transactionOperationsMax}`,
    )
  }
  const left = { transactionOperationsMax: transactionOperationsMax - count }
  const inner = (one: RequestOp): Operation => operationOf(one, left)
  return {
    kind: 'transaction',
    compare: compare.map(compareOf),
    success: success.map(inner),
    failure: failure.map(inner),
  }
}

function operationOf(request: RequestOp, limits: OperationLimits): Operation {
  switch (request.kind) {
    case 'requestRange':
      return rangeOperation(request.requestRange)
    case 'requestPut':
      return inOrder(putOperation(request.requestPut), limits)
    case 'requestDeleteRange':
      return inOrder(deleteRangeOperation(request.requestDeleteRange), limits)
    case 'requestTxn':
      return transactionOperation(request.requestTxn, limits)
    case 'none':
      throw new QuorateError('key-not-found', 'an operation of the transaction says nothing')
  }
}

function inOrder<T extends Operation>(operation: T, limits: OperationLimits): T {
  const refused = checkOperation(operation, limits)
  if (refused !== undefined) throw refusal(refused)
  return operation
}

function compareOf(message: MessageCompare): Compare {
  if (message.key.length === 0) throw new QuorateError('key-empty', 'a compare has an empty key')
  const target = compareTargets[message.target]
  const result = compareResults[message.result]
  if (target === undefined || result === undefined) {
    const asked = `compare target ${message.target}, result ${message.result}`
    throw new QuorateError('invalid-argument', `${asked}: unknown`)
  }
  return {
    target,
    result,
    key: message.key,
    rangeEnd: message.rangeEnd,
    number: comparedNumber(target, message),
    value: target === 'value' ? message.value : emptyBytes,
    lease: target === 'lease' ? leaseId(message.lease) : 0n,
  }
}

/** What was given for another target counts as 0. */
function comparedNumber(target: CompareTarget, message: MessageCompare): number {
  if (target === 'version') return message.version
  if (target === 'create') return message.createRevision
  return target === 'mod' ? message.modRevision : 0
}

/** Whether no operation writes; one with another transaction inside counts as writing, as in etcd. */
export function isReadOnly(operation: TransactionOperation): boolean {
  const isRange = (inner: Operation): boolean => inner.kind === 'range'
  return operation.success.every(isRange) && operation.failure.every(isRange)
}

/** Whether every range asked for the local state; a transaction without any range asked for nothing of the kind. */
export function isSerializable(request: TxnRequest): boolean {
  const operations = [...request.success, ...request.failure]
  return (
    operations.length > 0 &&
    operations.every((inner) => inner.kind === 'requestRange' && inner.requestRange.serializable)
  )
}

/** The core's form of an id that is signed on the wire. */
export function leaseId(id: bigint): LeaseId {
  return id < 0n ? BigInt.asUintN(64, id) : id
}

const zeroByte = new Uint8Array(1)

/** An empty key means the smallest one here. */
export function watchCreate(request: WatchCreateRequest): WatchCreate {
  return {
    key: request.key.length === 0 ? zeroByte : request.key,
    rangeEnd: request.rangeEnd,
    startRevision: request.startRevision,
    watchId: request.watchId,
    previous: request.prevKv,
    noPut: request.filters.includes(watchFilter.noPut),
    noDelete: request.filters.includes(watchFilter.noDelete),
    progressNotify: request.progressNotify,
    fragment: request.fragment,
  }
}
