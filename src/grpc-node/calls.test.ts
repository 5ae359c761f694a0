import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, constants } from 'node:http2'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { answerOf, callUnary, openCall, startServer } from '../../testing/grpc-client.ts'
import { concatBytes, utf8Encode } from '../base/index.ts'
import {
  frameMessage,
  type GrpcCall,
  GrpcError,
  type GrpcMethod,
  type GrpcServices,
  type GrpcStream,
  type GrpcStreamHandlers,
  type GrpcUnaryCall,
  grpcStatus,
  type UnaryHandler,
} from '../grpc/index.ts'

const unary = (handle: UnaryHandler): GrpcMethod => ({ kind: 'unary', handle })
const echo: GrpcServices = new Map([
  ['/test.Echo/Sync', unary((request) => request)],
  ['/test.Echo/Async', unary(async (request) => request)],
])
const bytes = (text: string): Uint8Array => utf8Encode(text)
const text = (message: Uint8Array | undefined): string => Buffer.from(message ?? []).toString()

/** One streaming method. `start` gets the stream and returns its handlers; those left out do nothing. */
function streaming(start: (stream: GrpcStream) => Partial<GrpcStreamHandlers>): GrpcServices {
  const nothing = (): void => undefined
  return new Map<string, GrpcMethod>([
    [
      '/test.Stream/Call',
      {
        kind: 'stream',
        handle(stream) {
          const handlers = start(stream)
          stream.setHandlers({
            onMessage: nothing,
            onHalfClose: nothing,
            onDrain: nothing,
            onClose: nothing,
            ...handlers,
          })
        },
      },
    ],
  ])
}

test('a unary call answers one message, status OK in the trailers, and no date', async (t) => {
  const session = await (await startServer(t, echo)).connect()
  for (const path of ['/test.Echo/Sync', '/test.Echo/Async']) {
    for (const message of ['hello', '']) {
      const answer = await callUnary(session, path, bytes(message))
      assert.equal(answer.status, grpcStatus.ok)
      assert.deepEqual(answer.messages.map(text), [message])
      assert.equal(answer.headers[':status'], 200)
      assert.equal(answer.headers['content-type'], 'application/grpc')
      assert.equal(answer.headers.date, undefined)
    }
  }
})

test('a request may come in any pieces', async (t) => {
  const session = await (await startServer(t, echo)).connect()
  const stream = openCall(session, '/test.Echo/Sync')
  const answered = answerOf(stream)
  for (const byte of frameMessage(bytes('piecewise'))) {
    await new Promise((resolve) => stream.write(Uint8Array.of(byte), resolve))
  }
  // Without half-closing: one message is all a unary method waits for.
  assert.deepEqual((await answered).messages.map(text), ['piecewise'])
})

test('what is not one message is refused', async (t) => {
  const session = await (await startServer(t, echo)).connect()
  const framed = frameMessage(bytes('a'))
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /received no request message/],
    [framed.subarray(0, 5), /received no request message/],
    [concatBytes([framed, framed]), /more than one request message/],
    [Uint8Array.of(1, 0, 0, 0, 1, 0), /compressed flag set/],
  ]
  for (const [body, expected] of cases) {
    const stream = openCall(session, '/test.Echo/Sync')
    stream.end(body)
    const answer = await answerOf(stream)
    assert.equal(answer.status, grpcStatus.internal)
    assert.match(answer.message, expected)
    assert.equal(answer.messages.length, 0)
  }
})

