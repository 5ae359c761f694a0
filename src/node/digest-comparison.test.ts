import assert from 'node:assert/strict'
import test from 'node:test'
import { DigestComparison } from './digest-comparison.ts'

const voters = [1n, 2n, 3n]

test('whoever stands against a majority of the voters is wrong', () => {
  const digests = new DigestComparison()
  digests.own(1024, 7)
  digests.reported(2n, { index: 1024, digest: 8 })
  assert.equal(digests.judge(voters, 1n), undefined, 'one against one decides nothing')
  digests.reported(3n, { index: 1024, digest: 8 })
  assert.deepEqual(digests.judge(voters, 1n), { kind: 'differs', index: 1024 })
})

test('the two that agree do not blame themselves, and two different ones are no majority', () => {
  const healthy = new DigestComparison()
  healthy.own(1024, 8)
  healthy.reported(2n, { index: 1024, digest: 8 })
  healthy.reported(3n, { index: 1024, digest: 7 })
  assert.deepEqual(healthy.judge(voters, 1n), { kind: 'agrees', index: 1024 })
  const torn = new DigestComparison()
  torn.own(1024, 6)
  torn.reported(2n, { index: 1024, digest: 7 })
  torn.reported(3n, { index: 1024, digest: 8 })
  assert.deepEqual(torn.judge(voters, 1n), { kind: 'undecided', index: 1024 })
})

test('two voters that differ are undecided, and one alone agrees with itself', () => {
  const digests = new DigestComparison()
  digests.own(1024, 6)
  digests.reported(2n, { index: 1024, digest: 7 })
  assert.deepEqual(digests.judge([1n, 2n], 1n), { kind: 'undecided', index: 1024 })
  digests.own(2048, 6)
  assert.deepEqual(digests.judge([1n], 1n), { kind: 'agrees', index: 1024 })
})

test('a judgement is given once, and what was said of a state that was replaced does not count', () => {
  const digests = new DigestComparison()
  digests.own(1024, 7)
  digests.reported(2n, { index: 1024, digest: 8 })
  digests.reported(3n, { index: 1024, digest: 8 })
  assert.equal(digests.judge(voters, 1n)?.kind, 'differs')
  assert.equal(digests.judge(voters, 1n), undefined, 'nothing is new')
  digests.forgetOwn()
  digests.reported(3n, { index: 1024, digest: 8 })
  assert.equal(digests.judge(voters, 1n), undefined)
  digests.own(1024, 8)
  assert.deepEqual(digests.judge(voters, 1n), { kind: 'agrees', index: 1024 })
})

test('reports that come before this node is so far are kept; learners and strangers have no say', () => {
  const digests = new DigestComparison()
  digests.reported(4n, { index: 1024, digest: 9 })
  digests.reported(2n, { index: 1024, digest: 9 })
  digests.own(1024, 5)
  assert.equal(digests.judge(voters, 1n), undefined)
  digests.reported(3n, { index: 1024, digest: 9 })
  assert.deepEqual(digests.judge(voters, 1n), { kind: 'differs', index: 1024 })
})

test('a learner is compared with the voters', () => {
  const digests = new DigestComparison()
  digests.own(2048, 1)
  digests.reported(1n, { index: 2048, digest: 2 })
  digests.reported(2n, { index: 2048, digest: 2 })
  assert.deepEqual(digests.judge(voters, 9n), { kind: 'differs', index: 2048 })
})

test('every 1,024th index is compared, and only the newest ones are kept', () => {
  const digests = new DigestComparison()
  assert.deepEqual(
    [0, 1, 1023, 1024, 1025, 2048].map((index) => digests.isDue(index)),
    [true, false, false, true, false, true],
  )
  digests.own(1024, 1)
  for (let i = 2; i <= 17; i++) digests.own(1024 * i, 1)
  digests.reported(2n, { index: 1024, digest: 2 })
  digests.reported(3n, { index: 1024, digest: 2 })
  assert.equal(digests.judge(voters, 1n), undefined)
})
