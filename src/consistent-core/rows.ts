import { assert, ByteReader, emptyBytes, type LeaseId, QuorateError, Slab } from '../base/index.ts'
import type { KeyValue } from './contract.ts'

/**
 * Bytes of the rows in the tables `current`, `history` and `revisions`; docs/formats/state.md has every byte. They
 * are read and written at every put, so this is done by hand and without objects in between where that is natural.
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

/** u8 kind | varint create revision | varint version | [u64 lease] | varint key size | key | value */
export function encodePut(record: Record): Uint8Array {
  const { key, value, createRevision, version, lease } = record
  const leaseSize = lease === 0n ? 0 : 8
  const headSize = 1 + varintSize(createRevision) + varintSize(version) + leaseSize + varintSize(key.length)
  const bytes = slab.take(headSize + key.length + value.length)
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
  return bytes
}

export function encodeTombstone(key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(key.length + 1)
  bytes[0] = recordTombstone
  bytes.set(key, 1)
  return bytes
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

// ---- current: row key -> where the newest version is -----------------------------------------------------------

const rowLive = 1
const rowLink = 2
const liveSize = 37

/** u8 kind | u64 mod revision | u32 sub | u64 create revision | u64 version | u64 lease, little-endian. */
export interface LiveRow {
  readonly modRevision: number
  readonly sub: number
  readonly createRevision: number
  readonly version: number
  readonly lease: LeaseId
}

export function encodeLiveRow(row: LiveRow): Uint8Array {
  const bytes = slab.take(liveSize)
  bytes[0] = rowLive
  writeU64(bytes, 1, row.modRevision)
  writeU32(bytes, 9, row.sub)
  writeU64(bytes, 13, row.createRevision)
  writeU64(bytes, 21, row.version)
  if (row.lease !== 0n) {
    writeU32(bytes, 29, Number(row.lease & 0xffff_ffffn))
    writeU32(bytes, 33, Number(row.lease >> 32n))
  }
  return bytes
}

export function isLink(row: Uint8Array): boolean {
  return row[0] === rowLink
}

export function rowModRevision(row: Uint8Array): number {
  return readU64(row, 1)
}
export function rowSub(row: Uint8Array): number {
  return readU32(row, 9)
}
export function rowCreateRevision(row: Uint8Array): number {
  return readU64(row, 13)
}
export function rowVersion(row: Uint8Array): number {
  return readU64(row, 21)
}
export function rowLease(row: Uint8Array): LeaseId {
  const low = readU32(row, 29)
  const high = readU32(row, 33)
  return low === 0 && high === 0 ? 0n : (BigInt(high) << 32n) | BigInt(low)
}

/** A row that stands for all keys with its bytes in common: the rest of them is in layer `child`. */
export function encodeLink(child: number): Uint8Array {
  const bytes = new Uint8Array(5)
  bytes[0] = rowLink
  writeU32(bytes, 1, child)
  return bytes
}

export function linkChild(row: Uint8Array): number {
  assert(isLink(row) && row.length === 5, 'a link row has five bytes')
  return readU32(row, 1)
}

// ---- history: row key | revision key -> put or tombstone -------------------------------------------------------

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
