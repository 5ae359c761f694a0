import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { isQuorateError } from '../base/index.ts'
import type { Connection, ConnectionHandlers, Listener, LogFields, Logger } from '../io/index.ts'
import { createNodeNetwork } from './index.ts'

type Line = { event: string; fields: LogFields | undefined }

function recordingLogger(): Logger & { lines: Line[] } {
  const lines: Line[] = []
  return { lines, log: (_level, event, fields) => lines.push({ event, fields }) }
}

interface Observed {
  closed(): Promise<string>
  received(wanted: string): Promise<void>
}

/** Collects what a connection tells; each field can be awaited. */
function observe(connection: Connection, extra: Partial<ConnectionHandlers> = {}): Observed {
  let text = ''
  const waiting: { wanted: string; resolve: () => void }[] = []
  const closed = Promise.withResolvers<string>()
  connection.setHandlers({
    onData(bytes) {
      text += new TextDecoder().decode(bytes)
      for (const waiter of waiting) if (text.includes(waiter.wanted)) waiter.resolve()
    },
    onDrain: () => undefined,
    onClose: (reason) => closed.resolve(reason),
    ...extra,
  })
  return {
    closed: () => closed.promise,
    received(wanted: string): Promise<void> {
      return new Promise((resolve) => {
        if (text.includes(wanted)) resolve()
        else waiting.push({ wanted, resolve })
      })
    },
  }
}

async function pair(t: TestContext, options: { writeBufferBytesMax?: number } = {}) {
  const logger = recordingLogger()
  const network = createNodeNetwork({ logger, ...options })
  const accepted = Promise.withResolvers<Connection>()
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, accepted.resolve)
  const client = await network.connect(listener.address, 5_000)
  const server = await accepted.promise
  t.after(async () => {
    client.destroy()
    server.destroy()
    await listener.close()
  })
  return { logger, network, listener, client, server }
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('bytes arrive both ways, as plain Uint8Array, and end closes both sides', async (t) => {
  const { client, server } = await pair(t)
  const plain = Promise.withResolvers<boolean>()
  const atServer = observe(server, { onData: (data) => plain.resolve(data.constructor === Uint8Array) })
  const atClient = observe(client)
  client.write(bytes('ping'))
  assert.equal(await plain.promise, true)
  server.write(bytes('pong'))
  server.write(bytes(' and bye'))
  server.end()
  await atClient.received('pong and bye')
  assert.equal(await atClient.closed(), 'closed by the other side')
  assert.equal(await atServer.closed(), 'ended')
})

test('what was sent before the handlers were set is not lost, nor is the close', async (t) => {
  const { client, server } = await pair(t)
  observe(client)
  client.write(bytes('early'))
  await new Promise((resolve) => setImmediate(resolve))
  const atServer = observe(server)
  await atServer.received('early')
  client.destroy()
  await atServer.closed()
})

test('a connection that was destroyed before its handlers came still closes exactly once, in a later turn', async (t) => {
  const { client } = await pair(t)
  client.destroy()
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  let count = 0
  const closed = Promise.withResolvers<void>()
  client.setHandlers({
    onData: () => undefined,
    onDrain: () => undefined,
    onClose: () => {
      count++
      closed.resolve()
    },
  })
  assert.equal(count, 0, 'the handler ran inside setHandlers')
  await closed.promise
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(count, 1)
})

