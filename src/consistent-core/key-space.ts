import { assert, type LeaseId, present } from '../base/index.ts'
import type { KeyValue } from './contract.ts'
import { chainDigest } from './digest.ts'
import { KeyCounts } from './key-counts.ts'
import { orderedForm } from './key-form.ts'
import { KeyLayers } from './key-layers.ts'
import { attachmentKey } from './lease-rows.ts'
import {
  decodeRecord,
  encodeLiveRow,
  encodePut,
  encodeTombstone,
  historyKey,
  historyPut,
  historyTombstone,
  isHistoryPut,
  pairOfRecord,
  type Record,
  revisionKey,
  revisionKeySize,
  revisionOfKey,
  rowCreateRevision,
  rowLease,
  rowModRevision,
  rowSub,
  rowVersion,
  setRevisionKey,
  subOfKey,
} from './rows.ts'
import { historyFloor } from './scan.ts'
import type { Tables } from './tables.ts'

/** One change of one key, as it is told to whoever watches. */
export interface Change {
  readonly isPut: boolean
  readonly pair: KeyValue
  /** The row of `current` before the change. */
  readonly oldRow: Uint8Array | undefined
}

/** Nothing was compacted yet: below every revision one can name, so that compacting at 0 is legal once. */
export const neverCompacted = -1

type ReadPair = (modRevision: number, sub: number) => KeyValue

const noBytes = new Uint8Array(0)
const missingRecord = 'every version that is kept has its record'

/**
 * Keys with all their versions since the last compaction. Written within a command: the first change opens revision
 * `revision + 1`, `commit` closes it. What was written is seen at once by reads of the newest state.
 */
export class KeySpace {
  readonly tables: Tables
  readonly layers: KeyLayers
  readonly counts: KeyCounts
  /** Revision of the last command that changed something; 1 when nothing ever did. */
  revision = 1
  compactRevision: number = neverCompacted
  /** Chained over every change; the core chains the rest of what it applies into it. */
  digest = 0
  onChange: ((change: Change) => void) | undefined
  /** Changes of the present command, so also the next sub-revision. */
  changes = 0
  readonly #peekedKey = new Uint8Array(revisionKeySize)

  constructor(tables: Tables) {
    this.tables = tables
    this.layers = new KeyLayers(tables)
    this.counts = new KeyCounts(tables)
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
    this.counts.clear()
    this.tables.clear()
  }

  // ---- reading -------------------------------------------------------------------------------------------------

  /** The row of a live key. */
  liveRow(key: Uint8Array): Uint8Array | undefined {
    const rowKey = this.layers.find(orderedForm(key))
    return rowKey === undefined ? undefined : this.tables.get('current', rowKey)
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
    const rowKey = this.layers.find(orderedForm(key))
    if (rowKey === undefined) return undefined
    const row = this.tables.peek('current', rowKey)
    if (row !== undefined && rowModRevision(row) <= revision) return read(rowModRevision(row), rowSub(row))
    if (row === undefined && revision >= this.newest) return undefined
    const floor = historyFloor(this.tables, rowKey, revision)
    if (floor === undefined || !isHistoryPut(floor.value)) return undefined
    return read(revisionOfKey(floor.key), subOfKey(floor.key))
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
    return pairOfRecord(decodeRecord(present(bytes, missingRecord)), modRevision)
  }

  record(modRevision: number, sub: number): Record {
    const bytes = this.tables.get('revisions', revisionKey(modRevision, sub))
    return decodeRecord(present(bytes, missingRecord))
  }

  // ---- writing -------------------------------------------------------------------------------------------------

  put(key: Uint8Array, value: Uint8Array, lease: LeaseId): void {
    const form = orderedForm(key)
    const rowKey = this.layers.findOrCreate(form)
    const old = this.tables.get('current', rowKey)
    const modRevision = this.revision + 1
    const sub = this.changes++
    const createRevision = old === undefined ? modRevision : rowCreateRevision(old)
    const version = old === undefined ? 1 : rowVersion(old) + 1
    const record = encodePut({ isPut: true, key, value, createRevision, version, lease })
    this.#write(modRevision, sub, record)
    this.#index({ rowKey, form, key }, old, { modRevision, sub, createRevision, version, lease })
    if (this.onChange !== undefined) {
      const pair = { key, value, createRevision, modRevision, version, lease }
      this.onChange({ isPut: true, pair, oldRow: old })
    }
  }

  /** Deletes a live key. */
  delete(key: Uint8Array): void {
    const form = orderedForm(key)
    const rowKey = present(this.layers.find(form), 'a live key has a row key')
    const old = present(this.tables.get('current', rowKey), 'a live key has a row')
    const modRevision = this.revision + 1
    const sub = this.changes++
    this.#write(modRevision, sub, encodeTombstone(key))
    this.#unindex({ rowKey, form }, old, modRevision, sub)
    if (this.onChange !== undefined) {
      const pair = { key, value: noBytes, createRevision: 0, modRevision, version: 0, lease: 0n }
      this.onChange({ isPut: false, pair, oldRow: old })
    }
  }

  /** Takes in a record of another replica's history; they come in order of their revisions. */
  restore(modRevision: number, sub: number, bytes: Uint8Array): void {
    const record = decodeRecord(bytes)
    const form = orderedForm(record.key)
    const rowKey = this.layers.findOrCreate(form)
    const old = this.tables.get('current', rowKey)
    this.tables.put('revisions', revisionKey(modRevision, sub), bytes, undefined)
    if (record.isPut) {
      const { createRevision, version, lease } = record
      this.#index({ rowKey, form, key: record.key }, old, {
        modRevision,
        sub,
        createRevision,
        version,
        lease,
      })
    } else {
      this.#unindex({ rowKey, form }, old, modRevision, sub)
    }
  }

  #write(modRevision: number, sub: number, record: Uint8Array): void {
    const hash = this.tables.put('revisions', revisionKey(modRevision, sub), record, undefined)
    this.digest = chainDigest(this.digest, hash)
  }

  #index(
    { rowKey, form, key }: { rowKey: Uint8Array; form: Uint8Array; key: Uint8Array },
    old: Uint8Array | undefined,
    row: { modRevision: number; sub: number; createRevision: number; version: number; lease: LeaseId },
  ): void {
    if (old === undefined) this.counts.created(form)
    else this.#supersede(rowKey, old)
    this.tables.put('current', rowKey, encodeLiveRow(row), old)
    const oldLease = old === undefined ? 0n : rowLease(old)
    if (oldLease === row.lease) return
    if (oldLease !== 0n) this.tables.deletePresent('leases', attachmentKey(oldLease, rowKey))
    if (row.lease !== 0n) this.tables.put('leases', attachmentKey(row.lease, rowKey), key, undefined)
  }

  #unindex(
    { rowKey, form }: { rowKey: Uint8Array; form: Uint8Array },
    old: Uint8Array | undefined,
    modRevision: number,
    sub: number,
  ): void {
    this.tables.put('history', historyKey(rowKey, modRevision, sub), historyTombstone, undefined)
    if (old === undefined) return
    this.counts.deleted(form)
    this.#supersede(rowKey, old)
    this.tables.delete('current', rowKey, old)
    const oldLease = rowLease(old)
    if (oldLease !== 0n) this.tables.deletePresent('leases', attachmentKey(oldLease, rowKey))
  }

  #supersede(rowKey: Uint8Array, old: Uint8Array): void {
    this.tables.put('history', historyKey(rowKey, rowModRevision(old), rowSub(old)), historyPut, undefined)
  }
}
