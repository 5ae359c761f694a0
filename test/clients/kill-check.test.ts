import assert from 'node:assert/strict'
import test from 'node:test'
import { type Attempt, findViolations, type HistoryEvent, longestGapMs } from './kill-check.ts'

function attempt(key: string, startedAt: number, endedAt: number, revision?: number): Attempt {
  return { key, startedAt, endedAt, revision }
}

function event(key: string, revision: number, version = 1): HistoryEvent {
  return { key, revision, version }
}

const attempts = [
  attempt('a', 0, 10, 2),
  attempt('b', 5, 20, 3),
  attempt('c', 11, 30),
  attempt('d', 21, 40, 4),
]
const whole = [event('a', 2), event('b', 3), event('d', 4)]

function violations(n1: HistoryEvent[], n2: HistoryEvent[] = n1, of: Attempt[] = attempts): string {
  const histories = [
    { node: 'n1', events: n1 },
    { node: 'n2', events: n2 },
  ]
  return findViolations(of, histories).join('\n')
}

test('a history with every acknowledged write, and an unknown one or not, is in order', () => {
  assert.equal(violations(whole), '')
  assert.equal(violations([...whole, event('c', 5)]), '')
})

test('each fault is found', () => {
  assert.match(violations([event('a', 2), event('d', 4)]), /acknowledged b at revision 3 is lost/)
  assert.match(violations([event('a', 2), event('b', 4), event('d', 5)]), /b acknowledged at 3 is at 4/)
  assert.match(violations([...whole, event('c', 5), event('c', 6, 2)]), /c was written twice/)
  assert.match(violations([...whole, event('a', 7, 2)]), /a was written twice/)
  assert.match(violations([...whole, event('x', 5)]), /x was never written/)
  assert.match(violations([event('b', 3), event('a', 2), event('d', 4)]), /revision 2 after 3/)
  assert.match(violations(whole, [...whole, event('c', 5)]), /part at event 3: nothing and c@5/)
  assert.match(violations([], [], []), /nothing was written/)
  const late = [attempt('a', 0, 10, 5), attempt('b', 11, 20, 4)]
  assert.match(
    violations([event('b', 4), event('a', 5)], undefined, late),
    /b at 4 began after a at 5 was acknowledged/,
  )
})

test('the longest gap counts the edges', () => {
  assert.equal(longestGapMs(attempts, 0, 40), 20)
  assert.equal(longestGapMs(attempts, 0, 100), 60)
  assert.equal(longestGapMs([], 0, 50), 50)
})
