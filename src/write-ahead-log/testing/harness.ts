import { SeededRandom } from '../../base/index.ts'
import { type Disk, silentLogger, type Time } from '../../io/index.ts'
import { createEntry, type Entry, type EntryKind, entryKind, type LogEnd } from '../../raft/index.ts'
import { createSimulatedDisk, type SimulatedDisk } from '../../simulator/disk.ts'
import { openWriteAheadLog, type WriteAheadLog, type WriteAheadLogOptions } from '../index.ts'

export const directory = '/data/log'
export const logStart: LogEnd = { index: 0, term: 0, chain: 0 }

/** Time that stands still but for what reads it. */
export function createTestTime(): Time {
  let now = 0
  return {
    monotonicMs: () => now++,
    wallMs: () => 0,
    startTimer: () => {
      throw new Error('the log sets no timer')
    },
    yieldTurn: () => Promise.resolve(),
    yieldBulkTurn: () => Promise.resolve(),
  }
}

export function createDisk(seed = 1): SimulatedDisk {
  return createSimulatedDisk({ random: new SeededRandom(seed) })
}

export function open(disk: Disk, options: Partial<WriteAheadLogOptions> = {}): Promise<WriteAheadLog> {
  return openWriteAheadLog({
    disk,
    time: createTestTime(),
    logger: silentLogger,
    directory,
    clusterId: 0xc1n,
    nodeId: 0x0an,
    segmentBytesMax: 64 * 1024,
    entryBytesMax: 1024 * 1024,
    ...options,
  })
}

export interface EntryShape {
  readonly group?: number
  readonly term?: number
  readonly kind?: EntryKind
  /** Bytes of each payload. */
  readonly size?: number
  /** Instead of a payload that tells its place. */
  readonly payload?: Uint8Array
}

/** `count` entries that go on after `after`; the payload tells group, index and term. */
export function entriesAfter(after: LogEnd, count: number, shape: EntryShape = {}): Entry[] {
  const { group = 0, term = Math.max(after.term, 1), kind = entryKind.command, size = 20 } = shape
  const entries: Entry[] = []
  let previousChain = after.chain
  for (let index = after.index + 1; index <= after.index + count; index++) {
    const payload = shape.payload ?? new Uint8Array(size).map((_, i) => placeByte(index, term, group, i))
    const entry = createEntry({ group, index, term, kind, payload, previousChain })
    entries.push(entry)
    previousChain = entry.chain
  }
  return entries
}

/** Never zero, so that a zeroed byte is always a damaged one. */
function placeByte(index: number, term: number, group: number, i: number): number {
  return ((index * 7 + term * 31 + group * 131 + i) % 255) + 1
}

export function endOf(entries: readonly Entry[]): LogEnd {
  const last = entries.at(-1)
  return last === undefined ? logStart : { index: last.index, term: last.term, chain: last.chain }
}

/** All entries [first, end], by as many reads as it takes. */
export async function readAll(
  log: WriteAheadLog,
  group: number,
  first: number,
  last: number,
): Promise<Entry[]> {
  const all: Entry[] = []
  while (first + all.length <= last) {
    const { entries } = await log.read(group, first + all.length, last + 1, 100_000)
    all.push(...entries)
  }
  return all
}

/** A group whose log is written in order, with the hard state its terms need. */
export class Writer {
  readonly group: number
  end: LogEnd = logStart
  entries: Entry[] = []
  term = 0
  readonly #log: WriteAheadLog

  constructor(log: WriteAheadLog, group = 0) {
    this.#log = log
    this.group = group
  }

  /** Appends as one write. */
  append(count: number, shape: EntryShape = {}): Promise<void> {
    return this.write(count, undefined, shape)
  }

  /** Cuts behind `after` and appends, as one write. */
  write(count: number, after: number | undefined, shape: EntryShape = {}): Promise<void> {
    if (after !== undefined) {
      this.entries = this.entries.filter(({ index }) => index <= after)
      this.end = endOf(this.entries)
    }
    const term = Math.max(shape.term ?? 0, this.term, 1)
    const entries = entriesAfter(this.end, count, { ...shape, group: this.group, term })
    this.entries.push(...entries)
    this.end = endOf(this.entries)
    const hardState = term === this.term ? undefined : { term, vote: 1n, commit: 0 }
    this.term = term
    return this.#log.write({ group: this.group, hardState, truncateAfter: after, entries })
  }
}

/** Paths of the segments, oldest first. */
export function segmentPaths(disk: SimulatedDisk): string[] {
  return disk.paths('durable').filter((path) => path.endsWith('.wal'))
}

export function newestSegment(disk: SimulatedDisk): string {
  return segmentPaths(disk).at(-1) ?? 'none'
}

/** Changes bytes of a file for good, as if the disk had. */
export async function overwrite(
  disk: Disk,
  path: string,
  position: number,
  bytes: Uint8Array,
): Promise<void> {
  const file = await disk.open(path, { create: false, durableWrites: true })
  await file.write(position, [bytes])
  await file.close()
}

/** Closes the log's files as a crash would, with everything it had written. */
export function powerCut(disk: SimulatedDisk): void {
  disk.crash('everything')
}

/** Size of the header of a segment that no segment with records came before. */
export const firstHeaderBytes = 52
/** Bytes of a record with the default payload of 20. */
export const recordBytes = 68
