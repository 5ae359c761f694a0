import { assert, ByteReader, emptyBytes, type LeaseId, QuorateError, Slab } from '../base/index.ts'
import type { KeyValue } from './contract.ts'

/**
 * Bytes of the rows in the key index and in the tables `links`, `history` and `revisions`; docs/formats/state.md has
 * every byte. They are read and written at every put, so this is done by hand and without objects in between where that is
 * natural.
 */

/** Rows are let go together, once the store has them durably. */
const slab = new Slab()

// ---- revisions: (revision, sub) -> record ---------------------------------------------------------------------

/** u64 revision | u32 sub, both big-endian, so that rows sort by them. */
export const revisionKeySize = 12

export function revisionKey(revision: number, sub: number): Uint8Array {
  const key = new Uint8Array(revisionKeySize)
  writeRevision(key, 0, revision, sub)
  return key
}

/** The same, in an array that is there already. */
export function setRevisionKey(key: Uint8Array, revision: number, sub: number): void {
  writeRevision(key, 0, revision, sub)
}

export function revisionOfKey(key: Uint8Array): number {
  return readU64BigEndian(key, key.length - revisionKeySize)
}

export function subOfKey(key: Uint8Array): number {
  return readU32BigEndian(key, key.length - 4)
}

/** As the key of the row before. */
const predecessorSize = revisionKeySize

const recordPut = 1
const recordTombstone = 2
const recordPutWithLease = 3

/** Everything about one change. A tombstone has version 0 and no value. */
export interface Record {
  readonly isPut: boolean
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly createRevision: number
  readonly version: number
  readonly lease: LeaseId
}

/**
 * A row of `revisions`: the record, and where the version before it is. A record is the same on all replicas, the rest is not: a
 * version that was compacted before a replica came has never been there.
 *   record = u8 kind | varint create revision | varint version | [u64 lease] | varint key size | key | value
 *   row = record | u64 revision | u32 sub of the version that it took the place of, as in keys; zeros: of none
 */
export function encodePut(record: Record, old: Uint8Array | undefined): Uint8Array {
  const { key, value, createRevision, version, lease } = record
  const leaseSize = lease === 0n ? 0 : 8
  const headSize = 1 + varintSize(createRevision) + varintSize(version) + leaseSize + varintSize(key.length)
  const bytes = slab.take(headSize + key.length + value.length + predecessorSize)
  bytes[0] = lease === 0n ? recordPut : recordPutWithLease
  let at = writeVarint(bytes, 1, createRevision)
  at = writeVarint(bytes, at, version)
  if (lease !== 0n) {
    writeU32(bytes, at, Number(lease & 0xffff_ffffn))
    writeU32(bytes, at + 4, Number(lease >> 32n))
    at += 8
  }
  at = writeVarint(bytes, at, key.length)
  bytes.set(key, at)
  bytes.set(value, at + key.length)
  writePredecessor(bytes, old)
  return bytes
}

export function encodeTombstone(key: Uint8Array, old: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + key.length + predecessorSize)
  bytes[0] = recordTombstone
  bytes.set(key, 1)
  writePredecessor(bytes, old)
  return bytes
}

/** The row of a record that another replica made. */
export function rowOfRecord(record: Uint8Array, old: Uint8Array | undefined): Uint8Array {
  const bytes = slab.take(record.length + predecessorSize)
  bytes.set(record)
  writePredecessor(bytes, old)
  return bytes
}

/** Bytes of the record that a row begins with. */
export function recordSize(row: Uint8Array): number {
  return row.length - predecessorSize
}

/** Of the record at the beginning of a row. */
export function decodeRow(row: Uint8Array): Record {
  return decodeRecord(row.subarray(0, recordSize(row)))
}

/** Of the version that the one in this row took the place of; 0: of none. */
export function predecessorRevision(row: Uint8Array): number {
  return readU64BigEndian(row, recordSize(row))
}

export function predecessorSub(row: Uint8Array): number {
  return readU32BigEndian(row, row.length - 4)
}

/** `old`: the live row before the change. */
function writePredecessor(row: Uint8Array, old: Uint8Array | undefined): void {
  if (old !== undefined) writeRevision(row, recordSize(row), rowModRevision(old), rowSub(old))
}

