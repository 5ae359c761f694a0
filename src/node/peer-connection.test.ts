import assert from 'node:assert/strict'
import test from 'node:test'
import { type NodeId, SeededRandom } from '../base/index.ts'
import { type Connection, type Network, silentLogger, type Time } from '../io/index.ts'
import {
  createSimulatedTime,
  MachineClock,
  Scheduler,
  SimulatedNetwork,
  SimulatedProcess,
} from '../simulator/index.ts'
import { encodeHello, type RefusalReason } from './handshake.ts'
import { PeerChannel } from './peer-channel.ts'
import { encodePeerMessage, type PeerMessage } from './peer-codec.ts'
import { frameClass, framesOf } from './peer-frame.ts'
import { listenForPeers, type PeerListener } from './peer-listener.ts'

const clusterId = 77n
const address = { host: 'b', port: 2380 }
const pingIntervalMs = 100

/** Node 1 on host a speaks to node 2 on host b. */
class Pair {
  readonly scheduler = new Scheduler()
  readonly random = new SeededRandom(1)
  readonly network = new SimulatedNetwork({ scheduler: this.scheduler, random: this.random.fork() })
  readonly near = this.host('a')
  readonly far = this.host('b')
  /** What node 2 received: the numbers of digests, and from whom. */
  readonly received: { from: NodeId; index: number }[] = []
  readonly refused: string[] = []
  readonly lost: string[] = []
  /** At node 2: whose connection ended, and whether another one of that peer was open. */
  readonly left: { from: NodeId; isHeard: boolean }[] = []
  listener: PeerListener | undefined
  dials = 0
  dialsFailed = 0
  readonly events: string[] = []
  opened = 0
  /** Data directory that node 2 knows of node 1; 0n: none yet. */
  knownDirectory = 0n

  host(name: string): { network: Network; time: Time; process: SimulatedProcess } {
    const process = new SimulatedProcess(this.scheduler)
    const clock = new MachineClock(this.scheduler, { monotonicStartMs: 0, wallStartMs: 0 })
    const time = createSimulatedTime({ clock, process, random: this.random.fork() })
    return { network: this.network.attach(name, process), time, process }
  }

  async listen(): Promise<void> {
    this.listener = await listenForPeers({
      network: this.far.network,
      time: this.far.time,
      logger: { log: (_level, event) => this.events.push(event) },
      address,
      clusterId,
      nodeId: 2n,
      directoryId: 22n,
      messageBytesMax: 1024 * 1024,
      helloTimeoutMs: 1_000,
      idleTimeoutMs: 2_000,
      judge: (hello) =>
        this.knownDirectory !== 0n && this.knownDirectory !== hello.directoryId
          ? { reason: 'wiped', text: 'another directory' }
          : undefined,
      onWelcome: () => undefined,
      onLeft: (from) => this.left.push({ from, isHeard: this.listener?.hears(from) === true }),
      identify: () => Promise.resolve(undefined),
      onMessage: (from, _group, message) => {
        if (message.kind === 'digest') this.received.push({ from, index: message.index })
      },
    })
  }

  dial(change: { clusterId?: bigint; directoryId?: bigint; queueBytesMax?: number } = {}): PeerChannel {
    return new PeerChannel({
      network: this.near.network,
      time: this.near.time,
      logger: silentLogger,
      random: this.random.fork(),
      peer: 2n,
      addresses: () => {
        this.dials++
        return [address]
      },
      hello: () => ({
        clusterId: change.clusterId ?? clusterId,
        from: 1n,
        directoryId: change.directoryId ?? 11n,
        peerUrls: [],
      }),
      connectTimeoutMs: 500,
      pingIntervalMs,
      queueBytesMax: change.queueBytesMax ?? 1024 * 1024,
      admits: () => true,
      onOpen: () => {
        this.opened++
      },
      onLost: (reason) => this.lost.push(reason),
      onDialFailed: () => {
        this.dialsFailed++
      },
      onRefused: (reason: RefusalReason) => this.refused.push(reason),
    })
  }

  /** A connection of somebody who speaks no protocol of ours, and whether it was closed. */
  async stranger(): Promise<{ connection: Connection; closed: string[] }> {
    const connection = await this.scheduler.complete(this.near.network.connect(address, 500))
    const closed: string[] = []
    connection.setHandlers({
      onData: () => undefined,
      onDrain: () => undefined,
      onClose: (reason) => closed.push(reason),
    })
    return { connection, closed }
  }
}

