// One group by hand: its turns, its clock and its two peers move only when the test says so.
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  bytesFromLatin1,
  emptyBytes,
  isQuorateError,
  type NodeId,
  present,
  SeededRandom,
} from '../base/index.ts'
import {
  type Applied,
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type RangeOperation,
  type WriteCommand,
} from '../consistent-core/index.ts'
import { silentLogger, type Time } from '../io/index.ts'
import { createSimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore, type SnapshotStore } from '../snapshot/index.ts'
import { createMemoryBackend, createStore } from '../store/index.ts'
import { openWriteAheadLog } from '../write-ahead-log/index.ts'
import type { CallOptions, Proposed } from './contract.ts'
import { ReplicatedGroup } from './group.ts'
import { type Directory, encodeDirectory } from './members.ts'
import { defaultGroupLimits, type GroupLimits } from './options.ts'
import type { PeerMessage } from './peer-codec.ts'
import { recoverGroup } from './recovery.ts'

const self: NodeId = 1n
const peers: readonly NodeId[] = [2n, 3n]
const voters = [self, ...peers]
const directory: Directory = {
  members: voters.map((id) => ({
    id,
    directoryId: id,
    name: `n${id}`,
    peerUrls: [`http://n${id}:2380`],
    clientUrls: [],
    isLearner: false,
    promoteWhenReady: false,
    commandVersion: 1,
  })),
  leaving: [],
  removed: [],
  clusterVersion: 1,
}

class HandTime implements Time {
  nowMs = 1_000
  #turns: (() => void)[] = []
  #timers: { atMs: number; callback: () => void }[] = []

  monotonicMs(): number {
    return this.nowMs
  }

  wallMs(): number {
    return this.nowMs
  }

  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#turns.push(resolve)
    })
  }

  yieldBulkTurn(): Promise<void> {
    return this.yieldTurn()
  }

  startTimer(delayMs: number, callback: () => void): { cancel(): void } {
    const timer = { atMs: this.nowMs + delayMs, callback }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  /** Timers that are due are called; turns are not taken. */
  advance(ms: number): void {
    this.nowMs += ms
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs)
    for (const { callback } of due) callback()
  }

  /** Takes turns until nobody asks for one. */
  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      const turns = this.#turns.splice(0)
      for (const turn of turns) turn()
      idle = turns.length > 0 ? 0 : idle + 1
      await new Promise<void>((resolve) => {
        setImmediate(resolve)
      })
    }
  }
}

interface Fixture {
  readonly group: ReplicatedGroup<Applied>
  readonly core: ConsistentCore
  readonly time: HandTime
  readonly failures: unknown[]
  readonly snapshots: SnapshotStore
  /** Messages to the peers that the test has not looked at. */
  readonly sent: { to: NodeId; message: PeerMessage }[]
  /** What was noted in the data directory. */
  readonly marks: string[]
}

async function openGroup(
  change: Partial<GroupLimits> = {},
  incarnation = { high: 1, low: 2 },
): Promise<Fixture> {
  const time = new HandTime()
  const disk = createSimulatedDisk({ random: new SeededRandom(1) })
  const common = { disk, time, logger: silentLogger, clusterId: 7n }
  const limits = { ...defaultGroupLimits, ...change }
  const log = await openWriteAheadLog({
    ...common,
    directory: '/wal',
    nodeId: self,
    segmentBytesMax: 65_536,
    entryBytesMax: limits.commandBytesMax + 1_024,
  })
  const snapshots = await openSnapshotStore({ ...common, directory: '/snapshots', group: 0 })
  const backend = createMemoryBackend({
    random: new SeededRandom(1),
    schedule: async (finish) => finish(),
  })
  let core: ConsistentCore | undefined
  const { machine, restore, applied } = await recoverGroup<Applied>({
    group: 0,
    log,
    snapshots,
    backend,
    logger: silentLogger,
    limits,
    isStateLost: false,
    discarded: undefined,
    bootstrap: { voters, outgoing: [], learners: [], context: encodeDirectory(directory) },
    yieldTurn: () => Promise.resolve(),
    createMachine: (store) => {
      core = createConsistentCore({ store: createStore(store) })
      return core
    },
  })
  assert.ok(core)
  const failures: unknown[] = []
  const sent: Fixture['sent'] = []
  const marks: string[] = []
  const group = new ReplicatedGroup<Applied>({
    group: 0,
    clusterId: 7n,
    nodeId: self,
    incarnation,
    seed: 1,
    time,
    logger: silentLogger,
    limits,
    log,
    snapshots,
    backend,
    machine,
    restore,
    applied,
    isStateLost: false,
    markStateLost: async () => {
      marks.push('lost')
    },
    clearStateLost: async () => {
      marks.push('cleared')
    },
    send: (to, message) => {
      sent.push({ to, message })
      return true
    },
    directoryChanged: () => undefined,
    failed: (error) => failures.push(error),
  })
  group.start()
  return { group, core, time, failures, snapshots, sent, marks }
}

