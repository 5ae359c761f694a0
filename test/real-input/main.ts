// The real input of the project, asked of etcd and of Quorate, answer by answer. See README.md.
import { Arguments } from '../support/arguments.ts'
import { allKeys, revisionOf } from '../support/keys.ts'
import { type ServerCluster, startCluster } from '../support/servers.ts'
import { knownDifferences } from './known-differences.ts'
import { changePackages, loadPackages } from './load.ts'
import { Pair } from './pair.ts'
import { Plant, plantNames } from './plant.ts'
import {
  compareCompaction,
  compareLeases,
  compareReads,
  compareWatches,
  compareWholeState,
  errorCases,
} from './queries.ts'
import { runRandom } from './random.ts'

const usage = `node test/real-input/main.ts (--a HOST:PORT --b HOST:PORT | --start [--command-a etcd] [--command-b bin/quorate])
  --packages N|all   load Debian's package index and compare every kind of answer
  --random N         compare N random request sequences (may stand beside --packages; runs first)
  --seed S           first seed of the random sequences (default: from the clock, printed)
  --plant FAULT      change one answer of side b, to prove that it is found: ${plantNames.join(', ')}
Both servers must be fresh. Exit 1: a difference that test/real-input/known-differences.ts does not list.`

async function main(): Promise<number> {
  const options = new Arguments(usage)
  const started: ServerCluster[] = []
  const start = options.flag('start')
  const commands = [options.text('command-a', 'etcd'), options.text('command-b', 'bin/quorate')]
  const packages = options.maybe('packages')
  const sequences = options.number('random', 0)
  const seed = options.number('seed', Date.now() % 1_000_000)
  const plantName = options.maybe('plant')
  const given = start ? [] : [options.text('a'), options.text('b')]
  options.refuseUnknown()
  if (packages === undefined && sequences === 0) options.fail('nothing to do: --packages or --random')
  if (plantName !== undefined && !plantNames.includes(plantName))
    options.fail(`no fault is called ${plantName}`)
  const plant = plantName === undefined ? undefined : new Plant(plantName)
  let finished = false
  try {
    if (start) {
      for (const [i, command] of commands.entries()) {
        started.push(await startCluster(command, { label: `real-input-${'ab'[i]}`, size: 1 }))
      }
    }
    const [a = '', b = ''] = start ? started.flatMap((cluster) => cluster.endpoints) : given
    const pair = new Pair(a, b, plant)
    await requireFresh(pair)
    if (sequences > 0) await random(pair, sequences, seed)
    if (packages !== undefined)
      await realInput(pair, packages === 'all' ? Number.POSITIVE_INFINITY : Number(packages))
    pair.close()
    if (plant?.used === false) throw new Error('the fault was never planted')
    finished = true
    return report(pair)
  } finally {
    if (!finished) console.error(`logs: ${started.map(({ directory }) => directory).join(' ')}`)
    for (const cluster of started) await cluster.stop(!finished)
  }
}

async function requireFresh(pair: Pair): Promise<void> {
  const revisions = await Promise.all(
    [pair.a, pair.b].map(async ({ client }) =>
      revisionOf(await client.must('range', { ...allKeys, count_only: true })),
    ),
  )
  if (revisions.some((revision) => revision !== 1)) {
    throw new Error(`both servers must be fresh (revision 1); they are at ${revisions.join(' and ')}`)
  }
}

async function random(pair: Pair, count: number, seed: number): Promise<void> {
  const { sequences, operations, events, failedSeeds } = await runRandom(pair, count, seed)
  console.log(
    `random: ${sequences} sequences from seed ${seed}, ${operations} operations, ${events} watched events`,
  )
  if (events === 0 || operations < sequences) throw new Error('the random run saw no events or asked nothing')
  if (failedSeeds.length > 0) console.log(`random: failed seeds ${failedSeeds.join(' ')}`)
}

async function realInput(pair: Pair, countMax: number): Promise<void> {
  const loaded = await loadPackages(pair, countMax)
  console.log(`loaded ${loaded.names.length} packages, ${loaded.keys} puts, revision ${loaded.lastRevision}`)
  const walked = await compareWholeState(pair, loaded.names, loaded.lastRevision)
  const changedRevision = await changePackages(pair, loaded.names)
  const reads = await compareReads(pair, loaded, changedRevision)
  const events = await compareWatches(pair, loaded)
  await compareLeases(pair)
  const again = await compareWholeState(pair, loaded.names, 0)
  const old = await compareWholeState(pair, loaded.names, loaded.lastRevision)
  if (old !== walked) throw new Error(`history changed: ${walked} keys first, ${old} later`)
  await compareCompaction(pair, loaded, changedRevision)
  for (const [name, request] of errorCases(changedRevision)) await pair.call(name, request)
  console.log(
    `compared ${walked} keys, ${reads} reads, ${events} watched events, ${again} keys after the changes`,
  )
}

function report(pair: Pair): number {
  for (const [kind, count] of [...pair.kinds].sort()) console.log(`${String(count).padStart(8)} ${kind}`)
  for (const { id, reason } of knownDifferences) {
    const count = pair.knownCounts.get(id) ?? 0
    if (count > 0) console.log(`known difference ${id}: ${count} times. ${reason}`)
  }
  const seconds = [pair.a, pair.b].map((side) => (side.waitedMs / 1_000).toFixed(1))
  console.log(`waited for answers: a ${seconds[0]} s, b ${seconds[1]} s`)
  console.log(`${pair.requests} requests asked of both, ${pair.differences} differences`)
  return pair.differences === 0 ? 0 : 1
}

process.exit(await main())
