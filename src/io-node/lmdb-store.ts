import { open as openPath, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Database, open, type RangeOptions, type RootDatabase } from 'lmdb'
import { assert, type ErrorCode, isQuorateError, QuorateError } from '../base/index.ts'
import {
  type Batch,
  type KeyRange,
  keySizeMax,
  type Pair,
  type StoreBackend,
  type TableName,
  tableNames,
  type VisitPair,
} from '../store/index.ts'
import { markFailed, prepareDataFile } from './lmdb-file.ts'

/**
 * The durable store on LMDB. docs/decisions/0003-lmdb.md has the reasons, what was found in its sources, and figures.
 *
 * - One environment a directory, one named database a table, keys and values as they are.
 * - `overlappingSync`: a commit writes its pages and a provisional root, syncs them, and only then writes the synced
 *   root to a place of its own with O_DSYNC. The promise of a commit resolves after that last write.
 * - `safeRestore`: opening always starts from the synced root, also after a mere process crash. What is found after
 *   opening is thus on the medium, and pages that a failed sync left in the cache only are never built upon.
 * - After a failed sync the cache shows what the medium may not hold, and lmdb syncs once more when the process ends.
 *   So the failure is noted in the directory, and the next open refuses it: the owner removes it and rebuilds.
 * - No cursor outlives a call: ranges are read in slices, so an iterator that nobody finishes pins no page.
 */
export interface LmdbStoreOptions {
  /** Address space reserved for the map at first; it grows by itself. No memory and no file space by itself. */
  readonly mapSizeBytes?: number
  /** It was closed in order and not opened since, so its pages are not read before lmdb does. Default: false. */
  readonly isVouchedFor?: boolean
}

const defaultMapSizeBytes = 16 * 1024 ** 3
/** Reader slots of the environment. One process with one read transaction needs two or three. */
const readersMax = 32
/** Pairs read under one cursor: few at first, because many ranges want one pair. */
const firstSlicePairs = 16
const slicePairsMax = 256
/** A slice ends after the pair that passes this, so that large values are not read ahead. */
const sliceBytesMax = 64 * 1024

/** A named database of its own says how the others are laid out. */
const aboutTable = 'about'
const formatKey = Uint8Array.of(0x66)
/** In format 1 there was a table of the live keys, which nothing would ever empty. */
const formatVersion = 2

/** Upper bounds of what a commit can add to the file: a leaf and a part of the branches an operation, and some more. */
const operationBytes = 8192
const commitOverheadBytes = 1024 * 1024

const bytesOnly = { encoding: 'binary', keyEncoding: 'binary' } as const

/**
 * Bytes as they are as well, but what is read is copied by us: plain arrays, where the library makes Buffers. Those never lie
 * in the heap of the engine, and so cost several times as much when they are small. While a scan moves on, nothing is copied.
 */
const plainBytes = {
  encoding: 'binary',
  encoder: {
    encode: (value: Uint8Array): Uint8Array => value,
    decode: (shared: Uint8Array, size: number): Uint8Array =>
      isLending ? lent.view(shared, size) : copyOf(shared, 0, size),
  },
  keyEncoder: {
    writeKey: (key: Uint8Array, target: Uint8Array, start: number): number => {
      target.set(key, start)
      return start + key.length
    },
    readKey: (shared: Uint8Array, start: number, end: number): Uint8Array => copyOf(shared, start, end),
  },
} as const
/** The library decodes what the next step of this scan found: the visitor is lent its value. */
let isLending = false

/**
 * Views of the one buffer that the library reads into. Most rows are of few sizes, and a view of each is made once: it shows
 * what was read last.
 */
class LentViews {
  #buffer: ArrayBufferLike = new ArrayBuffer(0)
  #offset = 0
  #bySize: (Uint8Array | undefined)[] = []

  view(shared: Uint8Array, size: number): Uint8Array {
    const { buffer, byteOffset } = shared
    if (size > keptViewBytesMax) return new Uint8Array(buffer, byteOffset, size)
    if (buffer !== this.#buffer || byteOffset !== this.#offset) {
      this.#buffer = buffer
      this.#offset = byteOffset
      this.#bySize = []
    }
    const kept = this.#bySize[size]
    if (kept !== undefined) return kept
    const made = new Uint8Array(buffer, byteOffset, size)
    this.#bySize[size] = made
    return made
  }
}

