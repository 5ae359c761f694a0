import type { GroupStatus } from '../node/index.ts'
import type { LogGauges } from '../write-ahead-log/index.ts'

/** Everything `/status` shows and `/metrics` counts. */
export interface ServerStatus {
  readonly name: string
  readonly clusterId: bigint
  readonly memberId: bigint
  readonly version: string
  readonly group: GroupStatus
  readonly log: LogGauges
  readonly store: { readonly total: number; readonly used: number }
  readonly core: {
    readonly revision: number
    readonly compactRevision: number
    readonly leases: number
    readonly sessions: number
    readonly watchers: number
    readonly watchStreams: number
    readonly rangeCacheBytes: number
  }
  /** Event loop lag in milliseconds since the last look. */
  readonly loopLagMs: { readonly p50: number; readonly p99: number; readonly max: number }
  readonly memory: { readonly residentBytes: number; readonly heapUsedBytes: number }
  readonly uptimeSeconds: number
}
