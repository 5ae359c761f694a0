// Large answers to clients that take them as fast as they come: a part in each turn of the loop.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { startServer } from '../../testing/grpc-client.ts'
import type { GrpcServices } from '../grpc/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a large answer leaves in as many turns as it has parts, whatever the network takes at once', async (t) => {
  const messageBytes = 8 * 1024 * 1024
  const done = Promise.withResolvers<number>()
  const services: GrpcServices = new Map([
    [
      '/test.Large/Call',
      {
        kind: 'stream',
        handle(stream) {
          stream.setHandlers({ onMessage() {}, onHalfClose() {}, onDrain() {}, onClose() {} })
          stream.send(new Uint8Array(messageBytes))
          const watch = async (): Promise<number> => {
            let partBytesMax = 0
            for (let before = stream.bufferedBytes; before > 0; ) {
              await nextTurn()
              partBytesMax = Math.max(partBytesMax, before - stream.bufferedBytes)
              before = stream.bufferedBytes
            }
            return partBytesMax
          }
          watch().then(done.resolve, done.reject)
        },
      },
    ],
  ])
  const server = await startServer(t, services)
  const socket = connect(server.listener.address.port, '127.0.0.1')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  socket.resume()
  const frames = new OutgoingFrames()
  const windowBytes = 2 ** 31 - 1
  frames.settings([[4, windowBytes]])
  frames.windowUpdate(0, windowBytes - 65_535)
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/test.Large/Call']
  const headers = headerList([...fields, 'content-type', 'application/grpc', 'te', 'trailers'])
  frames.headers(1, new HpackEncoder().encode(headers), false)
  socket.write(Buffer.concat([clientPreface, ...frames.take()]))
  const partBytesMax = await done.promise
  assert.ok(partBytesMax <= 512 * 1024, `${partBytesMax} bytes in one turn`)
})
