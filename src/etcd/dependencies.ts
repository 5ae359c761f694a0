import type { NodeId } from '../base/index.ts'
import type { Applied, ConsistentCoreReads } from '../consistent-core/index.ts'
import type { Entropy, Logger, Time } from '../io/index.ts'
import type { Group } from '../node/index.ts'

/** Everything the services stand on. The door keeps no state of its own but what one open stream needs. */
export interface EtcdDependencies {
  readonly group: Group<Applied>
  readonly core: ConsistentCoreReads
  readonly time: Time
  readonly entropy: Entropy
  readonly logger: Logger
  readonly maintenance: MaintenanceHooks
  readonly options: EtcdOptions
}

export interface EtcdOptions {
  /** What Status reports; clients read it as a semantic version. */
  readonly version: string
  /** Version of the storage that Status and Snapshot report. */
  readonly storageVersion: string
  /** Largest encoded write request. */
  readonly requestBytesMax: number
  readonly transactionOperationsMax: number
  readonly electionTimeoutMs: number
  /** Time between the progress notes of idle watchers that asked for them. */
  readonly progressNotifyIntervalMs: number
  readonly watchersPerStreamMax: number
  readonly watchersMax: number
  readonly watchStreamsMax: number
}

export const defaultEtcdOptions: EtcdOptions = {
  version: '3.6.0',
  storageVersion: '3.6.0',
  requestBytesMax: 1.5 * 1024 * 1024,
  transactionOperationsMax: 128,
  electionTimeoutMs: 1000,
  progressNotifyIntervalMs: 10 * 60 * 1000,
  watchersPerStreamMax: 100_000,
  watchersMax: 1_000_000,
  watchStreamsMax: 10_000,
}

/** What the services need from the node beside its group, all of it about this one member. */
export interface MaintenanceHooks {
  /** Bytes: the store's file, the part of it in use, and the configured bound (0: none). */
  sizes(): { total: number; inUse: number; quota: number }
  alarms(): readonly Alarm[]
  /** Gives space back to the file system, in the background; resolves at once. */
  defragment(): void
  /** Resolves once revisions below the core's compact revision are gone from this member's store. */
  compacted(timeoutMs: number): Promise<void>
  /** A whole snapshot of this member's state, cut now. */
  openSnapshot(): Promise<SnapshotDownload>
  /** A fresh SHA-256. */
  createSha256(): { update(bytes: Uint8Array): void; digest(): Uint8Array }
}

export interface Alarm {
  readonly memberId: NodeId
  readonly kind: 'noSpace' | 'corrupt'
}

export interface SnapshotDownload {
  readonly sizeBytes: number
  /** Bytes from `position`, exactly `size` of them (never asked beyond the end). */
  read(position: number, size: number): Promise<Uint8Array>
  /** Always called, once, last. */
  close(): void
}
