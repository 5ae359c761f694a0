// Ranges out of the cache against those of a replica that has none: after each kind of write, and around them.
import assert from 'node:assert/strict'
import test from 'node:test'
import { LineTaker } from '../../testing/line-taker.ts'
import { latin1FromBytes, SeededRandom, utf8Encode } from '../base/index.ts'
import { createMemoryBackend, createStore } from '../store/index.ts'
import {
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type RangeCacheLimits,
  type RangeOperation,
  type WriteCommand,
} from './index.ts'

/** Nine units a key: a run is two of them. */
const smallRuns: RangeCacheLimits = { bytesMax: 1_000_000, runWork: 18, rangeWorkMin: 0 }
const noRuns: RangeCacheLimits = { ...smallRuns, bytesMax: 0 }

function openCore(rangeCacheLimits: RangeCacheLimits): ConsistentCore {
  const schedule = (): Promise<void> => Promise.reject(new Error('nothing is flushed'))
  const backend = createMemoryBackend({ schedule, random: new SeededRandom(1) })
  return createConsistentCore({ store: createStore(backend), rangeCacheLimits })
}

function range(key: string, rangeEnd: string, fields: Partial<RangeOperation> = {}): RangeOperation {
  return {
    ...{ kind: 'range', key: utf8Encode(key), rangeEnd: utf8Encode(rangeEnd), limit: 0, revision: 0 },
    ...{ sortOrder: 'none', sortTarget: 'key', keysOnly: false, countOnly: false },
    ...{ modRevisionMin: 0, modRevisionMax: 0, createRevisionMin: 0, createRevisionMax: 0 },
    ...fields,
  }
}

function put(key: string, value: string | Uint8Array, lease = 0n): WriteCommand {
  const flags = { previous: false, ignoreValue: false, ignoreLease: false }
  const bytes = typeof value === 'string' ? utf8Encode(value) : value
  return { kind: 'put', key: utf8Encode(key), value: bytes, lease, ...flags }
}

function deleteRange(key: string, rangeEnd = ''): WriteCommand {
  return { kind: 'deleteRange', key: utf8Encode(key), rangeEnd: utf8Encode(rangeEnd), previous: false }
}

interface Reading {
  readonly lines: readonly string[]
  /** How many pairs were read, and how many runs came out of the cache. */
  readonly added: number
  readonly runs: number
}

/** A reading that can be stopped between its turns. */
class Reader {
  readonly #taker = new LineTaker(({ key, value, ...rest }) => {
    const { createRevision, modRevision, version, lease } = rest
    const head = value.subarray(0, 20)
    return `${latin1FromBytes(key)}=${latin1FromBytes(head)} ${createRevision} ${modRevision} ${version} ${lease}`
  })
  readonly #steps: ReturnType<ConsistentCore['range']>

  constructor(core: ConsistentCore, operation: RangeOperation) {
    this.#steps = core.range(operation, this.#taker)
  }

  /** Undefined: it paused. */
  step(): Reading | undefined {
    const { done, value } = this.#steps.next()
    if (done !== true) return undefined
    assert.ok(value.kind === 'range', JSON.stringify(value))
    const { addedCount: added, runCount: runs, lines } = this.#taker
    return { lines: [...lines, `${value.count} ${value.more}`], added, runs }
  }

  finish(): Reading {
    for (;;) {
      const reading = this.step()
      if (reading !== undefined) return reading
    }
  }
}

/** A replica with the cache and one without; what they answer is compared. */
class Pair {
  readonly cached: ConsistentCore
  readonly plain = openCore(noRuns)
  #index = 0

  constructor(limits: RangeCacheLimits) {
    this.cached = openCore(limits)
  }

