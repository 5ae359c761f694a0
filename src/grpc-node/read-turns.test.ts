// Of our own HTTP/2: a client that sends without a pause is read a piece a turn of the loop.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { startServer } from '../../testing/grpc-client.ts'
import type { GrpcServices } from '../grpc/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'

test('one client has no turn of the loop for itself', async (t) => {
  const messageBytes = 1_000
  const messageCount = 900
  const done = Promise.withResolvers<void>()
  let received = 0
  let turnBytes = 0
  let turnBytesMax = 0
  const services: GrpcServices = new Map([
    [
      '/test.Count/Call',
      {
        kind: 'stream',
        handle: (stream) =>
          stream.setHandlers({
            onMessage(message) {
              if (turnBytes === 0) {
                setImmediate(() => {
                  turnBytes = 0
                })
              }
              turnBytes += message.length
              turnBytesMax = Math.max(turnBytesMax, turnBytes)
              if (++received === messageCount) done.resolve()
            },
            onHalfClose() {},
            onDrain() {},
            onClose() {},
          }),
      },
    ],
  ])
  const server = await startServer(t, services)
  const socket = connect(server.listener.address.port, '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  const frames = new OutgoingFrames()
  frames.settings([])
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/test.Count/Call']
  const headers = headerList([...fields, 'content-type', 'application/grpc', 'te', 'trailers'])
  frames.headers(1, new HpackEncoder().encode(headers), false)
  const message = new Uint8Array(5 + messageBytes)
  new DataView(message.buffer).setUint32(1, messageBytes)
  for (let i = 0; i < messageCount; i++) frames.data(1, message, false)
  socket.write(Buffer.concat([clientPreface, ...frames.take()]))
  await done.promise
  assert.ok(turnBytesMax <= 2 * 64 * 1024, `${turnBytesMax} bytes in one turn`)
})
