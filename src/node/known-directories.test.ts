import assert from 'node:assert/strict'
import test from 'node:test'
import { KnownDirectories } from './known-directories.ts'
import type { Directory } from './members.ts'

function listed(directoryId: bigint): Directory {
  const role = { isLearner: false, promoteWhenReady: false, commandVersion: 1 }
  const member = { id: 1n, directoryId, name: '', peerUrls: [], clientUrls: [], ...role }
  return { members: [member], leaving: [], removed: [], clusterVersion: 1 }
}

test('the directory in the member list counts, whatever was heard before', () => {
  const known = new KnownDirectories()
  assert.ok(known.admits(listed(0n), 1n, 8n))
  assert.ok(known.admits(listed(9n), 1n, 9n))
  assert.ok(!known.admits(listed(9n), 1n, 8n))
})

test('before the list has one, a member keeps the directory that it named first', () => {
  const known = new KnownDirectories()
  assert.ok(known.admits(listed(0n), 1n, 8n))
  assert.ok(known.admits(listed(0n), 1n, 8n))
  assert.ok(!known.admits(listed(0n), 1n, 9n))
})

test('a stranger is not remembered: only as a member it has a directory to keep', () => {
  const known = new KnownDirectories()
  assert.ok(known.admits(listed(0n), 2n, 8n))
  assert.ok(known.admits(listed(0n), 2n, 9n))
})
