import assert from 'node:assert/strict'
import test from 'node:test'
import { checkHashes } from './check-hash.ts'

const report = { server: 'n1.1', revision: 7, compactRevision: 3, hash: 0xabc }

test('equal hashes at one revision pass, and so do different ones of different states', () => {
  const others = [
    { ...report, server: 'n2.1' },
    { ...report, revision: 8, hash: 1 },
    { ...report, compactRevision: 4, hash: 2 },
  ]
  assert.deepEqual(checkHashes([report, ...others]), [])
})

test('a server whose hash differs at one revision is named with the other', () => {
  const [violation] = checkHashes([report, { ...report, server: 'n2.3', hash: 0xabd }])
  assert.equal(violation?.promise, 'equal hash at equal revision')
  assert.match(violation.facts, /n1\.1.*n2\.3/)
})
