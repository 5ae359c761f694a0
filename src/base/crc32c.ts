/**
 * CRC-32C (Castagnoli), slice by eight, and by sixteen where it is worth a view. The one checksum of all formats.
 * Source: RFC 3720 appendix B.4; reflected polynomial 0x82f63b78.
 */
const slices = 16
/** Of 16 slices of 256: what a byte adds that so many further bytes follow. */
const table: Int32Array = buildTable()
/** From here on reading 32 bits at once saves more than the view costs. */
const viewedBytesMin = 512

function buildTable(): Int32Array {
  const built = new Int32Array(slices * 256)
  for (let byte = 0; byte < 256; byte++) {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
    built[byte] = value
  }
  for (let at = 256; at < built.length; at++) {
    const value = built[at - 256] as number
    built[at] = (value >>> 8) ^ (built[value & 0xff] as number)
  }
  return built
}

/** Checksum of bytes [start, end). Pass the result of an earlier part as `seed` to go on. Unsigned 32 bits. */
export function crc32c(bytes: Uint8Array, seed = 0, start = 0, end: number = bytes.length): number {
  let crc = ~seed
  let i = start
  if (end - start >= viewedBytesMin) {
    const size = (end - start) & ~(slices - 1)
    crc = bySixteen(crc, new DataView(bytes.buffer, bytes.byteOffset + start, size))
    i += size
  }
  for (const last = end - 8; i <= last; i += 8) {
    crc ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    crc =
      (table[0x700 | (crc & 0xff)] as number) ^
      (table[0x600 | ((crc >>> 8) & 0xff)] as number) ^
      (table[0x500 | ((crc >>> 16) & 0xff)] as number) ^
      (table[0x400 | (crc >>> 24)] as number) ^
      (table[0x300 | (bytes[i + 4] as number)] as number) ^
      (table[0x200 | (bytes[i + 5] as number)] as number) ^
      (table[0x100 | (bytes[i + 6] as number)] as number) ^
      (table[bytes[i + 7] as number] as number)
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[i] as number)) & 0xff] as number)
  return ~crc >>> 0
}

function bySixteen(before: number, view: DataView): number {
  let crc = before
  for (let i = 0; i < view.byteLength; i += slices) {
    const a = crc ^ view.getInt32(i, true)
    const b = view.getInt32(i + 4, true)
    const c = view.getInt32(i + 8, true)
    const d = view.getInt32(i + 12, true)
    crc = ofWord(a, 0xc00) ^ ofWord(b, 0x800) ^ ofWord(c, 0x400) ^ ofWord(d, 0)
  }
  return crc
}

/** Four bytes, the last of which has `slice` / 256 bytes of the sixteen behind it. */
function ofWord(word: number, slice: number): number {
  return (
    (table[slice + 0x300 + (word & 0xff)] as number) ^
    (table[slice + 0x200 + ((word >>> 8) & 0xff)] as number) ^
    (table[slice + 0x100 + ((word >>> 16) & 0xff)] as number) ^
    (table[slice + (word >>> 24)] as number)
  )
}