const keptViewBytesMax = 4096
const lent = new LentViews()
/** Below this a loop is faster than Uint8Array.set. */
const copyByLoopBytesMax = 64

function copyOf(shared: Uint8Array, start: number, end: number): Uint8Array {
  const size = end - start
  const copy = new Uint8Array(size)
  if (size > copyByLoopBytesMax) copy.set(new Uint8Array(shared.buffer, shared.byteOffset + start, size))
  else for (let i = 0; i < size; i++) copy[i] = shared[start + i] as number
  return copy
}

type Table = Database<Uint8Array, Uint8Array>
type Tables = Record<TableName, Table>

/**
 * Opens the store below `directory`, creating it. Errors: `disk-full`, `disk-failed`, `format-unsupported`, and
 * `data-damaged`: nothing in it can be relied upon, the owner removes the directory and rebuilds.
 */
export async function openLmdbStore(directory: string, options?: LmdbStoreOptions): Promise<StoreBackend> {
  try {
    // Named relative paths would be taken for a file name when they have an extension.
    const path = resolve(directory)
    await prepareDataFile(path, options?.isVouchedFor ?? false)
    const environment = {
      path,
      noSubdir: false,
      ...bytesOnly,
      cache: false,
      overlappingSync: true,
      safeRestore: true,
      // One batch is one transaction anyway; batching a whole turn leaves a rejected promise that nobody can handle.
      eventTurnBatching: false,
      maxDbs: tableNames.length + 1,
      maxReaders: readersMax,
      mapSize: options?.mapSizeBytes ?? defaultMapSizeBytes,
    }
    const root = open<Uint8Array, Uint8Array>(environment)
    // In one transaction: alone, each that is not there yet would be made durable by itself.
    const { tables, about } = root.transactionSync(() => ({
      tables: Object.fromEntries(
        tableNames.map((table) => [table, root.openDB(table, plainBytes)]),
      ) as Tables,
      about: root.openDB(aboutTable, bytesOnly),
    }))
    const found = about.getBinary(formatKey)?.[0]
    if (found === undefined) {
      // The first open, or the first that comes to its end. Nobody relies on the file before it is durable itself.
      await root.batch(() => void about.put(formatKey, Uint8Array.of(formatVersion)))
      await syncDirectory(path)
      await syncDirectory(dirname(path))
    } else if (found < formatVersion) {
      throw new QuorateError('data-damaged', `the store in ${path} has format ${found}, which is made again`)
    } else if (found > formatVersion) {
      throw new QuorateError(
        'format-unsupported',
        `the store in ${path} has format ${found}, not ${formatVersion}`,
      )
    }
    return new LmdbStore(path, root, tables, about)
  } catch (error) {
    if (isQuorateError(error)) throw error
    throw await translate(error, `opening the store in ${directory}`)
  }
}

class LmdbStore implements StoreBackend {
  readonly #path: string
  readonly #root: RootDatabase<Uint8Array, Uint8Array>
  readonly #tables: Tables
  readonly #about: Table
  #isWriting = false
  /** Set for good by the first failed write: what the medium holds is unknown from then on. */
  #failure: QuorateError | undefined

  constructor(path: string, root: RootDatabase<Uint8Array, Uint8Array>, tables: Tables, about: Table) {
    this.#path = path
    this.#about = about
    this.#root = root
    this.#tables = tables
  }

  get(table: TableName, key: Uint8Array): Uint8Array | undefined {
    const value = this.peek(table, key)
    return value === undefined ? undefined : copyOf(value, 0, value.length)
  }

  peek(table: TableName, key: Uint8Array): Uint8Array | undefined {
    try {
      // One buffer for all reads. Its length is said apart from the array, which is as long as the longest value.
      const found = this.#tables[table].getBinaryFast(key)
      return found === undefined ? undefined : lent.view(found, found.length)
    } catch (error) {
      throw failureOf(error, `reading from the store ${this.#path}`)
    }
  }

  *range(table: TableName, range: KeyRange): IterableIterator<Pair> {
    if (range.end?.length === 0) return
    const whole = sliceOf(range)
    let { start, limit: left } = whole
    for (let slice = firstSlicePairs; left > 0; slice = slicePairsMax) {
      const limit = Math.min(slice, left)
      const pairs = this.#readSlice(this.#tables[table], { ...whole, start, limit })
      for (const pair of pairs.found) yield pair
      const last = pairs.found.at(-1)
      if (pairs.isComplete || last === undefined) return
      left -= pairs.found.length
      start = { key: last.key, isInclusive: false }
    }
  }