test('unknown methods, wrong content and broken headers are refused in grpc-go words', async (t) => {
  const session = await (await startServer(t, echo)).connect()
  const unknown = await callUnary(session, '/test.Echo/Missing', bytes(''))
  assert.deepEqual([unknown.status, unknown.message], [12, 'unknown method Missing for service test.Echo'])
  const nobody = await callUnary(session, '/test.Nobody/Get', bytes(''))
  assert.deepEqual([nobody.status, nobody.message], [12, 'unknown service test.Nobody'])

  const path = '/test.Echo/Sync'
  const json = await callUnary(session, path, bytes(''), { 'content-type': 'application/json' })
  assert.deepEqual([json.headers[':status'], json.status], [415, grpcStatus.invalidArgument])
  const get = await answerOf(session.request({ ':path': path, 'content-type': 'application/grpc' }))
  assert.deepEqual([get.headers[':status'], get.status], [405, grpcStatus.internal])
  const timeout = await callUnary(session, path, bytes(''), { 'grpc-timeout': 'soon' })
  assert.deepEqual([timeout.status, timeout.message], [13, 'malformed grpc-timeout: "soon"'])
  const snappy = await callUnary(session, path, bytes(''), { 'grpc-encoding': 'snappy' })
  assert.equal(snappy.status, grpcStatus.unimplemented)
  assert.equal(snappy.trailers['grpc-accept-encoding'], 'identity,gzip')
})

test('a gzip request is opened, a damaged or exploding one refused', async (t) => {
  const session = await (await startServer(t, echo, { messageBytesMax: 100_000 })).connect()
  const call = (body: Uint8Array) => {
    const framed = frameMessage(body)
    framed[0] = 1
    const stream = openCall(session, '/test.Echo/Sync', { 'grpc-encoding': 'gzip' })
    stream.end(framed)
    return answerOf(stream)
  }
  assert.deepEqual((await call(gzipSync('packed'))).messages.map(text), ['packed'])
  assert.equal((await call(bytes('not gzip'))).status, grpcStatus.internal)
  const bomb = await call(gzipSync(new Uint8Array(10_000_000)))
  assert.deepEqual(
    [bomb.status, bomb.message],
    [8, 'grpc: received message after decompression larger than max 100000'],
  )
})

test('a message of the limit passes, one byte more is refused before it was sent', async (t) => {
  const session = await (await startServer(t, echo)).connect()
  const largest = new Uint8Array(2_097_152).fill(7)
  const answer = await callUnary(session, '/test.Echo/Sync', largest)
  assert.equal(answer.status, grpcStatus.ok)
  assert.deepEqual(answer.messages, [largest])
  const stream = openCall(session, '/test.Echo/Sync')
  stream.write(Uint8Array.of(0, 0, 0x20, 0, 1))
  const refused = await answerOf(stream)
  assert.deepEqual(
    [refused.status, refused.message],
    [grpcStatus.resourceExhausted, 'grpc: received message larger than max (2097153 vs. 2097152)'],
  )
})

test('a call with which the unfinished messages of a connection are too large is refused; others go on', async (t) => {
  const limits = { messageBytesMax: 100_000, gatheredBytesMax: 100_000 }
  const session = await (await startServer(t, echo, limits)).connect()
  const message = frameMessage(new Uint8Array(80_000))
  const most = message.subarray(0, 60_000)
  const open = async () => {
    const stream = openCall(session, '/test.Echo/Sync')
    const answer = answerOf(stream)
    // When it is on its way: what other streams send comes after it.
    await new Promise((resolve) => stream.write(most, resolve))
    return { stream, answer }
  }
  const first = await open()
  const refused = await (await open()).answer
  assert.deepEqual(
    [refused.status, refused.message],
    [8, 'grpc: more than 100000 bytes of unfinished request messages in one connection'],
  )
  first.stream.end(message.subarray(60_000))
  assert.equal((await first.answer).status, 0)
  const next = await open()
  next.stream.end(message.subarray(60_000))
  assert.equal((await next.answer).status, 0)
})

