// Connections that have more to do than they may at once go on a part of each turn of the loop.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Time } from '../io/index.ts'
import { createNodeTime } from '../io-node/index.ts'
import { TurnQueue } from './turn-queue.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Real turns, and a clock that tells what the test says. */
function createTime(monotonicMs: () => number): Time {
  const yieldTurn = (): never => assert.fail('connections that wait share the turns of large work')
  return { ...createNodeTime(), monotonicMs, yieldTurn }
}

test('of many a few go on in each turn, in the order in which they came', async () => {
  const done: number[] = []
  const time = createTime(() => 0)
  const queue = new TurnQueue<number>(time, 8, (id) => done.push(id) > 0)
  for (let id = 0; id < 20; id++) queue.add(id)
  const counts: number[] = []
  for (let turns = 0; turns < 4; turns++) {
    await turn()
    counts.push(done.length)
  }
  assert.deepEqual(counts, [8, 16, 20, 20])
  assert.deepEqual(done, [...Array(20).keys()])
})

test('what takes long is spread over the turns, and who has more to do takes turns with the others', async () => {
  let nowMs = 0
  let slices = 7
  const done: number[] = []
  const time = createTime(() => nowMs)
  const queue = new TurnQueue<number>(time, 8, (id) => {
    done.push(id)
    nowMs += 0.2
    return --slices <= 0
  })
  queue.add(1)
  queue.add(2)
  const counts: number[] = []
  for (let turns = 0; turns < 4; turns++) {
    await turn()
    counts.push(done.length)
  }
  assert.deepEqual(counts, [2, 4, 6, 8], 'a third of a millisecond in each turn')
  assert.deepEqual(done, [1, 2, 1, 2, 1, 2, 1, 2])
})