  scan(table: TableName, range: KeyRange, visit: VisitPair): boolean {
    if (range.end?.length === 0) return true
    const pairs = this.#openCursor(this.#tables[table], sliceOf(range))
    // What the visitor throws is no failure of the store.
    const next = (): Pair | undefined => {
      isLending = true
      try {
        const result = pairs.next()
        return result.done === true ? undefined : result.value
      } catch (error) {
        throw failureOf(error, `reading from the store ${this.#path}`)
      } finally {
        isLending = false
      }
    }
    try {
      for (let pair = next(); pair !== undefined; pair = next()) {
        if (!visit(pair.key, pair.value)) return false
      }
    } finally {
      pairs.return?.()
    }
    this.#assureReadable()
    return true
  }

  async commit(batch: Batch): Promise<void> {
    let needed = commitOverheadBytes
    // Before the first operation: what throws in the middle would leave half a batch to be committed.
    for (const { changes } of batch) {
      for (const { key, value } of changes) {
        assert(
          key.length > 0 && key.length <= keySizeMax,
          () => `a key has 1 to ${keySizeMax} bytes, not ${key.length}`,
        )
        needed += operationBytes + 2 * (value?.length ?? 0)
      }
    }
    await this.#write('commit', needed, () => {
      for (const { table, changes } of batch) {
        const database = this.#tables[table]
        for (const { key, value } of changes) {
          if (value === undefined) void database.remove(key)
          else void database.put(key, value)
        }
      }
    })
  }

  async clear(): Promise<void> {
    await this.#write('clear', 0, () => {
      for (const table of tableNames) void this.#tables[table].clearAsync()
    })
  }

  sizeBytes(): { total: number; used: number } {
    const { root, free, pageSize, lastPageNumber } = statisticsOf(this.#root)
    let usedPages = metaPages + pagesOf(root) + pagesOf(free)
    for (const table of tableNames) usedPages += pagesOf(statisticsOf(this.#tables[table]))
    return { total: (lastPageNumber + 1) * pageSize, used: usedPages * pageSize }
  }

  async close(): Promise<void> {
    assert(!this.#isWriting, 'a store is closed between commits')
    // After a failed write lmdb would wait for a sync that is never reported; the end of the process closes it.
    if (this.#failure === undefined) await this.#root.close()
  }

  #openCursor(database: Table, slice: Slice): Iterator<Pair, unknown> {
    try {
      return database.getRange(rangeOptions(slice))[Symbol.iterator]()
    } catch (error) {
      throw failureOf(error, `reading from the store ${this.#path}`)
    }
  }

  #readSlice(database: Table, slice: Slice): { found: Pair[]; isComplete: boolean } {
    try {
      const found = readSlice(database, slice)
      this.#assureReadable()
      return found
    } catch (error) {
      throw failureOf(error, `reading from the store ${this.#path}`)
    }
  }

  /**
   * Once a root could not be written, lmdb answers a range with nothing instead of an error, and it does so before the
   * commit is known to have failed. A single value is refused then, so one is asked for behind each slice.
   */
  #assureReadable(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#isWriting) this.#about.getBinary(formatKey)
  }

  /** One transaction. Resolves when it is durable. */
  async #write(what: string, neededBytes: number, operations: () => void): Promise<void> {
    assert(!this.#isWriting, 'one commit at a time')
    if (this.#failure !== undefined) throw this.#failure
    this.#isWriting = true
    try {
      await this.#assureRoom(what, neededBytes)
      await this.#root.batch(operations)
      // Only after the commit is known to have succeeded: `flushed` of a failed one never settles.
      await this.#root.flushed
      // lmdb does not report that the synced root could not be written, but then every read fails.
      this.#about.getBinary(formatKey)
    } catch (error) {
      if (isQuorateError(error, 'disk-full')) throw error
      const cause = await causeOf(error)
      this.#failure = new QuorateError('disk-failed', describe(`${what} in the store ${this.#path}`, cause), {
        cause,
      })
      await markFailed(this.#path, this.#failure.message)
      throw this.#failure
    } finally {
      this.#isWriting = false
    }
  }

  /**
   * A full disk is refused before lmdb meets it: a write that fails inside lmdb 3.5.6 overruns a buffer of its own.
   * Pages that are free inside the file count, so that what gives back space can be written on a full disk.
   */
  async #assureRoom(what: string, neededBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#path)
    const { total, used } = this.sizeBytes()
    const room = bavail * bsize + total - used
    if (room >= neededBytes) return
    const text = `${what} in the store ${this.#path} needs up to ${neededBytes} bytes, there are ${room}`
    throw new QuorateError('disk-full', text)
  }
}

