import { crc32c } from '../base/index.ts'
import type { DiskFile } from '../io/index.ts'
import { RecordHeader, recordHeaderBytes, recordSeed } from './record.ts'

/**
 * Walks over the records of one segment, reading ahead in chunks. `header` and `payload` describe the record that
 * `next` has found, until the following call.
 */
export class SegmentReader {
  readonly header: RecordHeader = new RecordHeader()
  /** Where the record that was found begins; after `false`, where no valid record begins. */
  recordStart: number
  /** Where the next one is looked for. */
  position: number
  readonly #file: DiskFile
  readonly #checksum: number
  readonly #chunkBytes: number
  #limit: number
  #bytes: Uint8Array
  #view: DataView
  #bufferStart = 0
  #bufferEnd = 0

  constructor(file: DiskFile, place: { checksum: number; first: number; limit: number; chunkBytes: number }) {
    this.#file = file
    this.#checksum = place.checksum
    this.#limit = place.limit
    this.#chunkBytes = Math.max(place.chunkBytes, recordHeaderBytes)
    this.position = place.first
    this.recordStart = place.first
    this.#bytes = new Uint8Array(this.#chunkBytes)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Moves to the record at `position`; false when none that is valid lies there before the limit. */
  async next(): Promise<boolean> {
    this.recordStart = this.position
    if (!this.#has(recordHeaderBytes) && !(await this.#load(recordHeaderBytes))) return false
    if (!this.#decodeHeader(this.position)) return false
    // The header is valid, so the length is what was written; and it is bounded by the file before memory is taken.
    const { payloadBytes, payloadChecksum } = this.header
    const size = recordHeaderBytes + payloadBytes
    if (!this.#has(size) && !(await this.#load(size))) return false
    const start = this.position - this.#bufferStart + recordHeaderBytes
    if (crc32c(this.#bytes, 0, start, start + payloadBytes) !== payloadChecksum) return false
    this.position += size
    return true
  }

  /** A copy of the payload of the record that `next` has found. */
  payload(): Uint8Array {
    const start = this.recordStart - this.#bufferStart + recordHeaderBytes
    return this.#bytes.slice(start, start + this.header.payloadBytes)
  }

  #decodeHeader(position: number): boolean {
    const seed = recordSeed(this.#checksum, position)
    return this.header.decode(this.#bytes, this.#view, position - this.#bufferStart, seed)
  }

  #has(count: number): boolean {
    return this.position >= this.#bufferStart && this.position + count <= this.#bufferEnd
  }

  /** Makes the next `count` bytes available; false when that passes the limit. */
  async #load(count: number): Promise<boolean> {
    const position = this.position
    if (position + count > this.#limit) return false
    const size = Math.min(Math.max(count, this.#chunkBytes), this.#limit - position)
    if (size > this.#bytes.length) {
      this.#bytes = new Uint8Array(size)
      this.#view = new DataView(this.#bytes.buffer)
    }
    const read = await this.#file.read(position, this.#bytes.subarray(0, size))
    this.#bufferStart = position
    this.#bufferEnd = position + read
    if (read < size) this.#limit = Math.min(this.#limit, position + read)
    return count <= read
  }
}