/** Peers that agree with everything, until they have nothing more to say. */
async function agree({ group, time, sent }: Fixture, which: readonly NodeId[] = peers): Promise<void> {
  await time.settle()
  for (let messages = sent.splice(0); messages.length > 0; messages = sent.splice(0)) {
    for (const { to, message } of messages) {
      const answer = which.includes(to) ? agreement(to, message) : undefined
      if (answer !== undefined) group.receive(to, answer)
    }
    await time.settle()
  }
}

function agreement(from: NodeId, message: PeerMessage): PeerMessage | undefined {
  const to = self
  switch (message.kind) {
    case 'voteRequest': {
      const { pre, term } = message
      return { kind: 'voteResponse', from, to, term, pre, granted: true }
    }
    case 'appendRequest': {
      const { term, previous, entries } = message
      const index = previous.index + entries.length
      return { kind: 'appendResponse', from, to, term, accepted: true, index, hint: previous, forget: false }
    }
    case 'heartbeat':
      return { ...message, kind: 'heartbeatResponse', from, to }
    default:
      return undefined
  }
}

/** One tick after the other, the peers answering. */
async function pass(fixture: Fixture, ticks: number): Promise<void> {
  for (let tick = 0; tick < ticks; tick++) {
    fixture.time.advance(defaultGroupLimits.tickMs)
    await agree(fixture)
  }
}

async function openLeader(change: Partial<GroupLimits> = {}): Promise<Fixture> {
  const fixture = await openGroup(change)
  await pass(fixture, 3 * defaultGroupLimits.electionTicks)
  assert.ok(fixture.group.isSettledLeader)
  return fixture
}

function propose(
  { group }: Fixture,
  write: WriteCommand,
  options: CallOptions = { timeoutMs: 5_000 },
): Promise<Proposed<Applied>> {
  return group.propose(encodeCommand({ session: undefined, write }), options)
}

const wholeRange: RangeOperation = {
  kind: 'range',
  key: bytesFromLatin1('\0'),
  rangeEnd: bytesFromLatin1('\0'),
  limit: 0,
  revision: 0,
  sortOrder: 'none',
  sortTarget: 'key',
  keysOnly: false,
  countOnly: false,
  modRevisionMin: 0,
  modRevisionMax: 0,
  createRevisionMin: 0,
  createRevisionMax: 0,
}

function put(key: string): WriteCommand {
  return {
    kind: 'put',
    key: bytesFromLatin1(key),
    value: emptyBytes,
    lease: 0n,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
  }
}

test('a command whose time was up before it went anywhere is given up, and the leader leads on', async () => {
  const fixture = await openLeader()
  const { time, group, failures } = fixture
  const late = propose(fixture, put('late'), { timeoutMs: 1 })
  time.advance(defaultGroupLimits.tickMs)
  await Promise.all([
    assert.rejects(late, (error) => isQuorateError(error, 'outcome-unknown')),
    agree(fixture),
  ])
  const next = propose(fixture, put('next'))
  await agree(fixture)
  assert.equal((await next).result.revision, 2)
  assert.deepEqual(failures, [])
  assert.ok(group.isSettledLeader)
})

