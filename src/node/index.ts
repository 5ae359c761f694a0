/**
 * node: where the rules meet the world. One replicated group on this node: a bounded update queue, the loop that
 * carries raft's decisions to disk and peers, the waiting list of the clients, the member list, the connections.
 *
 * Invariants:
 * 1. State changes in one place (the group's turn); what comes from outside is queued.
 * 2. Nothing is acknowledged that is not durable on a majority and applied here.
 * 3. Every request is answered once: result, refusal, or "nobody knows".
 * 4. The log lets nothing go that is not in a durable snapshot and in the durable store.
 * 5. Every queue has its bound in options.ts.
 *
 * Files: `node` opens a data directory and connects a `group`, which holds the turn: what waits is taken in, what raft
 * decides is carried out, what is committed is applied. One subject each beside it, none of which knows the group:
 * `proposals` (the way of a command and of its answer), `applier` (what is committed becomes state), `readers`,
 * `applied-waiters` and `questions` (who else waits), `applied-members` and `member-changes`, `duties` (when a leader may do
 * them), `storage-queue` and `store-flusher` (the disk), `snapshot-writer` (with the low-water mark), `snapshot-offers`,
 * `snapshot-transfer` and `snapshot-install`, `replica-comparison` and `state-repair` (a state that is wrong). `refusals` are
 * the errors that several of them give.
 * The wire between nodes is `peer-*` and `*-codec`; what a start finds on disk is `recovery`, `join` and `identity`.
 */
export type { CallOptions, Group, GroupStatus, Member, Proposed } from './contract.ts'
export { type InitialMember, type NodeOptions, openNode, type QuorateNode } from './node.ts'
export { defaultGroupLimits, type GroupLimits } from './options.ts'
export { parseAddress } from './peer-url.ts'
export type {
  CommittedCommand,
  LeaderDuties,
  SnapshotSink,
  SnapshotSource,
  StateMachine,
} from './state-machine.ts'
