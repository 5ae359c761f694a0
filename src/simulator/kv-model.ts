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

/** How a range is read, beside its span and its limit. 0: not asked for. */
export interface RangeVariant {
  /** Inside a transaction; a range by itself has `atRevision` of its call. */
  readonly revision: number
  readonly sortOrder: 'none' | 'ascend' | 'descend'
  readonly sortTarget: 'key' | 'version' | 'create' | 'mod' | 'value'
  readonly keysOnly: boolean
  readonly countOnly: boolean
  readonly modRevisionMin: number
  readonly modRevisionMax: number
  readonly createRevisionMin: number
  readonly createRevisionMax: number
}

/** Every key with its value, in the order of the keys, as it is now. */
export const plainRange: RangeVariant = {
  revision: 0,
  sortOrder: 'none',
  sortTarget: 'key',
  keysOnly: false,
  countOnly: false,
  modRevisionMin: 0,
  modRevisionMax: 0,
  createRevisionMin: 0,
  createRevisionMax: 0,
}

export interface ModelPut {
  readonly kind: 'put'
  readonly key: string
  readonly value: string
  readonly lease: bigint
  /** The answer has the pair that was there before. */
  readonly previous?: boolean
  /** Keeps what is there; refused where nothing is. */
  readonly ignoreValue?: boolean
  readonly ignoreLease?: boolean
}

export type SimpleRequest =
  /** `limit` 0: none. */
  | ({ readonly kind: 'range'; readonly limit: number; readonly variant?: RangeVariant } & KeySpan)
  | ModelPut
  | ({ readonly kind: 'delete'; readonly previous?: boolean } & KeySpan)

export interface ModelTransaction {
  readonly kind: 'transaction'
  readonly compare: readonly ModelCompare[]
  readonly success: readonly ModelRequest[]
  readonly failure: readonly ModelRequest[]
}
export type ModelRequest = SimpleRequest | ModelTransaction

/** Absent: the limit cut nothing off, no pair was there before. */
export type SimpleResult =
  | {
      readonly kind: 'range'
      readonly pairs: readonly ModelPair[]
      readonly count: number
      readonly more?: true
    }
  | { readonly kind: 'put'; readonly previous?: ModelPair }
  | { readonly kind: 'delete'; readonly deleted: number; readonly previous?: readonly ModelPair[] }

export type ModelResult =
  | SimpleResult
  | { readonly kind: 'transaction'; readonly succeeded: boolean; readonly results: readonly ModelResult[] }
  /** It cannot be done in this state, so that nothing of it is done. */
  | { readonly kind: 'refused' }

/** Whether nothing of it can write; a transaction inside a transaction counts as writing, as in etcd. */
export function isReadOnly(request: ModelRequest): boolean {
  if (request.kind !== 'transaction') return request.kind === 'range'
  return [...request.success, ...request.failure].every(({ kind }) => kind === 'range')
}

/** All operations that it may do, of every branch. */
export function operationsOf(request: ModelRequest): SimpleRequest[] {
  if (request.kind !== 'transaction') return [request]
  return [...request.success, ...request.failure].flatMap(operationsOf)
}

/** Revision of the empty store; the first change has the next one. */
export const emptyRevision = 1

export function isInSpan(key: string, span: KeySpan): boolean {
  if (span.end === '') return key === span.key
  return key >= span.key && (span.end === '\0' || key < span.end)
}

export class KvModel {
  readonly #pairs = new Map<string, ModelPair>()
  /** Every state that a key was ever in; undefined: deleted. */
  readonly #versions = new Map<string, { revision: number; pair: ModelPair | undefined }[]>()
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
    for (const [key, versions] of this.#versions) copy.#versions.set(key, [...versions])
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
    return found.sort(byKey)
  }