test('a member change and a transfer that were begun are not denied when this node stops', async () => {
  for (const begin of ['change', 'transfer'] as const) {
    const fixture = await openLeader()
    const { group, sent, time } = fixture
    const options = { timeoutMs: 5_000 }
    const begun: Promise<unknown> =
      begin === 'change'
        ? group.addMember(['http://n4:2380'], true, options)
        : group.transferLeadership(2n, options)
    await time.settle()
    const kind = begin === 'change' ? 'appendRequest' : 'timeoutNow'
    assert.ok(sent.some(({ message }) => message.kind === kind))
    group.fail(new Error('the test ends it'))
    await assert.rejects(begun, (error) => isQuorateError(error, 'outcome-unknown'))
  }
})

test('a leader that finds itself in the minority serves nothing any more, and hands over', async () => {
  const fixture = await openLeader()
  const { group, core, sent, time, marks } = fixture
  const range = (): unknown => core.range(wholeRange).next()
  const answers = Promise.all(Array.from({ length: 1_100 }, (_, i) => propose(fixture, put(`${i}`))))
  await agree(fixture)
  await answers
  assert.doesNotThrow(range)
  for (const peer of peers) group.receive(peer, { kind: 'digest', index: 1_024, digest: 1 })
  await time.settle()
  assert.deepEqual(marks, ['lost'], 'it is noted before anything is done about it')
  assert.equal(group.isSettledLeader, false)
  assert.throws(range, (error) => isQuorateError(error, 'leader-changed'))
  for (const call of [propose(fixture, put('more')), group.readBarrier({ timeoutMs: 1_000 })]) {
    await assert.rejects(call, (error) => isQuorateError(error, 'no-leader'))
  }
  assert.ok(sent.some(({ message }) => message.kind === 'timeoutNow'))
  assert.match(group.status().problems.join(), /^CORRUPT/)
  assert.deepEqual(fixture.failures, [])
})

test('what a leader said before its connections ended is no sign that it is there', async () => {
  const { group, time, sent } = await openGroup()
  const heartbeat = { kind: 'heartbeat', term: 3, commit: 0, round: 1, context: emptyBytes } as const
  const end = { index: 0, term: 0, chain: 0 }
  const question = { kind: 'voteRequest', term: 4, pre: true, transfer: false, end } as const
  const ask = async (): Promise<PeerMessage[]> => {
    await time.settle()
    sent.splice(0)
    group.receive(3n, { ...question, from: 3n, to: self })
    await time.settle()
    return sent.splice(0).map(({ message }) => message)
  }
  group.receive(2n, { ...heartbeat, from: 2n, to: self })
  assert.deepEqual(await ask(), [])
  group.receive(2n, { ...heartbeat, from: 2n, to: self })
  group.peerDisconnected(2n)
  assert.equal(group.leader, 2n)
  const [answer] = await ask()
  assert.ok(answer?.kind === 'voteResponse' && answer.granted)
  group.receive(2n, { ...heartbeat, from: 2n, to: self })
  group.peerDown(2n)
  await time.settle()
  assert.deepEqual(
    sent.flatMap(({ to, message }) => (message.kind === 'voteRequest' ? [to] : [])),
    peers,
  )
})

test('a new leader starts the clocks of the leases on the state that its log has, not on the one before', async () => {
  // One command is applied a tick, for the store takes one at a time.
  const fixture = await openLeader({ pendingOperationsMax: 1 })
  const { group, core, time } = fixture
  const checkpoint = (remainingSeconds: number): WriteCommand => ({
    kind: 'leaseCheckpoint',
    leases: [{ id: 7n, remainingSeconds }],
  })
  const puts = Array.from({ length: 60 }, (_, i) => put(`k${i}`))
  const begin = (writes: WriteCommand[]): Promise<unknown> =>
    Promise.allSettled(writes.map((write) => propose(fixture, write, { timeoutMs: 60_000 })))
  const granted = begin([{ kind: 'leaseGrant', id: 7n, ttlSeconds: 1_000 }])
  await pass(fixture, 3)
  const rest = begin([checkpoint(10), ...puts, checkpoint(0)])
  await pass(fixture, 3)
  assert.ok((core.lease(7n, time.nowMs)?.remainingSeconds ?? 0) > 900)
  group.receive(2n, leaderHeartbeat(group.term + 1))
  await time.settle()
  assert.equal(group.leader, 2n)
  for (let tick = 0; tick < 40 && !group.isSettledLeader; tick++) await pass(fixture, 1)
  await pass(fixture, 2)
  assert.ok(group.isSettledLeader)
  assert.ok(core.appliedIndex < group.status().commitIndex)
  await assert.rejects((async () => core.renewLease(7n, time.nowMs))(), (error) =>
    isQuorateError(error, 'not-leader'),
  )
  await pass(fixture, 80)
  assert.equal(core.appliedIndex, group.status().commitIndex)
  assert.ok((core.lease(7n, time.nowMs)?.remainingSeconds ?? 0) > 900)
  await Promise.all([granted, rest])
})

