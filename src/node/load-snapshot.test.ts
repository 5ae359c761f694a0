import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError, SeededRandom } from '../base/index.ts'
import { createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger, type Time } from '../io/index.ts'
import { createSimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore } from '../snapshot/index.ts'
import { createMemoryBackend, createStore, type StoreBackend } from '../store/index.ts'
import { loadSnapshot } from './load-snapshot.ts'

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
  await loadSnapshot({ machine, backend, snapshots, flushOperations: 100 }, file, () => read('filling'))
  read('full')
  assert.deepEqual(refusals, [
    'before it is emptied: leader-changed',
    'empty: leader-changed',
    'filling: leader-changed',
    'full: an answer',
  ])
})
