import { compareBytes, equalBytes, type RingQueue } from '../base/index.ts'
import type { WatchedKeys } from '../watch/index.ts'
import type { WatchCreate, WatchEvent } from './contract.ts'
import { orderedForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { decodeRow, pairOfRecord, type Record, revisionKey, revisionOfKey, subOfKey } from './rows.ts'
import { versionsFrom } from './versions.ts'

/** One watcher of a stream, `S`. */
export interface Watcher<S> {
  readonly stream: S
  readonly id: number
  readonly watched: WatchedKeys
  readonly previous: boolean
  readonly noPut: boolean
  readonly noDelete: boolean
  readonly progressNotify: boolean
  readonly fragment: boolean
  /** What the client asked for; 0: from the next change on. */
  readonly startRevision: number
  /** True while it reads the past from the store; false: it is told of each change as it is applied. */
  isBehind: boolean
  /** Behind: the next revision to read. Else: the first revision it may be told of. */
  cursor: number
  /** Behind: changes of that revision before this one do not concern it. */
  cursorSub: number
  /** Not behind: revisions that concern it and were not delivered yet. Made when first needed. */
  pending: RingQueue<number> | undefined
  isRemoved: boolean
  /** Stands in the stream's queue of watchers with something to tell. */
  isQueued: boolean
  isProgressDue: boolean
  /** Told something since the last periodic progress. */
  wasTold: boolean
}

/** The keys of a request in normal form; undefined: an empty range. An empty key stands for the lowest one. */
export function watchedKeys(request: WatchCreate): WatchedKeys | undefined {
  const { rangeEnd } = request
  const key = request.key.length === 0 ? Uint8Array.of(0) : request.key
  if (rangeEnd.length === 0) return { kind: 'key', key }
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { kind: 'range', first: key, end: undefined }
  if (compareBytes(key, rangeEnd) >= 0) return undefined
  return { kind: 'range', first: key, end: rangeEnd }
}

export function isWatched(watched: WatchedKeys, key: Uint8Array): boolean {
  if (watched.kind === 'key') return equalBytes(watched.key, key)
  if (compareBytes(key, watched.first) < 0) return false
  return watched.end === undefined || compareBytes(key, watched.end) < 0
}

export function wantsKind(watcher: Watcher<unknown>, isPut: boolean): boolean {
  return isPut ? !watcher.noPut : !watcher.noDelete
}

/** About what an event takes on the wire and in memory. */
export function eventSize(event: WatchEvent): number {
  const { pair, previous } = event
  return pair.key.length + pair.value.length + (previous === undefined ? 0 : previous.value.length) + 64
}

// ---- the past, from the store -------------------------------------------------------------------------------------

/** A change in the past; `record` undefined: a row that does not concern the watcher. */
export interface PastChange {
  readonly revision: number
  readonly sub: number
  readonly record: Record | undefined
}

/** Rows of the past looked at in one slice. */
export const pastRowsPerSlice = 512

/** Changes from the watcher's cursor on, in order. For a single key its own history is read, else every revision. */
export function pastChanges(keys: KeySpace, watcher: Watcher<unknown>): IterableIterator<PastChange> {
  const { watched } = watcher
  return watched.kind === 'key' ? changesOfKey(keys, watched.key, watcher) : changesOfRange(keys, watcher)
}

function* changesOfRange(keys: KeySpace, watcher: Watcher<unknown>): IterableIterator<PastChange> {
  const first = revisionKey(watcher.cursor, watcher.cursorSub)
  for (const { key, value } of keys.tables.range('revisions', { first })) {
    const record = decodeRow(value)
    const isConcerned = wantsKind(watcher, record.isPut) && isWatched(watcher.watched, record.key)
    yield { revision: revisionOfKey(key), sub: subOfKey(key), record: isConcerned ? record : undefined }
  }
}

function* changesOfKey(
  keys: KeySpace,
  key: Uint8Array,
  watcher: Watcher<unknown>,
): IterableIterator<PastChange> {
  const change = (revision: number, sub: number): PastChange => {
    const record = keys.record(revision, sub)
    return { revision, sub, record: wantsKind(watcher, record.isPut) ? record : undefined }
  }
  const from = { revision: watcher.cursor, sub: watcher.cursorSub }
  for (const { revision, sub } of versionsFrom(keys, orderedForm(key), from)) yield change(revision, sub)
}

/** The events of a list that a watcher is to see, as it is to see them. */
export function eventsFor(watcher: Watcher<unknown>, events: readonly WatchEvent[]): WatchEvent[] {
  const seen: WatchEvent[] = []
  for (const event of events) {
    if (!wantsKind(watcher, event.kind === 'put') || !isWatched(watcher.watched, event.pair.key)) continue
    const isAsWanted = watcher.previous || event.previous === undefined
    seen.push(isAsWanted ? event : { kind: event.kind, pair: event.pair, previous: undefined })
  }
  return seen
}

/** All changes of one revision. */
export function* changesAt(keys: KeySpace, revision: number): IterableIterator<Record> {
  const range = { first: revisionKey(revision, 0), end: revisionKey(revision + 1, 0) }
  for (const { value } of keys.tables.range('revisions', range)) yield decodeRow(value)
}

/**
 * The event that a change was. The value before is there for every revision since the last compaction, because
 * compaction spares what a change exactly at its revision replaced. A put that created its key has none, even where
 * the same transaction deleted the key before it.
 */
export function eventOf(keys: KeySpace, record: Record, revision: number, withPrevious: boolean): WatchEvent {
  const isCreated = record.isPut && record.createRevision === revision
  const previous = withPrevious && !isCreated ? keys.pairAt(record.key, revision - 1) : undefined
  return { kind: record.isPut ? 'put' : 'delete', pair: pairOfRecord(record, revision), previous }
}
