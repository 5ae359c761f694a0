import assert from 'node:assert/strict'
import { join, relative } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { runTestdata } from '../../testing/testdata.ts'
import { bytesFromHex, hexFromBytes, printableBytes, utf8Encode } from '../base/index.ts'
import { HpackDecoder, HpackEncoder, HpackError, headerList } from './index.ts'

function describe(fields: readonly string[]): string {
  const lines: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const value = Uint8Array.from(fields[i + 1] as string, (character) => character.charCodeAt(0))
    lines.push(`${fields[i]}: ${printableBytes(value)}`)
  }
  return lines.join('\n')
}

runTestdata(relative('.', join(import.meta.dirname, 'testdata')), () => {
  let decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 8192 })
  let encoder = new HpackEncoder()
  let last: unknown
  const lists = new Map<string, ReturnType<typeof headerList>>()
  const listOf = (args: readonly string[]): ReturnType<typeof headerList> => {
    const text = args.join(' ')
    const list = lists.get(text) ?? headerList(args.flatMap((field) => field.split('=')))
    lists.set(text, list)
    return list
  }
  return ({ name, args }) => {
    switch (name) {
      case 'decoder':
        decoder = new HpackDecoder({ tableBytesMax: Number(args[0]), listBytesMax: Number(args[1]) })
        return 'ok'
      case 'encoder':
        encoder = new HpackEncoder()
        return 'ok'
      case 'decode':
        try {
          const list = decoder.decode(bytesFromHex(args.join('')))
          const again = list === last ? '(the same object)\n' : ''
          last = list
          return list.isTooLarge ? 'too large' : `${again}${describe(list.fields)}`
        } catch (error) {
          assert.ok(error instanceof HpackError)
          return `HpackError: ${error.message}`
        }
      case 'allow-table':
        encoder.allowTable(Number(args[0]))
        return 'ok'
      case 'encode':
        return hexFromBytes(encoder.encode(listOf(args)))
      case 'encode-constant':
        return hexFromBytes(encoder.encodeConstant(listOf(args)))
      default:
        throw new Error(`unknown command ${name}`)
    }
  }
})

const byte = fc.integer({ min: 0, max: 255 })
const text = fc
  .oneof(fc.array(byte, { maxLength: 40 }), fc.array(fc.integer({ min: 0x61, max: 0x66 }), { maxLength: 3 }))
  .map((bytes) => String.fromCharCode(...bytes))
const list = fc.array(fc.tuple(text, text), { maxLength: 6 }).map((pairs) => headerList(pairs.flat()))
const step = fc.oneof(
  fc.record({ kind: fc.constant('once' as const), list }),
  fc.record({ kind: fc.constant('constant' as const), index: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ kind: fc.constant('allow' as const), bytes: fc.integer({ min: 0, max: 300 }) }),
)

test('what one end encodes the other decodes, whatever the table was allowed to be', () => {
  fc.assert(
    fc.property(fc.array(list, { minLength: 4, maxLength: 4 }), fc.array(step), (constants, steps) => {
      const encoder = new HpackEncoder()
      const decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 1_000_000 })
      for (const taken of steps) {
        if (taken.kind === 'allow') {
          encoder.allowTable(taken.bytes)
          continue
        }
        const sent = taken.kind === 'once' ? taken.list : constants[taken.index]
        assert.ok(sent !== undefined)
        const block = taken.kind === 'once' ? encoder.encode(sent) : encoder.encodeConstant(sent)
        assert.deepEqual(decoder.decode(block).fields, sent.fields)
      }
    }),
    { numRuns: 300 },
  )
})

test('whatever comes in is a list or an HpackError, and remembering changes no answer', () => {
  const limits = { tableBytesMax: 256, listBytesMax: 2_000 }
  const block = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    // Indexed fields, insertions and sizes that are often valid.
    fc
      .array(
        fc.constantFrom('82', 'be', 'bf', 'c0', '4001610162', '5001', '3f61', '20', '0f2f0163', '41811f'),
      )
      .map((parts) => bytesFromHex(parts.join(''))),
  )
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (blocks) => {
      const remembering = new HpackDecoder(limits)
      const history: Uint8Array[] = []
      for (const bytes of blocks) {
        const answer = attempt(remembering, bytes)
        // A decoder that has seen each block once only has nothing to remember.
        const fresh = new HpackDecoder(limits)
        for (const before of history) attempt(fresh, before)
        assert.deepEqual(answer, attempt(fresh, bytes))
        if (typeof answer === 'string') return
        history.push(bytes)
        assert.deepEqual(attempt(remembering, bytes), attempt(fresh, bytes))
        history.push(bytes)
      }
    }),
    { numRuns: 500 },
  )
})

function attempt(decoder: HpackDecoder, block: Uint8Array): string | readonly string[] {
  try {
    return decoder.decode(block).fields
  } catch (error) {
    assert.ok(error instanceof HpackError, String(error))
    return error.message
  }
}

test('a long list costs memory for what is kept only', () => {
  const decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 1_000 })
  // One field of 1,000 bytes in the table, and then its index a thousand times.
  const value = 'v'.repeat(1_000)
  const insert = [
    0x40,
    1,
    0x61,
    0x7f,
    ...[1_000 - 127 - 0].flatMap((rest) => [(rest % 128) | 128, rest >> 7]),
  ]
  assert.equal(decoder.decode(Uint8Array.from([...insert, ...utf8Encode(value)])).isTooLarge, true)
  const bomb = decoder.decode(new Uint8Array(1_000).fill(0xbe))
  assert.deepEqual(bomb, { fields: [], isTooLarge: true })
  // Not kept, and still read: what follows is known, and an index of nothing is a fault.
  const last = Uint8Array.of(...new Array<number>(10).fill(0xbe), 0x40, 1, 0x62, 1, 0x63)
  assert.equal(decoder.decode(last).isTooLarge, true)
  assert.deepEqual(decoder.decode(Uint8Array.of(0xbe)).fields, ['b', 'c'])
  assert.throws(() => decoder.decode(Uint8Array.of(0xbf, 0xbf, 0xc0)), HpackError)
})

test('what is remembered does not change with the memory in which it came', () => {
  const decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 1_000 })
  // A Buffer, as sockets give it: its slice() is a view.
  const received = Buffer.from('8386', 'hex')
  const post = decoder.decode(received)
  received[0] = 0x82
  const get = decoder.decode(received)
  assert.deepEqual(get.fields, [':method', 'GET', ':scheme', 'http'])
  assert.equal(decoder.decode(bytesFromHex('8386')), post)
})
