// One seed of a plan: run, compared with a second run where the plan wants it, and told as a story where it failed.
import {
  describeRun,
  drawOptions,
  Journal,
  reduceRun,
  repeats,
  type SimulationOptions,
  type SimulationResult,
  type StartServer,
  simulate,
  simulateTwice,
  tellStory,
  type Violation,
} from '../../src/simulator/index.ts'
import type { RunPlan } from './plan.ts'
import { serverOf } from './servers.ts'

/** Tries for a smaller failing run end after this many times the events of the run that failed. */
const reduceEffort = 40

/** What came of a seed; plain data that passes between threads. */
export interface SeedReport {
  readonly seed: number
  /** One line on the run. */
  readonly line: string
  readonly digest: number
  readonly comparison: 'equal' | 'different' | 'none'
  readonly violations: readonly Violation[]
  /** What to read about a failure, in lines. */
  readonly story: string | undefined
  readonly virtualMs: number
  readonly acknowledgedWrites: number
  readonly watchedEvents: number
  readonly faults: ReadonlyMap<string, number>
  readonly marks: ReadonlyMap<string, number>
}

/** `isTold`: a failure is made smaller and told as a story; otherwise only its facts are given. */
export async function runSeed(seed: number, plan: RunPlan, isTold: boolean): Promise<SeedReport> {
  const startServer = serverOf(plan.server)
  const options = { ...drawOptions(seed), ...plan.change }
  const isReplayed = plan.replayEvery > 0 && seed % plan.replayEvery === 0
  let result: SimulationResult
  try {
    result = await (isReplayed ? simulateTwice : simulate)(seed, startServer, options)
  } catch (error) {
    return brokenOff(seed, plan, error)
  }
  const isDifferent = result.violations.some(({ promise }) => promise === repeats)
  return {
    seed,
    line: describeRun(result),
    digest: result.digest,
    comparison: isDifferent ? 'different' : isReplayed ? 'equal' : 'none',
    violations: result.violations,
    story: await storyOf(result, startServer, plan, isTold),
    virtualMs: result.virtualMs,
    acknowledgedWrites: result.acknowledgedWrites,
    watchedEvents: result.watchedEvents,
    faults: new Map([...result.faults, ...result.changes]),
    marks: result.marks,
  }
}

/** A run that could not be finished is a failure like any other. */
export function brokenOff(seed: number, plan: RunPlan, error: unknown): SeedReport {
  const facts = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return {
    seed,
    line: `seed ${seed}  FAILED  the run broke off`,
    digest: 0,
    comparison: 'none',
    violations: [{ promise: 'a run ends', facts }],
    story: `# Seed ${seed}: a run ends. Again: ${againOf(seed, plan, plan.change)}\n${facts}\n`,
    virtualMs: 0,
    acknowledgedWrites: 0,
    watchedEvents: 0,
    faults: new Map(),
    marks: new Map(),
  }
}

async function storyOf(
  result: SimulationResult,
  startServer: StartServer,
  plan: RunPlan,
  isTold: boolean,
): Promise<string | undefined> {
  const [first] = result.violations
  if (first === undefined) return undefined
  if (isTold) return explain(result, startServer, plan)
  const again = againOf(result.seed, plan, plan.change)
  return `# Seed ${result.seed}: ${first.promise}: ${first.facts}. Again:\n# ${again}\n`
}

/** The smallest run found that still breaks the first promise, as a story. */
async function explain(result: SimulationResult, startServer: StartServer, plan: RunPlan): Promise<string> {
  const { seed, violations } = result
  const promise = violations[0]?.promise
  const effort = plan.reducesWithoutBound ? Number.POSITIVE_INFINITY : reduceEffort * result.events
  const smallest = promise === repeats ? result : await reduceRun(result, startServer, effort)
  const journal = new Journal()
  const told = await simulate(seed, startServer, smallest.options, journal)
  const again = againOf(seed, plan, changesOf(seed, smallest.options))
  const title =
    promise === repeats
      ? `Seed ${seed}: two runs differ (${violations.at(-1)?.facts}). Again: ${again}`
      : `Seed ${seed}: ${promise}. Made smaller from ${result.events} events to ${smallest.events}. Again:\n# ${again}`
  return tellStory(title, { ...told, violations: smallest.violations }, journal)
}

/** What differs from the options that the seed draws. */
export function changesOf(seed: number, options: SimulationOptions): Partial<SimulationOptions> {
  const drawn: Partial<Record<string, unknown>> = { ...drawOptions(seed) }
  const changed = Object.entries(options).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(drawn[name]),
  )
  return Object.fromEntries(changed)
}

function againOf(seed: number, plan: RunPlan, change: Partial<SimulationOptions>): string {
  const server = plan.server === 'quorate' ? '' : ` --server ${plan.server}`
  const options = Object.keys(change).length === 0 ? '' : ` --options '${JSON.stringify(change)}'`
  return `npm run simulate -- --seed ${seed}${server}${options}`
}
