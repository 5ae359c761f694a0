/**
 * base: what every room may use and nothing else is needed for: assertions, the closed list of errors, bytes,
 * the checksum, repeatable randomness and a bounded queue. Pure: no clock, no network, no disk.
 */
export { AssertionError, assert, present, unreachable } from './assert.ts'
export { ByteReader } from './byte-reader.ts'
export { ByteWriter } from './byte-writer.ts'
export {
  bytesFromHex,
  bytesFromLatin1,
  compareBytes,
  concatBytes,
  copyBytes,
  emptyBytes,
  equalBytes,
  hexFromBytes,
  latin1FromBytes,
  printableBytes,
  utf8Decode,
  utf8Encode,
} from './bytes.ts'
export { crc32c } from './crc32c.ts'
export { type ErrorCode, ErrorWithoutStack, errorCodes, isQuorateError, QuorateError } from './errors.ts'
export { type ClusterId, compareIds, formatId, type LeaseId, type NodeId, noNode } from './ids.ts'
export { SeededRandom } from './random.ts'
export { RingQueue } from './ring-queue.ts'
export { Slab } from './slab.ts'
