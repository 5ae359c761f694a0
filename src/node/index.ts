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
