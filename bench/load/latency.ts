export interface Latencies {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/** Counts of durations by size, exact to 1/32: what takes a microsecond and what takes a minute in one small table. */
export class LatencyHistogram {
  readonly #counts = new Uint32Array(subBuckets * octaves)
  #count = 0
  #maxMs = Number.NaN

  get count(): number {
    return this.#count
  }

  add(ms: number): void {
    const slot = slotOf(Math.max(0, Math.round(ms * 1_000)))
    this.#counts[slot] = (this.#counts[slot] as number) + 1
    this.#count++
    if (!(ms <= this.#maxMs)) this.#maxMs = ms
  }

  /** Nothing counted: NaN. */
  latencies(): Latencies {
    return { p50Ms: this.percentileMs(0.5), p99Ms: this.percentileMs(0.99), maxMs: this.#maxMs }
  }

  /** Milliseconds that this share of all durations does not exceed, to within 1/32. Nothing counted: NaN. */
  percentileMs(share: number): number {
    let left = Math.max(1, Math.ceil(this.#count * share))
    if (this.#count === 0) return Number.NaN
    for (let slot = 0; slot < this.#counts.length; slot++) {
      left -= this.#counts[slot] as number
      if (left <= 0) return largestOf(slot) / 1_000
    }
    return Number.NaN
  }
}

const subBits = 6
const subBuckets = 1 << subBits
const octaves = 32

/** Below 64 every microsecond has its slot; above, every octave has 32. */
function slotOf(microseconds: number): number {
  if (microseconds < subBuckets) return microseconds
  const octave = Math.min(octaves - 1, 32 - Math.clz32(microseconds) - subBits)
  return octave * subBuckets + Math.min(subBuckets - 1, (microseconds >>> octave) & (subBuckets - 1))
}

function largestOf(slot: number): number {
  const octave = Math.floor(slot / subBuckets)
  return octave === 0 ? slot : ((slot % subBuckets) + 1) * 2 ** octave - 1
}
