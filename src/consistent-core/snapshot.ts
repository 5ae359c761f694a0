import {
  assert,
  ByteReader,
  ByteWriter,
  compareBytes,
  emptyBytes,
  latin1FromBytes,
  QuorateError,
} from '../base/index.ts'
import type { KeyRange, Pair } from '../store/index.ts'
import { leaseRowKeySize, leaseRowsPrefix } from './lease-rows.ts'
import { readRevision, writeRevision } from './meta-row.ts'
import { recordSize, revisionKey, revisionKeySize } from './rows.ts'
import { answerRowKeySize, answerRowsPrefix, sessionRowKeySize, sessionRowsPrefix } from './sessions.ts'
import { prefixRange, type StateTable, type Tables } from './tables.ts'

/**
 * A snapshot as a run of bytes, cut into chunks anywhere; docs/formats/state.md has every byte.
 *   snapshot = item*;  item = u8 kind | sized key | sized value
 * It carries what cannot be derived: leases, sessions with their answers, and every version since the last compaction
 * as it was recorded. The key index, `history`, and which keys hang on which lease, are made again from them.
 */
const snapshotVersion = 1
const chunkSize = 64 * 1024
const rowsPerSlice = 512

const itemKind = { head: 1, lease: 2, session: 3, revision: 4, end: 5 } as const

/** Where the state stands, apart from its tables. */
export interface SnapshotHead {
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly digest: number
  readonly revision: number
  readonly compactRevision: number
}

// ---- out ----------------------------------------------------------------------------------------------------------

interface Section {
  readonly table: StateTable
  readonly kind: number
  readonly range: KeyRange
  /** First byte of its rows, where the table holds more than one kind. */
  readonly prefix?: number
}

/**
 * A cut of the state at one applied index, copied while commands go on. Versions are never changed, only added and
 * compacted, so it is enough to stop at the revision of the cut and to let compaction wait. Rows of leases and sessions
 * do change: for each that is written before it was copied the old bytes are kept aside, and sent at the end.
 */
export class SnapshotReader {
  readonly #tables: Tables
  readonly #sections: Section[]
  readonly #out = new ByteWriter(2 * chunkSize)
  #sent = 0
  #items = 0
  /** Where the section at hand goes on. */
  #next: Uint8Array | undefined
  /** Old bytes of rows written since the cut; undefined: there was no row. */
  readonly #before = new Map<string, { table: StateTable; pair: Pair | undefined }>()
  #isOver = false

