// Requests of the model as messages of the etcd v3 API, and answers back. One character a byte on the model's side.
import type {
  ModelCompare,
  ModelEvent,
  ModelPair,
  ModelRequest,
  ModelResult,
  ModelTransaction,
  SimpleRequest,
  SimpleResult,
  ToldEvent,
} from '../../src/simulator/index.ts'
import type { MethodName } from '../support/etcd-messages.ts'
import { bytesOf, messageOf, messagesOf, numberOf } from '../support/keys.ts'
import type { Message, Value } from '../support/protobuf.ts'

export interface WireCall {
  readonly method: MethodName
  readonly message: Message
}

/** `atRevision` and `isSerializable` are of ranges alone. */
export function callOf(request: ModelRequest, atRevision: number, isSerializable: boolean): WireCall {
  switch (request.kind) {
    case 'range':
      return {
        method: 'range',
        message: { ...rangeMessage(request), revision: atRevision, serializable: isSerializable },
      }
    case 'put':
      return { method: 'put', message: putMessage(request) }
    case 'delete':
      return { method: 'deleteRange', message: spanMessage(request) }
    default:
      return { method: 'txn', message: transactionMessage(request) }
  }
}

function transactionMessage(request: ModelTransaction): Message {
  return {
    compare: request.compare.map(compareMessage),
    success: request.success.map(stepMessage),
    failure: request.failure.map(stepMessage),
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
      return { kind: 'put' }
    default:
      return { kind: 'delete', deleted: numberOf(answer.deleted) }
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

function stepMessage(step: ModelRequest): Message {
  switch (step.kind) {
    case 'range':
      return { request_range: rangeMessage(step) }
    case 'put':
      return { request_put: putMessage(step) }
    case 'delete':
      return { request_delete_range: spanMessage(step) }
    default:
      return { request_txn: transactionMessage(step) }
  }
}

function rangeMessage(request: SimpleRequest & { readonly kind: 'range' }): Message {
  return { ...spanMessage(request), limit: request.limit }
}

function putMessage({ key, value, lease }: SimpleRequest & { readonly kind: 'put' }): Message {
  return { key: latin1(key), value: latin1(value), lease }
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
