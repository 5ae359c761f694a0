import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { compareBytes, hexFromBytes, SeededRandom } from '../base/index.ts'
import { createMemoryBackend, createStore, type Pair, type Store, type StoreBackend } from './index.ts'
import { OrderedEntries } from './ordered-entries.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value)
const shown = (pairs: Iterable<Pair>): string =>
  Array.from(pairs, (p) => `${text(p.key)}=${text(p.value)}`).join(' ')

async function nextTurn(finish: () => void): Promise<void> {
  await setImmediate()
  finish()
}

function createBackend(): StoreBackend {
  return createMemoryBackend({ schedule: nextTurn, random: new SeededRandom(1) })
}

async function flush(store: Store, backend: StoreBackend): Promise<void> {
  const batch = store.takeBatch()
  assert.ok(batch !== undefined)
  await backend.commit(batch)
  store.flushed()
}

test('the newest layer wins: what gathers, then the batch that is out, then the backend', async () => {
  const backend = createBackend()
  const store = createStore(backend)
  for (const key of ['a', 'b', 'c', 'd', 'e']) store.put('links', bytes(key), bytes('backend'))
  await flush(store, backend)
  store.put('links', bytes('b'), bytes('out'))
  store.delete('links', bytes('c'))
  store.put('links', bytes('d'), bytes('out'))
  assert.ok(store.takeBatch() !== undefined)
  store.delete('links', bytes('b'))
  store.put('links', bytes('c'), bytes('gathering'))
  store.put('links', bytes('f'), bytes('gathering'))
  const expected = 'a=backend c=gathering d=out e=backend f=gathering'
  assert.equal(shown(store.range('links', {})), expected)
  assert.equal(shown(store.range('links', { reverse: true })), expected.split(' ').reverse().join(' '))
  assert.equal(shown(store.range('links', { limit: 2 })), 'a=backend c=gathering')
  assert.equal(
    shown(store.range('links', { first: bytes('b'), end: bytes('e'), reverse: true, limit: 1 })),
    'd=out',
  )
  assert.equal(store.get('links', bytes('b')), undefined)
  assert.equal(text(store.get('links', bytes('c'))), 'gathering')
  assert.equal(text(store.get('links', bytes('d'))), 'out')
  assert.equal(text(store.get('links', bytes('e'))), 'backend')
})

test('a batch has its changes in key order, each key once, with removals', () => {
  const store = createStore(createBackend())
  assert.equal(store.takeBatch(), undefined)
  for (const key of ['q', 'a', 'z', 'q', 'm']) store.put('leases', bytes(key), bytes(key))
  store.delete('leases', bytes('m'))
  store.put('meta', bytes('x'), bytes('1'))
  const batch = store.takeBatch()
  assert.deepEqual(
    batch?.map(({ table, changes }) => [table, ...changes.map((c) => `${text(c.key)}=${text(c.value)}`)]),
    [
      ['meta', 'x=1'],
      ['leases', 'a=a', 'm=undefined', 'q=q', 'z=z'],
    ],
  )
  store.put('meta', bytes('y'), bytes('1'))
  assert.equal(store.takeBatch(), undefined, 'one batch at a time')
})

test('pending counts what is not durable, and an overwrite once', async () => {
  const backend = createBackend()
  const store = createStore(backend)
  store.put('links', bytes('key'), bytes('12345'))
  store.put('links', bytes('key'), bytes('1'))
  assert.deepEqual(store.pending, { operations: 1, bytes: 4 })
  const batch = store.takeBatch()
  store.delete('links', bytes('key'))
  assert.deepEqual(store.pending, { operations: 2, bytes: 7 })
  await backend.commit(batch ?? [])
  store.flushed()
  assert.deepEqual(store.pending, { operations: 1, bytes: 3 })
  store.discard()
  assert.deepEqual(store.pending, { operations: 0, bytes: 0 })
  assert.equal(text(store.get('links', bytes('key'))), '1')
  assert.throws(() => store.flushed(), /batch is out/)
})

test('a range notices a write under its feet, and gives the backend its iterator back', () => {
  const backend = createBackend()
  let open = 0
  const counted: StoreBackend = {
    ...backend,
    *range(table, range) {
      open++
      try {
        yield* backend.range(table, range)
      } finally {
        open--
      }
    },
  }
  const store = createStore(counted)
  for (const key of ['a', 'b', 'c']) store.put('links', bytes(key), bytes(key))
  assert.throws(() => {
    for (const { key } of store.range('links', {})) store.delete('links', key)
  }, /written to while/)
  for (const _ of store.range('links', {})) break
  assert.equal(shown(store.range('links', { limit: 1 })), 'b=b')
  assert.equal(open, 0)
})

test('keys that cannot be stored are a mistake of the program', () => {
  const store = createStore(createBackend())
  assert.throws(() => store.put('meta', new Uint8Array(0), bytes('x')), /1 to 1978/)
  assert.throws(() => store.delete('meta', new Uint8Array(1979)), /1 to 1978/)
  store.put('meta', new Uint8Array(1978), bytes('x'))
})

test('ordered entries equal a sorted list, through splits and removals', () => {
  const operation = fc.tuple(fc.boolean(), fc.uint8Array({ minLength: 1, maxLength: 2 }))
  const property = fc.property(fc.array(operation, { maxLength: 1500, size: 'max' }), (operations) => {
    const entries = new OrderedEntries()
    const model = new Map<string, Uint8Array>()
    for (const [isPut, key] of operations) {
      if (isPut) entries.set({ key, value: key })
      else entries.remove(key)
      if (isPut) model.set(hexFromBytes(key), key)
      else model.delete(hexFromBytes(key))
    }
    const sorted = [...model.values()].sort(compareBytes).map(hexFromBytes)
    assert.equal(entries.size, sorted.length)
    assert.deepEqual(
      entries.toArray().map((entry) => hexFromBytes(entry.key)),
      sorted,
    )
    const backwards: string[] = []
    for (const cursor = entries.cursor({ reverse: true }); cursor.entry !== undefined; cursor.advance()) {
      backwards.push(hexFromBytes(cursor.entry.key))
    }
    assert.deepEqual(backwards.reverse(), sorted)
    for (const [, key] of operations) {
      assert.equal(entries.get(key) !== undefined, model.has(hexFromBytes(key)))
    }
  })
  fc.assert(property, { numRuns: 60 })
})
