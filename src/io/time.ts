/** Clock and timers. Durations are measured with `monotonicMs` only; `wallMs` is for showing dates. */
export interface Time {
  /** Milliseconds since an arbitrary start, with fractions; never goes back. */
  monotonicMs(): number
  /** Milliseconds since 1970-01-01 UTC. May jump either way. */
  wallMs(): number
  /** Runs `callback` once after at least `delayMs`. A late timer runs once. */
  startTimer(delayMs: number, callback: () => void): Timer
  /** Resolves after input and output that is waiting had its turn: call it between slices of long work. */
  yieldTurn(): Promise<void>
  /**
   * The same for large work that others must not wait for: in a turn that no other such work has. Those who ask have theirs in
   * the order in which they came.
   */
  yieldBulkTurn(): Promise<void>
}

export interface Timer {
  cancel(): void
}

/** Resolves after at least `delayMs`. */
export function sleep(time: Time, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    time.startTimer(delayMs, resolve)
  })
}
