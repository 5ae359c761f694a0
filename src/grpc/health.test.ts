import assert from 'node:assert/strict'
import test from 'node:test'
import { concatBytes, hexFromBytes, utf8Encode } from '../base/index.ts'
import {
  createHealthServices,
  GrpcError,
  type GrpcStream,
  type GrpcStreamHandlers,
  type GrpcUnaryCall,
  grpcStatus,
  HealthState,
} from './index.ts'

const request = (service: string): Uint8Array =>
  concatBytes([Uint8Array.of(0x0a, service.length), utf8Encode(service)])

/** A stream that records. `room` messages fit before send answers false. */
function recordedStream(room = 100) {
  const events: string[] = []
  let handlers: GrpcStreamHandlers | undefined
  let isClosed = false
  const close = (): void => {
    isClosed = true
    handlers?.onClose()
  }
  const stream: GrpcStream = {
    path: '/grpc.health.v1.Health/Watch',
    metadata: new Map(),
    peer: 'test',
    timeoutMs: undefined,
    isCancelled: false,
    bufferedBytes: 0,
    onCancel: () => undefined,
    setTrailer: () => undefined,
    setHandlers(given) {
      handlers = given
    },
    send(message) {
      assert.ok(!isClosed, 'sent after the close')
      events.push(hexFromBytes(message))
      room--
      return room > 0
    },
    end: () => undefined,
    fail(error) {
      events.push(`fail ${error.status}`)
      close()
    },
    pauseReading: () => undefined,
    resumeReading: () => undefined,
  }
  return {
    stream,
    events,
    close,
    get handlers(): GrpcStreamHandlers {
      assert.ok(handlers !== undefined)
      return handlers
    },
    drain() {
      room = 100
      handlers?.onDrain()
    },
  }
}

const { stream: plain } = recordedStream()
const checkCall: GrpcUnaryCall = { ...plain, hasRoom: true, onRoom: (callback) => callback() }

function services(state: HealthState) {
  const all = createHealthServices(state)
  const check = all.get('/grpc.health.v1.Health/Check')
  const watch = all.get('/grpc.health.v1.Health/Watch')
  assert.ok(check?.kind === 'unary' && watch?.kind === 'stream')
  return { check: (bytes: Uint8Array) => check.handle(bytes, checkCall), watch: watch.handle }
}

test('check answers the status of a service, and NotFound for one that is not there', () => {
  const state = new HealthState()
  const { check } = services(state)
  state.set('', 'serving')
  assert.deepEqual(check(new Uint8Array(0)), Uint8Array.of(8, 1))
  assert.deepEqual(check(request('')), Uint8Array.of(8, 1))
  state.set('', 'not-serving')
  assert.deepEqual(check(request('')), Uint8Array.of(8, 2))
  assert.throws(
    () => check(request('nobody')),
    (error) => error instanceof GrpcError && error.status === grpcStatus.notFound,
  )
})

test('check skips fields it does not know and refuses what is no message', () => {
  const state = new HealthState()
  const { check } = services(state)
  state.set('a', 'serving')
  const unknownFields = Uint8Array.of(
    0x10,
    0xff,
    0x01,
    0x19,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    0x22,
    1,
    0,
    0x2d,
    1,
    2,
    3,
    4,
  )
  assert.deepEqual(check(concatBytes([unknownFields, request('a'), unknownFields])), Uint8Array.of(8, 1))
  for (const broken of [[0x0a, 5, 1], [0x0a], [0x0b], [0x10, 0xff], [0x0a, 1, 0xff]]) {
    assert.throws(
      () => check(Uint8Array.from(broken)),
      (error) => error instanceof GrpcError && error.status === grpcStatus.internal,
      `${broken}`,
    )
  }
})

test('watch tells the present status and each change, and stops with the stream', () => {
  const state = new HealthState()
  const { watch } = services(state)
  const { stream, events, handlers, close } = start(watch)
  handlers.onMessage(request('db'))
  state.set('db', 'serving')
  state.set('other', 'serving')
  state.set('db', 'serving')
  state.set('db', 'not-serving')
  assert.deepEqual(events, ['0803', '0801', '0802'])
  handlers.onHalfClose()
  close()
  state.set('db', 'serving')
  assert.equal(events.length, 3)
  assert.equal(stream.path, '/grpc.health.v1.Health/Watch')
})

test('a slow watcher gets the latest status when it has room again', () => {
  const state = new HealthState()
  state.set('', 'serving')
  const recorded = start(services(state).watch, 1)
  recorded.handlers.onMessage(request(''))
  state.set('', 'not-serving')
  state.set('', 'serving')
  state.set('', 'not-serving')
  assert.deepEqual(recorded.events, ['0801'])
  recorded.drain()
  assert.deepEqual(recorded.events, ['0801', '0802'])
})

test('a watch without a service, or with a broken request, fails', () => {
  const { watch } = services(new HealthState())
  const silent = start(watch)
  silent.handlers.onHalfClose()
  assert.deepEqual(silent.events, [`fail ${grpcStatus.invalidArgument}`])
  const broken = start(watch)
  broken.handlers.onMessage(Uint8Array.of(0x0a, 9))
  assert.deepEqual(broken.events, [`fail ${grpcStatus.internal}`])
})

function start(watch: (stream: GrpcStream) => void, room?: number) {
  const recorded = recordedStream(room)
  watch(recorded.stream)
  return recorded
}
