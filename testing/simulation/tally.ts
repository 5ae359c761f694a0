// What the seeds of a campaign add up to.
import { type Mark, marksNotReached } from '../../src/simulator/index.ts'
import type { Figures } from '../totals.ts'
import type { SeedReport } from './run-seed.ts'

const msPerHour = 3_600_000

export class Tally {
  seeds = 0
  failures = 0
  /** Seeds that were run twice, and those of them whose runs differed. */
  compared = 0
  differing = 0
  virtualMs = 0
  acknowledgedWrites = 0
  watchedEvents = 0
  readonly faults: Map<string, number> = new Map()
  readonly marks: Map<string, number> = new Map()

  add(report: SeedReport): void {
    this.seeds++
    if (report.violations.length > 0) this.failures++
    if (report.comparison !== 'none') this.compared++
    if (report.comparison === 'different') this.differing++
    this.virtualMs += report.virtualMs
    this.acknowledgedWrites += report.acknowledgedWrites
    this.watchedEvents += report.watchedEvents
    addCounts(this.faults, report.faults)
    addCounts(this.marks, report.marks)
  }

  get simulatedHours(): number {
    return this.virtualMs / msPerHour
  }

  /** How far it is. */
  progress(realMs: number): string {
    return [`${this.seeds} seeds`, `${this.failures} failures`, ...this.#times(realMs)].join('  ')
  }

  /** The last line of a campaign. */
  summary(realMs: number): string {
    return [
      `seeds ${this.seeds}`,
      `failures ${this.failures}`,
      `differing digests ${this.differing} of ${this.compared}`,
      ...this.#times(realMs),
      `acknowledged writes ${this.acknowledgedWrites}`,
    ].join('  ')
  }

  /** For the running totals. */
  figures(realMs: number): Figures {
    return {
      seeds: this.seeds,
      failures: this.failures,
      comparedDigests: this.compared,
      differingDigests: this.differing,
      simulatedHours: this.simulatedHours,
      realHours: realMs / msPerHour,
      acknowledgedWrites: this.acknowledgedWrites,
      watchedEvents: this.watchedEvents,
      faults: sorted(this.faults),
      marks: sorted(this.marks),
    }
  }

  /** What was done to the clusters and what they reached, and what of it they should have and did not. */
  coverage(): string[] {
    const missing = marksNotReached(this.marks)
    const counts = (map: ReadonlyMap<string, number>): string =>
      Object.entries(sorted(map))
        .map(([name, count]) => `${name}=${count}`)
        .join(' ')
    return [
      `faults: ${counts(this.faults) || 'none'}`,
      `marks reached: ${counts(this.marks) || 'none'}`,
      ...missing.map(({ name, meaning }: Mark) => `mark never reached: ${name} (${meaning})`),
    ]
  }

  /** What a replayed seed adds is not counted: hours are of different runs. */
  #times(realMs: number): string[] {
    const ratio = this.virtualMs / Math.max(realMs, 1)
    return [`simulated hours ${this.simulatedHours.toFixed(2)}`, `ratio to real time ${ratio.toFixed(0)}x`]
  }
}

/** By name, so that totals and reports do not depend on what came first. */
function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([left], [right]) => (left < right ? -1 : 1)))
}

function addCounts(sum: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [name, count] of counts) sum.set(name, (sum.get(name) ?? 0) + count)
}
