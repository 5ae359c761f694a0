import { assert, compareBytes, hexFromBytes } from '../base/index.ts'
import type { Batch, KeyRange, Pair, StoreBackend, TableName } from './contract.ts'

/**
 * What every backend has to do, as cases that run against any of them. A case is a generator that yields the
 * promises it waits for, because this room has no async functions; a test awaits them one by one.
 */
export interface ConformanceCase {
  readonly name: string
  run(medium: ConformanceMedium): Steps<void>
}

/** One fresh and empty medium under test. */
export interface ConformanceMedium {
  open(): Promise<StoreBackend>
  /** Opens again after a crash, or, where none can be made inside a test, after a close. */
  reopen(): Promise<StoreBackend>
  /** Lets the backend work: one turn of whatever drives it. */
  turn(): Promise<void>
  /** Follows a promise that the case does not wait for. It may never settle, or fail because of a crash. */
  follow(promise: Promise<void>): { readonly done: boolean }
}

export type Steps<T> = Generator<Promise<unknown>, T, unknown>

export function* wait<T>(promise: Promise<T>): Steps<T> {
  return (yield promise) as T
}

/** Sets every key to itself. */
export function puts(table: TableName, keys: readonly Uint8Array[]): Batch {
  return [{ table, changes: keys.map((key) => ({ key, value: key })) }]
}

export function keysOf(pairs: Iterable<Pair>): string[] {
  return Array.from(pairs, (pair) => hexFromBytes(pair.key))
}

/** The keys of a sorted list that the range asks for, in its direction. */
export function expectedKeys(keys: readonly Uint8Array[], range: KeyRange): string[] {
  const { first, end, limit = keys.length } = range
  const inside = keys.filter(
    (key) =>
      (first === undefined || compareBytes(first, key) <= 0) &&
      (end === undefined || compareBytes(key, end) < 0),
  )
  if (range.reverse === true) inside.reverse()
  return inside.slice(0, limit).map(hexFromBytes)
}

export function describeRange(range: KeyRange): string {
  const { first, end, reverse, limit } = range
  const bound = (key: Uint8Array | undefined): string => (key === undefined ? '*' : `"${hexFromBytes(key)}"`)
  return `[${bound(first)}, ${bound(end)})${reverse === true ? ' reverse' : ''} limit ${limit ?? '-'}`
}

export function assertSame(actual: readonly string[], expected: readonly string[], what: string): void {
  const same = actual.length === expected.length && actual.every((text, i) => text === expected[i])
  assert(same, `${what}: expected ${shorten(expected)}, found ${shorten(actual)}`)
}

export function shorten(texts: readonly string[]): string {
  return `${texts.length} [${texts
    .slice(0, 20)
    .map((text) => text.slice(0, 40))
    .join(' ')}]`
}
