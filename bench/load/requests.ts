// What the load sends. A request is rendered once; what differs from one to the next are its stream and its keys.
import { type HeaderList, HpackEncoder, headerList } from '../../src/hpack/index.ts'
import { frameBytesMax, frameFlag, frameHeaderBytes, frameType } from '../../src/http2/frame.ts'
import { type MethodName, methods } from '../../test/support/etcd-messages.ts'
import { prefixRange } from '../../test/support/keys.ts'
import { encode, type Message } from '../../test/support/protobuf.ts'

/** What names one key that is drawn. */
export const keyOperationNames = ['put', 'range', 'range-serializable', 'txn'] as const
export type KeyOperationName = (typeof keyOperationNames)[number]
export type OperationName = KeyOperationName | 'range-all'
export const operationNames: readonly OperationName[] = [...keyOperationNames, 'range-all']

export interface RequestOptions {
  readonly operation: OperationName
  readonly authority: string
  /** Keys are drawn from this many: `/bench/000000000` and so on. */
  readonly keyCount: number
  readonly valueBytes: number
}

const keyPrefix = '/bench/'
const keyDigits = 9

/** The key that is drawn with this index. */
export function loadKey(index: number): Uint8Array {
  return Buffer.from(`${keyPrefix}${String(index).padStart(keyDigits, '0')}`)
}

/** The prefix of every key that is drawn. */
export const loadKeys: { key: Uint8Array; range_end: Uint8Array } = prefixRange(keyPrefix)

/** The index of the key of `loadKey` that ends at `end`. */
export function keyIndexAt(bytes: Uint8Array, end: number): number {
  let index = 0
  for (let at = end - keyDigits; at < end; at++) index = index * 10 + (bytes[at] as number) - 0x30
  return index
}

/** The key that stands in a request before one is drawn; no other bytes of a request look like it. */
const anyKey = Buffer.from(`${keyPrefix}${'?'.repeat(keyDigits)}`)

/** The frames of one request, to be copied and completed with `complete`. */
export class RequestTemplate {
  readonly bytes: Uint8Array
  /** Bytes that count against the windows of the server. */
  readonly dataBytes: number
  readonly #dataAt: number
  readonly #keysAt: readonly number[]

  /** `block`: the headers, as they are at this place of the connection. */
  constructor(block: Uint8Array, body: Uint8Array) {
    const message = Buffer.concat([Buffer.alloc(5), body])
    if (message.length > frameBytesMax)
      throw new Error(`a request of over ${frameBytesMax} bytes is beyond this load`)
    message.writeUInt32BE(body.length, 1)
    this.dataBytes = message.length
    this.#dataAt = frameHeaderBytes + block.length
    this.bytes = Buffer.concat([
      frameHeader(block.length, frameType.headers, frameFlag.endHeaders),
      block,
      frameHeader(message.length, frameType.data, frameFlag.endStream),
      message,
    ])
    this.#keysAt = placesOf(this.bytes, anyKey).map((at) => at + keyPrefix.length)
  }

  /** Writes stream and key into a copy that begins at `at`. The same key stands wherever the request names one. */
  complete(target: Buffer, at: number, stream: number, keyIndex: number): void {
    target.writeUInt32BE(stream, at + 5)
    target.writeUInt32BE(stream, at + this.#dataAt + 5)
    for (const keyAt of this.#keysAt) {
      let rest = keyIndex
      for (let digit = keyDigits - 1; digit >= 0; digit--) {
        target[at + keyAt + digit] = 0x30 + (rest % 10)
        rest = (rest / 10) | 0
      }
    }
  }
}

/** The first request of a connection names its headers, the later ones refer to them. */
export function renderRequests(options: RequestOptions): { first: RequestTemplate; later: RequestTemplate } {
  const { method, message } = requestOf(options)
  const { path, request } = methods[method]
  const headers = requestHeaders(path, options.authority)
  const encoder = new HpackEncoder()
  const body = encode(message, request)
  const first = new RequestTemplate(encoder.encodeConstant(headers), body)
  return { first, later: new RequestTemplate(encoder.encodeConstant(headers), body) }
}

export function requestHeaders(path: string, authority: string): HeaderList {
  return headerList([
    ...[':method', 'POST', ':scheme', 'http', ':path', path, ':authority', authority],
    ...['content-type', 'application/grpc', 'te', 'trailers', 'user-agent', 'quorate-bench'],
  ])
}

function requestOf({ operation, valueBytes }: RequestOptions): { method: MethodName; message: Message } {
  const put = { key: anyKey, value: Buffer.alloc(valueBytes, 'v') }
  switch (operation) {
    case 'put':
      return { method: 'put', message: put }
    case 'range':
      return { method: 'range', message: { key: anyKey } }
    case 'range-serializable':
      return { method: 'range', message: { key: anyKey, serializable: true } }
    case 'range-all':
      return { method: 'range', message: loadKeys }
    case 'txn':
      return { method: 'txn', message: transactionOf(put) }
  }
}

/** Compares, puts and gets the key of the put; the comparison holds for every key that was ever written. */
export function transactionOf(put: { key: Uint8Array; value: Uint8Array }): Message {
  const { key } = put
  const [greater, version] = [1, 0]
  return {
    compare: [{ key, result: greater, target: version, version: 0 }],
    success: [{ request_put: put }, { request_range: { key } }],
    failure: [{ request_range: { key } }],
  }
}

export function frameHeader(length: number, type: number, flags: number): Uint8Array {
  return Uint8Array.of(length >>> 16, length >>> 8, length, type, flags, 0, 0, 0, 0)
}

function placesOf(bytes: Uint8Array, wanted: Buffer): number[] {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const places: number[] = []
  for (let at = all.indexOf(wanted); at >= 0; at = all.indexOf(wanted, at + 1)) places.push(at)
  return places
}
