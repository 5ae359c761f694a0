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
const endedPerTurnMax = clientCount / 4
/** More than any machine takes: what has not ended then never does. */
const turnsMax = 10_000

/** Of the `count` that is left, none is in the end, and no turn of the loop ends many. */
async function requireEndOverTurns(count: () => number): Promise<void> {
  for (let turns = 0; turns < turnsMax && count() > 0; turns++) {
    const before = count()
    await turn()
    const ended = before - count()
    assert.ok(ended <= endedPerTurnMax, `${ended} in one turn`)
  }
  assert.equal(count(), 0)
}

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
  await requireEndOverTurns(() => server.gauges.connectionCount)
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
  await requireEndOverTurns(() => server.gauges.openCallCount)
})
