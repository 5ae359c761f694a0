import { assert, compareBytes, emptyBytes, unreachable } from '../base/index.ts'
import { visitThroughCache } from './cached-range.ts'
import type { KeyValue, RangeOperation, RangeResult, RangeTaker, Refusal, SortTarget } from './contract.ts'
import { afterForm, type FormBounds, formBounds, keyOfForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { refuse } from './operation-check.ts'
import { rowCreateRevision, rowLease, rowVersion } from './rows.ts'
import {
  countWithin,
  fetchWork,
  noMore,
  sliceWork,
  type View,
  type Visitor,
  visitBounds,
  workOfBytes,
} from './view.ts'

/** A revision that a client may read; `newest` is what an unspecified one means. */
export function checkRevision(keys: KeySpace, revision: number): Refusal | undefined {
  if (revision > keys.revision) {
    return refuse('revision-future', `revision ${revision} is ahead of the newest, ${keys.revision}`)
  }
  if (revision > 0 && revision < keys.compactRevision) {
    return refuse('revision-compacted', `revision ${revision} is older than ${keys.compactRevision}`)
  }
  return undefined
}

/** Where the pairs of a range go, and how they are read on the way there. */
interface Answer {
  readonly pairs: readonly KeyValue[]
  readonly taker: RangeTaker | undefined
  add(pair: KeyValue): void
  pair(modRevision: number, sub: number): KeyValue
  pairAt(key: Uint8Array, revision: number): KeyValue | undefined
}

function answerTo(keys: KeySpace, taker: RangeTaker | undefined): Answer {
  if (taker !== undefined) {
    return {
      pairs: [],
      taker,
      add: (pair) => taker.add(pair),
      pair: (modRevision, sub) => keys.peekPair(modRevision, sub),
      pairAt: (key, revision) => keys.peekPairAt(key, revision),
    }
  }
  const pairs: KeyValue[] = []
  return {
    pairs,
    taker,
    add: (pair) => void pairs.push(pair),
    pair: (modRevision, sub) => keys.pair(modRevision, sub),
    pairAt: (key, revision) => keys.pairAt(key, revision),
  }
}

/**
 * The answer to a range whose revision was checked. The order of work is etcd's: fetch, filter, sort, limit. Each pair goes to
 * the taker, when there is one, as soon as its place in the answer is known.
 */
export function* rangeOf(
  view: View,
  operation: RangeOperation,
  taker?: RangeTaker,
): Generator<void, RangeResult, void> {
  const answer = answerTo(view.keys, taker)
  const bounds = formBounds(operation.key, operation.rangeEnd)
  if (bounds === undefined) return answerSingle(view, operation, answer)
  if (operation.countOnly) return resultOf(answer, yield* countWithin(view, bounds), false)
  const limit = operation.limit > 0 ? operation.limit : Infinity
  const { sortOrder, sortTarget } = operation
  const isInKeyOrder = sortTarget === 'key' && sortOrder !== 'descend'
  if (isInKeyOrder) return yield* inKeyOrder(view, operation, bounds, limit, answer)
  if (sortOrder !== 'none' || hasFilter(operation)) {
    return yield* inSortOrder(view, operation, bounds, limit, answer)
  }
  return yield* cutThenSorted(view, operation, bounds, limit, answer)
}

function resultOf({ pairs }: Answer, count: number, more: boolean): RangeResult {
  return { kind: 'range', pairs, count, more }
}

/** etcd's quirk: with a sort target but no order, the limit cuts (one later) before the keys are sorted. */
function* cutThenSorted(
  view: View,
  operation: RangeOperation,
  bounds: FormBounds,
  limit: number,
  answer: Answer,
): Generator<void, RangeResult, void> {
  const { sortTarget, keysOnly } = operation
  const kept = answerTo(view.keys, undefined)
  const first = yield* inKeyOrder(view, { ...operation, keysOnly: false }, bounds, limit + 1, kept)
  const sorted = first.pairs.toSorted((left, right) =>
    compareRanks(rankOf(sortTarget, left, 0), rankOf(sortTarget, right, 0)),
  )
  for (const pair of sorted.slice(0, limit)) answer.add(keysOnly ? withoutValue(pair) : pair)
  return resultOf(answer, first.count, sorted.length > limit)
}

function answerSingle(view: View, operation: RangeOperation, answer: Answer): RangeResult {
  const pair = answer.pairAt(operation.key, view.revision)
  if (pair === undefined) return resultOf(answer, 0, false)
  if (!operation.countOnly && passes(operation, pair)) {
    answer.add(operation.keysOnly ? withoutValue(pair) : pair)
  }
  return resultOf(answer, 1, false)
}

/** The first `limit` keys that pass. What lies behind them is counted and not read. */
function* inKeyOrder(
  view: View,
  operation: RangeOperation,
  bounds: FormBounds,
  limit: number,
  answer: Answer,
): Generator<void, RangeResult, void> {
  const { keys } = view
  const isFiltered = hasFilter(operation)
  let found = 0
  let count = 0
  let beyond: Uint8Array | undefined
  const visit: Visitor = (form, modRevision, sub, row) => {
    count++
    const isFull = found === limit
    const withValue = !operation.keysOnly && !isFull
    let pair =
      withValue && !isFiltered
        ? answer.pair(modRevision, sub)
        : pairWithoutValue(keys, form, modRevision, sub, row)
    const work = row === undefined || withValue ? 1 + fetchWork : 2
    if (!passes(operation, pair)) return work
    if (isFull) {
      beyond = form
      return noMore
    }
    if (withValue && isFiltered) pair = answer.pair(modRevision, sub)
    answer.add(pair)
    found++
    return work + workOfBytes(pair.value.length)
  }
  const { taker } = answer
  if (taker === undefined || isFiltered || operation.keysOnly) yield* visitBounds(view, bounds, visit)
  else {
    const fits = (runCount: number): boolean => found + runCount <= limit
    const took = (runCount: number): void => {
      found += runCount
      count += runCount
    }
    yield* visitThroughCache(view, bounds, { visit, taker, fits, took })
  }
  if (beyond !== undefined) count += yield* countWithin(view, { ...bounds, first: afterForm(beyond) })
  return resultOf(answer, count, beyond !== undefined)
}

/** What is kept of a key until its place is known. */
interface Candidate {
  readonly rank: Rank
  readonly modRevision: number
  readonly sub: number
  /** Where nothing more of it has to be read. */
  readonly pair: KeyValue | undefined
}

/** More candidates than this, and than twice the limit, are sorted and cut. */
const candidatesUncut = 1024

/** The first `limit` in the order that is asked for, of all that pass. */
function* inSortOrder(
  view: View,
  operation: RangeOperation,
  bounds: FormBounds,
  limit: number,
  answer: Answer,
): Generator<void, RangeResult, void> {
  const { keys } = view
  const { sortTarget, keysOnly } = operation
  const direction = operation.sortOrder === 'descend' ? -1 : 1
  const uncutMax = Math.max(2 * limit, candidatesUncut)
  const candidates: Candidate[] = []
  // Equal ones stay in key order, so that the answer is the same on every replica: the sort is stable.
  const cut = (): void => {
    candidates.sort((left, right) => direction * compareRanks(left.rank, right.rank))
    if (candidates.length > limit) candidates.length = limit
  }
  let count = 0
  let passed = 0
  yield* visitBounds(view, bounds, (form, modRevision, sub, row) => {
    count++
    const whole = sortTarget === 'value' ? keys.pair(modRevision, sub) : undefined
    const pair = whole ?? pairWithoutValue(keys, form, modRevision, sub, row)
    if (passes(operation, pair)) {
      passed++
      const kept = keysOnly ? pair : whole
      candidates.push({ rank: rankOf(sortTarget, pair, count), modRevision, sub, pair: kept })
      if (candidates.length > uncutMax) cut()
    }
    return whole === undefined && row !== undefined ? 2 : 1 + fetchWork + workOfBytes(pair.value.length)
  })
  cut()
  yield* addAll(view, operation, candidates, answer)
  return resultOf(answer, count, passed > limit)
}

function* addAll(
  view: View,
  operation: RangeOperation,
  candidates: readonly Candidate[],
  answer: Answer,
): Generator<void, void, void> {
  let work = sliceWork
  for (const { modRevision, sub, pair } of candidates) {
    const whole = pair ?? answer.pair(modRevision, sub)
    answer.add(operation.keysOnly ? withoutValue(whole) : whole)
    work -= fetchWork + workOfBytes(whole.value.length)
    if (work > 0) continue
    work = sliceWork
    yield
    view.resumed()
  }
}

function pairWithoutValue(
  keys: KeySpace,
  form: Uint8Array,
  modRevision: number,
  sub: number,
  row: Uint8Array | undefined,
): KeyValue {
  if (row === undefined) return withoutValue(keys.pair(modRevision, sub))
  return {
    key: keyOfForm(form),
    value: emptyBytes,
    createRevision: rowCreateRevision(row),
    modRevision,
    version: rowVersion(row),
    lease: rowLease(row),
  }
}

function withoutValue(pair: KeyValue): KeyValue {
  return pair.value.length === 0 ? pair : { ...pair, value: emptyBytes }
}

function hasFilter(operation: RangeOperation): boolean {
  const { modRevisionMin, modRevisionMax, createRevisionMin, createRevisionMax } = operation
  return modRevisionMin !== 0 || modRevisionMax !== 0 || createRevisionMin !== 0 || createRevisionMax !== 0
}

function passes(operation: RangeOperation, pair: KeyValue): boolean {
  const { modRevisionMin, modRevisionMax, createRevisionMin, createRevisionMax } = operation
  return (
    (modRevisionMax === 0 || pair.modRevision <= modRevisionMax) &&
    (modRevisionMin === 0 || pair.modRevision >= modRevisionMin) &&
    (createRevisionMax === 0 || pair.createRevision <= createRevisionMax) &&
    (createRevisionMin === 0 || pair.createRevision >= createRevisionMin)
  )
}

/** What a key is sorted by. */
type Rank = number | Uint8Array

/** `place`: where the key is in key order. */
function rankOf(target: SortTarget, pair: KeyValue, place: number): Rank {
  switch (target) {
    case 'key':
      return place
    case 'version':
      return pair.version
    case 'create':
      return pair.createRevision
    case 'mod':
      return pair.modRevision
    case 'value':
      return pair.value
    default:
      return unreachable(target, 'a range is sorted by something')
  }
}

function compareRanks(left: Rank, right: Rank): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right
  assert(typeof left !== 'number' && typeof right !== 'number', 'the ranks of a range are of one kind')
  return compareBytes(left, right)
}
