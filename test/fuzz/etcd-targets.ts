import { concatBytes, SeededRandom, utf8Encode } from '../../src/base/index.ts'
import { sessionOf } from '../../src/etcd/call-metadata.ts'
import * as etcdCodec from '../../src/etcd-codec/index.ts'
import { frameMessage, MessageDecoder, wholeMessage } from '../../src/grpc/framing.ts'
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatTimeout,
  parseTimeout,
} from '../../src/grpc/wire-text.ts'
import { type Field, type Message, readMessages } from '../../testing/generate-etcd-codec.ts'
import type { FuzzTarget } from './target.ts'

const functions = etcdCodec as unknown as Record<string, (value: never) => unknown>
const messages = readMessages()

/** Every message of the etcd API by its codec, and what surrounds it on a connection. */
export function etcdTargets(): FuzzTarget[] {
  const whole = messages.filter(({ name }) => `decode${name}` in functions)
  return [...whole.map(messageTarget), framing, metadata, timeout, statusText]
}

function messageTarget(message: Message): FuzzTarget {
  const random = new SeededRandom(1)
  const write = functions[`encode${message.name}`] as (value: never) => Uint8Array
  return {
    name: `etcd.${message.name}`,
    seeds: Array.from({ length: 12 }, () => write(drawMessage(random, message, 0) as never)),
    read: functions[`decode${message.name}`] as FuzzTarget['read'],
    write,
    refusals: ['frame-malformed'],
  }
}

function drawMessage(random: SeededRandom, message: Message, depth: number): unknown {
  if (message.isChoice) {
    const open = message.fields.filter(({ type }) => depth < 4 || !type.startsWith('Txn'))
    const field = random.chance(0.9) ? random.pick(open) : undefined
    return field === undefined
      ? { kind: 'none' }
      : { kind: field.name, [field.name]: drawField(random, field, depth + 1) }
  }
  const oneofs = message.fields.filter(({ oneof }) => oneof)
  const kept = oneofs.length === 0 ? undefined : random.pick(oneofs)
  const entries = message.fields.map((field) => {
    if (field.repeated) {
      const count = random.between(0, depth > 2 ? 2 : 4)
      return [field.name, Array.from({ length: count }, () => drawField(random, field, depth + 1))]
    }
    if (field.oneof && field !== kept) return [field.name, initialValues[field.type]]
    const isEmbedded = !(field.type in initialValues)
    if (isEmbedded && random.chance(0.3)) return [field.name, undefined]
    return [field.name, drawField(random, field, depth + 1)]
  })
  return Object.fromEntries(entries)
}

const initialValues: Readonly<Record<string, unknown>> = {
  count: 0,
  id: 0n,
  uid: 0n,
  enum: 0,
  u32: 0,
  bool: false,
  string: '',
  bytes: new Uint8Array(0),
}

function drawField(random: SeededRandom, field: Field, depth: number): unknown {
  switch (field.type) {
    case 'count':
      return random.pick([0, 1, 300, Number.MAX_SAFE_INTEGER, random.between(0, 2 ** 40)])
    case 'id':
    case 'uid':
      return random.pick([0n, 1n, 2n ** 63n - 1n, BigInt(random.nextU32())])
    case 'enum':
      return random.between(0, 5)
    case 'u32':
      return random.nextU32()
    case 'bool':
      return random.chance(0.5)
    case 'string':
      return random.pick(['', 'name', 'http://10.0.0.1:2380', 'größer', '__proto__'])
    case 'bytes':
      return utf8Encode('key/value'.repeat(random.pick([0, 1, 3, 40])))
    default: {
      const embedded = messages.find(({ name }) => name === field.type)
      if (embedded === undefined) throw new Error(`no message ${field.type}`)
      return drawMessage(random, embedded, depth)
    }
  }
}

const messageBytesMax = 4096
const limits = { messageBytesMax, decompress: undefined }

