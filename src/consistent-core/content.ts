import { assert, crc32c } from '../base/index.ts'
import { orderedForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { decodeRow, recordSize, revisionKey, revisionOfKey, subOfKey } from './rows.ts'
import { rowHash, stateTables, type Tables } from './tables.ts'
import { tombstoneAt, type Version, versionAt } from './versions.ts'
import type { View } from './view.ts'

const rowsPerSlice = 256

/**
 * A hash of every version up to the view's revision that a compaction at `compactRevision` keeps: equal on all
 * replicas, wherever each is with giving room back.
 */
export function* hashOf(view: View, compactRevision: number): Generator<void, number, void> {
  const { keys, revision } = view
  let hash = 0
  let next: Uint8Array | undefined = revisionKey(0, 0)
  const end = revisionKey(revision + 1, 0)
  while (next !== undefined) {
    let last: Uint8Array | undefined
    let rows = 0
    for (const { key, value } of keys.tables.range('revisions', { first: next, end })) {
      if (isKept(keys, key, value, compactRevision)) {
        hash = crc32c(value, crc32c(key, hash), 0, recordSize(value))
      }
      last = key
      if (++rows === rowsPerSlice) break
    }
    next = rows === rowsPerSlice && last !== undefined ? following(last) : undefined
    if (next === undefined) break
    yield
    view.resumed()
  }
  return hash
}

function isKept(keys: KeySpace, key: Uint8Array, value: Uint8Array, compactRevision: number): boolean {
  const revision = revisionOfKey(key)
  if (revision > compactRevision) return true
  const record = decodeRow(value)
  if (!record.isPut && revision < compactRevision) return false
  const newest = newestAt(keys, record.key, compactRevision)
  return newest !== undefined && newest.revision === revision && newest.sub === subOfKey(key)
}

/** The newest version of a key at or before `revision`, tombstones too. */
function newestAt(keys: KeySpace, key: Uint8Array, revision: number): Version | undefined {
  const form = orderedForm(key)
  return versionAt(keys, form, revision) ?? tombstoneAt(keys, form, revision)
}

function following(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

/**
 * Reads every row and compares with the content hash that every write has kept up: false when the store lost or
 * changed anything since. To be run before commands are applied.
 */
export function* verifyContent(tables: Tables): Generator<void, boolean, void> {
  const { contentHash, rowCount } = tables
  let hash = 0
  let rows = 0
  for (const table of stateTables) {
    let from: { first?: Uint8Array } = {}
    for (let isOver = false; !isOver; ) {
      let last: Uint8Array | undefined
      let inSlice = 0
      for (const { key, value } of tables.range(table, { ...from, limit: rowsPerSlice })) {
        hash = (hash + rowHash(table, key, value)) >>> 0
        inSlice++
        last = key
      }
      rows += inSlice
      isOver = last === undefined || inSlice < rowsPerSlice
      if (last !== undefined) from = { first: following(last) }
      yield
      assert(tables.contentHash === contentHash, 'the store is verified before it is written to')
    }
  }
  return hash === contentHash && rows === rowCount
}
