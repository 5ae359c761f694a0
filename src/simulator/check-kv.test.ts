import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { checkKv, type KvHistory } from './check-kv.ts'
import type { CallOutcome, RecordedCall } from './history.ts'
import type { ModelRequest, RevisionRecord } from './kv-model.ts'
import { type DrawnHistory, drawHistory, mutateResult } from './testing/draw-history.ts'

type Draft = Omit<KvHistory, 'sightings'>

function draw(seed: number): DrawnHistory {
  const random = new SeededRandom(seed)
  return drawHistory(random, {
    size: 60,
    drawSpread: () => 4 * random.unit(),
    isMixed: true,
    isUnique: false,
  })
}

function check(draft: Draft, sightings: KvHistory['sightings'] = []): string[] {
  return checkKv({ ...draft, sightings }).map((violation) => violation.promise)
}

test('correct histories are accepted', () => {
  for (let seed = 0; seed < 200; seed++) assert.deepEqual(checkKv(draw(seed)), [], `seed ${seed}`)
})

test('one changed value in an answer or in the log is rejected', () => {
  for (let seed = 0; seed < 200; seed++) {
    const random = new SeededRandom(seed)
    const history = draw(seed)
    const answered = [...history.calls.keys()].filter((i) => history.calls[i]?.outcome.kind === 'answered')
    const place = random.pick(answered)
    const call = history.calls[place]
    assert.ok(call?.outcome.kind === 'answered')
    const { outcome } = call
    if (random.chance(0.5)) {
      const isRead = outcome.result.kind !== 'put'
      const changed = isRead
        ? { ...outcome, result: mutateResult(random, outcome.result) }
        : { ...outcome, revision: outcome.revision + 1 }
      history.calls[place] = { ...call, outcome: changed }
    } else {
      const position = random.between(0, history.log.length)
      const record = history.log[position]
      assert.ok(record)
      const events = record.events.map((event) =>
        event.kind === 'put' ? { ...event, pair: { ...event.pair, value: 'other' } } : { ...event, key: 'z' },
      )
      history.log[position] = { ...record, events }
    }
    assert.notDeepEqual(checkKv(history), [], `seed ${seed}`)
  }
})

let nextId = 1
function call(request: ModelRequest, calledAt: number, outcome: CallOutcome): RecordedCall {
  const id = nextId++
  return { id, client: 'c', server: 's1', request, isSerializable: false, atRevision: 0, calledAt, outcome }
}
function put(value: string, calledAt: number, outcome: CallOutcome): RecordedCall {
  return call({ kind: 'put', key: 'k', value, lease: 0n }, calledAt, outcome)
}
function putAnswer(revision: number, returnedAt: number): CallOutcome {
  return { kind: 'answered', returnedAt, revision, result: { kind: 'put' } }
}
function putRecord(revision: number, value: string, version = revision - 1): RevisionRecord {
  const pair = { key: 'k', value, createRevision: 2, modRevision: revision, version, lease: 0n }
  return { revision, events: [{ kind: 'put', pair }] }
}
function read(calledAt: number, returnedAt: number, revision: number, value: string): RecordedCall {
  const pair = { key: 'k', value, createRevision: 2, modRevision: revision, version: revision - 1, lease: 0n }
  const result = { kind: 'range', pairs: [pair], count: 1 } as const
  const request = { kind: 'range', key: 'k', end: '', limit: 0 } as const
  return call(request, calledAt, { kind: 'answered', returnedAt, revision, result })
}

test('an acknowledged write that is not in the log is lost', () => {
  const calls = [put('x', 1, putAnswer(2, 2)), put('y', 3, putAnswer(3, 4))]
  const log = [putRecord(2, 'x')]
  assert.deepEqual(check({ calls, log, leases: [] }), ['an acknowledged call is never lost'])
  assert.deepEqual(check({ calls, log: [putRecord(2, 'x'), putRecord(3, 'z')], leases: [] }), [
    'an acknowledged write is in the log',
  ])
})

test('a stale read is rejected, and accepted when it was called before the write returned', () => {
  const calls = [put('x', 1, putAnswer(2, 2)), put('y', 3, putAnswer(3, 4))]
  const log = [putRecord(2, 'x'), putRecord(3, 'y')]
  const stale = read(5, 6, 2, 'x')
  assert.deepEqual(check({ calls: [...calls, stale], log, leases: [] }), ['reads are not stale'])
  const elsewhere = { ...stale, isSerializable: true, server: 's2' }
  assert.deepEqual(check({ calls: [...calls, elsewhere], log, leases: [] }), [])
  assert.deepEqual(check({ calls: [...calls, { ...stale, calledAt: 3.5 }], log, leases: [] }), [])
  const sighting = { revision: 3, seenAt: 3.2 }
  assert.deepEqual(check({ calls: [...calls, { ...stale, calledAt: 3.5 }], log, leases: [] }, [sighting]), [
    'reads are not stale',
  ])
})

