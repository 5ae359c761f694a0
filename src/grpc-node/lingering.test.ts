// Of our own HTTP/2: who breaks a rule hears which, and is not back at once.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { callUnary, startServer } from '../../testing/grpc-client.ts'
import type { GrpcServices } from '../grpc/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'

const services: GrpcServices = new Map([
  ['/test.Echo/Get', { kind: 'unary', handle: (request: Uint8Array) => request } as const],
])

test('a connection that broke a rule reads why, stands unread for a while, and makes room', async (t) => {
  const server = await startServer(t, services, { connectionCountMax: 1 })
  const socket = connect(server.listener.address.port, '127.0.0.1')
  // A socket that goes with bytes unread ends in a reset, a second later.
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  t.after(() => socket.destroy())
  const frames = new OutgoingFrames()
  frames.settings([])
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/test.Echo/Get']
  const headers = headerList([...fields, 'content-type', 'application/grpc', 'te', 'trailers'])
  frames.headers(1, new HpackEncoder().encode(headers), false)
  // Far more behind the fault than a socket takes: what is never read would end the connection with a reset.
  const flood = new Uint8Array(16 * 1024 * 1024).fill(0xff)
  socket.write(Buffer.concat([clientPreface, ...frames.take(), flood]))

  const said: Buffer[] = []
  const goAway = Buffer.from([7, 0, 0, 0, 0, 0])
  while (!Buffer.concat(said).includes(goAway)) {
    const [chunk] = await once(socket, 'data')
    said.push(chunk)
  }
  assert.equal(server.server.gauges.connectionCount, 1)
  assert.equal(socket.readyState, 'open')
  const good = await server.connect()
  assert.equal((await callUnary(good, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
  await closed
  assert.equal(server.server.gauges.refusedConnectionCount, 0)
})

test('a connection that broke a rule ends by itself', async (t) => {
  const server = await startServer(t, services)
  const socket = connect(server.listener.address.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(Buffer.concat([clientPreface, new Uint8Array(100).fill(0xff)]))
  socket.resume()
  await once(socket, 'close')
  const good = await server.connect()
  assert.equal((await callUnary(good, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
  assert.equal(server.server.gauges.connectionCount, 1)
})

test('a server that closes does not wait for connections that broke a rule', async (t) => {
  const server = await startServer(t, services)
  const socket = connect(server.listener.address.port, '127.0.0.1')
  socket.on('error', () => undefined)
  t.after(() => socket.destroy())
  socket.write(Buffer.concat([clientPreface, new Uint8Array(100).fill(0xff)]))
  await once(socket, 'data')
  const closed = server.listener.close()
  for (let turns = 0; turns < 100 && server.server.gauges.connectionCount > 0; turns++)
    await new Promise((resolve) => setImmediate(resolve))
  assert.equal(server.server.gauges.connectionCount, 0)
  await closed
})
