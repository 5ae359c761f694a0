import assert from 'node:assert/strict'
import test from 'node:test'
import { QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import { StateRepair } from './state-repair.ts'

function createParts(mark: () => Promise<void> = () => Promise.resolve()) {
  const log: string[] = []
  const timers: (() => void)[] = []
  const time: Time = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    startTimer: (_delayMs, callback) => {
      timers.push(callback)
      return { cancel: () => undefined }
    },
    yieldTurn: () => Promise.resolve(),
    yieldBulkTurn: () => Promise.resolve(),
  }
  const note = (text: string): void => {
    log.push(text)
  }
  const repair = new StateRepair({
    time,
    discard: async () => note('discarded'),
    mark: async () => {
      await mark()
      note('marked')
    },
    clearMark: async () => note('cleared'),
    failed: (error) => note(`failed: ${String(error)}`),
  })
  return { repair, log, timers }
}

test('another state is asked for only once the loss is noted, and the note goes only with the new state', async () => {
  const { repair, log } = createParts()
  repair.begin(7)
  assert.deepEqual([repair.isLost, repair.isReady, repair.leastIndex, repair.count], [true, false, 7, 1])
  await repair.marked()
  assert.deepEqual([repair.isReady, log], [true, ['discarded', 'marked']])
  await repair.finish()
  assert.deepEqual([repair.isLost, repair.isReady, log.at(-1)], [false, false, 'cleared'])
  assert.equal(repair.isOnProbation, true)
  repair.confirmed()
  assert.equal(repair.isOnProbation, false)
})

test('a loss of an earlier life is noted already', async () => {
  const { repair, log } = createParts()
  repair.resume(3)
  assert.deepEqual([repair.isReady, repair.leastIndex, log], [true, 3, []])
})

test('a full disk: the note is tried again, and a stop does not wait for room', async () => {
  let isFull = true
  const full = async (): Promise<void> => {
    if (isFull) throw new QuorateError('disk-full', 'full')
  }
  const { repair, log, timers } = createParts(full)
  repair.begin(7)
  await new Promise(setImmediate)
  assert.deepEqual([repair.isReady, timers.length], [false, 1])
  isFull = false
  timers.shift()?.()
  await repair.marked()
  assert.equal(repair.isReady, true)
  isFull = true
  const other = createParts(full)
  other.repair.begin(7)
  await new Promise(setImmediate)
  const stopped = other.repair.stop()
  other.timers.shift()?.()
  await stopped
  assert.deepEqual([other.repair.isReady, log.at(-1)], [false, 'marked'])
})

test('a stop right after the loss leaves the note behind', async () => {
  const { repair, log } = createParts()
  repair.begin(7)
  await repair.stop()
  assert.deepEqual(log, ['discarded', 'marked'])
})
