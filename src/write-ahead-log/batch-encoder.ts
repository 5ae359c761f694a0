import type { Entry } from '../raft/index.ts'
import {
  type BatchPlace,
  encodeRecordHeader,
  type RecordFields,
  recordHeaderBytes,
  recordSeed,
} from './record.ts'

/** Payloads up to this size are copied behind their header; larger ones go to the disk from where they are. */
const copiedPayloadBytesMax = 4096
const scratchBytesMax = 1024 * 1024

/** Turns the records of one batch into the parts of one write. The memory is used again by the next batch. */
export class BatchEncoder {
  #bytes: Uint8Array = new Uint8Array(64 * 1024)
  #view: DataView = new DataView(this.#bytes.buffer)
  #size = 0
  /** Where the part that is being filled began. */
  #partStart = 0
  #parts: Uint8Array[] = []
  #position = 0
  #segmentChecksum = 0
  #batch: BatchPlace = { syncedThrough: 0, batchEnd: 0 }

  begin(segmentChecksum: number, batch: BatchPlace): void {
    this.#size = 0
    this.#partStart = 0
    this.#parts = []
    this.#position = batch.syncedThrough
    this.#segmentChecksum = segmentChecksum
    this.#batch = batch
  }

  entry(group: number, entry: Entry): void {
    const { kind, index, term, payload, payloadChecksum, chain } = entry
    const payloadBytes = payload.length
    this.#header({ kind, group, index, term, payloadBytes, payloadChecksum, chain })
    this.#position += payloadBytes
    if (payloadBytes > copiedPayloadBytesMax) {
      this.#endPart()
      this.#parts.push(payload)
      return
    }
    this.#reserve(payloadBytes)
    this.#bytes.set(payload, this.#size)
    this.#size += payloadBytes
  }

  /** A record without a payload. */
  mark(fields: Pick<RecordFields, 'kind' | 'group' | 'index' | 'term' | 'chain'>): void {
    this.#header({ ...fields, payloadBytes: 0, payloadChecksum: 0 })
  }

  /** The position behind the last record. */
  get position(): number {
    return this.#position
  }

  /** Valid until the next `begin`. */
  finish(): readonly Uint8Array[] {
    this.#endPart()
    return this.#parts
  }

  #header(fields: RecordFields): void {
    this.#reserve(recordHeaderBytes)
    const target = { bytes: this.#bytes, view: this.#view, at: this.#size }
    encodeRecordHeader(target, fields, this.#batch, recordSeed(this.#segmentChecksum, this.#position))
    this.#size += recordHeaderBytes
    this.#position += recordHeaderBytes
  }

  /** Room for `count` bytes. Parts that are finished keep the memory they were encoded into. */
  #reserve(count: number): void {
    if (this.#size + count <= this.#bytes.length) return
    this.#endPart()
    this.#bytes = new Uint8Array(Math.max(count, Math.min(2 * this.#bytes.length, scratchBytesMax)))
    this.#view = new DataView(this.#bytes.buffer)
    this.#size = 0
    this.#partStart = 0
  }

  #endPart(): void {
    if (this.#size > this.#partStart) this.#parts.push(this.#bytes.subarray(this.#partStart, this.#size))
    this.#partStart = this.#size
  }
}

/** Bytes that `entries` take in a segment. */
export function encodedBytes(entries: readonly Entry[]): number {
  let size = entries.length * recordHeaderBytes
  for (const entry of entries) size += entry.payload.length
  return size
}
