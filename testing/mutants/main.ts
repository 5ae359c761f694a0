// Shows that the standard checks can fail: plants each bug of the catalogue in a copy of the tree and runs them there.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Arguments } from '../../test/support/arguments.ts'
import { type Mutant, readMutants, readRows } from './catalogue.ts'
import { type Outcome, runChecks, standardSeeds } from './checks.ts'
import { runSweep } from './kernel.ts'
import { type NoticedRecord, orderSteps, readRecord, type Step, writeRecord } from './order.ts'
import { describe, describeSimulator, isExpectedToBeCaught, medianOf, page } from './report.ts'
import { copyTree, type Tree } from './tree.ts'

const usage = `npm run mutants -- [--only NAME,...] [--from NAME] [--simulator] [--jobs N] [--write] [--list]
Plants each bug of testing/mutants/*.txt in a copy of the sources and runs the standard checks there, until one fires:
${standardSeeds} seeds of the simulator and the tests of the rooms. The unchanged tree has to pass all of them too. What fired
the last time (testing/mutants/noticed.json) goes first; that nothing notices a bug is said after all checks. A bug that only
a real kernel shows is tried with a sweep of \`npm run kernel\` where that runs. The last line is \`caught N of M\`; the exit
code is 1 when one is not caught that is expected to be.

  --only       these alone; the unchanged tree is not run with them
  --from       leaves out those before it in the list; the unchanged tree is not run with them
  --simulator  asks all standard seeds first, in their order: how long the simulator needs. Longer
  --jobs       how many at a time (default: processors)
  --write      remembers what fired in testing/mutants/noticed.json, and writes docs/mutants.md
  --list       what there is`

const given = new Arguments(usage)
const names = given.maybe('only')?.split(',')
const from = given.maybe('from')
const isSimulatorAsked = given.flag('simulator')
const jobs = given.number('jobs', availableParallelism())
const isWritten = given.flag('write')
const isList = given.flag('list')
given.refuseUnknown()

const all = readMutants()
for (const name of [...(names ?? []), ...(from === undefined ? [] : [from])]) {
  if (all.every((mutant) => mutant.name !== name)) given.fail(`there is no planted bug ${name}`)
}
const chosen = all
  .slice(from === undefined ? 0 : all.findIndex(({ name }) => name === from))
  .filter(({ name }) => names?.includes(name) ?? true)
if (isList) {
  for (const { name, rows, by, what } of chosen) console.log(`${name}  (${rows.join(', ')})  ${by}: ${what}`)
  process.exit(0)
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

let record: NoticedRecord = readRecord()
const outcomes = new Map<Mutant, Outcome>()
const leftToTheKernel: Mutant[] = []
const startedMs = performance.now()
const isWhole = names === undefined && from === undefined
const waiting = [
  ...(isWhole ? [unchangedPassesSeeds, unchangedPassesTests] : []),
  ...chosen.map((mutant) => () => judge(mutant)),
]
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (let work = waiting.shift(); work !== undefined; work = waiting.shift()) await work()
  }),
)
summarize()

/** What cannot be judged (it stands nowhere, its tests do not run) holds up none of the others. */
async function judge(mutant: Mutant): Promise<void> {
  let tree: Tree | undefined
  try {
    tree = copyTree(mutant)
    await (mutant.by === 'kernel' ? judgeByKernel(mutant, tree) : judgeByChecks(mutant, tree))
  } catch (error) {
    process.exitCode = 1
    console.log(`NOT JUDGED  ${mutant.name}  (${mutant.rows.join(', ')})  ${error}`)
  } finally {
    tree?.remove()
  }
}

async function judgeByChecks(mutant: Mutant, tree: Tree): Promise<void> {
  const before = record[mutant.name] ?? {}
  const files = tree.testFiles(mutant.file.split('/')[1] ?? '')
  const steps = orderSteps(mutant.by, before, files, isSimulatorAsked)
  conclude(mutant, await runChecks(tree, steps, before))
}

async function judgeByKernel(mutant: Mutant, tree: Tree): Promise<void> {
  const outcome = await runSweep(tree, mutant.sweep)
  if (typeof outcome !== 'string') return conclude(mutant, outcome)
  leftToTheKernel.push(mutant)
  console.log(`left to a real kernel  ${mutant.name}  (${mutant.rows.join(', ')})  ${outcome}`)
}

function conclude(mutant: Mutant, outcome: Outcome): void {
  outcomes.set(mutant, outcome)
  const done = outcomes.size + leftToTheKernel.length
  const goneSeconds = (performance.now() - startedMs) / 1000
  const left = Math.ceil((goneSeconds / done / 60) * (chosen.length - done))
  console.log(`${describe(mutant, outcome)}  [${done} of ${chosen.length}, about ${left} min left]`)
  if (!isWritten) return
  record = { ...record, [mutant.name]: outcome.noticed }
  writeRecord(all, record)
}

function unchangedPassesSeeds(): Promise<void> {
  return unchangedPasses(`${standardSeeds} standard seeds`, () => [{ by: 'simulator' }])
}

function unchangedPassesTests(): Promise<void> {
  return unchangedPasses('all tests', (files) => [{ by: 'tests', files }])
}

async function unchangedPasses(what: string, steps: (files: readonly string[]) => Step[]): Promise<void> {
  const tree = copyTree(undefined)
  try {
    const { own, others } = tree.testFiles('')
    const outcome = await runChecks(tree, steps([...own, ...others]), {})
    const { check, hung, facts, isBroken, simulatedSeconds, realSeconds } = outcome
    if (check !== undefined || hung !== undefined || isBroken) {
      console.log(`the unchanged tree does not pass: ${check ?? `${hung} (time limit)`}\n${facts}`)
      process.exit(1)
    }
    const times = `${Math.round(simulatedSeconds)} s simulated, ${realSeconds.toFixed(1)} s real`
    console.log(`the unchanged tree passes ${what}  ${times}`)
  } finally {
    tree.remove()
  }
}

function summarize(): void {
  const judged = chosen.filter((mutant) => !leftToTheKernel.includes(mutant))
  const caught = judged.filter((mutant) => outcomes.get(mutant)?.isCaught)
  const realSeconds = medianOf([...outcomes.values()].map((outcome) => outcome.realSeconds))
  const minutes = ((performance.now() - startedMs) / 60_000).toFixed(1)
  if (isWritten) {
    const root = join(import.meta.dirname, '..', '..')
    writeFileSync(join(root, 'docs', 'mutants.md'), page(readRows(), all, record))
    const format = ['format', '--write', 'docs/mutants.md']
    spawnSync(join(root, 'node_modules', '.bin', 'biome'), format, { cwd: root })
  }
  console.log(describeSimulator(all, record))
  console.log(`real time: half of them within ${realSeconds.toFixed(1)} s, in all ${minutes} min`)
  if (leftToTheKernel.length > 0) console.log(`left to a real kernel: ${leftToTheKernel.length}`)
  const missed = judged.filter((mutant) => !caught.includes(mutant))
  if (missed.length > 0) console.log(`not noticed: ${missed.map(({ name }) => name).join(', ')}`)
  if (missed.some(isExpectedToBeCaught)) process.exitCode = 1
  console.log(`caught ${caught.length} of ${judged.length}`)
}
