// Connections that have more to do than they may at once go on a part of each turn of the loop.
import assert from 'node:assert/strict'
import test from 'node:test'
import { createNodeTime } from '../io-node/index.ts'
import { TurnQueue } from './turn-queue.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('of many a few go on in each turn, in the order in which they came', async () => {
  const done: number[] = []
  const queue = new TurnQueue<number>(
    { ...createNodeTime(), monotonicMs: () => 0 },
    8,
    (id) => done.push(id) > 0,
  )
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
  const queue = new TurnQueue<number>({ ...createNodeTime(), monotonicMs: () => nowMs }, 8, (id) => {
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
