import type { ModelRequest, ModelResult } from './kv-model.ts'

/** One call of a client as the client saw it. Times are milliseconds of one clock, that of all clients. */
export interface RecordedCall {
  readonly id: number
  readonly client: string
  /** The life of a server that took it: two starts of one server are two names. */
  readonly server: string
  readonly request: ModelRequest
  /** The answer may be old, but must be a state that was. Only for what reads alone. */
  readonly isSerializable: boolean
  /** Range at this older revision; 0: the newest. */
  readonly atRevision: number
  /** The answer is not older than this; absent: it may be. */
  readonly leastRevision?: number
  readonly calledAt: number
  outcome: CallOutcome
}

/**
 * `answered`: `revision` is that of the answer's header. `failed`: it did certainly not happen. `unknown`: it may have
 * happened, may happen at any later time, or never.
 */
export type CallOutcome =
  | {
      readonly kind: 'answered'
      readonly returnedAt: number
      readonly revision: number
      readonly result: ModelResult
    }
  | { readonly kind: 'failed' }
  | { readonly kind: 'unknown' }

/** Somebody saw that a revision exists: an event, a bookmark. */
export interface Sighting {
  readonly revision: number
  readonly seenAt: number
}

/** Names one broken promise and the facts; a correct history has none. */
export interface Violation {
  readonly promise: string
  readonly facts: string
}

export function describeRequest(request: ModelRequest): string {
  switch (request.kind) {
    case 'range': {
      const limit = request.limit === 0 ? '' : ` limit ${request.limit}`
      return `range ${describeSpan(request)}${limit}${describeTerms(request.variant)}`
    }
    case 'put': {
      const { kind, key, value, lease, ...terms } = request
      return `${kind} ${key}=${value}${lease === 0n ? '' : ` lease ${lease}`}${describeTerms(terms)}`
    }
    case 'delete':
      return `delete ${describeSpan(request)}${request.previous ? ' previous' : ''}`
    default: {
      const compare = request.compare.map((one) => `${one.target} ${one.key} ${one.result} ${one.operand}`)
      const steps = (list: readonly ModelRequest[]): string => list.map(describeRequest).join('; ')
      return `transaction if ${compare.join(' and ')} then {${steps(request.success)}} else {${steps(request.failure)}}`
    }
  }
}

/** What was asked for beyond the usual. */
function describeTerms(terms: object | undefined): string {
  const asked = Object.entries(terms ?? {}).filter(([, value]) => ![0, false, 'none', 'key'].includes(value))
  return asked.map(([name, value]) => (value === true ? ` ${name}` : ` ${name} ${value}`)).join('')
}

function describeSpan(span: { key: string; end: string }): string {
  return span.end === '' ? span.key : `[${span.key}, ${span.end === '\0' ? 'end' : span.end})`
}

export function describeCall(call: RecordedCall): string {
  const who = `call ${call.id} of ${call.client} to ${call.server} at ${call.calledAt.toFixed(2)}`
  return `${who}: ${describeRequest(call.request)}`
}
