import {
  assert,
  type ClusterId,
  formatId,
  isQuorateError,
  type NodeId,
  present,
  QuorateError,
} from '../base/index.ts'
import type { Disk, DiskFile, Logger } from '../io/index.ts'
import { damaged } from './damage.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderPrefixBytes,
  segmentHeaderSize,
} from './segment-header.ts'

export interface SegmentedLogOptions {
  readonly disk: Disk
  readonly logger: Logger
  readonly directory: string
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /**
   * A segment is preallocated to this size (the first to 8 MiB at most); content that needs more gets a segment of its
   * own size.
   */
  readonly segmentBytesMax: number
}

/** One file. Its content is [start, end); in the newest one, `end` is where the next append goes. */
export interface Segment {
  readonly sequence: number
  readonly path: string
  readonly start: number
  readonly end: number
  /** Bytes of the whole file. */
  readonly size: number
  /** Checksum of the header: no other segment has the same, so it identifies what belongs to this one. */
  readonly checksum: number
}

export interface SegmentedLog {
  /** Oldest first, at least one. */
  readonly segments: readonly Segment[]
  readonly newest: Segment
  /** Bytes of all segments on disk. */
  readonly bytes: number
  /** Bytes that an append can still take before a roll. */
  readonly room: number
  /** What was given to `roll` for this segment, read from the disk. */
  readPreamble(segment: Segment): Promise<Uint8Array>
  /** A handle of its own for reading, to be closed by the caller. Error `file-not-found` once it was removed. */
  openReader(segment: Segment): Promise<DiskFile>
  /**
   * For recovery, once it knows where the content of the newest segment ends: writes [durableEnd, end) again and
   * zeros [end, dirtyEnd), both durably, and goes on at `end`.
   */
  settle(places: { durableEnd: number; end: number; dirtyEnd: number }): Promise<void>
  /**
   * One durable write at the end of the newest segment. `disk-full`: nothing was appended, and what was written in
   * part is zeroed before the next append. Any other error is final.
   */
  append(parts: readonly Uint8Array[], size: number): Promise<void>
  /** Closes the newest segment and starts the next, with room for `contentBytesMin`. `disk-full`: nothing changed. */
  roll(preamble: Uint8Array, contentBytesMin: number): Promise<void>
  /** Removes the segments before `sequence`, oldest first, in the background. Never the newest. */
  removeBefore(sequence: number): void
  /** Waits for what is under way and closes the files. */
  close(): Promise<void>
}

/** The name the next segment has until its header is durable. */
const unfinishedName = 'next-segment.tmp'
const segmentName = /^([0-9a-f]{16})\.wal$/
/** Positions are 32 bits wide in headers and records. */
const segmentSizeLimit = 2 ** 31
const settleChunkBytes = 1024 * 1024
/** The first segment is waited for, and read when the log is next opened; the others are made while one is filled. */
const firstSegmentBytesMax = 8 * 1024 * 1024

const zeros: Uint8Array = new Uint8Array(64 * 1024)

/**
 * Opens the log in `directory`, which exists; creates the first segment when there is none.
 * Errors: `data-damaged`, `data-wrong-cluster`, `format-unsupported`, and those of the disk.
 */
export async function openSegmentedLog(options: SegmentedLogOptions): Promise<SegmentedLog> {
  const { disk, directory } = options
  assert(
    options.segmentBytesMax >= 512 && options.segmentBytesMax <= segmentSizeLimit,
    'a segment has 512 B to 2 GiB',
  )
  await disk.remove(`${directory}/${unfinishedName}`)
  const names = (await disk.list(directory)).filter((name) => segmentName.test(name))
  const segments: MutableSegment[] = []
  for (const name of names) await readSegment(options, name, segments)
  // Names that only the cache knows become durable before anything is built on them.
  await disk.syncDirectory(directory)
  const log = new FileSegmentedLog(options, segments)
  if (segments.length === 0) await log.createFirst()
  else await log.openNewest()
  return log
}

interface MutableSegment extends Segment {
  end: number
}

/** Checks the header of one file and its place behind the segment before, and adds it. */
async function readSegment(
  options: SegmentedLogOptions,
  name: string,
  segments: MutableSegment[],
): Promise<void> {
  const path = `${options.directory}/${name}`
  const file = await options.disk.open(path, { create: false })
  try {
    const size = await file.size()
    const { header, checksum, start } = await readHeader(file, size)
    checkIdentity(options, header, path)
    const previous = segments.at(-1)
    const whole = { first: 0, end: start }
    if (name !== nameOf(header.sequence)) throw damaged(path, whole, 'the file has the name of another')
    if (previous !== undefined) {
      if (header.sequence !== previous.sequence + 1) {
        throw damaged(path, whole, `the segment before it, ${nameOf(header.sequence - 1)}, is missing`)
      }
      if (header.previousChecksum !== previous.checksum) {
        throw damaged(
          previous.path,
          { first: 0, end: previous.start },
          'the next segment follows another one',
        )
      }
      if (header.previousEnd < previous.start || header.previousEnd > previous.size) {
        throw damaged(previous.path, { first: previous.size, end: header.previousEnd }, 'the file was cut')
      }
      previous.end = header.previousEnd
    }
    segments.push({ sequence: header.sequence, path, start, end: start, size, checksum })
  } finally {
    await file.close()
  }
}

