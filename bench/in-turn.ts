// Servers beside each other in short windows that take turns: what the machine does to one, it does to all. Their processor
// time is told by threads. See README.md.
import { Arguments } from '../test/support/arguments.ts'
import { processorMs, processorMsByThread } from '../test/support/processes.ts'
import { type ServerCluster, startCluster } from '../test/support/servers.ts'
import { Generator } from './generator.ts'
import { type KeyOperationName, keyOperationNames } from './load/requests.ts'
import type { Sample } from './many-clients.ts'
import { median } from './median.ts'
import { fill, leaderOf, type RandomLoad, runRandomLoad } from './parts.ts'

const usage = `npm run bench:in-turn -- [options] NAME=COMMAND ...
  NAME=COMMAND     a server, as often as wanted: what it is called here, and its command, to which etcd's flags are
                   appended: etcd=etcd quorate=bin/quorate 'one thread=env NODE_OPTIONS=--v8-pool-size=1 bin/quorate'
  --rounds 5       windows of each server; the median counts, and the order is turned round every round
  --ms 2500        of each window, after a warm-up of a second
  --size 1         nodes of each server
  --operation put  or ${keyOperationNames.slice(1).join(', ')}
  --load 100x10    connections x requests under way on each
  --keys 1000000   of 256 bytes, put before the first window; each request names one at random
All servers run all the time, and the load goes from one to the next. Prints every window, and the medians with their
ratios to the first server's. Processor time is that of all nodes from before the warm-up to the last answer, a request:
of all threads, and of those of one name; "main" are the first ones. Nothing is stored.
Exit code 1: a server did not start, or not every answer was right; 2: these options make no sense.`

const processorMetric = 'processor us a request, '
/** Microseconds a request: threads that take less in every server are not printed. */
const printedThreadMin = 0.05

type Side = { readonly name: string; readonly command: string; readonly samples: Sample[] }
type Plan = { sides: Side[]; rounds: number; size: number; operation: KeyOperationName; load: RandomLoad }

async function main(): Promise<void> {
  const { sides, rounds, size, operation, load } = planOf(new Arguments(usage))
  const clusters = new Map<Side, ServerCluster>()
  try {
    for (const side of sides) {
      const cluster = await startCluster(side.command, { label: 'bench-in-turn', size })
      clusters.set(side, cluster)
      await fill((await leaderOf(cluster)).endpoint, load.keyCount)
    }
    for (let round = 1; round <= rounds; round++) {
      for (const [side, cluster] of round % 2 === 1 ? clusters : [...clusters].toReversed()) {
        const sample = await measureWindow(cluster, operation, load)
        side.samples.push(sample)
        console.error(`${side.name}, round ${round}: ${JSON.stringify(sample)}`)
      }
    }
  } finally {
    Generator.killAll()
    await Promise.all([...clusters.values()].map((cluster) => cluster.stop()))
  }
  print(sides)
}

/** What `options` say; ends the process with the usage where they make no sense. */
function planOf(options: Arguments): Plan {
  const positive = (name: string, otherwise: number): number => {
    const value = options.number(name, otherwise)
    return value > 0 ? value : options.fail(`--${name} is at least 1`)
  }
  const [rounds, countedMs, size] = [positive('rounds', 5), positive('ms', 2_500), positive('size', 1)]
  const named = options.text('operation', 'put')
  const operation = keyOperationNames.find((name) => name === named)
  const shape = /^([1-9]\d*)x([1-9]\d*)$/.exec(options.text('load', '100x10'))
  const keyCount = positive('keys', 1_000_000)
  const sides = options.words().map((word): Side => {
    const [, name, command] = /^([^=]+)=(.*\S.*)$/.exec(word) ?? options.fail(`${word} is not NAME=COMMAND`)
    return { name: name as string, command: command as string, samples: [] }
  })
  options.refuseUnknown()
  if (operation === undefined) return options.fail(`no operation is called ${named}`)
  if (shape === null) return options.fail('--load is CONNECTIONSxSTREAMS')
  if (sides.length === 0) options.fail('no server is named')
  if (new Set(sides.map(({ name }) => name)).size < sides.length) options.fail('two servers have one name')
  const load = { connections: Number(shape[1]), streams: Number(shape[2]), keyCount, countedMs }
  return { sides, rounds, size, operation, load }
}

async function measureWindow(
  cluster: ServerCluster,
  operation: KeyOperationName,
  load: RandomLoad,
): Promise<Sample> {
  const before = processorTimes(cluster)
  const { statuses, ...report } = await runRandomLoad(cluster, operation, load)
  const { requestsPerSecond, p50Ms, p99Ms, generatorBusy } = report
  const sample: Sample = { requestsPerSecond, p50Ms, p99Ms, generatorBusy }
  const answers = statuses[0] ?? Number.NaN
  for (const [name, ms] of Object.entries(processorTimes(cluster))) {
    sample[name] = round(((ms - (before[name] ?? 0)) * 1_000) / answers)
  }
  return sample
}

/** Milliseconds so far, of all nodes together. */
function processorTimes(cluster: ServerCluster): Sample {
  const times: Sample = {}
  for (const node of cluster.nodes) {
    const pid = node.servingPid()
    for (const [name, ms] of [['all threads', processorMs(pid)] as const, ...processorMsByThread(pid)]) {
      const metric = `${processorMetric}${name}`
      times[metric] = (times[metric] ?? 0) + ms
    }
  }
  return times
}

/** A row for each metric: the medians, and behind them those of all but the first server by the first one's. */
function print(sides: readonly Side[]): void {
  const table: { [metric: string]: { [column: string]: number } } = {}
  for (const metric of new Set(sides.flatMap(({ samples }) => samples.flatMap(Object.keys)))) {
    // Not every server has threads of every name.
    const medianOf = ({ samples }: Side): number => median(samples.flatMap((sample) => sample[metric] ?? []))
    const medians = sides.map((side) => ({ name: side.name, value: medianOf(side) }))
    const [first, ...others] = medians
    const isSmall = medians.every(({ value }) => !(value >= printedThreadMin))
    if (first === undefined || (metric.startsWith(processorMetric) && isSmall)) continue
    const [of, base] = [first.name, first.value]
    const ratios = others.map(({ name, value }) => ({ name: `${name} / ${of}`, value: value / base }))
    const cells = [...medians, ...ratios].filter(({ value }) => Number.isFinite(value))
    table[metric] = Object.fromEntries(cells.map(({ name, value }) => [name, round(value)]))
  }
  console.table(table)
}

function round(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 100) / 100
}

await main()