test('a refusal carries status, text and trailers; an unexpected error is Internal and logged', async (t) => {
  const refusal = new GrpcError(grpcStatus.outOfRange, 'größer ☃ 100%', new Map([['reason', 'size']]))
  const { connect, logger } = await startServer(
    t,
    new Map([
      [
        '/test.Fail/Sync',
        unary(() => {
          throw refusal
        }),
      ],
      ['/test.Fail/Async', unary(() => Promise.reject(refusal))],
      [
        '/test.Fail/Bug',
        unary(() => {
          throw new Error('secret detail')
        }),
      ],
      [
        '/test.Fail/Trailer',
        unary((request, call) => {
          call.setTrailer('extra', 'yes')
          return request
        }),
      ],
    ]),
  )
  const session = await connect()
  for (const path of ['/test.Fail/Sync', '/test.Fail/Async']) {
    const answer = await callUnary(session, path, bytes(''))
    assert.deepEqual([answer.status, answer.message], [grpcStatus.outOfRange, 'größer ☃ 100%'])
    assert.equal(answer.trailers.reason, 'size')
  }
  assert.equal(logger.lines.length, 0)
  const bug = await callUnary(session, '/test.Fail/Bug', bytes(''))
  assert.deepEqual([bug.status, bug.message], [grpcStatus.internal, 'internal error'])
  assert.match(String(logger.lines[0]?.fields?.error), /secret detail/)
  const trailer = await callUnary(session, '/test.Fail/Trailer', bytes('x'))
  assert.deepEqual([trailer.status, trailer.trailers.extra, trailer.messages.map(text)], [0, 'yes', ['x']])
})

test('a trailer that HTTP/2 does not allow costs its own call', async (t) => {
  const spoiled = (isRefusal: boolean): GrpcMethod =>
    unary((request, call) => {
      call.setTrailer(':path', 'pseudo headers are no trailers')
      if (isRefusal) throw new GrpcError(grpcStatus.aborted, 'no')
      return request
    })
  const services = new Map([
    ...echo,
    ['/test.Bad/Answer', spoiled(false)],
    ['/test.Bad/Refusal', spoiled(true)],
  ] as const)
  const { connect, logger } = await startServer(t, services)
  const session = await connect()
  for (const path of ['/test.Bad/Answer', '/test.Bad/Refusal']) {
    assert.equal((await callUnary(session, path, bytes('x'))).trailers['grpc-status'], undefined)
  }
  assert.deepEqual(
    logger.lines.map((line) => line.event),
    ['grpc-handler-failed', 'grpc-handler-failed'],
  )
  assert.equal((await callUnary(session, '/test.Echo/Sync', bytes('x'))).status, 0)
})

test('a handler sees path, peer, timeout and metadata without pseudo headers', async (t) => {
  const seen: GrpcCall[] = []
  const { connect } = await startServer(
    t,
    new Map([
      [
        '/test.Look/At',
        unary((request, call) => {
          seen.push(call)
          return request
        }),
      ],
    ]),
  )
  const session = await connect()
  await callUnary(session, '/test.Look/At', bytes(''), { 'grpc-timeout': '30S', 'quorate-session': '7' })
  await callUnary(session, '/test.Look/At', bytes(''))
  const [first, second] = seen
  assert.equal(first?.path, '/test.Look/At')
  assert.equal(first.timeoutMs, 30_000)
  assert.equal(first.metadata.get('quorate-session'), '7')
  assert.equal(first.metadata.get(':path'), undefined)
  assert.match(first.peer, /^127\.0\.0\.1:\d+$/)
  assert.equal(first.isCancelled, false, 'an answered call is not cancelled')
  assert.equal(second?.timeoutMs, undefined)
})

