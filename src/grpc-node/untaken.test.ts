// Of our own HTTP/2: a client that takes no answers is not asked what else it wants.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { recordingLogger } from '../../testing/grpc-client.ts'
import { frameMessage, type GrpcServices } from '../grpc/index.ts'
import { Calls } from '../grpc-http2/index.ts'
import { HpackEncoder, headerList } from '../hpack/index.ts'
import { clientPreface } from '../http2/index.ts'
import { OutgoingFrames } from '../http2/outgoing-frames.ts'
import { createNodeTime } from '../io-node/index.ts'
import { gunzip } from './gunzip.ts'
import { defaultLimits } from './limits.ts'
import { Offenders } from './offenders.ts'
import { ownTransport } from './transports.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A socket whose client takes nothing until `takeAll` is called. */
class IdleReader extends Duplex {
  #taken: (() => void) | undefined
  #takesAll = false

  override _read(): void {}

  override _write(_bytes: Uint8Array, _encoding: string, taken: () => void): void {
    if (this.#takesAll) taken()
    else this.#taken = taken
  }

  takeAll(): void {
    this.#takesAll = true
    this.#taken?.()
  }
}

function opening(): Uint8Array {
  const windowBytes = 2 ** 31 - 1
  const frames = new OutgoingFrames()
  frames.settings([[4, windowBytes]])
  frames.windowUpdate(0, windowBytes - 65_535)
  return Buffer.concat([clientPreface, ...frames.take()])
}

function call(streamId: number): Uint8Array {
  const fields = [':method', 'POST', ':scheme', 'http', ':path', '/test.Big/Get']
  const headers = headerList([...fields, 'content-type', 'application/grpc', 'te', 'trailers'])
  const frames = new OutgoingFrames()
  frames.headers(streamId, new HpackEncoder().encode(headers), false)
  frames.data(streamId, frameMessage(new Uint8Array(1)), true)
  return Buffer.concat(frames.take())
}

interface Taken {
  readonly socket: IdleReader
  begunCount: number
}

/** A connection to a service whose answers have so many bytes. */
function start(t: TestContext, answerBytes: number): Taken {
  const socket = new IdleReader()
  const taken: Taken = { socket, begunCount: 0 }
  const handle = (): Uint8Array => {
    taken.begunCount++
    return new Uint8Array(answerBytes)
  }
  const services: GrpcServices = new Map([['/test.Big/Get', { kind: 'unary', handle } as const]])
  const context = { time: createNodeTime(), logger: recordingLogger() }
  const calls = new Calls({ services, ...context, later: setImmediate, gunzip, ...defaultLimits })
  t.after(() => socket.destroy())
  const offenders = new Offenders(context.time)
  ownTransport({ calls, ...context, offenders }, defaultLimits)(
    socket as unknown as Socket,
    Buffer.from(opening()),
  )
  return taken
}

async function allBegin(taken: Taken, count: number): Promise<void> {
  taken.socket.takeAll()
  for (let turns = 0; turns < 1_000 && taken.begunCount < count; turns++) await turn()
  assert.equal(taken.begunCount, count)
}

test('who takes no answers is not read, and is again when it takes them', async (t) => {
  const taken = start(t, 1_000_000)
  const counts: number[] = []
  for (let streamId = 1; streamId <= 13; streamId += 2) {
    taken.socket.push(call(streamId))
    for (let turns = 0; turns < 3; turns++) await turn()
    counts.push(taken.begunCount)
  }
  assert.deepEqual(counts, [1, 2, 2, 2, 2, 2, 2])
  await allBegin(taken, 7)
})

test('of what came in one read no more than a slice begins for who takes no answers', async (t) => {
  const taken = start(t, 100_000)
  taken.socket.push(Buffer.concat(Array.from({ length: 100 }, (_, i) => call(2 * i + 1))))
  for (let turns = 0; turns < 20; turns++) await turn()
  assert.equal(taken.begunCount, 16)
  await allBegin(taken, 100)
})
