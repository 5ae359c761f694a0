/** What the simulation needs of a server under test. The real node and the fakes of the tests come in through here. */
import type { Logger } from '../io/index.ts'
import type { NodeStatus } from './check-cluster.ts'
import type { WatchMessage, WatchRequest } from './check-watch.ts'
import type { ModelRequest, ModelResult } from './kv-model.ts'
import type { MachineWorld } from './machine.ts'

/** Sizes and times small enough that every limit is met within seconds. */
export interface ServerTuning {
  readonly heartbeatMs: number
  readonly electionMs: number
  readonly segmentBytesMax: number
  /** A snapshot after this many entries. */
  readonly snapshotEntries: number
  readonly appendBytesMax: number
  readonly inflightMax: number
  readonly windowBytesMax: number
  readonly flushIntervalMs: number
  /** Commands, reads, messages and questions that may wait, each. */
  readonly queueMax: number
  readonly uncommittedBytesMax: number
  /** How often a leader writes down what is left of a lease. */
  readonly leaseCheckpointMs: number
}

export interface ServerMember {
  readonly name: string
  readonly host: string
  readonly port: number
}

export interface ServerSetup {
  readonly name: string
  /** Where this server listens, and where the others look for it. */
  readonly self: ServerMember
  /** At the first start of the cluster all members, this one among them; for one that joins, those to ask. */
  readonly members: readonly ServerMember[]
  readonly isJoining: boolean
  readonly dataDirectory: string
  /** The newest command version that this build understands: 1 at first, more after each upgrade. */
  readonly version: number
  /** Stands for the data directory: the same object exactly as long as it holds the same data. */
  readonly data: object
  readonly world: MachineWorld
  readonly tuning: ServerTuning
  /** Event names are counted: they tell which rare states a run has reached. */
  readonly logger: Logger
  /** Differs at every start. */
  readonly seed: number
}

/**
 * Resolves when the server has recovered and takes requests (it need not know a leader). A start that rejects with
 * `disk-failed` or `disk-full` is tried again later; any other refusal fails the run.
 */
export type StartServer = (setup: ServerSetup) => Promise<SimulatedServer>

/** Names one request of a client's session; the session is a lease. */
export interface RequestStamp {
  readonly session: bigint
  readonly request: number
  readonly answeredBelow: number
}

export type ServerRequest =
  | {
      readonly kind: 'keyValue'
      readonly request: ModelRequest
      /** A range may be answered by this server alone. */
      readonly isSerializable: boolean
      /** A range at this older revision; 0: the newest. */
      readonly atRevision: number
      /** A serializable range waits until the server has this revision; 0: it does not. */
      readonly leastRevision?: number
      /** A retry of a write under the same number is done once and gets the first answer. */
      readonly stamp?: RequestStamp
    }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'leaseGrant'; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: 'leaseRevoke'; readonly id: bigint }
  | { readonly kind: 'leaseRenew'; readonly id: bigint }
  | MembersRequest

/** Reads or changes the members. Every server takes them but the last, which only the leader takes. */
export type MembersRequest =
  /** As of a moment after the call. */
  | { readonly kind: 'memberList' }
  | { readonly kind: 'memberAdd'; readonly peer: ServerMember; readonly isLearner: boolean }
  | { readonly kind: 'memberRemove'; readonly id: bigint }
  | { readonly kind: 'memberPromote'; readonly id: bigint }
  | { readonly kind: 'memberUpdate'; readonly id: bigint; readonly peer: ServerMember }
  | { readonly kind: 'transferLeadership'; readonly to: bigint }

/** One member as the servers list it. */
export interface ListedMember {
  readonly id: bigint
  readonly host: string
  readonly port: number
  readonly isLearner: boolean
  /** Added as a voter, and a learner only until it has caught up. */
  readonly isBecomingVoter: boolean
  /** It has started and told the others about itself. */
  readonly isPublished: boolean
}

export interface ServerAnswer {
  /** That of the header: the state that the answer saw or made. */
  readonly revision: number
  /** Undefined for all but `keyValue`. */
  readonly result: ModelResult | undefined
  /** Of a `MembersRequest`: the members afterwards, and who was added. */
  readonly members?: readonly ListedMember[]
  readonly added?: bigint
}

export type ServerWatchMessage =
  | WatchMessage
  | { readonly kind: 'created'; readonly revision: number }
  /** The server ended the stream; the client may open another. */
  | { readonly kind: 'ended'; readonly reason: string }

export interface SimulatedServer {
  /**
   * Rejects with a QuorateError. Deterministic codes and `not-leader`, `no-leader`, `overloaded` mean that nothing
   * happened; after all others a write may have.
   */
  execute(request: ServerRequest): Promise<ServerAnswer>
  /** `onMessage` is called with `created` first, never inside this call. Throws what refuses the watch now. */
  watch(request: WatchRequest, onMessage: (message: ServerWatchMessage) => void): { cancel(): void }
  /** Cheap: it is asked every few milliseconds. */
  status(): NodeStatus
  /** Resolves, with the reason, when the server stopped by itself (a failed disk, a broken invariant). */
  readonly stopped: Promise<unknown>
  /** An orderly end. No call is made any more; those under way are answered or refused. */
  stop(): Promise<void>
}
