import { equalBytes, isQuorateError, present } from '../base/index.ts'
import type { DiskFile, Time } from '../io/index.ts'
import { type Configuration, chainOf, decodeConfiguration, type LogEnd } from '../raft/index.ts'
import { damaged, type Segment, type SegmentedLog } from '../segmented-log/index.ts'
import { decodeGroupTable, encodeGroupTable, GroupLog } from './group-log.ts'
import type { JournalMark, SavedState } from './hard-state-file.ts'
import { isEntryKind, type RecordHeader, recordKind } from './record.ts'
import { SegmentReader } from './segment-reader.ts'
import { inspectTail, type Tail } from './tail.ts'

export interface IndexedConfiguration {
  readonly index: number
  readonly configuration: Configuration
}

export interface Recovery {
  readonly groups: Map<number, GroupLog>
  readonly configurations: ReadonlyMap<number, readonly IndexedConfiguration[]>
  /** Of the newest segment: up to where it is known durable, where it ends, up to where it holds remains. */
  readonly places: { readonly durableEnd: number; readonly end: number; readonly dirtyEnd: number }
  /** Set when a tail was cut. */
  readonly cut: Tail | undefined
}

export interface RecoverySources {
  readonly segmentedLog: SegmentedLog
  readonly time: Time
  readonly states: readonly SavedState[]
  readonly hardStatePath: string
}

const chunkBytes = 1024 * 1024

/**
 * Reads everything and says what the logs of all groups are. Writes nothing. Errors: `data-damaged`,
 * `format-unsupported`, and those of the disk.
 */
export async function recover(sources: RecoverySources): Promise<Recovery> {
  const { segmentedLog, time, states, hardStatePath } = sources
  const replay = new Replay()
  for (const state of states) {
    const group = replay.groupOf(state.group)
    group.hardState = state.hardState
    group.cutEnd = state.cutEnd
  }
  for (const segment of segmentedLog.segments) {
    await replay.readPreamble(segmentedLog, segment)
    if (segment !== segmentedLog.newest) await replay.readClosed(segmentedLog, segment, time)
  }
  const { places, cut } = await readNewest(sources, replay)
  for (const group of replay.groups.values()) {
    // What was released or replaced by a snapshot was committed.
    const commit = Math.max(group.hardState.commit, group.base.index)
    group.hardState = { ...group.hardState, commit }
    checkGroup(group, hardStatePath, present(segmentedLog.segments[0], 'there is a segment'))
    if (cut !== undefined) {
      const known = Math.max(group.end.index, cut.indexes.get(group.group) ?? 0)
      group.cutEnd = Math.max(group.cutEnd ?? 0, known + cut.entriesMax)
    }
  }
  return { groups: replay.groups, configurations: replay.configurations, places, cut }
}

/**
 * Finds the end of the newest segment, and decides what stands there. What no valid record follows up to the end of
 * its batch was torn by a crash, or rotted. It is rot when a mark says that this place was durable: the mark of a
 * record behind it, or the one in the hard state. Otherwise only the last batch can be hurt, and its tail is cut.
 */
async function readNewest(
  sources: RecoverySources,
  replay: Replay,
): Promise<{ places: Recovery['places']; cut: Tail | undefined }> {
  const segment = sources.segmentedLog.newest
  const file = await sources.segmentedLog.openReader(segment)
  try {
    const read = await replay.readRecords(file, segment, segment.size, sources.time)
    const { end, lastBatch } = read
    const saved = newestMark(sources.states)
    const savedPosition = saved.sequence === segment.sequence ? saved.position : 0
    // A mark that stands just here was saved when the rest of the batch had been cut, and its cut end with it.
    const batchEnd = savedPosition === end ? end : lastBatch.batchEnd
    const tail = await inspectTail(file, segment, { end, batchEnd })
    for (const group of tail.indexes.keys()) replay.groupOf(group)
    if (saved.sequence > segment.sequence) {
      throw damaged(
        segment.path,
        { first: segment.size, end: segment.size },
        'the segment after it, in which entries were durable, is missing',
      )
    }
    if (Math.max(tail.mark, savedPosition) > end) {
      const range = { first: end, end: tail.nextValid ?? Math.max(savedPosition, end + 1) }
      throw damaged(segment.path, range, 'records that were durable are damaged')
    }
    const places = { durableEnd: lastBatch.syncedThrough, end, dirtyEnd: tail.dirtyEnd }
    return { places, cut: tail.lostEnd > end ? tail : undefined }
  } finally {
    await file.close()
  }
}

function newestMark(states: readonly SavedState[]): JournalMark {
  let newest: JournalMark = { sequence: 0, position: 0 }
  for (const { syncedThrough } of states) {
    const { sequence, position } = syncedThrough
    if (sequence > newest.sequence || (sequence === newest.sequence && position > newest.position)) {
      newest = syncedThrough
    }
  }
  return newest
}