test('a passed deadline answers DeadlineExceeded and cancels; a late answer changes nothing', async (t) => {
  const cancelled = Promise.withResolvers<GrpcCall>()
  const late = Promise.withResolvers<Uint8Array>()
  const { connect } = await startServer(
    t,
    new Map([
      [
        '/test.Slow/Get',
        unary((_request, call) => {
          call.onCancel(() => cancelled.resolve(call))
          return late.promise
        }),
      ],
    ]),
  )
  const session = await connect()
  const answer = await callUnary(session, '/test.Slow/Get', bytes(''), { 'grpc-timeout': '20m' })
  assert.deepEqual([answer.status, answer.message], [4, 'context deadline exceeded'])
  assert.equal((await cancelled.promise).isCancelled, true)
  late.resolve(bytes('too late'))
  const next = await callUnary(session, '/test.Slow/Get', bytes(''), { 'grpc-timeout': '0n' })
  assert.equal(next.status, 4)
})

for (const how of ['reset', 'reset without an error', 'connection loss'] as const) {
  test(`${how} by the client cancels its calls, unary and streaming`, async (t) => {
    const calls: Promise<void>[] = []
    const closed = Promise.withResolvers<void>()
    const cancels: string[] = []
    const started = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const services = new Map(
      streaming((stream) => {
        stream.onCancel(() => cancels.push('stream'))
        stream.pauseReading()
        started[1]?.resolve()
        return { onClose: closed.resolve }
      }),
    )
    services.set(
      '/test.Wait/Get',
      unary((_request, call) => {
        calls.push(new Promise((resolve) => call.onCancel(resolve)))
        call.onCancel(() => cancels.push('unary'))
        started[0]?.resolve()
        return new Promise(() => undefined)
      }),
    )
    const { connect, server } = await startServer(t, services)
    const session = await connect()
    const streams = ['/test.Wait/Get', '/test.Stream/Call'].map((path) => {
      const stream = openCall(session, path)
      stream.write(frameMessage(bytes('x')))
      return stream
    })
    await Promise.all(started.map((start) => start.promise))
    assert.equal(server.gauges.openCallCount, 2)
    const code = how === 'reset' ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR
    if (how === 'connection loss') session.destroy()
    else for (const stream of streams) stream.close(code)
    await Promise.all([...calls, closed.promise])
    assert.deepEqual(cancels.sort(), ['stream', 'unary'])
    assert.equal(server.gauges.openCallCount, 0)
  })
}

test('a stream carries messages both ways and ends with OK and trailers', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { connect } = await startServer(
    t,
    streaming((stream) => ({
      onMessage: (message) => void stream.send(bytes(`${text(message)}!`)),
      onHalfClose() {
        stream.setTrailer('count', '3')
        stream.end()
        stream.end()
        assert.equal(stream.send(bytes('after the end')), true)
      },
      onClose: closed.resolve,
    })),
  )
  const stream = openCall(await connect(), '/test.Stream/Call')
  const answered = answerOf(stream)
  stream.write(concatBytes(['a', 'b'].map((part) => frameMessage(bytes(part)))))
  await once(stream, 'data')
  stream.end(frameMessage(bytes('c')))
  const answer = await answered
  assert.deepEqual(answer.messages.map(text), ['a!', 'b!', 'c!'])
  assert.deepEqual([answer.status, answer.trailers.count], [0, '3'])
  await closed.promise
})

test('a server that ends or fails while the client still sends is heard, and the stream closes', async (t) => {
  for (const isFirstSent of [false, true]) {
    const closed = Promise.withResolvers<void>()
    const { connect } = await startServer(
      t,
      streaming((stream) => ({
        onMessage() {
          if (isFirstSent) stream.send(bytes('last words'))
          stream.fail(new GrpcError(grpcStatus.aborted, 'enough', new Map([['why', 'tired']])))
        },
        onClose: closed.resolve,
      })),
    )
    const stream = openCall(await connect(), '/test.Stream/Call')
    stream.write(frameMessage(bytes('x')))
    const answer = await answerOf(stream)
    assert.deepEqual([answer.status, answer.message, answer.trailers.why], [10, 'enough', 'tired'])
    assert.deepEqual(answer.messages.map(text), isFirstSent ? ['last words'] : [])
    await closed.promise
  }
})

