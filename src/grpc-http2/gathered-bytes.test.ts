import assert from 'node:assert/strict'
import test from 'node:test'
import { frameMessage, type GrpcServices, type GrpcStream, grpcStatus } from '../grpc/index.ts'
import { fieldOf, type HeaderList, headerList } from '../hpack/index.ts'
import type { Http2ErrorCode, StreamListener } from '../http2/index.ts'
import { type CallStream, Calls } from './index.ts'

const gatheredBytesMax = 100_000

/** A stream whose client says what the test says. */
class ScriptedStream implements CallStream {
  #listener: StreamListener | undefined
  readonly isRemoteEnded = false
  readonly pendingBytes = 0
  hasHeaders = false
  status: string | undefined

  set listener(listener: StreamListener) {
    this.#listener = listener
  }

  sendHeaders(headers: HeaderList): void {
    this.hasHeaders = true
    this.status = fieldOf(headers, 'grpc-status')
  }

  write(): void {}

  end(trailers: HeaderList): void {
    this.status = fieldOf(trailers, 'grpc-status')
  }

  reset(code: Http2ErrorCode): void {
    this.#listener?.onClose(code)
  }

  hold(): void {}

  release(): void {}

  send(bytes: Uint8Array): void {
    this.#listener?.onData(bytes)
  }
}

/** One server with one connection, and what its streaming calls were given. */
function startConnection() {
  const streams: GrpcStream[] = []
  const messages: number[] = []
  const deferred: (() => void)[] = []
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
  const calls = new Calls({
    services,
    time: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      startTimer: neverCalled,
      yieldTurn: neverCalled,
      yieldBulkTurn: neverCalled,
    },
    logger: { log: (_level, event) => assert.fail(event) },
    later: (run) => void deferred.push(run),
    gunzip: neverCalled,
    messageBytesMax: gatheredBytesMax,
    gatheredBytesMax,
    sendBufferBytesMax: 1_000_000,
    untakenBytesMax: 1_000_000,
  })
  const connect = () => {
    const context = calls.context('peer')
    return (path: string): ScriptedStream => {
      const stream = new ScriptedStream()
      const headers = [':method', 'POST', ':path', path, 'content-type', 'application/grpc']
      calls.start(stream, headerList(headers), context)
      return stream
    }
  }
  const runLater = (): void => {
    for (const run of deferred.splice(0)) run()
  }
  return { connect, streams, messages, runLater }
}

function neverCalled(): never {
  return assert.fail('nobody asked for it')
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