function checkGroup(group: GroupLog, hardStatePath: string, oldest: Segment): void {
  const { end, hardState } = group
  if (!group.isComplete) {
    const from = `entries of group ${group.group} from ${group.base.index + 1} on are missing`
    const what = `${from}: an older segment was removed, or the first record of this one is damaged`
    throw damaged(oldest.path, { first: 0, end: oldest.start }, what)
  }
  if (end.term > hardState.term || hardState.commit > end.index) {
    const here = `group ${group.group} has term ${hardState.term} and commit ${hardState.commit} here`
    const what = `${here}, but its log ends at index ${end.index} of term ${end.term}`
    throw damaged(hardStatePath, { first: 0, end: 0 }, what)
  }
}

/** Builds the logs of the groups from the records, in the order in which they were written. */
class Replay {
  readonly groups = new Map<number, GroupLog>()
  readonly configurations = new Map<number, IndexedConfiguration[]>()
  #isFirst = true

  groupOf(id: number): GroupLog {
    let group = this.groups.get(id)
    if (group === undefined) {
      group = new GroupLog(id)
      this.groups.set(id, group)
    }
    return group
  }

  /** The oldest segment says what was before it; the others must say what the segments before them did. */
  async readPreamble(segmentedLog: SegmentedLog, segment: Segment): Promise<void> {
    const preamble = await segmentedLog.readPreamble(segment)
    const range = { first: 0, end: segment.start }
    if (!this.#isFirst) {
      if (equalBytes(preamble, encodeGroupTable(this.groups))) return
      throw damaged(segment.path, range, 'the segments before it do not lead to what it begins with')
    }
    this.#isFirst = false
    try {
      for (const { group, base, end } of decodeGroupTable(preamble)) this.groupOf(group).restore(base, end)
    } catch (error) {
      if (isQuorateError(error)) throw damaged(segment.path, range, error.message)
      throw error
    }
  }

  async readClosed(segmentedLog: SegmentedLog, segment: Segment, time: Time): Promise<void> {
    const file = await segmentedLog.openReader(segment)
    try {
      const { end } = await this.readRecords(file, segment, segment.end, time)
      if (end !== segment.end) {
        const range = { first: end, end: segment.end }
        throw damaged(segment.path, range, 'a record of a closed segment is damaged')
      }
    } finally {
      await file.close()
    }
  }

  /** Takes valid records up to `limit`. `lastBatch` is the one of the last record, empty when there is none. */
  async readRecords(
    file: DiskFile,
    segment: Segment,
    limit: number,
    time: Time,
  ): Promise<{ end: number; lastBatch: { syncedThrough: number; batchEnd: number } }> {
    const reader = new SegmentReader(file, {
      checksum: segment.checksum,
      first: segment.start,
      limit,
      chunkBytes,
    })
    let lastBatch = { syncedThrough: segment.start, batchEnd: segment.start }
    let yieldAt = segment.start + chunkBytes
    while (await reader.next()) {
      const { header } = reader
      this.#take(reader, segment)
      if (header.syncedThrough !== lastBatch.syncedThrough || header.batchEnd !== lastBatch.batchEnd) {
        lastBatch = { syncedThrough: header.syncedThrough, batchEnd: header.batchEnd }
      }
      if (reader.position >= yieldAt) {
        yieldAt = reader.position + chunkBytes
        await time.yieldTurn()
      }
    }
    return { end: reader.position, lastBatch }
  }

  #take(reader: SegmentReader, segment: Segment): void {
    const { header } = reader
    const group = this.groupOf(header.group)
    const mark: LogEnd = { index: header.index, term: header.term, chain: header.chain }
    if (!isPossible(group, header)) {
      const range = { first: reader.recordStart, end: reader.position }
      throw damaged(segment.path, range, `a record does not follow from what stands before it`)
    }
    if (isEntryKind(header.kind)) {
      const size = reader.position - reader.recordStart
      group.append(mark, { sequence: segment.sequence, start: reader.recordStart, size })
      if (header.kind === recordKind.configuration) {
        this.#configurationsOf(header.group).push({
          index: header.index,
          configuration: decodeConfiguration(reader.payload()),
        })
      }
      return
    }
    if (header.kind === recordKind.release) {
      group.release(mark)
      return
    }
    const kept = this.#configurationsOf(header.group).filter(({ index }) => index <= header.index)
    this.configurations.set(header.group, kept)
    if (header.kind === recordKind.truncate) group.truncate(mark)
    else group.reset(mark)
  }

  #configurationsOf(group: number): IndexedConfiguration[] {
    let found = this.configurations.get(group)
    if (found === undefined) {
      found = []
      this.configurations.set(group, found)
    }
    return found
  }
}

/** Whether the record may stand here. Its checksums are right, so this fails for mixed-up files, and for our own faults. */
function isPossible(group: GroupLog, header: RecordHeader): boolean {
  const { base, end } = group
  const { kind, index, term, payloadChecksum } = header
  if (isEntryKind(kind)) {
    if (index !== end.index + 1 || term < end.term) return false
    return header.chain === chainOf(end.chain, { group: group.group, index, term, kind, payloadChecksum })
  }
  return kind === recordKind.reset || (base.index <= index && index <= end.index)
}
