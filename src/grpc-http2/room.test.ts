// Who asks whether its client takes its answers, and waits until it does.
import assert from 'node:assert/strict'
import test from 'node:test'
import { frameMessage, type GrpcMethod, type GrpcUnaryCall } from '../grpc/index.ts'
import { http2Error } from '../http2/index.ts'
import { type ScriptedStream, startServer, untakenBytesMax } from './testing/scripted-server.ts'

const request = frameMessage(Uint8Array.of(0))

/** A connection, and which of its calls were told of room, in order. */
function startConnection() {
  const begun: GrpcUnaryCall[] = []
  const told: number[] = []
  const services = new Map<string, GrpcMethod>([
    ['/test.Room/Answer', { kind: 'unary', handle: () => new Uint8Array(1) }],
    [
      '/test.Room/Wait',
      {
        kind: 'unary',
        handle(_, call) {
          begun.push(call)
          return new Promise(() => undefined)
        },
      },
    ],
  ])
  const { connect, runLater } = startServer(services)
  const open = connect()
  return {
    told,
    runLater,
    /** A call whose answer nobody takes. */
    fill(): ScriptedStream {
      const stream = open('/test.Room/Answer')
      stream.pendingBytes = untakenBytesMax
      stream.send(request)
      return stream
    },
    /** A call that asks for room when `ask` is called. */
    begin(id: number): { stream: ScriptedStream; call: GrpcUnaryCall; ask: () => void } {
      const stream = open('/test.Room/Wait')
      stream.send(request)
      const call = begun.pop()
      assert.ok(call !== undefined)
      return { stream, call, ask: () => call.onRoom(() => void told.push(id)) }
    },
  }
}

test('a call that has room is told so after the turn in which it asked, and once', () => {
  const { begin, told, runLater } = startConnection()
  const { stream, call, ask } = begin(1)
  assert.equal(call.hasRoom, true)
  ask()
  assert.deepEqual(told, [])
  runLater()
  assert.deepEqual(told, [1])
  stream.reset(http2Error.cancel)
  runLater()
  assert.deepEqual(told, [1])
})

test('calls without room are told when another call ends, two of them in its end', () => {
  const { fill, begin, told, runLater } = startConnection()
  const untaken = fill()
  const [first] = [1, 2, 3].map((id) => {
    const one = begin(id)
    assert.equal(one.call.hasRoom, false)
    one.ask()
    return one
  })
  begin(4).stream.reset(http2Error.cancel)
  runLater()
  assert.deepEqual(told, [], 'that end made no room')
  untaken.reset(http2Error.noError)
  assert.deepEqual(told, [1, 2])
  first?.stream.reset(http2Error.cancel)
  assert.deepEqual(told, [1, 2, 3])
})

test('a call whose client goes away waits for room no longer', () => {
  const { fill, begin, told, runLater } = startConnection()
  fill()
  const [waiting, late] = [begin(1), begin(2)]
  waiting.ask()
  waiting.stream.reset(http2Error.cancel)
  assert.deepEqual(told, [1])
  late.stream.reset(http2Error.cancel)
  late.ask()
  assert.deepEqual([late.call.hasRoom, told], [false, [1]])
  runLater()
  assert.deepEqual(told, [1, 2])
})