  write(...writes: readonly WriteCommand[]): void {
    for (const write of writes) {
      const payload = encodeCommand({ session: undefined, write })
      const entry = { index: ++this.#index, term: 1, timeMs: 0, payload }
      for (const core of [this.cached, this.plain]) {
        const { result } = core.apply(entry)
        assert.notEqual(result.kind, 'refused')
      }
    }
  }

  read(operation: RangeOperation): Reading {
    const reading = new Reader(this.cached, operation).finish()
    assert.deepEqual(reading.lines, new Reader(this.plain, operation).finish().lines)
    return reading
  }
}

const whole = range('k', 'l')

/** Ten keys in five runs, all of them in the cache. */
function readPair(limits = smallRuns): Pair {
  const pair = new Pair(limits)
  for (let i = 0; i < 10; i++) pair.write(put(`k${i}`, `v${i}`))
  assert.deepEqual(counts(pair.read(whole)), { added: 10, runs: 0 })
  assert.deepEqual(counts(pair.read(whole)), { added: 0, runs: 5 })
  return pair
}

function counts({ added, runs }: Reading): { added: number; runs: number } {
  return { added, runs }
}

test('a range that was read is handed on run by run, and costs nothing of the store', () => {
  const pair = readPair()
  assert.ok(pair.cached.counts.rangeCacheBytes > 0)
  assert.equal(pair.plain.counts.rangeCacheBytes, 0)
})

const lease = 7n
const onePut: WriteCommand = {
  ...{ kind: 'transaction', compare: [], failure: [] },
  success: [{ ...put('k5', 'new'), kind: 'put' } as Extract<WriteCommand, { kind: 'put' }>],
}
const writes: readonly { what: string; writes: readonly WriteCommand[]; added: number; runs: number }[] = [
  { what: 'a put of a key that is there', writes: [put('k4', 'new')], added: 2, runs: 4 },
  { what: 'a put that changes the lease alone', writes: [put('k4', 'v4', lease)], added: 2, runs: 4 },
  { what: 'a new key between two of a run', writes: [put('k4a', 'new')], added: 3, runs: 4 },
  { what: 'a new key between two runs', writes: [put('k5a', 'new')], added: 3, runs: 4 },
  { what: 'a new key before the first', writes: [put('k', 'new')], added: 3, runs: 4 },
  { what: 'a new key behind the last run', writes: [put('kk', 'new')], added: 1, runs: 5 },
  { what: 'a delete', writes: [deleteRange('k4')], added: 1, runs: 4 },
  { what: 'a delete of a range', writes: [deleteRange('k3', 'k7')], added: 2, runs: 2 },
  { what: 'a delete of a whole run', writes: [deleteRange('k4', 'k6')], added: 0, runs: 4 },
  { what: 'a put in a transaction', writes: [onePut], added: 2, runs: 4 },
  {
    what: 'the end of a lease',
    writes: [put('k8', 'with', lease), { kind: 'leaseRevoke', id: lease, expired: true }],
    added: 1,
    runs: 4,
  },
  { what: 'a write outside of the range', writes: [put('j', 'new'), put('l', 'new')], added: 0, runs: 5 },
  { what: 'a delete that finds nothing', writes: [deleteRange('k4a')], added: 0, runs: 5 },
  { what: 'a compaction', writes: [{ kind: 'compact', revision: 8 }], added: 0, runs: 5 },
]

for (const { what, writes: written, ...expected } of writes) {
  test(`${what}: what it touched is read again, and nothing else`, () => {
    const pair = readPair()
    pair.write({ kind: 'leaseGrant', id: lease, ttlSeconds: 60 }, ...written)
    while (pair.cached.maintain());
    assert.deepEqual(counts(pair.read(whole)), expected)
    assert.equal(pair.read(whole).added, 0, 'it is in the cache again')
  })
}

test('keys with zero bytes and keys longer than the store takes drop their run as others do', () => {
  const long = `k${'5'.repeat(4_000)}`
  const pair = readPair()
  for (const key of ['k5\0', `${long}a`, `${long}b`, 'k\0\0', `k5\0${long}`]) {
    pair.write(put(key, 'one'))
    pair.read(whole)
    pair.write(put(key, 'two'))
    pair.read(whole)
    pair.write(deleteRange(key))
    pair.read(whole)
    assert.equal(pair.read(whole).added, 0)
  }
})

test('a part of a run is read from the store, and leaves the run as it is', () => {
  const pair = readPair()
  for (const part of [range('k1', 'l'), range('k', 'k3'), range('k3', 'k6'), range('k', '\0')])
    pair.read(part)
  for (let limit = 1; limit <= 11; limit++) pair.read(range('k', 'l', { limit }))
  assert.equal(pair.read(range('k', 'l', { limit: 4 })).runs, 2)
  assert.equal(pair.read(range('k', 'l', { limit: 5 })).runs, 2)
  assert.deepEqual(counts(pair.read(range('k4', 'k7\0'))), { added: 0, runs: 2 }, 'all of two runs')
  assert.deepEqual(counts(pair.read(whole)), { added: 0, runs: 5 })
})

test('filters, orders, keys and counts are none of the cache', () => {
  const pair = readPair()
  const fields: Partial<RangeOperation>[] = [
    { keysOnly: true },
    { countOnly: true },
    { modRevisionMin: 5 },
    { createRevisionMax: 5 },
    { sortOrder: 'descend' },
    { sortTarget: 'value' },
    { sortOrder: 'ascend', sortTarget: 'mod' },
  ]
  for (const field of fields) assert.equal(pair.read(range('k', 'l', field)).runs, 0)
  assert.equal(pair.read(range('k', 'l', { sortOrder: 'ascend' })).runs, 5)
})

test('a reader of an older revision takes what was not written since, and leaves nothing behind', () => {
  const pair = readPair()
  const { revision } = pair.plain
  pair.write(put('k4', 'new'), put('j', 'new'))
  assert.deepEqual(counts(pair.read(range('k', 'l', { revision }))), { added: 2, runs: 4 })
  assert.deepEqual(counts(pair.read(range('k', 'l', { revision: revision - 1 }))), { added: 9, runs: 0 })
  assert.deepEqual(counts(pair.read(whole)), { added: 2, runs: 4 }, 'the newest is read for the first time')
  assert.deepEqual(counts(pair.read(range('k', 'l', { revision }))), { added: 2, runs: 4 }, 'a newer run')
})

/** So large that a turn is over after five of them. */
const large = new Uint8Array(1_000_000)

test('a reader that pauses sees its revision, and what is written meanwhile is not kept as new', () => {
  for (const written of [put('k2', 'new'), put('k8', 'new'), deleteRange('k8'), put('k7a', 'new')]) {
    const pair = new Pair(smallRuns)
    for (let i = 0; i < 12; i++) pair.write(put(`k${String.fromCharCode(97 + i)}`, large))
    for (let i = 0; i < 12; i++) pair.write(put(`k${i}`, large))
    const expected = new Reader(pair.plain, whole).finish()
    const readers = [new Reader(pair.cached, whole), new Reader(pair.cached, whole)]
    assert.deepEqual(
      readers.map((reader) => reader.step()),
      [undefined, undefined],
    )
    pair.write(written)
    pair.read(whole)
    pair.read(whole)
    for (const reader of readers) assert.deepEqual(reader.finish().lines, expected.lines)
    pair.read(whole)
    assert.equal(pair.read(whole).added, 0)
  }
})

test('a state that a snapshot brings has nothing to do with the runs of the one before', () => {
  const pair = readPair()
  const other = openCore(noRuns)
  for (let index = 1; index <= 10; index++) {
    const payload = encodeCommand({ session: undefined, write: put(`k${index % 3}`, 'other') })
    other.apply({ index, term: 2, timeMs: 0, payload })
  }
  const source = other.openSnapshot()
  const sink = pair.cached.beginRestore()
  for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) sink.write(chunk)
  source.done()
  sink.finish()
  assert.equal(pair.cached.counts.rangeCacheBytes, 0)
  assert.deepEqual(new Reader(pair.cached, whole).finish().lines, new Reader(other, whole).finish().lines)
})

