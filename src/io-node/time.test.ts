import assert from 'node:assert/strict'
import test from 'node:test'
import { createNodeTime } from './index.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('each turn of the loop has one piece of large work, in the order in which they were asked for', async () => {
  const time = createNodeTime()
  const begun: number[][] = []
  let begunInTurn: number[] = []
  const work = async (id: number): Promise<void> => {
    for (let piece = 0; piece < 2; piece++) {
      await time.yieldBulkTurn()
      begunInTurn.push(id)
    }
  }
  const works = [1, 2, 3].map(work)
  for (let turns = 0; turns < 8; turns++) {
    await turn()
    begun.push(begunInTurn)
    begunInTurn = []
  }
  await Promise.all(works)
  assert.deepEqual(begun, [[1], [2], [3], [1], [2], [3], [], []])
})

test('large work alone has the next turn, and each clock has turns of its own', async () => {
  const [time, other] = [createNodeTime(), createNodeTime()]
  let begunCount = 0
  const count = (): void => void begunCount++
  for (let turns = 1; turns <= 3; turns++) {
    void time.yieldBulkTurn().then(count)
    void other.yieldBulkTurn().then(count)
    await turn()
    assert.equal(begunCount, 2 * turns)
  }
})
