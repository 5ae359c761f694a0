import {
  assert,
  bytesFromHex,
  compareBytes,
  concatBytes,
  crc32c,
  emptyBytes,
  equalBytes,
  hexFromBytes,
  SeededRandom,
  utf8Encode,
} from '../base/index.ts'
import {
  assertSame,
  type ConformanceCase,
  type ConformanceMedium,
  describeRange,
  expectedKeys,
  keysOf,
  puts,
  type Steps,
  wait,
} from './conformance-support.ts'
import type { Batch, KeyRange, Pair, StoreReader } from './contract.ts'
import { keySizeMax, tableNames } from './contract.ts'

/** The cases; `overlayCase` adds those of the overlay above the backend. */
export const conformanceCases: readonly ConformanceCase[] = [
  { name: 'keys are in unsigned byte order, whatever their length', run: keyOrder },
  { name: 'keys of the largest sizes that differ at the very end stay apart', run: longKeys },
  { name: 'values of every size come back and are never overwritten', run: valueSizes },
  { name: 'bounds, direction and limit choose exactly the pairs of the model', run: bounds },
  { name: 'a scan visits what a range has, until it is told to stop, and may read meanwhile', run: scans },
  { name: 'removing and putting back, in one batch and across batches', run: removals },
  { name: 'a reader sees whole batches only, and its own moment until its turn ends', run: isolation },
  { name: 'iterators that nobody finishes do not stop the reuse of space', run: abandonedIterators },
  { name: 'clear empties every table, durably', run: clearing },
  { name: 'after a crash exactly a prefix of the batches is there', run: crashes },
]

function* keyOrder(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const texts = [
    'a',
    'a\0',
    'a\0\0',
    'ab',
    'b',
    'z',
    '\0',
    '\0\0',
    '\0\x01',
    '\x01',
    '\x7f',
    'ä',
    'é',
    '日本',
    '🙂',
  ]
  const raw = ['80', '8000', 'fe', 'feff', 'ff', 'ff00', 'ffff', 'ffffff', '00ff', '61ff']
  const keys = [...texts.map(utf8Encode), ...raw.map(bytesFromHex)].sort(compareBytes)
  // Every other key first, so that order of arrival is not what is seen.
  for (const half of [0, 1]) {
    yield* wait(
      backend.commit(
        puts(
          'links',
          keys.filter((_, i) => i % 2 === half),
        ),
      ),
    )
  }
  assertSame(keysOf(backend.range('links', {})), keys.map(hexFromBytes), 'ascending')
  assertSame(
    keysOf(backend.range('links', { reverse: true })),
    keys.map(hexFromBytes).reverse(),
    'descending',
  )
  for (const key of keys) {
    assert(equalBytes(backend.get('links', key) ?? new Uint8Array(), key), `get ${hexFromBytes(key)}`)
  }
  assert(backend.get('history', utf8Encode('a')) === undefined, 'tables are apart')
  assert(backend.get('links', utf8Encode('aa')) === undefined, 'a key between two others is not there')
  yield* wait(backend.close())
}

function* longKeys(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys: Uint8Array[] = []
  for (const size of [1800, 1801, 1899, 1950, 1977, 1978]) {
    for (const last of [0, 1, 0x7f, 0x80, 0xff]) {
      const key = new Uint8Array(size).fill(0x6b)
      key[size - 1] = last
      keys.push(key)
    }
  }
  keys.sort(compareBytes)
  yield* wait(backend.commit(puts('history', keys)))
  assertSame(keysOf(backend.range('history', {})), keys.map(hexFromBytes), 'ascending')
  // A bound may be longer than any key: the key after the longest one, for example.
  for (const key of keys.filter((other) => other.length === keySizeMax)) {
    for (const longer of [concatBytes([key, Uint8Array.of(0)]), concatBytes([key, key])]) {
      for (const range of [
        { first: longer },
        { end: longer },
        { end: longer, reverse: true },
        { first: longer, reverse: true },
      ]) {
        assertSame(
          keysOf(backend.range('history', range)),
          expectedKeys(keys, range),
          'a bound longer than any key',
        )
      }
    }
  }
  for (const [i, key] of keys.entries()) {
    const value = backend.get('history', key)
    assert(value !== undefined && equalBytes(value, key), `get of key ${i}`)
    const [pair] = backend.range('history', { first: key, limit: 1 })
    assert(pair !== undefined && equalBytes(pair.key, key), `range from key ${i}`)
    const [before] = backend.range('history', { end: key, reverse: true, limit: 1 })
    const expected = keys[i - 1]
    assert(
      before === undefined ? expected === undefined : equalBytes(before.key, expected ?? new Uint8Array()),
      `range before key ${i}`,
    )
  }
  yield* wait(backend.close())
}

