/** What the simulation needs of a server under test. The real node and the fakes of the tests come in through here. */
import type { Logger } from '../io/index.ts'
import type { RaftView } from '../raft/index.ts'
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
  /** So many changes of the state make a commit of the store; a snapshot that is read in needs several. */
  readonly flushOperations: number
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
  /** `isPhysical`: answered once the space is free at the server that was asked. */
  | { readonly kind: 'compact'; readonly revision: number; readonly isPhysical?: boolean }
  | { readonly kind: 'leaseGrant'; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: 'leaseRevoke'; readonly id: bigint }
  | { readonly kind: 'leaseRenew'; readonly id: bigint }
  | { readonly kind: 'leaseTimeToLive'; readonly id: bigint }
  | { readonly kind: 'leaseList' }
  /** Of what this server alone has, up to a revision; 0: the newest. */
  | { readonly kind: 'hash'; readonly revision: number }
  | { readonly kind: 'status' }
  | { readonly kind: 'alarms' }
  | { readonly kind: 'defragment' }
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
  /** Of `leaseGrant` (as it was granted) and `leaseTimeToLive`. */
  readonly lease?: LeaseAnswer
  /** Of `leaseList`. */
  readonly leases?: readonly bigint[]
  /** Of `hash`. */
  readonly hash?: HashAnswer
}

export interface LeaseAnswer {
  /** Whole seconds; -1: there is no such lease. */
  readonly ttlSeconds: number
  readonly grantedSeconds: number
  readonly keys: readonly string[]
}

/** Equal at all servers for equal revisions. */
export interface HashAnswer {
  readonly hash: number
  readonly revision: number
  readonly compactRevision: number
}

/** What a call says beside its request. */
export interface CallTerms {
  /** How long the client waits. */
  readonly timeoutMs: number
  /** Has `callback` called when the client stops waiting. */
  onCancel(callback: () => void): void
}

/** Why a server did not answer. `none`: nothing happened, and nothing will; `unknown`: it may have, or still may. */
export class ServerRefusal extends Error {
  override readonly name = 'ServerRefusal'
  readonly code: string
  readonly outcome: 'none' | 'unknown'

  constructor(code: string, outcome: 'none' | 'unknown', detail: string) {
    super(`${code}: ${detail}`)
    this.code = code
    this.outcome = outcome
  }
}

export interface ServerWatchRequest extends WatchRequest {
  /** A mark now and then while there is nothing to tell. */
  readonly progressNotify: boolean
}

/** What is told of one watch; `ended` is the last: the watch is over, and whoever asked for it may ask again. */
export type ServerWatchMessage =
  | WatchMessage
  | { readonly kind: 'created'; readonly revision: number }
  | { readonly kind: 'ended'; readonly reason: string }

export interface WatchListener {
  /** `watchId` -1: a mark for all watches of the stream. Never called inside a call to the stream. */
  onMessage(watchId: number, message: ServerWatchMessage): void
  /** The server ended the stream with all its watches. */
  onEnd(reason: string): void
}

/** Many watches on one stream; each hears `created` before anything else. */
export interface ServerWatchStream {
  /** `watchId` above 0, and new on this stream: one that is taken is refused. */
  create(watchId: number, request: ServerWatchRequest): void
  cancel(watchId: number): void
  /** A mark for all watches once all of them have been told everything. */
  requestProgress(): void
  /** While the client does not read, what it is told waits at the server. */
  setReading(isReading: boolean): void
  close(): void
}

export interface KeepAliveListener {
  /** Whole seconds; 0: there is no such lease. */
  onRenewed(id: bigint, ttlSeconds: number): void
  onEnd(reason: string): void
}
export interface ServerKeepAliveStream {
  renew(id: bigint): void
  close(): void
}

export interface SimulatedServer {
  /**
   * Rejects with a ServerRefusal, or with a QuorateError: of those, deterministic codes and `not-leader`, `no-leader`,
   * `overloaded` mean that nothing happened; after all others a write may have.
   */
  execute(request: ServerRequest, terms?: CallTerms): Promise<ServerAnswer>
  openWatches(listener: WatchListener): ServerWatchStream
  openKeepAlive(listener: KeepAliveListener): ServerKeepAliveStream
  /** Cheap: it is asked every few milliseconds. */
  status(): NodeStatus
  /** What consensus is at, live; undefined where no raft runs. It is looked at after every event. */
  readonly raft: RaftView | undefined
  /** Resolves, with the reason, when the server stopped by itself (a failed disk, a broken invariant). */
  readonly stopped: Promise<unknown>
  /** An orderly end. No call is made any more; those under way are answered or refused. */
  stop(): Promise<void>
}

/** One watch on a stream of its own, with a mark as soon as it has been told everything. */
export function watchAlone(
  server: SimulatedServer,
  request: WatchRequest,
  onMessage: (message: ServerWatchMessage) => void,
): { cancel(): void } {
  const stream = server.openWatches({
    onMessage: (_watchId, message) => onMessage(message),
    onEnd: (reason) => onMessage({ kind: 'ended', reason }),
  })
  stream.create(1, { ...request, progressNotify: false })
  stream.requestProgress()
  return { cancel: () => stream.close() }
}
