/** Requests and answers of the model as messages of the etcd protocol, and back. */
import { bytesFromLatin1, emptyBytes, latin1FromBytes, QuorateError } from '../base/index.ts'
import {
  type Compare,
  compareResult,
  compareTarget,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type Event,
  eventType,
  type KeyValue,
  type Member,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseOp,
  sortOrder,
  sortTarget,
  type TxnRequest,
  type TxnResponse,
  type WatchCreateRequest,
  type WatchResponse,
  watchFilter,
} from '../etcd-codec/index.ts'
import { parseAddress } from '../node/index.ts'
import type { ToldEvent } from './check-watch.ts'
import {
  type KeySpan,
  type ModelCompare,
  type ModelPair,
  type ModelPut,
  type ModelRequest,
  type ModelResult,
  type ModelTransaction,
  plainRange,
  type SimpleRequest,
} from './kv-model.ts'
import type { ListedMember, ServerMember, ServerWatchMessage, ServerWatchRequest } from './server-seam.ts'

/** How a range is to be answered; the same for every range of a transaction. */
export interface ReadTerms {
  readonly isSerializable: boolean
  /** 0: the newest. */
  readonly atRevision: number
}

// ---- key-value requests ------------------------------------------------------------------------------------------

export function rangeMessage(request: SimpleRequest & { kind: 'range' }, terms: ReadTerms): RangeRequest {
  const { limit, variant = plainRange } = request
  return {
    ...spanMessage(request),
    limit,
    revision: variant.revision === 0 ? terms.atRevision : variant.revision,
    sortOrder: sortOrder[variant.sortOrder],
    sortTarget: sortTarget[variant.sortTarget],
    serializable: terms.isSerializable,
    keysOnly: variant.keysOnly,
    countOnly: variant.countOnly,
    minModRevision: variant.modRevisionMin,
    maxModRevision: variant.modRevisionMax,
    minCreateRevision: variant.createRevisionMin,
    maxCreateRevision: variant.createRevisionMax,
  }
}

export function putMessage(request: ModelPut): PutRequest {
  const { key, value, lease, previous = false, ignoreValue = false, ignoreLease = false } = request
  return {
    key: bytesFromLatin1(key),
    // The server refuses what it is to ignore.
    value: ignoreValue ? emptyBytes : bytesFromLatin1(value),
    lease: ignoreLease ? 0n : lease,
    prevKv: previous,
    ignoreValue,
    ignoreLease,
  }
}

export function deleteMessage(request: SimpleRequest & { kind: 'delete' }): DeleteRangeRequest {
  return { ...spanMessage(request), prevKv: request.previous === true }
}

export function transactionMessage(request: ModelTransaction, terms: ReadTerms): TxnRequest {
  const step = (one: ModelRequest): RequestOp => stepMessage(one, terms)
  return {
    compare: request.compare.map(compareMessage),
    success: request.success.map(step),
    failure: request.failure.map(step),
  }
}

function stepMessage(request: ModelRequest, terms: ReadTerms): RequestOp {
  switch (request.kind) {
    case 'range':
      return { kind: 'requestRange', requestRange: rangeMessage(request, terms) }
    case 'put':
      return { kind: 'requestPut', requestPut: putMessage(request) }
    case 'delete':
      return { kind: 'requestDeleteRange', requestDeleteRange: deleteMessage(request) }
    case 'transaction':
      return { kind: 'requestTxn', requestTxn: transactionMessage(request, terms) }
  }
}

function spanMessage(span: KeySpan): { key: Uint8Array; rangeEnd: Uint8Array } {
  return { key: bytesFromLatin1(span.key), rangeEnd: bytesFromLatin1(span.end) }
}

