import {
  assert,
  ByteReader,
  ByteWriter,
  crc32c,
  equalBytes,
  formatId,
  isQuorateError,
  utf8Encode,
} from '../base/index.ts'
import type { SnapshotMark } from '../raft/index.ts'

/**
 * The bytes of a snapshot file; docs/formats/snapshot.md has every one.
 *
 *   file:    header chunk* trailer
 *   header:  magic[8] version:u16 0:u16 size:u32 cluster:u64 group:u32 chain:u32 index:u53 term:u53
 *            configurationIndex:u53 voters:u16 outgoing:u16 learners:u16 0:u16 contextSize:u32 id:u64* context
 *            checksum:u32
 *   chunk:   size:u32 running:u32 bytes
 *   trailer: 0xffffffff:u32 chunks:u53 bytes:u53 running:u32 checksum:u32
 *
 * `running` is the checksum of everything up to and including this chunk: it starts as the header's checksum and goes
 * on over each chunk's size and bytes. So a chunk that is missing, doubled or out of place is found where it stands,
 * and every byte is summed once.
 */
export const headerFixedSize = 68
export const headerSizeMax: number = 1024 * 1024
export const chunkPrefixSize = 8
export const chunkSizeMax: number = 16 * 1024 * 1024
export const trailerSize = 28

const magic = utf8Encode('QUORSNAP')
const version = 1
const trailerMark = 0xffff_ffff
const membersMax = 0xffff

export interface SnapshotHeader {
  readonly clusterId: bigint
  readonly group: number
  readonly mark: SnapshotMark
}

export interface SnapshotTrailer {
  readonly chunks: number
  readonly bytes: number
  readonly running: number
}

/** Why bytes are no header or trailer, in words; a format of the future is no damage. */
export type Refusal = { readonly reason: string; readonly isUnsupported: boolean }

export function encodeHeader({ clusterId, group, mark }: SnapshotHeader): Uint8Array {
  const { voters, outgoing, learners, context } = mark.configuration
  const size = headerFixedSize + 8 * (voters.length + outgoing.length + learners.length) + context.length + 4
  assert(size <= headerSizeMax, `a snapshot header has at most ${headerSizeMax} bytes, not ${size}`)
  const writer = new ByteWriter(size)
  writer.raw(magic)
  writer.u16(version)
  writer.u16(0)
  writer.u32(size)
  writer.u64(clusterId)
  writer.u32(group)
  writer.u32(mark.end.chain)
  writer.u53(mark.end.index)
  writer.u53(mark.end.term)
  writer.u53(mark.configurationIndex)
  for (const members of [voters, outgoing, learners]) {
    assert(members.length <= membersMax, `at most ${membersMax} members of a kind`)
    writer.u16(members.length)
  }
  writer.u16(0)
  writer.u32(context.length)
  for (const members of [voters, outgoing, learners]) for (const id of members) writer.u64(id)
  writer.raw(context)
  writer.u32(crc32c(writer.view()))
  assert(writer.size === size, 'the header has the size it states')
  return writer.copy()
}

/** Size of the whole header from its first `headerFixedSize` bytes; the checksum is not looked at yet. */
export function headerSizeOf(fixed: Uint8Array): number | Refusal {
  const reader = new ByteReader(fixed)
  if (!equalBytes(reader.raw(magic.length), magic)) return refusal('it does not begin as a snapshot')
  const found = reader.u16()
  if (found !== version)
    return { reason: `it has format version ${found}, not ${version}`, isUnsupported: true }
  reader.u16()
  const size = reader.u32()
  if (size < headerFixedSize + 4 || size > headerSizeMax)
    return refusal(`it states a header of ${size} bytes`)
  return size
}

/** `bytes` is exactly the header. */
export function decodeHeader(bytes: Uint8Array): SnapshotHeader | Refusal {
  const checksumAt = bytes.length - 4
  const stored = new ByteReader(bytes, checksumAt).u32()
  if (stored !== crc32c(bytes, 0, 0, checksumAt)) return refusal('the checksum of its header is wrong')
  try {
    const reader = new ByteReader(bytes, 16, checksumAt)
    const clusterId = reader.u64()
    const group = reader.u32()
    const chain = reader.u32()
    const end = { index: reader.u53(), term: reader.u53(), chain }
    const configurationIndex = reader.u53()
    const [voterCount, outgoingCount, learnerCount] = [reader.u16(), reader.u16(), reader.u16()]
    reader.u16()
    const contextSize = reader.u32()
    const ids = (count: number): bigint[] => Array.from({ length: count }, () => reader.u64())
    const [voters, outgoing, learners] = [ids(voterCount), ids(outgoingCount), ids(learnerCount)]
    const context = reader.raw(contextSize).slice()
    reader.finish('a snapshot header')
    return {
      clusterId,
      group,
      mark: { end, configurationIndex, configuration: { voters, outgoing, learners, context } },
    }
  } catch (error) {
    if (isQuorateError(error, 'frame-malformed'))
      return refusal(`its header cannot be read: ${error.message}`)
    throw error
  }
}

