import assert from 'node:assert/strict'
import test from 'node:test'
import { concatBytes, isQuorateError, SeededRandom } from '../base/index.ts'
import type { Connection, Network } from '../io/index.ts'
import { SimulatedNetwork } from './network.ts'
import { SimulatedProcess } from './process.ts'
import { Scheduler } from './scheduler.ts'

interface Side {
  readonly connection: Connection
  received: Uint8Array[]
  pieces: number
  drains: number
  closed: string[]
}

function watchSide(connection: Connection): Side {
  const side: Side = { connection, received: [], pieces: 0, drains: 0, closed: [] }
  connection.setHandlers({
    onData: (bytes) => {
      side.received.push(bytes)
      side.pieces++
    },
    onDrain: () => {
      side.drains++
    },
    onClose: (reason) => side.closed.push(reason),
  })
  return side
}

function received(side: Side): number[] {
  return [...concatBytes(side.received)]
}

async function createPair(seed = 1) {
  const scheduler = new Scheduler()
  const network = new SimulatedNetwork({ scheduler, random: new SeededRandom(seed) })
  const processes = { a: new SimulatedProcess(scheduler), b: new SimulatedProcess(scheduler) }
  const hosts: { a: Network; b: Network } = {
    a: network.attach('a', processes.a),
    b: network.attach('b', processes.b),
  }
  const accepted: Side[] = []
  await hosts.b.listen({ host: 'b', port: 1 }, (connection) => accepted.push(watchSide(connection)))
  const connect = async (): Promise<{ near: Side; far: Side }> => {
    const near = watchSide(await scheduler.complete(hosts.a.connect({ host: 'b', port: 1 }, 1000)))
    const far = accepted.at(-1)
    assert.ok(far)
    return { near, far }
  }
  return { scheduler, network, processes, hosts, accepted, connect }
}

const numbers = (first: number, end: number): Uint8Array =>
  Uint8Array.from({ length: end - first }, (_, i) => (first + i) & 0xff)

test('bytes arrive in order both ways, in pieces of other sizes than written', async () => {
  const { scheduler, network, connect } = await createPair()
  network.setFaults({ splitChance: 0.5 })
  const { near, far } = await connect()
  for (let i = 0; i < 200; i++) {
    near.connection.write(numbers(i * 3, i * 3 + 3))
    if (i % 10 === 0) await scheduler.run(0.3)
  }
  far.connection.write(numbers(7, 9))
  await scheduler.run(1000)
  assert.deepEqual(received(far), [...numbers(0, 600)])
  assert.deepEqual(received(near), [7, 8])
  assert.notEqual(far.pieces, 200)
  assert.equal(near.connection.bufferedBytes, 0)
})

test('handlers never run inside the call that caused them', async () => {
  const { scheduler, connect } = await createPair()
  const { near, far } = await connect()
  near.connection.write(numbers(0, 1))
  near.connection.destroy()
  assert.deepEqual([near.closed, far.closed, far.pieces], [[], [], 0])
  await scheduler.run(100)
  assert.deepEqual([near.closed, far.closed], [['destroyed'], ['reset by peer']])
  assert.equal(near.connection.write(numbers(0, 1)), false)
})

test('end sends what is queued, then closes both sides once', async () => {
  const { scheduler, connect } = await createPair()
  const { near, far } = await connect()
  near.connection.write(numbers(0, 5000))
  far.connection.write(numbers(1, 3))
  near.connection.end()
  near.connection.end()
  await scheduler.run(100)
  assert.equal(received(far).length, 5000)
  assert.deepEqual(received(near), [1, 2])
  assert.deepEqual([near.closed, far.closed], [['ended by peer'], ['ended by peer']])
})

test('a sender over the limit is told to stop, and to go on when the receiver reads', async () => {
  const { scheduler, connect } = await createPair()
  const { near, far } = await connect()
  far.connection.pauseReading()
  let written = 0
  while (near.connection.write(numbers(0, 10_000))) written++
  await scheduler.run(1000)
  assert.equal(received(far).length, 0)
  assert.equal(near.connection.bufferedBytes, (written + 1) * 10_000)
  assert.equal(near.drains, 0)
  far.connection.resumeReading()
  await scheduler.run(1000)
  assert.equal(received(far).length, (written + 1) * 10_000)
  assert.equal(near.drains, 1)
})

test('a partition holds bytes back and tells nobody; healed, they go on', async () => {
  const { scheduler, network, hosts, connect } = await createPair()
  const { near, far } = await connect()
  network.partition(['a'], ['b'], 'both')
  near.connection.write(numbers(0, 2))
  await scheduler.run(10_000)
  assert.deepEqual([received(far), near.closed, far.closed], [[], [], []])
  await assert.rejects(scheduler.complete(hosts.a.connect({ host: 'b', port: 1 }, 500)), (error) =>
    isQuorateError(error, 'connect-failed'),
  )
  network.heal()
  await scheduler.run(100)
  assert.deepEqual(received(far), [0, 1])
})

test('a one-way partition stops one direction only', async () => {
  const { scheduler, network, connect } = await createPair()
  const { near, far } = await connect()
  network.partition(['a'], ['b'], 'one-way')
  near.connection.write(numbers(0, 2))
  far.connection.write(numbers(5, 7))
  await scheduler.run(1000)
  assert.deepEqual([received(far), received(near)], [[], [5, 6]])
})

test('a clogged link is slow in one direction', async () => {
  const { scheduler, network, connect } = await createPair()
  const { near, far } = await connect()
  network.clog('a', 'b', 500)
  near.connection.write(numbers(0, 1))
  far.connection.write(numbers(0, 1))
  await scheduler.run(400)
  assert.deepEqual([received(near).length, received(far).length], [1, 0])
  await scheduler.run(400)
  assert.equal(received(far).length, 1)
})

