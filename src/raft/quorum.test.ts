import assert from 'node:assert/strict'
import test from 'node:test'
import type { NodeId } from '../base/index.ts'
import { majorityIndex, quorumIndex, tally } from './quorum.ts'
import { voterSet } from './testing/disk.ts'

function indexOf(indexes: readonly number[]): (id: NodeId) => number {
  return (id) => indexes[Number(id) - 1] ?? 0
}

test('a majority is more than half of the configured voters, also of an even number', () => {
  const cases: [indexes: number[], expected: number][] = [
    [[5], 5],
    [[5, 3], 3],
    [[12, 12, 5], 12],
    [[5, 12, 7], 7],
    [[12, 12, 5, 5], 5],
    [[9, 1, 8, 2, 7], 7],
  ]
  for (const [indexes, expected] of cases) {
    const voters = indexes.map((_, slot) => BigInt(slot + 1))
    assert.equal(majorityIndex(voters, indexOf(indexes)), expected, String(indexes))
  }
})

test('in a joint change both majorities count', () => {
  const joint = { ...voterSet(4n, 5n, 6n), outgoing: [1n, 2n, 3n] }
  assert.equal(quorumIndex(joint, indexOf([9, 9, 9, 2, 3, 1])), 2)
  const votes = new Map<NodeId, boolean>([1n, 2n, 3n].map((id) => [id, true]))
  assert.equal(
    tally(joint, (id) => votes.get(id)),
    'pending',
  )
  votes.set(4n, false).set(5n, false)
  assert.equal(
    tally(joint, (id) => votes.get(id)),
    'lost',
  )
  votes.set(4n, true).set(5n, true)
  assert.equal(
    tally(joint, (id) => votes.get(id)),
    'won',
  )
})
