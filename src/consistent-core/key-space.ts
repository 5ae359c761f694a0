import { assert, type LeaseId, present } from '../base/index.ts'
import type { KeyValue } from './contract.ts'
import { chainDigest } from './digest.ts'
import { orderedForm } from './key-form.ts'
import { KeyIndex } from './key-index.ts'
import { KeyLayers } from './key-layers.ts'
import { attachmentKey } from './lease-rows.ts'
import type { RangeCache } from './range-cache.ts'
import {
  decodeRecord,
  decodeRow,
  encodeLiveRow,
  encodePut,
  encodeTombstone,
  historyKey,
  historyPut,
  historyTombstone,
  isInHistory,
  type LiveRow,
  pairOfRecord,
  type Record,
  revisionKey,
  revisionKeySize,
  revisionOfKey,
  rowCreateRevision,
  rowLease,
  rowModRevision,
  rowOfRecord,
  rowSub,
  rowVersion,
  setRevisionKey,
  subOfKey,
} from './rows.ts'
import type { Tables } from './tables.ts'
import { versionAt } from './versions.ts'

/** One change of one key, as it is told to whoever watches. */
export interface Change {
  readonly isPut: boolean
  readonly pair: KeyValue
  /** The live row before the change. */
  readonly oldRow: Uint8Array | undefined
}

/** Nothing was compacted yet: below every revision one can name, so that compacting at 0 is legal once. */
export const neverCompacted = -1

type ReadPair = (modRevision: number, sub: number) => KeyValue

/** Of making the index again: a slice is a millisecond or two, and so many bytes take as long as a record does. */
const recordsPerSlice = 512
const bytesPerRecord = 2048
const noBytes = new Uint8Array(0)
const missingRecord = 'every version that is kept has its record'

/**
 * Keys with all their versions since the last compaction. Written within a command: the first change opens revision
 * `revision + 1`, `commit` closes it. What was written is seen at once by reads of the newest state.
 */
export class KeySpace {
  readonly tables: Tables
  readonly layers: KeyLayers
  /** The live keys. */
  readonly index: KeyIndex = new KeyIndex()
  readonly cache: RangeCache
  /** Revision of the last command that changed something; 1 when nothing ever did. */
  revision = 1
  compactRevision: number = neverCompacted
  /** Chained over every change; the core chains the rest of what it applies into it. */
  digest = 0
  onChange: ((change: Change) => void) | undefined
  /** Changes of the present command, so also the next sub-revision. */
  changes = 0
  readonly #peekedKey = new Uint8Array(revisionKeySize)

  constructor(tables: Tables, cache: RangeCache) {
    this.tables = tables
    this.cache = cache
    this.layers = new KeyLayers(tables, this.index)
  }

  /** The revision that a read of the newest state sees, in the middle of a command too. */
  get newest(): number {
    return this.changes === 0 ? this.revision : this.revision + 1
  }

  /** Closes the command: one revision if it changed anything. */
  commit(): void {
    if (this.changes === 0) return
    this.revision++
    this.changes = 0
    assert(Number.isSafeInteger(this.revision), 'revisions stay below 2^53')
  }

  /** As before the first command; the tables were emptied. */
  clear(): void {
    this.revision = 1
    this.compactRevision = neverCompacted
    this.digest = 0
    this.changes = 0
    this.layers.nextLayer = 1
    this.index.clear()
    this.cache.clear()
    this.tables.clear()
  }

  // ---- reading -------------------------------------------------------------------------------------------------

  /** The row of a live key. */
  liveRow(key: Uint8Array): Uint8Array | undefined {
    return this.index.get(orderedForm(key))
  }

  /** A key as of `revision`. */
  pairAt(key: Uint8Array, revision: number): KeyValue | undefined {
    return this.#at(key, revision, (modRevision, sub) => this.pair(modRevision, sub))
  }

  /** The same; its bytes are good until the next read. */
  peekPairAt(key: Uint8Array, revision: number): KeyValue | undefined {
    return this.#at(key, revision, (modRevision, sub) => this.peekPair(modRevision, sub))
  }

