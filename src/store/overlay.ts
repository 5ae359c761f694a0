import { assert, compareBytes } from '../base/index.ts'
import type {
  Batch,
  KeyRange,
  Pair,
  Store,
  StoreBackend,
  TableChanges,
  TableName,
  VisitPair,
} from './contract.ts'
import { keySizeMax, tableNames } from './contract.ts'
import { type Entry, type EntryCursor, OrderedEntries } from './ordered-entries.ts'

/** One generation of writes: what gathers now, or the batch that is out. */
type Layer = Record<TableName, OrderedEntries>

/**
 * The store over `backend`. It has no bound of its own: it counts what is pending, and the owner that applies
 * entries stops at its limit. Keys and values are kept as they are handed over and must not change afterwards.
 */
export function createStore(backend: StoreBackend): Store {
  return new Overlay(backend)
}

class Overlay implements Store {
  readonly pending = { operations: 0, bytes: 0 }
  readonly #backend: StoreBackend
  #gathering: Layer = createLayer()
  #out: Layer | undefined
  #outPending = { operations: 0, bytes: 0 }
  /** Counts changes, so that an iterator notices a write under its feet. */
  #changes = 0

  constructor(backend: StoreBackend) {
    this.#backend = backend
  }

  get(table: TableName, key: Uint8Array): Uint8Array | undefined {
    const entry = this.#pendingAt(table, key)
    return entry === undefined ? this.#backend.get(table, key) : entry.value
  }

  peek(table: TableName, key: Uint8Array): Uint8Array | undefined {
    const entry = this.#pendingAt(table, key)
    return entry === undefined ? this.#backend.peek(table, key) : entry.value
  }

  range(table: TableName, range: KeyRange): IterableIterator<Pair> {
    const layers = this.#pendingWithin(table, range)
    return layers.length === 0 ? this.#backend.range(table, range) : this.#merged(table, range, layers)
  }

  scan(table: TableName, range: KeyRange, visit: VisitPair): boolean {
    const layers = this.#pendingWithin(table, range)
    if (layers.length === 0) return this.#scanBackend(table, range, visit)
    // What lies before the first pending pair is not merged: nearly all of a table whose keys only grow.
    const first = isPlain(range) ? firstKey(layers) : undefined
    if (first !== undefined && !this.#scanBackend(table, { ...range, end: first }, visit)) return false
    const rest = first === undefined ? range : { ...range, first }
    for (const { key, value } of this.#merged(table, rest, layers)) if (!visit(key, value)) return false
    return true
  }

  #scanBackend(table: TableName, range: KeyRange, visit: VisitPair): boolean {
    const changes = this.#changes
    const isWhole = this.#backend.scan(table, range, visit)
    assert(changes === this.#changes, 'the store was written to while a range was read')
    return isWhole
  }

  #pendingWithin(table: TableName, range: KeyRange): EntryCursor[] {
    return [this.#gathering[table], this.#out?.[table]]
      .map((entries) => entries?.cursor(range))
      .filter((cursor) => cursor?.entry !== undefined) as EntryCursor[]
  }

  *#merged(table: TableName, range: KeyRange, layers: EntryCursor[]): IterableIterator<Pair> {
    const changes = this.#changes
    const below = this.#backend.range(table, withoutLimit(range))
    try {
      layers.push(cursorOfPairs(below))
      const direction = range.reverse === true ? -1 : 1
      for (let left = range.limit ?? Infinity; left > 0; ) {
        const entry = takeFirst(layers, direction)
        if (entry === undefined) return
        if (entry.value === undefined) continue
        left--
        yield entry as Pair
        assert(changes === this.#changes, 'the store was written to while a range was read')
      }
    } finally {
      below.return?.()
    }
  }

  put(table: TableName, key: Uint8Array, value: Uint8Array): void {
    this.#set(table, { key, value })
  }

  delete(table: TableName, key: Uint8Array): void {
    this.#set(table, { key, value: undefined })
  }

  takeBatch(): Batch | undefined {
    if (this.#out !== undefined || this.pending.operations === 0) return undefined
    const out = this.#gathering
    this.#out = out
    this.#outPending = { ...this.pending }
    this.#gathering = createLayer()
    const batch: TableChanges[] = []
    for (const table of tableNames) {
      if (out[table].size > 0) batch.push({ table, changes: out[table].toArray() })
    }
    return batch
  }

  flushed(): void {
    assert(this.#out !== undefined, 'a batch is out when one is reported durable')
    this.#out = undefined
    this.#changes++
    this.pending.operations -= this.#outPending.operations
    this.pending.bytes -= this.#outPending.bytes
  }

  discard(): void {
    this.#out = undefined
    this.#gathering = createLayer()
    this.#changes++
    this.pending.operations = 0
    this.pending.bytes = 0
  }

  #pendingAt(table: TableName, key: Uint8Array): Entry | undefined {
    return this.#gathering[table].get(key) ?? this.#out?.[table].get(key)
  }

  #set(table: TableName, entry: Entry): void {
    assert(
      entry.key.length > 0 && entry.key.length <= keySizeMax,
      () => `a key has 1 to ${keySizeMax} bytes, not ${entry.key.length}`,
    )
    const replaced = this.#gathering[table].set(entry)
    this.#changes++
    this.pending.bytes += sizeOf(entry)
    if (replaced === undefined) this.pending.operations++
    else this.pending.bytes -= sizeOf(replaced)
  }
}

function createLayer(): Layer {
  return {
    meta: new OrderedEntries(),
    links: new OrderedEntries(),
    history: new OrderedEntries(),
    revisions: new OrderedEntries(),
    leases: new OrderedEntries(),
    sessions: new OrderedEntries(),
  }
}

function sizeOf(entry: Entry): number {
  return entry.key.length + (entry.value?.length ?? 0)
}

function isPlain({ reverse, limit }: KeyRange): boolean {
  return reverse !== true && limit === undefined
}

function firstKey(layers: readonly EntryCursor[]): Uint8Array | undefined {
  let first: Uint8Array | undefined
  for (const { entry } of layers) {
    if (entry !== undefined && (first === undefined || compareBytes(entry.key, first) < 0)) first = entry.key
  }
  return first
}

/** How many of the backend's pairs are hidden is not known before, so the limit counts above. */
function withoutLimit(range: KeyRange): KeyRange {
  const { limit: _, ...rest } = range
  return rest
}

function cursorOfPairs(pairs: Iterator<Pair, unknown>): EntryCursor {
  const step = (): Entry | undefined => {
    const result = pairs.next()
    return result.done === true ? undefined : result.value
  }
  const cursor = {
    entry: step(),
    advance: () => {
      cursor.entry = step()
    },
  }
  return cursor
}

/** Takes the next key from all layers that have it. The first layer that has it, the newest, says its value. */
function takeFirst(layers: readonly EntryCursor[], direction: 1 | -1): Entry | undefined {
  let first: Entry | undefined
  let from = 0
  for (let i = 0; i < layers.length; i++) {
    const cursor = layers[i] as EntryCursor
    const entry = cursor.entry
    if (entry === undefined) continue
    const order = first === undefined ? -1 : compareBytes(entry.key, first.key) * direction
    if (order < 0) {
      first = entry
      from = i
    } else if (order === 0) {
      cursor.advance()
    }
  }
  if (first !== undefined) (layers[from] as EntryCursor).advance()
  return first
}
