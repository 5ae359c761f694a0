import type { LeaseId } from '../base/index.ts'
import type { LeaseRecord, LeaseTable } from './lease-table.ts'
import { WakeHeap } from './wake-heap.ts'

export interface LeaseDeadlinesOptions {
  readonly table: LeaseTable
  /** Revokes due at once are spread: at most this many a second, and those of an eighth of one in a call. */
  readonly revokesPerSecondMax: number
  /** A lease that runs longer than this has what is left of it written to the log each time this passed. */
  readonly checkpointIntervalMs: number
}

/** What the leader should propose now. */
export interface DueLeases {
  readonly revokes: readonly LeaseId[]
  readonly checkpoints: readonly { id: LeaseId; remainingSeconds: number }[]
}

const checkpointsPerCallMax = 1000
/** What was not used in so long is not saved up: a burst holds up everybody else. */
const burstSeconds = 1 / 8

interface Clocked {
  deadlineMs: number
  /** When the next checkpoint is due; Infinity when none is. */
  checkpointMs: number
  /**
   * A revoke stands in this leader's log: it is applied, or this leadership ends. No second one, which could meet a
   * lease that was granted under the same id in between.
   */
  isEnding: boolean
  /** Checkpoints that were proposed and not applied yet. */
  checkpointsUnderWay: number
  /** Time of the one entry in the heap that counts; older entries of the lease are passed over. */
  wakeMs: number
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

  /** Full time from now on: its seconds; 0 for an unknown lease, undefined while a revoke is on its way. */
  renew(id: LeaseId, nowMs: number): number | undefined {
    this.#setNow(nowMs)
    const lease = this.#options.table.get(id)
    const clock = this.#clocks?.get(id)
    if (lease === undefined || clock === undefined) return 0
    if (clock.isEnding) return undefined
    clock.deadlineMs = Math.max(clock.deadlineMs, nowMs + lease.ttlSeconds * 1000)
    clock.checkpointMs = this.#firstCheckpoint(clock.deadlineMs, nowMs)
    return lease.ttlSeconds
  }

  /**
   * Whether the log has, or is about to have, a checkpoint of the lease: the next leader would begin with what it left,
   * so a renewal counts only once that is taken back.
   */
  isCheckpointed(id: LeaseId): boolean {
    const isUnderWay = (this.#clocks?.get(id)?.checkpointsUnderWay ?? 0) > 0
    return isUnderWay || (this.#options.table.get(id)?.remainingSeconds ?? 0) > 0
  }

  /** A checkpoint of the lease was applied. */
  checkpointed({ id, remainingSeconds }: LeaseRecord): void {
    if (remainingSeconds > 0) this.#checkpointOver(id)
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
      if (clock.deadlineMs <= nowMs && !clock.isEnding) {
        if (this.#allowance < 1) break
        this.#allowance--
        clock.isEnding = true
        revokes.push(wake.id)
      } else if (!clock.isEnding && clock.checkpointMs <= nowMs) {
        if (checkpoints.length === checkpointsPerCallMax) break
        clock.checkpointMs = this.#firstCheckpoint(clock.deadlineMs, nowMs)
        clock.checkpointsUnderWay++
        const remainingSeconds = Math.max(1, Math.ceil((clock.deadlineMs - nowMs) / 1000))
        checkpoints.push({ id: wake.id, remainingSeconds })
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
    clock.isEnding = false
    this.#wakeAt(id, clock, this.#nowMs)
  }

  checkpointRefused(id: LeaseId): void {
    const clock = this.#checkpointOver(id)
    if (clock === undefined) return
    clock.checkpointMs = this.#nowMs
    this.#wakeAt(id, clock, this.#nowMs)
  }

  #checkpointOver(id: LeaseId): Clocked | undefined {
    const clock = this.#clocks?.get(id)
    if (clock !== undefined && clock.checkpointsUnderWay > 0) clock.checkpointsUnderWay--
    return clock
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
      isEnding: false,
      checkpointsUnderWay: 0,
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
    this.#allowance = Math.min(this.#allowance + earned, Math.max(1, revokesPerSecondMax * burstSeconds))
  }

  #firstCheckpoint(deadlineMs: number, nowMs: number): number {
    const { checkpointIntervalMs } = this.#options
    return deadlineMs - nowMs > checkpointIntervalMs ? nowMs + checkpointIntervalMs : Infinity
  }
}

function wakeOf(clock: Clocked): number {
  return clock.isEnding ? Infinity : Math.min(clock.checkpointMs, clock.deadlineMs)
}
