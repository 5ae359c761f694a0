// Messages of the etcd API as text, by the grammar of src/etcd-codec/messages.txt: {key: a, limit: 2}. What is not
// written has its default value, and what has its default value is not printed. For test stories.
import assert from 'node:assert/strict'
import { printableBytes, utf8Encode } from '../src/base/index.ts'
import * as codec from '../src/etcd-codec/index.ts'
import { type Field, type Message, readMessages } from './generate-etcd-codec.ts'

type Plain = { [name: string]: unknown }
const messages = new Map<string, Message>()
for (const message of readMessages())
  for (const name of [message.name, ...message.aliases]) messages.set(name, message)

function messageOf(name: string): Message {
  const message = messages.get(name)
  assert.ok(message, `no message ${name}`)
  return message
}

/** The encoded message that `text` describes. */
export function encodeText(name: string, text: string): Uint8Array {
  const message = messageOf(name)
  const tokens = text.match(/'[^']*'|[{}[\]:,]|[^\s{}[\]:,']+/g) ?? []
  const value = tokens.length === 0 ? blank(message) : parseMessage(message, tokens)
  assert.equal(tokens.length, 0, `behind the message: ${tokens.join(' ')}`)
  const encode = (codec as unknown as Record<string, (value: unknown) => Uint8Array>)[`encode${message.name}`]
  assert.ok(encode, `no encoder of ${name}`)
  return encode(value)
}

export function decodeToText(name: string, bytes: Uint8Array): string {
  const message = messageOf(name)
  const decode = (codec as unknown as Record<string, (bytes: Uint8Array) => unknown>)[`decode${message.name}`]
  assert.ok(decode, `no decoder of ${name}`)
  return print(message, decode(bytes))
}

function blank(message: Message): Plain {
  if (message.isChoice) return { kind: 'none' }
  return Object.fromEntries(message.fields.map((field) => [field.name, initialOf(field)]))
}

function initialOf(field: Field): unknown {
  if (field.repeated) return []
  if (field.type === 'bytes') return new Uint8Array(0)
  if (field.type === 'string') return ''
  if (field.type === 'bool') return false
  if (field.type === 'id' || field.type === 'uid') return 0n
  return messages.has(field.type) ? undefined : 0
}

function parseMessage(message: Message, tokens: string[]): Plain {
  const value = blank(message)
  take(tokens, '{')
  while (tokens[0] !== '}') {
    const name = tokens.shift()
    const field = message.fields.find((one) => one.name === name)
    assert.ok(field, `${message.name} has no field ${name}`)
    take(tokens, ':')
    if (message.isChoice) value.kind = field.name
    value[field.name] = field.repeated ? parseList(field, tokens) : parseValue(field, tokens)
    if (tokens[0] === ',') tokens.shift()
  }
  take(tokens, '}')
  return value
}

function parseList(field: Field, tokens: string[]): unknown[] {
  const list: unknown[] = []
  take(tokens, '[')
  while (tokens[0] !== ']') {
    list.push(parseValue(field, tokens))
    if (tokens[0] === ',') tokens.shift()
  }
  take(tokens, ']')
  return list
}

function parseValue(field: Field, tokens: string[]): unknown {
  const inner = messages.get(field.type)
  if (inner) return parseMessage(inner, tokens)
  const token = tokens.shift() ?? ''
  if (field.type === 'bytes') return bytesOf(token.replaceAll("'", ''))
  if (field.type === 'string') return token.replaceAll("'", '')
  if (field.type === 'bool') return token === 'true'
  if (field.type === 'id' || field.type === 'uid') return BigInt(token)
  return Number(token)
}

/** \xNN is a byte, *N as the whole text a value of N bytes. */
function bytesOf(text: string): Uint8Array {
  const repeated = /^\*(\d+)$/.exec(text)
  if (repeated) return new Uint8Array(Number(repeated[1])).fill(0x2a)
  const parts = text.split(/\\x([0-9a-f]{2})/)
  return Uint8Array.from(
    parts.flatMap((part, index) => (index % 2 === 1 ? [Number.parseInt(part, 16)] : [...utf8Encode(part)])),
  )
}

function take(tokens: string[], wanted: string): void {
  assert.equal(tokens.shift(), wanted)
}

function print(message: Message, value: unknown): string {
  const plain = value as Plain
  const parts: string[] = []
  for (const field of message.fields) {
    const own = plain[field.name]
    if (own === undefined || isDefault(own)) continue
    const one = (element: unknown): string => printValue(field, element)
    parts.push(`${field.name}: ${field.repeated ? `[${(own as unknown[]).map(one).join(', ')}]` : one(own)}`)
  }
  return `{${parts.join(', ')}}`
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array || Array.isArray(value)) return value.length === 0
  return value === 0 || value === 0n || value === '' || value === false
}

function printValue(field: Field, value: unknown): string {
  if (field.type === 'ResponseHeader') return printHeader(value as codec.ResponseHeader)
  const inner = messages.get(field.type)
  if (inner) return print(inner, value)
  const text = value instanceof Uint8Array ? printBytes(value) : String(value)
  return /^[^\s{}[\]:,']+$/.test(text) ? text : `'${text}'`
}

function printBytes(bytes: Uint8Array): string {
  return bytes.length > 64 ? `*${bytes.length}` : printableBytes(bytes)
}

/** H7: a whole header at revision 7; ids and term are those of the cluster. Else what of it is set. */
function printHeader(header: codec.ResponseHeader): string {
  const { clusterId, memberId, raftTerm, revision } = header
  if (clusterId !== 0n && memberId !== 0n && raftTerm !== 0) return `H${revision}`
  return print(messageOf('ResponseHeader'), header)
}
