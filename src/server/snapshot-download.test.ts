import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import { createMemoryDisk } from '../io-node/index.ts'
import type { SnapshotSource } from '../node/index.ts'
import { openDownload } from './snapshot-download.ts'

const time: Time = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  startTimer: () => ({ cancel: () => undefined }),
  yieldTurn: () => assert.fail('a download shares the turns of large work'),
  yieldBulkTurn: () => Promise.resolve(),
}

test('a cut that is refused leaves no file behind', async () => {
  const disk = createMemoryDisk()
  await disk.makeDirectory('/data')
  const refused = openDownload({
    disk,
    time,
    directory: '/data',
    cut: () => Promise.reject(new QuorateError('no-leader', 'the state is being replaced')),
  })
  await assert.rejects(refused, (error) => isQuorateError(error, 'no-leader'))
  assert.deepEqual(await disk.list('/data'), [])
})

test('a download lets others have their turn after each slice that it writes', async () => {
  const disk = createMemoryDisk()
  await disk.makeDirectory('/data')
  let left = 6
  const source: SnapshotSource = {
    appliedIndex: 1,
    appliedTerm: 1,
    next: () => (left-- > 0 ? new Uint8Array(512 * 1024) : undefined),
    done: () => undefined,
  }
  let turns = 0
  const counting: Time = { ...time, yieldBulkTurn: async () => void turns++ }
  const download = await openDownload({ disk, time: counting, directory: '/data', cut: async () => source })
  download.close()
  assert.equal(turns, 4, 'three times a mebibyte, and the end')
})