export function decodeRecord(bytes: Uint8Array): Record {
  const kind = bytes[0]
  if (kind === recordTombstone) {
    const key = bytes.subarray(1)
    return { isPut: false, key, value: emptyBytes, createRevision: 0, version: 0, lease: 0n }
  }
  if (kind !== recordPut && kind !== recordPutWithLease) {
    throw new QuorateError('data-damaged', `a revision record has the unknown kind ${kind}`)
  }
  const reader = new ByteReader(bytes, 1)
  const createRevision = reader.varint()
  const version = reader.varint()
  const lease = kind === recordPutWithLease ? reader.u64() : 0n
  const key = reader.sized()
  return { isPut: true, key, value: bytes.subarray(reader.position), createRevision, version, lease }
}

export function pairOfRecord(record: Record, modRevision: number): KeyValue {
  const { key, value, createRevision, version, lease } = record
  return { key, value, createRevision, modRevision, version, lease }
}

// ---- the key index: form -> where the newest version is ---------------------------------------------------------

export const liveRowSize = 36
const liveRow = new Uint8Array(liveRowSize)

/** u64 mod revision | u32 sub | u64 create revision | u64 version | u64 lease, little-endian. Only ever in memory. */
export interface LiveRow {
  readonly modRevision: number
  readonly sub: number
  readonly createRevision: number
  readonly version: number
  readonly lease: LeaseId
}

/** In the same array each time: the index copies it. */
export function encodeLiveRow(row: LiveRow): Uint8Array {
  const bytes = liveRow
  writeU64(bytes, 0, row.modRevision)
  writeU32(bytes, 8, row.sub)
  writeU64(bytes, 12, row.createRevision)
  writeU64(bytes, 20, row.version)
  const hasLease = row.lease !== 0n
  writeU32(bytes, 28, hasLease ? Number(row.lease & 0xffff_ffffn) : 0)
  writeU32(bytes, 32, hasLease ? Number(row.lease >> 32n) : 0)
  return bytes
}

export function rowModRevision(row: Uint8Array): number {
  return readU64(row, 0)
}
export function rowSub(row: Uint8Array): number {
  return readU32(row, 8)
}
export function rowCreateRevision(row: Uint8Array): number {
  return readU64(row, 12)
}
export function rowVersion(row: Uint8Array): number {
  return readU64(row, 20)
}
export function rowLease(row: Uint8Array): LeaseId {
  const low = readU32(row, 28)
  const high = readU32(row, 32)
  return low === 0 && high === 0 ? 0n : (BigInt(high) << 32n) | BigInt(low)
}

// ---- links: what row keys have in common -> layer ------------------------------------------------------------------

/** u32 layer: the rest of all row keys with these bytes in common is there. */
export function encodeLink(child: number): Uint8Array {
  const bytes = new Uint8Array(4)
  writeU32(bytes, 0, child)
  return bytes
}

export function linkChild(row: Uint8Array): number {
  assert(row.length === 4, 'a link row has four bytes')
  return readU32(row, 0)
}

// ---- history: row key | revision key -> put or tombstone -------------------------------------------------------

/**
 * Of the versions that are not live any more `history` has only each eighth of a key and the tombstones: where a search begins,
 * that goes on from version to version before.
 */
const historyEvery = 8

export function isInHistory(version: number): boolean {
  return version % historyEvery === 0
}

export const historyPut: Uint8Array = Uint8Array.of(1)
export const historyTombstone: Uint8Array = Uint8Array.of(2)

export function historyKey(rowKey: Uint8Array, revision: number, sub: number): Uint8Array {
  const key = new Uint8Array(rowKey.length + revisionKeySize)
  key.set(rowKey)
  writeRevision(key, rowKey.length, revision, sub)
  return key
}

export function rowKeyOfHistory(key: Uint8Array): Uint8Array {
  return key.subarray(0, key.length - revisionKeySize)
}

export function isHistoryPut(value: Uint8Array): boolean {
  return value[0] === 1
}

// ---- numbers ----------------------------------------------------------------------------------------------------

function writeRevision(bytes: Uint8Array, at: number, revision: number, sub: number): void {
  const high = Math.floor(revision / 0x1_0000_0000)
  writeU32BigEndian(bytes, at, high)
  writeU32BigEndian(bytes, at + 4, revision >>> 0)
  writeU32BigEndian(bytes, at + 8, sub)
}

export function writeU32BigEndian(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

function readU32BigEndian(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

function readU64BigEndian(bytes: Uint8Array, at: number): number {
  return readU32BigEndian(bytes, at) * 0x1_0000_0000 + readU32BigEndian(bytes, at + 4)
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** As ByteWriter.varint; returns where the next field begins. */
function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80
  bytes[at++] = rest
  return at
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  )
}

function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, value >>> 0)
  writeU32(bytes, at + 4, Math.floor(value / 0x1_0000_0000))
}

function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at + 4) * 0x1_0000_0000 + readU32(bytes, at)
}
