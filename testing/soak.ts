// Simulation for as long as it is told, with seeds that were never run before; `--help` says how.
import { availableParallelism } from 'node:os'
import { describeCommit } from '../bench/machine.ts'
import { Arguments } from '../test/support/arguments.ts'
import { runCampaign } from './simulation/campaign.ts'
import { type Plan, seedAfter } from './simulation/plan.ts'
import { Tally } from './simulation/tally.ts'
import { addToTotals, readTotals, totalsPath } from './totals.ts'

const usage = `npm run soak -- --hours 8        simulation with new seeds, added to the running totals

  --hours N, --minutes N  how long
  --jobs ${availableParallelism()}                seeds at a time (default: the number of cores)
  --totals ${totalsPath}   where the totals are kept; the first seed is the one behind the last that they count

SIGINT or SIGTERM ends it when the seeds that run have ended, with its summary. The totals are written every ten minutes.
Exit code 1: a promise was broken.`

const row = 'simulation'
/** Before it come the seeds that people and tests choose by hand. */
const firstSeedEver = 1_000_000
const sliceMinutesMax = 10

const { minutes, jobs, path } = readOptions()
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())

const whole = new Tally()
const startedAt = performance.now()
const minutesLeft = (): number => minutes - (performance.now() - startedAt) / 60_000
let firstSeed = readTotals(path).rows[row]?.next ?? firstSeedEver
const { commit, dirty } = describeCommit()
console.log(`first seed ${firstSeed}  commit ${commit}${dirty ? ' (changed)' : ''}`)
while (minutesLeft() > 0 && !stop.signal.aborted) {
  const sliceStartedAt = performance.now()
  const slice = new Tally()
  const taken = await runCampaign(planOfSlice(firstSeed, Math.min(sliceMinutesMax, minutesLeft())), {
    tally: whole,
    startedAt,
    progressEveryMs: 60_000,
    stop: stop.signal,
    onReport: (report) => slice.add(report),
  })
  firstSeed = seedAfter(firstSeed, taken)
  addToTotals(
    row,
    {
      figures: slice.figures(performance.now() - sliceStartedAt),
      commit: dirty ? `${commit} (changed)` : commit,
      date: new Date().toISOString().slice(0, 10),
      next: firstSeed,
    },
    path,
  )
}
for (const line of whole.coverage()) console.log(line)
console.log(whole.summary(performance.now() - startedAt))
if (whole.failures > 0) process.exitCode = 1

function planOfSlice(first: number, amount: number): Plan {
  const run = { server: 'quorate', change: {}, replayEvery: 10, reducesWithoutBound: false }
  return { kind: 'minutes', amount, firstSeed: first, jobs, run }
}

function readOptions(): { minutes: number; jobs: number; path: string } {
  const options = new Arguments(usage)
  const hours = options.maybe('hours')
  const given = { minutes: Number(hours === undefined ? options.text('minutes') : 60 * Number(hours)) }
  const read = {
    ...given,
    jobs: options.number('jobs', availableParallelism()),
    path: options.text('totals', totalsPath),
  }
  options.refuseUnknown()
  if (!(read.minutes > 0)) options.fail('--hours or --minutes is above 0')
  if (read.jobs < 1) options.fail('--jobs is at least 1')
  return read
}
