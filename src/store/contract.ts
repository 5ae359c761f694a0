/**
 * An ordered key-value store in two layers. The backend is durable, slow to commit and fast to read (LMDB, or
 * memory under simulation). The `Store` in front of it (overlay.ts) takes every write at once, so that applying an
 * entry never waits for a disk, and hands what has gathered to the backend in large, rare commits.
 *
 * Keys are bytes, compared unsigned, inside a named table. A key has 1 to `keySizeMax` bytes, a value any size up
 * to 2^31 - 1. What a read returns is the reader's to keep, unless it only peeks: it is never overwritten later. What
 * is written is kept without a copy: the writer must not change the bytes afterwards.
 */
export type TableName = 'meta' | 'links' | 'history' | 'revisions' | 'leases' | 'sessions'
export const tableNames: readonly TableName[] = [
  'meta',
  'links',
  'history',
  'revisions',
  'leases',
  'sessions',
]

/** LMDB's limit; longer client keys are shortened by whoever builds the key, keeping byte order. */
export const keySizeMax = 1978

/** Half-open: first <= key < end; an undefined bound is open. */
export type KeyRange = { first?: Uint8Array; end?: Uint8Array; reverse?: boolean; limit?: number }
export type Pair = { key: Uint8Array; value: Uint8Array }
/** False: no further one. */
export type VisitPair = (key: Uint8Array, value: Uint8Array) => boolean

/** One table's changes in one commit, sorted by key, each key once; value undefined removes. */
export type TableChanges = {
  table: TableName
  changes: readonly { key: Uint8Array; value: Uint8Array | undefined }[]
}
export type Batch = readonly TableChanges[]

export interface StoreReader {
  get(table: TableName, key: Uint8Array): Uint8Array | undefined
  /** What `get` returns, without a copy of its own: the next read of any kind may overwrite it. */
  peek(table: TableName, key: Uint8Array): Uint8Array | undefined
  /**
   * Pairs in key order, lazily. The reader sees the state of the moment the iterator was made or a later one,
   * must finish within the same turn, and must not write while it iterates: long work asks for slices.
   */
  range(table: TableName, range: KeyRange): IterableIterator<Pair>
  /**
   * Calls `visit` for the pairs of the range in key order until it answers false, and answers whether it never did. The
   * visitor sees one state, may read meanwhile, and must not write. A value is lent as `peek` lends it: it is good until the
   * next read or the end of the visit.
   */
  scan(table: TableName, range: KeyRange, visit: VisitPair): boolean
}

/**
 * The durable layer. One commit at a time. Reads see whole batches only: all that are committed, and perhaps the one
 * whose commit is under way (the overlay shows it anyway).
 */
export interface StoreBackend extends StoreReader {
  /**
   * Writes the whole batch or, after a crash, nothing of it. Resolves when it is durable on the medium. Batches
   * become durable in order. Errors: `disk-failed`, `disk-full`; the batch is then not there.
   */
  commit(batch: Batch): Promise<void>
  /** Empties every table, durably and at once: before a snapshot is installed. */
  clear(): Promise<void>
  /** Bytes on the medium: `total` with free pages, `used` without. */
  sizeBytes(): { total: number; used: number }
  close(): Promise<void>
}

/** What a state machine writes to and reads from. */
export interface Store extends StoreReader {
  put(table: TableName, key: Uint8Array, value: Uint8Array): void
  delete(table: TableName, key: Uint8Array): void
  /** Operations and bytes taken and not yet durable; the owner slows down when they pass its bound. */
  readonly pending: { operations: number; bytes: number }
  /**
   * Closes what gathered so far into a batch and returns it, or undefined when there is nothing or a batch is
   * still out. Reads go on seeing it. The owner commits it and then calls `flushed`.
   */
  takeBatch(): Batch | undefined
  /** The batch that was taken is durable: it can be forgotten here. */
  flushed(): void
  /** Forgets everything that is not in the backend (after `backend.clear`, before a snapshot is read in). */
  discard(): void
}
