import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import type { DiskOperation, SimulatedDisk } from '../simulator/disk.ts'
import { createDisk, open } from './testing/harness.ts'
import { LogModel } from './testing/model.ts'

const seed = Number(process.env.SEED ?? 20260801)
const options = { segmentBytesMax: 2048 }

/** Opens, works and closes; 'done' when the power lasted. */
async function live(disk: SimulatedDisk, model: LogModel, operations: number): Promise<'done' | 'halted'> {
  const mounted = disk.mount()
  const life = async (): Promise<'done'> => {
    const log = await open(mounted, options)
    model.recover(log.recovered)
    await model.checkEntries(log)
    await model.work(log, operations)
    await log.close()
    return 'done'
  }
  return Promise.race([life(), disk.halted])
}

test(`a power cut at every disk operation loses nothing that was acknowledged (seed ${seed})`, async () => {
  let cuts = 0
  for (let k = 1; ; k++) {
    const disk = createDisk(seed + k)
    const model = new LogModel(new SeededRandom(seed), [0, 1, 5])
    disk.haltAt(k)
    const outcome = await live(disk, model, 30)
    disk.crash()
    await live(disk, model, 4).catch((error: unknown) => {
      throw new Error(`power cut at operation ${k}`, { cause: error })
    })
    assert.deepEqual(disk.misuse, [])
    if (outcome === 'done') break
    cuts++
  }
  assert.ok(cuts > 100, `only ${cuts} operations to cut at`)
})

test(`power cut after power cut, in the work and in the recovery (seed ${seed})`, async () => {
  const random = new SeededRandom(seed)
  for (let run = 0; run < 40; run++) {
    const disk = createDisk(random.nextU32())
    const model = new LogModel(random.fork(), run % 2 === 0 ? [0] : [0, 1, 5])
    for (let life = 0; life < 8; life++) {
      // Every third life ends while it is being opened.
      disk.haltAt(disk.operationCount + random.between(1, life % 3 === 2 ? 30 : 150))
      await live(disk, model, 30).catch((error: unknown) => {
        throw new Error(`run ${run}, life ${life}`, { cause: error })
      })
      disk.crash()
    }
    await live(disk, model, 0)
    assert.deepEqual(disk.misuse, [])
  }
})

/** What the log asks of a disk; `remove` apart, whose failure costs space only. */
const failingOperations: readonly DiskOperation[] = [
  'makeDirectory',
  'list',
  'open',
  'size',
  'read',
  'write',
  'preallocate',
  'rename',
  'syncDirectory',
  'close',
]

test(`an error of every disk operation ends the log, and loses nothing that was acknowledged (seed ${seed})`, async () => {
  let errors = 0
  for (const operation of failingOperations) {
    for (let nth = 1; ; nth++) {
      const disk = createDisk(seed + nth)
      const model = new LogModel(new SeededRandom(seed), [0, 1, 5])
      disk.failNext({ operation, nth })
      // It may also go unnoticed, where nothing depends on it.
      await live(disk, model, 30).catch((error: unknown) => {
        assert.ok(isQuorateError(error, 'disk-failed'), `${operation} ${nth}: ${error}`)
      })
      if (disk.countOf(operation) < nth) break
      errors++
      assert.deepEqual(disk.misuse, [], `${operation} ${nth}`)
      disk.clearFaults()
      disk.crash('nothing')
      await live(disk, model, 4).catch((error: unknown) => {
        throw new Error(`after an error of ${operation} ${nth}`, { cause: error })
      })
    }
  }
  assert.ok(errors > 80, `only ${errors} operations to fail`)
})