/** The running checksum before the first chunk. */
export function runningStart(header: Uint8Array): number {
  return new ByteReader(header, header.length - 4).u32()
}

export function runningAfter(running: number, chunk: Uint8Array): number {
  sizeView.setUint32(0, chunk.length, true)
  return crc32c(chunk, crc32c(sizeBytes, running))
}
const sizeBytes = new Uint8Array(4)
const sizeView = new DataView(sizeBytes.buffer)

/** Appends a chunk and returns the running checksum after it. */
export function encodeChunk(writer: ByteWriter, chunk: Uint8Array, running: number): number {
  assert(chunk.length <= chunkSizeMax, `a chunk has at most ${chunkSizeMax} bytes, not ${chunk.length}`)
  const after = runningAfter(running, chunk)
  writer.u32(chunk.length)
  writer.u32(after)
  writer.raw(chunk)
  return after
}

export function encodeTrailer({ chunks, bytes, running }: SnapshotTrailer): Uint8Array {
  const writer = new ByteWriter(trailerSize)
  writer.u32(trailerMark)
  writer.u53(chunks)
  writer.u53(bytes)
  writer.u32(running)
  writer.u32(crc32c(writer.view()))
  return writer.copy()
}

/** True when the bytes after a chunk begin a trailer and not another chunk. */
export function isTrailerMark(size: number): boolean {
  return size === trailerMark
}

export function decodeTrailer(bytes: Uint8Array): SnapshotTrailer | Refusal {
  assert(bytes.length === trailerSize, 'a trailer has a fixed size')
  const reader = new ByteReader(bytes)
  const mark = reader.u32()
  const stored = new ByteReader(bytes, trailerSize - 4).u32()
  if (mark !== trailerMark || stored !== crc32c(bytes, 0, 0, trailerSize - 4)) {
    return refusal('it does not end with a trailer')
  }
  try {
    return { chunks: reader.u53(), bytes: reader.u53(), running: reader.u32() }
  } catch (error) {
    if (isQuorateError(error, 'frame-malformed')) return refusal('its trailer cannot be read')
    throw error
  }
}

function refusal(reason: string): Refusal {
  return { reason, isUnsupported: false }
}

export function isRefusal(value: object): value is Refusal {
  return 'reason' in value
}

// ---- names ---------------------------------------------------------------------------------------------------------

/**
 * Sorted names are sorted marks. A file being received also has the mark's chain and the file's size in its name, so
 * that an attempt is only ever taken up with bytes of the same mark and size.
 */
export type FileKind = 'snapshot' | 'saving' | 'receiving'
export interface ParsedName {
  readonly kind: FileKind
  readonly group: number
  readonly index: number
  readonly term: number
}

const namePattern =
  /^([0-9a-f]{8})-([0-9a-f]{16})-([0-9a-f]{16})(?:-[0-9a-f]{8}-[0-9a-f]{16})?\.(snapshot|saving|receiving)$/

export function snapshotName(group: number, mark: SnapshotMark): string {
  return `${baseName(group, mark)}.snapshot`
}

export function savingName(group: number, mark: SnapshotMark): string {
  return `${baseName(group, mark)}.saving`
}

export function receivingName(group: number, mark: SnapshotMark, sizeBytes: number): string {
  return `${baseName(group, mark)}-${hex(mark.end.chain, 8)}-${hex(sizeBytes, 16)}.receiving`
}

export function parseName(name: string): ParsedName | undefined {
  const match = namePattern.exec(name)
  if (match === null) return undefined
  const [, group = '', index = '', term = '', kind = ''] = match
  return {
    kind: kind as FileKind,
    group: Number.parseInt(group, 16),
    index: Number.parseInt(index, 16),
    term: Number.parseInt(term, 16),
  }
}

function baseName(group: number, mark: SnapshotMark): string {
  return `${hex(group, 8)}-${hex(mark.end.index, 16)}-${hex(mark.end.term, 16)}`
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}

/** For messages: which snapshot is meant. */
export function describeMark(mark: SnapshotMark): string {
  return `index ${mark.end.index}, term ${mark.end.term}, chain ${mark.end.chain}`
}

export function describeHeader(header: SnapshotHeader): string {
  return `cluster ${formatId(header.clusterId)}, group ${header.group}, ${describeMark(header.mark)}`
}
