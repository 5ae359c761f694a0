import assert from 'node:assert/strict'
import test from 'node:test'
import { type NodeId, SeededRandom } from '../base/index.ts'
import { never, silentLogger, type Time } from '../io/index.ts'
import type { SnapshotMark } from '../raft/index.ts'
import { createSimulatedDisk, type SimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore, type SnapshotFile, type SnapshotStore } from '../snapshot/index.ts'
import type { NodeMessage } from './node-message-codec.ts'
import { SnapshotTransfer } from './snapshot-transfer.ts'

const configuration = { voters: [1n, 2n], outgoing: [], learners: [], context: new Uint8Array(0) }
const markAt = (index: number): SnapshotMark => ({
  end: { index, term: 1, chain: index },
  configuration,
  configurationIndex: 0,
})
const unknown = (): undefined => undefined
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Nodes that hand each other messages at once, unless their link is cut. */
class Nodes {
  nowMs = 0
  readonly time: Time = {
    monotonicMs: () => this.nowMs,
    wallMs: () => this.nowMs,
    startTimer: () => ({ cancel: () => undefined }),
    yieldTurn: () => Promise.resolve(),
    yieldBulkTurn: () => Promise.resolve(),
  }
  readonly all = new Map<NodeId, TestNode>()
  /** Drops the messages for which it answers true. */
  drops: (from: NodeId, to: NodeId, message: NodeMessage) => boolean = () => false

  async add(id: NodeId): Promise<TestNode> {
    const disk = createSimulatedDisk({ random: new SeededRandom(Number(id)) })
    const options = {
      disk,
      time: this.time,
      logger: silentLogger,
      directory: '/snapshots',
      clusterId: 7n,
      group: 0,
    }
    const node = new TestNode(id, this, disk, await openSnapshotStore(options))
    this.all.set(id, node)
    return node
  }

  deliver(from: NodeId, to: NodeId, message: NodeMessage): boolean {
    if (this.drops(from, to, message)) return false
    const transfer = this.all.get(to)?.transfer
    if (transfer === undefined) return false
    if (message.kind === 'snapshotRequest') transfer.serve(from, message).catch(assert.fail)
    else if (message.kind === 'snapshotPart') transfer.part(from, message)
    else if (message.kind === 'snapshotGone') transfer.gone(from, message.end)
    return true
  }
}

class TestNode {
  readonly received: SnapshotFile[] = []
  readonly sent: string[] = []
  readonly failures: unknown[] = []
  readonly transfer: SnapshotTransfer
  readonly disk: SimulatedDisk
  readonly snapshots: SnapshotStore

  constructor(id: NodeId, nodes: Nodes, disk: SimulatedDisk, snapshots: SnapshotStore) {
    this.disk = disk
    this.snapshots = snapshots
    this.transfer = new SnapshotTransfer({
      time: nodes.time,
      logger: silentLogger,
      maybe: never,
      snapshots,
      send: (to, message) => nodes.deliver(id, to, message),
      received: (file) => this.received.push(file),
      sent: (to, result) => this.sent.push(`${to} ${result}`),
      failed: (error) => this.failures.push(error),
    })
  }

  /** A snapshot of some parts; equal bytes for equal indices, on every node. */
  async save(index: number): Promise<SnapshotFile> {
    let left = 10
    return this.snapshots.save(markAt(index), () => {
      left--
      return left < 0 ? undefined : new Uint8Array(60_000).fill(index + left)
    })
  }
}

async function createCluster() {
  const nodes = new Nodes()
  const [leader, follower] = [await nodes.add(1n), await nodes.add(2n)]
  return { nodes, leader, follower }
}

async function until(isReached: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !isReached(); i++) await settled()
  assert.ok(isReached(), 'what was waited for did not come')
}

test('a snapshot arrives whole, and both sides hear of it once', async () => {
  const { leader, follower } = await createCluster()
  const file = await leader.save(100)
  leader.transfer.offer(2n, file.mark.end)
  assert.equal(leader.transfer.needsLog(0, unknown), true)
  follower.transfer.begin(1n, file.mark)
  await until(() => follower.received.length > 0)
  assert.deepEqual(leader.sent, ['2 delivered'])
  assert.equal(leader.transfer.needsLog(100, unknown), false)
  assert.deepEqual(
    follower.disk.cachedBytes(follower.received[0]?.path ?? ''),
    leader.disk.cachedBytes(file.path),
  )
})

