/** What one connection may cost. Each is checked before anything is kept or answered. */
export interface Http2Limits {
  /** Streams open at a time; a further one is refused, and the client may try it again. */
  readonly streamCountMax: number
  /** Bytes of a header list, each field counted with 32 bytes of its own; and of the block that carries it. */
  readonly headerBytesMax: number
  /** Bytes the client may send ahead, in one stream and in all of them. At least 65,535, where every connection begins. */
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
  /** Bytes of answers that wait in all streams of a connection; above it no further stream is taken. */
  readonly pendingBytesMax: number
  /**
   * Streams that end by a reset of either side: so many at once, and so many a second for ever. One that was opened and reset by
   * the client within one slice of frames counts `hastyResetCount` times, and one that ended in order takes back as many.
   */
  readonly resetCountBurst: number
  readonly resetCountPerSecond: number
  /** Frames that only ask for an answer, or carry nothing: so many at once, and so many a second for ever. */
  readonly idleFrameCountBurst: number
  readonly idleFrameCountPerSecond: number
}

/** Who changes its mind rarely does it before the request is read: most of these never wanted an answer (CVE-2023-44487). */
export const hastyResetCount = 8

/** So many at once, so many a second for ever, from the first `take` on. It may begin with a share of what it has room for. */
export class TokenBucket {
  readonly #burst: number
  readonly #perMs: number
  #tokens: number
  #filledMs: number | undefined

  constructor(burst: number, perSecond: number, share: number) {
    this.#burst = burst
    this.#perMs = perSecond / 1000
    this.#tokens = burst * share
  }

  /** Takes `count` of them. False: that was too much. */
  take(nowMs: number, count = 1): boolean {
    const elapsedMs = Math.max(0, nowMs - (this.#filledMs ?? nowMs))
    this.#filledMs = nowMs
    this.give(elapsedMs * this.#perMs)
    this.#tokens -= count
    return this.#tokens >= 0
  }

  /** Never more than it has room for. */
  give(count: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + count)
  }
}
