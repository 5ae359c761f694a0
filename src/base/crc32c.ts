/**
 * CRC-32C (Castagnoli), slice by eight. The one checksum of all formats.
 * Source: RFC 3720 appendix B.4; reflected polynomial 0x82f63b78.
 */
const tables: Uint32Array[] = buildTables()

function buildTables(): Uint32Array[] {
  const built = Array.from({ length: 8 }, () => new Uint32Array(256))
  const [first] = built as [Uint32Array]
  for (let byte = 0; byte < 256; byte++) {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
    first[byte] = value >>> 0
  }
  for (let slice = 1; slice < 8; slice++) {
    const table = built[slice] as Uint32Array
    const previous = built[slice - 1] as Uint32Array
    for (let byte = 0; byte < 256; byte++) {
      const value = previous[byte] as number
      table[byte] = ((value >>> 8) ^ (first[value & 0xff] as number)) >>> 0
    }
  }
  return built
}

const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
]

/** Checksum of bytes [start, end). Pass the result of an earlier part as `seed` to go on. Unsigned 32 bits. */
export function crc32c(bytes: Uint8Array, seed = 0, start = 0, end: number = bytes.length): number {
  let crc = ~seed
  let i = start
  for (const last = end - 8; i <= last; i += 8) {
    crc ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    crc =
      (t7[crc & 0xff] as number) ^
      (t6[(crc >>> 8) & 0xff] as number) ^
      (t5[(crc >>> 16) & 0xff] as number) ^
      (t4[crc >>> 24] as number) ^
      (t3[bytes[i + 4] as number] as number) ^
      (t2[bytes[i + 5] as number] as number) ^
      (t1[bytes[i + 6] as number] as number) ^
      (t0[bytes[i + 7] as number] as number)
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ (t0[(crc ^ (bytes[i] as number)) & 0xff] as number)
  return ~crc >>> 0
}
