import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { type CallOptions, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { startServer } from '../../testing/grpc-client.ts'
import {
  createHealthServices,
  GrpcError,
  type GrpcMethod,
  type GrpcServices,
  type GrpcStream,
  grpcStatus,
  HealthState,
} from '../grpc/index.ts'

/** The client that most Node programs use, against our server. */

const asIs = (bytes: Buffer): Buffer => bytes

const services: GrpcServices = new Map<string, GrpcMethod>([
  ['/test.Echo/Get', { kind: 'unary', handle: async (request) => request }],
  [
    '/test.Echo/Metadata',
    {
      kind: 'unary',
      handle(_request, call) {
        call.setTrailer('seen-bin', call.metadata.get('raw-bin') ?? '')
        return Buffer.from(call.metadata.get('plain') ?? '')
      },
    },
  ],
  [
    '/test.Echo/Refuse',
    {
      kind: 'unary',
      handle() {
        throw new GrpcError(grpcStatus.failedPrecondition, 'nö', new Map([['quorate-outcome', 'none']]))
      },
    },
  ],
  ['/test.Echo/Never', { kind: 'unary', handle: () => new Promise(() => undefined) }],
  ['/test.Echo/Stream', { kind: 'stream', handle: echoStream }],
])

function echoStream(stream: GrpcStream): void {
  stream.setHandlers({
    onMessage: (message) => void stream.send(message),
    onHalfClose: () => stream.end(),
    onDrain: () => undefined,
    onClose: () => undefined,
  })
}

async function startClient(t: TestContext, served: GrpcServices = services): Promise<Client> {
  const { listener } = await startServer(t, served)
  const client = new Client(`127.0.0.1:${listener.address.port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
  })
  t.after(() => client.close())
  return client
}

interface Unary {
  error: ServiceError | null
  value: Buffer | undefined
  trailers: Metadata | undefined
}

function unary(
  client: Client,
  path: string,
  request: Uint8Array,
  metadata: Metadata = new Metadata(),
  options: CallOptions = {},
): Promise<Unary> {
  return new Promise((resolve) => {
    let result: { error: ServiceError | null; value: Buffer | undefined } | undefined
    const done = (error: ServiceError | null, value: Buffer | undefined): void => {
      result = { error, value }
    }
    const call = client.makeUnaryRequest(path, asIs, asIs, Buffer.from(request), metadata, options, done)
    call.on('status', (ended) => {
      setImmediate(() => {
        assert.ok(result !== undefined)
        resolve({ ...result, trailers: ended.metadata })
      })
    })
  })
}

test('unary: small, empty and large messages, many at once', async (t) => {
  const client = await startClient(t)
  for (const size of [0, 5, 2_000_000]) {
    const { error, value } = await unary(client, '/test.Echo/Get', new Uint8Array(size).fill(3))
    assert.equal(error, null)
    assert.deepEqual(value, Buffer.alloc(size, 3))
  }
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => unary(client, '/test.Echo/Get', Uint8Array.of(i))),
  )
  assert.deepEqual(
    answers.map((answer) => answer.value?.[0]),
    answers.map((_, i) => i),
  )
})

test('metadata reaches the handler and trailers the client, binary ones too', async (t) => {
  const client = await startClient(t)
  const metadata = new Metadata()
  metadata.set('plain', 'words')
  metadata.set('raw-bin', Buffer.from([0, 255, 128]))
  const { value, trailers } = await unary(client, '/test.Echo/Metadata', Uint8Array.of(), metadata)
  assert.equal(value?.toString(), 'words')
  assert.deepEqual(trailers?.get('seen-bin'), [Buffer.from([0, 255, 128])])
})

test('errors: status, text, trailers; unknown methods; too large; deadline', async (t) => {
  const client = await startClient(t)
  const refused = (await unary(client, '/test.Echo/Refuse', Uint8Array.of())).error
  assert.deepEqual([refused?.code, refused?.details], [status.FAILED_PRECONDITION, 'nö'])
  assert.deepEqual(refused?.metadata.get('quorate-outcome'), ['none'])
  const unknown = (await unary(client, '/test.Echo/What', Uint8Array.of())).error
  assert.deepEqual(
    [unknown?.code, unknown?.details],
    [status.UNIMPLEMENTED, 'unknown method What for service test.Echo'],
  )
  const large = (await unary(client, '/test.Echo/Get', new Uint8Array(3_000_000))).error
  assert.deepEqual(
    [large?.code, large?.details],
    [status.RESOURCE_EXHAUSTED, 'grpc: received message larger than max (3000000 vs. 2097152)'],
  )
  const options = { deadline: Date.now() + 50 }
  const late = (await unary(client, '/test.Echo/Never', Uint8Array.of(), new Metadata(), options)).error
  assert.equal(late?.code, status.DEADLINE_EXCEEDED)
})

test('a stream both ways, and the client cancelling one', async (t) => {
  const client = await startClient(t)
  const stream = client.makeBidiStreamRequest('/test.Echo/Stream', asIs, asIs)
  const received: string[] = []
  stream.on('data', (message: Buffer) => {
    received.push(message.toString())
    if (received.length === 3) stream.end()
  })
  const ended = new Promise<number>((resolve) => stream.on('status', (found) => resolve(found.code)))
  for (const word of ['one', 'two', 'three']) stream.write(Buffer.from(word))
  assert.equal(await ended, status.OK)
  assert.deepEqual(received, ['one', 'two', 'three'])

  const cancelled = client.makeBidiStreamRequest('/test.Echo/Stream', asIs, asIs)
  const code = new Promise((resolve) => cancelled.on('error', (error: ServiceError) => resolve(error.code)))
  cancelled.once('data', () => cancelled.cancel())
  cancelled.write(Buffer.from('x'))
  assert.equal(await code, status.CANCELLED)
})

test('the health service answers check and watch', async (t) => {
  const state = new HealthState()
  state.set('', 'serving')
  const client = await startClient(t, createHealthServices(state))
  const { value } = await unary(client, '/grpc.health.v1.Health/Check', Uint8Array.of())
  assert.deepEqual(value, Buffer.from([8, 1]))
  const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', asIs, asIs, Buffer.alloc(0))
  const statuses: number[] = []
  const ended = new Promise((resolve) => watch.on('error', resolve))
  watch.on('data', (message: Buffer) => {
    statuses.push(message[1] ?? 0)
    if (statuses.length === 1) state.set('', 'not-serving')
    else watch.cancel()
  })
  await ended
  assert.deepEqual(statuses, [1, 2])
})
