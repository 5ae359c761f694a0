/**
 * store: the ordered key-value door of a group's state: what a state machine writes to and reads from, in front of
 * whatever keeps it on a medium.
 *
 * Two layers. The *backend* is durable and commits rarely; there is one on LMDB (io-node) and one in memory here, for
 * simulation. The *overlay* (`createStore`) takes every write at once and hands what gathered to the backend as one
 * batch, so that applying an entry never waits for a disk.
 *
 * Words: a *table* is a named key space; a *batch* is what one commit makes durable; *pending* is what was written and
 * is not yet durable; the batch that is *out* was taken and not yet reported durable.
 *
 * Invariants:
 * 1. A read sees the newest of three layers: what gathers, the batch that is out, the backend. A removal in a newer
 *    layer hides a pair of an older one.
 * 2. The backend shows whole batches only, in the order of their commits; after a crash exactly a prefix of them.
 * 3. Until `flushed` the overlay keeps showing the batch that is out, so no read depends on how far the commit is.
 * 4. Bytes handed over are kept, not copied, and never written to; bytes handed out are the reader's, but for those
 *    that it peeks at: they are gone with its next read.
 * 5. Everything is in unsigned byte order at all times: a range or a batch never sorts, so none costs a pause.
 *
 * Left out: transactions and snapshots across turns (one owner writes, and long reads go in slices), and a bound on
 * what is pending (the owner that applies entries knows better when to wait).
 *
 * Sources: the contract of LMDB (one writer, readers that see one moment, whole commits or nothing); O'Neil et al.,
 * "The Log-Structured Merge-Tree", 1996, section 2, for the memory component in front of a larger one.
 */
export { conformanceCases } from './conformance.ts'
export { overlayCase } from './conformance-overlay.ts'
export type { ConformanceCase, ConformanceMedium } from './conformance-support.ts'
export {
  type Batch,
  type KeyRange,
  keySizeMax,
  type Pair,
  type Store,
  type StoreBackend,
  type StoreReader,
  type TableChanges,
  type TableName,
  tableNames,
  type VisitPair,
} from './contract.ts'
export { createMemoryBackend, type MemoryBackend, type MemoryBackendOptions } from './memory-backend.ts'
export { createStore } from './overlay.ts'