test('writes follow real time', () => {
  const calls = [put('x', 5, putAnswer(2, 6)), put('y', 1, putAnswer(3, 2))]
  const log = [putRecord(2, 'x'), putRecord(3, 'y')]
  assert.deepEqual(check({ calls, log, leases: [] }), ['writes follow real time'])
  // Nobody sees a revision before the call that makes it.
  const early = { calls: [put('x', 5, putAnswer(2, 6))], log: log.slice(0, 1), leases: [] }
  assert.deepEqual(check(early), [])
  assert.deepEqual(check(early, [{ revision: 2, seenAt: 4 }]), ['writes follow real time'])
})

test('a write of unknown outcome happens once, late, or never; a failed one never', () => {
  const unknown: CallOutcome = { kind: 'unknown' }
  const known = put('x', 1, putAnswer(2, 2))
  const log = [putRecord(2, 'x'), putRecord(3, 'u')]
  assert.deepEqual(check({ calls: [known, put('u', 0, unknown)], log, leases: [] }), [])
  assert.deepEqual(check({ calls: [known, put('u', 0, unknown)], log: log.slice(0, 1), leases: [] }), [])
  const causeless = ['every revision has a cause']
  assert.deepEqual(check({ calls: [known, put('u', 0, { kind: 'failed' })], log, leases: [] }), causeless)
  const twice = [...log, putRecord(4, 'u')]
  assert.deepEqual(check({ calls: [known, put('u', 0, unknown)], log: twice, leases: [] }), causeless)
  // Seen by a reader before it was called.
  const calls = [known, put('u', 9, unknown), read(3, 4, 3, 'u')]
  assert.deepEqual(check({ calls, log, leases: [] }), causeless)
})

test('unknown deletes are matched although several fit', () => {
  const unknown: CallOutcome = { kind: 'unknown' }
  const calls = [
    put('x', 1, putAnswer(2, 2)),
    call({ kind: 'delete', key: 'k', end: '' }, 3, unknown),
    put('y', 9, putAnswer(4, 10)),
    call({ kind: 'delete', key: 'a', end: '\0' }, 11, unknown),
  ]
  const gone = { kind: 'delete', key: 'k' } as const
  const again = putRecord(4, 'y', 1)
  const pair = { key: 'k', value: 'y', createRevision: 4, modRevision: 4, version: 1, lease: 0n }
  const log = [
    putRecord(2, 'x'),
    { revision: 3, events: [gone] },
    { ...again, events: [{ kind: 'put', pair } as const] },
    { revision: 5, events: [gone] },
  ]
  assert.deepEqual(check({ calls, log, leases: [] }), [])
  calls.splice(1, 1)
  assert.deepEqual(check({ calls, log, leases: [] }), ['every revision has a cause'])
})

test('an unknown call moves to another record when only it fits there', () => {
  const unknown: CallOutcome = { kind: 'unknown' }
  const all = call({ kind: 'delete', key: 'a', end: '\0' }, 3, unknown)
  const one = call({ kind: 'delete', key: 'k', end: '' }, 3, unknown)
  const other: ModelRequest = { kind: 'put', key: 'l', value: 'z', lease: 0n }
  const calls = [
    put('x', 1, putAnswer(2, 2)),
    all,
    one,
    put('y', 9, putAnswer(4, 10)),
    call(other, 11, putAnswer(5, 12)),
  ]
  const pair = { key: 'k', value: 'y', createRevision: 4, modRevision: 4, version: 1, lease: 0n }
  const otherPair = { ...pair, key: 'l', value: 'z', createRevision: 5, modRevision: 5 }
  const gone = (key: string) => ({ kind: 'delete', key }) as const
  const log: RevisionRecord[] = [
    putRecord(2, 'x'),
    { revision: 3, events: [gone('k')] },
    { revision: 4, events: [{ kind: 'put', pair }] },
    { revision: 5, events: [{ kind: 'put', pair: otherPair }] },
    { revision: 6, events: [gone('k'), gone('l')] },
  ]
  assert.deepEqual(check({ calls, log, leases: [] }), [])
})

