/**
 * simulator: a whole cluster in one process and one thread, in virtual time, under a seed. Disks lose what was not
 * synced, networks cut and stall, clocks drift, programs die and pause; clients write down what they were told; and
 * checkers decide whether every promise was kept. One seed is one run, event by event.
 *
 * Words. A *machine* has a disk, clocks and a name in the network; a *process* is one life of a program on it. The
 * *nemesis* injects faults; the *operator* changes the members. A *record* is everything one revision changed; the *log* is
 * all records. A *call* is what a client asked and was answered; its outcome may be unknown. A *sighting* is the moment
 * somebody saw a revision. A *mark* is a rare state that a run has reached. A *place* in the product asks whether to do
 * what is rare and legal (`Maybe` of io), and the run answers.
 *
 * Invariants.
 * 1. Nothing here asks the real world for anything: time, order and chance come from `Scheduler` and the seed. Two runs
 *    of one seed have equal digests.
 * 2. What a program was told is durable stays through `crash`; all else may or may not.
 * 3. A dead process hears nothing; a paused one hears everything later, in order.
 * 4. A connection delivers a prefix of what was written, in order, never with a hole.
 * 5. Checkers are functions of recorded histories: they accept every correct one, and their tests change one value and
 *    see it refused. Those of linearizability say what trying every order says. They need nothing of this room: a
 *    history of real processes is judged as well, with times in milliseconds of the one clock of its clients.
 * 6. A server comes in through `StartServer`; the simulation knows nothing of how it works.
 * 7. Quorate is asked by a client of the etcd API: what it is asked is encoded, passes the services of `etcd` over the seam
 *    of `grpc`, and is decoded, metadata and refusals with it. Only the transport is missing (door.ts). What a refusal
 *    says of its outcome is held against the history: `none` is nowhere in it.
 *
 * Sources: FoundationDB's and TigerBeetle's simulators (the idea), etcd's robustness tests (what to check of watches and
 * revisions), Wing and Gong 1993 and Lowe 2017 (linearizability by search), "All File Systems Are Not Created Equal"
 * (OSDI 2014; what a crash leaves), "Can Applications Recover from fsync Failures?" (ATC 2020).
 *
 * Left out: a lost write at the very end of what a disk was told, and old copies of a disk that others still rely on: no
 * member alone can know of them (docs/decisions/0040); reordering inside a connection (TCP does not).
 */

export { ClusterChecker, type NodeStatus } from './check-cluster.ts'
export { checkKv, checkLog, type KvHistory } from './check-kv.ts'
export { checkKvBySearch, type KvSearchOptions } from './check-kv-search.ts'
export { checkLeases, type LeasePeace, type LeaseRecord, recordLease } from './check-lease.ts'
export {
  isLinearizable,
  type LinearizabilityVerdict,
  partitionCalls,
  type RegisterInput,
  type RegisterOutput,
  registerModel,
  type SearchResult,
  type SequentialModel,
  searchLinearization,
  type TimedCall,
} from './check-linearizable.ts'
export { checkSessions, type NumberedRequest, type SessionHistory } from './check-session.ts'
export { checkTransactions, type TransactionHistory } from './check-transactions.ts'
export {
  checkWatches,
  type RecordedWatch,
  type ToldEvent,
  type WatchMessage,
  type WatchRequest,
} from './check-watch.ts'
export {
  createSimulatedDisk,
  type DiskFaults,
  type DiskLatency,
  type DiskOperation,
  type SimulatedDisk,
  type SimulatedDiskOptions,
  solidStateLatency,
} from './disk.ts'
export { createSimulatedEntropy } from './entropy.ts'
export type { CallOutcome, RecordedCall, Sighting, Violation } from './history.ts'
export { type Happening, Journal, type Told } from './journal.ts'
export {
  describeEvent,
  emptyRevision,
  isInSpan,
  isReadOnly,
  type KeySpan,
  KvModel,
  type ModelCompare,
  type ModelEvent,
  type ModelPair,
  type ModelPut,
  type ModelRequest,
  type ModelResult,
  type ModelTransaction,
  plainRange,
  type RevisionRecord,
  type SimpleRequest,
  type SimpleResult,
} from './kv-model.ts'
export { type MachineWorld, SimulatedMachine } from './machine.ts'
export { type Mark, marks, marksNotReached } from './marks.ts'
export { type NetworkFaults, SimulatedNetwork } from './network.ts'
export { drawOptions, type FaultKind, faultKinds, type SimulationOptions } from './options.ts'
export { SimulatedProcess } from './process.ts'
export { startQuorate } from './quorate-server.ts'
export { reduceRun } from './reduce.ts'
export { RequestDrawer } from './request-drawer.ts'
export { type ScheduledEvent, Scheduler } from './scheduler.ts'
export {
  type CallTerms,
  type HashAnswer,
  type KeepAliveListener,
  type LeaseAnswer,
  type ListedMember,
  type MembersRequest,
  type ServerAnswer,
  type ServerKeepAliveStream,
  type ServerMember,
  ServerRefusal,
  type ServerRequest,
  type ServerSetup,
  type ServerTuning,
  type ServerWatchMessage,
  type ServerWatchRequest,
  type ServerWatchStream,
  type SimulatedServer,
  type StartServer,
  type WatchListener,
} from './server-seam.ts'
export {
  checkHistory,
  describeRun,
  type RunHistory,
  repeats,
  type SimulationResult,
  simulate,
  simulateTwice,
} from './simulation.ts'
export { tellStory } from './story.ts'
export { createSimulatedTime, MachineClock } from './time.ts'
export { LogCollector, wholeSpan } from './watcher.ts'
