import assert from 'node:assert/strict'
import test from 'node:test'
import { crc32c, SeededRandom } from './index.ts'

/** A bit at a time. */
function plainCrc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

test('the examples of RFC 3720 appendix B.4', () => {
  const count = (value: (i: number) => number): Uint8Array =>
    Uint8Array.from({ length: 32 }, (_, i) => value(i))
  assert.equal(crc32c(count(() => 0)), 0x8a91_36aa)
  assert.equal(crc32c(count(() => 0xff)), 0x62a8_ab43)
  assert.equal(crc32c(count((i) => i)), 0x46dd_794e)
  assert.equal(crc32c(count((i) => 31 - i)), 0x113f_db5c)
})

test('any length from any place, whole or in parts, is that of a bit at a time', () => {
  const random = new SeededRandom(20_251_122)
  const all = Uint8Array.from({ length: 2_000 }, () => random.between(0, 256))
  for (let length = 0; length < 1_100; length++) {
    const start = random.between(0, all.length - length + 1)
    const end = start + length
    const expected = plainCrc32c(all.subarray(start, end))
    assert.equal(crc32c(all, 0, start, end), expected, `${length} from ${start}`)
    const middle = random.between(start, end + 1)
    assert.equal(crc32c(all, crc32c(all, 0, start, middle), middle, end), expected, `in parts, at ${middle}`)
    assert.equal(crc32c(all.subarray(start, end)), expected, 'as a view')
  }
})