test('after a pause a renewal waits for the revoke that this leader left in its log', async () => {
  const fixture = await openLeader()
  const { group, core, time, sent } = fixture
  const granted = propose(fixture, { kind: 'leaseGrant', id: 7n, ttlSeconds: 2 })
  await agree(fixture)
  await granted
  await pass(fixture, 20)
  // The revoke leaves, and nobody has it yet.
  time.advance(defaultGroupLimits.tickMs)
  await time.settle()
  const withheld = sent.splice(0)
  assert.ok(withheld.some(({ message }) => message.kind === 'appendRequest' && message.entries.length > 0))
  const answerHeartbeats = async (): Promise<void> => {
    await time.settle()
    for (const { to, message } of sent.splice(0)) {
      const answer = message.kind === 'heartbeat' ? agreement(to, message) : undefined
      if (answer !== undefined) group.receive(to, answer)
    }
    await time.settle()
  }
  time.advance(2 * defaultGroupLimits.electionTicks * defaultGroupLimits.tickMs)
  for (let tick = 0; tick < 5; tick++) {
    time.advance(defaultGroupLimits.tickMs)
    await answerHeartbeats()
  }
  assert.ok(group.isSettledLeader)
  assert.throws(
    () => core.renewLease(7n, time.nowMs),
    (error) => isQuorateError(error, 'leader-changed', 'not-leader'),
  )
  await pass(fixture, 2)
  assert.equal(core.lease(7n, time.nowMs), undefined)
})

test('after a pause a leader takes up its duties only when a round has proved that it still leads', async () => {
  const fixture = await openLeader()
  const { group, core, time, sent } = fixture
  await pass(fixture, 2)
  let starts = 0
  const start = core.leader.start.bind(core.leader)
  core.leader.start = (nowMs) => {
    starts++
    start(nowMs)
  }
  time.advance(2 * defaultGroupLimits.electionTicks * defaultGroupLimits.tickMs)
  await time.settle()
  // The others may have another leader by now, and say nothing.
  for (let tick = 0; tick < 3; tick++) {
    time.advance(defaultGroupLimits.tickMs)
    await time.settle()
  }
  assert.ok(group.isSettledLeader, 'it takes itself for the leader')
  assert.equal(starts, 0)
  sent.splice(0)
  await pass(fixture, 3)
  assert.equal(starts, 1)
})

test('a snapshot is marked with the configuration of its state and with where that one stands in the log', async () => {
  const fixture = await openLeader({ snapshotCount: 5, snapshotLogBytesMin: 0 })
  const { group, snapshots } = fixture
  const added = group.addMember(['http://n4:2380'], true, { timeoutMs: 5_000 })
  await agree(fixture)
  const { id } = (await added).added
  const { configurationIndex } = group.status()
  assert.ok(configurationIndex > 0)
  for (let i = 0; snapshots.list().length === 0 && i < 50; i++) {
    const written = propose(fixture, put(`k${i}`))
    await agree(fixture)
    await written
    await pass(fixture, 1)
  }
  const { mark } = present(snapshots.list()[0], 'a snapshot was written')
  assert.ok(mark.end.index > configurationIndex)
  assert.equal(mark.configurationIndex, configurationIndex)
  assert.deepEqual(mark.configuration.learners, [id])
})

