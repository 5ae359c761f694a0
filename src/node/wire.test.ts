import assert from 'node:assert/strict'
import test from 'node:test'
import {
  ByteWriter,
  concatBytes,
  crc32c,
  equalBytes,
  isQuorateError,
  QuorateError,
  SeededRandom,
  utf8Encode,
} from '../base/index.ts'
import { createEntry, entryKind } from '../raft/index.ts'
import { decodeEnvelope, encodeEnvelope } from './envelope.ts'
import {
  decodeHello,
  decodeHelloAnswer,
  decodeWhoAmI,
  decodeYouAre,
  encodeHello,
  encodeHelloAnswer,
  encodeWhoAmI,
  encodeYouAre,
} from './handshake.ts'
import { decodePeerMessage, encodePeerMessage, type PeerMessage } from './peer-codec.ts'
import { FrameReader, frameClass, frameHeaderSize, framePayloadMax, framesOf } from './peer-frame.ts'
import { end, peerMessages, route } from './testing/peer-messages.ts'

test('every peer message comes back as it was, and every cut of it is refused', () => {
  for (const message of peerMessages) {
    const bytes = encodePeerMessage(message)
    assert.deepEqual(decodePeerMessage(bytes, route), message)
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(
        () => decodePeerMessage(bytes.subarray(0, length), route),
        QuorateError,
        `${message.kind} ${length}`,
      )
    }
  }
})

test('entries of an append request carry their index implicitly and their checksums explicitly', () => {
  const group = 0
  const first = createEntry({
    group,
    index: 13,
    term: 3,
    kind: entryKind.command,
    payload: utf8Encode('a'),
    previousChain: end.chain,
  })
  const second = createEntry({
    group,
    index: 14,
    term: 4,
    kind: entryKind.noop,
    payload: new Uint8Array(0),
    previousChain: first.chain,
  })
  const message: PeerMessage = {
    kind: 'appendRequest',
    ...route,
    term: 4,
    previous: end,
    commit: 1,
    entries: [first, second],
  }
  assert.deepEqual(decodePeerMessage(encodePeerMessage(message), route), message)
})

test('a message type that this build does not know is refused by name', () => {
  assert.throws(
    () => decodePeerMessage(new Uint8Array([99]), route),
    (error) => isQuorateError(error, 'format-unsupported'),
  )
})

test('frames: a stream cut anywhere gives the same messages, classes keep apart', () => {
  const random = new SeededRandom(7)
  const large = new Uint8Array(3 * framePayloadMax + 17).map(() => random.between(0, 256))
  const bulk = framesOf({ frameClass: frameClass.bulk, group: 1, payload: large })
  const control = framesOf({ frameClass: frameClass.control, group: 2, payload: utf8Encode('beat') })
  assert.equal(bulk.length, 4)
  // A control message travels between the pieces of a bulk one.
  const stream = concatBytes(
    [bulk[0], ...control, ...bulk.slice(1), ...control].map((frame) => frame ?? large),
  )
  for (const step of [1, 7, 4096, framePayloadMax + 5, stream.length]) {
    if (step === 1 && stream.length > 300_000) continue
    const reader = new FrameReader(1 << 20)
    const found = []
    for (let at = 0; at < stream.length; at += step)
      found.push(...reader.push(stream.subarray(at, at + step)))
    assert.deepEqual(
      found.map((message) => [
        message.frameClass,
        message.group,
        message.payload.length,
        crc32c(message.payload),
      ]),
      [
        [0, 2, 4, crc32c(utf8Encode('beat'))],
        [1, 1, large.length, crc32c(large)],
        [0, 2, 4, crc32c(utf8Encode('beat'))],
      ],
    )
  }
})

test('frames: what waits for the rest of its message keeps none of the memory it came in', () => {
  const random = new SeededRandom(8)
  const payload = new Uint8Array(2 * framePayloadMax + 17).map(() => random.between(0, 256))
  const stream = concatBytes(framesOf({ frameClass: frameClass.bulk, group: 1, payload }))
  const firstEnd = frameHeaderSize + framePayloadMax
  for (const cut of [7, frameHeaderSize + 5, firstEnd, firstEnd + 7, 2 * firstEnd + frameHeaderSize + 5]) {
    const reader = new FrameReader(payload.length)
    const chunk = stream.slice(0, cut)
    assert.deepEqual(reader.push(chunk), [])
    chunk.fill(0)
    const [message] = reader.push(stream.subarray(cut))
    assert.ok(message !== undefined && equalBytes(message.payload, payload), `cut at ${cut}`)
  }
})