async function readHeader(
  file: DiskFile,
  fileSize: number,
): Promise<{ header: SegmentHeader; checksum: number; start: number }> {
  const prefix = new Uint8Array(Math.min(fileSize, segmentHeaderPrefixBytes))
  await file.read(0, prefix)
  const size = segmentHeaderSize(prefix)
  if (size !== undefined && size <= fileSize) {
    const bytes = new Uint8Array(size)
    await file.read(0, bytes)
    const decoded = decodeSegmentHeader(bytes)
    if (decoded !== undefined) return { ...decoded, start: size }
  }
  // A header is durable before the file gets its name, so a crash cannot have left this.
  throw damaged(
    file.path,
    { first: 0, end: size ?? segmentHeaderPrefixBytes },
    'the segment header is damaged',
  )
}

function checkIdentity(options: SegmentedLogOptions, header: SegmentHeader, path: string): void {
  if (header.clusterId === options.clusterId && header.nodeId === options.nodeId) return
  throw new QuorateError(
    'data-wrong-cluster',
    `${path} belongs to cluster ${formatId(header.clusterId)}, node ${formatId(header.nodeId)}; this is cluster ` +
      `${formatId(options.clusterId)}, node ${formatId(options.nodeId)}`,
  )
}

function nameOf(sequence: number): string {
  return `${sequence.toString(16).padStart(16, '0')}.wal`
}

class FileSegmentedLog implements SegmentedLog {
  readonly #options: SegmentedLogOptions
  readonly #disk: Disk
  readonly #segments: MutableSegment[]
  #newest: MutableSegment | undefined
  #file: DiskFile | undefined
  #bytes = 0
  /** Up to here an append that failed for lack of space may have left bytes; 0 when none did. */
  #dirtyEnd = 0
  /** The file that will be the next segment, made in the background when the newest is half full. */
  #spare: Promise<DiskFile | Error> | undefined
  #removals: Promise<void> = Promise.resolve()
  #hasRemovalFailed = false

  constructor(options: SegmentedLogOptions, segments: MutableSegment[]) {
    this.#options = options
    this.#disk = options.disk
    this.#segments = segments
    this.#newest = segments.at(-1)
    for (const segment of segments) this.#bytes += segment.size
  }

  get segments(): readonly Segment[] {
    return this.#segments
  }

  get newest(): Segment {
    return this.#end
  }

  get bytes(): number {
    return this.#bytes
  }

  get room(): number {
    return this.#end.size - this.#end.end
  }