const digest = (index: number): PeerMessage => ({ kind: 'digest', index, digest: 0 })
const control = (payload: Uint8Array): Uint8Array[] =>
  framesOf({ frameClass: frameClass.control, group: 0, payload })
const hello = (from = 1n): Uint8Array =>
  encodeHello({ clusterId, from, to: 2n, directoryId: 11n, peerUrls: [] })

async function createPair(): Promise<Pair> {
  const pair = new Pair()
  await pair.listen()
  return pair
}

test('cut and stalled every 100 ms: what arrives keeps its order and nothing arrives twice', async () => {
  const pair = await createPair()
  const channel = pair.dial()
  let sent = 0
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 20; i++) if (channel.send(0, digest(sent + 1))) sent++
    if (round % 2 === 0) pair.network.cutConnections('a', 'b')
    else pair.network.clog('a', 'b', 50)
    await pair.scheduler.run(100)
  }
  const indices = pair.received.map(({ index }) => index)
  assert.ok(pair.opened > 20, `opened ${pair.opened} times`)
  assert.ok(indices.length > 100, `received ${indices.length}`)
  assert.deepEqual(
    indices,
    [...new Set(indices)].sort((left, right) => left - right),
  )
  assert.equal(pair.lost.length, pair.opened - (channel.isOpen ? 1 : 0))
})

test('a peer that went silent without a word is noticed by the missing life signs, and dialled again', async () => {
  const pair = await createPair()
  const channel = pair.dial()
  await pair.scheduler.run(200)
  assert.equal(channel.isOpen, true)
  pair.network.partition(['a'], ['b'], 'both')
  await pair.scheduler.run(6 * pingIntervalMs)
  assert.equal(channel.isOpen, false)
  assert.deepEqual(pair.lost, ['no life sign from the peer'])
  assert.equal(channel.send(0, digest(1)), false)
  pair.network.heal()
  await pair.scheduler.run(5_000)
  assert.equal(channel.isOpen, true)
})

test('a peer that only hears is noticed too: its answers are missing', async () => {
  const pair = await createPair()
  const channel = pair.dial()
  await pair.scheduler.run(200)
  pair.network.partition(['b'], ['a'], 'one-way')
  await pair.scheduler.run(6 * pingIntervalMs)
  assert.equal(channel.isOpen, false)
})

test('a peer that was away and shows that it runs is dialled at once, not after the pause that has grown meanwhile', async () => {
  const pair = new Pair()
  const channel = pair.dial()
  await pair.scheduler.run(20_000)
  await pair.listen()
  assert.equal(channel.isOpen, false)
  channel.peerRuns()
  await pair.scheduler.run(20)
  assert.equal(channel.isOpen, true)
  channel.peerRuns()
  await pair.scheduler.run(5_000)
  assert.equal(pair.opened, 1, 'an open channel stays as it is')
  channel.close()
  channel.peerRuns()
  await pair.scheduler.run(5_000)
  assert.equal(pair.opened, 1, 'and a closed one stays closed')
})

test('a peer that shows that it runs while a vain attempt at it ends is dialled without the pause that had grown', async () => {
  const pair = await createPair()
  pair.network.partition(['a'], ['b'], 'both')
  const channel = pair.dial()
  await pair.scheduler.run(20_000)
  const { dials } = pair
  await pair.scheduler.runUntil(() => pair.dials > dials, pair.scheduler.now + 5_000)
  // The network asks for a connection every 200 ms: this attempt is not answered any more before its time is up.
  await pair.scheduler.run(450)
  assert.equal(pair.dialsFailed, pair.dials - 1, 'it is under way')
  pair.network.heal()
  channel.peerRuns()
  await pair.scheduler.run(150)
  assert.equal(pair.dialsFailed, pair.dials - 1, 'it failed, and another was made')
  assert.equal(channel.isOpen, true)
})

test('the queue of a peer that does not read is bounded, and the channel says what it dropped', async () => {
  const pair = await createPair()
  const channel = pair.dial({ queueBytesMax: 100_000 })
  await pair.scheduler.run(200)
  pair.far.process.pause()
  const part: PeerMessage = {
    kind: 'snapshotPart',
    end: { index: 1, term: 1, chain: 1 },
    position: 0,
    sizeBytes: 1_000_000,
    bytes: new Uint8Array(50_000),
  }
  let taken = 0
  while (channel.send(0, part)) assert.ok(++taken < 1_000, 'there is a bound')
  assert.ok(channel.queuedBytes < 200_000, String(channel.queuedBytes))
  // Control frames still go: a heartbeat is not held up by what is large.
  assert.equal(channel.send(0, digest(1)), true)
})

