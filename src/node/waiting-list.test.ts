import assert from 'node:assert/strict'
import test from 'node:test'
import { AssertionError, isQuorateError } from '../base/index.ts'
import { WaitingList } from './waiting-list.ts'

/** What became of a promise so far. */
function follow(promise: Promise<string>): { outcomes: string[] } {
  const followed = { outcomes: [] as string[] }
  promise.then(
    (result) => followed.outcomes.push(result),
    (error: unknown) => followed.outcomes.push(isQuorateError(error) ? error.code : String(error)),
  )
  return followed
}

const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))

test('each request is answered once, by whatever comes first', async () => {
  const list = new WaitingList<string>(10)
  const first = follow(list.add(1, 100))
  const second = follow(list.add(2, 100))
  list.resolve(1, 'done')
  list.resolve(1, 'done again')
  list.expire(100, 'outcome-unknown', 'late')
  list.resolve(2, 'too late')
  await settled()
  assert.deepEqual([first.outcomes, second.outcomes], [['done'], ['outcome-unknown']])
  assert.equal(list.size, 0)
})

test('only what has waited too long expires', async () => {
  const list = new WaitingList<string>(10)
  const early = follow(list.add(1, 10))
  const late = follow(list.add(2, 20))
  list.expire(10, 'timeout', 'late')
  await settled()
  assert.deepEqual([early.outcomes, late.outcomes], [['timeout'], []])
  assert.equal(list.has(2), true)
})

test('a loss answers those that it concerns', async () => {
  const list = new WaitingList<string>(10)
  const lost = follow(list.add(1, 100))
  const kept = follow(list.add(2, 100))
  list.rejectWhere((sequence) => sequence === 1, 'outcome-unknown', 'the leader changed')
  list.resolve(2, 'done')
  await settled()
  assert.deepEqual([lost.outcomes, kept.outcomes], [['outcome-unknown'], ['done']])
})

test('a full list takes nobody: its owner has to ask first', () => {
  const list = new WaitingList<string>(1)
  follow(list.add(1, 100))
  assert.equal(list.isFull, true)
  assert.throws(() => list.add(2, 100), AssertionError)
})

test('100,000 requests without an answer leave an empty list', async () => {
  const list = new WaitingList<string>(100_000)
  const all = Array.from({ length: 100_000 }, (_, i) => follow(list.add(i, 5)))
  list.expire(5, 'outcome-unknown', 'late')
  await settled()
  assert.equal(list.size, 0)
  assert.ok(all.every(({ outcomes }) => outcomes.length === 1))
})
