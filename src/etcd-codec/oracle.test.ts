// Every message against an independent implementation of protobuf and etcd's own field table (the .proto files
// that come with the npm package etcd3), both ways, with random contents; and what truncation and garbage do.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import {
  type Field,
  format,
  generate,
  type Message,
  readMessages,
  room,
} from '../../testing/generate-etcd-codec.ts'
import { isQuorateError } from '../base/index.ts'
import * as codec from './index.ts'

type Plain = { [name: string]: unknown }
type Codec = Record<string, (value: unknown) => unknown>
const functions = codec as unknown as Codec
const messages = readMessages()
const whole = messages.filter((message) => `decode${message.name}` in functions)
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
console.log(`seed ${seed}`)

const root = protobuf.loadSync('node_modules/etcd3/proto/rpc.proto')
// The fields of 3.6 that the older table of etcd3 lacks.
const newer: readonly [string, string, number, string][] = [
  ['StatusResponse', 'storageVersion', 11, 'string'],
  ['StatusResponse', 'dbSizeQuota', 12, 'int64'],
  ['StatusResponse', 'downgradeInfo', 13, 'DowngradeInfo'],
  ['HashKVResponse', 'hashRevision', 4, 'int64'],
  ['SnapshotResponse', 'version', 4, 'string'],
]
const packageOfRpc = root.lookup('etcdserverpb') as protobuf.Namespace
packageOfRpc.add(
  new protobuf.Type('DowngradeInfo')
    .add(new protobuf.Field('enabled', 1, 'bool'))
    .add(new protobuf.Field('targetVersion', 2, 'string')),
)
for (const [type, name, number, kind] of newer)
  root.lookupType(type).add(new protobuf.Field(name, number, kind))

function messageOf(name: string): Message {
  const found = messages.find((message) => message.name === name)
  assert.ok(found, name)
  return found
}

const initial: Record<string, unknown> = {
  count: 0,
  id: 0n,
  uid: 0n,
  enum: 0,
  u32: 0,
  bool: false,
  string: '',
}
function initialOf(field: Field): unknown {
  if (field.repeated) return []
  return field.type === 'bytes' ? new Uint8Array(0) : initial[field.type]
}

const scalars: Record<string, fc.Arbitrary<unknown>> = {
  count: fc.oneof(fc.nat(300), fc.maxSafeInteger()),
  id: fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  uid: fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  enum: fc.nat(4),
  u32: fc.nat(0xffffffff),
  bool: fc.boolean(),
  bytes: fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.uint8Array({ minLength: 100, maxLength: 300 })),
  string: fc.string({ unit: 'grapheme', maxLength: 20 }),
}

function arbitraryOf(message: Message, depth = 0): fc.Arbitrary<unknown> {
  const one = (field: Field): fc.Arbitrary<unknown> => {
    const scalar =
      field.type === 'count' && isUnsigned(message, field)
        ? fc.maxSafeInteger().map(Math.abs)
        : scalars[field.type]
    const element = scalar ?? arbitraryOf(messageOf(field.type), depth + 1)
    if (field.repeated) return fc.array(element, { maxLength: depth > 2 ? 1 : 4 })
    return scalar ? element : fc.option(element, { nil: undefined })
  }
  if (message.isChoice) {
    const open = message.fields.filter((field) => depth < 4 || !field.type.startsWith('Txn'))
    const members = open.map((field) =>
      arbitraryOf(messageOf(field.type), depth + 1).map((value) => ({
        kind: field.name,
        [field.name]: value,
      })),
    )
    return fc.oneof(fc.constant({ kind: 'none' }), ...members)
  }
  const record = fc.record(Object.fromEntries(message.fields.map((field) => [field.name, one(field)])), {
    noNullPrototype: true,
  })
  const oneofs = message.fields.filter((field) => field.oneof)
  if (oneofs.length === 0) return record
  return fc.tuple(record, fc.nat(oneofs.length - 1)).map(([value, kept]) => {
    const others = oneofs.filter((_, index) => index !== kept)
    return {
      ...(value as Plain),
      ...Object.fromEntries(others.map((field) => [field.name, initialOf(field)])),
    }
  })
}

function theirs(message: Message): protobuf.Type {
  const name = [message.name, ...message.aliases].find((alias) => root.lookup(alias) !== null)
  if (name === undefined) assert.fail(`etcd has no message ${message.name}`)
  return root.lookupType(name)
}

function isUnsigned(message: Message, field: Field): boolean {
  return theirs(message).fieldsById[field.number]?.type.startsWith('u') ?? false
}