test('a log with a gap or wrong counters is rejected', () => {
  const calls = [put('x', 1, putAnswer(2, 2))]
  assert.deepEqual(check({ calls, log: [putRecord(3, 'x')], leases: [] }), ['log of revisions'])
  assert.deepEqual(check({ calls, log: [putRecord(2, 'x', 2)], leases: [] }), ['log of revisions'])
})

test('a serializable session never goes back', () => {
  const log = [putRecord(2, 'x'), putRecord(3, 'y')]
  const calls = [put('x', 1, putAnswer(2, 2)), put('y', 3, putAnswer(3, 4))]
  const reads = [read(5, 6, 3, 'y'), read(7, 8, 2, 'x')].map((one) => ({
    ...one,
    isSerializable: true,
    client: 'd',
  }))
  assert.deepEqual(check({ calls: [...calls, ...reads], log, leases: [] }), ['a session never goes back'])
  const elsewhere = reads.map((one, i) => ({ ...one, server: `s${i}` }))
  assert.deepEqual(check({ calls: [...calls, ...elsewhere], log, leases: [] }), [])
})

test('the end of a lease is a cause, but only for exactly its keys', () => {
  const attached = (key: string, revision: number, lease: bigint): RevisionRecord => {
    const pair = { key, value: key, createRevision: revision, modRevision: revision, version: 1, lease }
    return { revision, events: [{ kind: 'put', pair }] }
  }
  const putOf = (key: string, lease: bigint, at: number, revision: number): RecordedCall =>
    call({ kind: 'put', key, value: key, lease }, at, putAnswer(revision, at + 1))
  const calls = [putOf('a', 7n, 1, 2), putOf('b', 7n, 3, 3), putOf('c', 0n, 5, 4)]
  const log = [attached('a', 2, 7n), attached('b', 3, 7n), attached('c', 4, 0n)]
  const end = (...keys: string[]): RevisionRecord[] => [
    ...log,
    { revision: 5, events: keys.map((key) => ({ kind: 'delete', key })) },
  ]
  assert.deepEqual(check({ calls, log: end('a', 'b'), leases: [7n] }), [])
  for (const wrong of [end('a'), end('b', 'a'), end('a', 'b', 'c'), end('c')]) {
    assert.deepEqual(check({ calls, log: wrong, leases: [7n] }), ['every revision has a cause'])
  }
})

test('the end of a lease is a cause once', () => {
  const attached = (revision: number): RevisionRecord => {
    const pair = {
      key: 'a',
      value: 'x',
      createRevision: revision,
      modRevision: revision,
      version: 1,
      lease: 7n,
    }
    return { revision, events: [{ kind: 'put', pair }] }
  }
  const end = (revision: number): RevisionRecord => ({ revision, events: [{ kind: 'delete', key: 'a' }] })
  const request = { kind: 'put', key: 'a', value: 'x', lease: 7n } as const
  const calls = [call(request, 1, putAnswer(2, 2)), call(request, 5, putAnswer(4, 6))]
  const log = [attached(2), end(3), attached(4)]
  assert.deepEqual(check({ calls, log, leases: [7n] }), [])
  assert.deepEqual(check({ calls, log: [...log, end(5)], leases: [7n] }), ['every revision has a cause'])
})

test('a read with a least revision is not older', () => {
  const log = [putRecord(2, 'x'), putRecord(3, 'y')]
  const calls = [put('x', 1, putAnswer(2, 2)), put('y', 3, putAnswer(3, 4))]
  const old = { ...read(5, 6, 2, 'x'), isSerializable: true, server: 's2' }
  assert.deepEqual(check({ calls: [...calls, { ...old, leastRevision: 2 }], log, leases: [] }), [])
  assert.deepEqual(check({ calls: [...calls, { ...old, leastRevision: 3 }], log, leases: [] }), [
    'a read waits for the least revision',
  ])
})

test('nobody sees a revision that never was', () => {
  const log = [putRecord(2, 'x')]
  const calls = [put('x', 1, putAnswer(2, 2))]
  const ahead = { ...read(3, 4, 3, 'x'), isSerializable: true }
  assert.deepEqual(check({ calls: [...calls, ahead], log, leases: [] }), ['a read is of a revision that was'])
  assert.deepEqual(check({ calls, log, leases: [] }, [{ revision: 3, seenAt: 9 }]), [
    'a revision that was seen is in the log',
  ])
})