test('a refusal and an answer that were meant for an earlier run of the process reach nobody in this one', async () => {
  const lastRun = await openGroup({}, { high: 1, low: 4_000 })
  const thisRun = await openGroup({}, { high: 2, low: 8_000 })
  const asked: PeerMessage[][] = []
  const settled: string[] = []
  for (const fixture of [lastRun, thisRun]) {
    const { group, sent, time } = fixture
    group.receive(2n, leaderHeartbeat(1))
    await time.settle()
    const note = (what: string) => () => settled.push(what)
    propose(fixture, put('k')).then(note('put'), note('put'))
    group.askLeader(emptyBytes, { timeoutMs: 5_000 }).then(note('question'), note('question'))
    await time.settle()
    asked.push(sent.map(({ message }) => message))
  }
  for (const message of asked[0] ?? []) {
    const late = lateAnswer(message)
    if (late !== undefined) thisRun.group.receive(2n, late)
  }
  await thisRun.time.settle()
  assert.deepEqual(settled, [])
  for (const message of asked[1] ?? []) {
    const answer = lateAnswer(message)
    if (answer !== undefined) thisRun.group.receive(2n, answer)
  }
  await thisRun.time.settle()
  assert.deepEqual(settled.sort(), ['put', 'question'])
})

function leaderHeartbeat(term: number): PeerMessage {
  return { kind: 'heartbeat', from: 2n, to: self, term, commit: 0, round: 1, context: emptyBytes }
}

function lateAnswer(message: PeerMessage): PeerMessage | undefined {
  if (message.kind === 'forward') {
    const sequences = message.commands.map(({ sequence }) => sequence)
    return { kind: 'forwardRefused', code: 'no-leader', sequences }
  }
  if (message.kind !== 'question') return undefined
  return { kind: 'answer', id: message.id, code: undefined, text: '', bytes: emptyBytes }
}

test('a question of a door that gets no answer is asked again, ever more rarely; a member change is asked once', async () => {
  const { group, time, sent } = await openGroup({ tickMs: 100, electionTicks: 10 })
  const settled: string[] = []
  const note = (text: string) => () => settled.push(text)
  group.receive(2n, leaderHeartbeat(1))
  await time.settle()
  group.askLeader(emptyBytes, { timeoutMs: 5_000 }).then(note('answered'), note('refused'))
  group.removeMember(3n, { timeoutMs: 5_000 }).then(note('removed'), note('not removed'))
  const asked: { audience: string; ms: number }[] = []
  const ids = new Set<number>()
  const startMs = time.nowMs
  for (let tick = 0; tick < 45; tick++) {
    for (const { message } of sent.splice(0)) {
      if (message.kind !== 'question') continue
      asked.push({ audience: message.audience, ms: time.nowMs - startMs })
      if (message.audience === 'door') ids.add(message.id)
    }
    group.receive(2n, leaderHeartbeat(1))
    time.advance(100)
    await time.settle()
  }
  assert.deepEqual(asked, [
    { audience: 'door', ms: 0 },
    { audience: 'node', ms: 0 },
    { audience: 'door', ms: 500 },
    { audience: 'door', ms: 1_500 },
    { audience: 'door', ms: 3_500 },
  ])
  const [id, ...others] = ids
  assert.deepEqual(others, [], 'whichever answer comes first is the answer')
  group.receive(2n, { kind: 'answer', id: id ?? 0, code: undefined, text: '', bytes: emptyBytes })
  await time.settle()
  assert.deepEqual(settled, ['answered'])
})

test('a member change is not judged by one that is not committed: it waits for its end', async () => {
  const fixture = await openLeader()
  const { group, time, sent } = fixture
  const options = { timeoutMs: 60_000 }
  const removed = group.removeMember(3n, options)
  await time.settle()
  const withheld = sent.splice(0)
  const again = group.removeMember(3n, options).then(
    () => 'removed',
    (error: unknown) => (isQuorateError(error) ? error.code : 'failed'),
  )
  await time.settle()
  const early = await Promise.race([again, Promise.resolve('waits')])
  assert.equal(early, 'waits')
  for (const { to, message } of withheld) {
    const answer = agreement(to, message)
    if (answer !== undefined) group.receive(to, answer)
  }
  await agree(fixture)
  await removed
  await pass(fixture, 2)
  assert.equal(await again, 'member-not-found')
})