test('parts leave in the order in which they were asked for, whichever is read first', async () => {
  const { nodes, leader } = await createCluster()
  const file = await leader.save(100)
  const reads: (() => void)[] = []
  const positions: number[] = []
  const transfer = new SnapshotTransfer({
    ...{ time: nodes.time, logger: silentLogger, maybe: never },
    snapshots: {
      ...leader.snapshots,
      list: () => [file],
      readPart: (_, position) =>
        new Promise((resolve) => reads.push(() => resolve(new Uint8Array(position + 1)))),
    },
    send: (_, message) => {
      if (message.kind === 'snapshotPart') positions.push(message.position)
      return true
    },
    sent: () => undefined,
    received: () => assert.fail(),
    failed: (error) => assert.fail(String(error)),
  })
  const served = [0, 1, 2].map((position) =>
    transfer.serve(2n, { end: file.mark.end, position, bytesMax: 1 }),
  )
  for (const read of reads.toReversed()) {
    read()
    await settled()
  }
  await Promise.all(served)
  assert.deepEqual(positions, [0, 1, 2])
})

test('the log behind a delivered snapshot is needed until the peer has passed a later one, is lost, or is too slow', async () => {
  const { nodes, leader, follower } = await createCluster()
  const file = await leader.save(100)
  const needs = (index: number, match: number): boolean => leader.transfer.needsLog(index, () => match)
  const deliver = async (): Promise<void> => {
    const count = leader.sent.length
    leader.transfer.offer(2n, file.mark.end)
    for (let position = 0; leader.sent.length === count; position += 65_536)
      await leader.transfer.serve(2n, { end: file.mark.end, position, bytesMax: 65_536 })
  }
  await deliver()
  assert.deepEqual([needs(100, 0), needs(100, 99), needs(100, 100)], [true, true, false])
  // Another one was begun once it had installed this one: now it catches up with the log from there on.
  assert.deepEqual([needs(150, 120), needs(150, 150)], [true, false])
  assert.equal(needs(200, 150), false, 'it follows the log')
  await deliver()
  assert.equal(needs(150, 0), true)
  leader.transfer.peerLost(2n)
  assert.equal(needs(150, 0), false)
  await deliver()
  nodes.nowMs += 59_999
  assert.equal(needs(150, 0), true)
  nodes.nowMs += 1
  assert.equal(needs(150, 0), false)
  assert.equal(follower.received.length, 0)
})

test('lost parts are asked for again', async () => {
  const { nodes, leader, follower } = await createCluster()
  const file = await leader.save(100)
  const random = new SeededRandom(3)
  nodes.drops = () => random.chance(0.3)
  follower.transfer.begin(1n, file.mark)
  for (let i = 0; i < 200 && follower.received.length === 0; i++) {
    for (let turn = 0; turn < 20; turn++) await settled()
    nodes.nowMs += 1_000
    follower.transfer.tick()
  }
  assert.equal(follower.received.length, 1)
})

test('a peer that asks for nothing any more is given up, and so is one whose connection was lost', async () => {
  const { nodes, leader, follower } = await createCluster()
  const file = await leader.save(100)
  leader.transfer.offer(2n, file.mark.end)
  nodes.nowMs += 10_001
  leader.transfer.tick()
  assert.deepEqual(leader.sent, ['2 failed'])
  leader.transfer.offer(2n, file.mark.end)
  leader.transfer.peerLost(2n)
  leader.transfer.peerLost(2n)
  assert.deepEqual(leader.sent, ['2 failed', '2 failed'])
  assert.equal(follower.received.length, 0)
})

test('a snapshot that is gone ends the pull, and the next announcement begins another', async () => {
  const { leader, follower } = await createCluster()
  leader.transfer.offer(2n, markAt(50).end)
  follower.transfer.begin(1n, markAt(50))
  await until(() => leader.sent.length > 0)
  assert.deepEqual(leader.sent, ['2 failed'])
  const file = await leader.save(100)
  follower.transfer.begin(1n, file.mark)
  await until(() => follower.received.length > 0)
})

