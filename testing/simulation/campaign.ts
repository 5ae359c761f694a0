// Runs seeds for a while or for a number of them and shows how far it is.
import { type Plan, seedAfter } from './plan.ts'
import { SeedPool } from './pool.ts'
import type { SeedReport } from './run-seed.ts'
import type { Tally } from './tally.ts'

export interface Campaign {
  /** Where all reports are added up; what it holds already counts in the progress that is shown. */
  readonly tally: Tally
  /** When the counting began, as of `performance.now()`. */
  readonly startedAt: number
  /** How often a line of progress is written where there is no terminal. */
  readonly progressEveryMs: number
  /** Aborted: no seed begins any more; those that run end as they would. */
  readonly stop?: AbortSignal
  readonly onReport?: (report: SeedReport) => void
}

/** Resolves when all seeds have ended, with the number of those that were given out from the first on. */
export async function runCampaign(plan: Plan, campaign: Campaign): Promise<number> {
  const { tally, startedAt, stop } = campaign
  const end = performance.now() + plan.amount * 60_000
  let taken = 0
  const isOver = (): boolean =>
    stop?.aborted === true || (plan.kind === 'minutes' ? performance.now() >= end : taken >= plan.amount)
  const progress = new Progress(campaign.progressEveryMs, () => tally.progress(performance.now() - startedAt))
  const onReport = (report: SeedReport): void => {
    tally.add(report)
    campaign.onReport?.(report)
    if (plan.kind === 'count' || report.violations.length > 0) progress.print(report.line)
    if (report.story !== undefined) progress.print(`\n${report.story}`)
  }
  const nextSeed = (): number | undefined => (isOver() ? undefined : seedAfter(plan.firstSeed, taken++))
  await new SeedPool(plan.run, plan.jobs).run(nextSeed, onReport)
  progress.end()
  return taken
}

/** One line that is written over on a terminal; elsewhere a line now and then. */
class Progress {
  readonly #text: () => string
  readonly #isTerminal = process.stdout.isTTY === true
  readonly #timer: NodeJS.Timeout

  constructor(everyMs: number, text: () => string) {
    this.#text = text
    this.#timer = setInterval(() => this.#show(), this.#isTerminal ? 500 : everyMs)
  }

  print(line: string): void {
    if (this.#isTerminal) process.stdout.write('\r\x1b[K')
    console.log(line)
  }

  end(): void {
    clearInterval(this.#timer)
    if (this.#isTerminal) process.stdout.write('\r\x1b[K')
  }

  #show(): void {
    if (this.#isTerminal) process.stdout.write(`\r\x1b[K${this.#text()}`)
    else console.log(this.#text())
  }
}
