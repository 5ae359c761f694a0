import { ByteReader, equalBytes } from '../base/index.ts'
import type { DiskFile } from '../io/index.ts'
import {
  chunkPrefixSize,
  chunkSizeMax,
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  headerFixedSize,
  headerSizeOf,
  isRefusal,
  isTrailerMark,
  runningAfter,
  runningStart,
  type SnapshotHeader,
  trailerSize,
} from './format.ts'

/** Where a file stops being what it should be. [first, end) holds the damage. */
export interface Damage {
  readonly first: number
  readonly end: number
  readonly reason: string
}

export interface ScanResult {
  /** Everything before this is checked: the end of the header, of a chunk, or of the whole file. */
  readonly checkedBytes: number
  /** Undefined: the file is whole. */
  readonly damage: Damage | undefined
}

/** Reads ahead this much, or one chunk that is larger. */
const readBytes = 256 * 1024

/**
 * Reads the file from its start and checks every byte of it. Stops at the first damage, a missing end included;
 * chunks before it were handed out by then. A chunk's memory is used again: it is the taker's until it has resolved.
 */
export async function scan(
  file: DiskFile,
  expected: SnapshotHeader,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<ScanResult> {
  const size = await file.size()
  const source = new SequentialReader(file, size)
  const stop = (first: number, end: number, reason: string): ScanResult => ({
    checkedBytes: first,
    damage: { first, end: Math.min(end, size), reason },
  })

  // Every mark has one header, so comparing bytes compares all of its fields.
  const header = encodeHeader(expected)
  const found = await source.take(header.length)
  if (found === undefined) return stop(0, size, 'the header is cut short')
  if (!equalBytes(found, header)) return stop(0, header.length, 'the header is another one')

  let running = runningStart(header)
  let checked = header.length
  let chunks = 0
  let bytes = 0
  for (;;) {
    const prefix = await source.take(chunkPrefixSize)
    if (prefix === undefined) return stop(checked, size, 'it is cut short')
    const fields = new ByteReader(prefix)
    const chunkSize = fields.u32()
    if (isTrailerMark(chunkSize)) break
    const stored = fields.u32()
    if (chunkSize > chunkSizeMax) return stop(checked, size, `a chunk of ${chunkSize} bytes is too large`)
    const chunk = await source.take(chunkSize)
    const end = checked + chunkPrefixSize + chunkSize
    if (chunk === undefined) return stop(checked, size, 'a chunk is cut short')
    running = runningAfter(running, chunk)
    if (running !== stored) return stop(checked, end, 'the checksum of a chunk is wrong')
    checked = end
    chunks++
    bytes += chunkSize
    await onChunk(chunk)
  }

  const last = new Uint8Array(trailerSize)
  const lastSize = await file.read(checked, last)
  if (lastSize < trailerSize) return stop(checked, size, 'the trailer is cut short')
  const trailer = decodeTrailer(last)
  const end = checked + trailerSize
  if (isRefusal(trailer)) return stop(checked, end, 'the trailer is damaged')
  if (trailer.chunks !== chunks || trailer.bytes !== bytes || trailer.running !== running) {
    return stop(checked, end, 'the trailer belongs to other chunks')
  }
  if (end !== size) return stop(end, size, 'there are bytes after the end')
  return { checkedBytes: end, damage: undefined }
}

/** Header of a file whose two ends fit together, or why they do not. Reads two places, not the chunks between. */
export async function readEnds(
  file: DiskFile,
): Promise<SnapshotHeader | { reason: string; isUnsupported: boolean }> {
  const refuse = (reason: string): { reason: string; isUnsupported: boolean } => ({
    reason,
    isUnsupported: false,
  })
  const size = await file.size()
  const fixed = new Uint8Array(headerFixedSize)
  if ((await file.read(0, fixed)) < headerFixedSize) return refuse('it is shorter than a header')
  const headerSize = headerSizeOf(fixed)
  if (typeof headerSize !== 'number') return headerSize
  if (headerSize + trailerSize > size) return refuse('it is shorter than header and trailer')
  // A file that shrinks meanwhile leaves zeros here and in the trailer: a wrong checksum.
  const header = new Uint8Array(headerSize)
  await file.read(0, header)
  const decoded = decodeHeader(header)
  if (isRefusal(decoded)) return decoded
  const last = new Uint8Array(trailerSize)
  await file.read(size - trailerSize, last)
  const trailer = decodeTrailer(last)
  if (isRefusal(trailer)) return trailer
  const stated = headerSize + trailer.chunks * chunkPrefixSize + trailer.bytes + trailerSize
  return stated === size ? decoded : refuse(`its trailer states ${stated} bytes, it has ${size}`)
}

/**
 * Hands out the bytes of a file from its start, reading ahead. All of them pass through one buffer: with memory of its own for
 * each chunk everything would be collected each 30 MB. What was handed out holds until the next is asked for.
 */
class SequentialReader {
  readonly #file: DiskFile
  readonly #size: number
  #buffer = new Uint8Array(readBytes)
  #first = 0
  #end = 0
  /** Position in the file of the next byte that is not in the buffer. */
  #position = 0

  constructor(file: DiskFile, size: number) {
    this.#file = file
    this.#size = size
  }

  /** The next `count` bytes; undefined when the file has fewer. */
  async take(count: number): Promise<Uint8Array | undefined> {
    // Before anything is allocated: the count may come from damaged bytes.
    if (count > this.#end - this.#first + this.#size - this.#position) return undefined
    if (count > this.#end - this.#first) this.#makeRoom(count)
    while (count > this.#end - this.#first) if (!(await this.#fill())) return undefined
    const taken = this.#buffer.subarray(this.#first, this.#first + count)
    this.#first += count
    return taken
  }

  /** What was not taken goes to the start of a buffer that has room for `count`. */
  #makeRoom(count: number): void {
    const rest = this.#buffer.subarray(this.#first, this.#end)
    if (count > this.#buffer.length) this.#buffer = new Uint8Array(count)
    this.#buffer.set(rest)
    this.#first = 0
    this.#end = rest.length
  }

  async #fill(): Promise<boolean> {
    const count = await this.#file.read(this.#position, this.#buffer.subarray(this.#end))
    this.#end += count
    this.#position += count
    return count > 0
  }
}
