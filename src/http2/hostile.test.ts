// Whatever a client sends: no exception, no window overdrawn, no word after a stream's end, and each end told once.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { concatBytes } from '../base/index.ts'
import { HpackDecoder, HpackEncoder, headerList } from '../hpack/index.ts'
import { frameBytesMax, frameFlag, frameType, initialWindowBytes, readU31 } from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import { clientPreface, http2Error, ServerConnection, type ServerStream } from './index.ts'
import { OutgoingFrames } from './outgoing-frames.ts'

const limits = {
  streamCountMax: 3,
  headerBytesMax: 300,
  streamWindowBytes: initialWindowBytes,
  connectionWindowBytes: initialWindowBytes,
  pendingBytesMax: 200_000,
  resetCountBurst: 20,
  resetCountPerSecond: 0,
  idleFrameCountBurst: 50,
  idleFrameCountPerSecond: 0,
}

/** Of the newest streams, or the connection itself, or one that is not there. */
const which = fc.constantFrom(0, 0, 0, 1, 1, 2, 3, 'connection' as const, 'connection' as const)
const rarely = fc.integer({ min: 0, max: 60 }).map((drawn) => drawn === 0)
const size = fc.constantFrom(0, 1, 10, 100, 5_000, 16_384)
const answerSize = fc.constantFrom(0, 5, 1_000, 20_000, 70_000)
const fields = fc.constantFrom(
  [':method', 'POST', ':scheme', 'http', ':path', '/a'],
  [':method', 'POST', ':scheme', 'http', ':path', '/a'],
  [':method', 'POST', ':scheme', 'http', ':path', '/a', 'x', 'y'],
  [':method', 'POST', ':scheme', 'http', ':path', '/b', 'content-length', '10'],
  [':method', 'GET'],
  ['x-trailer', '1'],
)
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('request' as const),
      fields,
      isEnd: fc.boolean(),
      isLate: rarely,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('data' as const), which, size, isEnd: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('grow' as const), which, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('window' as const), size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('table' as const), size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reset' as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('raw' as const),
      which,
      type: fc.integer({ min: 0, max: 10 }),
      flags: fc.integer({ min: 0, max: 255 }),
      payload: fc.uint8Array({ maxLength: 20 }),
      isSent: rarely,
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('answer' as const), which, size: answerSize }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveUp' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('network' as const), isOpen: fc.boolean() }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

test('no client makes a connection throw, overdraw or speak out of turn', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }),
      fc.integer({ min: 1, max: 40 }),
      (steps, pieceBytes) => {
        const run = new Run(pieceBytes)
        for (const taken of steps) run.take(taken)
        run.end()
      },
    ),
    { numRuns: 1_500 },
  )
})

