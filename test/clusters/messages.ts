// Requests of the model as messages of the etcd v3 API, and answers back. One character a byte on the model's side.
import {
  type ModelCompare,
  type ModelEvent,
  type ModelPair,
  type ModelPut,
  type ModelRequest,
  type ModelResult,
  type ModelTransaction,
  plainRange,
  type SimpleRequest,
  type SimpleResult,
  type ToldEvent,
} from '../../src/simulator/index.ts'
import type { MethodName } from '../support/etcd-messages.ts'
import { bytesOf, messageOf, messagesOf, numberOf } from '../support/keys.ts'
import type { Message, Value } from '../support/protobuf.ts'

export interface WireCall {
  readonly method: MethodName
  readonly message: Message
}

/** How every range of a request is to be answered; `atRevision` 0: as it is now, or as the range says itself. */
export interface ReadTerms {
  readonly atRevision: number
  readonly isSerializable: boolean
}

export function callOf(request: ModelRequest, terms: ReadTerms): WireCall {
  switch (request.kind) {
    case 'range':
      return { method: 'range', message: rangeMessage(request, terms) }
    case 'put':
      return { method: 'put', message: putMessage(request) }
    case 'delete':
      return { method: 'deleteRange', message: deleteMessage(request) }
    default:
      return { method: 'txn', message: transactionMessage(request, terms) }
  }
}

function transactionMessage(request: ModelTransaction, terms: ReadTerms): Message {
  const stepOf = (step: ModelRequest): Message => stepMessage(step, terms)
  return {
    compare: request.compare.map(compareMessage),
    success: request.success.map(stepOf),
    failure: request.failure.map(stepOf),
  }
}

export function resultOf(request: ModelRequest, answer: Message): ModelResult {
  if (request.kind !== 'transaction') return simpleResultOf(request, answer)
  const succeeded = answer.succeeded === true
  const steps = succeeded ? request.success : request.failure
  const responses = messagesOf(answer.responses)
  if (responses.length !== steps.length) {
    throw new Error(`${responses.length} answers to the ${steps.length} steps of a transaction`)
  }
  const results = steps.map((step, i) => resultOf(step, stepAnswerOf(step, responses[i] ?? {})))
  return { kind: 'transaction', succeeded, results }
}

export function toldEventOf(event: Message): ToldEvent {
  const pair = pairOf(messageOf(event.kv))
  const told: ModelEvent = event.type === 1 ? { kind: 'delete', key: pair.key } : { kind: 'put', pair }
  const previous = event.prev_kv === undefined ? undefined : pairOf(messageOf(event.prev_kv))
  return { event: told, revision: pair.modRevision, previous }
}

export function latin1(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

export function spanMessage({ key, end }: { readonly key: string; readonly end: string }): Message {
  return { key: latin1(key), range_end: latin1(end) }
}

export function pairOf(kv: Message): ModelPair {
  return {
    key: text(kv.key),
    value: text(kv.value),
    createRevision: numberOf(kv.create_revision),
    modRevision: numberOf(kv.mod_revision),
    version: numberOf(kv.version),
    lease: typeof kv.lease === 'bigint' ? kv.lease : 0n,
  }
}

function text(value: Value | undefined): string {
  return Buffer.from(bytesOf(value)).toString('latin1')
}

function simpleResultOf(request: SimpleRequest, answer: Message): SimpleResult {
  switch (request.kind) {
    case 'range':
      return {
        kind: 'range',
        pairs: messagesOf(answer.kvs).map(pairOf),
        count: numberOf(answer.count),
        ...(answer.more === true ? { more: true } : {}),
      }
    case 'put':
      return answer.prev_kv === undefined
        ? { kind: 'put' }
        : { kind: 'put', previous: pairOf(messageOf(answer.prev_kv)) }
    default: {
      const deleted = numberOf(answer.deleted)
      const previous = messagesOf(answer.prev_kvs).map(pairOf)
      return previous.length === 0 ? { kind: 'delete', deleted } : { kind: 'delete', deleted, previous }
    }
  }
}

function stepAnswerOf(step: ModelRequest, response: Message): Message {
  const field = {
    range: response.response_range,
    put: response.response_put,
    delete: response.response_delete_range,
    transaction: response.response_txn,
  }[step.kind]
  return messageOf(field)
}

function stepMessage(step: ModelRequest, terms: ReadTerms): Message {
  switch (step.kind) {
    case 'range':
      return { request_range: rangeMessage(step, terms) }
    case 'put':
      return { request_put: putMessage(step) }
    case 'delete':
      return { request_delete_range: deleteMessage(step) }
    default:
      return { request_txn: transactionMessage(step, terms) }
  }
}

const sortOrders = { none: 0, ascend: 1, descend: 2 } as const
const sortTargets = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const

function rangeMessage(request: SimpleRequest & { readonly kind: 'range' }, terms: ReadTerms): Message {
  const { limit, variant = plainRange } = request
  return {
    ...spanMessage(request),
    limit,
    revision: variant.revision === 0 ? terms.atRevision : variant.revision,
    sort_order: sortOrders[variant.sortOrder],
    sort_target: sortTargets[variant.sortTarget],
    serializable: terms.isSerializable,
    keys_only: variant.keysOnly,
    count_only: variant.countOnly,
    min_mod_revision: variant.modRevisionMin,
    max_mod_revision: variant.modRevisionMax,
    min_create_revision: variant.createRevisionMin,
    max_create_revision: variant.createRevisionMax,
  }
}

/** What the server is to keep must not be sent: it would be refused. */
function putMessage(request: ModelPut): Message {
  const { key, value, lease, previous = false, ignoreValue = false, ignoreLease = false } = request
  return {
    key: latin1(key),
    value: latin1(ignoreValue ? '' : value),
    lease: ignoreLease ? 0n : lease,
    prev_kv: previous,
    ignore_value: ignoreValue,
    ignore_lease: ignoreLease,
  }
}

function deleteMessage(request: SimpleRequest & { readonly kind: 'delete' }): Message {
  return { ...spanMessage(request), prev_kv: request.previous === true }
}

const compareResults = { equal: 0, greater: 1, less: 2, notEqual: 3 } as const
const compareTargets = {
  version: [0, 'version'],
  create: [1, 'create_revision'],
  mod: [2, 'mod_revision'],
  value: [3, 'value'],
  lease: [4, 'lease'],
} as const

function compareMessage(compare: ModelCompare): Message {
  const [target, field] = compareTargets[compare.target]
  const { operand } = compare
  const value = typeof operand === 'string' ? latin1(operand) : operand
  return { ...spanMessage(compare), result: compareResults[compare.result], target, [field]: value }
}
