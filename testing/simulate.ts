// Whole clusters under faults, seed after seed; `--help` says how.
import { Arguments } from '../test/support/arguments.ts'
import { runCampaign } from './simulation/campaign.ts'
import { type Plan, planOf, usage } from './simulation/plan.ts'
import { runSeed } from './simulation/run-seed.ts'
import { measureSpeed } from './simulation/speed.ts'
import { Tally } from './simulation/tally.ts'

const plan = planOf(new Arguments(usage))
if (plan.kind === 'speed') console.log(await measureSpeed())
else if (plan.kind === 'one') await runOne(plan)
else await runMany(plan)

/** Nothing but what the seed decides is printed. */
async function runOne({ firstSeed, run }: Plan): Promise<void> {
  const report = await runSeed(firstSeed, run, true)
  console.log(report.line)
  if (report.story !== undefined) console.log(`\n${report.story}`)
  console.log(`digest ${report.digest.toString(16).padStart(8, '0')}`)
  if (report.violations.length > 0) process.exitCode = 1
}

async function runMany(seeds: Plan): Promise<void> {
  const tally = new Tally()
  const startedAt = performance.now()
  console.log(`first seed ${seeds.firstSeed}`)
  await runCampaign(seeds, { tally, startedAt, progressEveryMs: 10_000 })
  for (const line of tally.coverage()) console.log(line)
  console.log(tally.summary(performance.now() - startedAt))
  if (tally.failures > 0) process.exitCode = 1
}