/** The messages of a stream however it is cut: the first byte of an input says how. */
const framing: FuzzTarget = {
  name: 'grpc.framing',
  seeds: [
    concatBytes([Uint8Array.of(3), frameMessage(utf8Encode('one')), frameMessage(utf8Encode('two'))]),
    concatBytes([Uint8Array.of(255), frameMessage(new Uint8Array(600).fill(7))]),
    concatBytes([Uint8Array.of(1), frameMessage(new Uint8Array(0)), frameMessage(utf8Encode('x'))]),
  ],
  refusals: ['grpc'],
  read: (input) => {
    const stream = input.subarray(1)
    const whole = decodeStream(stream, stream.length)
    const cut = decodeStream(stream, 1 + (input[0] ?? 0))
    const isSame = whole.text === cut.text && whole.messages.length === cut.messages.length
    const first =
      whole.error === undefined && whole.messages.length === 1 ? wholeMessage(stream, limits) : undefined
    return { isSame, messages: whole.messages, first, error: whole.error }
  },
  judge: ({ isSame }: { isSame: boolean }) =>
    isSame ? undefined : 'reads another stream when it is cut elsewhere',
}

function decodeStream(
  stream: Uint8Array,
  step: number,
): { messages: Uint8Array[]; text: string; error: string | undefined } {
  const decoder = new MessageDecoder(limits)
  const found: Uint8Array[] = []
  let error: string | undefined
  try {
    for (let position = 0; position < stream.length; position += step) {
      decoder.push(stream.subarray(position, position + step))
      for (let one = decoder.next(); one !== undefined; one = decoder.next()) found.push(one.slice())
    }
  } catch (reason) {
    error = String(reason)
  }
  return { messages: found, text: `${found.map((one) => one.join()).join('|')} ${error ?? ''}`, error }
}

const latin1 = (input: Uint8Array): string => Buffer.from(input).toString('latin1')

const metadata: FuzzTarget = {
  name: 'etcd.session-metadata',
  seeds: ['7\n1\n0', '-1\n9007199254740991\n1', '18446744073709551615\n2\n'].map((text) => utf8Encode(text)),
  refusals: ['invalid-argument'],
  read: (input) => {
    const [session = '', request = '', answeredBelow = ''] = latin1(input).split('\n')
    const names = new Map([
      ['quorate-session', session],
      ['quorate-request', request],
      ['quorate-answered-below', answeredBelow],
    ])
    return sessionOf(names)
  },
  judge: (stamp: ReturnType<typeof sessionOf>) => {
    if (stamp === undefined) return 'takes a session for none'
    const isRight = Number.isSafeInteger(stamp.request) && stamp.request > 0 && stamp.session >= 0n
    return isRight ? undefined : `takes ${stamp.session} ${stamp.request}`
  },
}

const timeout: FuzzTarget = {
  name: 'grpc.timeout',
  seeds: ['1500m', '2S', '99999999H', '1n', '0u'].map((text) => utf8Encode(text)),
  refusals: [],
  read: (input) => parseTimeout(latin1(input)),
  judge: (ms: number | undefined) => {
    if (ms === undefined) return undefined
    if (!Number.isFinite(ms) || ms < 0) return `reads ${ms} ms`
    const again = parseTimeout(formatTimeout(ms))
    return again !== undefined && again >= ms - 1e-6 * ms
      ? undefined
      : `writes ${ms} ms as ${formatTimeout(ms)}`
  },
}

const statusText: FuzzTarget = {
  name: 'grpc.status-text',
  seeds: ['plain', '%E2%82%AC', '50%25', '%zz %'].map((text) => utf8Encode(text)),
  refusals: [],
  read: (input) => decodeGrpcMessage(latin1(input)),
  judge: (text: string) =>
    decodeGrpcMessage(encodeGrpcMessage(text)) === text ? undefined : 'does not keep a text',
}
