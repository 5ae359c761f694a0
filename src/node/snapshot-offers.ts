import { type NodeId, noNode } from '../base/index.ts'
import type { InstallSnapshot, LogEnd, RaftNode, SnapshotMark } from '../raft/index.ts'
import type { SnapshotFile, SnapshotStore } from '../snapshot/index.ts'
import type { PeerMessage } from './peer-codec.ts'
import { corruptError } from './refusals.ts'
import type { SnapshotTransfer } from './snapshot-transfer.ts'
import type { StateRepair } from './state-repair.ts'

/**
 * Who is told of which snapshot. The leader announces its newest one to a peer that raft says needs it, and to a member
 * that lost its state and asks for one; whoever hears of one pulls it if it is of use. The bytes are SnapshotTransfer's.
 * Called in the group's turn.
 */
export interface SnapshotOffersOptions {
  readonly nodeId: NodeId
  readonly raft: RaftNode
  readonly snapshots: SnapshotStore
  readonly transfer: SnapshotTransfer
  readonly repair: StateRepair
  /** The end of the log at the applied index. */
  appliedEnd(): LogEnd
  /** A snapshot is about to replace the state, or does. */
  hasInstall(): boolean
  /** There is no state, or a snapshot takes its place just now. */
  isReplacing(): boolean
  /** Starts a snapshot of what is applied now, unless one is being written. */
  startSnapshot(): void
  send(to: NodeId, message: PeerMessage): boolean
}

const aloneText =
  'the state was found wrong, and there is no other voter to take it from. Restore the data directory from a backup.'

export class SnapshotOffers {
  readonly #options: SnapshotOffersOptions

  constructor(options: SnapshotOffersOptions) {
    this.#options = options
  }

  // ---- on the leader --------------------------------------------------------------------------------------------

  /** Raft wants `peer` to have a snapshot. */
  wanted(peer: NodeId): void {
    const { raft, snapshots } = this.#options
    const newest = snapshots.list()[0]
    if (newest === undefined) {
      // The log was released only after a snapshot was durable, so one is missing here only while it is being made.
      this.#options.startSnapshot()
      raft.snapshotSent(peer, 'failed', this.#options.appliedEnd())
      return
    }
    const { mark } = newest
    if (!this.#announce(peer, mark)) raft.snapshotSent(peer, 'failed', mark.end)
  }

  /** A member without a state asks for one that is not before `leastIndex`. */
  asked(by: NodeId, leastIndex: number): void {
    const { raft, snapshots } = this.#options
    if (raft.role !== 'leader' || this.#options.isReplacing()) return
    const newest = snapshots.list()[0]
    if (newest !== undefined && newest.mark.end.index >= leastIndex) this.#announce(by, newest.mark)
    else if (this.#options.appliedEnd().index >= leastIndex) this.#options.startSnapshot()
  }

  #announce(to: NodeId, snapshot: SnapshotMark): boolean {
    const { nodeId: from, raft, transfer } = this.#options
    const { term } = raft
    const isSent = this.#options.send(to, { kind: 'installSnapshot', from, to, term, snapshot })
    if (isSent) transfer.offer(to, snapshot.end)
    return isSent
  }

  // ---- on the other side ----------------------------------------------------------------------------------------

  /** The leader has a snapshot for this node. */
  announced(from: NodeId, message: InstallSnapshot): void {
    const { raft, repair, transfer } = this.#options
    raft.step(message)
    if (raft.leader !== from || raft.term !== message.term) return
    const { index } = message.snapshot.end
    const isWanted = repair.isReady && index >= repair.leastIndex
    if (isWanted || index > raft.commitIndex) transfer.begin(from, message.snapshot)
  }

  /** A snapshot is whole and checked on this node. */
  received(file: SnapshotFile): void {
    // It may have left the list since: it was sent before this replica's state turned out to be wrong.
    if (this.#options.snapshots.list().includes(file)) this.#options.raft.snapshotReceived(file.mark)
  }

  /** Asks the leader for a state. Again and again: it may have to write a snapshot first, and may change. */
  askForState(): void {
    const { raft, nodeId, transfer, repair } = this.#options
    const { leader, configuration } = raft
    if (this.#options.hasInstall()) return
    if (configuration.voters.length === 1 && configuration.voters[0] === nodeId) throw corruptError(aloneText)
    if (leader === noNode || leader === nodeId || transfer.isReceivingFrom(leader)) return
    this.#options.send(leader, { kind: 'stateRequest', leastIndex: repair.leastIndex })
  }
}
