// Quorate beside etcd: same machine, same disk, same load generator, in turn. See README.md.
import { Arguments } from '../test/support/arguments.ts'
import { GrpcClient } from '../test/support/grpc-client.ts'
import { type ServerCluster, startCluster } from '../test/support/servers.ts'
import { measureCatchUp, measureStability } from './cluster-parts.ts'
import type { Load } from './h2load.ts'
import { type KeyOperationName, keyOperationNames } from './load/requests.ts'
import { describeCommit, describeMachine } from './machine.ts'
import {
  type ManyClientsSizes,
  manyClientsSizes,
  measureBigRange,
  measureConnections,
  measureExpiry,
  measureKeepAlives,
  measureWatchDelay,
  measureWatchers,
  type Sample,
} from './many-clients.ts'
import { median } from './median.ts'
import {
  fill,
  type LoadName,
  leaderOf,
  loads,
  measureFirstWrite,
  measureIdle,
  measureLeaderKill,
  measureLoad,
  measureLoaded,
  measureRandomLoad,
  type OperationName,
  operations,
} from './parts.ts'
import { storeResult } from './result-file.ts'

const partNames = [
  'one',
  'three',
  'one-random',
  'three-random',
  'first-write',
  'idle',
  'loaded',
  'leader-kill',
  'big-range',
  'watchers',
  'leases',
  'connections',
  'catch-up',
  'stability',
]

/** Parts that measure a node of their own each time, by the names of their rows. */
const manyClientsParts: Readonly<
  Record<string, Readonly<Record<string, (command: string, sizes: ManyClientsSizes) => Promise<Sample>>>>
> = {
  'big-range': { 'range of 10,000 keys x 1 KiB': measureBigRange },
  watchers: {
    '1,000 watchers of a prefix': measureWatchers,
    '1,000 watchers beside readers': measureWatchDelay,
  },
  leases: { '10,000 leases kept alive': measureKeepAlives, '10,000 leases expire': measureExpiry },
  connections: { '1,000 connections, 10,000 watches': measureConnections },
}

/** Of the loads of "catch-up" and "stability". */
const warmUpMs = 2_000

const usage = `npm run bench -- [options]
  --a etcd --b bin/quorate   the two server commands; etcd's flags are appended
  --sides a,b                which of the two is measured
  --parts ${partNames.join(',')}   (default: all)
  --operations put,range-linearizable,range-serializable,transaction  --loads 1x1,100x1,100x10
  --random-operations ${keyOperationNames.join(',')}
  --rounds 3                 of each measurement; the median counts
  --scale 100                percent of the requests of a load
  --keys 1000000             of "loaded", "catch-up", "stability" and the random parts
  --seconds 5                of each load that counts time and not requests, at --scale 100
  --behind-mib 1024          what the follower of "catch-up" has missed
  --catch-up-load 100x10     puts meanwhile; one of the loads
  --minutes 30               of "stability"
  --out bench/results        where the result is stored; "none" stores nothing`

type Measurement = {
  name: string
  warmUp?: (cluster: ServerCluster) => Promise<unknown>
  measure: (cluster: ServerCluster) => Promise<Sample>
}
type Side = 'a' | 'b'
type Row = { name: string; metric: string; better: 'higher' | 'lower'; a: number; b: number; ratio: number }

/** Of rates, and of shares that were kept, more is better; of all other metrics less is. */
const isHigherBetter = (metric: string): boolean => metric.includes('PerSecond') || metric.startsWith('share')