function toTheirs(message: Message, value: unknown): Plain {
  const plain = value as Plain
  const result: Plain = {}
  for (const field of message.fields) {
    const own = plain[field.name]
    const name = theirs(message).fieldsById[field.number]?.name
    if (name === undefined) assert.fail(`${message.name} has no field ${field.number}`)
    if (own === undefined || (field.oneof && isDefault(own))) continue
    const convert = (element: unknown): unknown => {
      if (field.type in scalars)
        return typeof element === 'bigint' || field.type === 'count' ? String(element) : element
      return toTheirs(messageOf(field.type), element)
    }
    result[name] = field.repeated ? (own as unknown[]).map(convert) : convert(own)
  }
  return result
}

function isDefault(value: unknown): boolean {
  return value instanceof Uint8Array ? value.length === 0 : value === 0 || value === 0n
}

function fromTheirs(message: Message, decoded: Plain): unknown {
  const result: Plain = {}
  for (const field of message.fields) {
    const name = theirs(message).fieldsById[field.number]?.name as string
    const own = decoded[name]
    const convert = (element: unknown): unknown => {
      if (field.type === 'count') return Number(element)
      if (field.type === 'id' || field.type === 'uid') return BigInt(String(element))
      if (field.type === 'bytes') return new Uint8Array(element as Uint8Array)
      return field.type in scalars ? element : fromTheirs(messageOf(field.type), element as Plain)
    }
    if (message.isChoice) {
      if (own !== undefined && own !== null) return { kind: field.name, [field.name]: convert(own) }
    } else if (own === undefined || own === null) result[field.name] = initialOf(field)
    else result[field.name] = field.repeated ? (own as unknown[]).map(convert) : convert(own)
  }
  return message.isChoice ? { kind: 'none' } : result
}

test('the generated files are what messages.txt says', () => {
  for (const [name, text] of generate()) {
    const committed = readFileSync(join(room, name), 'utf8')
    assert.equal(committed, format(name, text), `${name} is behind: node testing/generate-etcd-codec.ts`)
  }
})

test('field numbers, names and types are those of etcd', () => {
  let compared = 0
  for (const message of messages) {
    for (const alias of [message.name, ...message.aliases]) {
      if (root.lookup(alias) === null) continue
      const fields = theirs({ ...message, name: alias }).fieldsArray
      const numbers = message.fields.map((field) => [field.number, field.name.toLowerCase(), field.repeated])
      assert.deepEqual(
        fields.map((field) => [field.id, field.name.toLowerCase(), field.repeated]).sort(byNumber),
        numbers.sort(byNumber),
        alias,
      )
      compared++
    }
  }
  assert.ok(compared > 50)
})

function byNumber(left: readonly unknown[], right: readonly unknown[]): number {
  return Number(left[0]) - Number(right[0])
}

for (const message of whole) {
  const decode = functions[`decode${message.name}`] as (bytes: Uint8Array) => unknown
  const encode = functions[`encode${message.name}`] as (value: unknown) => Uint8Array
  const arbitrary = arbitraryOf(message)
  // A default value in front of which nothing is written reads back as the message of defaults.
  const type = theirs(message)

  test(`${message.name}: what we write they read, what they write we read`, () => {
    fc.assert(
      fc.property(arbitrary, (value) => {
        const written = encode(value)
        const read = type.toObject(type.decode(written), {
          longs: String,
          defaults: true,
          arrays: true,
          bytes: Array,
        })
        assert.deepEqual(fromTheirs(message, read), value)
        const bytes = type.encode(type.fromObject(toTheirs(message, value))).finish()
        assert.deepEqual(decode(new Uint8Array(bytes)), value)
      }),
      { seed, numRuns: 60 },
    )
  })

  test(`${message.name}: cut off or changed anywhere it is refused by name or read, never worse`, () => {
    fc.assert(
      fc.property(
        arbitrary,
        fc.nat(),
        fc.nat(255),
        fc.uint8Array({ maxLength: 40 }),
        (value, at, byte, noise) => {
          const written = encode(value)
          for (let size = 0; size < written.length; size++) readsOrRefuses(decode, written.slice(0, size))
          if (written.length > 0) {
            const changed = written.slice()
            changed[at % changed.length] = byte
            readsOrRefuses(decode, changed)
          }
          readsOrRefuses(decode, noise)
        },
      ),
      { seed, numRuns: 25 },
    )
  })
}

function readsOrRefuses(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes)
  } catch (error) {
    assert.ok(isQuorateError(error, 'frame-malformed'), String(error))
  }
}
