import { crc32c, present } from '../base/index.ts'
import type { KeyRange, Pair, Store, StoreReader, TableName, VisitPair } from '../store/index.ts'
import { scramble } from './digest.ts'
import { recordSize } from './rows.ts'

/** All state but `meta`, whose one row holds the content hash and so cannot be part of it. */
export type StateTable = Exclude<TableName, 'meta'>
export const stateTables: readonly StateTable[] = ['links', 'history', 'revisions', 'leases', 'sessions']

const tableSeed: Readonly<Record<StateTable, number>> = {
  links: 0x6c69_6e6b,
  history: 0x6869_7374,
  revisions: 0x7265_7669,
  leases: 0x6c65_6173,
  sessions: 0x7365_7373,
}

/** Hash of one row; a function of table, key and value only. */
export function rowHash(table: StateTable, key: Uint8Array, value: Uint8Array): number {
  return scramble(crc32c(value, crc32c(key, tableSeed[table])))
}

export type BeforeWrite = (table: StateTable, key: Uint8Array, old: Uint8Array | undefined) => void

/**
 * Every write of state goes through here, so that two things hold at all times: `contentHash` is the sum of the
 * hashes of all rows, whatever the order they came in, and `rowCount` their number. Whoever writes says what stood
 * there before (undefined: nothing), which every caller knows anyway.
 */
export class Tables implements StoreReader {
  contentHash = 0
  rowCount = 0
  /** Told about each write before it happens; set while a snapshot copies tables that change under it. */
  beforeWrite: BeforeWrite | undefined
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** The store was emptied. */
  clear(): void {
    this.contentHash = 0
    this.rowCount = 0
  }

  get(table: TableName, key: Uint8Array): Uint8Array | undefined {
    return this.#store.get(table, key)
  }

  peek(table: TableName, key: Uint8Array): Uint8Array | undefined {
    return this.#store.peek(table, key)
  }

  range(table: TableName, range: KeyRange): IterableIterator<Pair> {
    return this.#store.range(table, range)
  }

  scan(table: TableName, range: KeyRange, visit: VisitPair): boolean {
    return this.#store.scan(table, range, visit)
  }

  /** Writes a row and returns its hash. */
  put(table: StateTable, key: Uint8Array, value: Uint8Array, old: Uint8Array | undefined): number {
    this.beforeWrite?.(table, key, old)
    const hash = rowHash(table, key, value)
    if (old === undefined) {
      this.rowCount++
      this.contentHash = (this.contentHash + hash) >>> 0
    } else {
      this.contentHash = (this.contentHash + hash - rowHash(table, key, old)) >>> 0
    }
    this.#store.put(table, key, value)
    return hash
  }

  /** Writes a row of `revisions` that is not there, and returns the hash of its record, which all replicas have alike. */
  putRevision(key: Uint8Array, row: Uint8Array): number {
    this.beforeWrite?.('revisions', key, undefined)
    const size = recordSize(row)
    const record = crc32c(row, crc32c(key, tableSeed.revisions), 0, size)
    this.rowCount++
    this.contentHash = (this.contentHash + scramble(crc32c(row, record, size))) >>> 0
    this.#store.put('revisions', key, row)
    return scramble(record)
  }

  delete(table: StateTable, key: Uint8Array, old: Uint8Array): void {
    this.beforeWrite?.(table, key, old)
    this.rowCount--
    this.contentHash = (this.contentHash - rowHash(table, key, old)) >>> 0
    this.#store.delete(table, key)
  }

  /** Like `delete` for a row that must be there and whose bytes nobody has at hand. */
  deletePresent(table: StateTable, key: Uint8Array): void {
    this.delete(table, key, present(this.get(table, key), `a row of ${table} that must be there is missing`))
  }

  /** Removes every row that begins with `prefix`. */
  deletePrefix(table: StateTable, prefix: Uint8Array): void {
    const rows = [...this.range(table, prefixRange(prefix))]
    for (const row of rows) this.delete(table, row.key, row.value)
  }
}

/** The range of all keys that begin with `prefix`. */
export function prefixRange(prefix: Uint8Array): KeyRange {
  const end = prefix.slice()
  for (let last = end.length - 1; last >= 0; last--) {
    if (end[last] === 0xff) continue
    end[last] = (end[last] as number) + 1
    return { first: prefix, end: end.subarray(0, last + 1) }
  }
  return { first: prefix }
}