async function main(): Promise<void> {
  const options = new Arguments(usage)
  const commands = { a: options.text('a', 'etcd'), b: options.text('b', 'bin/quorate') }
  const sides = options.list('sides', 'a,b').map(sideOf)
  const parts = options.list('parts', partNames.join(','))
  const wantedOperations = options.list('operations', Object.keys(operations).map(nameOf).join(','))
  const wantedRandomOperations = options
    .list('random-operations', keyOperationNames.join(','))
    .map(randomOperationOf)
  const wantedLoads = options.list('loads', Object.keys(loads).join(','))
  const rounds = options.number('rounds', 3)
  const percent = options.number('scale', 100)
  const keys = options.number('keys', 1_000_000)
  const countedMs = Math.round(options.number('seconds', 5) * 10 * percent)
  const behindMib = options.number('behind-mib', 1_024)
  const catchUpLoad = options.text('catch-up-load', '100x10')
  const minutes = options.number('minutes', 30)
  const out = options.text('out', 'bench/results')
  options.refuseUnknown()
  for (const part of parts) if (!partNames.includes(part)) options.fail(`no part is called ${part}`)
  const bench = new Bench(commands, sides, rounds)
  const chosenLoads = wantedLoads.map((name) => loadOf(name, percent))
  const fixed = wantedOperations.map(operationOf).flatMap((operation) =>
    chosenLoads.map(({ name, load }) => ({
      name: `${operation} ${name}`,
      // Warm-up of both, not counted: compilers and caches come to rest.
      warmUp: (cluster: ServerCluster) => measureLoad(cluster, operation, partOf(load, 0.25)),
      measure: (cluster: ServerCluster) => measureLoad(cluster, operation, load),
    })),
  )
  const random = wantedRandomOperations.flatMap((operation) =>
    chosenLoads.map(({ name, load: { connections, streams } }) => {
      const load = { connections, streams, keyCount: keys, countedMs }
      return {
        name: `${operation} of ${keys} keys ${name}`,
        measure: (cluster: ServerCluster) => measureRandomLoad(cluster, operation, load),
      }
    }),
  )
  for (const size of [1, 3]) {
    const nodes = size === 1 ? 'one' : 'three'
    if (parts.includes(nodes)) await bench.throughput(size, fixed)
    if (!parts.includes(`${nodes}-random`)) continue
    await bench.throughput(size, random, async (cluster) => fill((await leaderOf(cluster)).endpoint, keys))
  }
  if (parts.includes('first-write')) {
    await bench.compare('start to first write', async (command) => ({ ms: await measureFirstWrite(command) }))
  }
  if (parts.includes('idle')) {
    await bench.compare('idle', async (command) => ({ residentBytes: await measureIdle(command) }))
  }
  if (parts.includes('loaded')) {
    await bench.compare(`${keys} keys of 256 bytes`, (command) => measureLoaded(command, keys), 1)
  }
  if (parts.includes('leader-kill')) {
    await bench.compare('leader kill to next write', async (command) => ({
      ms: await measureLeaderKill(command),
    }))
  }
  for (const part of parts) {
    for (const [name, measure] of Object.entries(manyClientsParts[part] ?? {})) {
      await bench.compare(name, (command) => measure(command, { ...manyClientsSizes, countedMs }))
    }
  }
  if (parts.includes('catch-up')) {
    const { connections, streams } = loadOf(catchUpLoad, percent).load
    const sizes = { behindMib, connections, streams, keyCount: keys, warmUpMs, countedMs }
    const name = `follower ${behindMib} MiB behind, puts ${catchUpLoad}`
    await bench.compare(name, (command) => measureCatchUp(command, sizes), 1)
  }
  if (parts.includes('stability')) {
    const sizes = { keyCount: keys, warmUpMs, compactEveryMs: 10_000, ms: minutes * 60_000 }
    await bench.compare(`${minutes} minutes of churn`, (command) => measureStability(command, sizes), 1)
  }
  if (bench.rows.length === 0) throw new Error('nothing was measured')
  bench.print()
  if (out !== 'none') await store(out, parts, commands, bench)
}

class Bench {
  readonly rows: Row[] = []
  readonly samples: { name: string; side: Side; round: number; sample: Sample }[] = []
  readonly #commands: { a: string; b: string }
  readonly #sides: readonly Side[]
  readonly #rounds: number

  constructor(commands: { a: string; b: string }, sides: readonly Side[], rounds: number) {
    this.#commands = commands
    this.#sides = sides
    this.#rounds = rounds
  }

