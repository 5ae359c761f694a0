import assert from 'node:assert/strict'
import test from 'node:test'
import { type ErrorCode, isQuorateError, type NodeId } from '../base/index.ts'
import type { PeerProgress } from '../raft/index.ts'
import {
  clusterIdOf,
  configurationOf,
  type Directory,
  decodeDirectory,
  encodeDirectory,
  memberIdOf,
} from './members.ts'
import {
  changeDirectory,
  decodeMembershipRequest,
  encodeMembershipRequest,
  isChanged,
  type MembershipRequest,
  type MembershipView,
  readyToPromote,
} from './membership.ts'

const member = (id: NodeId, isLearner = false) => ({
  id,
  directoryId: id * 100n,
  name: `n${id}`,
  peerUrls: [`http://127.0.0.1:${2380 + Number(id)}`],
  clientUrls: [`http://127.0.0.1:${2479 + Number(id)}`],
  isLearner,
  promoteWhenReady: false,
})
const directory: Directory = {
  members: [member(1n), member(2n), member(3n)],
  removed: [9n],
  clusterVersion: 1,
}

function view(matches: Record<string, number>, silent: readonly NodeId[] = []): MembershipView {
  const progress = new Map<NodeId, PeerProgress>()
  for (const [id, match] of Object.entries(matches)) {
    const silentTicks = silent.includes(BigInt(id)) ? 100 : 0
    progress.set(BigInt(id), {
      match,
      next: match + 1,
      state: 'replicate',
      inflight: 0,
      silentTicks,
      isLearner: false,
    })
  }
  return { leader: 1n, lastIndex: 100, progress, silentTicksMax: 10, learnersMax: 1 }
}
const healthy = view({ 1: 100, 2: 100, 3: 100, 4: 100 })

function refused(change: () => unknown, code: ErrorCode): void {
  assert.throws(change, (error) => isQuorateError(error, code), code)
}

test('the member list survives its encoding and gives the configuration in which it counts', () => {
  const withLearner = { ...directory, members: [...directory.members, member(4n, true)] }
  assert.deepEqual(decodeDirectory(encodeDirectory(withLearner)), withLearner)
  const { voters, learners, outgoing } = configurationOf(withLearner)
  assert.deepEqual({ voters, learners, outgoing }, { voters: [1n, 2n, 3n], learners: [4n], outgoing: [] })
  assert.deepEqual(decodeDirectory(new Uint8Array(0)).members, [])
})

test('independently started nodes derive the same ids, another token gives others', () => {
  assert.equal(memberIdOf(['http://a:1', 'http://b:1'], 't'), memberIdOf(['http://b:1', 'http://a:1'], 't'))
  assert.notEqual(memberIdOf(['http://a:1'], 't'), memberIdOf(['http://a:1'], 'u'))
  assert.equal(clusterIdOf([3n, 1n], 't'), clusterIdOf([1n, 3n], 't'))
  assert.notEqual(clusterIdOf([3n, 1n], 't'), clusterIdOf([3n, 1n], 'u'))
})

test('a member that is added as a voter learns first and is promoted when it has caught up', () => {
  const request: MembershipRequest = {
    kind: 'add',
    peerUrls: ['http://127.0.0.1:9'],
    isLearner: false,
    salt: 's',
  }
  const added = changeDirectory(directory, request, healthy)
  const id = memberIdOf(['http://127.0.0.1:9'], 's')
  const found = added.members.find((candidate) => candidate.id === id)
  assert.deepEqual([found?.isLearner, found?.promoteWhenReady], [true, true])
  assert.ok(isChanged(added, request) && !isChanged(directory, request))
  assert.equal(readyToPromote(added, view({ 1: 100, 2: 100, 3: 100, [String(id)]: 10 })), undefined)
  const caughtUp = view({ 1: 100, 2: 100, 3: 100, [String(id)]: 95 })
  assert.equal(readyToPromote(added, caughtUp), id)
  const promoted = changeDirectory(added, { kind: 'promote', id }, caughtUp)
  assert.ok(configurationOf(promoted).voters.includes(id))
})

