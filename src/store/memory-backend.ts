import {
  assert,
  compareBytes,
  copyBytes,
  emptyBytes,
  QuorateError,
  type SeededRandom,
} from '../base/index.ts'
import type { Batch, KeyRange, Pair, StoreBackend, TableName } from './contract.ts'
import { keySizeMax, tableNames } from './contract.ts'
import { OrderedEntries } from './ordered-entries.ts'

export interface MemoryBackendOptions {
  /**
   * Decides when a commit (or clear, or close) ends, and makes its promise: runs `finish` later, in a turn of its
   * own, and then resolves, or rejects with what `finish` threw. It may as well never run it: the process died.
   */
  readonly schedule: (finish: () => void) => Promise<void>
  /** Decides at a crash whether the commit under way had reached the medium. */
  readonly random: SeededRandom
  /** Asked when a commit is to end: an error makes it fail, and nothing of it is there. */
  readonly fault?: () => QuorateError | undefined
}

/** A backend in memory for simulation and tests: durable as long as the object is kept. */
export interface MemoryBackend extends StoreBackend {
  /**
   * The backend as the next start finds it. A commit under way is there entirely or not at all and will not resolve;
   * this object is dead from now on. After `close` nothing is under way, so this is how it is opened again.
   */
  crash(): MemoryBackend
}

type Tables = Record<TableName, OrderedEntries>
type Work = { readonly apply: () => void }

export function createMemoryBackend(options: MemoryBackendOptions): MemoryBackend {
  return openTables(options, {
    meta: new OrderedEntries(),
    links: new OrderedEntries(),
    history: new OrderedEntries(),
    revisions: new OrderedEntries(),
    leases: new OrderedEntries(),
    sessions: new OrderedEntries(),
  })
}

function openTables(options: MemoryBackendOptions, tables: Tables): MemoryBackend {
  const { schedule, random, fault } = options
  let state: 'open' | 'closed' | 'crashed' = 'open'
  let underWay: Work | undefined
  let usedBytes = sizeOf(tables)
  let lent: Uint8Array = emptyBytes

  /** What was lent is spoiled by the next read, so that nobody relies on it. */
  const spoil = (): void => {
    lent.fill(0xff)
    lent = emptyBytes
  }
  const lend = (value: Uint8Array): Uint8Array => {
    lent = copyBytes(value)
    return lent
  }

  const assertOpen = (): void => assert(state === 'open', () => `the store is ${state}`)

  const perform = (apply: () => void): Promise<void> => {
    assertOpen()
    assert(underWay === undefined, 'one commit at a time')
    const work: Work = { apply }
    underWay = work
    return schedule(() => {
      if (underWay !== work) throw new QuorateError('stopped', 'the process crashed before the commit ended')
      underWay = undefined
      const error = fault?.()
      if (error !== undefined) throw error
      apply()
    })
  }

  return {
    get(table, key) {
      assertOpen()
      spoil()
      return tables[table].get(key)?.value
    },
    peek(table, key) {
      assertOpen()
      spoil()
      const value = tables[table].get(key)?.value
      return value === undefined ? undefined : lend(value)
    },
    range(table, range) {
      assertOpen()
      spoil()
      return pairsOf(tables[table], range)
    },
    scan(table, range, visit) {
      assertOpen()
      spoil()
      for (const { key, value } of pairsOf(tables[table], range)) {
        const goesOn = visit(key, lend(value))
        spoil()
        if (!goesOn) return false
      }
      return true
    },
    commit(batch) {
      assertOrdered(batch)
      return perform(() => {
        for (const { table, changes } of batch) {
          for (const { key, value } of changes) {
            usedBytes -= entrySize(tables[table].get(key))
            if (value === undefined) tables[table].remove(key)
            else tables[table].set({ key, value })
            usedBytes += value === undefined ? 0 : key.length + value.length
          }
        }
      })
    },
    clear() {
      return perform(() => {
        for (const table of tableNames) tables[table].clear()
        usedBytes = 0
      })
    },
    sizeBytes: () => ({ total: usedBytes, used: usedBytes }),
    close() {
      assertOpen()
      assert(underWay === undefined, 'a store is closed between commits')
      state = 'closed'
      return schedule(() => undefined)
    },
    crash() {
      assert(state !== 'crashed', 'a store crashes once')
      state = 'crashed'
      if (underWay !== undefined && random.chance(0.5)) underWay.apply()
      underWay = undefined
      return openTables(options, tables)
    },
  }
}

function* pairsOf(entries: OrderedEntries, range: KeyRange): IterableIterator<Pair> {
  const cursor = entries.cursor(range)
  for (let left = range.limit ?? Infinity; left > 0 && cursor.entry !== undefined; left--) {
    yield cursor.entry as Pair
    cursor.advance()
  }
}

function assertOrdered(batch: Batch): void {
  for (const { table, changes } of batch) {
    let previous: Uint8Array | undefined
    for (const { key } of changes) {
      assert(
        key.length > 0 && key.length <= keySizeMax,
        () => `a key has 1 to ${keySizeMax} bytes, not ${key.length}`,
      )
      assert(
        previous === undefined || compareBytes(previous, key) < 0,
        () => `the changes of ${table} are not in key order, each key once`,
      )
      previous = key
    }
  }
}

function sizeOf(tables: Tables): number {
  let size = 0
  for (const table of tableNames) {
    for (const entry of tables[table].toArray()) size += entrySize(entry)
  }
  return size
}

function entrySize(entry: { key: Uint8Array; value: Uint8Array | undefined } | undefined): number {
  return entry === undefined ? 0 : entry.key.length + (entry.value?.length ?? 0)
}