const hostile: Record<string, Uint8Array[]> = {
  'bytes of another protocol': [new TextEncoder().encode('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  'a frame with a broken checksum': [damaged(control(hello())[0] as Uint8Array, 30)],
  'a header that claims too much': [damaged(control(hello())[0] as Uint8Array, 8)],
  'a message before the hello': control(encodePeerMessage(digest(1))),
  'a hello from this very member': control(hello(2n)),
  'an unknown message after the hello': [...control(hello(9n)), ...control(Uint8Array.of(250))],
  'more than a stranger may send': framesOf({
    frameClass: frameClass.bulk,
    group: 0,
    payload: new Uint8Array(200_000),
  }),
}
for (const [what, frames] of Object.entries(hostile)) {
  test(`${what}: the connection is closed, the others go on`, async () => {
    const pair = await createPair()
    const channel = pair.dial()
    await pair.scheduler.run(200)
    const { connection, closed } = await pair.stranger()
    for (const frame of frames) connection.write(frame)
    await pair.scheduler.run(200)
    assert.equal(closed.length, 1)
    assert.ok(pair.events.includes('peer-connection-closed'))
    channel.send(0, digest(5))
    await pair.scheduler.run(200)
    assert.deepEqual(pair.received, [{ from: 1n, index: 5 }])
  })
}

test('whoever says nothing is closed', async () => {
  const pair = await createPair()
  const { closed } = await pair.stranger()
  await pair.scheduler.run(900)
  assert.equal(closed.length, 0)
  await pair.scheduler.run(200)
  assert.equal(closed.length, 1)
})

test('another cluster and another data directory are refused by name', async () => {
  const pair = await createPair()
  pair.dial({ clusterId: 78n })
  await pair.scheduler.run(100)
  assert.equal(pair.refused[0], 'cluster')
  const other = await createPair()
  other.knownDirectory = 11n
  other.dial({ directoryId: 12n })
  await other.scheduler.run(100)
  assert.equal(other.refused[0], 'wiped')
  assert.equal(other.opened, 0)
})

test('a newer connection of a peer replaces the older one: nothing of that follows later', async () => {
  const pair = await createPair()
  const older = await pair.stranger()
  for (const frame of control(hello())) older.connection.write(frame)
  await pair.scheduler.run(100)
  const newer = await pair.stranger()
  for (const frame of control(hello())) newer.connection.write(frame)
  await pair.scheduler.run(100)
  assert.deepEqual([older.closed.length, newer.closed.length], [1, 0])
  for (const frame of control(encodePeerMessage(digest(1)))) older.connection.write(frame)
  for (const frame of control(encodePeerMessage(digest(2)))) newer.connection.write(frame)
  await pair.scheduler.run(100)
  assert.deepEqual(pair.received, [{ from: 1n, index: 2 }])
  assert.deepEqual(pair.left, [{ from: 1n, isHeard: true }])
})

test('both sides hear of the end of a connection, and the dialler of each attempt that fails', async () => {
  const pair = await createPair()
  pair.dial()
  await pair.scheduler.run(200)
  assert.equal(pair.listener?.hears(1n), true)
  pair.network.cutConnections('a', 'b')
  await pair.scheduler.run(200)
  assert.deepEqual([pair.lost.length, pair.opened, pair.dialsFailed], [1, 2, 0])
  assert.deepEqual(pair.left, [{ from: 1n, isHeard: false }])
  assert.equal(pair.listener.hears(1n), true)
  pair.far.process.end()
  pair.network.processDied('b')
  await pair.scheduler.run(20)
  assert.deepEqual([pair.lost.length, pair.dialsFailed], [2, 0])
  await pair.scheduler.run(80)
  assert.deepEqual([pair.lost.length, pair.dialsFailed], [2, 1], 'the first attempt follows at once')
  await pair.scheduler.run(1_000)
  assert.ok(pair.dialsFailed > 2)
})

/** With one byte changed. */
function damaged(frame: Uint8Array, position: number): Uint8Array {
  const copy = frame.slice()
  copy[position] = (copy[position] as number) ^ 0xff
  return copy
}
