// Whoever breaks a rule of HTTP/2 is not back at once.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { recordingLogger, startServer } from '../../testing/grpc-client.ts'
import { Calls } from '../grpc-http2/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface, http2Error } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'
import type { Time } from '../io/index.ts'
import { createNodeTime } from '../io-node/index.ts'
import { ClientConnection } from './client-connection.ts'
import { gunzip } from './gunzip.ts'
import { defaultLimits } from './limits.ts'
import { Offenders } from './offenders.ts'
import type { Session } from './session.ts'
import { ownTransport } from './transports.ts'

const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
/** The client leaves. */
const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
/** A frame of 2^24 - 1 bytes. */
const tooLong = Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])

function createOffenders(): { offenders: Offenders; pass: (ms: number) => void } {
  let nowMs = 0
  const offenders = new Offenders({ ...createNodeTime(), monotonicMs: () => nowMs })
  return { offenders, pass: (ms) => (nowMs += ms) }
}

test('a fault is forgiven after a second, and until then connections from its address begin later', () => {
  const { offenders, pass } = createOffenders()
  const [one, other] = [{ remoteAddress: '10.0.0.1' }, { remoteAddress: '10.0.0.2' }]
  assert.equal(offenders.delayMsOf(one), 0)
  assert.equal(offenders.add('10.0.0.1'), 1_000, 'how long its connection is kept')
  assert.equal(offenders.add(undefined), 1_000)
  assert.deepEqual(
    [one, other, {}].map((peer) => offenders.delayMsOf(peer)),
    [100, 0, 0],
  )
  pass(400)
  assert.equal(offenders.delayMsOf(one), 60)
  pass(600)
  assert.equal(offenders.delayMsOf(one), 0)
  assert.equal(offenders.add('10.0.0.1'), 1_000, 'forgotten')
})

test('each fault more is a second and a tenth of one more, ten at most', () => {
  const { offenders, pass } = createOffenders()
  const peer = { remoteAddress: '10.0.0.1' }
  const keptMs = Array.from({ length: 12 }, () => offenders.add('10.0.0.1'))
  const seconds = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]
  assert.deepEqual(
    keptMs,
    seconds.map((each) => each * 1_000),
  )
  assert.equal(offenders.delayMsOf(peer), 1_000)
  assert.equal(offenders.patienceWith(peer), 1 / 11)
  pass(8_500)
  assert.equal(offenders.delayMsOf(peer), 150)
  assert.equal(offenders.patienceWith(peer), 1 / 2.5)
  const others = [{ remoteAddress: '10.0.0.2' }, {}]
  assert.deepEqual(
    others.map((other) => offenders.patienceWith(other)),
    [1, 1],
  )
  assert.equal(offenders.add('10.0.0.1'), 2_500)
})

test('of many addresses the last thousand are remembered', () => {
  const { offenders } = createOffenders()
  const address = (i: number): string => `10.0.${i >> 8}.${i & 255}`
  for (let i = 0; i < 1_001; i++) offenders.add(address(i))
  const delayed = Array.from(
    { length: 1_001 },
    (_, i) => offenders.delayMsOf({ remoteAddress: address(i) }) > 0,
  )
  assert.deepEqual(delayed, [false, ...Array<boolean>(1_000).fill(true)])
})

/** A time whose timers run when the test says so. */
class HandTime {
  readonly timers: { readonly delayMs: number; readonly run: () => void }[] = []
  readonly time: Time = {
    ...createNodeTime(),
    startTimer: (delayMs, run) => {
      const timer = { delayMs, run }
      this.timers.push(timer)
      return { cancel: () => void this.timers.splice(this.timers.indexOf(timer), 1) }
    },
  }
}

/** The server's side of a connection from `remoteAddress`: reads what is pushed, writes nowhere. */
function socketFrom(t: TestContext, remoteAddress: string): Socket {
  const socket = new Duplex({ read() {}, write: (_bytes, _encoding, taken) => taken() })
  t.after(() => socket.destroy())
  return Object.assign(socket, { remoteAddress }) as unknown as Socket
}

async function someTurns(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve))
}

/** Calls that are cancelled at once. */
function hastyCalls(count: number): readonly Uint8Array[] {
  const frames = new OutgoingFrames()
  const encoder = new HpackEncoder()
  const headers = headerList([':method', 'POST', ':scheme', 'http', ':path', '/none'])
  for (let stream = 1; stream < 2 * count; stream += 2) {
    frames.headers(stream, encoder.encode(headers), false)
    frames.rstStream(stream, http2Error.cancel)
  }
  return frames.take()
}

