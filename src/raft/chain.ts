import { assert, crc32c } from '../base/index.ts'
import type { Entry, EntryKind } from './types.ts'

/** The replicated fields of an entry that its chain covers. */
export interface ChainedFields {
  readonly group: number
  readonly index: number
  readonly term: number
  readonly kind: EntryKind
  readonly payloadChecksum: number
}

const chainedBytes = 29
const scratch: Uint8Array = new Uint8Array(chainedBytes)
const view: DataView = new DataView(scratch.buffer)

/**
 * The chain checksum of an entry: equal on two replicas only if everything up to it is equal.
 * Shape:  crc32c of u32 previous chain | u32 group | u53 index | u53 term | u8 kind | u32 payload checksum, little-endian
 */
export function chainOf(previousChain: number, fields: ChainedFields): number {
  view.setUint32(0, previousChain, true)
  view.setUint32(4, fields.group, true)
  setU53(8, fields.index)
  setU53(16, fields.term)
  view.setUint8(24, fields.kind)
  view.setUint32(25, fields.payloadChecksum, true)
  return crc32c(scratch)
}

/** An entry as it is born on a leader: both checksums computed. */
export function createEntry(birth: {
  readonly group: number
  readonly index: number
  readonly term: number
  readonly kind: EntryKind
  readonly payload: Uint8Array
  readonly previousChain: number
}): Entry {
  assert(birth.index > 0, 'the first entry has index 1')
  assert(birth.term > 0, 'the first term is 1')
  const { group, index, term, kind, payload } = birth
  const payloadChecksum = crc32c(payload)
  const chain = chainOf(birth.previousChain, { group, index, term, kind, payloadChecksum })
  return { index, term, kind, payload, payloadChecksum, chain }
}

/** What the chain of `entry` has to be after an entry with `previousChain`. */
export function chainAfter(previousChain: number, group: number, entry: Entry): number {
  const { index, term, kind, payloadChecksum } = entry
  return chainOf(previousChain, { group, index, term, kind, payloadChecksum })
}

function setU53(position: number, value: number): void {
  view.setUint32(position, value >>> 0, true)
  view.setUint32(position + 4, Math.floor(value / 0x1_0000_0000), true)
}