test('frames: any flipped bit in header or payload is refused', () => {
  const frames = framesOf({ frameClass: frameClass.control, group: 0, payload: utf8Encode('heartbeat') })
  const whole = concatBytes(frames)
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = whole.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    assert.throws(() => new FrameReader(1024).push(flipped), QuorateError, `bit ${bit}`)
  }
})

test('frames: garbage, an oversized message and a stranger protocol are refused', () => {
  const refused = (bytes: Uint8Array, code: 'frame-malformed' | 'frame-too-large'): void => {
    assert.throws(
      () => new FrameReader(100).push(bytes),
      (error) => isQuorateError(error, code),
    )
  }
  refused(utf8Encode('GET / HTTP/1.1\r\nhost: a\r\n\r\n'), 'frame-malformed')
  refused(new Uint8Array(64), 'frame-malformed')
  refused(concatBytes(framesOf({ frameClass: 0, group: 0, payload: new Uint8Array(101) })), 'frame-too-large')
  assert.equal(frameHeaderSize, 20)
})

test('the handshake: hello, welcome, refusal, and the question of a node that joins', () => {
  const hello = { clusterId: 1n, from: 2n, to: 3n, directoryId: 2n ** 63n, peerUrls: ['http://a:1'] }
  assert.deepEqual(decodeHello(encodeHello(hello)), hello)
  const welcome = { kind: 'welcome', directoryId: 5n } as const
  assert.deepEqual(decodeHelloAnswer(encodeHelloAnswer(welcome)), welcome)
  const refused = { kind: 'refused', reason: 'wiped', text: 'another directory' } as const
  assert.deepEqual(decodeHelloAnswer(encodeHelloAnswer(refused)), refused)
  const question = { peerUrls: ['http://a:1', 'http://b:2'] }
  assert.deepEqual(decodeWhoAmI(encodeWhoAmI(question)), question)
  assert.equal(decodeWhoAmI(encodeHello(hello)), undefined)
  const youAre = { clusterId: 4n, nodeId: 6n, directory: utf8Encode('members') }
  assert.deepEqual(decodeYouAre(encodeYouAre(youAre)), youAre)
  assert.throws(
    () => decodeYouAre(encodeHelloAnswer(refused)),
    (error) => isQuorateError(error, 'handshake-refused'),
  )
  const otherVersion = encodeHello(hello)
  otherVersion[1] = 1
  assert.throws(
    () => decodeHello(otherVersion),
    (error) => isQuorateError(error, 'handshake-refused'),
  )
})

test('the envelope of a command: frozen bytes', () => {
  const envelope = {
    timeMs: 0x0102030405,
    incarnation: { high: 0xa1, low: 0xb2 },
    sequence: 7,
    command: utf8Encode('cmd'),
  }
  const bytes = encodeEnvelope(envelope)
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    '01' + '0504030201000000' + 'a1000000' + 'b2000000' + '0700000000000000' + '636d64',
  )
  assert.deepEqual(decodeEnvelope(bytes), envelope)
  bytes[0] = 9
  assert.throws(
    () => decodeEnvelope(bytes),
    (error) => isQuorateError(error, 'format-unsupported'),
  )
})

test('frames: each limit holds at its value, and one past it is refused before its bytes come', () => {
  /** A frame as somebody could send it: every checksum is right. */
  const headerOf = (payload: Uint8Array, claimedBytes: number): Uint8Array => {
    const writer = new ByteWriter(frameHeaderSize)
    for (const byte of [0x51, 1, frameClass.bulk, 0]) writer.u8(byte)
    writer.u32(0)
    writer.u32(claimedBytes)
    writer.u32(crc32c(payload))
    writer.u32(crc32c(writer.view()))
    return writer.copy()
  }
  const full = new Uint8Array(framePayloadMax)
  const [taken] = new FrameReader(framePayloadMax).push(concatBytes([headerOf(full, full.length), full]))
  assert.equal(taken?.payload.length, framePayloadMax)
  const refused = (messageBytesMax: number, bytes: Uint8Array): void => {
    assert.throws(
      () => new FrameReader(messageBytesMax).push(bytes),
      (error) => isQuorateError(error, 'frame-too-large'),
    )
  }
  for (const claimed of [framePayloadMax + 1, 0x8000_0000, 0xffff_ffff])
    refused(1 << 30, headerOf(full, claimed))
  refused(framePayloadMax - 1, concatBytes([headerOf(full, full.length), full]))
})