function compareMessage(compare: ModelCompare): Compare {
  const { target, result, operand } = compare
  const number = typeof operand === 'number' ? operand : 0
  return {
    ...spanMessage(compare),
    result: compareResult[result],
    target: compareTarget[target],
    version: target === 'version' ? number : 0,
    createRevision: target === 'create' ? number : 0,
    modRevision: target === 'mod' ? number : 0,
    value: typeof operand === 'string' ? bytesFromLatin1(operand) : emptyBytes,
    lease: typeof operand === 'bigint' ? operand : 0n,
  }
}

// ---- key-value answers -------------------------------------------------------------------------------------------

export function rangeResult({ kvs, count, more }: RangeResponse): ModelResult {
  const pairs = kvs.map(pairOf)
  return more ? { kind: 'range', pairs, count, more } : { kind: 'range', pairs, count }
}

export function putResult({ prevKv }: PutResponse): ModelResult {
  return prevKv === undefined ? { kind: 'put' } : { kind: 'put', previous: pairOf(prevKv) }
}

export function deleteResult({ deleted, prevKvs }: DeleteRangeResponse): ModelResult {
  if (prevKvs.length === 0) return { kind: 'delete', deleted }
  return { kind: 'delete', deleted, previous: prevKvs.map(pairOf) }
}

export function transactionResult({ succeeded, responses }: TxnResponse): ModelResult {
  return { kind: 'transaction', succeeded, results: responses.map(stepResult) }
}

function stepResult(response: ResponseOp): ModelResult {
  switch (response.kind) {
    case 'responseRange':
      return rangeResult(response.responseRange)
    case 'responsePut':
      return putResult(response.responsePut)
    case 'responseDeleteRange':
      return deleteResult(response.responseDeleteRange)
    case 'responseTxn':
      return transactionResult(response.responseTxn)
    case 'none':
      throw new QuorateError('frame-malformed', 'an answer of a transaction says nothing')
  }
}

function pairOf(pair: KeyValue): ModelPair {
  return { ...pair, key: latin1FromBytes(pair.key), value: latin1FromBytes(pair.value) }
}

// ---- watches -----------------------------------------------------------------------------------------------------

export function watchCreateMessage(watchId: number, request: ServerWatchRequest): WatchCreateRequest {
  const filters: number[] = []
  if (request.noPut) filters.push(watchFilter.noPut)
  if (request.noDelete) filters.push(watchFilter.noDelete)
  return {
    ...spanMessage(request),
    startRevision: request.startRevision,
    progressNotify: request.progressNotify,
    filters,
    prevKv: request.previous,
    watchId,
    fragment: request.fragment,
  }
}

export function watchMessageOf(response: WatchResponse): ServerWatchMessage {
  const revision = response.header?.revision ?? 0
  if (response.compactRevision !== 0) return { kind: 'compacted', compactRevision: response.compactRevision }
  if (response.canceled) return { kind: 'ended', reason: response.cancelReason }
  if (response.created) return { kind: 'created', revision }
  if (response.events.length === 0) return { kind: 'progress', revision }
  return { kind: 'events', revision, fragment: response.fragment, events: response.events.map(toldOf) }
}

function toldOf({ type, kv, prevKv }: Event): ToldEvent {
  if (kv === undefined) throw new QuorateError('frame-malformed', 'an event is of a key')
  return {
    event:
      type === eventType.put
        ? { kind: 'put', pair: pairOf(kv) }
        : { kind: 'delete', key: latin1FromBytes(kv.key) },
    revision: kv.modRevision,
    previous: prevKv === undefined ? undefined : pairOf(prevKv),
  }
}

// ---- members -----------------------------------------------------------------------------------------------------

export function urlOf(peer: ServerMember): string {
  return `http://${peer.host}:${peer.port}`
}

/** As far as etcd's messages tell: whether it is on its way to be a voter they do not. */
export function listed({ id, name, peerUrls, isLearner }: Member): ListedMember {
  const { host, port } = parseAddress(peerUrls[0] ?? '')
  return { id, host, port, isLearner, isBecomingVoter: false, isPublished: name !== '' }
}