test('write answers false above the limit and onDrain follows when the other side reads', async (t) => {
  const { client, server } = await pair(t, { writeBufferBytesMax: 64 * 1024 })
  let received = 0
  const all = Promise.withResolvers<void>()
  const drained = Promise.withResolvers<void>()
  const piece = new Uint8Array(256 * 1024)
  let sent = 0
  observe(server, {
    onData: (data) => {
      received += data.length
      if (received === sent) all.resolve()
    },
  })
  observe(client, { onDrain: drained.resolve })
  server.pauseReading()
  let more = true
  while (more) {
    more = client.write(piece)
    sent += piece.length
    assert.ok(sent < 512 * 1024 * 1024, 'write never said stop')
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(client.bufferedBytes > 64 * 1024)
  server.resumeReading()
  await drained.promise
  await all.promise
  assert.equal(client.bufferedBytes, 0)
})

test('a handler that throws costs only its connection', async (t) => {
  const { logger, network, listener, client, server } = await pair(t)
  const serverClosed = Promise.withResolvers<string>()
  server.setHandlers({
    onData: () => {
      throw new Error('boom')
    },
    onDrain: () => undefined,
    onClose: serverClosed.resolve,
  })
  const other = await network.connect(listener.address, 5_000)
  const atOther = observe(other)
  const atClient = observe(client)
  client.write(bytes('x'))
  assert.equal(await serverClosed.promise, 'destroyed')
  await atClient.closed()
  assert.deepEqual(
    logger.lines.map((line) => [line.event, line.fields?.handler, line.fields?.error]),
    [['connection-handler-failed', 'data', 'boom']],
  )
  other.destroy()
  assert.equal(await atOther.closed(), 'destroyed')
})

test('a reset by the other side is a close with a reason, not an uncaught error', async (t) => {
  const logger = recordingLogger()
  const network = createNodeNetwork({ logger })
  const accepted = Promise.withResolvers<Connection>()
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, accepted.resolve)
  t.after(() => listener.close())
  const socket = connectSocket(listener.address.port, '127.0.0.1')
  await once(socket, 'connect')
  const atServer = observe(await accepted.promise)
  socket.resetAndDestroy()
  assert.match(await atServer.closed(), /ECONNRESET/)
})

test('connections above the limit are closed and logged', async (t) => {
  const logger = recordingLogger()
  const network = createNodeNetwork({ logger, connectionCountMax: 1 })
  const accepted: Connection[] = []
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
    accepted.push(connection)
    observe(connection)
  })
  t.after(() => listener.close())
  const first = await network.connect(listener.address, 5_000)
  observe(first)
  const second = observe(await network.connect(listener.address, 5_000))
  await second.closed()
  assert.equal(accepted.length, 1)
  assert.equal(logger.lines[0]?.event, 'connection-refused')
  first.destroy()
})

test('closing a listener frees its port and keeps its connections', async (t) => {
  const { network, listener, client, server } = await pair(t)
  const atClient = observe(client)
  observe(server)
  await listener.close()
  await assert.rejects(network.connect(listener.address, 1_000), (error) =>
    isQuorateError(error, 'connect-failed'),
  )
  const again: Listener = await network.listen(listener.address, () => undefined)
  await again.close()
  server.write(bytes('still here'))
  await atClient.received('still here')
})

test('errors of listen and connect name the address', async (t) => {
  const { network, listener } = await pair(t)
  const where = `127.0.0.1:${listener.address.port}`
  await assert.rejects(
    network.listen(listener.address, () => undefined),
    (error) => {
      assert.ok(isQuorateError(error, 'address-in-use'))
      assert.ok(error.message.includes(where), error.message)
      return true
    },
  )
  for (const address of [
    { host: '203.0.113.7', port: 0 },
    { host: '127.0.0.1', port: 70_000 },
  ]) {
    await assert.rejects(
      network.listen(address, () => undefined),
      (error) => isQuorateError(error, 'address-invalid') && error.message.includes(address.host),
    )
  }
  await assert.rejects(network.connect({ host: '127.0.0.1', port: 70_000 }, 1_000), (error) =>
    isQuorateError(error, 'connect-failed'),
  )
})

/** A process that listens and was then stopped: its accept queue fills, and who comes later gets no answer. */
const frozenListener = `
  const server = require('node:net').createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
    process.stdout.write(server.address().port + '\\n', () => process.kill(process.pid, 'SIGSTOP'))
  })
`

test('connect gives up after its timeout', { skip: process.platform !== 'linux' }, async (t) => {
  const child = spawn(process.execPath, ['-e', frozenListener], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [line] = await once(child.stdout, 'data')
  const address = { host: '127.0.0.1', port: Number(line) }
  const network = createNodeNetwork({ logger: recordingLogger() })
  for (let count = 0; count < 20; count++) {
    try {
      const connection = await network.connect(address, 100)
      t.after(() => connection.destroy())
    } catch (error) {
      assert.ok(isQuorateError(error, 'connect-failed'))
      assert.match(error.message, /no answer within 100 ms/)
      return
    }
  }
  assert.fail('the queue of a stopped listener never filled')
})