function contextOf(time: Time, offenders: Offenders) {
  const context = { time, logger: recordingLogger(), offenders }
  const calls = new Calls({ services: new Map(), ...context, later: setImmediate, gunzip, ...defaultLimits })
  return { ...context, startSession: ownTransport({ calls, ...context }, defaultLimits) }
}

test('a connection that breaks a rule is kept as long as its address has earned, one that ends in order is not', async (t) => {
  const hand = new HandTime()
  const { startSession } = contextOf(hand.time, createOffenders().offenders)
  const begin = async (address: string, last: Uint8Array): Promise<Socket> => {
    const socket = socketFrom(t, address)
    startSession(socket, Buffer.concat([clientPreface, emptySettings, last]))
    await someTurns()
    return socket
  }
  await begin('10.0.0.1', goAway)
  const once = await begin('10.0.0.1', tooLong)
  const twice = await begin('10.0.0.1', tooLong)
  await begin('10.0.0.2', tooLong)
  assert.deepEqual(
    hand.timers.map(({ delayMs }) => delayMs),
    [1_000, 2_000, 1_000],
  )
  twice.destroy()
  await someTurns()
  assert.equal(hand.timers.length, 2, 'its client has gone')
  assert.equal(once.destroyed, false)
  hand.timers[0]?.run()
  assert.equal(once.destroyed, true)
})

test('a connection from the address of faults has done too much sooner', async (t) => {
  const hand = new HandTime()
  const { offenders } = createOffenders()
  for (let i = 0; i < 10; i++) offenders.add('10.0.0.1')
  const { startSession } = contextOf({ ...hand.time, monotonicMs: () => 0 }, offenders)
  const isEnded = async (address: string, frames: readonly Uint8Array[]): Promise<boolean> => {
    const ended = hand.timers.length
    startSession(socketFrom(t, address), Buffer.concat([clientPreface, emptySettings, ...frames]))
    for (const _ of frames) await new Promise((resolve) => setImmediate(resolve))
    return hand.timers.length > ended
  }
  const pings = (count: number): Buffer[] => Array<Buffer>(count).fill(ping)
  // Of 2,000 frames that anybody may send at once an eleventh is 181, and one of them is SETTINGS.
  assert.equal(await isEnded('10.0.0.2', pings(1_999)), false)
  assert.equal(await isEnded('10.0.0.1', pings(180)), false)
  // Of 4,096 calls to cancel an eleventh is 372, and these count eight times but for the few that two slices share.
  assert.equal(await isEnded('10.0.0.2', hastyCalls(512)), false)
  assert.equal(await isEnded('10.0.0.1', hastyCalls(46)), false)
  assert.equal(await isEnded('10.0.0.1', pings(181)), true)
  assert.equal(await isEnded('10.0.0.1', hastyCalls(60)), true)
})

test('the next connection from the address of a fault is not read before its time', async (t) => {
  const hand = new HandTime()
  const { offenders } = createOffenders()
  offenders.add('10.0.0.1')
  const started: string[] = []
  const context = {
    ...contextOf(hand.time, offenders),
    startSession: ({ remoteAddress = '' }: Socket) => {
      started.push(remoteAddress)
      return {} as Session
    },
    limits: defaultLimits,
    onOtherProtocol: () => undefined,
    onEnd: () => undefined,
    onClose: () => undefined,
  }
  const begin = async (address: string): Promise<Socket> => {
    const socket = socketFrom(t, address)
    new ClientConnection(socket, context)
    socket.push(clientPreface)
    await someTurns()
    return socket
  }
  await begin('10.0.0.1')
  const gone = await begin('10.0.0.1')
  await begin('10.0.0.2')
  assert.deepEqual(started, ['10.0.0.2'])
  gone.destroy()
  await someTurns()
  assert.deepEqual(
    hand.timers.map(({ delayMs }) => delayMs),
    [100],
    'nothing waits for a connection that has gone',
  )
  hand.timers[0]?.run()
  await someTurns()
  assert.deepEqual(started, ['10.0.0.2', '10.0.0.1'])
})

test('who comes back after a fault is served all the same', async (t) => {
  const { listener } = await startServer(t, new Map())
  for (const isFaulty of [true, false]) {
    const socket = connect(listener.address.port, '127.0.0.1')
    t.after(() => socket.destroy())
    socket.write(clientPreface)
    if (isFaulty) socket.write(tooLong)
    const [greeting] = (await once(socket, 'data')) as [Buffer]
    assert.equal(greeting[3], 4, 'SETTINGS')
  }
})