  async createFirst(): Promise<void> {
    const place = { sequence: 1, previousChecksum: 0, previousEnd: 0, preamble: new Uint8Array(0) }
    const usualSize = Math.min(this.#options.segmentBytesMax, firstSegmentBytesMax)
    await this.#create(place, { usualSize, contentBytesMin: 0 })
  }

  async openNewest(): Promise<void> {
    this.#file = await this.#disk.open(this.#end.path, { create: false, durableWrites: true })
  }

  async readPreamble(segment: Segment): Promise<Uint8Array> {
    const file = await this.openReader(segment)
    try {
      return (await readHeader(file, segment.size)).header.preamble
    } finally {
      await file.close()
    }
  }

  openReader(segment: Segment): Promise<DiskFile> {
    return this.#disk.open(segment.path, { create: false })
  }

  async settle(places: { durableEnd: number; end: number; dirtyEnd: number }): Promise<void> {
    const { durableEnd, end, dirtyEnd } = places
    const segment = this.#end
    assert(segment.start <= durableEnd && durableEnd <= end && end <= segment.size, 'the places are in order')
    const file = this.#writable
    const chunk = new Uint8Array(Math.min(settleChunkBytes, end - durableEnd))
    for (let position = durableEnd; position < end; position += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, end - position))
      const count = await file.read(position, part)
      assert(count === part.length, 'what was scanned can be read again')
      await file.write(position, [part])
    }
    await this.#zero(end, dirtyEnd)
    segment.end = end
  }

  async append(parts: readonly Uint8Array[], size: number): Promise<void> {
    const segment = this.#end
    assert(size <= this.room, 'an append fits into the segment')
    const position = segment.end
    if (this.#dirtyEnd > position) await this.#zero(position, this.#dirtyEnd)
    this.#dirtyEnd = position + size
    await this.#writable.write(position, parts)
    this.#dirtyEnd = 0
    segment.end = position + size
    if (this.#spare === undefined && 2 * segment.end > segment.size) this.#spare = this.#prepareSpare()
  }

  async roll(preamble: Uint8Array, contentBytesMin: number): Promise<void> {
    const previous = this.#end
    const place = {
      sequence: previous.sequence + 1,
      previousChecksum: previous.checksum,
      previousEnd: previous.end,
    }
    const usualSize = this.#options.segmentBytesMax
    await this.#create({ ...place, preamble }, { usualSize, contentBytesMin })
  }

  removeBefore(sequence: number): void {
    while (this.#segments.length > 1) {
      const oldest = present(this.#segments[0], 'there is an oldest segment')
      if (oldest.sequence >= sequence) return
      this.#segments.shift()
      this.#bytes -= oldest.size
      this.#removals = this.#removals.then(() => this.#remove(oldest))
    }
  }

  async close(): Promise<void> {
    await this.#removals
    const spare = await this.#spare
    this.#spare = undefined
    if (spare !== undefined && !(spare instanceof Error)) await spare.close()
    await this.#file?.close()
    this.#file = undefined
  }

  get #end(): MutableSegment {
    return present(this.#newest, 'an open log has a segment')
  }

  get #writable(): DiskFile {
    return present(this.#file, 'the newest segment is open')
  }

  /**
   * The header is durable before the rename, the name before the first append. So a segment that has its name has
   * its header, and a crash in between leaves an unfinished file, which the next open removes.
   */
  async #create(
    place: Omit<SegmentHeader, 'clusterId' | 'nodeId'>,
    room: { readonly usualSize: number; readonly contentBytesMin: number },
  ): Promise<void> {
    const { clusterId, nodeId, directory } = this.#options
    const { bytes: header, checksum } = encodeSegmentHeader({ clusterId, nodeId, ...place })
    const size = Math.max(room.usualSize, header.length + room.contentBytesMin)
    assert(size <= segmentSizeLimit, 'a segment has at most 2 GiB')
    const file = await this.#takeSpare(size)
    const path = `${directory}/${nameOf(place.sequence)}`
    try {
      await file.write(0, [header])
      await this.#disk.rename(`${directory}/${unfinishedName}`, path)
    } catch (error) {
      await this.#giveUpUnfinished(file)
      throw error
    }
    try {
      await this.#disk.syncDirectory(directory)
    } catch (error) {
      // The name may be durable or not: even a full disk cannot be survived here.
      throw new QuorateError('disk-failed', `${directory} could not be synced`, { cause: error })
    }
    await this.#file?.close()
    this.#file = file
    this.#dirtyEnd = 0
    const start = header.length
    this.#newest = { sequence: place.sequence, path, start, end: start, size, checksum }
    this.#segments.push(this.#newest)
    this.#bytes += size
  }

  async #takeSpare(size: number): Promise<DiskFile> {
    const spare = await this.#spare
    this.#spare = undefined
    if (spare instanceof Error && !isQuorateError(spare, 'disk-full')) throw spare
    // For lack of space a spare could not be made earlier: there may be some now.
    if (spare === undefined || spare instanceof Error) return this.#createUnfinished(size)
    if (size > this.#options.segmentBytesMax) await this.#preallocate(spare, size)
    return spare
  }

  async #prepareSpare(): Promise<DiskFile | Error> {
    try {
      return await this.#createUnfinished(this.#options.segmentBytesMax)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      this.#options.logger.log('warn', 'segment-spare-failed', { error: error.message })
      return error
    }
  }

  async #createUnfinished(size: number): Promise<DiskFile> {
    const path = `${this.#options.directory}/${unfinishedName}`
    const file = await this.#disk.open(path, { create: true, durableWrites: true })
    await this.#preallocate(file, size)
    return file
  }

  async #preallocate(file: DiskFile, size: number): Promise<void> {
    try {
      await file.preallocate(size)
    } catch (error) {
      await this.#giveUpUnfinished(file)
      throw error
    }
  }

  /** Gives the space back. */
  async #giveUpUnfinished(file: DiskFile): Promise<void> {
    await file.close()
    await this.#disk.remove(`${this.#options.directory}/${unfinishedName}`)
  }

  async #zero(first: number, end: number): Promise<void> {
    for (let position = first; position < end; ) {
      const parts: Uint8Array[] = []
      const chunkEnd = Math.min(end, position + settleChunkBytes)
      for (let at = position; at < chunkEnd; at += zeros.length) {
        parts.push(zeros.subarray(0, Math.min(zeros.length, chunkEnd - at)))
      }
      await this.#writable.write(position, parts)
      position = chunkEnd
    }
  }

  /**
   * Each removal is durable before the next begins, so that no gap can appear between the segments that are left.
   * A removal that fails costs space only; the next open tries again.
   */
  async #remove(segment: Segment): Promise<void> {
    if (this.#hasRemovalFailed) return
    try {
      await this.#disk.remove(segment.path)
      await this.#disk.syncDirectory(this.#options.directory)
    } catch (error) {
      this.#hasRemovalFailed = true
      this.#options.logger.log('error', 'segment-removal-failed', {
        path: segment.path,
        error: error instanceof Error ? error.message : String(error),
      })
    }
  }
}
