// Of our own HTTP/2: what the clients of a server hold together is bounded, and who holds most goes.
import assert from 'node:assert/strict'
import test from 'node:test'
import { callUnary, openCall, startServer } from '../../testing/grpc-client.ts'
import { frameMessage, type GrpcServices } from '../grpc/index.ts'

const answerBytes = 1_000_000
const waitingBytesMax = 8_000_000

const services: GrpcServices = new Map([
  ['/test.Big/Get', { kind: 'unary', handle: async () => new Uint8Array(answerBytes) } as const],
  ['/test.Echo/Get', { kind: 'unary', handle: (request: Uint8Array) => request } as const],
])

for (const kind of ['answers that nobody takes', 'requests that do not end'] as const) {
  test(`${kind} end the connection that has most of them, and no other`, async (t) => {
    const server = await startServer(t, services, { waitingBytesMax })
    const [good, modest, greedy] = [await server.connect(), await server.connect(), await server.connect()]
    const gone = new Promise((resolve) => greedy.once('close', resolve))
    const hold = (session: typeof greedy, count: number): void => {
      for (let i = 0; i < count; i++) {
        const isAsking = kind === 'answers that nobody takes'
        // Nobody reads the stream, so its window stays closed.
        const stream = openCall(session, isAsking ? '/test.Big/Get' : '/test.Echo/Get')
        if (isAsking) stream.end(frameMessage(new Uint8Array(1)))
        else stream.write(frameMessage(new Uint8Array(answerBytes)).subarray(0, answerBytes))
      }
    }
    hold(modest, 3)
    hold(greedy, 20)
    await gone
    assert.equal((await callUnary(good, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
    assert.equal((await callUnary(modest, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
    const drops = server.logger.lines.filter((line) => line.event === 'grpc-connection-dropped')
    assert.deepEqual(
      drops.map((line) => line.fields?.reason),
      ['holds-most'],
    )
  })
}