  constructor(tables: Tables, head: SnapshotHead) {
    this.#tables = tables
    this.#sections = [
      prefixSection('leases', itemKind.lease, leaseRowsPrefix),
      prefixSection('sessions', itemKind.session, sessionRowsPrefix),
      prefixSection('sessions', itemKind.session, answerRowsPrefix),
      { table: 'revisions', kind: itemKind.revision, range: { end: revisionKey(head.revision + 1, 0) } },
    ]
    this.#item(itemKind.head, emptyBytes, encodeHead(head))
  }

  /** A row of a table that changes is about to be written. */
  beforeWrite(table: StateTable, key: Uint8Array, old: Uint8Array | undefined): void {
    if (table !== 'sessions' && !(table === 'leases' && key[0] === leaseRowsPrefix)) return
    const name = rowName(table, key)
    if (this.#before.has(name) || this.#isCopied(table, key)) return
    this.#before.set(name, { table, pair: old === undefined ? undefined : { key, value: old } })
  }

  #isCopied(table: StateTable, key: Uint8Array): boolean {
    const section = this.#sections.find((one) => one.table === table && one.prefix === key[0])
    if (section === undefined) return true
    if (section !== this.#sections[0] || this.#next === undefined) return false
    return compareBytes(key, this.#next) < 0
  }

  next(): Uint8Array | undefined {
    for (;;) {
      const waiting = this.#out.size - this.#sent
      if (waiting >= chunkSize || (this.#isOver && waiting > 0))
        return this.#chunk(Math.min(waiting, chunkSize))
      if (this.#isOver) return undefined
      this.#rewind()
      const rows = this.#slice()
      // Many small rows cost time before they fill a chunk: what there is goes out.
      if (rows === rowsPerSlice && this.#out.size > 0) return this.#chunk(Math.min(this.#out.size, chunkSize))
    }
  }

  #slice(): number {
    const section = this.#sections[0]
    if (section === undefined) {
      this.#finish()
      return 0
    }
    const { table, kind } = section
    const range = this.#next === undefined ? section.range : { ...section.range, first: this.#next }
    // Most snapshots are nearly all versions, which never change: nobody looks for their old bytes.
    const mayChange = table !== 'revisions'
    let rows = 0
    const isOver = this.#tables.scan(table, range, (key, value) => {
      if (!mayChange) this.#item(kind, key, value.subarray(0, recordSize(value)))
      else if (!this.#before.has(rowName(table, key))) this.#item(kind, key, value)
      if (++rows < rowsPerSlice && this.#out.size - this.#sent < chunkSize) return true
      this.#next = after(key)
      return false
    })
    if (!isOver) return rows
    this.#sections.shift()
    this.#next = undefined
    return rows
  }

  #finish(): void {
    for (const { table, pair } of this.#before.values()) {
      if (pair === undefined) continue
      this.#item(table === 'leases' ? itemKind.lease : itemKind.session, pair.key, pair.value)
    }
    const count = new ByteWriter(8)
    count.u53(this.#items)
    this.#item(itemKind.end, emptyBytes, count.copy())
    this.#isOver = true
  }

  #item(kind: number, key: Uint8Array, value: Uint8Array): void {
    this.#items++
    this.#out.u8(kind)
    this.#out.sized(key)
    this.#out.sized(value)
  }

  #chunk(size: number): Uint8Array {
    const chunk = this.#out.view().slice(this.#sent, this.#sent + size)
    this.#sent += size
    return chunk
  }

  /** What was sent makes room; the rest is less than a chunk. */
  #rewind(): void {
    if (this.#sent === 0) return
    const rest = this.#out.view().slice(this.#sent)
    this.#out.reset()
    this.#out.raw(rest)
    this.#sent = 0
  }
}

function prefixSection(table: StateTable, kind: number, prefix: number): Section {
  return { table, kind, prefix, range: prefixRange(Uint8Array.of(prefix)) }
}

function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}

function rowName(table: StateTable, key: Uint8Array): string {
  return table + latin1FromBytes(key)
}

function encodeHead(head: SnapshotHead): Uint8Array {
  const writer = new ByteWriter(64)
  writer.u8(snapshotVersion)
  writer.u53(head.appliedIndex)
  writer.u53(head.appliedTerm)
  writer.u32(head.digest)
  writer.u53(head.revision)
  writeRevision(writer, head.compactRevision)
  return writer.copy()
}

// ---- in -----------------------------------------------------------------------------------------------------------

/** What is done with the items of a snapshot, in their order; the head comes first. */
export interface SnapshotTaker {
  head(head: SnapshotHead): void
  lease(key: Uint8Array, value: Uint8Array): void
  session(key: Uint8Array, value: Uint8Array): void
  revision(key: Uint8Array, value: Uint8Array): void
}

/** Puts chunks together to items. Errors: `data-damaged`, `format-unsupported`, `frame-malformed`. */
export class SnapshotWriter {
  readonly #taker: SnapshotTaker
  #left: Uint8Array[] = []
  #leftSize = 0
  /** Bytes that the item at the front needs before it is worth looking again. */
  #wanted = 0
  #items = 0
  #lastRevision: Uint8Array = emptyBytes
  #isOver = false

  constructor(taker: SnapshotTaker) {
    this.#taker = taker
  }

  write(chunk: Uint8Array): void {
    this.#leftSize += chunk.length
    if (this.#leftSize < this.#wanted) {
      this.#left.push(chunk.slice())
      return
    }
    this.#left.push(chunk)
    const bytes = joined(this.#left, this.#leftSize)
    const rest = this.#takeItems(bytes)
    this.#left = rest.length > 0 ? [rest] : []
    this.#leftSize = rest.length
  }

  finish(): void {
    if (this.#isOver && this.#leftSize === 0) return
    throw new QuorateError('data-damaged', 'a snapshot of the state ends before its last item')
  }

  #takeItems(bytes: Uint8Array): Uint8Array {
    let at = 0
    for (;;) {
      const size = itemSize(bytes, at)
      if (size === undefined || at + size > bytes.length) {
        this.#wanted = size ?? 0
        return bytes.subarray(at)
      }
      const reader = new ByteReader(bytes, at, at + size)
      this.#take(reader.u8(), reader.sized(), reader.sized())
      at += size
    }
  }

  /** Whether it has the form of its table; revisions come in their order. */
  #isKey(kind: number, key: Uint8Array): boolean {
    const isRow = (prefix: number, size: number): boolean => key[0] === prefix && key.length === size
    if (kind === itemKind.lease) return isRow(leaseRowsPrefix, leaseRowKeySize)
    if (kind === itemKind.session)
      return isRow(sessionRowsPrefix, sessionRowKeySize) || isRow(answerRowsPrefix, answerRowKeySize)
    if (kind !== itemKind.revision) return true
    return key.length === revisionKeySize && compareBytes(key, this.#lastRevision) > 0
  }

  #take(kind: number, key: Uint8Array, value: Uint8Array): void {
    const isFirst = this.#items === 0
    if (isFirst !== (kind === itemKind.head) || this.#isOver || !this.#isKey(kind, key)) {
      throw new QuorateError('data-damaged', `item ${this.#items} of a snapshot stands where it must not`)
    }
    this.#items++
    switch (kind) {
      case itemKind.head:
        this.#taker.head(decodeHead(value))
        return
      case itemKind.lease:
        this.#taker.lease(key, value)
        return
      case itemKind.session:
        this.#taker.session(key, value)
        return
      case itemKind.revision:
        this.#lastRevision = key
        this.#taker.revision(key, value)
        return
      case itemKind.end: {
        const count = new ByteReader(value).u53()
        if (count !== this.#items - 1) {
          throw new QuorateError(
            'data-damaged',
            `a snapshot has ${this.#items - 1} items and should have ${count}`,
          )
        }
        this.#isOver = true
        return
      }
      default:
        throw new QuorateError('format-unsupported', `a snapshot has an item of the unknown kind ${kind}`)
    }
  }
}

/** Whole size of the item at `at`; undefined while its lengths are not all there. */
function itemSize(bytes: Uint8Array, at: number): number | undefined {
  const key = lengthAt(bytes, at + 1)
  if (key === undefined) return undefined
  const value = lengthAt(bytes, key.end + key.length)
  return value === undefined ? undefined : value.end + value.length - at
}

function lengthAt(bytes: Uint8Array, at: number): { length: number; end: number } | undefined {
  let length = 0
  let scale = 1
  for (let i = at; i < bytes.length && i < at + 5; i++) {
    const byte = bytes[i] as number
    length += (byte & 0x7f) * scale
    if (byte < 0x80) return { length, end: i + 1 }
    scale *= 0x80
  }
  if (bytes.length >= at + 5)
    throw new QuorateError('data-damaged', 'an item of a snapshot has no sensible length')
  return undefined
}

/** The rows are kept by the store, and the memory of chunks is used again: what is joined is copied. */
function joined(parts: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  assert(at === size, 'the parts have the size that was counted')
  return whole
}

function decodeHead(value: Uint8Array): SnapshotHead {
  const reader = new ByteReader(value)
  const version = reader.u8()
  if (version !== snapshotVersion) {
    throw new QuorateError(
      'format-unsupported',
      `a snapshot has version ${version}, known is ${snapshotVersion}`,
    )
  }
  const head = {
    appliedIndex: reader.u53(),
    appliedTerm: reader.u53(),
    digest: reader.u32(),
    revision: reader.u53(),
    compactRevision: readRevision(reader),
  }
  reader.finish('the head of a snapshot')
  return head
}
