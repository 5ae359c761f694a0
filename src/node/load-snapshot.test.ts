import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError, QuorateError, SeededRandom } from '../base/index.ts'
import { createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger, type Time } from '../io/index.ts'
import { createSimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore, type SnapshotFile, type SnapshotStore } from '../snapshot/index.ts'
import { createMemoryBackend, createStore, type StoreBackend } from '../store/index.ts'
import { loadSnapshot } from './load-snapshot.ts'
import type { StateMachine } from './state-machine.ts'

const limits = { flushOperations: 100, flushBytes: 1024 * 1024 }

const time: Time = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  startTimer: () => ({ cancel: () => undefined }),
  yieldTurn: () => Promise.resolve(),
  yieldBulkTurn: () => Promise.resolve(),
}

test('while the store is emptied and filled there is nothing to read, and no read goes on', async () => {
  const random = new SeededRandom(1)
  const disk = createSimulatedDisk({ random })
  const common = { disk, time, logger: silentLogger, clusterId: 7n, directory: '/snapshots', group: 0 }
  const snapshots = await openSnapshotStore(common)
  const memory = createMemoryBackend({ random, schedule: async (finish) => finish() })
  const refusals: string[] = []
  const read = (when: string): void => {
    try {
      machine.hash(0).next()
      refusals.push(`${when}: an answer`)
    } catch (error) {
      assert.ok(isQuorateError(error))
      refusals.push(`${when}: ${error.code}`)
    }
  }
  const backend: StoreBackend = {
    ...memory,
    clear: async () => {
      read('before it is emptied')
      await memory.clear()
      read('empty')
    },
  }
  const machine = createConsistentCore({ store: createStore(backend) })
  machine.applyNothing({ index: 1, term: 1 })
  const configuration = { voters: [1n], outgoing: [], learners: [], context: emptyBytes }
  const mark = { end: { index: 1, term: 1, chain: 1 }, configuration, configurationIndex: 0 }
  const source = machine.openSnapshot()
  const file = await snapshots.save(mark, () => source.next())
  source.done()
  await loadSnapshot({ machine, backend, snapshots, limits }, file, () => read('filling'))
  read('full')
  assert.deepEqual(refusals, [
    'before it is emptied: leader-changed',
    'empty: leader-changed',
    'filling: leader-changed',
    'full: an answer',
  ])
})

/** A snapshot of chunks that a test hands out, one operation each, over a store whose commits it ends. */
class Bench {
  readonly commits: { resolve: () => void; reject: (error: Error) => void }[] = []
  /** Operations of each batch. */
  readonly batches: unknown[] = []
  taken = 0
  /** The store takes what it is given at once. */
  isQuick = false
  readonly #pending = { operations: 0, bytes: 0 }
  #out: { operations: number; bytes: number } | undefined

  /** `chunks`: their sizes. */
  load(chunks: readonly number[], failsAt = Number.POSITIVE_INFINITY): Promise<void> {
    const machine = {
      appliedIndex: 1,
      pending: this.#pending,
      beginRestore: () => ({
        write: (chunk: Uint8Array) => this.#write(chunk.length),
        finish: () => undefined,
      }),
      takeBatch: () => {
        if (this.#out !== undefined || this.#pending.operations === 0) return undefined
        this.#out = { ...this.#pending }
        return { batch: [], appliedIndex: 1 }
      },
      flushed: () => {
        this.#pending.operations -= this.#out?.operations ?? 0
        this.#pending.bytes -= this.#out?.bytes ?? 0
        this.#out = undefined
      },
    } as unknown as StateMachine<unknown>
    const backend = {
      clear: () => Promise.resolve(),
      commit: () => {
        this.batches.push(this.#out?.operations)
        if (this.isQuick) return Promise.resolve()
        return new Promise<void>((resolve, reject) => this.commits.push({ resolve, reject }))
      },
    } as unknown as StoreBackend
    const snapshots = {
      load: async (_file: SnapshotFile, onChunk: (chunk: Uint8Array) => void | Promise<void>) => {
        for (const size of chunks) await onChunk(new Uint8Array(size))
      },
    } as unknown as SnapshotStore
    const file = { mark: { end: { index: 1 } } } as SnapshotFile
    const limits = { flushOperations: 2, flushBytes: 1_000 }
    return loadSnapshot({ machine, backend, snapshots, limits }, file, () => {
      if (this.taken === failsAt) throw new Error('no more')
    })
  }

  #write(bytes: number): void {
    this.taken++
    this.#pending.operations++
    this.#pending.bytes += bytes
  }
}

test('one batch is on its way to the store while the next one gathers, and no more', async () => {
  const bench = new Bench()
  const loaded = bench.load(new Array<number>(10).fill(1))
  await settled()
  assert.deepEqual([bench.taken, bench.commits.length], [6, 1])
  bench.commits[0]?.resolve()
  await settled()
  assert.deepEqual([bench.taken, bench.commits.length], [9, 2])
  bench.commits[1]?.resolve()
  await settled()
  assert.deepEqual([bench.taken, bench.commits.length], [10, 3])
  bench.commits[2]?.resolve()
  await settled()
  bench.commits[3]?.resolve()
  await loaded
  assert.equal(bench.commits.length, 4)
})

test('batches are of one size, however quick the store is', async () => {
  const bench = new Bench()
  bench.isQuick = true
  await bench.load(new Array<number>(10).fill(1))
  assert.deepEqual(bench.batches, [3, 3, 3, 1])
})

test('a batch of few bytes waits for more, one of many leaves', async () => {
  const bench = new Bench()
  const loaded = bench.load([400, 601, 1])
  await settled()
  assert.deepEqual(bench.batches, [2])
  bench.commits[0]?.resolve()
  await settled()
  bench.commits[1]?.resolve()
  await loaded
  assert.deepEqual(bench.batches, [2, 1])
})

test('a load that fails half-way ends once nothing is on its way any more', async () => {
  const bench = new Bench()
  let outcome = 'under way'
  const loaded = bench.load([1, 1, 1, 1], 3).catch((error: Error) => {
    outcome = error.message
  })
  await settled()
  assert.deepEqual([bench.commits.length, outcome], [1, 'under way'])
  bench.commits[0]?.resolve()
  await loaded
  assert.equal(outcome, 'no more')
})

test('what the store cannot take ends the load', async () => {
  const bench = new Bench()
  const loaded = bench.load([1, 1, 1, 1, 1, 1, 1])
  await settled()
  bench.commits[0]?.reject(new QuorateError('disk-full', 'full'))
  await assert.rejects(loaded, (error) => isQuorateError(error, 'disk-full'))
  assert.deepEqual([bench.taken, bench.commits.length], [6, 1])
})

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}
