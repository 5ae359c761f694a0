import type { LeaseId } from '../base/index.ts'
import type { LeaseRecord, LeaseTable } from './lease-table.ts'
import { WakeHeap } from './wake-heap.ts'

export interface LeaseDeadlinesOptions {
  readonly table: LeaseTable
  /** Revokes due at once are spread: at most this many a second, and half of it in one call. */
  readonly revokesPerSecondMax: number
  /** A lease that runs longer than this has what is left of it written to the log each time this passed. */
  readonly checkpointIntervalMs: number
}

/** What the leader should propose now. */
export interface DueLeases {
  readonly revokes: readonly LeaseId[]
  readonly checkpoints: readonly { id: LeaseId; remainingSeconds: number }[]
}

/** A revoke whose outcome stays unknown this long is proposed again; doing it twice does no harm. */
const revokeRetryMs = 3000
const checkpointsPerCallMax = 1000

interface Clocked {
  deadlineMs: number
  /** When the next checkpoint is due; Infinity when none is. */
  checkpointMs: number
  /** A revoke was proposed: no renewal until its outcome is known. When it may be proposed again. */
  revokeRetryAtMs: number | undefined
  /** Time of the one entry in the heap that counts; older entries of the lease are passed over. */
  wakeMs: number
  /** A checkpoint that takes back the last one, because the lease was renewed since. */
  resetsCheckpoint: boolean
}

const nothingDue: DueLeases = { revokes: [], checkpoints: [] }

/**
 * The leader's clocks. They live from `start` to `stop`, on the monotonic clock of one node, and are never part of
 * the state. A renewal only moves a number; the heap notices when the old time comes.
 */
export class LeaseDeadlines {
  readonly #options: LeaseDeadlinesOptions
  #clocks: Map<LeaseId, Clocked> | undefined
  #heap = new WakeHeap()
  #isSuspended = false
  /** Granted since the last call that brought a time along. */
  #granted: LeaseRecord[] = []
  #nowMs = 0
  /** Revokes that may leave, as of `#allowanceMs`. */
  #allowance = 0
  #allowanceMs = 0

  constructor(options: LeaseDeadlinesOptions) {
    this.#options = options
  }

  get isRunning(): boolean {
    return this.#clocks !== undefined
  }