test('a handler that throws ends its stream with Internal', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { connect, logger } = await startServer(
    t,
    streaming(() => ({
      onMessage() {
        throw new Error('bug')
      },
      onClose: closed.resolve,
    })),
  )
  const stream = openCall(await connect(), '/test.Stream/Call')
  stream.write(frameMessage(bytes('x')))
  assert.equal((await answerOf(stream)).status, grpcStatus.internal)
  await closed.promise
  assert.equal(logger.lines[0]?.event, 'grpc-handler-failed')
})

test('send answers false while the client does not read, and onDrain follows when it does', async (t) => {
  const piece = new Uint8Array(100_000)
  const blocked = Promise.withResolvers<number>()
  let sent = 0
  let drains = 0
  const { connect } = await startServer(
    t,
    streaming((stream) => ({
      onMessage() {
        while (stream.send(piece)) sent++
        sent++
        assert.ok(stream.bufferedBytes > 500_000)
        blocked.resolve(sent)
      },
      onDrain() {
        drains++
        assert.equal(stream.bufferedBytes, 0)
        stream.end()
      },
    })),
    { sendBufferBytesMax: 500_000 },
  )
  const stream = openCall(await connect(), '/test.Stream/Call')
  stream.pause()
  stream.write(frameMessage(bytes('go')))
  const count = await blocked.promise
  assert.ok(count >= 5 && count < 100, `${count} messages were taken`)
  assert.equal(drains, 0)
  const answer = await answerOf(stream.resume())
  assert.equal(answer.messages.length, count)
  assert.deepEqual([answer.status, drains], [0, 1])
})

/** Whether it is so after a few round trips: by then the server has done what was asked of it before. */
async function isSoon(session: ClientHttp2Session, isSo: () => boolean): Promise<boolean> {
  for (let trips = 0; trips < 10 && !isSo(); trips++) {
    await new Promise((resolve) => session.ping(resolve))
  }
  return isSo()
}

test('a unary call has no room while its client does not take earlier answers, until it does or the call is gone', async (t) => {
  const answered = new Uint8Array(600_000)
  const calls = Array.from({ length: 4 }, () => Promise.withResolvers<GrpcUnaryCall>())
  const told = new Map<number, boolean>()
  const handle: UnaryHandler = (request, call) => {
    const [id = 0] = request
    calls[id]?.resolve(call)
    if (id === 0) return answered
    const { promise, resolve } = Promise.withResolvers<Uint8Array>()
    call.onRoom(() => {
      told.set(id, call.hasRoom)
      resolve(request)
    })
    return promise
  }
  const services = new Map([['/test.Unary/Call', unary(handle)]])
  const { connect } = await startServer(t, services, { untakenBytesMax: 500_000 })
  const session = await connect()
  const [large, next, leaving] = [0, 1, 2].map((id) => {
    const stream = openCall(session, '/test.Unary/Call')
    stream.pause()
    stream.end(frameMessage(Uint8Array.of(id)))
    return stream
  })
  assert.ok(large !== undefined && next !== undefined && leaving !== undefined)
  const [, second, third] = await Promise.all(calls.slice(0, 3).map(({ promise }) => promise))
  assert.deepEqual([second?.hasRoom, third?.hasRoom], [false, false])
  const other = await connect()
  const elsewhere = callUnary(other, '/test.Unary/Call', Uint8Array.of(3))
  assert.ok(await isSoon(other, () => told.has(3)), 'each connection has room of its own')
  assert.deepEqual([told.get(3), (await elsewhere).messages], [true, [Uint8Array.of(3)]])
  leaving.close(constants.NGHTTP2_CANCEL)
  assert.ok(await isSoon(session, () => told.has(2)), 'who is cancelled waits no longer')
  const states = [told.get(2), second?.hasRoom, second?.isCancelled, third?.isCancelled]
  assert.deepEqual(states, [false, false, false, true])
  assert.equal((await answerOf(large.resume())).messages[0]?.length, answered.length)
  assert.ok(await isSoon(session, () => told.has(1)), 'what was taken makes room')
  assert.deepEqual([told.get(1), (await answerOf(next.resume())).messages], [true, [Uint8Array.of(1)]])
})

