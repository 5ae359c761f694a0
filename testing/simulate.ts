// Runs seeds of the simulation, each twice, one line a seed:
//   node testing/simulate.ts --seeds 100 --from 1 [--server quorate|fake] [--options '{"nodes":1}'] [--reduce]
// Exit code 1 when a seed broke a promise; then seed and options are printed, ready to be run again.
import { parseArgs } from 'node:util'
import {
  describeRun,
  drawOptions,
  reduceRun,
  type SimulationOptions,
  type SimulationResult,
  type StartServer,
  simulateTwice,
  startQuorate,
} from '../src/simulator/index.ts'
import { startFakeServer } from './fake-server.ts'

const servers: Record<string, StartServer> = { quorate: startQuorate, fake: startFakeServer('none') }

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    from: { type: 'string', default: '1' },
    server: { type: 'string', default: 'quorate' },
    options: { type: 'string', default: '{}' },
    reduce: { type: 'boolean', default: false },
  },
})
const first = Number(values.from)
const end = first + Number(values.seeds)
const startServer = servers[values.server]
if (startServer === undefined || !Number.isSafeInteger(first) || !Number.isSafeInteger(end)) {
  console.error(`usage: --seeds COUNT --from SEED --server ${Object.keys(servers).join('|')}`)
  process.exit(2)
}
const change = JSON.parse(values.options) as Partial<SimulationOptions>

let failures = 0
const marks = new Map<string, number>()
for (let seed = first; seed < end; seed++) {
  const result = await simulateTwice(seed, startServer, { ...drawOptions(seed), ...change })
  console.log(describeRun(result))
  for (const [mark, count] of result.marks) marks.set(mark, (marks.get(mark) ?? 0) + count)
  if (result.violations.length === 0) continue
  failures++
  explain(result)
  if (values.reduce) {
    const smallest = await reduceRun(result, startServer)
    console.log(`  reduced: ${describeRun(smallest)}`)
    explain(smallest)
  }
}
console.log(`reached: ${[...marks].map(([mark, count]) => `${mark}=${count}`).join(' ')}`)
if (failures > 0) {
  console.log(`${failures} of ${end - first} seeds failed`)
  process.exitCode = 1
}

function explain(result: SimulationResult): void {
  for (const { promise, facts } of result.violations.slice(0, 10)) console.log(`  ${promise}: ${facts}`)
  if (result.violations.length > 10) console.log(`  and ${result.violations.length - 10} more`)
  const options = JSON.stringify(result.options)
  console.log(`  again: --from ${result.seed} --seeds 1 --server ${values.server} --options '${options}'`)
}
