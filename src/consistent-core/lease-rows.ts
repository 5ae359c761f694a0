import { ByteReader, type LeaseId } from '../base/index.ts'
import type { LeaseRecord } from '../lease/index.ts'

/**
 * Keys of the table `leases`: 1 | u64 id -> the lease; 2 | u64 id | row key -> client key attached to it. What is
 * attached lives in the store and not in memory: a million leased keys cost the heap nothing.
 */
export const leaseRowsPrefix = 1
const attachmentRowsPrefix = 2
const idSize = 8
export const leaseRowKeySize: number = 1 + idSize

function leaseTableKey(mark: number, id: LeaseId, rowKey: Uint8Array | undefined): Uint8Array {
  const key = new Uint8Array(1 + idSize + (rowKey?.length ?? 0))
  key[0] = mark
  new DataView(key.buffer).setBigUint64(1, id)
  if (rowKey !== undefined) key.set(rowKey, 1 + idSize)
  return key
}

export function leaseKey(id: LeaseId): Uint8Array {
  return leaseTableKey(leaseRowsPrefix, id, undefined)
}

export function attachmentPrefix(id: LeaseId): Uint8Array {
  return leaseTableKey(attachmentRowsPrefix, id, undefined)
}

export function attachmentKey(id: LeaseId, rowKey: Uint8Array): Uint8Array {
  return leaseTableKey(attachmentRowsPrefix, id, rowKey)
}

/** u53 granted seconds | u53 remaining seconds at the last checkpoint (0: none), little-endian. */
export function encodeLease(lease: LeaseRecord): Uint8Array {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(lease.ttlSeconds), true)
  view.setBigUint64(8, BigInt(lease.remainingSeconds), true)
  return bytes
}

export function decodeLease(key: Uint8Array, value: Uint8Array): LeaseRecord {
  const id = new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(1)
  const reader = new ByteReader(value)
  const lease = { id, ttlSeconds: reader.u53(), remainingSeconds: reader.u53() }
  reader.finish('a lease row')
  return lease
}
