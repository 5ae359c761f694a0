// Keys and ranges in the words of the etcd API.
import type { Message, Value } from './protobuf.ts'

export function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

/** The end of the range of all keys that start with `prefix`. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = Buffer.from(prefix)
  for (let i = end.length - 1; i >= 0; i--) {
    const byte = end[i] ?? 0
    if (byte === 0xff) continue
    end[i] = byte + 1
    return end.subarray(0, i + 1)
  }
  return Buffer.from([0])
}

export function prefixRange(prefix: string): { key: Uint8Array; range_end: Uint8Array } {
  const key = bytes(prefix)
  return { key, range_end: prefixEnd(key) }
}

export const allKeys: { key: Uint8Array; range_end: Uint8Array } = {
  key: Buffer.from([0]),
  range_end: Buffer.from([0]),
}

export function revisionOf(message: Message): number {
  return numberOf(messageOf(message.header).revision)
}

export function numberOf(value: Value | undefined): number {
  return typeof value === 'number' ? value : 0
}

export function messageOf(value: Value | undefined): Message {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array) ? value : {}
}

export function messagesOf(value: Value | undefined): Message[] {
  return Array.isArray(value) ? value.map(messageOf) : []
}

export function bytesOf(value: Value | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0)
}
