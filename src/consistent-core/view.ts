import { compareBytes } from '../base/index.ts'
import type { KeyInterval } from './contract.ts'
import { afterForm, type FormBounds, formBounds, orderedForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { decodeRow, revisionKey, revisionOfKey, subOfKey } from './rows.ts'
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
export const sliceWork = 2048
export const fetchWork = 8
export const workOfBytes = (size: number): number => size >>> 11

/** Called for each key as `Visit` is; returns the work it did, or `noMore` to see no other key. */
export type Visitor = (
  form: Uint8Array,
  modRevision: number,
  sub: number,
  row: Uint8Array | undefined,
) => number
export const noMore = -1

/** Visits the keys of the interval as of the view, pausing between slices. */
export function* visitInterval(
  view: View,
  interval: KeyInterval,
  visit: Visitor,
): Generator<void, void, void> {
  const bounds = formBounds(interval.key, interval.rangeEnd)
  if (bounds !== undefined) yield* visitBounds(view, bounds, visit)
}

export function* visitBounds(view: View, bounds: FormBounds, visit: Visitor): Generator<void, void, void> {
  const { end } = bounds
  for (let { first } = bounds; ; ) {
    let work = sliceWork
    let last: Uint8Array | undefined
    scan(view, { first, end }, (form, modRevision, sub, row) => {
      const done = visit(form, modRevision, sub, row)
      if (done === noMore) return false
      work -= done
      if (work > 0) return true
      last = form
      return false
    })
    if (last === undefined) return
    first = afterForm(last)
    yield
    view.resumed()
  }
}

/** Visits the keys within the bounds as of the view, in one turn. */
export function scan(view: View, bounds: FormBounds, visit: Visit): void {
  if (bounds.end !== undefined && compareBytes(bounds.first, bounds.end) >= 0) return
  const { keys, revision } = view
  if (revision >= keys.newest) scanNewest(keys.index, bounds, visit)
  else scanAt(keys, revision, bounds, visit)
}

/**
 * The number of keys within the bounds as of the view. At an older revision it is the present number less what was
 * created since and more what was deleted, unless so much changed that it is shorter to read the keys.
 */
export function* countWithin(view: View, bounds: FormBounds): Generator<void, number, void> {
  const { keys, revision } = view
  const count = keys.index.count(bounds)
  const changes = keys.newest - revision
  if (changes <= 0) return count
  if (changes <= count) return count - (yield* createdSince(view, bounds))
  let passed = 0
  yield* visitBounds(view, bounds, () => {
    passed++
    return 1
  })
  return passed
}

/** Of the keys within the bounds: how many more were created than deleted, from the view's revision to now. */
function* createdSince(view: View, bounds: FormBounds): Generator<void, number, void> {
  const { keys, revision } = view
  const end = revisionKey(keys.newest + 1, 0)
  let created = 0
  for (let first = revisionKey(revision + 1, 0); ; ) {
    let work = sliceWork
    let last: Uint8Array | undefined
    for (const { key, value } of keys.tables.range('revisions', { first, end })) {
      const record = decodeRow(value)
      const isDeleted = !record.isPut
      if ((isDeleted || record.version === 1) && isWithin(bounds, orderedForm(record.key))) {
        created += isDeleted ? -1 : 1
      }
      work -= 1 + workOfBytes(value.length)
      if (work > 0) continue
      last = key
      break
    }
    if (last === undefined) return created
    first = revisionKey(revisionOfKey(last), subOfKey(last) + 1)
    yield
    view.resumed()
  }
}

function isWithin({ first, end }: FormBounds, form: Uint8Array): boolean {
  return compareBytes(form, first) >= 0 && (end === undefined || compareBytes(form, end) < 0)
}

/** Runs a generator that may pause without pausing: inside apply nobody else has a turn. */
export function runThrough<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
