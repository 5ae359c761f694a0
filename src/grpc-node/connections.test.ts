import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { constants } from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { answerOf, callUnary, openCall, startServer, type TestServer } from '../../testing/grpc-client.ts'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import { frameMessage, type GrpcMethod, type GrpcServices } from '../grpc/index.ts'
import { createNodeTime } from '../io-node/index.ts'
import { createGrpcServer } from './index.ts'

const echo: GrpcServices = new Map<string, GrpcMethod>([
  ['/test.Echo/Get', { kind: 'unary', handle: (request) => request }],
])

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** length u24 | type u8 | flags u8 | stream u32 */
const settingsFrame = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])

async function openSocket(t: TestContext, { listener }: TestServer): Promise<Socket> {
  const socket = connectSocket(listener.address.port, '127.0.0.1')
  socket.on('error', () => undefined)
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** All that the server says until it closes the connection. */
async function untilClosed(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!socket.closed) await once(socket, 'close')
  return Buffer.concat(chunks)
}

async function assertServes(server: TestServer): Promise<void> {
  const session = await server.connect()
  const answer = await callUnary(session, '/test.Echo/Get', Uint8Array.of(1, 2, 3))
  assert.equal(answer.status, 0)
  assert.deepEqual(answer.messages, [Uint8Array.of(1, 2, 3)])
  session.destroy()
}

test('garbage closes its own connection and nothing else', async (t) => {
  const seed = 20_251_120
  t.diagnostic(`seed ${seed}`)
  const random = new SeededRandom(seed)
  const noise = (): Buffer => Buffer.from(Array.from({ length: 200 }, () => random.between(0, 256)))
  const server = await startServer(t, echo)
  const openings = [
    () => noise(),
    () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    () => Buffer.from([0x16, 3, 1, 0, 200, 1]),
    () => Buffer.from('PRI * HTTP/2.1\r\n\r\n'),
    () => Buffer.concat([Buffer.from(preface), Buffer.from([255, 255, 255]), noise()]),
    () =>
      Buffer.concat([Buffer.from(preface), settingsFrame, Buffer.from([0, 0, 4, 1, 4, 0, 0, 0, 0]), noise()]),
  ]
  for (const opening of openings) {
    for (let round = 0; round < 5; round++) {
      const socket = await openSocket(t, server)
      socket.end(opening())
      await untilClosed(socket)
    }
  }
  await assertServes(server)
})

test('headers that break the protocol reset their stream; the connection and the server live', async (t) => {
  const server = await startServer(t, echo)
  const session = await server.connect()
  // A connection-specific header is malformed in HTTP/2 (RFC 9113 section 8.2.2); built by hand, as the client refuses.
  const socket = await openSocket(t, server)
  const literal = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ])
  const block = Buffer.concat([
    literal(':method', 'POST'),
    literal(':scheme', 'http'),
    literal(':authority', 'test'),
    literal(':path', '/test.Echo/Get'),
    literal('connection', 'close'),
  ])
  const head = Buffer.from([0, 0, block.length, 1, 4, 0, 0, 0, 1])
  socket.write(Buffer.concat([Buffer.from(preface), settingsFrame, head, block]))
  const said: Buffer[] = []
  // RST_STREAM, type 3, on stream 1.
  const reset = Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 1])
  while (!Buffer.concat(said).includes(reset)) {
    const [chunk] = await once(socket, 'data')
    said.push(chunk)
  }
  assert.equal((await callUnary(session, '/test.Echo/Get', Uint8Array.of(9))).status, 0)
  await assertServes(server)
})

