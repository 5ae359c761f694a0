import { ByteReader, ByteWriter, QuorateError, Slab } from '../base/index.ts'

/**
 * What the node wraps around a command before it becomes the payload of a log entry.
 * Shape: u8 version (1) | u53 leader time in ms | u32 u32 incarnation | u53 sequence | command.
 * The origin (incarnation of a process, sequence inside it) finds the request that waits for this entry on the node
 * where it was made, whichever node led when it was committed. Frozen: docs/formats/command.md.
 */
const envelopeVersion = 1
export const envelopeSize = 25

/** One run of a node's process, drawn at start: an answer never reaches a request of an earlier run. */
export interface Incarnation {
  readonly high: number
  readonly low: number
}

export interface Envelope {
  readonly timeMs: number
  readonly incarnation: Incarnation
  readonly sequence: number
  readonly command: Uint8Array
}

/** Entries leave memory in the order they came. */
const slab = new Slab()

export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const writer = new ByteWriter(slab.take(envelopeSize + envelope.command.length))
  writer.u8(envelopeVersion)
  writer.u53(envelope.timeMs)
  writer.u32(envelope.incarnation.high)
  writer.u32(envelope.incarnation.low)
  writer.u53(envelope.sequence)
  writer.raw(envelope.command)
  return writer.view()
}

/** `command` is a view on `payload`. Error: `format-unsupported` for a version that this build does not know. */
export function decodeEnvelope(payload: Uint8Array): Envelope {
  const reader = new ByteReader(payload)
  const version = reader.u8()
  if (version !== envelopeVersion) {
    throw new QuorateError(
      'format-unsupported',
      `an entry has envelope version ${version}; this build knows ${envelopeVersion}`,
    )
  }
  const timeMs = reader.u53()
  const incarnation = { high: reader.u32(), low: reader.u32() }
  const sequence = reader.u53()
  return { timeMs, incarnation, sequence, command: reader.raw(reader.remaining) }
}
