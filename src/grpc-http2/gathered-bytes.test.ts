import assert from 'node:assert/strict'
import test from 'node:test'
import { frameMessage, type GrpcServices, type GrpcStream, grpcStatus } from '../grpc/index.ts'
import { startServer } from './testing/scripted-server.ts'

/** One server, and what its streaming calls were given. */
function startConnection() {
  const streams: GrpcStream[] = []
  const messages: number[] = []
  const services: GrpcServices = new Map([
    ['/test.Echo/Get', { kind: 'unary', handle: (request) => request }],
    [
      '/test.Echo/Stream',
      {
        kind: 'stream',
        handle(stream) {
          streams.push(stream)
          const nothing = (): void => undefined
          const onMessage = (message: Uint8Array): void => void messages.push(message.length)
          stream.setHandlers({ onMessage, onHalfClose: nothing, onDrain: nothing, onClose: nothing })
        },
      },
    ],
  ])
  return { ...startServer(services), streams, messages }
}

const message = frameMessage(new Uint8Array(80_000))
const [most, rest] = [message.subarray(0, 70_000), message.subarray(70_000)]
const refused = `${grpcStatus.resourceExhausted}`

for (const path of ['/test.Echo/Get', '/test.Echo/Stream']) {
  test(`the call with which unfinished messages pass the bound of their connection is refused: ${path}`, () => {
    const { connect, messages } = startConnection()
    const open = connect()
    const first = open(path)
    first.send(most)
    const second = open(path)
    second.send(most)
    assert.deepEqual([first.status, second.status], [undefined, refused])
    // What was refused is let go at once, whatever still comes for it.
    second.send(rest)
    const small = open(path)
    small.send(message.subarray(0, 20_000))
    assert.equal(small.status, undefined)
    // Another connection has a bound of its own.
    const other = connect()(path)
    other.send(most)
    assert.equal(other.status, undefined)
    first.send(rest)
    if (path === '/test.Echo/Get') assert.equal(first.status, '0')
    else assert.deepEqual(messages, [80_000])
    const third = open(path)
    third.send(most)
    assert.equal(third.status, undefined, 'a message that is whole makes room')
  })

  test(`a client that leaves takes its unfinished messages with it: ${path}`, () => {
    const open = startConnection().connect()
    for (let round = 0; round < 3; round++) {
      const stream = open(path)
      stream.send(most)
      assert.equal(stream.status, undefined)
      stream.reset(8)
    }
  })
}

test('what comes for a stream that nobody reads counts, and makes room when it is read', () => {
  const { connect, streams, messages, runLater } = startConnection()
  const open = connect()
  const paused = open('/test.Echo/Stream')
  streams[0]?.pauseReading()
  paused.send(message)
  const late = open('/test.Echo/Get')
  late.send(most)
  assert.deepEqual([paused.status, late.status], [undefined, refused])
  streams[0]?.resumeReading()
  runLater()
  assert.deepEqual(messages, [80_000])
  const next = open('/test.Echo/Get')
  next.send(most)
  assert.equal(next.status, undefined)
})

test('a piece that waits counts for more than its bytes', () => {
  const { connect, streams } = startConnection()
  const paused = connect()('/test.Echo/Stream')
  streams[0]?.pauseReading()
  let count = 0
  for (; paused.status === undefined && count < 1_000; count++) paused.send(Uint8Array.of(0))
  assert.equal(paused.status, refused, `${count} pieces of a byte were taken`)
})