  async throughput(
    size: number,
    measurements: readonly Measurement[],
    prepare: (cluster: ServerCluster) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const clusters: { a?: ServerCluster; b?: ServerCluster } = {}
    try {
      for (const side of this.#sides) {
        clusters[side] = await startCluster(this.#commands[side], { label: `bench-${side}`, size })
        await prepare(started(clusters, side))
      }
      for (const { name, warmUp, measure } of measurements) {
        for (const side of this.#sides) await warmUp?.(started(clusters, side))
        const nodes = size === 1 ? 'one node' : `${size} nodes`
        await this.#measureRounds(`${nodes}, ${name}`, this.#rounds, (side) =>
          measure(started(clusters, side)),
        )
      }
    } finally {
      await clusters.a?.stop()
      await clusters.b?.stop()
    }
  }

  async compare(
    name: string,
    measure: (command: string) => Promise<Sample>,
    rounds = this.#rounds,
  ): Promise<void> {
    await this.#measureRounds(name, rounds, (side) => measure(this.#commands[side]))
  }

  print(): void {
    console.log(`\na = ${this.#commands.a}, b = ${this.#commands.b}; medians; ratio above 1: b is better`)
    for (const row of this.rows) {
      const value = (number: number): string => show(number, row.metric).padStart(12)
      const ratio = Number.isNaN(row.ratio) ? '-' : row.ratio.toFixed(2)
      console.log(
        `${row.name.padEnd(40)} ${row.metric.padEnd(26)} ${value(row.a)} ${value(row.b)} ${ratio.padStart(7)}`,
      )
    }
  }

  /** Both sides in turn, and the order of the two turned round every round. */
  async #measureRounds(
    name: string,
    rounds: number,
    measure: (side: Side) => Promise<Sample>,
  ): Promise<void> {
    const taken: { a: Sample[]; b: Sample[] } = { a: [], b: [] }
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? this.#sides : this.#sides.toReversed()) {
        const sample = await measure(side)
        taken[side].push(sample)
        this.samples.push({ name, side, round, sample })
        console.error(`${name}, ${this.#commands[side]}, round ${round + 1}: ${JSON.stringify(sample)}`)
      }
    }
    for (const metric of Object.keys(taken.a[0] ?? taken.b[0] ?? {})) {
      const medianOf = (samples: readonly Sample[]): number =>
        median(samples.map((sample) => sample[metric] ?? Number.NaN))
      const [a, b] = [medianOf(taken.a), medianOf(taken.b)]
      const better = isHigherBetter(metric) ? 'higher' : 'lower'
      const ratio = a === b ? 1 : better === 'higher' ? b / a : a / b
      this.rows.push({ name, metric, better, a, b, ratio })
    }
  }
}

function started(clusters: { a?: ServerCluster; b?: ServerCluster }, side: Side): ServerCluster {
  const cluster = clusters[side]
  if (cluster === undefined) throw new Error(`side ${side} is not started`)
  return cluster
}

async function store(
  directory: string,
  parts: readonly string[],
  commands: { a: string; b: string },
  bench: Bench,
): Promise<void> {
  const { commit, dirty } = describeCommit()
  const date = new Date().toISOString().slice(0, 10)
  const versions = { a: await versionOf(commands.a), b: await versionOf(commands.b) }
  const result = {
    date,
    commit,
    dirty,
    machine: describeMachine(),
    commands,
    versions,
    medians: bench.rows,
    samples: bench.samples,
  }
  // With its parts, so that the list of the files says what was measured.
  const path = storeResult(directory, parts.join('-'), result)
  console.log(`stored in ${path}`)
}

/** What the server says of itself, by the protocol. */
async function versionOf(command: string): Promise<string> {
  const cluster = await startCluster(command, { label: 'bench-version', size: 1 })
  try {
    const client = new GrpcClient(cluster.endpoints[0] ?? '')
    const { version } = await client.must('status', {})
    client.close()
    return String(version)
  } finally {
    await cluster.stop()
  }
}

function sideOf(name: string): Side {
  if (name !== 'a' && name !== 'b') throw new Error(`no side is called ${name}`)
  return name
}

function operationOf(name: string): OperationName {
  const found = Object.keys(operations).find((operation) => nameOf(operation) === name)
  if (found === undefined) throw new Error(`no operation is called ${name}`)
  return found as OperationName
}

/** As it is written on the command line. */
function nameOf(operation: string): string {
  return operation.replaceAll(' ', '-')
}

function randomOperationOf(name: string): KeyOperationName {
  const found = keyOperationNames.find((operation) => operation === name)
  if (found === undefined) throw new Error(`no operation with random keys is called ${name}`)
  return found
}

function partOf(load: Load, share: number): Load {
  return { ...load, requests: Math.max(load.connections, Math.round(load.requests * share)) }
}

function loadOf(name: string, percent: number): { name: string; load: Load } {
  const load = loads[name as LoadName]
  if (load === undefined) throw new Error(`no load is called ${name}`)
  return {
    name,
    load: partOf(load, percent / 100),
  }
}

function show(value: number, metric: string): string {
  if (Number.isNaN(value)) return '-'
  if (!/^bytes|Bytes$/.test(metric)) return value >= 100 ? String(Math.round(value)) : value.toFixed(2)
  const isSmall = value < 1024 * 1024
  return isSmall ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1024 / 1024).toFixed(1)} MiB`
}

await main()