test('small ranges leave nothing in the cache', () => {
  const pair = new Pair({ ...smallRuns, rangeWorkMin: 90 })
  for (let i = 0; i < 10; i++) pair.write(put(`k${i}`, `v${i}`))
  pair.read(range('k', 'k9'))
  assert.equal(pair.cached.counts.rangeCacheBytes, 0)
  pair.read(whole)
  assert.ok(pair.cached.counts.rangeCacheBytes > 0)
})

test('what was not used for longest makes room; a range larger than the cache keeps what it had', () => {
  const bytesMax = 3 * 4_096
  const pair = new Pair({ ...smallRuns, bytesMax })
  for (let i = 0; i < 10; i++) pair.write(put(`k${i}`, `v${i}`), put(`m${i}`, `v${i}`))
  pair.read(whole)
  assert.deepEqual(counts(pair.read(whole)), { added: 4, runs: 3 })
  assert.deepEqual(counts(pair.read(whole)), { added: 4, runs: 3 })
  assert.equal(pair.cached.counts.rangeCacheBytes, bytesMax)
  pair.read(range('m', 'm2'))
  assert.equal(pair.cached.counts.rangeCacheBytes, bytesMax)
  assert.deepEqual(counts(pair.read(range('m', 'm2'))), { added: 0, runs: 1 })
  assert.equal(pair.read(whole).runs, 2, 'its first went')
})