  /** Every lease gets its full time from now on, or what its last checkpoint left. */
  start(nowMs: number): void {
    this.#clocks = new Map()
    this.#heap = new WakeHeap()
    this.#granted = []
    this.#isSuspended = false
    this.#allowance = 0
    this.#allowanceMs = nowMs
    this.#nowMs = nowMs
    for (const lease of this.#options.table.values()) this.#add(lease, nowMs)
  }

  stop(): void {
    this.#clocks = undefined
    this.#heap = new WakeHeap()
    this.#granted = []
  }

  /** Nothing expires until `start`. */
  suspend(): void {
    this.#isSuspended = true
  }

  granted(lease: LeaseRecord): void {
    if (this.#clocks !== undefined) this.#granted.push(lease)
  }

  removed(id: LeaseId): void {
    this.#clocks?.delete(id)
  }

  /** Full time from now on: its seconds; 0 when the lease is unknown or a revoke is on its way. */
  renew(id: LeaseId, nowMs: number): number {
    this.#setNow(nowMs)
    const lease = this.#options.table.get(id)
    const clock = this.#clocks?.get(id)
    if (lease === undefined || clock === undefined || clock.revokeRetryAtMs !== undefined) return 0
    clock.deadlineMs = Math.max(clock.deadlineMs, nowMs + lease.ttlSeconds * 1000)
    clock.checkpointMs = this.#firstCheckpoint(clock.deadlineMs, nowMs)
    if (lease.remainingSeconds > 0) {
      clock.resetsCheckpoint = true
      clock.checkpointMs = nowMs
      this.#wakeAt(id, clock, nowMs)
    }
    return lease.ttlSeconds
  }

  /**
   * Whole seconds left, rounded down; undefined when no clock runs. Some time has always passed since the grant, so it
   * is never the full time, also when the clock of this call has not moved since.
   */
  remainingSeconds(id: LeaseId, nowMs: number): number | undefined {
    if (this.#clocks === undefined) return undefined
    // A time that is not newer tells nothing about when the newest leases were granted: their clocks start later.
    if (nowMs > this.#nowMs) this.#setNow(nowMs)
    const clock = this.#clocks.get(id)
    if (clock === undefined) {
      const granted = this.#granted.find((lease) => lease.id === id)
      return granted === undefined ? undefined : Math.max(0, granted.ttlSeconds - 1)
    }
    return Math.max(0, Math.ceil((clock.deadlineMs - this.#nowMs) / 1000) - 1)
  }

  /** What is due. Each revoke counts as proposed from now on. */
  take(nowMs: number): DueLeases {
    const clocks = this.#clocks
    if (clocks === undefined) return nothingDue
    this.#allow(nowMs)
    this.#setNow(nowMs)
    if (this.#isSuspended) return nothingDue
    const revokes: LeaseId[] = []
    const checkpoints: { id: LeaseId; remainingSeconds: number }[] = []
    for (;;) {
      const wake = this.#heap.peek()
      if (wake === undefined || wake.atMs > nowMs) break
      const clock = clocks.get(wake.id)
      if (clock === undefined || clock.wakeMs !== wake.atMs) {
        this.#heap.pop()
        continue
      }
      if (clock.deadlineMs <= nowMs && (clock.revokeRetryAtMs ?? 0) <= nowMs) {
        if (this.#allowance < 1) break
        this.#allowance--
        clock.revokeRetryAtMs = nowMs + revokeRetryMs
        clock.checkpointMs = Infinity
        revokes.push(wake.id)
      } else if (clock.checkpointMs <= nowMs) {
        if (checkpoints.length === checkpointsPerCallMax) break
        checkpoints.push({ id: wake.id, remainingSeconds: this.#checkpoint(clock, nowMs) })
      }
      this.#heap.pop()
      clock.wakeMs = Infinity
      this.#wakeAt(wake.id, clock, wakeOf(clock))
    }
    return revokes.length === 0 && checkpoints.length === 0 ? nothingDue : { revokes, checkpoints }
  }

  /** The revoke was not proposed after all: it is due again, and until then renewals count. */
  revokeRefused(id: LeaseId): void {
    const clock = this.#clocks?.get(id)
    if (clock === undefined) return
    clock.revokeRetryAtMs = undefined
    this.#wakeAt(id, clock, this.#nowMs)
  }

  checkpointRefused(id: LeaseId, remainingSeconds: number): void {
    const clock = this.#clocks?.get(id)
    if (clock === undefined) return
    if (remainingSeconds === 0) clock.resetsCheckpoint = true
    clock.checkpointMs = this.#nowMs
    this.#wakeAt(id, clock, this.#nowMs)
  }

  #wakeAt(id: LeaseId, clock: Clocked, atMs: number): void {
    if (atMs >= clock.wakeMs) return
    clock.wakeMs = atMs
    this.#heap.push(id, atMs)
  }

  #add(lease: LeaseRecord, nowMs: number): void {
    const seconds = lease.remainingSeconds > 0 ? lease.remainingSeconds : lease.ttlSeconds
    const deadlineMs = nowMs + seconds * 1000
    const checkpointMs = this.#firstCheckpoint(deadlineMs, nowMs)
    const clock: Clocked = {
      deadlineMs,
      checkpointMs,
      revokeRetryAtMs: undefined,
      resetsCheckpoint: false,
      wakeMs: Infinity,
    }
    this.#clocks?.set(lease.id, clock)
    this.#wakeAt(lease.id, clock, wakeOf(clock))
  }

  /** A lease granted between two calls begins at the later one: never early. */
  #setNow(nowMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, nowMs)
    for (const lease of this.#granted) {
      if (this.#options.table.get(lease.id) === lease) this.#add(lease, this.#nowMs)
    }
    this.#granted.length = 0
  }

  #allow(nowMs: number): void {
    const { revokesPerSecondMax } = this.#options
    const earned = (Math.max(0, nowMs - this.#allowanceMs) * revokesPerSecondMax) / 1000
    this.#allowanceMs = Math.max(this.#allowanceMs, nowMs)
    this.#allowance = Math.min(this.#allowance + earned, Math.max(1, revokesPerSecondMax / 2))
  }

  #firstCheckpoint(deadlineMs: number, nowMs: number): number {
    const { checkpointIntervalMs } = this.#options
    return deadlineMs - nowMs > checkpointIntervalMs ? nowMs + checkpointIntervalMs : Infinity
  }

  #checkpoint(clock: Clocked, nowMs: number): number {
    clock.checkpointMs = this.#firstCheckpoint(clock.deadlineMs, nowMs)
    if (clock.resetsCheckpoint) {
      clock.resetsCheckpoint = false
      return 0
    }
    return Math.max(1, Math.ceil((clock.deadlineMs - nowMs) / 1000))
  }
}

function wakeOf(clock: Clocked): number {
  return Math.min(clock.checkpointMs, Math.max(clock.deadlineMs, clock.revokeRetryAtMs ?? 0))
}
