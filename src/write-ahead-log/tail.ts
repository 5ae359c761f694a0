import type { DiskFile } from '../io/index.ts'
import type { Segment } from '../segmented-log/index.ts'
import { isEntryKind, RecordHeader, recordHeaderBytes, recordSeed } from './record.ts'

/** What stands behind the last record that follows on, in the newest segment. */
export interface Tail {
  /** The greatest mark in a record behind; 0 when there is none. */
  readonly mark: number
  /** Where the first valid record behind `end` begins. */
  readonly nextValid: number | undefined
  /** Behind this everything is zero. */
  readonly dirtyEnd: number
  /** How far records reached that are not there any more; the given end when nothing is missing. */
  readonly lostEnd: number
  /** The most entries that can have stood where nothing can be read. */
  readonly entriesMax: number
  /** The highest index of each group among the records behind. */
  readonly indexes: ReadonlyMap<number, number>
}

const chunkBytes = 1024 * 1024

/** `end`: where no valid record begins. `batchEnd`: where the batch of the record before it said it ends. */
export async function inspectTail(
  file: DiskFile,
  segment: Segment,
  places: { end: number; batchEnd: number },
): Promise<Tail> {
  const { end } = places
  const dirtyEnd = await findDirtyEnd(file, end, segment.size)
  const bytes = new Uint8Array(dirtyEnd - end)
  await file.read(end, bytes)
  const view = new DataView(bytes.buffer)
  const header = new RecordHeader()
  const indexes = new Map<number, number>()
  let mark = 0
  let nextValid: number | undefined
  let lostEnd = Math.max(end, places.batchEnd, dirtyEnd)
  let readableBytes = 0
  for (let at = 0; at + recordHeaderBytes <= bytes.length; ) {
    if (!header.decode(bytes, view, at, recordSeed(segment.checksum, end + at))) {
      at++
      continue
    }
    if (at > 0) nextValid ??= end + at
    mark = Math.max(mark, header.syncedThrough)
    lostEnd = Math.max(lostEnd, header.batchEnd)
    if (isEntryKind(header.kind)) {
      indexes.set(header.group, Math.max(indexes.get(header.group) ?? 0, header.index))
    }
    const size = recordHeaderBytes + header.payloadBytes
    readableBytes += size
    at += size
  }
  const entriesMax = Math.ceil(Math.max(0, lostEnd - end - readableBytes) / recordHeaderBytes)
  return { mark, nextValid, dirtyEnd, lostEnd, entriesMax, indexes }
}

async function findDirtyEnd(file: DiskFile, first: number, size: number): Promise<number> {
  const chunk = new Uint8Array(Math.min(chunkBytes, Math.max(0, size - first)))
  // Nearly all of it is zeros: four bytes at a time.
  const words = new Int32Array(chunk.buffer, 0, chunk.length >>> 2)
  let dirtyEnd = first
  for (let position = first; position < size; position += chunk.length) {
    const count = await file.read(position, chunk.subarray(0, Math.min(chunk.length, size - position)))
    let last = count
    while (last % 4 !== 0 && chunk[last - 1] === 0) last--
    if (last % 4 === 0) {
      while (last > 0 && words[last / 4 - 1] === 0) last -= 4
      while (last > 0 && chunk[last - 1] === 0) last--
    }
    if (last > 0) dirtyEnd = position + last
    if (count < chunk.length) break
  }
  return dirtyEnd
}
