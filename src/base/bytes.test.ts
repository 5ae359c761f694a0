import assert from 'node:assert/strict'
import test from 'node:test'
import { bytesFromLatin1, latin1FromBytes, SeededRandom, utf8Encode } from './index.ts'

/** Around what is made of a few bytes, of one part, of several. */
const lengths = [0, 1, 2, 31, 32, 33, 34, 4_095, 4_096, 4_097, 8_191, 8_192, 8_193, 12_289]

/** A character at a time. */
function plainLatin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
}

function requireSame(bytes: Uint8Array, detail: string): void {
  const text = latin1FromBytes(bytes)
  // Not `equal`: it would print a mebibyte.
  assert.ok(text === plainLatin1(bytes), detail)
  assert.deepEqual(bytesFromLatin1(text), bytes, detail)
}

test('every byte is one character, alone and among others', () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i)
  requireSame(all, 'all')
  for (const byte of all) {
    for (const length of [1, 32, 33]) requireSame(new Uint8Array(length).fill(byte), `${length} of ${byte}`)
  }
})

test('a text of any length is that of a character at a time', () => {
  const random = new SeededRandom(20_261_122)
  for (const length of lengths) {
    for (const [bytesAre, end] of Object.entries({ ASCII: 0x80, any: 0x100 })) {
      const bytes = Uint8Array.from({ length: length + 3 }, () => random.between(0, end))
      requireSame(bytes.slice(3), `${length} bytes, ${bytesAre}`)
      requireSame(bytes.subarray(2, 2 + length), `${length} bytes, ${bytesAre}, as a view`)
    }
  }
})

test('one byte that is not ASCII counts, wherever it stands', () => {
  for (const length of lengths) {
    for (const at of new Set([0, 1, 32, 4_095, 4_096, length - 2, length - 1])) {
      if (at < 0 || at >= length) continue
      for (const byte of [0x80, 0xff]) {
        const bytes = new Uint8Array(length).fill(0x61)
        bytes[at] = byte
        requireSame(bytes, `${byte} at ${at} of ${length} bytes`)
      }
    }
  }
})

test('what is UTF-8, with a byte order mark before it or without, is not read as such', () => {
  for (const text of ['\u00e9', '\u20ac', '\u{1f600}', '\ufeff']) {
    for (const count of [1, 8, 20, 1_400, 5_000]) {
      requireSame(utf8Encode(text.repeat(count)), `${count} times ${text}`)
    }
  }
  requireSame(utf8Encode(`\ufeff${'a'.repeat(5_000)}`), 'a mark before ASCII')
})

test('a text of a mebibyte needs no call with as many arguments', () => {
  const bytes = new Uint8Array(1024 * 1024 + 1).fill(0xe9)
  requireSame(bytes, 'not ASCII')
  requireSame(bytes.fill(0x7f), 'ASCII')
})
