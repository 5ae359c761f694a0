/**
 * consistent-core: the state machine behind the etcd API. Commands from the log go in, answers and events come out; the
 * state lives in a store. Pure: the same commands in the same order give the same state, answers and digest everywhere.
 *
 * Words: a *revision* counts the commands that changed something, the *sub-revision* the changes within one; a *version*
 * of a key is what it was from one revision to the next; a *tombstone* is the version of a key that was deleted; the
 * *form* of a key is what its rows sort by; a *run* is keys that follow each other, with the bytes that were made of
 * them; a *view* is the state as of one revision; a *session* is a lease whose holder numbers its requests.
 *
 * Invariants:
 * 1. A command that changes something takes exactly one revision; one that is refused, or changes nothing, takes none.
 * 2. Refusals are found before the first write, so a command is done entirely or not at all.
 * 3. The key index has each live key, in memory; `history` a row for each tombstone and every eighth version that was
 *    superseded; each of them has its record in `revisions`, from which the index is made again at each start.
 * 4. The meta row is in every batch: a crash leaves a state that was, and that knows its applied index.
 * 5. The digest depends on what was applied, and on nothing else: not on flushes, nor on how far compaction has come.
 * 6. The content hash is the sum over all rows that are in the store, so what a store has lost can be found out.
 * 7. A reader that pauses sees one revision, or an error by name when a snapshot took the place of the state.
 * 8. A watcher is told of every change that concerns it, once, in order, never a part of a revision, and of no revision
 *    that is not applied; progress is never ahead of an event. Or it is told that it came too late.
 * 9. A numbered request of a session is done once; its answer is kept, refusals too, until the client has it.
 * 10. Everything that waits or is kept has a bound: answers by session and in all, events in memory, watchers by stream.
 * 11. A run that is kept of a range says what the store says: whoever writes a key drops the run it lies in first.
 *
 * Left out: users and permissions; a bound on the size of an answer, which etcd has none of either.
 * Sources: etcd's API guarantees and its robustness model; Ongaro, "Consensus", 2014, section 6.3 (sessions);
 * Mao, Kohler, Morris, "Cache craftiness" (Masstree), 2012, for keys longer than the store takes.
 */
export { leaseTtlSecondsMax } from './applier.ts'
export { commandVersion, decodeCommand, encodeCommand, transactionDepthMax } from './command-codec.ts'
export type {
  Applied,
  Command,
  CompactCommand,
  Compare,
  CompareResult,
  CompareTarget,
  ConsistentCoreReads,
  DeleteRangeOperation,
  DeleteRangeResult,
  DoneBeforeResult,
  DoneResult,
  KeyInterval,
  KeyValue,
  LeaderDuties,
  LeaseCheckpointCommand,
  LeaseGrantCommand,
  LeaseGrantResult,
  LeaseRevokeCommand,
  LeaseView,
  Operation,
  OperationResult,
  PutOperation,
  PutResult,
  RangeOperation,
  RangeResult,
  RangeTaker,
  Refusal,
  SessionStamp,
  SortOrder,
  SortTarget,
  TransactionOperation,
  TransactionResult,
  WatchCreate,
  WatchEvent,
  WatchOutput,
  WatchStream,
  WriteCommand,
} from './contract.ts'
export { type ConsistentCore, type ConsistentCoreOptions, createConsistentCore } from './core.ts'
export { checkOperation, defaultOperationLimits, type OperationLimits } from './operation-check.ts'
export { defaultRangeCacheLimits, type RangeCacheLimits } from './range-cache.ts'
export { defaultSessionLimits, type SessionLimits } from './sessions.ts'
export { defaultWatchLimits, type WatchLimits } from './watch-hub.ts'
