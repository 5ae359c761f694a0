import { assert, crc32c } from '../base/index.ts'
import { type EntryKind, entryKind } from '../raft/index.ts'

const recordVersion = 1
export const recordHeaderBytes = 48

/**
 * What a record is. The first three are `entryKind`, the others say what happened to a group's log. The numbers are part
 * of the format.
 */
export const recordKind = {
  noop: 0,
  command: 1,
  configuration: 2,
  /** Entries after (index, term, chain) are no more. */
  truncate: 16,
  /** Entries up to (index, term, chain) were released. */
  release: 17,
  /** The log is empty and goes on after (index, term, chain). */
  reset: 18,
} as const
export type RecordKind = (typeof recordKind)[keyof typeof recordKind]

export function isEntryKind(kind: number): kind is EntryKind {
  return kind <= entryKind.configuration
}

/** What a header says about the record itself. */
export interface RecordFields {
  readonly kind: RecordKind
  readonly group: number
  readonly index: number
  readonly term: number
  readonly payloadBytes: number
  readonly payloadChecksum: number
  readonly chain: number
}

/**
 * Where the batch of a record stands: [syncedThrough, batchEnd) in the segment. All before `syncedThrough` was durable
 * when the batch was written: this is the mark by which recovery tells rot from a torn tail.
 */
export interface BatchPlace {
  readonly syncedThrough: number
  readonly batchEnd: number
}

/**
 * Writes one header at `at`.
 * Shape: u8 version | u8 kind | u16 zero | u32 group | u53 index | u53 term | u32 synced through | u32 batch end |
 *        u32 payload bytes | u32 payload checksum | u32 chain | u32 header checksum
 * The header checksum starts from `seed`, see `recordSeed`.
 */
export function encodeRecordHeader(
  target: { readonly bytes: Uint8Array; readonly view: DataView; readonly at: number },
  fields: RecordFields,
  batch: BatchPlace,
  seed: number,
): void {
  const { bytes, view, at } = target
  view.setUint8(at, recordVersion)
  view.setUint8(at + 1, fields.kind)
  view.setUint16(at + 2, 0, true)
  view.setUint32(at + 4, fields.group, true)
  setU53(view, at + 8, fields.index)
  setU53(view, at + 16, fields.term)
  view.setUint32(at + 24, batch.syncedThrough, true)
  view.setUint32(at + 28, batch.batchEnd, true)
  view.setUint32(at + 32, fields.payloadBytes, true)
  view.setUint32(at + 36, fields.payloadChecksum, true)
  view.setUint32(at + 40, fields.chain, true)
  view.setUint32(at + 44, crc32c(bytes, seed, at, at + 44), true)
}

/**
 * A record validates only in its own segment and at its own position: bytes that were copied from elsewhere, even
 * into the value of an entry, are never taken for a record.
 */
export function recordSeed(segmentChecksum: number, position: number): number {
  return (segmentChecksum ^ position) >>> 0
}

/** A header that was read; one object is used again and again. */
export class RecordHeader implements RecordFields, BatchPlace {
  kind: RecordKind = recordKind.noop
  group = 0
  index = 0
  term = 0
  syncedThrough = 0
  batchEnd = 0
  payloadBytes = 0
  payloadChecksum = 0
  chain = 0

  /** Takes the header at `at` when it is whole and possible; false otherwise. */
  decode(bytes: Uint8Array, view: DataView, at: number, seed: number): boolean {
    if (bytes[at] !== recordVersion || !isRecordKind(bytes[at + 1] as number)) return false
    if (crc32c(bytes, seed, at, at + 44) !== view.getUint32(at + 44, true)) return false
    const indexHigh = view.getUint32(at + 12, true)
    const termHigh = view.getUint32(at + 20, true)
    if (view.getUint16(at + 2, true) !== 0 || indexHigh >= 0x20_0000 || termHigh >= 0x20_0000) return false
    this.kind = bytes[at + 1] as RecordKind
    this.group = view.getUint32(at + 4, true)
    this.index = indexHigh * 0x1_0000_0000 + view.getUint32(at + 8, true)
    this.term = termHigh * 0x1_0000_0000 + view.getUint32(at + 16, true)
    this.syncedThrough = view.getUint32(at + 24, true)
    this.batchEnd = view.getUint32(at + 28, true)
    this.payloadBytes = view.getUint32(at + 32, true)
    this.payloadChecksum = view.getUint32(at + 36, true)
    this.chain = view.getUint32(at + 40, true)
    return true
  }
}

function isRecordKind(kind: number): kind is RecordKind {
  return isEntryKind(kind) || (kind >= recordKind.truncate && kind <= recordKind.reset)
}

function setU53(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a counter is a safe, non-negative whole number')
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true)
}
