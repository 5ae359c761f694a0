import { assert } from './assert.ts'

export const emptyBytes: Uint8Array = new Uint8Array(0)

/** Negative, zero or positive: unsigned byte order, a prefix before what extends it. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length)
  for (let i = 0; i < length; i++) {
    const difference = (left[i] as number) - (right[i] as number)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && compareBytes(left, right) === 0
}

/** The same bytes in memory of their own. Not `slice()`, which on a Buffer is a view. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let size = 0
  for (const part of parts) size += part.length
  const whole = new Uint8Array(size)
  let position = 0
  for (const part of parts) {
    whole.set(part, position)
    position += part.length
  }
  return whole
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function utf8Encode(text: string): Uint8Array {
  return encoder.encode(text)
}

/** The text, or undefined when the bytes are no UTF-8. */
export function utf8Decode(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** One character a byte (U+0000..U+00FF): a Map key whose string order is the order of the bytes. */
export function latin1FromBytes(bytes: Uint8Array): string {
  let text = ''
  // Most are a few bytes, for which a call of anything costs more than the text.
  if (bytes.length <= 32) {
    for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number)
    return text
  }
  if (isAscii(bytes)) return decoder.decode(bytes)
  for (let start = 0; start < bytes.length; start += 4096) {
    text += String.fromCharCode.apply(null, bytes.subarray(start, start + 4096) as unknown as number[])
  }
  return text
}

/** Of such bytes the text is the same in UTF-8, for which there is a fast way: 3 us for 4,000 of them instead of 100. */
function isAscii(bytes: Uint8Array): boolean {
  let all = 0
  for (let i = 0; i < bytes.length; i++) all |= bytes[i] as number
  return all < 0x80
}

export function bytesFromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** Readable in tests and logs: printable ASCII stays, the rest is \xNN, a backslash doubles. */
export function printableBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    if (byte === 0x5c) text += '\\\\'
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte)
    else text += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}

export function hexFromBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}

export function bytesFromHex(text: string): Uint8Array {
  assert(text.length % 2 === 0 && /^[0-9a-f]*$/i.test(text), 'hexadecimal text has pairs of digits')
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}
