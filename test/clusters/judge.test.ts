import assert from 'node:assert/strict'
import test from 'node:test'
import type { ModelRequest, ModelResult, RecordedCall } from '../../src/simulator/index.ts'
import { countLost, judge, searchedKeys } from './judge.ts'
import { isCertainlyNothing, Recorder } from './recorder.ts'

const register = `${searchedKeys}0`
const put = (key: string, value: string): ModelRequest => ({ kind: 'put', key, value, lease: 0n })

function recorded(id: number, request: ModelRequest, outcome: RecordedCall['outcome']): RecordedCall {
  const call = { id, client: `c${id}`, server: 'n1.1', request, isSerializable: false, atRevision: 0 }
  return { ...call, calledAt: 10 * id, outcome }
}

function answered(id: number, request: ModelRequest, revision: number, result: ModelResult): RecordedCall {
  return recorded(id, request, { kind: 'answered', returnedAt: 10 * id + 5, revision, result })
}

/** Two writes of one register, the second one read again; the log has both. */
function history(read: { value: string; modRevision: number; version: number }, revision: number): Recorder {
  const recorder = new Recorder()
  const pair = { key: register, createRevision: 2, lease: 0n }
  const first = { ...pair, value: 'a', modRevision: 2, version: 1 }
  const second = { ...pair, value: 'b', modRevision: 3, version: 2 }
  recorder.calls.push(
    answered(1, put(register, 'a'), 2, { kind: 'put' }),
    answered(2, put(register, 'b'), 3, { kind: 'put' }),
    answered(3, { kind: 'range', key: register, end: '', limit: 0 }, revision, {
      kind: 'range',
      pairs: [{ ...pair, ...read }],
      count: 1,
    }),
  )
  recorder.collector.add('scribe', { revision: 2, events: [{ kind: 'put', pair: first }] })
  recorder.collector.add('scribe', { revision: 3, events: [{ kind: 'put', pair: second }] })
  return recorder
}

const promises = (recorder: Recorder): string[] => judge(recorder, 1).map((violation) => violation.promise)

test('a true history is accepted', () => {
  assert.deepEqual(promises(history({ value: 'b', modRevision: 3, version: 2 }, 3)), [])
})

test('a stale read is seen thrice: by its revision, as a cycle, and by the search that believes no revision', () => {
  const stale = history({ value: 'a', modRevision: 2, version: 1 }, 2)
  assert.deepEqual(promises(stale), [
    'reads are not stale',
    'transactions: G-single-realtime',
    'some order explains all answers',
  ])
})

test('a stale read under a revision that is not its own is seen by all three, too', () => {
  const forged = history({ value: 'a', modRevision: 2, version: 1 }, 3)
  assert.deepEqual(promises(forged), [
    'an answer is true at its revision',
    'transactions: G-single-realtime',
    'some order explains all answers',
  ])
})

test('an acknowledged write that the log does not have is lost, one of unknown outcome is not', () => {
  const { calls, collector } = history({ value: 'b', modRevision: 3, version: 2 }, 3)
  assert.equal(countLost(calls, collector.records()), 0)
  assert.equal(countLost(calls, collector.records().slice(0, 1)), 1)
  assert.equal(countLost([recorded(4, put(register, 'c'), { kind: 'unknown' })], collector.records()), 0)
  const keeps = (key: string): ModelRequest => ({ kind: 'put', key, value: '', lease: 0n, ignoreValue: true })
  assert.equal(countLost([answered(5, keeps(register), 3, { kind: 'put' })], collector.records()), 0)
  assert.equal(countLost([answered(5, keeps('other'), 3, { kind: 'put' })], collector.records()), 1)
})

test('only what a server says, or what nobody heard, certainly did nothing', () => {
  const answer = { code: 14, text: '', message: {}, lost: false, outcome: '' }
  assert.equal(isCertainlyNothing(answer), false)
  assert.equal(isCertainlyNothing({ ...answer, outcome: 'none' }), true)
  assert.equal(isCertainlyNothing({ ...answer, code: 11, outcome: 'unknown' }), false)
  assert.equal(isCertainlyNothing({ ...answer, code: 11 }), true)
  assert.equal(isCertainlyNothing({ ...answer, code: 11, lost: true }), false)
  assert.equal(isCertainlyNothing({ ...answer, text: 'connect ECONNREFUSED', lost: true }), true)
})
