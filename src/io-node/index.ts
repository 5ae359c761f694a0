/**
 * io-node: the interfaces of `io` on a real machine. Platform room: here, and only here and in the doors, Node's own
 * modules appear.
 *
 * Words. A *durable write* has reached the medium when its promise resolves. A *turn* is one callback of the event loop.
 *
 * Invariants
 * 1. A durable write is one hop to the thread pool (O_DSYNC on Linux), and a short write is continued, never reported.
 * 2. A failed disk operation rejects with a code and is not repeated here.
 * 3. Nothing that a peer, a full pipe or a full disk does is an uncaught exception: each socket, server and stream has
 *    an error handler from its first turn to its last.
 * 4. A handler that throws costs its own connection and nothing else.
 * 5. Of two processes that want one data directory, one gets it, however the one before ended.
 *
 * Sources: open(2) on O_DSYNC, fsync(2), proc_pid_stat(5), the Node documentation of fs and net.
 *
 * Left out: O_DIRECT (needs aligned buffers, and the log's writes are small), fallocate (Node has none; preallocation
 * writes zeros), Windows (no O_DSYNC, no directory sync). The lock knows processes by id and start time, so two
 * containers that share a directory but not a process table are not kept apart.
 */
export { type DirectoryLock, lockDirectory } from './directory-lock.ts'
export { createNodeDisk } from './disk.ts'
export { createNodeEntropy } from './entropy.ts'
export { createJsonLogger } from './json-logger.ts'
export { type LmdbStoreOptions, openLmdbStore } from './lmdb-store.ts'
export { createMemoryDisk } from './memory-disk.ts'
export { createNodeNetwork, type NodeNetworkOptions } from './network.ts'
export { createNodeTime } from './time.ts'
