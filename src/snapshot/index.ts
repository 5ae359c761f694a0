/**
 * snapshot: the files that stand for the beginning of a log. A *snapshot* is the state of a group after one entry,
 * its *mark* says which (index, term, chain) and what the configuration was. It lets the log before it go, and brings
 * a follower that is further behind than the log reaches up to date.
 *
 * Words: a file is *being saved* or *being received* under a name of its own and becomes a *snapshot* by its rename;
 * a snapshot is *listed* once the rename is durable.
 *
 * Invariants:
 * 1. A listed snapshot is whole and durable: content synced, then renamed, then the directory synced, then listed.
 * 2. Nothing is removed before what replaces it is listed; pruning removes only what is older than the newest
 *    `count` listed ones.
 * 3. No byte is handed out unchecked. Damage is found at the chunk where it is, and named by file and byte range.
 * 4. A file that its owner still needs, that is being read, or was a minute ago (a transfer between two parts), is not pruned.
 * 5. What an interrupted attempt to receive may count on is what its checksums prove to be there, nothing else.
 *
 * Listing reads both ends of a file and compares sizes; bytes rotten in the middle are found by `load`, which takes
 * the snapshot off the list. Falling back to an older one is the caller's choice.
 *
 * Sources: Ongaro, "Consensus: Bridging Theory and Practice", 2014, chapter 5; Pillai et al., "All File Systems Are
 * Not Created Equal", OSDI 2014, for write, sync, rename, sync of the directory.
 */
export type { SnapshotFile, SnapshotReceiver, SnapshotStore, SnapshotStoreOptions } from './contract.ts'
export { openSnapshotStore } from './snapshot-store.ts'