test('the preface may come byte by byte, with calls right behind it', async (t) => {
  const server = await startServer(t, echo)
  const session = await server.connect()
  session.destroy()
  const socket = await openSocket(t, server)
  socket.setNoDelay(true)
  for (const byte of Buffer.from(preface)) {
    await new Promise((resolve) => socket.write(Uint8Array.of(byte), resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.write(settingsFrame)
  const [answer] = await once(socket, 'data')
  assert.equal(answer[3], 4, 'the server answers with its SETTINGS')
})

for (const opening of ['', 'PRI * HTT', preface, 'GET / HTTP/1.1\r\nx-slow: ']) {
  test(`a connection that stops after ${JSON.stringify(opening)} is closed in time`, async (t) => {
    const server = await startServer(t, echo, { handshakeMs: 500 }, (_request, response) => response.end())
    const socket = await openSocket(t, server)
    socket.write(opening)
    await untilClosed(socket)
    await assertServes(server)
    assert.ok(server.server.gauges.connectionCount <= 1)
  })
}

test('HTTP/1 on the same port goes to its own handler; a handler that throws costs its connection', async (t) => {
  const server = await startServer(t, echo, {}, (request, response) => {
    if (request.url === '/bug') throw new Error('bug')
    request.on('data', (chunk) => response.write(chunk))
    request.on('end', () => response.end(`version for ${request.url}`))
  })
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const fetchText = async (path: string, body: string): Promise<string> => {
    const request = http.request(`${server.url}${path}`, { agent, method: 'POST' })
    request.end(body)
    const [response] = await once(request, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }
  assert.equal(await fetchText('/version', 'first '), 'first version for /version')
  assert.equal(await fetchText('/health', 'second '), 'second version for /health')
  await assert.rejects(fetchText('/bug', ''))
  assert.equal(server.logger.lines[0]?.event, 'http-handler-failed')
  await assertServes(server)
})

test('HTTP/1 may begin like the preface and come byte by byte; its headers have a limit', async (t) => {
  const server = await startServer(t, echo, { headerBytesMax: 1_000 }, (request, response) => {
    response.end(`${request.method} ${request.url}`)
  })
  const slow = await openSocket(t, server)
  slow.setNoDelay(true)
  const answered = untilClosed(slow)
  for (const byte of Buffer.from('PATCH /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')) {
    await new Promise((resolve) => slow.write(Uint8Array.of(byte), resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.match((await answered).toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*PATCH \/a/)
  const large = await openSocket(t, server)
  large.write(`GET / HTTP/1.1\r\nhost: x\r\nlarge: ${'x'.repeat(1_000)}\r\n\r\n`)
  assert.match((await untilClosed(large)).toString(), /^HTTP\/1\.1 431 /)
  await assertServes(server)
})

test('a silent client is asked for a sign of life and dropped without one; one that answers stays', async (t) => {
  const server = await startServer(t, echo, { pingAfterMs: 60, pingTimeoutMs: 1_000 })
  const alive = await server.connect()
  let pings = 0
  const pinged = new Promise<void>((resolve) =>
    alive.on('ping', () => {
      pings++
      if (pings === 3) resolve()
    }),
  )
  const silent = await openSocket(t, server)
  silent.write(Buffer.concat([Buffer.from(preface), settingsFrame]))
  const said = await untilClosed(silent)
  assert.ok(said.includes(Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0])), 'no PING came before the end')
  await pinged
  assert.equal((await callUnary(alive, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
  const drops = server.logger.lines.filter((line) => line.event === 'grpc-connection-dropped')
  assert.deepEqual(
    drops.map((line) => line.fields?.reason),
    ['ping-timeout'],
  )
})

test('an idle connection is told to go away; one with an open call is not', async (t) => {
  const waiting: GrpcMethod = { kind: 'unary', handle: () => new Promise(() => undefined) }
  const server = await startServer(t, new Map([...echo, ['/test.Echo/Wait', waiting]]), { idleMs: 500 })
  const busy = await server.connect()
  openCall(busy, '/test.Echo/Wait').end(frameMessage(Uint8Array.of(1)))
  const idle = await server.connect()
  const [code] = await once(idle, 'goaway')
  assert.equal(code, constants.NGHTTP2_NO_ERROR)
  const idleAgain = await server.connect()
  await once(idleAgain, 'goaway')
  assert.equal((await callUnary(busy, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
})

test('a client that cancels calls without end loses its connection', async (t) => {
  let begin: () => void = () => undefined
  const waiting: GrpcMethod = {
    kind: 'unary',
    handle() {
      begin()
      return new Promise(() => undefined)
    },
  }
  const limits = { resetCountBurst: 50, resetCountPerSecond: 1 }
  const server = await startServer(t, new Map([...echo, ['/test.Echo/Wait', waiting]]), limits)
  const session = await server.connect()
  const gone = once(session, 'goaway')
  const closed = new Promise((resolve) => session.on('close', resolve))
  let resets = 0
  while (!session.destroyed && resets < 10_000) {
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const stream = openCall(session, '/test.Echo/Wait')
    stream.write(frameMessage(Uint8Array.of(1)))
    await Promise.race([begun, closed])
    stream.close(constants.NGHTTP2_CANCEL)
    resets++
  }
  await gone
  // Above what we allow, below what Node would allow by itself.
  assert.ok(resets > 50 && resets < 900, `${resets} resets`)
  await assertServes(server)
})

test('a flood of PINGs that nobody reads the answers of ends its connection', async (t) => {
  const server = await startServer(t, echo)
  const socket = await openSocket(t, server)
  socket.write(Buffer.concat([Buffer.from(preface), settingsFrame]))
  const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
  const flood = Buffer.concat(Array.from({ length: 4_000 }, () => ping))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (let sent = 0; !socket.closed && sent < 2_000; sent++) {
    const written = new Promise((resolve) => socket.write(flood, resolve))
    await Promise.race([closed, written])
  }
  await assertServes(server)
  assert.ok(socket.closed, 'the flood was taken to its end')
})

test('too many headers end their call, not the server', async (t) => {
  const server = await startServer(t, echo, { headerBytesMax: 4_096 })
  const session = await server.connect()
  // The limit holds once the client has confirmed the server's settings.
  await callUnary(session, '/test.Echo/Get', Uint8Array.of(1))
  const answer = await callUnary(session, '/test.Echo/Get', Uint8Array.of(1), { big: 'x'.repeat(8_000) })
  assert.notEqual(answer.status, 0)
  assert.equal(answer.messages.length, 0)
  await assertServes(server)
})

test('calls above the limit of a connection wait in the client until others have ended', async (t) => {
  const release = Promise.withResolvers<Uint8Array>()
  let running = 0
  const twoRun = Promise.withResolvers<void>()
  const waiting: GrpcMethod = {
    kind: 'unary',
    handle() {
      running++
      if (running === 2) twoRun.resolve()
      return release.promise
    },
  }
  const services = new Map([...echo, ['/test.Echo/Wait', waiting]])
  const server = await startServer(t, services, { streamCountMax: 2 })
  const session = await server.connect()
  await callUnary(session, '/test.Echo/Get', Uint8Array.of(1))
  const answers = [1, 2, 3].map((n) => callUnary(session, '/test.Echo/Wait', Uint8Array.of(n)))
  await twoRun.promise
  await new Promise((resolve) => session.ping(resolve))
  assert.equal(running, 2)
  release.resolve(Uint8Array.of(0))
  const statuses = (await Promise.all(answers)).map((answer) => answer.status)
  assert.deepEqual(statuses, [0, 0, 0])
})

test('connections above the limit are closed at once and counted', async (t) => {
  const server = await startServer(t, echo, { connectionCountMax: 1 })
  const first = await server.connect()
  await callUnary(first, '/test.Echo/Get', Uint8Array.of(1))
  await untilClosed(await openSocket(t, server))
  assert.equal(server.server.gauges.refusedConnectionCount, 1)
  assert.equal((await callUnary(first, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
  first.destroy()
})

test('above the limit a new connection takes the place of one that never asked for anything', async (t) => {
  const server = await startServer(t, echo, { connectionCountMax: 4 })
  const used = await server.connect()
  await callUnary(used, '/test.Echo/Get', Uint8Array.of(1))
  const openings = ['', preface, Buffer.concat([Buffer.from(preface), settingsFrame])]
  const idle: Socket[] = []
  for (const opening of openings) {
    const socket = await openSocket(t, server)
    if (opening.length > 0) socket.write(opening)
    idle.push(socket)
  }
  const ends = idle.map((socket) => untilClosed(socket))
  for (const end of ends) {
    const session = await server.connect()
    assert.equal((await callUnary(session, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
    await end
  }
  assert.equal((await callUnary(used, '/test.Echo/Get', Uint8Array.of(1))).status, 0)
  assert.equal(server.server.gauges.refusedConnectionCount, 0)
})

test('close says goodbye, lets calls under way end, refuses new connections', async (t) => {
  const release = Promise.withResolvers<Uint8Array>()
  const started = Promise.withResolvers<void>()
  const waiting: GrpcMethod = {
    kind: 'unary',
    handle() {
      started.resolve()
      return release.promise
    },
  }
  const server = await startServer(t, new Map([...echo, ['/test.Echo/Wait', waiting]]), {
    closeGraceMs: 10_000,
  })
  const session = await server.connect()
  const idle = await server.connect()
  await callUnary(idle, '/test.Echo/Get', Uint8Array.of(1))
  const answered = callUnary(session, '/test.Echo/Wait', Uint8Array.of(1))
  await started.promise
  const goaways = Promise.all([once(session, 'goaway'), once(idle, 'goaway')])
  const closed = server.listener.close()
  await goaways
  release.resolve(Uint8Array.of(2))
  const answer = await answered
  assert.deepEqual([answer.status, answer.messages], [0, [Uint8Array.of(2)]])
  await closed
  assert.equal(server.server.gauges.connectionCount, 0)
  const late = connectSocket(server.listener.address.port, '127.0.0.1')
  const [error] = await once(late, 'error')
  assert.equal(error.code, 'ECONNREFUSED')
})

test('close cuts what does not end within the grace', async (t) => {
  const cancelled = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const endless: GrpcMethod = {
    kind: 'unary',
    handle(_request, call) {
      call.onCancel(cancelled.resolve)
      started.resolve()
      return new Promise(() => undefined)
    },
  }
  const server = await startServer(t, new Map([['/test.Echo/Wait', endless]]), { closeGraceMs: 30 })
  const session = await server.connect()
  const stream = openCall(session, '/test.Echo/Wait')
  const answered = answerOf(stream)
  stream.end(frameMessage(Uint8Array.of(1)))
  await started.promise
  await server.listener.close()
  await cancelled.promise
  await answered
  assert.equal(server.server.gauges.openCallCount, 0)
})

test('listening where somebody listens is address-in-use', async (t) => {
  const { listener, logger } = await startServer(t, echo)
  const second = createGrpcServer({ services: echo, time: createNodeTime(), logger })
  await assert.rejects(second.listen(listener.address), (error) => {
    assert.ok(isQuorateError(error, 'address-in-use'))
    assert.ok(error.message.includes(`127.0.0.1:${listener.address.port}`))
    return true
  })
  await assert.rejects(second.listen({ host: '203.0.113.7', port: 0 }), (error) =>
    isQuorateError(error, 'address-invalid'),
  )
})

for (const library of ['own', 'node']) {
  test(`a client that hangs up while its stream is written to leaves a server that goes on: ${library}`, () => {
    // Half a second when it works. A server that does not go on loops in native code and takes ever more memory.
    const limits = { timeout: 20_000, killSignal: 'SIGKILL' } as const
    const program = join(import.meta.dirname, 'testing/leaving-client.ts')
    const { status, signal, stderr } = spawnSync(process.execPath, [program, library], {
      ...limits,
      encoding: 'utf8',
    })
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
  })
}
