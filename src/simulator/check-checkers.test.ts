// The checkers of histories and trying every order say the same. More: npm run check-checkers -- --histories 100000
import assert from 'node:assert/strict'
import test from 'node:test'
import { compareCheckers } from './testing/compare-checkers.ts'

test('5,000 small histories are judged as by trying every order', (t) => {
  const { checkers, disagreements, unknown, overlapping } = compareCheckers(1, 5_000)
  t.diagnostic(checkers.map((one) => `${one.checker}: ${one.accepted}/${one.rejected}`).join('  '))
  assert.deepEqual(disagreements, [])
  for (const { checker, accepted, rejected } of checkers) {
    assert.ok(accepted > 500 && rejected > 500, `${checker} accepted ${accepted} and rejected ${rejected}`)
  }
  assert.ok(unknown > 1_000 && overlapping > 1_000, `${unknown} unknown, ${overlapping} overlapping`)
})
