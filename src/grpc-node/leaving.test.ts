// Many clients that go at once are not a turn of the loop in which nobody else is served.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { startServer } from '../../testing/grpc-client.ts'
import { clientPreface } from '../http2/index.ts'

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
