// The command line of `npm run simulate`: what is to be run, as plain data.
import { availableParallelism } from 'node:os'
import { crc32c, utf8Encode } from '../../src/base/index.ts'
import { drawOptions, type SimulationOptions } from '../../src/simulator/index.ts'
import type { Arguments } from '../../test/support/arguments.ts'
import { serverNames } from './servers.ts'

export const usage: string = `npm run simulate -- [options]      whole clusters under faults, in virtual time, seed after seed

What to run (one of):
  --seeds 20              so many seeds, one line each
  --minutes 3             seed after seed for that long
  --seed N                this one seed, twice; prints its digest. Same commit, Node version and options: same output
  --speed                 no faults, a fixed load: how many times faster than real time the simulation runs
Where to begin:
  --from 1                the first seed
  --first-seed-of TEXT    instead: drawn from a text, such as a commit hash; the first line of the output names it
How:
  --jobs ${availableParallelism()}                seeds at a time, each on a thread of its own (default: the number of cores)
  --replay 10             every 10th seed runs a second time, and the digests must be equal; all, none
  --options JSON          instead of what the seed draws, such as '{"nodes":1,"faults":["crash"]}'
  --server quorate        the server under test: ${serverNames.slice(0, 3).join(', ')}, ...
  --reduce                search for the smallest failing run without a bound

A seed that breaks a promise is run again with fewer faults, nodes, clients and less time as long as it still breaks
the promise, and the smallest run found is told as a story: faults, starts and ends of servers, elections, and the
calls and watch messages that the promise is about. Exit code 1: a promise was broken.
The last line sums up: seeds, failures, differing digests, simulated hours, ratio to real time, acknowledged writes.`

/** Seeds are 32 bits, and after the last comes the first. */
const seedCount = 2 ** 32

export interface Plan {
  readonly kind: 'one' | 'count' | 'minutes' | 'speed'
  /** Seeds or minutes; 1 for a single seed. */
  readonly amount: number
  readonly firstSeed: number
  readonly jobs: number
  readonly run: RunPlan
}

/** How each seed is run. */
export interface RunPlan {
  readonly server: string
  /** Instead of what the seed draws. */
  readonly change: Partial<SimulationOptions>
  /** Every n-th seed is run twice; 0: none. */
  readonly replayEvery: number
  /** No bound on the search for a smaller failing run. */
  readonly reducesWithoutBound: boolean
}

/** What `options` say; ends the process with the usage where they make no sense. */
export function planOf(options: Arguments): Plan {
  const minutes = options.maybe('minutes')
  const single = options.maybe('seed')
  const count = options.number('seeds', 20)
  const kind = options.flag('speed')
    ? 'speed'
    : single !== undefined
      ? 'one'
      : minutes !== undefined
        ? 'minutes'
        : 'count'
  const from = options.number('from', 1)
  const text = options.maybe('first-seed-of')
  if (text === '' || text === 'true') options.fail('--first-seed-of needs a text')
  if (text !== undefined && options.maybe('from') !== undefined) {
    options.fail('--from and --first-seed-of are two first seeds')
  }
  const firstSeed = kind === 'one' ? Number(single) : text === undefined ? from : seedOfText(text)
  const amount = kind === 'minutes' ? Number(minutes) : kind === 'one' ? 1 : count
  const jobs = options.number('jobs', availableParallelism())
  const run = runPlanOf(options, kind === 'one' ? 'all' : '10')
  options.refuseUnknown()
  if (!Number.isSafeInteger(firstSeed) || firstSeed < 0 || firstSeed >= seedCount) {
    options.fail('a seed is a whole number below 2^32')
  }
  if (!(amount > 0)) options.fail('there is nothing to run')
  if (jobs < 1) options.fail('--jobs is at least 1')
  return { kind, amount, firstSeed, jobs, run }
}

function runPlanOf(options: Arguments, replay: string): RunPlan {
  const server = options.text('server', 'quorate')
  if (!serverNames.includes(server)) options.fail(`--server is one of ${serverNames.join(', ')}`)
  return {
    server,
    change: optionsOf(options),
    replayEvery: replayEveryOf(options, replay),
    reducesWithoutBound: options.flag('reduce'),
  }
}

function optionsOf(options: Arguments): Partial<SimulationOptions> {
  const change = parseObject(options.text('options', '{}'))
  if (change === undefined) return options.fail('--options is a JSON object')
  const known = Object.keys(drawOptions(1))
  const unknown = Object.keys(change).filter((name) => !known.includes(name))
  if (unknown.length > 0) options.fail(`--options knows ${known.join(', ')}, not ${unknown.join(', ')}`)
  return change
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function replayEveryOf(options: Arguments, otherwise: string): number {
  const replay = options.text('replay', otherwise)
  if (replay === 'all') return 1
  if (replay === 'none') return 0
  if (!/^[1-9]\d*$/.test(replay)) options.fail('--replay is all, none, or a number from 1 on')
  return Number(replay)
}

/** A first seed for a text: the same text gives the same one, a commit hash one that nobody has chosen. */
export function seedOfText(text: string): number {
  return crc32c(utf8Encode(text))
}

/** The seed `steps` after `first`. */
export function seedAfter(first: number, steps: number): number {
  return (first + steps) % seedCount
}
