import { isQuorateError, present, QuorateError } from '../base/index.ts'
import type { DiskFile } from '../io/index.ts'
import type { Entry, LogEnd } from '../raft/index.ts'
import { damaged, type Segment, type SegmentedLog } from '../segmented-log/index.ts'
import type { Extent, GroupLog } from './group-log.ts'
import { isEntryKind, recordHeaderBytes } from './record.ts'
import { SegmentReader } from './segment-reader.ts'

export interface EntryRange {
  readonly first: number
  readonly end: number
  readonly bytesMax: number
}

/**
 * An extent as it was when the read began, with those that continue it: a read a chunk, not one an extent. With the first
 * index that is not its any more.
 */
interface Piece {
  readonly segment: Segment
  readonly extent: Extent
  end: number
  limit: number
}

const chunkBytesMax = 512 * 1024

/**
 * Reads durable entries of one group, at least one, and checks every checksum on the way. What has to be read is
 * decided at once, so writes, cuts and releases that come meanwhile do not matter: bytes on disk never change.
 * Errors: `log-released`, `log-index-out-of-range`, `data-damaged`, and those of the disk.
 */
export async function readEntries(
  segmentedLog: SegmentedLog,
  group: GroupLog,
  range: EntryRange,
): Promise<{ previous: LogEnd; entries: Entry[] }> {
  const { base } = group
  const end = Math.min(range.end, group.end.index + 1)
  if (range.first <= base.index) throw released(group, range.first)
  if (range.first >= end) {
    throw new QuorateError(
      'log-index-out-of-range',
      `group ${group.group} ends at ${group.end.index}, asked for [${range.first}, ${range.end})`,
    )
  }
  const first = range.first - 1 > base.index ? range.first - 1 : range.first
  const walk = new Walk(group.group, { ...range, end })
  if (first === range.first) walk.previous = base
  const pieces = planPieces(segmentedLog, group, { first, end })
  let file: DiskFile | undefined
  let sequence = -1
  try {
    for (const piece of pieces) {
      if (file === undefined || sequence !== piece.segment.sequence) {
        await file?.close()
        file = undefined
        file = await openSegment(segmentedLog, group, piece.segment, range.first)
        sequence = piece.segment.sequence
      }
      if (await walk.readPiece(file, piece, first)) break
    }
  } finally {
    await file?.close()
  }
  return { previous: present(walk.previous, 'the entry before was read'), entries: walk.entries }
}

function released(group: GroupLog, first: number): QuorateError {
  return new QuorateError(
    'log-released',
    `group ${group.group} begins after ${group.base.index}, asked for ${first}`,
  )
}

function planPieces(
  segmentedLog: SegmentedLog,
  group: GroupLog,
  range: { first: number; end: number },
): Piece[] {
  const { segments } = segmentedLog
  const oldest = present(segments[0], 'there is a segment').sequence
  const extents = group.extentsFor(range.first, range.end)
  const pieces: Piece[] = []
  for (const [slot, extent] of extents.entries()) {
    const end = Math.min(range.end, extents[slot + 1]?.firstIndex ?? range.end)
    const last = pieces.at(-1)
    if (last !== undefined && extent.isContinued) {
      last.end = end
      last.limit = extent.end
      continue
    }
    const segment = present(segments[extent.sequence - oldest], 'segments with live entries are kept')
    pieces.push({ segment, extent, end, limit: extent.end })
  }
  return pieces
}

async function openSegment(
  segmentedLog: SegmentedLog,
  group: GroupLog,
  segment: Segment,
  first: number,
): Promise<DiskFile> {
  try {
    return await segmentedLog.openReader(segment)
  } catch (error) {
    // Released and removed after the read had begun.
    if (isQuorateError(error, 'file-not-found')) throw released(group, first)
    throw error
  }
}

/** Gathers the entries of the range over one piece after the other. */
class Walk {
  readonly entries: Entry[] = []
  previous: LogEnd | undefined
  readonly #group: number
  readonly #range: EntryRange
  #bytes = 0

  constructor(group: number, range: EntryRange) {
    this.#group = group
    this.#range = range
  }

  /** True when no more is wanted. */
  async readPiece(file: DiskFile, piece: Piece, first: number): Promise<boolean> {
    const { extent, segment, limit } = piece
    const reader = new SegmentReader(file, {
      checksum: segment.checksum,
      first: extent.start,
      limit,
      chunkBytes: Math.min(limit - extent.start, chunkBytesMax),
    })
    for (let next = extent.firstIndex; next < piece.end; ) {
      const isValid = await reader.next()
      const { header } = reader
      if (isValid && (header.group !== this.#group || !isEntryKind(header.kind))) continue
      if (!isValid || header.index !== next) {
        const range = { first: reader.recordStart, end: Math.max(reader.position, limit) }
        throw damaged(segment.path, range, `entry ${next} of group ${this.#group} cannot be read`)
      }
      if (next >= first && this.#take(reader)) return true
      next++
    }
    return false
  }

  #take(reader: SegmentReader): boolean {
    const { kind, index, term, chain, payloadBytes, payloadChecksum } = reader.header
    if (!isEntryKind(kind)) return false
    if (index < this.#range.first) {
      this.previous = { index, term, chain }
      return false
    }
    this.#bytes += recordHeaderBytes + payloadBytes
    if (this.entries.length > 0 && this.#bytes > this.#range.bytesMax) return true
    this.entries.push({ index, term, kind, payload: reader.payload(), payloadChecksum, chain })
    return false
  }
}
