import { assert, compareBytes, emptyBytes, unreachable } from '../base/index.ts'
import type { KeyValue, RangeOperation, RangeResult, Refusal, SortTarget, TakePairs } from './contract.ts'
import { afterForm, type FormBounds, formBounds, keyOfForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { refuse } from './operation-check.ts'
import { rowCreateRevision, rowLease, rowVersion } from './rows.ts'
import { countWithin, fetchWork, noMore, sliceWork, type View, visitBounds, workOfBytes } from './view.ts'

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

/**
 * The answer to a range whose revision was checked. The order of work is etcd's: fetch, filter, sort, limit. What is found in
 * the order of the answer goes to `take` after each pause.
 */
export function* rangeOf(
  view: View,
  operation: RangeOperation,
  take?: TakePairs,
): Generator<void, RangeResult, void> {
  const bounds = formBounds(operation.key, operation.rangeEnd)
  if (bounds === undefined) return answerSingle(operation, view.keys.pairAt(operation.key, view.revision))
  if (operation.countOnly) {
    return { kind: 'range', pairs: [], count: yield* countWithin(view, bounds), more: false }
  }
  const limit = operation.limit > 0 ? operation.limit : Infinity
  const { sortOrder, sortTarget } = operation
  const isInKeyOrder = sortTarget === 'key' && sortOrder !== 'descend'
  if (isInKeyOrder) return yield* inKeyOrder(view, operation, bounds, limit, take)
  if (sortOrder !== 'none' || hasFilter(operation)) return yield* inSortOrder(view, operation, bounds, limit)
  return yield* cutThenSorted(view, operation, bounds, limit)
}

/** etcd's quirk: with a sort target but no order, the limit cuts (one later) before the keys are sorted. */
function* cutThenSorted(
  view: View,
  operation: RangeOperation,
  bounds: FormBounds,
  limit: number,
): Generator<void, RangeResult, void> {
  const { sortTarget, keysOnly } = operation
  const first = yield* inKeyOrder(view, { ...operation, keysOnly: false }, bounds, limit + 1)
  const sorted = first.pairs.toSorted((left, right) =>
    compareRanks(rankOf(sortTarget, left, 0), rankOf(sortTarget, right, 0)),
  )
  const pairs = sorted.slice(0, limit)
  return { ...first, pairs: keysOnly ? pairs.map(withoutValue) : pairs, more: sorted.length > limit }
}

function answerSingle(operation: RangeOperation, pair: KeyValue | undefined): RangeResult {
  const count = pair === undefined ? 0 : 1
  if (pair === undefined || operation.countOnly || !passes(operation, pair)) {
    return { kind: 'range', pairs: [], count, more: false }
  }
  return { kind: 'range', pairs: [operation.keysOnly ? withoutValue(pair) : pair], count, more: false }
}

/** The first `limit` keys that pass. What lies behind them is counted and not read. */
function* inKeyOrder(
  view: View,
  operation: RangeOperation,
  bounds: FormBounds,
  limit: number,
  take?: TakePairs,
): Generator<void, RangeResult, void> {
  const { keys } = view
  const isFiltered = hasFilter(operation)
  let pairs: KeyValue[] = []
  let found = 0
  let count = 0
  let beyond: Uint8Array | undefined
  const resumed = (): void => {
    view.resumed()
    if (take === undefined || pairs.length === 0) return
    take(pairs)
    pairs = []
  }
  yield* visitBounds({ ...view, resumed }, bounds, (form, modRevision, sub, row) => {
    count++
    const isFull = found === limit
    const withValue = !operation.keysOnly && !isFull
    let pair =
      withValue && !isFiltered
        ? keys.pair(modRevision, sub)
        : pairWithoutValue(keys, form, modRevision, sub, row)
    const work = row === undefined || withValue ? 1 + fetchWork : 2
    if (!passes(operation, pair)) return work
    if (isFull) {
      beyond = form
      return noMore
    }
    if (withValue && isFiltered) pair = keys.pair(modRevision, sub)
    pairs.push(pair)
    found++
    return work + workOfBytes(pair.value.length)
  })
  if (beyond !== undefined) count += yield* countWithin(view, { ...bounds, first: afterForm(beyond) })
  return { kind: 'range', pairs, count, more: beyond !== undefined }
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
  const pairs = yield* pairsOf(view, operation, candidates)
  return { kind: 'range', pairs, count, more: passed > limit }
}

function* pairsOf(
  view: View,
  operation: RangeOperation,
  candidates: readonly Candidate[],
): Generator<void, readonly KeyValue[], void> {
  const pairs: KeyValue[] = []
  let work = sliceWork
  for (const { modRevision, sub, pair } of candidates) {
    const whole = pair ?? view.keys.pair(modRevision, sub)
    pairs.push(operation.keysOnly ? withoutValue(whole) : whole)
    work -= fetchWork + workOfBytes(whole.value.length)
    if (work > 0) continue
    work = sliceWork
    yield
    view.resumed()
  }
  return pairs
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