test('a cut loses the bytes under way from some byte on, never from the middle', async () => {
  const lengths = new Set<number>()
  for (let seed = 0; seed < 40; seed++) {
    const { scheduler, network, connect } = await createPair(seed)
    const { near, far } = await connect()
    near.connection.write(numbers(0, 10))
    near.connection.write(numbers(10, 20))
    network.cutConnections('b', 'a')
    near.connection.write(numbers(20, 30))
    await scheduler.run(100)
    const bytes = received(far)
    assert.deepEqual(bytes, [...numbers(0, bytes.length)])
    assert.ok(bytes.length <= 20)
    lengths.add(bytes.length)
    assert.deepEqual([near.closed, far.closed], [['connection reset'], ['connection reset']])
  }
  assert.ok(lengths.size > 10, 'cuts fall inside frames')
})

test('a dead process resets its connections and hears nothing; new ones are refused until it listens', async () => {
  const { scheduler, network, processes, hosts, connect } = await createPair()
  const { near, far } = await connect()
  processes.b.end()
  network.processDied('b')
  await scheduler.run(100)
  assert.deepEqual([near.closed, far.closed], [['reset by peer'], []])
  await assert.rejects(scheduler.complete(hosts.a.connect({ host: 'b', port: 1 }, 500)), /refused/)
  const again = new SimulatedProcess(scheduler)
  await network.attach('b', again).listen({ host: 'b', port: 1 }, () => undefined)
  await scheduler.complete(hosts.a.connect({ host: 'b', port: 1 }, 500))
})

test('a host without power leaves the other end half open until it is back and asked', async () => {
  const { scheduler, network, processes, connect } = await createPair()
  const { near } = await connect()
  processes.b.end()
  network.powerFailed('b')
  near.connection.write(numbers(0, 1))
  await scheduler.run(10_000)
  assert.deepEqual(near.closed, [])
  network.attach('b', new SimulatedProcess(scheduler))
  await scheduler.run(100)
  assert.deepEqual(near.closed, ['reset by peer'])
})

test('a paused process takes everything in order when it goes on', async () => {
  const { scheduler, processes, connect } = await createPair()
  const { near, far } = await connect()
  processes.b.pause()
  near.connection.write(numbers(0, 3))
  near.connection.end()
  await scheduler.run(1000)
  assert.deepEqual([received(far), far.closed], [[], []])
  processes.b.resume()
  await scheduler.run(100)
  assert.deepEqual([received(far), far.closed], [[0, 1, 2], ['ended by peer']])
})

test('corruption flips one bit; bytes that change after write are found', async () => {
  const { scheduler, network, connect } = await createPair()
  const { near, far } = await connect()
  network.setFaults({ corruptChance: 1, splitChance: 0 })
  near.connection.write(new Uint8Array(10))
  await scheduler.run(100)
  const flipped = received(far).filter((byte) => byte !== 0)
  assert.equal(flipped.length, 1)
  assert.ok([1, 2, 4, 8, 16, 32, 64, 128].includes(flipped[0] ?? 0))
  const bytes = numbers(0, 4)
  near.connection.write(bytes)
  bytes[0] = 99
  await assert.rejects(scheduler.run(100), /bytes changed/)
})

test('addresses: taken, foreign, free port', async () => {
  const { hosts } = await createPair()
  const ignore = (): void => undefined
  const refusedWith = (code: 'address-in-use' | 'address-invalid') => (error: unknown) =>
    isQuorateError(error, code)
  await assert.rejects(hosts.b.listen({ host: 'b', port: 1 }, ignore), refusedWith('address-in-use'))
  await assert.rejects(hosts.a.listen({ host: 'b', port: 2 }, ignore), refusedWith('address-invalid'))
  const listener = await hosts.a.listen({ host: 'a', port: 0 }, ignore)
  assert.ok(listener.address.port > 0)
})

test('a connection that was forgotten carries nothing: nobody hears of it, or one side', async () => {
  for (const told of [undefined, 'a', 'b']) {
    const { scheduler, network, connect } = await createPair()
    const { near, far } = await connect()
    near.connection.write(numbers(0, 10))
    network.forgetConnections('a', 'b', told)
    await scheduler.run(100)
    near.connection.write(numbers(10, 20))
    far.connection.write(numbers(20, 30))
    await scheduler.run(10_000)
    assert.deepEqual([received(near), received(far)], [[], []])
    const isTold = { a: near.closed.length, b: far.closed.length }
    assert.deepEqual(isTold, { a: told === 'a' ? 1 : 0, b: told === 'b' ? 1 : 0 })
    const next = await connect()
    next.near.connection.write(numbers(0, 3))
    await scheduler.run(100)
    assert.deepEqual(received(next.far), [0, 1, 2])
  }
})

test('links that were blocked one by one are opened one by one, and a host is silent once all it sent has arrived', async () => {
  const { scheduler, network, connect } = await createPair()
  const { near, far } = await connect()
  network.partition(['a'], ['b'], 'both')
  near.connection.write(numbers(0, 3))
  far.connection.write(numbers(3, 6))
  await scheduler.run(1_000)
  assert.equal(network.isSilent('a'), false)
  network.unblock('a', 'b')
  await scheduler.run(1_000)
  assert.deepEqual([received(near), received(far)], [[], [0, 1, 2]])
  assert.deepEqual([network.isSilent('a'), network.isSilent('b')], [true, false])
  network.unblock('b', 'a')
  await scheduler.run(1_000)
  assert.deepEqual(received(near), [3, 4, 5])
})