test('what would not do is refused by name', () => {
  const add = (peerUrls: string[], isLearner = false): MembershipRequest => ({
    kind: 'add',
    peerUrls,
    isLearner,
    salt: 's',
  })
  refused(() => changeDirectory(directory, add([]), healthy), 'member-urls-invalid')
  refused(() => changeDirectory(directory, add(['127.0.0.1:9']), healthy), 'member-urls-invalid')
  refused(() => changeDirectory(directory, add(['http://127.0.0.1:2381']), healthy), 'peer-url-exists')
  refused(() => changeDirectory(directory, { kind: 'remove', id: 8n }, healthy), 'member-not-found')
  refused(() => changeDirectory(directory, { kind: 'promote', id: 2n }, healthy), 'member-not-learner')
  refused(
    () =>
      changeDirectory(directory, { kind: 'update', id: 2n, peerUrls: ['http://127.0.0.1:2381'] }, healthy),
    'peer-url-exists',
  )
  const learning = changeDirectory(directory, add(['http://127.0.0.1:9'], true), healthy)
  refused(() => changeDirectory(learning, add(['http://127.0.0.1:8'], true), healthy), 'too-many-learners')
  const id = memberIdOf(['http://127.0.0.1:9'], 's')
  refused(() => changeDirectory(learning, { kind: 'promote', id }, healthy), 'learner-not-ready')
})

test('no change leaves a majority that only stopped members could give', () => {
  const oneSilent = view({ 1: 100, 2: 100, 3: 50 }, [3n])
  refused(
    () => changeDirectory(directory, { kind: 'remove', id: 2n }, oneSilent),
    'not-enough-started-members',
  )
  assert.equal(changeDirectory(directory, { kind: 'remove', id: 3n }, oneSilent).members.length, 2)
  const alone: Directory = { ...directory, members: [member(1n)] }
  refused(() => changeDirectory(alone, { kind: 'remove', id: 1n }, healthy), 'not-enough-started-members')
})

test('a removed id never comes back', () => {
  const request: MembershipRequest = {
    kind: 'add',
    peerUrls: ['http://127.0.0.1:9'],
    isLearner: true,
    salt: 's',
  }
  const added = changeDirectory(directory, request, healthy)
  const removed = changeDirectory(
    added,
    { kind: 'remove', id: memberIdOf(['http://127.0.0.1:9'], 's') },
    healthy,
  )
  refused(() => changeDirectory(removed, request, healthy), 'member-exists')
})

test('a member publishes its facts once; another data directory under its id is refused', () => {
  const fresh: Directory = { ...directory, members: [{ ...member(1n), directoryId: 0n, name: '' }] }
  const publish: MembershipRequest = {
    kind: 'publish',
    id: 1n,
    name: 'a',
    clientUrls: ['http://c:1'],
    directoryId: 5n,
  }
  const published = changeDirectory(fresh, publish, healthy)
  assert.equal(changeDirectory(published, publish, healthy), published)
  refused(() => changeDirectory(published, { ...publish, directoryId: 6n }, healthy), 'data-wiped')
})

test('requests to the leader come back as they were', () => {
  const requests: MembershipRequest[] = [
    { kind: 'add', peerUrls: ['http://a:1'], isLearner: true, salt: 'x' },
    { kind: 'remove', id: 2n ** 63n },
    { kind: 'update', id: 2n, peerUrls: ['http://a:1', 'http://b:2'] },
    { kind: 'promote', id: 3n },
    { kind: 'publish', id: 4n, name: 'n', clientUrls: [], directoryId: 8n },
  ]
  for (const request of requests)
    assert.deepEqual(decodeMembershipRequest(encodeMembershipRequest(request)), request)
})
