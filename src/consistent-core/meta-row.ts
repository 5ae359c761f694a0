import { ByteReader, ByteWriter, QuorateError, utf8Encode } from '../base/index.ts'
import type { Compaction } from './compaction.ts'
import type { KeySpace } from './key-space.ts'
import type { Tables } from './tables.ts'

/**
 * The one row of `meta`: where the state stands. It is written into every batch, together with the rows it speaks of,
 * so that what a crash leaves behind is whole and knows its own place in the log.
 */
export const metaKey: Uint8Array = utf8Encode('state')
/**
 * In version 1 `history` had every version, in 2 the store had a row for each live key. Such a state is made again from snapshot
 * and log, which have not changed.
 */
const stateVersion = 3

export interface AppliedPlace {
  index: number
  term: number
  /** A snapshot is being read in: the rows are a part of a state, and of no use after a crash. */
  isRestoring: boolean
}

export function encodeMeta(
  place: AppliedPlace,
  keys: KeySpace,
  tables: Tables,
  compaction: Compaction,
): Uint8Array {
  const writer = new ByteWriter(128)
  writer.u8(stateVersion)
  writer.u8(place.isRestoring ? 1 : 0)
  writer.u53(place.index)
  writer.u53(place.term)
  writer.u32(keys.digest)
  writer.u53(keys.revision)
  writeRevision(writer, keys.compactRevision)
  writer.u32(keys.layers.nextLayer)
  writer.u32(tables.contentHash)
  writer.u53(tables.rowCount)
  writeRevision(writer, compaction.finishedRevision)
  return writer.copy()
}

/** A revision or "never", which is one below zero. */
export function writeRevision(writer: ByteWriter, revision: number): void {
  writer.u53(revision + 1)
}

export function readRevision(reader: ByteReader): number {
  return reader.u53() - 1
}

/** Errors: `format-unsupported`; `data-damaged` when a snapshot was being read in, or when the state is to be made again. */
export function decodeMeta(
  bytes: Uint8Array,
  place: AppliedPlace,
  keys: KeySpace,
  tables: Tables,
  compaction: Compaction,
): void {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  if (version >= 1 && version < stateVersion) {
    throw new QuorateError('data-damaged', `the state is of version ${version}, which is made again`)
  }
  if (version !== stateVersion) {
    throw new QuorateError('format-unsupported', `the state has version ${version}, known is ${stateVersion}`)
  }
  if (reader.u8() !== 0) {
    throw new QuorateError('data-damaged', 'a snapshot was being read in when the state was last written')
  }
  place.index = reader.u53()
  place.term = reader.u53()
  keys.digest = reader.u32()
  keys.revision = reader.u53()
  keys.compactRevision = readRevision(reader)
  keys.layers.nextLayer = reader.u32()
  tables.contentHash = reader.u32()
  tables.rowCount = reader.u53()
  compaction.finishedRevision = readRevision(reader)
  reader.finish('the meta row')
}