// ---- ranges --------------------------------------------------------------------------------------------------------

type Bound = { readonly key: Uint8Array; readonly isInclusive: boolean }
type Slice = { start: Bound | undefined; end: Bound | undefined; isReverse: boolean; limit: number }

const smallestKey = Uint8Array.of(0)

/** A bound longer than any key lies behind its own prefix of the largest size and before all that follows. */
function lowerBound(key: Uint8Array | undefined): Bound {
  // Always given: without one lmdb leaves out the key \0 of a reverse range.
  if (key === undefined || key.length === 0) return { key: smallestKey, isInclusive: true }
  return key.length <= keySizeMax
    ? { key, isInclusive: true }
    : { key: key.subarray(0, keySizeMax), isInclusive: false }
}

function upperBound(key: Uint8Array): Bound {
  return key.length <= keySizeMax
    ? { key, isInclusive: false }
    : { key: key.subarray(0, keySizeMax), isInclusive: true }
}

/** Up to `limit` pairs under one cursor, which is given back before this returns. */
function readSlice(database: Table, slice: Slice): { found: Pair[]; isComplete: boolean } {
  const found: Pair[] = []
  let bytes = 0
  for (const pair of database.getRange(rangeOptions(slice))) {
    found.push(pair)
    bytes += pair.value.length
    if (bytes > sliceBytesMax) return { found, isComplete: false }
  }
  return { found, isComplete: found.length < slice.limit }
}

/** Of a range whose end, if it has one, is not empty. */
function sliceOf({ first, end, reverse, limit = Number.POSITIVE_INFINITY }: KeyRange): Slice {
  const lower = lowerBound(first)
  const upper = end === undefined ? undefined : upperBound(end)
  return reverse === true
    ? { start: upper, end: lower, isReverse: true, limit }
    : { start: lower, end: upper, isReverse: false, limit }
}

function rangeOptions({ start, end, isReverse, limit }: Slice): RangeOptions {
  const options: RangeOptions = { reverse: isReverse, limit }
  if (start !== undefined) {
    options.start = start.key
    options.exclusiveStart = !start.isInclusive
  }
  if (end !== undefined) {
    options.end = end.key
    options.inclusiveEnd = end.isInclusive
  }
  return options
}

// ---- sizes ---------------------------------------------------------------------------------------------------------

type TreeStatistics = { treeBranchPageCount: number; treeLeafPageCount: number; overflowPages: number }
type Statistics = TreeStatistics & {
  root: TreeStatistics
  free: TreeStatistics
  pageSize: number
  lastPageNumber: number
}

/** Pages 0 and 1 hold the roots. */
const metaPages = 2

function statisticsOf(database: Table): Statistics {
  return database.getStats() as Statistics
}

function pagesOf(tree: TreeStatistics): number {
  return tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages
}

// ---- errors --------------------------------------------------------------------------------------------------------

const noSpace = 28
/** MDB_INVALID, MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_VERSION_MISMATCH: it is not, or no longer, a store of ours. */
const damaged: readonly unknown[] = [-30793, -30796, -30797, -30794]

async function translate(error: unknown, what: string): Promise<QuorateError> {
  return failureOf(await causeOf(error), what)
}

function failureOf(cause: unknown, what: string): QuorateError {
  const number = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const isFull = number === noSpace || number === 'ENOSPC'
  const code: ErrorCode = isFull ? 'disk-full' : damaged.includes(number) ? 'data-damaged' : 'disk-failed'
  return new QuorateError(code, describe(what, cause), { cause })
}

function describe(what: string, cause: unknown): string {
  return `${what} failed: ${cause instanceof Error ? cause.message : String(cause)}`
}

/** A failed asynchronous commit carries its reason as a promise that rejects. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error
  try {
    await error.commitError
    return error
  } catch (reason) {
    return reason
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await openPath(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
