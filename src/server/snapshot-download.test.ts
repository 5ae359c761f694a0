import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import { createMemoryDisk } from '../io-node/index.ts'
import { openDownload } from './snapshot-download.ts'

const time: Time = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  startTimer: () => ({ cancel: () => undefined }),
  yieldTurn: () => Promise.resolve(),
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