function* valueSizes(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const sizes = [0, 1, 63, 64, 65, 1000, 2048, 4095, 4096, 8192, 32767, 32769, 65536, 1048576]
  const random = new SeededRandom(7)
  const values = sizes.map((size) => Uint8Array.from({ length: size }, () => random.nextU32() & 0xff))
  const checksums = values.map((value) => crc32c(value))
  const changes = values.map((value, i) => ({ key: Uint8Array.of(i + 1), value }))
  yield* wait(backend.commit([{ table: 'revisions', changes }]))

  const kept: Uint8Array[] = []
  for (const [i, { key }] of changes.entries()) {
    kept.push(backend.get('revisions', key) ?? Uint8Array.of(1))
    const peeked = backend.peek('revisions', key)
    const isThere = peeked !== undefined && peeked.length === sizes[i] && crc32c(peeked) === checksums[i]
    assert(isThere, `peeking at ${sizes[i]} bytes`)
  }
  assert(backend.peek('revisions', Uint8Array.of(0xee)) === undefined, 'peeking at nothing')
  const pairs = [...backend.range('revisions', {})]
  const backwards = [...backend.range('revisions', { reverse: true })].reverse()
  yield* wait(
    backend.commit(
      puts(
        'revisions',
        changes.map(({ key }) => key),
      ),
    ),
  )
  for (const pair of backend.range('revisions', {})) assert(pair.value.length === 1, 'overwritten')
  // What was read before is still what it was, after more reads and after the pages were replaced.
  for (const [i, size] of sizes.entries()) {
    for (const value of [kept[i], pairs[i]?.value, backwards[i]?.value]) {
      assert(
        value?.length === size && crc32c(value) === checksums[i],
        `a value of ${size} bytes is the reader's`,
      )
    }
    assert(equalBytes(pairs[i]?.key ?? new Uint8Array(), Uint8Array.of(i + 1)), 'and so is its key')
  }
  yield* wait(backend.close())
}

