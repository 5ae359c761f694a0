import assert from 'node:assert/strict'
import test from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { runConformance } from '../../testing/conformance.ts'
import { isQuorateError, QuorateError, SeededRandom } from '../base/index.ts'
import { conformanceCases, createMemoryBackend, type MemoryBackend, overlayCase } from './index.ts'

/** Ends a commit in the next turn of the event loop. */
async function nextTurn(finish: () => void): Promise<void> {
  await setImmediate()
  finish()
}

/** Ends commits when the test says so. */
function createManual(): { schedule: (finish: () => void) => Promise<void>; finish: () => void } {
  const waiting: (() => void)[] = []
  const schedule = (finish: () => void): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(finish())
        } catch (error) {
          reject(error)
        }
      })
    })
  return { schedule, finish: () => waiting.shift()?.() }
}

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`memory backend: SEED=${seed}`)

const overlayCases = Array.from({ length: 20 }, (_, i) => overlayCase((seed + i) >>> 0, 1500))
runConformance('memory', [...conformanceCases, ...overlayCases], () => {
  let backend: MemoryBackend | undefined
  const open = (): Promise<MemoryBackend> => {
    const next =
      backend?.crash() ?? createMemoryBackend({ schedule: nextTurn, random: new SeededRandom(seed) })
    backend = next
    return Promise.resolve(next)
  }
  return Promise.resolve({
    open,
    reopen: open,
    turn: () => setImmediate(),
    dispose: () => Promise.resolve(),
  })
})

test('a commit ends when the scheduler says so, and nothing of it is seen before', async () => {
  const { schedule, finish } = createManual()
  const backend = createMemoryBackend({ schedule, random: new SeededRandom(1) })
  const key = Uint8Array.of(1)
  const commit = backend.commit([{ table: 'meta', changes: [{ key, value: key }] }])
  assert.equal(backend.get('meta', key), undefined)
  finish()
  assert.deepEqual(backend.get('meta', key), key)
  await commit
  assert.deepEqual(backend.sizeBytes(), { total: 2, used: 2 })
})

test('a crash keeps the commit under way or loses it, as the seed says, and the old object is dead', async () => {
  const outcomes = new Set<boolean>()
  for (let seed = 0; seed < 20; seed++) {
    const found: boolean[] = []
    for (let run = 0; run < 2; run++) {
      const { schedule, finish } = createManual()
      const backend = createMemoryBackend({ schedule, random: new SeededRandom(seed) })
      const key = Uint8Array.of(1)
      const commit = backend.commit([{ table: 'meta', changes: [{ key, value: key }] }])
      const again = backend.crash()
      const isThere = again.get('meta', key) !== undefined
      // The commit of the dead process must not arrive later, nor be reported durable.
      finish()
      await assert.rejects(commit, (error) => isQuorateError(error, 'stopped'))
      assert.equal(again.get('meta', key) !== undefined, isThere)
      assert.throws(() => backend.get('meta', key), /crashed/)
      found.push(isThere)
    }
    assert.equal(found[0], found[1], 'the same seed has the same outcome')
    outcomes.add(found[0] === true)
  }
  assert.equal(outcomes.size, 2, 'both outcomes happen')
})

test('a fault fails the commit and leaves nothing of it', async () => {
  let error: QuorateError | undefined = new QuorateError('disk-full', 'no space')
  const random = new SeededRandom(1)
  const backend = createMemoryBackend({ schedule: nextTurn, random, fault: () => error })
  const key = Uint8Array.of(1)
  const batch = [{ table: 'meta' as const, changes: [{ key, value: key }] }]
  await assert.rejects(backend.commit(batch), (thrown) => isQuorateError(thrown, 'disk-full'))
  assert.equal(backend.get('meta', key), undefined)
  error = undefined
  await backend.commit(batch)
  assert.deepEqual(backend.get('meta', key), key)
})

test('a batch out of order, with a key twice or too long is a mistake of the program', () => {
  const backend = createMemoryBackend({ schedule: nextTurn, random: new SeededRandom(1) })
  const commit = (...keys: Uint8Array[]): unknown =>
    backend.commit([{ table: 'meta', changes: keys.map((key) => ({ key, value: key })) }])
  assert.throws(() => commit(Uint8Array.of(2), Uint8Array.of(1)), /key order/)
  assert.throws(() => commit(Uint8Array.of(2), Uint8Array.of(2)), /each key once/)
  assert.throws(() => commit(new Uint8Array(1979)), /1978/)
  assert.throws(() => commit(new Uint8Array(0)), /1978/)
})