  keysOfLease(lease: bigint): string[] {
    const keys = [...this.#pairs.values()].filter((pair) => pair.lease === lease).map((pair) => pair.key)
    return keys.sort()
  }

  /** What `request` would do and answer now; changes nothing. `events` empty: it takes no revision. */
  evaluate(request: ModelRequest): { result: ModelResult; events: ModelEvent[] } {
    const overlay = new Overlay(this, this.#revision + 1)
    const result = overlay.run(request, this.#branchesOf(request))
    return result === undefined
      ? { result: { kind: 'refused' }, events: [] }
      : { result, events: overlay.events }
  }

  /** Pairs of a span as they were at a revision, in key order. */
  rangeAt(span: KeySpan, revision: number): ModelPair[] {
    const pairs: ModelPair[] = []
    for (const [key, versions] of this.#versions) {
      if (!isInSpan(key, span)) continue
      const last = versions.findLast((version) => version.revision <= revision)
      if (last?.pair !== undefined) pairs.push(last.pair)
    }
    return pairs.sort(byKey)
  }

  /** Which branch each transaction takes, the outermost first: all compares see the state before all operations. */
  #branchesOf(request: ModelRequest): boolean[] {
    if (request.kind !== 'transaction') return []
    const succeeded = request.compare.every((compare) => this.#holds(compare))
    const steps = succeeded ? request.success : request.failure
    return [succeeded, ...steps.flatMap((step) => this.#branchesOf(step))]
  }

  /** Takes the next revision. */
  apply(record: RevisionRecord): void {
    assert(record.revision === this.#revision + 1, 'revisions have no gap')
    const { revision } = record
    this.#revision = revision
    for (const event of record.events) {
      const [key, pair] = event.kind === 'put' ? [event.pair.key, event.pair] : [event.key, undefined]
      if (pair === undefined) this.#pairs.delete(key)
      else this.#pairs.set(key, pair)
      const versions = this.#versions.get(key)
      if (versions === undefined) this.#versions.set(key, [{ revision, pair }])
      else versions.push({ revision, pair })
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

  /** Undefined: one of the steps is refused. `branches` is used up from its beginning. */
  run(request: ModelRequest, branches: boolean[]): ModelResult | undefined {
    switch (request.kind) {
      case 'range':
        return this.#answerRange(request)
      case 'put':
        return this.#put(request)
      case 'delete': {
        const pairs = this.#range(request)
        for (const { key } of pairs) {
          this.#changed.set(key, undefined)
          this.events.push({ kind: 'delete', key })
        }
        const deleted = pairs.length
        return request.previous && deleted > 0
          ? { kind: 'delete', deleted, previous: pairs }
          : { kind: 'delete', deleted }
      }
      case 'transaction': {
        const succeeded = branches.shift() === true
        const results: ModelResult[] = []
        for (const step of succeeded ? request.success : request.failure) {
          const result = this.run(step, branches)
          if (result === undefined) return undefined
          results.push(result)
        }
        return { kind: 'transaction', succeeded, results }
      }
      default:
        return unreachable(request, 'request')
    }
  }

  #put(request: ModelPut): ModelResult | undefined {
    const { key } = request
    const before = this.#changed.has(key) ? this.#changed.get(key) : this.#base.get(key)
    const needsBefore = request.ignoreValue === true || request.ignoreLease === true
    if (needsBefore && before === undefined) return undefined
    const pair: ModelPair = {
      key,
      value: before !== undefined && request.ignoreValue ? before.value : request.value,
      createRevision: before?.createRevision ?? this.#revision,
      modRevision: this.#revision,
      version: (before?.version ?? 0) + 1,
      lease: before !== undefined && request.ignoreLease ? before.lease : request.lease,
    }
    this.#changed.set(key, pair)
    this.events.push({ kind: 'put', pair })
    return request.previous && before !== undefined ? { kind: 'put', previous: before } : { kind: 'put' }
  }

  #answerRange(request: SimpleRequest & { kind: 'range' }): ModelResult {
    const { limit, variant = plainRange } = request
    const { revision } = variant
    const all = revision === 0 ? this.#range(request) : this.#base.rangeAt(request, revision)
    const count = all.length
    if (variant.countOnly) return { kind: 'range', pairs: [], count }
    const passed = sortPairs(
      all.filter((pair) => passes(pair, variant)),
      variant,
    )
    const limited = limit === 0 ? passed : passed.slice(0, limit)
    const pairs = variant.keysOnly ? limited.map((pair) => ({ ...pair, value: '' })) : limited
    return passed.length > pairs.length
      ? { kind: 'range', pairs, count, more: true }
      : { kind: 'range', pairs, count }
  }

  #range(span: KeySpan): ModelPair[] {
    const pairs = this.#base.range(span).filter((pair) => !this.#changed.has(pair.key))
    for (const pair of this.#changed.values()) {
      if (pair !== undefined && isInSpan(pair.key, span)) pairs.push(pair)
    }
    return pairs.sort(byKey)
  }
}

function byKey(left: ModelPair, right: ModelPair): number {
  return left.key < right.key ? -1 : 1
}

function passes(pair: ModelPair, variant: RangeVariant): boolean {
  const { modRevisionMin, modRevisionMax, createRevisionMin, createRevisionMax } = variant
  return (
    pair.modRevision >= modRevisionMin &&
    (modRevisionMax === 0 || pair.modRevision <= modRevisionMax) &&
    pair.createRevision >= createRevisionMin &&
    (createRevisionMax === 0 || pair.createRevision <= createRevisionMax)
  )
}

/** Equal ones stay in key order. */
function sortPairs(
  pairs: readonly ModelPair[],
  { sortOrder, sortTarget }: RangeVariant,
): readonly ModelPair[] {
  if (sortOrder === 'none') return pairs
  const direction = sortOrder === 'ascend' ? 1 : -1
  const rank = (pair: ModelPair): string | number | bigint =>
    sortTarget === 'key' ? pair.key : targetOf(pair, sortTarget)
  return pairs.toSorted((left, right) => {
    const [a, b] = [rank(left), rank(right)]
    return a === b ? 0 : a < b ? -direction : direction
  })
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
      return `range(${result.count}${result.more ? '+' : ''}) [${result.pairs.map(describePair).join(', ')}]`
    case 'put':
      return result.previous === undefined ? 'put' : `put over ${describePair(result.previous)}`
    case 'delete': {
      const { deleted, previous } = result
      return previous === undefined
        ? `delete(${deleted})`
        : `delete(${deleted}) [${previous.map(describePair).join(', ')}]`
    }
    case 'refused':
      return 'refused'
    case 'transaction':
      return `${result.succeeded ? 'success' : 'failure'} {${result.results.map(describeResult).join('; ')}}`
    default:
      return unreachable(result, 'result')
  }
}
