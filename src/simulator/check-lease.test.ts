import assert from 'node:assert/strict'
import test from 'node:test'
import { checkLeases, type LeasePeace, type LeaseRecord, recordLease } from './check-lease.ts'
import type { RevisionRecord } from './kv-model.ts'

const pair = { key: 'a', value: '1', createRevision: 2, modRevision: 2, version: 1, lease: 7n }
const log: RevisionRecord[] = [
  { revision: 2, events: [{ kind: 'put', pair }] },
  { revision: 3, events: [{ kind: 'delete', key: 'a' }] },
]

const clockRateMax = 1.25

function check(
  log: RevisionRecord[],
  change: Partial<LeaseRecord>,
  endSeenAt: number,
  peace?: LeasePeace,
): string[] {
  const record: LeaseRecord = { ...recordLease(7n, 1000), extendedAt: [100], ...change }
  const sightings = [
    { revision: 2, seenAt: 10 },
    { revision: 4, seenAt: endSeenAt },
  ]
  return checkLeases(log, [record], sightings, clockRateMax, peace).map(({ promise }) => promise)
}

function verdict(lease: Partial<LeaseRecord>, endSeenAt: number): number {
  return check(log, lease, endSeenAt).length
}

test('a lease that ends after its time, by the fastest clock, is accepted', () => {
  assert.equal(verdict({ extendedAt: [100] }, 901), 0)
  assert.equal(verdict({ extendedAt: [100] }, 899), 1)
})

test('every answered extension counts, also one that began after the end was seen', () => {
  assert.equal(verdict({ extendedAt: [100, 500] }, 1000), 1)
  assert.equal(verdict({ extendedAt: [100, 2000] }, 1500), 1)
})

test('a revoked lease may end at once, but not before it was asked for', () => {
  assert.equal(verdict({ extendedAt: [100], revokedAt: 150 }, 200), 0)
  assert.equal(verdict({ extendedAt: [100], revokedAt: 250 }, 200), 1)
})

test('a lease of unknown grant promises nothing', () => {
  assert.equal(verdict({ extendedAt: [] }, 1), 0)
})

test('a renewal that a new leader forgot is seen when the lease ends by the old time', () => {
  // Granted at 100, renewed at 800; the leader changed at 900.
  assert.deepEqual(check(log, { extendedAt: [100, 800] }, 1_200), [
    'a lease lives as long as it was promised',
  ])
  assert.deepEqual(check(log, { extendedAt: [100, 800] }, 1_700), [])
})

test('a lease without keys may not be said to be gone too early', () => {
  assert.deepEqual(check([], { goneAt: [1_500] }, 0), [])
  assert.deepEqual(check([], { goneAt: [1_500, 800] }, 0), ['a lease lives as long as it was promised'])
  assert.deepEqual(check([], { goneAt: [800], revokedAt: 700 }, 0), [])
})

test('a forgotten lease ends in peace, after its time and the promised delay', () => {
  const held = log.slice(0, 1)
  const peace = { since: 0, until: 1_900, lateMsMax: 500 }
  const late = ['a lease that nobody renews ends']
  assert.deepEqual(check(held, {}, 0, peace), late)
  assert.deepEqual(check(log, {}, 2_000, peace), [], 'it ended')
  assert.deepEqual(check(held, {}, 0), [], 'there was no peace')
  assert.deepEqual(check(held, {}, 0, { ...peace, until: 1_800 }), [], 'it is not over yet')
  assert.deepEqual(check(held, {}, 0, { ...peace, since: 500 }), [], 'a new leader begins anew')
  assert.deepEqual(check(held, { extendedAt: [100, 300] }, 0, peace), [], 'it was renewed')
  assert.deepEqual(check(held, { maybeExtendedAt: [300] }, 0, peace), [], 'it may have been renewed')
})

test('nobody is told more time than was granted', () => {
  const promise = ['a lease is told no more time than was granted']
  assert.deepEqual(check([], { told: [{ remainingMs: 1_000, grantedMs: 1_000 }] }, 0), [])
  assert.deepEqual(check([], { told: [{ remainingMs: 1_001, grantedMs: 1_000 }] }, 0), promise)
  assert.deepEqual(check([], { told: [{ remainingMs: 1_000, grantedMs: 2_000 }] }, 0), promise)
})
