import { assert, present } from '../base/index.ts'
import type { KeyIndex } from './key-index.ts'
import { historyEnd, type KeyLayers } from './key-layers.ts'
import {
  historyKey,
  isHistoryPut,
  predecessorRevision,
  predecessorSub,
  revisionKey,
  revisionOfKey,
  rowModRevision,
  rowSub,
  subOfKey,
} from './rows.ts'
import type { Tables } from './tables.ts'

/**
 * The versions of one key. The index has the newest live one, each names the one before it, back to the one that created
 * the key, and `history` has every eighth and each tombstone. So an old version is found from the next one above it that
 * `history` or the index has, in a few steps back.
 *
 * What was compacted is never stepped on: from above its revision, or to the version that a reader at it sees.
 */
export interface Version {
  readonly revision: number
  readonly sub: number
}

export function versionOfRow(row: Uint8Array): Version {
  return { revision: rowModRevision(row), sub: rowSub(row) }
}

export function versionOfHistory(historyRowKey: Uint8Array): Version {
  return { revision: revisionOfKey(historyRowKey), sub: subOfKey(historyRowKey) }
}

/** Where the versions of keys are found. */
interface VersionedKeys {
  readonly tables: Tables
  readonly layers: KeyLayers
  readonly index: KeyIndex
  /** The revision that a read of the newest state sees. */
  readonly newest: number
}

/** The version of a key, by its form, that is visible at `revision`. */
export function versionAt(keys: VersionedKeys, form: Uint8Array, revision: number): Version | undefined {
  const { tables } = keys
  const newest = newestOf(keys, form)
  if (revision >= keys.newest || (newest !== undefined && newest.revision <= revision)) return newest
  const rowKey = keys.layers.find(form)
  if (rowKey === undefined) return newest === undefined ? undefined : stepBack(tables, newest, revision)
  const range = { first: historyKey(rowKey, revision + 1, 0), end: historyEnd(rowKey), limit: 1 }
  for (const { key } of tables.range('history', range))
    return stepBack(tables, versionOfHistory(key), revision)
  return newest === undefined ? undefined : stepBack(tables, newest, revision)
}

/** From a later version or tombstone to the version that is visible at `revision`; undefined: the key did not exist. */
export function stepBack(tables: Tables, later: Version, revision: number): Version | undefined {
  let version = predecessorOf(tables, later)
  while (version !== undefined && version.revision > revision) version = predecessorOf(tables, version)
  return version
}

/** The tombstone that hides a key at `revision`, if one is kept, where no version is visible. */
export function tombstoneAt(
  { tables, layers }: VersionedKeys,
  form: Uint8Array,
  revision: number,
): Version | undefined {
  const rowKey = layers.find(form)
  if (rowKey === undefined) return undefined
  const range = { first: historyKey(rowKey, 0, 0), end: historyKey(rowKey, revision + 1, 0) }
  for (const { key, value } of tables.range('history', { ...range, reverse: true, limit: 1 })) {
    assert(!isHistoryPut(value), 'a version without a tombstone behind it is visible')
    return versionOfHistory(key)
  }
  return undefined
}

/** Versions and tombstones of a key in their order, from a revision on. Not beyond the last compaction. */
export function* versionsFrom(
  keys: VersionedKeys,
  form: Uint8Array,
  from: Version,
): IterableIterator<Version> {
  const { tables } = keys
  const rowKey = keys.layers.find(form)
  let after: Version = { revision: 0, sub: 0 }
  if (rowKey !== undefined) {
    const range = { first: historyKey(rowKey, from.revision, from.sub), end: historyEnd(rowKey) }
    for (const { key } of tables.range('history', range)) {
      const last = versionOfHistory(key)
      yield* upTo(tables, last, after, from)
      after = last
    }
  }
  const newest = newestOf(keys, form)
  if (newest !== undefined && !isBefore(newest, from)) yield* upTo(tables, newest, after, from)
}

function newestOf({ index }: VersionedKeys, form: Uint8Array): Version | undefined {
  const row = index.get(form)
  return row === undefined ? undefined : versionOfRow(row)
}

/** The versions behind `after` up to `last`, none before `from`. */
function upTo(tables: Tables, last: Version, after: Version, from: Version): Version[] {
  const found = [last]
  for (
    let version = predecessorOf(tables, last);
    version !== undefined && !isBefore(version, from) && isBefore(after, version);
    version = predecessorOf(tables, version)
  ) {
    found.push(version)
  }
  return found.reverse()
}

function isBefore(left: Version, right: Version): boolean {
  return left.revision < right.revision || (left.revision === right.revision && left.sub < right.sub)
}

function predecessorOf(tables: Tables, version: Version): Version | undefined {
  const row = tables.peek('revisions', revisionKey(version.revision, version.sub))
  const predecessor = predecessorIn(present(row, 'every version that is kept has its record'))
  // In a damaged state whoever steps back would never arrive.
  assert(
    predecessor === undefined || isBefore(predecessor, version),
    'a version comes after the one before it',
  )
  return predecessor
}

export function predecessorIn(row: Uint8Array): Version | undefined {
  const revision = predecessorRevision(row)
  return revision === 0 ? undefined : { revision, sub: predecessorSub(row) }
}
