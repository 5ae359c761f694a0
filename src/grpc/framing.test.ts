import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { runTestdata } from '../../testing/testdata.ts'
import { bytesFromHex, concatBytes, printableBytes } from '../base/index.ts'
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatTimeout,
  frameMessage,
  GrpcError,
  grpcStatus,
  isGrpcContentType,
  MessageDecoder,
  type MessageLimits,
  parseTimeout,
  statusFromHttp,
  unknownMethodText,
  wholeMessage,
} from './index.ts'

const plain: MessageLimits = { messageBytesMax: 64, decompress: undefined }
const doubling: MessageLimits = {
  messageBytesMax: 64,
  decompress(bytes, bytesMax) {
    if (2 * bytes.length > bytesMax)
      throw new GrpcError(grpcStatus.resourceExhausted, 'too large when doubled')
    return concatBytes([bytes, bytes])
  },
}

function statusName(status: number): string {
  return Object.entries(grpcStatus).find(([, value]) => value === status)?.[0] ?? `${status}`
}

function push(decoder: MessageDecoder, chunk: Uint8Array): string {
  const lines: string[] = []
  try {
    decoder.push(chunk)
    for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
      lines.push(`message "${printableBytes(message)}"`)
    }
  } catch (error) {
    assert.ok(error instanceof GrpcError)
    lines.push(`${statusName(error.status)}: ${error.message}`)
  }
  return lines.length === 0 ? 'nothing yet' : lines.join('\n')
}

runTestdata(relative('.', join(import.meta.dirname, 'testdata')), () => {
  let decoder = new MessageDecoder(plain)
  return ({ name, args }) => {
    const text = args.join(' ')
    switch (name) {
      case 'push':
        return push(decoder, bytesFromHex(text.replaceAll('|', '')))
      case 'end':
        return decoder.isBetweenMessages ? 'between messages' : 'inside a message'
      case 'reset':
        decoder = new MessageDecoder(text === 'doubling' ? doubling : plain)
        return `limit 64${text === '' ? '' : `, encoding ${text}`}`
      case 'timeout':
        return args.map((arg) => `${arg} = ${parseTimeout(arg) ?? 'malformed'}`).join('\n')
      case 'format-timeout':
        return args.map((arg) => `${arg} = ${formatTimeout(Number(arg))}`).join('\n')
      case 'message':
        return encodeGrpcMessage(text.replaceAll('\\n', '\n'))
      case 'decode':
        return args.map((arg) => `${arg} = ${decodeGrpcMessage(arg)}`).join('\n')
      case 'content-type':
        return args.map((arg) => `${arg} ${isGrpcContentType(arg) ? 'is gRPC' : 'is not'}`).join('\n')
      case 'http-status':
        return args.map((arg) => `${arg} ${statusName(statusFromHttp(Number(arg)))}`).join('\n')
      case 'path':
        return args.map((arg) => unknownMethodText(arg, (service) => service === 'test.Known')).join('\n')
      default:
        throw new Error(`no command ${name}`)
    }
  }
})

test('messages come out as they went in, however the bytes are cut', () => {
  const limits: MessageLimits = { messageBytesMax: 100_000, decompress: undefined }
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.uint8Array({ minLength: 20_000, maxLength: 40_000 }),
  )
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(30_000)), (messages, cuts) => {
      const whole = concatBytes(messages.map(frameMessage))
      const decoder = new MessageDecoder(limits)
      const found: Uint8Array[] = []
      let position = 0
      for (const cut of [...cuts, whole.length]) {
        decoder.push(whole.subarray(position, position + cut))
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) found.push(next)
        position = Math.min(whole.length, position + cut)
      }
      assert.deepEqual(found, messages)
      assert.ok(decoder.isBetweenMessages)
    }),
    { numRuns: 100 },
  )
})

test('a chunk that is one message needs no decoder; all others do', () => {
  const framed = frameMessage(Uint8Array.of(1, 2, 3))
  assert.deepEqual(wholeMessage(framed, plain), Uint8Array.of(1, 2, 3))
  assert.deepEqual(wholeMessage(frameMessage(new Uint8Array(0)), plain), new Uint8Array(0))
  assert.equal(wholeMessage(framed.subarray(0, 7), plain), undefined)
  assert.equal(wholeMessage(concatBytes([framed, framed]), plain), undefined)
  assert.equal(wholeMessage(framed.subarray(0, 4), plain), undefined)
  assert.throws(() => wholeMessage(frameMessage(new Uint8Array(65)), plain), /larger than max \(65 vs. 64\)/)
})

test('a small message does not keep the large read alive that it came in', () => {
  const read = new Uint8Array(65_536)
  read.set(frameMessage(Uint8Array.of(7)))
  const decoder = new MessageDecoder(plain)
  decoder.push(read.subarray(0, 6))
  const message = decoder.next()
  assert.deepEqual(message, Uint8Array.of(7))
  assert.ok(message.buffer.byteLength <= 64)
  // The request of a call does not live long: it shares memory with its neighbours in time.
  const request = wholeMessage(read.subarray(0, 6), plain)
  assert.deepEqual(request, Uint8Array.of(7))
  assert.ok(request.buffer.byteLength <= 16_384)
})

test('every text survives the grpc-message trailer', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const encoded = encodeGrpcMessage(text)
      assert.match(encoded, /^[\x20-\x7e]*$/)
      assert.equal(decodeGrpcMessage(encoded), text)
    }),
  )
})

test('a timeout that is formatted and parsed is never shorter, and at most a thousandth longer', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (timeoutMs) => {
      const parsed = parseTimeout(formatTimeout(timeoutMs)) ?? Number.NaN
      assert.ok(parsed >= timeoutMs * 0.999_999_999 && parsed <= timeoutMs * 1.001 + 0.000_001, `${parsed}`)
    }),
  )
})
