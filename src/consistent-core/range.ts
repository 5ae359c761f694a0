import { compareBytes, emptyBytes } from '../base/index.ts'
import type { KeyInterval, KeyValue, RangeOperation, RangeResult, Refusal, SortTarget } from './contract.ts'
import { afterForm, type FormBounds, formBounds, keyOfForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { refuse } from './operation-check.ts'
import { rowCreateRevision, rowLease, rowVersion } from './rows.ts'
import { scanAt, scanNewest, type Visit } from './scan.ts'

/** A state that does not move while it is read: the keys as of one revision. */
export interface View {
  readonly keys: KeySpace
  readonly revision: number
  /** Called after each pause: throws when what is read has gone from under the reader. */
  resumed(): void
}

/**
 * Work between two pauses, in units of about a microsecond: one for a key that is passed, more for one whose record
 * is fetched, and more for its size.
 */
const sliceWork = 2048
const fetchWork = 8
const workOfBytes = (size: number): number => size >>> 11

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

/** Visits the keys of the interval as of the view, pausing between slices; `visit` returns the work it did. */
export function* visitInterval(
  view: View,
  interval: KeyInterval,
  visit: (form: Uint8Array, modRevision: number, sub: number, row: Uint8Array | undefined) => number,
): Generator<void, void, void> {
  let bounds = formBounds(interval.key, interval.rangeEnd)
  while (bounds !== undefined) {
    let work = sliceWork
    let last: Uint8Array | undefined
    scan(view, bounds, (form, modRevision, sub, row) => {
      work -= visit(form, modRevision, sub, row)
      if (work > 0) return true
      last = form
      return false
    })
    if (last === undefined) return
    bounds = { first: afterForm(last), end: bounds.end }
    yield
    view.resumed()
  }
}

function scan(view: View, bounds: FormBounds, visit: Visit): void {
  if (bounds.end !== undefined && compareBytes(bounds.first, bounds.end) >= 0) return
  const { keys, revision } = view
  if (revision >= keys.newest) scanNewest(keys.tables, bounds, visit)
  else scanAt(keys.tables, revision, bounds, visit)
}

/** The answer to a range whose revision was checked. The order of work is etcd's: fetch, filter, sort, limit. */
export function* rangeOf(view: View, operation: RangeOperation): Generator<void, RangeResult, void> {
  const { keys, revision } = view
  if (operation.rangeEnd.length === 0) {
    const pair = keys.pairAt(operation.key, revision)
    return answerSingle(operation, pair)
  }
  const limit = operation.limit > 0 ? operation.limit : Infinity
  const isFiltered = hasFilter(operation)
  const isSorted = operation.sortOrder !== 'none' || operation.sortTarget !== 'key'
  // etcd's quirk: with a sort target but no order, the limit cuts (one later) before the keys are sorted.
  const takenMax = isFiltered || operation.sortOrder !== 'none' ? Infinity : isSorted ? limit + 1 : limit
  const valueFirst = !isSorted && !isFiltered ? !operation.keysOnly : operation.sortTarget === 'value'
  const taken: Taken[] = []
  let count = 0
  yield* visitInterval(view, operation, (form, modRevision, sub, row) => {
    count++
    if (operation.countOnly || taken.length >= takenMax) return 1
    const pair = valueFirst
      ? keys.pair(modRevision, sub)
      : pairWithoutValue(keys, form, modRevision, sub, row)
    if (!isFiltered || passes(operation, pair)) taken.push({ pair, sub })
    return 1 + (valueFirst || row === undefined ? fetchWork + workOfBytes(pair.value.length) : 1)
  })
  if (isSorted) sortTaken(taken, operation)
  const more = !operation.countOnly && (takenMax === limit ? count > limit : taken.length > limit)
  if (taken.length > limit) taken.length = limit
  const pairs = yield* finishPairs(view, operation, taken, valueFirst)
  return { kind: 'range', pairs, count, more }
}

interface Taken {
  pair: KeyValue
  readonly sub: number
}

function answerSingle(operation: RangeOperation, pair: KeyValue | undefined): RangeResult {
  const count = pair === undefined ? 0 : 1
  if (pair === undefined || operation.countOnly || !passes(operation, pair)) {
    return { kind: 'range', pairs: [], count, more: false }
  }
  return { kind: 'range', pairs: [operation.keysOnly ? withoutValue(pair) : pair], count, more: false }
}

/** Brings the values in, where they are wanted and were not needed before. */
function* finishPairs(
  view: View,
  operation: RangeOperation,
  taken: readonly Taken[],
  hasValues: boolean,
): Generator<void, readonly KeyValue[], void> {
  const pairs: KeyValue[] = []
  let work = sliceWork
  for (const { pair, sub } of taken) {
    if (operation.keysOnly) {
      pairs.push(hasValues ? withoutValue(pair) : pair)
    } else if (hasValues) {
      pairs.push(pair)
    } else {
      const whole = view.keys.pair(pair.modRevision, sub)
      pairs.push(whole)
      work -= fetchWork + workOfBytes(whole.value.length)
      if (work <= 0) {
        work = sliceWork
        yield
        view.resumed()
      }
    }
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
  return { ...pair, value: emptyBytes }
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

/** Equal ones stay in key order, so that the answer is the same on every replica. */
function sortTaken(taken: Taken[], operation: RangeOperation): void {
  const compare = comparers[operation.sortTarget]
  const direction = operation.sortOrder === 'descend' ? -1 : 1
  taken.sort((left, right) => direction * compare(left.pair, right.pair))
}

const comparers: Readonly<Record<SortTarget, (left: KeyValue, right: KeyValue) => number>> = {
  key: (left, right) => compareBytes(left.key, right.key),
  version: (left, right) => left.version - right.version,
  create: (left, right) => left.createRevision - right.createRevision,
  mod: (left, right) => left.modRevision - right.modRevision,
  value: (left, right) => compareBytes(left.value, right.value),
}

/** Runs a generator that may pause without pausing: inside apply nobody else has a turn. */
export function runThrough<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