class Run {
  readonly #streams = new Map<number, ServerStream>()
  readonly #ends = new Map<number, number>()
  readonly #connection: ServerConnection
  readonly #encoder = new HpackEncoder()
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 10_000 })
  readonly #sent = new FrameReader()
  readonly #pieceBytes: number
  /** As the client counts them. */
  readonly #windows = new Map<number, number>()
  #connectionWindow = initialWindowBytes
  #initialWindow = initialWindowBytes
  readonly #finished = new Set<number>()
  #isOver = false
  #isOpen = true
  #lastId = -1

  constructor(pieceBytes: number) {
    this.#pieceBytes = pieceBytes
    this.#connection = new ServerConnection(limits, {
      onRequest: (stream) => {
        this.#streams.set(stream.id, stream)
        this.#ends.set(stream.id, 0)
        stream.listener = {
          onData: () => assert.equal(this.#ends.get(stream.id), 0),
          onEnd: () => assert.equal(this.#ends.get(stream.id), 0),
          onDrain: () => assert.equal(stream.pendingBytes, 0),
          onLocalEnd: () => assert.deepEqual([stream.pendingBytes, stream.isRemoteEnded], [0, false]),
          onClose: () => this.#ends.set(stream.id, (this.#ends.get(stream.id) ?? 0) + 1),
        }
      },
      onOutput: () => undefined,
      onEnd: () => {
        assert.ok(!this.#isOver, 'it is over once')
        this.#isOver = true
      },
    })
    this.#receive(clientPreface)
    const frames = new OutgoingFrames()
    frames.settings([])
    this.#receive(concatBytes(frames.take()))
  }

  take(step: Step): void {
    const stream = 'which' in step ? this.#streams.get(this.#idOf(step.which)) : undefined
    switch (step.do) {
      case 'answer':
        if (stream === undefined) break
        if (!stream.hasHeaders) stream.sendHeaders(headerList([':status', '200']), true, false)
        if (stream.hasHeaders) stream.write(new Uint8Array(step.size))
        break
      case 'finish':
        if (stream?.hasHeaders === true) stream.end(headerList(['grpc-status', '0']), true)
        break
      case 'giveUp':
        stream?.reset(http2Error.cancel)
        break
      case 'network':
        this.#isOpen = step.isOpen
        if (step.isOpen) this.#connection.unblock()
        else this.#connection.block()
        break
      default:
        this.#receive(this.#frame(step))
    }
    this.#check()
  }

  /** Everybody hears of the end. */
  end(): void {
    this.#connection.lost()
    for (const [id, count] of this.#ends)
      assert.equal(count, 1, `the end of stream ${id} was told ${count} times`)
    assert.equal(this.#connection.openStreamCount, 0)
  }

  #frame(step: Exclude<Step, { do: 'answer' | 'finish' | 'giveUp' | 'network' }>): Uint8Array {
    const frames = new OutgoingFrames()
    const id = 'which' in step ? this.#idOf(step.which) : 0
    switch (step.do) {
      case 'request':
        if (!step.isLate) this.#lastId += 2
        frames.headers(this.#lastId, this.#encoder.encode(headerList(step.fields)), step.isEnd)
        break
      case 'data':
        frames.data(id, new Uint8Array(step.size), step.isEnd)
        break
      case 'grow':
        if (step.size === 0) break
        if (id === 0) this.#connectionWindow += step.size
        else this.#windows.set(id, this.#window(id) + step.size)
        frames.windowUpdate(id, step.size)
        break
      case 'window':
        for (const id of this.#streams.keys()) {
          this.#windows.set(id, this.#window(id) + step.size - this.#initialWindow)
        }
        this.#initialWindow = step.size
        frames.settings([[4, step.size]])
        break
      case 'table':
        frames.settings([[1, step.size]])
        break
      case 'reset':
        if (id === 0) break
        frames.rstStream(id, http2Error.cancel)
        this.#finished.add(id)
        break
      case 'raw': {
        if (!step.isSent) break
        const { length } = step.payload
        // Its own windows would no longer be what the server thinks.
        const type = step.type === frameType.windowUpdate || step.type === frameType.settings ? 77 : step.type
        const header = [0, 0, length, type, step.flags, 0, 0, 0, id]
        return concatBytes([Uint8Array.from(header), step.payload])
      }
      default:
    }
    return concatBytes(frames.take())
  }

  #receive(bytes: Uint8Array): void {
    const frameCountMax = 1 + (this.#pieceBytes % 3)
    for (let at = 0; at < bytes.length; at += this.#pieceBytes * 100) {
      this.#connection.receive(bytes.subarray(at, at + this.#pieceBytes * 100), 0, frameCountMax)
    }
    while (this.#connection.goOn(0, frameCountMax)) {
      // Until all of it was read.
    }
  }

  #check(): void {
    this.#sent.push(concatBytes(this.#connection.take()))
    while (this.#sent.next()) this.#checkFrame()
    if (!this.#isOpen) return
    this.#connection.pump()
    if (this.#connection.outputBytes > 0) this.#check()
  }

  #checkFrame(): void {
    const { type, flags, streamId, payload } = this.#sent
    assert.ok(payload.length <= frameBytesMax)
    if (type === frameType.rstStream) this.#finished.add(streamId)
    if (type === frameType.goAway) assert.ok(readU31(payload, 0) >= Math.max(0, ...this.#streams.keys()))
    if (type !== frameType.data && type !== frameType.headers) return
    assert.ok(!this.#finished.has(streamId), `stream ${streamId} goes on after its end`)
    if ((flags & frameFlag.endStream) !== 0) this.#finished.add(streamId)
    if (type === frameType.headers) {
      assert.ok(this.#decoder.decode(payload).fields.length > 0)
      return
    }
    this.#connectionWindow -= payload.length
    this.#windows.set(streamId, this.#window(streamId) - payload.length)
    assert.ok(this.#connectionWindow >= 0, 'the window of the connection')
    assert.ok(this.#window(streamId) >= 0, `the window of stream ${streamId}`)
  }

  #idOf(which: number | 'connection'): number {
    return which === 'connection' ? 0 : Math.max(1, this.#lastId - 2 * which)
  }

  #window(streamId: number): number {
    return this.#windows.get(streamId) ?? this.#initialWindow
  }
}
