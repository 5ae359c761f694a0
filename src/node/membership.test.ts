import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromHex, type ErrorCode, hexFromBytes, isQuorateError, type NodeId } from '../base/index.ts'
import type { Configuration, PeerProgress } from '../raft/index.ts'
import {
  clusterIdOf,
  configurationOf,
  type Directory,
  decodeDirectory,
  directoryOf,
  encodeDirectory,
  memberIdOf,
  publicMembers,
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
  commandVersion: 1,
})
const directory: Directory = {
  members: [member(1n), member(2n), member(3n)],
  leaving: [],
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

function isOfCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => isQuorateError(error, code)
}

function refused(change: () => unknown, code: ErrorCode): void {
  assert.throws(change, isOfCode(code), code)
}

test('the member list survives its encoding and gives the configuration in which it counts', () => {
  const withLearner = { ...directory, members: [...directory.members, member(4n, true)] }
  assert.deepEqual(decodeDirectory(encodeDirectory(withLearner)), withLearner)
  const { voters, learners, outgoing } = configurationOf(withLearner)
  assert.deepEqual({ voters, learners, outgoing }, { voters: [1n, 2n, 3n], learners: [4n], outgoing: [] })
  assert.deepEqual(decodeDirectory(new Uint8Array(0)).members, [])
})

test('a member list of version 2 has nobody who leaves', () => {
  const bytes = encodeDirectory(directory)
  const old = bytes.slice(0, bytes.length - 1)
  old[0] = 2
  assert.deepEqual(decodeDirectory(old), directory)
  assert.throws(() => decodeDirectory(bytes.fill(4, 0, 1)), isOfCode('format-unsupported'))
})

test('whom a change takes out is leaving while it is under way, then removed', () => {
  const changed = changeDirectory(directory, { kind: 'remove', id: 3n }, healthy)
  const over = configurationOf(changed)
  const joint = { ...over, outgoing: configurationOf(directory).voters }
  const ids = (members: readonly { id: NodeId }[]): NodeId[] => members.map(({ id }) => id)
  assert.deepEqual([ids(directoryOf(joint).leaving), directoryOf(joint).removed], [[3n], [9n]])
  assert.deepEqual([ids(directoryOf(over).leaving), directoryOf(over).removed], [[], [9n, 3n]])
  assert.deepEqual(ids(directoryOf(joint).members), [1n, 2n])
  const next = changeDirectory(changed, { kind: 'update', id: 2n, peerUrls: ['http://m:1'] }, healthy)
  assert.deepEqual(next.leaving, [])
})

test('callers are shown whose vote is needed: whom a change takes out stays, and whom it makes a voter learns', () => {
  const roles = (configuration: Configuration): string =>
    publicMembers(configuration)
      .map(
        ({ id, isLearner, promoteWhenReady }) =>
          `${id}${isLearner ? ' learns' : ''}${promoteWhenReady ? ' to vote' : ''}`,
      )
      .join(', ')
  const { voters } = configurationOf(directory)
  const smaller = configurationOf(changeDirectory(directory, { kind: 'remove', id: 2n }, healthy))
  assert.equal(roles({ ...smaller, outgoing: voters }), '1, 2, 3')
  assert.equal(roles(smaller), '1, 3')
  const learning = { ...directory, members: [...directory.members, member(4n, true), member(5n, true)] }
  const larger = configurationOf(changeDirectory(learning, { kind: 'promote', id: 4n }, healthy))
  assert.equal(roles(configurationOf(learning)), '1, 2, 3, 4 learns, 5 learns')
  assert.equal(roles({ ...larger, outgoing: voters }), '1, 2, 3, 4 learns to vote, 5 learns')
  assert.equal(roles(larger), '1, 2, 3, 4, 5 learns')
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
    commandVersion: 1,
  }
  const published = changeDirectory(fresh, publish, healthy)
  assert.equal(changeDirectory(published, publish, healthy), published)
  refused(() => changeDirectory(published, { ...publish, directoryId: 6n }, healthy), 'data-wiped')
})

const report = (id: NodeId, commandVersion: number): MembershipRequest & { kind: 'publish' } => {
  const { name, clientUrls, directoryId } = member(id)
  return { kind: 'publish', id, name, clientUrls, directoryId, commandVersion }
}

test('the cluster version is raised once every member understands the next, and never falls', () => {
  const one = changeDirectory(directory, report(1n, 3), healthy)
  const two = changeDirectory(one, report(2n, 2), healthy)
  assert.equal(two.clusterVersion, 1, 'one member still knows version 1 only')
  const three = changeDirectory(two, report(3n, 2), healthy)
  assert.equal(three.clusterVersion, 2)
  assert.equal(changeDirectory(three, report(3n, 1), healthy).clusterVersion, 2)
  const raised = changeDirectory(three, report(2n, 4), healthy)
  const leaving = changeDirectory(raised, { kind: 'remove', id: 3n }, healthy)
  assert.equal(leaving.clusterVersion, 2, 'the oldest member takes part until its removal is committed')
  const later = changeDirectory({ ...leaving, leaving: [] }, report(2n, 5), healthy)
  assert.equal(later.clusterVersion, 3, 'the oldest member has left')
})

test('a member that has not reported keeps the cluster version where it is', () => {
  const urls = ['http://127.0.0.1:9']
  const added = changeDirectory(
    directory,
    { kind: 'add', peerUrls: urls, isLearner: true, salt: 's' },
    healthy,
  )
  const upgraded = [1n, 2n, 3n].reduce((all, id) => changeDirectory(all, report(id, 2), healthy), added)
  assert.equal(upgraded.clusterVersion, 1)
  const id = memberIdOf(urls, 's')
  assert.equal(changeDirectory(upgraded, { ...report(id, 2), directoryId: 5n }, healthy).clusterVersion, 2)
})

test('a member list of version 1 is read, nobody has reported in it; version 3 is written, byte for byte', () => {
  const member = '0700000000000000' + '6400000000000000' + '01' + '026e31' + '0108687474703a2f2f61' + '00'
  const read = decodeDirectory(bytesFromHex(`01010001${member}010900000000000000`))
  assert.deepEqual(read, {
    clusterVersion: 1,
    members: [
      {
        id: 7n,
        directoryId: 100n,
        isLearner: true,
        promoteWhenReady: false,
        commandVersion: 0,
        name: 'n1',
        peerUrls: ['http://a'],
        clientUrls: [],
      },
    ],
    leaving: [],
    removed: [9n],
  })
  const version3 = { ...read, members: read.members.map((one) => ({ ...one, commandVersion: 1 })) }
  const written = member.replace('01026e31', '010100026e31')
  assert.equal(hexFromBytes(encodeDirectory(version3)), `03010001${written}01090000000000000000`)
})

test('requests to the leader come back as they were', () => {
  const requests: MembershipRequest[] = [
    { kind: 'add', peerUrls: ['http://a:1'], isLearner: true, salt: 'x' },
    { kind: 'remove', id: 2n ** 63n },
    { kind: 'update', id: 2n, peerUrls: ['http://a:1', 'http://b:2'] },
    { kind: 'promote', id: 3n },
    { kind: 'publish', id: 4n, name: 'n', clientUrls: [], directoryId: 8n, commandVersion: 3 },
  ]
  for (const request of requests)
    assert.deepEqual(decodeMembershipRequest(encodeMembershipRequest(request)), request)
})
