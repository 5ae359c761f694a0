import assert from 'node:assert/strict'
import test from 'node:test'
import { checkSessions, type NumberedRequest } from './check-session.ts'
import type { CallOutcome, RecordedCall } from './history.ts'
import type { ModelRequest, RevisionRecord } from './kv-model.ts'

const answered = (revision: number, deleted = 0): CallOutcome => {
  const result = deleted === 0 ? ({ kind: 'put' } as const) : ({ kind: 'delete', deleted } as const)
  return { kind: 'answered', returnedAt: 1, revision, result }
}
const put: ModelRequest = { kind: 'put', key: 'k', value: 'v1', lease: 0n }
const record = (revision: number, value: string): RevisionRecord => {
  const pair = { key: 'k', value, createRevision: 2, modRevision: revision, version: revision - 1, lease: 0n }
  return { revision, events: [{ kind: 'put', pair }] }
}

function verdict(
  log: RevisionRecord[],
  change: Partial<NumberedRequest>,
  calls: readonly RecordedCall[] = [],
): string[] {
  const request = { session: 9n, number: 1, request: put, outcomes: [answered(2)], ...change }
  return checkSessions({ calls, log, numbered: [request] }).map(({ promise }) => promise)
}

test('answered at once, again, or only after a silence: one effect, one answer', () => {
  const log = [record(2, 'v1'), record(3, 'v2')]
  assert.deepEqual(verdict(log, {}), [])
  assert.deepEqual(verdict(log, { outcomes: [{ kind: 'unknown' }, answered(2), answered(2)] }), [])
  assert.deepEqual(verdict(log.slice(1), { outcomes: [{ kind: 'unknown' }] }), [])
})

test('a retry that is done again has two effects', () => {
  const log = [record(2, 'v1'), record(3, 'v2'), record(4, 'v1')]
  assert.deepEqual(verdict(log, {}), ['a numbered request happens once'])
  const request: ModelRequest = {
    kind: 'transaction',
    compare: [],
    success: [put],
    failure: [{ kind: 'put', key: 'k', value: 'v2', lease: 0n }],
  }
  assert.deepEqual(verdict(log.slice(0, 2), { request, outcomes: [] }), ['a numbered request happens once'])
})

test('a retry that hears another revision or another result is found', () => {
  const log = [record(2, 'v1')]
  const other = ['a retry hears the first answer']
  assert.deepEqual(verdict(log, { outcomes: [answered(2), answered(3)] }), other)
  const request: ModelRequest = { kind: 'delete', key: 'k', end: '' }
  assert.deepEqual(verdict([], { request, outcomes: [answered(3, 1), answered(3, 2)] }), other)
})

test('a value that another put kept is no second effect, unless nobody says so', () => {
  const log = [record(2, 'v1'), record(3, 'v1')]
  const request: ModelRequest = { ...put, value: '', ignoreValue: true }
  const keeper = {
    id: 1,
    client: 'c1',
    server: 's1',
    request,
    isSerializable: false,
    atRevision: 0,
    calledAt: 0,
  }
  assert.deepEqual(verdict(log, {}), ['a numbered request happens once'])
  assert.deepEqual(verdict(log, {}, [{ ...keeper, outcome: answered(3) }]), [])
  assert.deepEqual(verdict(log, {}, [{ ...keeper, outcome: { kind: 'unknown' } }]), [])
  assert.deepEqual(verdict(log, {}, [{ ...keeper, outcome: { kind: 'failed' } }]), [
    'a numbered request happens once',
  ])
})
