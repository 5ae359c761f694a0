// Many clients that go at once are not a turn of the loop in which nobody else is served.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { startServer } from '../../testing/grpc-client.ts'
import type { GrpcServices } from '../grpc/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const clientCount = 400

test('connections whose clients went at once end over many turns', async (t) => {
  const { server, listener } = await startServer(t, new Map())
  const sockets = Array.from({ length: clientCount }, () => connect(listener.address.port, '127.0.0.1'))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) {
    socket.write(clientPreface)
    // The greeting: the server has taken it.
    await once(socket, 'data')
  }
  assert.equal(server.gauges.connectionCount, clientCount)
  for (const socket of sockets) socket.destroy()
  let endedPerTurnMax = 0
  for (let turns = 0; turns < 10_000 && server.gauges.connectionCount > 0; turns++) {
    const before = server.gauges.connectionCount
    await turn()
    endedPerTurnMax = Math.max(endedPerTurnMax, before - server.gauges.connectionCount)
  }
  assert.equal(server.gauges.connectionCount, 0)
  assert.ok(endedPerTurnMax <= clientCount / 4, `${endedPerTurnMax} in one turn`)
})

const endless: GrpcServices = new Map([
  [
    '/test.Endless/Watch',
    {
      kind: 'stream',
      handle: (stream) => {
        stream.setHandlers({ onMessage() {}, onHalfClose() {}, onDrain() {}, onClose() {} })
      },
    },
  ],
])

/** The preface, and a call that has no end. */
function openingOfCall(): Uint8Array {
  const frames = new OutgoingFrames()
  frames.settings([])
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/test.Endless/Watch']
  const headers = headerList([...fields, 'content-type', 'application/grpc', 'te', 'trailers'])
  frames.headers(1, new HpackEncoder().encode(headers), false)
  return Buffer.concat([clientPreface, ...frames.take()])
}

test('the calls of connections that were cut at once end over many turns', async (t) => {
  const { server, listener } = await startServer(t, endless)
  const sockets = Array.from({ length: clientCount }, () => connect(listener.address.port, '127.0.0.1'))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) {
    socket.write(openingOfCall())
    await once(socket, 'data')
  }
  assert.equal(server.gauges.openCallCount, clientCount)
  for (const socket of sockets) socket.resetAndDestroy()
  let endedPerTurnMax = 0
  for (let turns = 0; turns < 10_000 && server.gauges.openCallCount > 0; turns++) {
    const before = server.gauges.openCallCount
    await turn()
    endedPerTurnMax = Math.max(endedPerTurnMax, before - server.gauges.openCallCount)
  }
  assert.equal(server.gauges.openCallCount, 0)
  assert.ok(endedPerTurnMax <= clientCount / 4, `${endedPerTurnMax} in one turn`)
})
