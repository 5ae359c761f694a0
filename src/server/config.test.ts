import assert from 'node:assert/strict'
import test from 'node:test'
import { defaultGroupLimits } from '../node/index.ts'
import { configFromFlags, parseFlags } from './index.ts'

test('a snapshot waits for ten thousand entries and a segment of log, in a server and in a node alike', () => {
  const { snapshotCount, snapshotLogBytesMin, segmentBytesMax } = configFromFlags(parseFlags([], {}))
  assert.deepEqual([snapshotCount, snapshotLogBytesMin, segmentBytesMax], [10_000, 2 ** 26, 2 ** 26])
  assert.equal(defaultGroupLimits.snapshotCount, snapshotCount)
  assert.equal(defaultGroupLimits.snapshotLogBytesMin, snapshotLogBytesMin)
})