test('a pull that ended while its file was written to leaves it before the next one takes it', async () => {
  const { leader, follower } = await createCluster()
  const file = await leader.save(100)
  follower.transfer.begin(1n, file.mark)
  const bytes = await leader.snapshots.readPart(file, 0, 1)
  const part = { end: file.mark.end, position: 0, sizeBytes: file.sizeBytes, bytes }
  // The leader says that it is gone, in the turn in which a part came; then that it is there.
  follower.transfer.part(1n, part)
  await Promise.resolve()
  follower.transfer.gone(1n, file.mark.end)
  follower.transfer.begin(1n, file.mark)
  follower.transfer.part(1n, part)
  await until(() => follower.received.length > 0 || follower.failures.length > 0)
  assert.deepEqual(follower.failures, [])
})

test('a new leader with an older snapshot is believed: the one before may be gone for good', async () => {
  const { nodes, leader, follower } = await createCluster()
  const next = await nodes.add(3n)
  const newer = await leader.save(200)
  const older = await next.save(100)
  nodes.drops = (from, to, message) =>
    message.kind === 'snapshotPart' && message.position > 100_000 && from === 1n && to === 2n
  follower.transfer.begin(1n, newer.mark)
  for (let turn = 0; turn < 100; turn++) await settled()
  follower.transfer.begin(3n, older.mark)
  await until(() => follower.received.length > 0)
  assert.equal(follower.received[0]?.mark.end.index, 100)
})

test('two leaders with the same snapshot: the second goes on where the first ended', async () => {
  const { nodes, leader, follower } = await createCluster()
  const next = await nodes.add(3n)
  const file = await leader.save(100)
  await next.save(100)
  let asked = Number.POSITIVE_INFINITY
  nodes.drops = (from, _to, message) => {
    if (message.kind === 'snapshotPart' && from === 3n && message.bytes.length > 1)
      asked = Math.min(asked, message.position)
    return message.kind === 'snapshotPart' && message.position > 200_000 && from === 1n
  }
  follower.transfer.begin(1n, file.mark)
  for (let turn = 0; turn < 100; turn++) await settled()
  follower.transfer.begin(3n, file.mark)
  await until(() => follower.received.length > 0)
  assert.deepEqual(follower.failures, [])
  assert.ok(asked >= 120_000, `went on at ${asked}`)
})

test('a full disk while a snapshot comes in ends the pull only; the next attempt goes through', async () => {
  const { leader, follower } = await createCluster()
  const file = await leader.save(100)
  follower.disk.setFaults({ bytesMax: 200_000 })
  follower.transfer.begin(1n, file.mark)
  for (let turn = 0; turn < 200; turn++) await settled()
  assert.equal(follower.received.length, 0)
  follower.disk.setFaults({})
  follower.transfer.begin(1n, file.mark)
  await until(() => follower.received.length > 0)
  assert.deepEqual(follower.failures, [])
})

test('rot in the file of the leader is found by the follower, and then by the leader, who sends no more of it', async () => {
  const { leader, follower } = await createCluster()
  const older = await leader.save(100)
  const file = await leader.save(200)
  leader.disk.rot(file.path, { first: 300_000, end: 300_001 })
  leader.transfer.offer(2n, file.mark.end)
  follower.transfer.begin(1n, file.mark)
  await until(() => leader.sent.length > 0)
  for (let turn = 0; turn < 200; turn++) await settled()
  assert.deepEqual([leader.sent, follower.received.length], [['2 delivered'], 0])
  // It is announced again, because the follower did not report it installed.
  leader.transfer.offer(2n, file.mark.end)
  await until(() => leader.sent.length > 1)
  assert.deepEqual(leader.sent, ['2 delivered', '2 failed'])
  assert.deepEqual(leader.snapshots.list(), [older])
  assert.deepEqual(follower.failures, [])
})

test('a stop leaves no file open, and the next life goes on with what came', async () => {
  const { nodes, leader, follower } = await createCluster()
  const file = await leader.save(100)
  nodes.drops = (_from, _to, message) => message.kind === 'snapshotPart' && message.position > 200_000
  follower.transfer.begin(1n, file.mark)
  for (let turn = 0; turn < 100; turn++) await settled()
  await follower.transfer.stop()
  assert.equal(follower.disk.openFiles, 0)
  const receiver = await follower.snapshots.beginReceive(file.mark, file.sizeBytes)
  assert.ok(receiver.receivedBytes > 100_000)
  await receiver.abandon()
})