  #at(key: Uint8Array, revision: number, read: ReadPair): KeyValue | undefined {
    const version = versionAt(this, orderedForm(key), revision)
    return version === undefined ? undefined : read(version.revision, version.sub)
  }

  pairOfRow(row: Uint8Array): KeyValue {
    return this.pair(rowModRevision(row), rowSub(row))
  }

  pair(modRevision: number, sub: number): KeyValue {
    return pairOfRecord(this.record(modRevision, sub), modRevision)
  }

  /** Its bytes are good until the next read. */
  peekPair(modRevision: number, sub: number): KeyValue {
    setRevisionKey(this.#peekedKey, modRevision, sub)
    const bytes = this.tables.peek('revisions', this.#peekedKey)
    return pairOfRecord(decodeRow(present(bytes, missingRecord)), modRevision)
  }

  record(modRevision: number, sub: number): Record {
    const bytes = this.tables.get('revisions', revisionKey(modRevision, sub))
    return decodeRow(present(bytes, missingRecord))
  }

  // ---- writing -------------------------------------------------------------------------------------------------

  put(key: Uint8Array, value: Uint8Array, lease: LeaseId): void {
    const form = orderedForm(key)
    const old = this.index.get(form)
    const modRevision = this.revision + 1
    const sub = this.changes++
    const createRevision = old === undefined ? modRevision : rowCreateRevision(old)
    const version = old === undefined ? 1 : rowVersion(old) + 1
    this.#write(modRevision, sub, encodePut({ isPut: true, key, value, createRevision, version, lease }, old))
    this.#index(form, key, old, { modRevision, sub, createRevision, version, lease })
    if (this.onChange !== undefined) {
      const pair = { key, value, createRevision, modRevision, version, lease }
      this.onChange({ isPut: true, pair, oldRow: old })
    }
  }

  /** Deletes a live key. */
  delete(key: Uint8Array): void {
    const form = orderedForm(key)
    const old = present(this.index.get(form), 'a key that is deleted is live')
    const modRevision = this.revision + 1
    const sub = this.changes++
    this.#write(modRevision, sub, encodeTombstone(key, old))
    this.#unindex(form, old, modRevision, sub)
    if (this.onChange !== undefined) {
      const pair = { key, value: noBytes, createRevision: 0, modRevision, version: 0, lease: 0n }
      this.onChange({ isPut: false, pair, oldRow: old })
    }
  }

  /** Takes in a record of another replica's history; they come in order of their revisions. */
  restore(modRevision: number, sub: number, bytes: Uint8Array): void {
    const record = decodeRecord(bytes)
    const form = orderedForm(record.key)
    const old = this.index.get(form)
    this.tables.putRevision(revisionKey(modRevision, sub), rowOfRecord(bytes, old))
    if (record.isPut) {
      const { key, createRevision, version, lease } = record
      this.#index(form, key, old, { modRevision, sub, createRevision, version, lease })
    } else {
      this.#unindex(form, old, modRevision, sub)
    }
  }

  /**
   * In slices: makes the index again from the records of a store that was opened, before anything else is done. Throws
   * `data-damaged` or `frame-malformed` for a record that cannot be read.
   */
  *load(): Generator<void, void, void> {
    this.index.clear()
    for (let next: Uint8Array | undefined = revisionKey(0, 0); next !== undefined; yield) {
      next = this.#loadFrom(next)
    }
  }

  /** A slice of records; returns the place of the next one. */
  #loadFrom(first: Uint8Array): Uint8Array | undefined {
    let left = recordsPerSlice
    let next: Uint8Array | undefined
    this.tables.scan('revisions', { first }, (key, row) => {
      if (left <= 0) {
        next = key
        return false
      }
      left -= 1 + row.length / bytesPerRecord
      this.#loadRecord(key, decodeRow(row))
      return true
    })
    return next
  }

  #loadRecord(key: Uint8Array, { isPut, key: clientKey, createRevision, version, lease }: Record): void {
    const form = orderedForm(clientKey)
    if (isPut) {
      const modRevision = revisionOfKey(key)
      const row = encodeLiveRow({ modRevision, sub: subOfKey(key), createRevision, version, lease })
      this.index.set(form, row)
    } else if (this.index.has(form)) {
      this.index.delete(form)
    }
  }

  #write(modRevision: number, sub: number, row: Uint8Array): void {
    this.digest = chainDigest(this.digest, this.tables.putRevision(revisionKey(modRevision, sub), row))
  }

  #index(form: Uint8Array, key: Uint8Array, old: Uint8Array | undefined, row: LiveRow): void {
    this.cache.written(form)
    if (old !== undefined) this.#supersede(form, old)
    this.index.set(form, encodeLiveRow(row))
    const oldLease = old === undefined ? 0n : rowLease(old)
    if (oldLease === row.lease) return
    const rowKey = this.layers.findOrCreate(form)
    if (oldLease !== 0n) this.tables.deletePresent('leases', attachmentKey(oldLease, rowKey))
    if (row.lease !== 0n) this.tables.put('leases', attachmentKey(row.lease, rowKey), key, undefined)
  }

  #unindex(form: Uint8Array, old: Uint8Array | undefined, modRevision: number, sub: number): void {
    const rowKey = this.layers.findOrCreate(form)
    this.tables.put('history', historyKey(rowKey, modRevision, sub), historyTombstone, undefined)
    if (old === undefined) return
    this.cache.written(form)
    this.#supersede(form, old)
    this.index.delete(form)
    const oldLease = rowLease(old)
    if (oldLease !== 0n) this.tables.deletePresent('leases', attachmentKey(oldLease, rowKey))
  }

  #supersede(form: Uint8Array, old: Uint8Array): void {
    if (!isInHistory(rowVersion(old))) return
    const rowKey = this.layers.findOrCreate(form)
    this.tables.put('history', historyKey(rowKey, rowModRevision(old), rowSub(old)), historyPut, undefined)
  }
}