function* bounds(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys = ['00', '0000', '10', '20', '2000', '20ff', '30', 'ff', 'ffff'].map(bytesFromHex)
  yield* wait(backend.commit(puts('leases', keys)))
  const edges = [
    undefined,
    new Uint8Array(),
    ...keys,
    ...['05', '15', '200001', '40', 'ff00', 'ffffff'].map(bytesFromHex),
  ]
  for (const first of edges) {
    for (const end of edges) {
      for (const limit of [undefined, 0, 1, 2, 3, 100]) {
        for (const reverse of [false, true]) {
          const range: KeyRange = { reverse }
          if (first !== undefined) range.first = first
          if (end !== undefined) range.end = end
          if (limit !== undefined) range.limit = limit
          assertSame(keysOf(backend.range('leases', range)), expectedKeys(keys, range), describeRange(range))
        }
      }
    }
  }
  assertSame(keysOf(backend.range('sessions', {})), [], 'an empty table')
  assertSame(keysOf(backend.range('sessions', { reverse: true })), [], 'an empty table, backwards')
  // More pairs than any slice inside a backend: nothing is lost or doubled where slices meet.
  const many = Array.from({ length: 3000 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
  yield* wait(backend.commit(puts('sessions', many)))
  for (const reverse of [false, true]) {
    for (const limit of [1, 7, 8, 9, 31, 32, 33, 40, 41, 168, 169, 2999, 3000, 3001]) {
      const range = { reverse, limit, first: Uint8Array.of(0) }
      assertSame(keysOf(backend.range('sessions', range)), expectedKeys(many, range), describeRange(range))
    }
  }
  yield* wait(backend.close())
}

function* scans(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys = Array.from({ length: 600 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
  yield* wait(backend.commit([...puts('links', keys), ...puts('history', keys)]))
  const ranges = [undefined, Uint8Array.of(0), Uint8Array.of(1), Uint8Array.of(1, 7), Uint8Array.of(9)]
  for (const first of ranges) {
    for (const end of [...ranges, new Uint8Array()]) {
      for (const reverse of [false, true]) {
        const range: KeyRange = { reverse, ...(first && { first }), ...(end && { end }) }
        const expected = expectedKeys(keys, range)
        for (const countMax of [0, 1, 17, 300, 600]) {
          const found: Uint8Array[] = []
          const isWhole = backend.scan('links', range, (key, value) => {
            assert(equalBytes(key, value), 'a key comes with its value')
            assert(equalBytes(backend.peek('history', key) ?? emptyBytes, key), 'reading meanwhile')
            if (found.length % 100 === 50) nestedScan(backend, keys)
            found.push(key)
            return found.length <= countMax
          })
          // The visitor was told of one more than it wanted, or of all.
          assertSame(found.map(hexFromBytes), expected.slice(0, countMax + 1), describeRange(range))
          assert(isWhole === expected.length <= countMax, `${describeRange(range)}: whole or stopped`)
        }
      }
    }
  }
  const failure = new Error('the visitor failed')
  const fail = (): boolean => {
    throw failure
  }
  let thrown: unknown
  try {
    backend.scan('links', {}, fail)
  } catch (error) {
    thrown = error
  }
  assert(thrown === failure, 'what a visitor throws comes out as it is')
  nestedScan(backend, keys)
  yield* wait(backend.close())
}

function nestedScan(backend: StoreReader, keys: readonly Uint8Array[]): void {
  let count = 0
  backend.scan('links', {}, () => {
    count++
    return true
  })
  assert(count === keys.length, 'a scan sees all keys')
}

function* removals(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const [a, b, c] = ['a', 'b', 'c'].map(utf8Encode) as [Uint8Array, Uint8Array, Uint8Array]
  const one = Uint8Array.of(1)
  const remove = (key: Uint8Array) => ({ key, value: undefined })
  yield* wait(backend.commit([{ table: 'meta', changes: [remove(a)] }]))
  assertSame(keysOf(backend.range('meta', {})), [], 'removing what is not there')
  yield* wait(
    backend.commit([
      { table: 'meta', changes: [{ key: a, value: one }, remove(b), { key: c, value: one }] },
      { table: 'leases', changes: [{ key: b, value: one }] },
    ]),
  )
  assertSame(keysOf(backend.range('meta', {})), [a, c].map(hexFromBytes), 'two of three')
  assertSame(keysOf(backend.range('leases', {})), [hexFromBytes(b)], 'the other table of the batch')
  yield* wait(backend.commit([{ table: 'meta', changes: [remove(a), { key: b, value: one }, remove(c)] }]))
  assertSame(keysOf(backend.range('meta', {})), [hexFromBytes(b)], 'the other way round')
  yield* wait(backend.close())
  const again = yield* wait(medium.reopen())
  assertSame(keysOf(again.range('meta', {})), [hexFromBytes(b)], 'after opening again')
  yield* wait(again.commit([]))
  yield* wait(again.close())
}

function* isolation(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys = Array.from({ length: 500 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
  const version = (n: number): Batch => [
    { table: 'links', changes: keys.map((key) => ({ key, value: Uint8Array.of(n) })) },
    { table: 'history', changes: keys.map((key) => ({ key, value: Uint8Array.of(n) })) },
  ]
  yield* wait(backend.commit(version(1)))
  for (let n = 2; n < 12; n++) {
    const pairs = backend.range('links', {})
    pairs.next()
    const promise = backend.commit(version(n))
    const commit = medium.follow(promise)
    const rest = [...pairs]
    assert(rest.length === keys.length - 1, 'the iterator goes on while a commit starts')
    assert(new Set(rest.map((pair) => pair.value[0])).size === 1, 'and sees one moment')
    for (let turn = 0; turn < 1000 && !commit.done; turn++) {
      const values = tableNames.flatMap((table) => [...backend.range(table, {})].map((pair) => pair.value[0]))
      for (const key of keys.slice(0, 20)) values.push(backend.get('history', key)?.[0])
      assert(new Set(values).size === 1, `one moment sees one batch, not ${[...new Set(values)].join(' ')}`)
      assert(values[0] === n || values[0] === n - 1, 'the batch under way or the one before')
      yield* wait(medium.turn())
    }
    yield* wait(promise)
    assert(backend.get('links', keys[0] as Uint8Array)?.[0] === n, 'a get after the commit sees it')
    const [last] = backend.range('history', { reverse: true, limit: 1 })
    assert(last?.value[0] === n, 'a range after the commit sees it')
  }
  yield* wait(backend.close())
}

function* abandonedIterators(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys = Array.from({ length: 400 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
  const held: Iterator<Pair>[] = []
  let early = 0
  for (let round = 0; round < 60; round++) {
    const value = new Uint8Array(1000).fill(round)
    yield* wait(backend.commit([{ table: 'links', changes: keys.map((key) => ({ key, value })) }]))
    const abandoned = backend.range('links', {})
    abandoned.next()
    held.push(abandoned)
    if (round === 9) early = backend.sizeBytes().total
  }
  const { total } = backend.sizeBytes()
  assert(
    total <= early * 1.5,
    `the medium grew from ${early} to ${total} bytes by overwriting the same pairs`,
  )
  yield* wait(backend.close())
}

function* clearing(medium: ConformanceMedium): Steps<void> {
  const backend = yield* wait(medium.open())
  const keys = Array.from({ length: 1000 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff))
  const empty = backend.sizeBytes()
  yield* wait(backend.commit(tableNames.flatMap((table) => puts(table, keys))))
  const full = backend.sizeBytes()
  assert(full.used > empty.used && full.used <= full.total, 'used grows and never passes the total')
  yield* wait(backend.clear())
  const assertEmpty = (reader: StoreReader): void => {
    for (const table of tableNames) assertSame(keysOf(reader.range(table, {})), [], `${table} is empty`)
    assert(reader.get('meta', keys[0] as Uint8Array) === undefined, 'for get as well')
  }
  assertEmpty(backend)
  assert(backend.sizeBytes().used < full.used, 'used shrinks')
  yield* wait(backend.close())
  const again = yield* wait(medium.reopen())
  assertEmpty(again)
  yield* wait(again.commit(puts('meta', keys.slice(0, 2))))
  assert([...again.range('meta', {})].length === 2, 'and takes writes again')
  yield* wait(again.close())
}

function* crashes(medium: ConformanceMedium): Steps<void> {
  let backend = yield* wait(medium.open())
  let durable = 0
  for (let round = 0; round < 12; round++) {
    const whole = round % 3
    for (let i = 0; i < whole; i++) yield* wait(backend.commit(numbered(++durable)))
    // Under way when the crash comes: nobody waits for it.
    medium.follow(backend.commit(numbered(durable + 1)))
    if (round % 2 === 0) yield* wait(medium.turn())
    backend = yield* wait(medium.reopen())
    const found = [...backend.range('revisions', {})].map((pair) => pair.value[0] ?? 0)
    assert(
      found.length === durable || found.length === durable + 1,
      `${durable} were durable, ${found.length} are there`,
    )
    assertSame(
      found.map(String),
      found.map((_, i) => String(i + 1)),
      'a prefix, without a hole',
    )
    const latest = tableNames
      .filter((table) => table !== 'revisions')
      .map((table) => backend.get(table, counterKey)?.[0] ?? 0)
    assert(
      latest.every((n) => n === found.length),
      'all tables are of the same batch',
    )
    durable = found.length
  }
  yield* wait(backend.close())
}

const counterKey = Uint8Array.of(0x63)

/** Batch `n`: the counter in every table, and an entry of its own among the revisions. */
function numbered(n: number): Batch {
  return tableNames.map((table) => ({
    table,
    changes: [{ key: table === 'revisions' ? Uint8Array.of(n) : counterKey, value: Uint8Array.of(n) }],
  }))
}
