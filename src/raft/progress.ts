import { assert } from '../base/index.ts'

/**
 * What the leader knows of one peer, and how it sends to it.
 *
 * - probe: it is not known where the logs match; one append at a time, the next one after an answer or a heartbeat.
 * - replicate: they match; appends follow each other without waiting, at most `inflightMax` unanswered.
 * - snapshot: the peer needs entries that are gone; nothing is sent until it has the snapshot.
 */
export class Progress {
  readonly #inflightMax: number
  /** Last indexes of the unanswered appends, oldest first; sent in order, so ascending. */
  #inflight: number[] = []
  #state: 'probe' | 'replicate' | 'snapshot' = 'probe'
  #match = 0
  #next: number
  /** An unanswered probe is on its way. */
  #isPaused = false
  /** Consecutive refusals below what memory can judge; each doubles the step back. */
  #stepBack = 1
  isLearner: boolean
  /** First index of a read from the log under way for this peer. */
  reading: number | undefined
  /** Send an append although there may be nothing new: its answer tells whether something was lost. */
  isPingDue = false
  /** Commit index the peer was told last. */
  commitSent = 0
  /** Newest heartbeat round it answered. */
  ackedRound = 0
  silentTicks = 0
  /** A delivered snapshot's index, until the peer reports it installed. */
  snapshotDelivered: number | undefined
  #snapshotTicks = 0

  constructor(next: number, inflightMax: number, isLearner: boolean) {
    assert(next > 0, 'the first index to send is at least 1')
    assert(inflightMax > 0, 'at least one append may be under way')
    this.#next = next
    this.#inflightMax = inflightMax
    this.isLearner = isLearner
  }

  get state(): 'probe' | 'replicate' | 'snapshot' {
    return this.#state
  }

  /** Highest index known to be durable there and equal to this log. */
  get match(): number {
    return this.#match
  }

  /** The next index to send. */
  get next(): number {
    return this.#next
  }

  get inflight(): number {
    return this.#inflight.length
  }

  get canSend(): boolean {
    if (this.reading !== undefined || this.#state === 'snapshot') return false
    return this.#state === 'probe' ? !this.#isPaused : this.#inflight.length < this.#inflightMax
  }

  /** An append that ends at `last` was sent. */
  sent(last: number): void {
    assert(this.canSend, 'an append is sent only where there is room')
    assert(last + 1 >= this.#next, 'appends move forward')
    this.isPingDue = false
    if (this.#state === 'probe') this.#isPaused = true
    else if (last >= this.#next) {
      this.#inflight.push(last)
      this.#next = last + 1
    }
  }

  /** The peer holds everything up to `index`. True when that is news. */
  acknowledged(index: number): boolean {
    assert(index >= 0, 'an index is not negative')
    let freed = 0
    while (freed < this.#inflight.length && (this.#inflight[freed] as number) <= index) freed++
    if (freed > 0) this.#inflight.splice(0, freed)
    const isNews = index > this.#match
    this.#match = Math.max(this.#match, index)
    this.#next = Math.max(this.#next, this.#match + 1)
    return isNews
  }

  becomeReplicate(): void {
    this.#enter('replicate')
    this.#next = this.#match + 1
    this.#stepBack = 1
  }

  becomeProbe(next: number): void {
    assert(next > this.#match, 'what matches is not probed again')
    this.#enter('probe')
    this.#next = next
  }

  /** Wait for a sign of life before the next probe. */
  pause(): void {
    assert(this.#state === 'probe', 'only a probe waits for an answer')
    this.#isPaused = true
  }

  becomeSnapshot(): void {
    this.#enter('snapshot')
  }

  /** The peer lives: what it did not answer may be lost, so there is room for another try. */
  resume(): void {
    this.#isPaused = false
    if (this.#inflight.length === this.#inflightMax) this.#inflight.shift()
  }

  /** The peer started anew: it certainly has no more than up to `index`, and has to compare again from `next` on. */
  forget(index: number, next: number): void {
    this.#match = Math.min(this.#match, index)
    this.becomeProbe(Math.max(next, this.#match + 1))
  }

  /** Ticks since the snapshot was delivered, this one included. */
  takeSnapshotTick(): number {
    assert(this.snapshotDelivered !== undefined, 'a delivered snapshot is waited for')
    return ++this.#snapshotTicks
  }

  /** How far to step back where memory cannot judge: 1, 2, 4 ... */
  takeStepBack(): number {
    const step = this.#stepBack
    this.#stepBack = Math.min(this.#stepBack * 2, 0x1_0000_0000)
    return step
  }

  #enter(state: 'probe' | 'replicate' | 'snapshot'): void {
    this.#state = state
    this.#inflight = []
    this.#isPaused = false
    this.snapshotDelivered = undefined
    this.#snapshotTicks = 0
  }
}
