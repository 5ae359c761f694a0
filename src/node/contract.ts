import type { ClusterId, NodeId } from '../base/index.ts'
import type { PeerProgress, Role } from '../raft/index.ts'

/** How long a caller is ready to wait. A call without an answer by then rejects; nothing waits for ever. */
export interface CallOptions {
  readonly timeoutMs: number
}

/** The state machine's answer to a command, from this replica's own apply. */
export interface Proposed<Result> {
  readonly result: Result
  readonly index: number
  readonly term: number
}

/** One member of the cluster as the replicated configuration has it. */
export interface Member {
  readonly id: NodeId
  /** Empty until the member has started for the first time. */
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly isLearner: boolean
  /** On the way to its vote: added as a voter and not caught up yet, or its promotion is under way. */
  readonly promoteWhenReady: boolean
}

/** What the doors see of a replicated group on this node. Every node accepts every call. */
export interface Group<Result> {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly term: number
  /** 0n while none is known. */
  readonly leader: NodeId
  /** True while this node is the leader, has committed in its own term and may serve leases. */
  readonly isSettledLeader: boolean
  /** True while this node is a learner: its door serves only what needs no quorum. */
  readonly isLearner: boolean

  /**
   * Sends a command through the log, forwarding it to the leader if need be (at most once), and resolves when this
   * node has applied it. Rejections that leave no trace: `overloaded`, `no-leader`, `not-leader`, `request-too-large`,
   * `stopped`. `outcome-unknown`: it may have happened or may still happen.
   */
  propose(command: Uint8Array, options: CallOptions): Promise<Proposed<Result>>
  /**
   * Resolves once this replica has applied everything that was committed when the call was made, confirmed by a quorum
   * round that began after it. Rejections: `no-leader`, `leader-changed`, `timeout`, `overloaded`, `stopped`.
   */
  readBarrier(options: CallOptions): Promise<void>
  /**
   * Leader only: a quorum round that began after the call has confirmed the leadership, and what was committed by then
   * is applied here. Else `not-leader`, or the codes of `readBarrier`.
   */
  confirmLeadership(options: CallOptions): Promise<void>
  /** Resolves once `isReached` is true, tested after every apply; rejects with `revision-wait-timeout`. */
  waitApplied(isReached: () => boolean, options: CallOptions): Promise<void>
  /**
   * A question that only the leader can answer and that needs no log entry (a lease's remaining time, a renewal). While no
   * answer comes it is sent again: to answer it twice must do no harm.
   */
  askLeader(question: Uint8Array, options: CallOptions): Promise<Uint8Array>
  /** Answers questions of `askLeader` while this node leads. What it throws as QuorateError reaches the asker. */
  setQuestionHandler(handler: (question: Uint8Array) => Promise<Uint8Array>): void

  members(): readonly Member[]
  /**
   * Each resolves with the members after the change is committed. Errors: the membership codes, and those of `propose`.
   */
  addMember(
    peerUrls: readonly string[],
    isLearner: boolean,
    options: CallOptions,
  ): Promise<{ added: Member; members: readonly Member[] }>
  removeMember(id: NodeId, options: CallOptions): Promise<readonly Member[]>
  updateMember(id: NodeId, peerUrls: readonly string[], options: CallOptions): Promise<readonly Member[]>
  promoteMember(id: NodeId, options: CallOptions): Promise<readonly Member[]>
  /** Leader only (`not-leader`); `transferee-invalid`; `outcome-unknown`. Resolves when the target leads. */
  transferLeadership(to: NodeId, options: CallOptions): Promise<void>

  status(): GroupStatus
}

/** How far a group is beside what consensus says. */
export interface GroupMarks {
  readonly durableAppliedIndex: number
  readonly lowWaterMark: number
  /** Index of the entry that brought the members as they are applied; 0: of the start, or a snapshot replaces them. */
  readonly configurationIndex: number
}

/** By name. */
export type GroupQueues = Readonly<Record<string, { readonly size: number; readonly bound: number }>>

export interface GroupStatus extends GroupMarks {
  readonly role: Role
  readonly term: number
  readonly leader: NodeId
  readonly isLearner: boolean
  readonly firstIndex: number
  readonly lastIndex: number
  readonly durableIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly digest: number
  /** The command version that all members understand. */
  readonly clusterVersion: number
  readonly peers: ReadonlyMap<NodeId, PeerProgress>
  readonly queues: GroupQueues
  /** Problems to show (alarms, damage); empty when all is well. */
  readonly problems: readonly string[]
}
