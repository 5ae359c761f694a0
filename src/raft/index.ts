/**
 * raft: the consensus rules of one group on one node. Pure: messages, ticks and completions go in, `ready` hands out
 * what follows from them. No clock, no disk, no network; the same inputs give the same outputs.
 *
 * Words. A *tick* is the node's unit of time. The *window* is the part of the log that memory holds. An entry is
 * *durable* when this node's disk has it, *committed* when a quorum's disks have it, *delivered* when it was handed out
 * to be applied. A *round* is one heartbeat to every peer; an answer to it proves that the sender led when the round
 * began. *Joint* is a configuration in which the old and the new voters must both agree.
 *
 * Invariants, each checked at every step of the tests:
 *  1. A term has at most one leader; a node votes once a term, also across a restart. Nothing of a term, and no vote,
 *     leaves before it is durable: such messages ride in `after` of the storage operation they wait for.
 *  2. An index and a term name one history: the chain checksum of two such entries is equal, or one replica is
 *     damaged and `corruption` says so. Nothing of such a message is taken.
 *  3. A leader's log holds every committed entry. It commits by counting only entries of its own term; those before
 *     become committed with them. It counts itself only with what is durable here.
 *  4. Entries are applied in order, once, committed and locally durable. The commit index never moves back; what is
 *     committed, or equals the log of this term's leader, is never cut; only a real conflict cuts anything.
 *  5. Storage operations are one FIFO. What is under way counts only as far as the log was not cut since it was
 *     handed out, so an entry that was cut and came back is not taken for durable by an old completion.
 *  6. A read sees all that was committed anywhere when it was asked: it waits for a round that begins after it, led
 *     by a leader that has committed in its own term. Rounds and forwarded requests never use a number twice.
 *  7. A configuration counts from its append on; cutting it brings back the one before. One change at a time, none
 *     before an entry of the own term is committed, through a joint configuration whenever the voters change. A node
 *     that leaves may campaign until its leaving is committed: it can hold the only log complete enough to win.
 *  8. A node that hears its leader, or leads and hears a majority, refuses votes (unless its leader asked for the
 *     election); a leader that hears no majority for an election timeout steps down. With pre-vote no node raises a
 *     term that it cannot win: one that returns or was removed disturbs nobody. A node that has lost its last connection
 *     with the leader no longer hears it, and one that is refused a new one asks for pre-votes at once: both only decide
 *     when an election begins, and nothing that is promised rests on that.
 *  9. A node that cut a torn tail at its start votes, for itself too, only for a log as complete as all that it was
 *     shown, and only once an entry that it helped to commit must be among those. It does so until its log has passed
 *     the old end, and for ten election timeouts at the most.
 * 10. Everything waits in bounds: proposals by `uncommittedBytesMax`, appends by `inflightMax` and `appendBytesMax`,
 *     readers by a constant, one read from the log and one snapshot a peer. The window keeps at least what is not
 *     durable, not committed or not applied.
 *
 * Files: `node` dispatches; `election`, `follower`, `replication`, `read-index`, `membership`, `transfer` hold one
 * subject each over the state in `core`; `log`, `storage-queue`, `progress`, `configuration`, `quorum`, `chain` are the
 * parts they are made of; `ready` collects what goes out. `invariants` says what must hold between nodes; `testing/`
 * drives several of them through the stories in `testdata/` and through random schedules, and `npm run explore` visits
 * every state of small models (docs/explorer.md).
 *
 * Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (sections 5 to 8); Ongaro's
 * dissertation (3.10 transfer, 4 membership, 6.4 read index, 9.6 pre-vote) and his 2015 note on single-server changes.
 *
 * Left out: reads by leader lease (they trust clocks), flexible quorums, and quiet groups that stop their heartbeats.
 */
export { chainOf, createEntry } from './chain.ts'
export { decodeConfiguration, encodeConfiguration } from './configuration.ts'
export type {
  ConfigurationChange,
  PeerProgress,
  ProposeResult,
  RaftNode,
  RaftOptions,
  RaftRestore,
  RaftView,
} from './contract.ts'
export { checkLeaving, Past } from './invariants.ts'
export { createRaft } from './node.ts'
export {
  type AppendRequest,
  type AppendResponse,
  type Configuration,
  type Corruption,
  type Entry,
  type EntryKind,
  entryKind,
  type HardState,
  type Heartbeat,
  type HeartbeatResponse,
  type InstallOperation,
  type InstallSnapshot,
  type LogEnd,
  type LogRead,
  type Message,
  type ReadIndexRequest,
  type ReadIndexResponse,
  type ReadState,
  type Ready,
  type Role,
  type RoleChange,
  type SnapshotMark,
  type StorageOperation,
  type TimeoutNow,
  type VoteRequest,
  type VoteResponse,
  type WriteOperation,
} from './types.ts'
