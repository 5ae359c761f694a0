import { ByteReader, ByteWriter, crc32c, QuorateError } from '../base/index.ts'

/** "QUORATEL": the first eight bytes of every segment. */
const magic: Uint8Array = Uint8Array.of(0x51, 0x55, 0x4f, 0x52, 0x41, 0x54, 0x45, 0x4c)
const formatVersion = 1
/** Magic, version and size: these stand at the same place in all versions, and so does the checksum, at the end. */
const prefixBytes = 16
const fixedBytes = 48
const checksumBytes = 4
const headerBytesMax = 64 * 1024 * 1024

/**
 * What stands at the front of a segment file. It is complete and durable before the file gets its name.
 * Shape: magic[8] | u32 version | u32 header size | u64 cluster | u64 node | u53 sequence | u32 previous checksum |
 *        u32 previous end | preamble | u32 crc32c of all before
 */
export interface SegmentHeader {
  readonly clusterId: bigint
  readonly nodeId: bigint
  readonly sequence: number
  /** Checksum of the header of the segment before, and where the content of that one ends. Zero in the first. */
  readonly previousChecksum: number
  readonly previousEnd: number
  /** Bytes of the owner of the content, opaque here. */
  readonly preamble: Uint8Array
}

export function encodeSegmentHeader(header: SegmentHeader): { bytes: Uint8Array; checksum: number } {
  const size = fixedBytes + header.preamble.length + checksumBytes
  const writer = new ByteWriter(size)
  writer.raw(magic)
  writer.u32(formatVersion)
  writer.u32(size)
  writer.u64(header.clusterId)
  writer.u64(header.nodeId)
  writer.u53(header.sequence)
  writer.u32(header.previousChecksum)
  writer.u32(header.previousEnd)
  writer.raw(header.preamble)
  const checksum = crc32c(writer.view())
  writer.u32(checksum)
  return { bytes: writer.copy(), checksum }
}

/** Bytes to read before the size of the header is known. */
export const segmentHeaderPrefixBytes: number = prefixBytes

/** Size of the whole header, from its first bytes; undefined when they are no header at all. */
export function segmentHeaderSize(prefix: Uint8Array): number | undefined {
  if (prefix.length < prefixBytes) return undefined
  for (let i = 0; i < magic.length; i++) if (prefix[i] !== magic[i]) return undefined
  const reader = new ByteReader(prefix, 12)
  const size = reader.u32()
  return size < prefixBytes + checksumBytes || size > headerBytesMax ? undefined : size
}

/**
 * The header and its checksum; undefined when it is damaged. Error: `format-unsupported`, for a header that is whole
 * and of a version this program does not know.
 */
export function decodeSegmentHeader(
  bytes: Uint8Array,
): { header: SegmentHeader; checksum: number } | undefined {
  const checksum = new ByteReader(bytes, bytes.length - checksumBytes).u32()
  if (crc32c(bytes, 0, 0, bytes.length - checksumBytes) !== checksum) return undefined
  const reader = new ByteReader(bytes, 8)
  const version = reader.u32()
  if (version !== formatVersion) {
    throw new QuorateError(
      'format-unsupported',
      `segment format ${version} is unknown, this program reads ${formatVersion}`,
    )
  }
  if (reader.u32() < fixedBytes + checksumBytes) return undefined
  const clusterId = reader.u64()
  const nodeId = reader.u64()
  const sequence = reader.u53()
  const previousChecksum = reader.u32()
  const previousEnd = reader.u32()
  const preamble = reader.raw(reader.remaining - checksumBytes)
  return { header: { clusterId, nodeId, sequence, previousChecksum, previousEnd, preamble }, checksum }
}
