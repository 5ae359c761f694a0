// Shows that the standard checks can fail: plants each bug of the catalogue in a copy of the tree and runs them there.
//   node testing/mutants/main.ts [--jobs N] [--only NAME[,NAME]] [--write] [--list]
// The unchanged tree has to pass first. The last line is `caught N of M`; exit code 1 unless all were caught, and each by
// something that is no time limit. `--write` writes docs/mutants.md.
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Mutant, readMutants, readRows } from './catalogue.ts'
import { type Outcome, runChecks, standardSeeds } from './checks.ts'
import { describe, medianOf, page } from './report.ts'
import { copyTree } from './tree.ts'

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
})

const all = readMutants()
const names = values.only?.split(',')
const chosen = all.filter(({ name }) => names?.includes(name) ?? true)
const unknown = names?.filter((name) => all.every((mutant) => mutant.name !== name)) ?? []
if (unknown.length > 0) {
  console.error(`no mutant ${unknown.join(', ')}`)
  process.exit(2)
}
if (values.list) {
  for (const { name, rows, by, what } of chosen) console.log(`${name}  (${rows.join(', ')})  ${by}: ${what}`)
  process.exit(0)
}

const outcomes = new Map<Mutant, Outcome>()
const planned = chosen.filter(({ by }) => by !== 'kernel')
const startedMs = performance.now()
const waiting: (Mutant | undefined)[] = names === undefined ? [undefined, ...planned] : [...planned]
await Promise.all(Array.from({ length: Number(values.jobs) }, work))
for (const { name, rows, expect } of chosen.filter(({ by }) => by === 'kernel')) {
  console.log(`left to a real kernel  ${name}  (${rows.join(', ')})  ${expect}`)
}
summarize()

async function work(): Promise<void> {
  while (waiting.length > 0) await judge(waiting.shift())
}

async function judge(mutant: Mutant | undefined): Promise<void> {
  const tree = copyTree(mutant)
  try {
    const outcome = await runChecks(tree, mutant?.file.split('/')[1] ?? '')
    if (mutant === undefined) judgeUnchanged(outcome)
    else {
      outcomes.set(mutant, outcome)
      console.log(describe(mutant, outcome))
    }
  } finally {
    tree.remove()
  }
}

function judgeUnchanged(outcome: Outcome): void {
  const { check, facts, simulatedSeconds, realSeconds } = outcome
  if (check === undefined && !outcome.isBroken) {
    const simulated = `${standardSeeds} seeds, ${Math.round(simulatedSeconds)} s simulated`
    console.log(`the unchanged tree passes: ${simulated}, and the tests, in ${Math.round(realSeconds)} s`)
    return
  }
  console.log(`the unchanged tree does not pass: ${check}\n${facts}`)
  process.exit(1)
}

function summarize(): void {
  const caught = planned.filter((mutant) => outcomes.get(mutant)?.isCaught)
  const simulated = caught.map((mutant) => outcomes.get(mutant)).filter((one) => one?.by === 'simulator')
  const seconds = (of: (outcome: Outcome) => number, among: typeof simulated): string =>
    medianOf(among.map((outcome) => (outcome === undefined ? 0 : of(outcome)))).toFixed(1)
  const real = seconds(
    (outcome) => outcome.realSeconds,
    caught.map((mutant) => outcomes.get(mutant)),
  )
  console.log(
    `median until the simulator notices: ${seconds(({ simulatedSeconds }) => simulatedSeconds, simulated)} s simulated`,
  )
  console.log(
    `median of real time: ${real} s; in all ${Math.round((performance.now() - startedMs) / 1000)} s`,
  )
  if (values.write) {
    writeFileSync(
      join(import.meta.dirname, '..', '..', 'docs', 'mutants.md'),
      page(readRows(), chosen, outcomes),
    )
  }
  console.log(`caught ${caught.length} of ${planned.length}`)
  if (caught.length < planned.length) process.exitCode = 1
}
