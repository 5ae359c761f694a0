// Runs seeds for a while or for a number of them, shows how far it is, and says in the end what it came to.
import { type Plan, seedAfter } from './plan.ts'
import { SeedPool } from './pool.ts'
import type { SeedReport } from './run-seed.ts'
import { Tally } from './tally.ts'

/** How often a line of progress is written where there is no terminal. */
const progressEveryMs = 10_000

export interface Campaign {
  readonly tally: Tally
  readonly realMs: number
  /** How many seeds from the first on were given out: the next campaign begins behind them. */
  readonly seedsTaken: number
}

/** `stop` aborted: no seed begins any more; those that run end as they would. */
export async function runCampaign(plan: Plan, stop?: AbortSignal): Promise<Campaign> {
  const tally = new Tally()
  const startedAt = performance.now()
  const realMs = (): number => performance.now() - startedAt
  let taken = 0
  const isOver = (): boolean =>
    stop?.aborted === true ||
    (plan.kind === 'minutes' ? realMs() >= plan.amount * 60_000 : taken >= plan.amount)
  const progress = new Progress(() => tally.progress(realMs()))
  const onReport = (report: SeedReport): void => {
    tally.add(report)
    if (plan.kind === 'count') progress.print(report.line)
    else if (report.violations.length > 0) progress.print(report.line)
    if (report.story !== undefined) progress.print(`\n${report.story}`)
  }
  await new SeedPool(plan.run, plan.jobs).run(
    () => (isOver() ? undefined : seedAfter(plan.firstSeed, taken++)),
    onReport,
  )
  progress.end()
  for (const line of tally.coverage()) console.log(line)
  return { tally, realMs: realMs(), seedsTaken: taken }
}

/** One line that is written over on a terminal; elsewhere a line now and then. */
class Progress {
  readonly #text: () => string
  readonly #isTerminal = process.stdout.isTTY === true
  readonly #timer: NodeJS.Timeout

  constructor(text: () => string) {
    this.#text = text
    this.#timer = setInterval(() => this.#show(), this.#isTerminal ? 500 : progressEveryMs)
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
