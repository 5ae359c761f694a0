import { assert, ByteReader, ByteWriter, present } from '../base/index.ts'
import type { HardState, LogEnd } from '../raft/index.ts'

/** A new extent begins after this many bytes, so a read walks over at most about as many to find its first entry. */
const extentBytesMax = 64 * 1024

/** Entries of one group from `firstIndex` on, somewhere within [start, end) of a segment. */
export interface Extent {
  readonly firstIndex: number
  readonly sequence: number
  readonly start: number
  end: number
  /** In the segment of the extent before, which ends because it was large enough: nothing between them was cut. */
  readonly isContinued: boolean
}

const logStart: LogEnd = { index: 0, term: 0, chain: 0 }
const noHardState: HardState = { term: 0, vote: 0n, commit: 0 }

/** What is durable of one group, and where it stands on disk: a sparse index that is built anew from the segments. */
export class GroupLog {
  readonly group: number
  hardState: HardState = noHardState
  /** See `RecoveredGroup.cutEnd`. Kept on disk until the commit index has passed it. */
  cutEnd: number | undefined
  #base: LogEnd = logStart
  #end: LogEnd = logStart
  /** Ascending by index. Each holds the entries below the first index of the next; what is cut may still lie there. */
  #extents: Extent[] = []
  #isExtentOpen = false

  constructor(group: number) {
    this.group = group
  }

  get base(): LogEnd {
    return this.#base
  }

  get end(): LogEnd {
    return this.#end
  }

  /** Whether the segments say anything about this group. */
  get hasLog(): boolean {
    return this.#end.index > 0
  }

  append(entry: LogEnd, place: { sequence: number; start: number; size: number }): void {
    assert(entry.index === this.#end.index + 1, 'the entries of a group have no gap')
    this.#end = { index: entry.index, term: entry.term, chain: entry.chain }
    const { sequence, start, size } = place
    const last = this.#extents.at(-1)
    const isContinued = this.#isExtentOpen && last?.sequence === sequence
    if (isContinued && last !== undefined && start - last.start < extentBytesMax) {
      last.end = start + size
      return
    }
    this.#extents.push({ firstIndex: entry.index, sequence, start, end: start + size, isContinued })
    this.#isExtentOpen = true
  }

  truncate(after: LogEnd): void {
    assert(
      this.#base.index <= after.index && after.index <= this.#end.index,
      'a cut lies between base and end',
    )
    this.#end = after
    while ((this.#extents.at(-1)?.firstIndex ?? 0) > after.index) this.#extents.pop()
    // What follows has indexes that stand in the last extent already: it must not join it.
    this.#isExtentOpen = false
  }

  release(base: LogEnd): void {
    assert(
      this.#base.index <= base.index && base.index <= this.#end.index,
      'a release lies between base and end',
    )
    this.#base = base
    if (base.index === this.#end.index) {
      this.#extents = []
      this.#isExtentOpen = false
      return
    }
    // During recovery the extents may begin later still: their segments went with a release that is yet to come.
    const first = this.#extentOf(base.index + 1)
    if (first > 0) this.#extents.splice(0, first)
  }

  reset(base: LogEnd): void {
    this.#base = base
    this.#end = base
    this.#extents = []
    this.#isExtentOpen = false
  }

  /** Sets what the first segment says of the time before it. */
  restore(base: LogEnd, end: LogEnd): void {
    this.reset(base)
    this.#end = end
  }

  /** Whether every entry above the base lies in some extent. */
  get isComplete(): boolean {
    return this.#end.index === this.#base.index || this.#extentOf(this.#base.index + 1) !== -1
  }

  /** The oldest segment with an entry above the base; undefined when there is none. */
  get firstSequence(): number | undefined {
    return this.#extents[0]?.sequence
  }

  /** The extents that hold the entries [first, end). */
  extentsFor(first: number, end: number): readonly Extent[] {
    const start = this.#extentOf(first)
    assert(start !== -1, 'entries above the base are in some extent')
    let stop = start + 1
    while (stop < this.#extents.length && present(this.#extents[stop], 'in range').firstIndex < end) stop++
    return this.#extents.slice(start, stop)
  }

  /** Slot of the extent with entry `index`, -1 when there is no such entry. */
  #extentOf(index: number): number {
    if (index > this.#end.index || index < (this.#extents[0]?.firstIndex ?? Number.POSITIVE_INFINITY))
      return -1
    let low = 0
    let high = this.#extents.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (present(this.#extents[middle], 'in range').firstIndex <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}

/**
 * What all groups had when a segment began: its preamble. So the segments before it can go.
 * Shape: u32 count | count times (u32 group | base | end), by ascending group; base, end = u53 index | u53 term | u32 chain
 */
export function encodeGroupTable(groups: ReadonlyMap<number, GroupLog>): Uint8Array {
  const listed = [...groups.values()]
    .filter((group) => group.hasLog)
    .sort((left, right) => left.group - right.group)
  const writer = new ByteWriter(4 + 44 * listed.length)
  writer.u32(listed.length)
  for (const { group, base, end } of listed) {
    writer.u32(group)
    for (const { index, term, chain } of [base, end]) {
      writer.u53(index)
      writer.u53(term)
      writer.u32(chain)
    }
  }
  return writer.copy()
}

/** Error `frame-malformed`. An empty table stands in the first segment of a log. */
export function decodeGroupTable(bytes: Uint8Array): { group: number; base: LogEnd; end: LogEnd }[] {
  if (bytes.length === 0) return []
  const reader = new ByteReader(bytes)
  const count = reader.u32()
  const readEnd = (): LogEnd => ({ index: reader.u53(), term: reader.u53(), chain: reader.u32() })
  const table: { group: number; base: LogEnd; end: LogEnd }[] = []
  for (let i = 0; i < count; i++) table.push({ group: reader.u32(), base: readEnd(), end: readEnd() })
  reader.finish('the group table')
  return table
}
