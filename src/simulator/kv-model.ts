/**
 * The key-value store as its users may think of it, small enough to be obviously right: a map, a revision, and one
 * record of events a revision. Checkers replay histories through it. Keys and values are strings with one character a
 * byte, so that string order is byte order.
 */
import { assert, unreachable } from '../base/index.ts'

/** `end` empty: the single key; "\0": every key from `key` on; else half-open [key, end). */
export interface KeySpan {
  readonly key: string
  readonly end: string
}

export interface ModelPair {
  readonly key: string
  readonly value: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  /** 0n: none. */
  readonly lease: bigint
}

export type ModelEvent =
  | { readonly kind: 'put'; readonly pair: ModelPair }
  | { readonly kind: 'delete'; readonly key: string }

/** Everything that one revision changed, in the order of the operations. */
export interface RevisionRecord {
  readonly revision: number
  readonly events: readonly ModelEvent[]
}

export type CompareTarget = 'version' | 'create' | 'mod' | 'value' | 'lease'
export interface ModelCompare extends KeySpan {
  readonly target: CompareTarget
  readonly result: 'equal' | 'greater' | 'less' | 'notEqual'
  readonly operand: number | string | bigint
}

export type SimpleRequest =
  /** `limit` 0: none. */
  | ({ readonly kind: 'range'; readonly limit: number } & KeySpan)
  | { readonly kind: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | ({ readonly kind: 'delete' } & KeySpan)

export type ModelRequest =
  | SimpleRequest
  | {
      readonly kind: 'transaction'
      readonly compare: readonly ModelCompare[]
      readonly success: readonly SimpleRequest[]
      readonly failure: readonly SimpleRequest[]
    }

export type SimpleResult =
  | { readonly kind: 'range'; readonly pairs: readonly ModelPair[]; readonly count: number }
  | { readonly kind: 'put' }
  | { readonly kind: 'delete'; readonly deleted: number }

export type ModelResult =
  | SimpleResult
  | { readonly kind: 'transaction'; readonly succeeded: boolean; readonly results: readonly SimpleResult[] }

/** Revision of the empty store; the first change has the next one. */
export const emptyRevision = 1

export function isInSpan(key: string, span: KeySpan): boolean {
  if (span.end === '') return key === span.key
  return key >= span.key && (span.end === '\0' || key < span.end)
}

export class KvModel {
  readonly #pairs = new Map<string, ModelPair>()
  #revision: number = emptyRevision

  get revision(): number {
    return this.#revision
  }

  get(key: string): ModelPair | undefined {
    return this.#pairs.get(key)
  }

  /** A model of its own in the same state. */
  copy(): KvModel {
    const copy = new KvModel()
    for (const [key, pair] of this.#pairs) copy.#pairs.set(key, pair)
    copy.#revision = this.#revision
    return copy
  }

  /** Pairs of a span in key order. Costs one step for a single key, else one for each key there is. */
  range(span: KeySpan): ModelPair[] {
    if (span.end === '') {
      const pair = this.#pairs.get(span.key)
      return pair === undefined ? [] : [pair]
    }
    const found = [...this.#pairs.values()].filter((pair) => isInSpan(pair.key, span))
    return found.sort((left, right) => (left.key < right.key ? -1 : 1))
  }

  keysOfLease(lease: bigint): string[] {
    const keys = [...this.#pairs.values()].filter((pair) => pair.lease === lease).map((pair) => pair.key)
    return keys.sort()
  }

  /** What `request` would do and answer now; changes nothing. `events` empty: it takes no revision. */
  evaluate(request: ModelRequest): { result: ModelResult; events: ModelEvent[] } {
    if (request.kind !== 'transaction') {
      const overlay = new Overlay(this, this.#revision + 1)
      const result = overlay.run(request)
      return { result, events: overlay.events }
    }
    const succeeded = request.compare.every((compare) => this.#holds(compare))
    const overlay = new Overlay(this, this.#revision + 1)
    const results = (succeeded ? request.success : request.failure).map((step) => overlay.run(step))
    return { result: { kind: 'transaction', succeeded, results }, events: overlay.events }
  }

  /** Takes the next revision. */
  apply(record: RevisionRecord): void {
    assert(record.revision === this.#revision + 1, 'revisions have no gap')
    this.#revision = record.revision
    for (const event of record.events) {
      if (event.kind === 'put') this.#pairs.set(event.pair.key, event.pair)
      else this.#pairs.delete(event.key)
    }
  }

  /** True for all keys of the span, etcd's way: a missing single key counts as all zeros, but has no value. */
  #holds(compare: ModelCompare): boolean {
    const pairs = this.range(compare)
    if (pairs.length > 0) return pairs.every((pair) => comparePair(pair, compare))
    if (compare.target === 'value') return false
    return comparePair(missingPair(compare.key), compare)
  }
}

/** The state inside a transaction: what its earlier steps did is visible to the later ones. */
class Overlay {
  readonly events: ModelEvent[] = []
  readonly #base: KvModel
  readonly #revision: number
  readonly #changed = new Map<string, ModelPair | undefined>()

  constructor(base: KvModel, revision: number) {
    this.#base = base
    this.#revision = revision
  }

  run(request: SimpleRequest): SimpleResult {
    switch (request.kind) {
      case 'range': {
        const pairs = this.#range(request)
        const limited = request.limit === 0 ? pairs : pairs.slice(0, request.limit)
        return { kind: 'range', pairs: limited, count: pairs.length }
      }
      case 'put':
        this.#put(request)
        return { kind: 'put' }
      case 'delete': {
        const keys = this.#range(request).map((pair) => pair.key)
        for (const key of keys) {
          this.#changed.set(key, undefined)
          this.events.push({ kind: 'delete', key })
        }
        return { kind: 'delete', deleted: keys.length }
      }
      default:
        return unreachable(request, 'request')
    }
  }

  #put(request: { readonly key: string; readonly value: string; readonly lease: bigint }): void {
    const before = this.#changed.has(request.key)
      ? this.#changed.get(request.key)
      : this.#base.get(request.key)
    const pair: ModelPair = {
      key: request.key,
      value: request.value,
      createRevision: before?.createRevision ?? this.#revision,
      modRevision: this.#revision,
      version: (before?.version ?? 0) + 1,
      lease: request.lease,
    }
    this.#changed.set(request.key, pair)
    this.events.push({ kind: 'put', pair })
  }

  #range(span: KeySpan): ModelPair[] {
    const pairs = this.#base.range(span).filter((pair) => !this.#changed.has(pair.key))
    for (const pair of this.#changed.values()) {
      if (pair !== undefined && isInSpan(pair.key, span)) pairs.push(pair)
    }
    return pairs.sort((left, right) => (left.key < right.key ? -1 : 1))
  }
}

function missingPair(key: string): ModelPair {
  return { key, value: '', createRevision: 0, modRevision: 0, version: 0, lease: 0n }
}

function comparePair(pair: ModelPair, compare: ModelCompare): boolean {
  const actual = targetOf(pair, compare.target)
  switch (compare.result) {
    case 'equal':
      return actual === compare.operand
    case 'notEqual':
      return actual !== compare.operand
    case 'greater':
      return actual > compare.operand
    case 'less':
      return actual < compare.operand
    default:
      return unreachable(compare.result, 'compare result')
  }
}

function targetOf(pair: ModelPair, target: CompareTarget): number | string | bigint {
  switch (target) {
    case 'version':
      return pair.version
    case 'create':
      return pair.createRevision
    case 'mod':
      return pair.modRevision
    case 'value':
      return pair.value
    case 'lease':
      return pair.lease
    default:
      return unreachable(target, 'compare target')
  }
}

/** Text for equality and for reports; the same facts give the same text. */
export function describePair(pair: ModelPair): string {
  const lease = pair.lease === 0n ? '' : ` lease=${pair.lease}`
  return `${pair.key}=${pair.value} c${pair.createRevision} m${pair.modRevision} v${pair.version}${lease}`
}

export function describeEvent(event: ModelEvent): string {
  return event.kind === 'put' ? `put ${describePair(event.pair)}` : `delete ${event.key}`
}

export function describeResult(result: ModelResult): string {
  switch (result.kind) {
    case 'range':
      return `range(${result.count}) [${result.pairs.map(describePair).join(', ')}]`
    case 'put':
      return 'put'
    case 'delete':
      return `delete(${result.deleted})`
    case 'transaction':
      return `${result.succeeded ? 'success' : 'failure'} {${result.results.map(describeResult).join('; ')}}`
    default:
      return unreachable(result, 'result')
  }
}
