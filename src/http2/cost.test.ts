// What one frame makes the server do does not grow with the streams that the client has open.
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { concatBytes } from '../base/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { initialWindowBytes } from './frame.ts'
import { clientPreface, ServerConnection, type ServerStream } from './index.ts'
import { OutgoingFrames } from './outgoing-frames.ts'
import { Sender } from './sender.ts'

const streamCount = 320
const limits = {
  streamCountMax: streamCount,
  headerBytesMax: 1_000,
  streamWindowBytes: initialWindowBytes,
  connectionWindowBytes: initialWindowBytes,
  pendingBytesMax: 10_000_000,
  resetCountBurst: 10,
  resetCountPerSecond: 0,
  idleFrameCountBurst: 60,
  idleFrameCountPerSecond: 0,
}

test('a window of a stream that grows while that of the connection is closed costs no turn of the others', (t) => {
  const client = connect()
  const takePending = t.mock.method(client.streams[0]?.constructor.prototype, 'takePending')
  const drained = t.mock.method(client.streams[0]?.constructor.prototype, 'drained')
  for (const stream of client.streams) stream.write(new Uint8Array(1_000))
  takePending.mock.resetCalls()
  for (const { id } of client.streams) client.send((frames) => frames.windowUpdate(id, 1))
  assert.deepEqual([takePending.mock.callCount(), drained.mock.callCount()], [0, 0])
  // Once it opens, all that waits leaves.
  client.send((frames) => frames.windowUpdate(0, 1_000_000))
  assert.equal(drained.mock.callCount() > 0, true)
  assert.deepEqual(
    client.streams.filter((stream) => stream.pendingBytes > 0),
    [],
  )
})

test('settings move the windows of streams once a frame, and each move is paid for by its size', (t) => {
  const client = connect()
  const moved = countMoves(t)
  client.send((frames) => frames.settings(Array.from({ length: 100 }, (_, i) => [4, 60_000 + i])))
  assert.equal(moved(), 1)
  // Each costs a frame and 20 more for its 320 streams, and one was spent on the hello.
  client.send((frames) => frames.settings([[4, 1]]))
  assert.equal(client.ended, undefined)
  client.send((frames) => frames.settings([[4, 2]]))
  assert.equal(client.ended, 'too many frames that carry nothing')
  assert.equal(moved(), 2)
})

test('one read may bring many frames, and no more of them are read at once than was asked for', () => {
  const client = connect()
  const frames = new OutgoingFrames()
  for (const { id } of client.streams.slice(0, 10)) frames.rstStream(id, 8)
  const bytes = concatBytes(frames.take())
  const { connection } = client
  assert.equal(connection.receive(bytes, 0, 4), true)
  assert.deepEqual([connection.openStreamCount, connection.unreadBytes], [streamCount - 4, 6 * 13])
  assert.equal(connection.goOn(0, 4), true)
  assert.deepEqual([connection.openStreamCount, connection.unreadBytes], [streamCount - 8, 2 * 13])
  assert.equal(connection.goOn(0, 4), false)
  assert.deepEqual([connection.openStreamCount, connection.unreadBytes], [streamCount - 10, 0])
  // Behind a fault nothing is read.
  const fault = new OutgoingFrames()
  fault.windowUpdate(0, 0)
  fault.windowUpdate(0, 1)
  assert.equal(connection.receive(concatBytes(fault.take()), 0, 1), false)
  assert.equal(connection.goOn(0, 1), false)
})

function countMoves(t: TestContext): () => number {
  const move = t.mock.method(Sender.prototype, 'moveStreamWindows')
  return () => move.mock.callCount()
}

/** A client with all its streams open, each with the beginning of an answer. */
function connect() {
  const streams: ServerStream[] = []
  const connection = new ServerConnection(limits, {
    onRequest: (stream) => {
      stream.listener = { onData() {}, onEnd() {}, onDrain() {}, onLocalEnd() {}, onClose() {} }
      streams.push(stream)
    },
    onOutput: () => undefined,
    onEnd: (_code, text) => {
      client.ended = text
    },
  })
  const client: {
    readonly connection: ServerConnection
    readonly streams: ServerStream[]
    ended: string | undefined
    send: (write: (frames: OutgoingFrames) => void) => void
  } = { connection, streams, ended: undefined, send }
  function send(write: (frames: OutgoingFrames) => void): void {
    const frames = new OutgoingFrames()
    write(frames)
    connection.receive(concatBytes(frames.take()), 0)
    connection.take()
    connection.pump()
  }
  connection.receive(clientPreface, 0)
  send((frames) => frames.settings([]))
  const encoder = new HpackEncoder()
  const fields = headerList([':method', 'POST', ':scheme', 'http', ':path', '/a'])
  send((frames) => {
    for (let i = 0; i < streamCount; i++) frames.headers(2 * i + 1, encoder.encode(fields), true)
  })
  const status = headerList([':status', '200'])
  for (const stream of streams) stream.sendHeaders(status, true, false)
  connection.take()
  return client
}
