import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import { silentLogger } from '../io/index.ts'
import { createSimulatedDisk, type SimulatedDisk } from '../simulator/disk.ts'
import { openSegmentedLog, type SegmentedLog } from './index.ts'

const directory = '/segments'
const preamble = Uint8Array.of(1, 2, 3)

async function createDisk(): Promise<SimulatedDisk> {
  const disk = createSimulatedDisk({ random: new SeededRandom(1) })
  await disk.makeDirectory(directory)
  return disk
}

function open(disk: SimulatedDisk): Promise<SegmentedLog> {
  const options = { logger: silentLogger, directory, clusterId: 1n, nodeId: 2n, segmentBytesMax: 1024 }
  return openSegmentedLog({ disk: disk.mount(), ...options })
}

/** Appends `count` blocks of 100 bytes, rolling where one does not fit. */
async function fill(log: SegmentedLog, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (log.room < 100) await log.roll(preamble, 100)
    await log.append([new Uint8Array(60).fill(7), new Uint8Array(40).fill(8)], 100)
  }
}

test('a segment has its size, its preamble and its place, and readers see its content', async () => {
  const disk = await createDisk()
  const log = await open(disk)
  await fill(log, 25)
  disk.crash('nothing')
  const reopened = await open(disk)
  assert.deepEqual(
    reopened.segments.map(({ sequence, start, size }) => ({ sequence, start, size })),
    [
      { sequence: 1, start: 52, size: 1024 },
      { sequence: 2, start: 55, size: 1024 },
      { sequence: 3, start: 55, size: 1024 },
    ],
  )
  assert.equal(reopened.bytes, 3072)
  const [, second] = reopened.segments
  assert.ok(second !== undefined)
  assert.equal(second.end, 55 + 900, 'the header of the third says where the second ends')
  assert.deepEqual(await reopened.readPreamble(second), preamble)
  const file = await reopened.openReader(second)
  const bytes = new Uint8Array(100)
  await file.read(second.start + 800, bytes)
  assert.deepEqual(bytes, new Uint8Array(100).fill(7, 0, 60).fill(8, 60))
  await file.close()
})

test('the next file is made before it is needed, so a roll does not wait for its zeros', async () => {
  const disk = await createDisk()
  const log = await open(disk)
  await fill(log, 3)
  assert.equal(disk.countOf('preallocate'), 1)
  await fill(log, 6)
  assert.equal(disk.countOf('preallocate'), 2, 'made when the segment was half full')
  await fill(log, 1)
  assert.equal(log.newest.sequence, 2)
  assert.equal(disk.countOf('preallocate'), 2)
  await log.close()
  assert.equal(disk.openFiles, 0)
})

test('a spare that could not be made for lack of space is made when it is needed', async () => {
  const disk = await createDisk()
  const log = await open(disk)
  disk.setFaults({ bytesMax: 1024 })
  await fill(log, 9)
  await assert.rejects(fill(log, 1), (error) => isQuorateError(error, 'disk-full'))
  assert.equal(disk.paths('cached').length, 1, 'the unfinished file gave its space back')
  disk.setFaults({})
  await fill(log, 1)
  assert.equal(log.newest.sequence, 2)
})

test('a removal that fails leaves no gap, and the next log can remove again', async () => {
  const disk = await createDisk()
  const log = await open(disk)
  await fill(log, 45)
  assert.equal(log.segments.length, 5)
  disk.failNext({ operation: 'remove', nth: 2 })
  log.removeBefore(5)
  assert.deepEqual(
    log.segments.map(({ sequence }) => sequence),
    [5],
  )
  await log.close()
  const reopened = await open(disk)
  assert.deepEqual(
    reopened.segments.map(({ sequence }) => sequence),
    [2, 3, 4, 5],
  )
  reopened.removeBefore(9)
  await reopened.close()
  assert.equal((await open(disk)).segments.length, 1, 'the newest is never removed')
})