test('a deadline ends a stream even when the client reads nothing', async (t) => {
  const closed = Promise.withResolvers<boolean>()
  const { connect } = await startServer(
    t,
    streaming((stream) => ({
      onMessage() {
        while (stream.send(new Uint8Array(100_000)));
      },
      onClose: () => closed.resolve(stream.isCancelled),
    })),
  )
  const stream = openCall(await connect(), '/test.Stream/Call', { 'grpc-timeout': '30m' })
  stream.pause()
  stream.write(frameMessage(bytes('go')))
  assert.equal(await closed.promise, true)
})

test('a paused handler gets neither messages nor the half-close, then all in order', async (t) => {
  const events: string[] = []
  const paused = Promise.withResolvers<GrpcStream>()
  const { connect } = await startServer(
    t,
    streaming((stream) => ({
      onMessage(message) {
        events.push(text(message))
        if (events.length === 1) {
          stream.pauseReading()
          paused.resolve(stream)
        }
      },
      onHalfClose() {
        events.push('half-close')
        stream.end()
      },
    })),
  )
  const session = await connect()
  const stream = openCall(session, '/test.Stream/Call')
  const answered = answerOf(stream)
  stream.end(concatBytes(['a', 'b', 'c'].map((part) => frameMessage(bytes(part)))))
  const served = await paused.promise
  // A round trip of its own on the same connection: whatever the client sent before has arrived.
  await new Promise((resolve) => session.ping(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(events, ['a'])
  served.resumeReading()
  await answered
  assert.deepEqual(events, ['a', 'b', 'c', 'half-close'])
})

test('a paused stream holds the client back instead of filling memory', async (t) => {
  const paused = Promise.withResolvers<GrpcStream>()
  let received = 0
  const { connect } = await startServer(
    t,
    streaming((stream) => ({
      onMessage() {
        received++
        if (received === 1) {
          stream.pauseReading()
          paused.resolve(stream)
        }
      },
      onHalfClose: () => stream.end(),
    })),
    { streamWindowBytes: 100_000 },
  )
  const session = await connect()
  const stream = openCall(session, '/test.Stream/Call')
  const answered = answerOf(stream)
  const total = 30
  for (let i = 0; i < total; i++) stream.write(frameMessage(new Uint8Array(50_000)))
  stream.end()
  const served = await paused.promise
  await new Promise((resolve) => session.ping(resolve))
  assert.ok(stream.writableLength > 1_000_000, `the client could send all but ${stream.writableLength} bytes`)
  assert.equal(received, 1)
  served.resumeReading()
  assert.equal((await answered).status, 0)
  assert.equal(received, total)
})

test('a server that closes ends the streams that would go on for ever, and lets the others end', async (t) => {
  const half = Promise.withResolvers<GrpcStream>()
  const { connect, listener } = await startServer(
    t,
    streaming((stream) => ({ onHalfClose: () => half.resolve(stream) })),
    { closeGraceMs: 60_000 },
  )
  const session = await connect()
  const [endless, finite] = [openCall(session, '/test.Stream/Call'), openCall(session, '/test.Stream/Call')]
  const answers = [answerOf(endless), answerOf(finite)] as const
  endless.write(frameMessage(bytes('go')))
  finite.end(frameMessage(bytes('go')))
  const served = await half.promise
  const closed = listener.close()
  const { status, message } = await answers[0]
  assert.deepEqual([status, message], [grpcStatus.unavailable, 'the server is shutting down'])
  served.send(bytes('all of it'))
  served.end()
  const { status: last, messages } = await answers[1]
  assert.deepEqual([last, messages.map(text)], [0, ['all of it']])
  await closed
})
