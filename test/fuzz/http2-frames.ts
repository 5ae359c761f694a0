import { concatBytes, type SeededRandom, utf8Encode } from '../../src/base/index.ts'
import { mutate } from './mutate.ts'

/** HTTP/2 as bytes, written so that every rule of it can be broken. RFC 9113, section 4.1. */
const preface: Uint8Array = utf8Encode('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const frameHeaderBytes = 9

interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Uint8Array
  /** Stands in the header instead of the size of the payload. */
  readonly claimedLength?: number
}

const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const
const none = new Uint8Array(0)

function bytesOf(frame: Frame): Uint8Array {
  const length = frame.claimedLength ?? frame.payload.length
  const header = Uint8Array.of(length >>> 16, length >>> 8, length, frame.type, frame.flags, 0, 0, 0, 0)
  new DataView(header.buffer).setUint32(5, frame.stream)
  return concatBytes([header, frame.payload])
}

/** What a client sent, cut into frames; bytes that are no frames are dropped. */
function framesOf(stream: Uint8Array): Frame[] {
  const frames: Frame[] = []
  let position = preface.length
  while (position + frameHeaderBytes <= stream.length) {
    const view = new DataView(stream.buffer, stream.byteOffset + position)
    const length = view.getUint32(0) >>> 8
    const start = position + frameHeaderBytes
    frames.push({
      type: view.getUint8(3),
      flags: view.getUint8(4),
      stream: view.getUint32(5),
      payload: stream.subarray(start, start + length),
    })
    position = start + length
  }
  return frames
}

/** A recorded conversation with some frames changed, dropped, doubled, moved, or strangers put between. */
export function mutateConversation(random: SeededRandom, recorded: Uint8Array): Uint8Array {
  if (random.chance(0.15)) return mutate(random, recorded, recorded)
  const frames = framesOf(recorded)
  for (let count = random.between(1, 5); count > 0; count--) {
    const at = random.between(0, frames.length + 1)
    const choice = random.unit()
    if (choice < 0.15) frames.splice(at, 1)
    else if (choice < 0.3) frames.splice(at, 0, ...frames.slice(at, at + random.between(1, 4)))
    else if (choice < 0.6) frames.splice(at, 1, mutateFrame(random, frames[at] ?? drawFrame(random)))
    else frames.splice(at, 0, ...drawAttack(random))
  }
  const start = random.chance(0.97) ? preface : mutate(random, preface, preface)
  const whole = concatBytes([start, ...frames.map(bytesOf)])
  return random.chance(0.2) ? whole.subarray(0, random.between(0, whole.length + 1)) : whole
}

function mutateFrame(random: SeededRandom, frame: Frame): Frame {
  switch (random.between(0, 5)) {
    case 0:
      return { ...frame, payload: mutate(random, frame.payload, frame.payload) }
    case 1:
      return { ...frame, flags: random.between(0, 256) }
    case 2:
      return { ...frame, type: random.between(0, 14) }
    case 3:
      return { ...frame, stream: drawStream(random) }
    default:
      return { ...frame, claimedLength: random.pick([0, 1, 16_384, 16_385, 0xff_ffff]) }
  }
}

function drawStream(random: SeededRandom): number {
  return random.pick([0, 1, 2, 3, 5, 999, 0x7fff_ffff, 0x8000_0001, 0xffff_ffff])
}

function drawFrame(random: SeededRandom): Frame {
  const payload = Uint8Array.from({ length: random.pick([0, 4, 5, 8, 100]) }, () => random.between(0, 256))
  return { type: random.between(0, 14), flags: random.between(0, 256), stream: drawStream(random), payload }
}

/** Headers of a call, as literals without indexing: HPACK, RFC 7541 section 6.2.2. */
function headers(path: string, more: readonly [string, string][] = []): Uint8Array {
  const fields: readonly [string, string][] = [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':authority', 'x'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]
  return concatBytes(
    fields.flatMap(([name, value]) => [Uint8Array.of(0), lengthAndText(name), lengthAndText(value)]),
  )
}

function lengthAndText(text: string): Uint8Array {
  const bytes = utf8Encode(text)
  if (bytes.length < 127) return concatBytes([Uint8Array.of(bytes.length), bytes])
  const rest = bytes.length - 127
  const size = rest < 128 ? [127, rest] : [127, (rest & 0x7f) | 0x80, rest >>> 7]
  return concatBytes([Uint8Array.from(size), bytes])
}

const rangePath = '/etcdserverpb.KV/Range'

/** Patterns that have brought servers down; each in a size that a single connection may have. */
function drawAttack(random: SeededRandom): Frame[] {
  const count = random.pick([1, 10, 300])
  const first = 1001
  const many = (make: (i: number) => Frame[]): Frame[] =>
    Array.from({ length: count }, (_, i) => make(i)).flat()
  const call = (stream: number, flags: number): Frame => ({
    type: frameType.headers,
    flags,
    stream,
    payload: headers(rangePath),
  })
  const reset = (stream: number): Frame => ({
    type: frameType.reset,
    flags: 0,
    stream,
    payload: new Uint8Array(4),
  })
  switch (random.between(0, 11)) {
    case 0: // rapid reset, CVE-2023-44487
      return many((i) => [call(first + 2 * i, 4), reset(first + 2 * i)])
    case 1: // headers without an end, CVE-2024-27983
      return [
        call(first, 0),
        ...many(() => [
          {
            type: frameType.continuation,
            flags: 0,
            stream: first,
            payload: headers('/x', [['a', 'b'.repeat(99)]]),
          },
        ]),
      ]
    case 2: // compressed text that grows: one large field put in the table, then named by its index
      return [
        {
          type: frameType.headers,
          flags: 4,
          stream: first,
          payload: concatBytes([
            Uint8Array.of(0x40),
            lengthAndText('x'),
            lengthAndText('y'.repeat(4000)),
            new Uint8Array(count * 10).fill(0xbe),
          ]),
        },
      ]
    case 3:
      return many(() => [{ type: frameType.settings, flags: 0, stream: 0, payload: new Uint8Array(0) }])
    case 4:
      return many(() => [{ type: frameType.ping, flags: 0, stream: 0, payload: new Uint8Array(8) }])
    case 5: // windows that overflow, or stay shut
      return many(() => [
        {
          type: frameType.windowUpdate,
          flags: 0,
          stream: random.pick([0, 1]),
          payload: random.pick([new Uint8Array(4), Uint8Array.of(0x7f, 0xff, 0xff, 0xff)]),
        },
      ])
    case 6:
      return many(() => [{ type: frameType.data, flags: 0, stream: random.pick([1, first]), payload: none }])
    case 7: // settings that cannot be
      return [
        {
          type: frameType.settings,
          flags: 0,
          stream: 0,
          payload: Uint8Array.of(
            0,
            random.between(0, 10),
            ...random.pick([
              [255, 255, 255, 255],
              [0, 0, 0, 0],
            ]),
          ),
        },
      ]
    case 8:
      return [{ type: frameType.goAway, flags: 0, stream: 0, payload: new Uint8Array(8) }, call(first, 5)]
    case 9: // a call whose message claims to be huge
      return [
        call(first, 4),
        {
          type: frameType.data,
          flags: 0,
          stream: first,
          payload: Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3),
        },
      ]
    default:
      return many((i) => [call(first + 2 * i, 5)])
  }
}
