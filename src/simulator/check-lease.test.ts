import assert from 'node:assert/strict'
import test from 'node:test'
import { checkLeases } from './check-lease.ts'
import type { RevisionRecord } from './kv-model.ts'

const pair = { key: 'a', value: '1', createRevision: 2, modRevision: 2, version: 1, lease: 7n }
const log: RevisionRecord[] = [
  { revision: 2, events: [{ kind: 'put', pair }] },
  { revision: 3, events: [{ kind: 'delete', key: 'a' }] },
]

function verdict(lease: { extendedAt: number[]; revokedAt?: number }, endSeenAt: number): number {
  const record = { id: 7n, ttlMs: 1000, revokedAt: undefined, ...lease }
  const sightings = [
    { revision: 2, seenAt: 10 },
    { revision: 4, seenAt: endSeenAt },
  ]
  return checkLeases(log, [record], sightings, 1.25).length
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
