// The comparer itself: what must not count as a difference, and what must.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { Answer } from '../support/grpc-client.ts'
import type { Message } from '../support/protobuf.ts'
import { canonicalAnswer, firstDifference, LeaseNames, printable } from './normalise.ts'

function difference(a: Message | [number, string], b: Message | [number, string]): string | undefined {
  const left = new LeaseNames()
  const right = new LeaseNames()
  left.add(7n, 'lease#1')
  right.add(8n, 'lease#1')
  return firstDifference(canonicalAnswer(answer(a), left), canonicalAnswer(answer(b), right))
}

function answer(of: Message | [number, string]): Answer {
  return Array.isArray(of)
    ? { code: of[0], text: of[1], message: {}, lost: false, outcome: '' }
    : { code: 0, text: '', message: of, lost: false, outcome: '' }
}

test('ids of the cluster, terms, server-chosen leases and remaining seconds are no difference', () => {
  assert.equal(
    difference({ header: { cluster_id: 1n, revision: 3 } }, { header: { cluster_id: 2n, revision: 3 } }),
    undefined,
  )
  assert.equal(
    difference({ header: { raft_term: 1n } }, { header: { raft_term: 2n, member_id: 4n } }),
    undefined,
  )
  assert.equal(difference({ kvs: [{ lease: 7n }] }, { kvs: [{ lease: 8n }] }), undefined)
  assert.equal(difference({ TTL: 59, grantedTTL: 60 }, { TTL: 60, grantedTTL: 60 }), undefined)
  const keys = [Buffer.from('a'), Buffer.from('b')]
  assert.equal(difference({ grantedTTL: 9, keys }, { grantedTTL: 9, keys: keys.toReversed() }), undefined)
})

test('everything else is a difference, and it is named by its place', () => {
  assert.match(
    difference({ header: { revision: 3 } }, { header: { revision: 4 } }) ?? '',
    /^header\.revision: 3 \| 4/,
  )
  assert.match(difference({ kvs: [{ lease: 7n }] }, { kvs: [{ lease: 7n }] }) ?? '', /^kvs\[0\]\.lease/)
  assert.match(difference({ kvs: [{}, {}] }, { kvs: [{}] }) ?? '', /^kvs\[1\]/)
  assert.match(difference({ more: true }, {}) ?? '', /^more: true \| \(absent\)/)
  assert.match(difference([11, 'x'], [11, 'y']) ?? '', /^text: "x" \| "y"/)
  assert.match(difference([11, 'x'], { count: 1 }) ?? '', /^code/)
  assert.match(difference({ TTL: 10, grantedTTL: 60 }, { TTL: 60, grantedTTL: 60 }) ?? '', /^TTL/)
  assert.match(difference({ prev_kv: {} }, {}) ?? '', /^prev_kv/)
  assert.match(difference({ unknown_9: 1n }, {}) ?? '', /^unknown_9/)
  const keys = [Buffer.from('a'), Buffer.from('b')]
  assert.match(difference({ kvs: keys }, { kvs: keys.toReversed() }) ?? '', /^kvs\[0\]/)
})

test('different bytes give different text', () => {
  assert.equal(printable(Buffer.from('a\0\\é')), 'a\\x00\\x5c\\xc3\\xa9')
})
