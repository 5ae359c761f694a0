// An answer that is written pair by pair against the same answer written at once.
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { concatBytes, hexFromBytes, utf8Encode } from '../base/index.ts'
import { encodeRangeResponse, type KeyValue, RangeAnswer, type RangeResponse } from './index.ts'

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
console.log(`seed ${seed}`)

const header = { clusterId: 2n ** 63n, memberId: 7n, revision: 12, raftTerm: 3 }

const bytesOf = (sizes: fc.Arbitrary<number>): fc.Arbitrary<Uint8Array> =>
  fc.tuple(sizes, fc.integer({ min: 1, max: 255 })).map(([size, fill]) => new Uint8Array(size).fill(fill))

const counters = fc.oneof(
  fc.nat({ max: 300 }),
  fc
    .integer({ min: 0, max: 53 })
    .chain((bits) => fc.constantFrom(2 ** bits - 1, Math.min(2 ** bits, 2 ** 53 - 1))),
)

const pairs: fc.Arbitrary<KeyValue> = fc.record({
  key: bytesOf(fc.oneof(fc.nat({ max: 40 }), fc.constantFrom(127, 128, 1_000, 70_000))),
  value: bytesOf(fc.oneof(fc.nat({ max: 200 }), fc.constantFrom(16_383, 16_384, 65_535, 65_536, 200_000))),
  createRevision: counters,
  modRevision: counters,
  version: counters,
  lease: fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
})

const answers: fc.Arbitrary<RangeResponse> = fc.record({
  header: fc.constant(header),
  kvs: fc.array(pairs, { maxLength: 12 }),
  more: fc.boolean(),
  count: counters,
})

function wholeOf(finished: Uint8Array | readonly Uint8Array[]): Uint8Array {
  return finished instanceof Uint8Array ? finished : concatBytes(finished)
}

function written({ kvs, more, count }: RangeResponse): Uint8Array | readonly Uint8Array[] {
  const answer = new RangeAnswer(header)
  for (const pair of kvs) answer.add(pair)
  return answer.finish(more, count)
}

test('an answer written pair by pair has the bytes of one written at once', () => {
  fc.assert(
    fc.property(answers, (message) => {
      assert.ok(Buffer.from(wholeOf(written(message))).equals(encodeRangeResponse(message)))
    }),
    { seed, numRuns: 300 },
  )
})

test('answers that are written at the same time share nothing, and finished ones are not written to', () => {
  fc.assert(
    fc.property(fc.array(answers, { minLength: 2, maxLength: 4 }), (messages) => {
      const open = messages.map(() => new RangeAnswer(header))
      const longest = Math.max(...messages.map(({ kvs }) => kvs.length))
      for (let i = 0; i < longest; i++) {
        for (const [at, { kvs }] of messages.entries()) {
          const pair = kvs[i]
          if (pair !== undefined) open[at]?.add(pair)
        }
      }
      const finished = messages.map(({ more, count }, at) => open[at]?.finish(more, count) ?? [])
      for (const message of messages) written(message)
      for (const [at, message] of messages.entries()) {
        assert.ok(Buffer.from(wholeOf(finished[at] ?? [])).equals(encodeRangeResponse(message)))
      }
    }),
    { seed, numRuns: 100 },
  )
})

test('copies of parts of an answer stand for their pairs in another one', () => {
  fc.assert(
    fc.property(answers, fc.array(fc.nat({ max: 12 }), { maxLength: 4 }), (message, cuts) => {
      const { kvs, more, count } = message
      const whole = new RangeAnswer(header)
      const sizes = [whole.size]
      for (const pair of kvs) {
        whole.add(pair)
        sizes.push(whole.size)
      }
      const sizeAt = (place: number): number => sizes[Math.min(place, kvs.length)] ?? 0
      const places = [0, ...cuts, kvs.length]
        .map((cut) => Math.min(cut, kvs.length))
        .toSorted((a, b) => a - b)
      const other = new RangeAnswer(header)
      for (const [i, place] of places.entries()) {
        const first = places[i - 1] ?? 0
        if (i % 2 === 1) other.addBytes(whole.copy(sizeAt(first), sizeAt(place)))
        else for (const pair of kvs.slice(first, place)) other.add(pair)
        assert.equal(other.size, sizeAt(place))
      }
      assert.ok(Buffer.from(wholeOf(other.finish(more, count))).equals(encodeRangeResponse(message)))
      assert.ok(Buffer.from(wholeOf(whole.finish(more, count))).equals(encodeRangeResponse(message)))
    }),
    { seed, numRuns: 300 },
  )
})

test('a copy keeps nothing alive but its own bytes, and is handed on as it is', () => {
  const pair = { key: utf8Encode('k'), value: new Uint8Array(100), version: 1, lease: 0n }
  const answer = new RangeAnswer(header)
  const start = answer.size
  answer.add({ ...pair, createRevision: 1, modRevision: 1 })
  const copy = answer.copy(start, answer.size)
  assert.equal(copy.buffer.byteLength, copy.length)
  const other = new RangeAnswer(header)
  other.addBytes(copy)
  const pieces = other.finish(false, 1)
  assert.ok(!(pieces instanceof Uint8Array) && pieces.includes(copy))
})

test('what was added is copied: its bytes may change at once', () => {
  const key = utf8Encode('key')
  const value = new Uint8Array(100).fill(1)
  const pair = { key, value, createRevision: 1, modRevision: 2, version: 3, lease: 4n }
  const expected = hexFromBytes(encodeRangeResponse({ header, kvs: [pair], more: true, count: 9 }))
  const answer = new RangeAnswer(header)
  answer.add(pair)
  key.fill(0xff)
  value.fill(0xff)
  assert.equal(hexFromBytes(wholeOf(answer.finish(true, 9))), expected)
})

test('a large answer is pieces of a bounded size, and small ones share a page', () => {
  const value = new Uint8Array(1_000)
  const pair = { key: utf8Encode('k'), value, createRevision: 1, modRevision: 1, version: 1, lease: 0n }
  const pieces = written({
    header,
    kvs: Array.from({ length: 1_000 }, () => pair),
    more: false,
    count: 1_000,
  })
  assert.ok(Array.isArray(pieces))
  assert.ok(pieces.length >= 16 && pieces.every((piece) => piece.length <= 64 * 1024))
  const pages = new Set<unknown>()
  for (let i = 0; i < 100; i++) {
    const small = written({ header, kvs: [pair], more: false, count: 1 })
    pages.add((small instanceof Uint8Array ? small : small.at(-1))?.buffer)
  }
  assert.ok(pages.size <= 3, `${pages.size} pages for 100 answers of a kilobyte`)
})
