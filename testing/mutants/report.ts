// What a run of the mutation suite says, as lines and as the page docs/mutants.md.
import type { Mutant, Row } from './catalogue.ts'
import type { Outcome } from './checks.ts'
import type { Noticed, NoticedRecord, SimulatorVerdict } from './order.ts'

/** What a planted bug is expected to be noticed by while nothing has been found that notices it. */
const nothingYet = 'nothing has noticed it yet'

export function isExpectedToBeCaught({ expect }: Mutant): boolean {
  return expect !== nothingYet
}

/** One line a mutant, and below it the facts where a human has to look. */
export function describe(mutant: Mutant, outcome: Outcome): string {
  const { name, rows, expect } = mutant
  const { by, check, simulatedSeconds, realSeconds, facts } = outcome
  const verdict = outcome.isBroken ? 'IS NO PROGRAM' : outcome.isCaught ? 'caught' : 'NOT NOTICED'
  const what = check === undefined ? '' : `  ${by}: ${check}`
  const hung = outcome.hung === undefined ? '' : `  (time limit, which is no catch: ${outcome.hung})`
  const times = `${Math.round(simulatedSeconds)} s simulated, ${realSeconds.toFixed(1)} s real`
  const line = `${verdict}  ${name}  (${rows.join(', ')})${what}${hung}  ${times}`
  if (outcome.isBroken) return `${line}\n    ${facts}`
  if (check === undefined || by === 'kernel' || check.includes(expect)) return line
  return `${line}\n    expected: ${expect}\n    ${facts.split('\n').slice(0, 3).join('\n    ')}`
}

/** How long the standard seeds needed, of the bugs that they were asked about from the first seed on. */
export function describeSimulator(mutants: readonly Mutant[], record: NoticedRecord): string {
  const asked = mutants.flatMap(({ name }) => record[name]?.simulator ?? [])
  const noticed = asked.filter((verdict) => verdict.noticed !== undefined)
  const median = medianOf(noticed.map(({ simulatedSeconds }) => simulatedSeconds))
  const count = `${noticed.length} of ${asked.length} that they were asked about`
  return `the standard seeds notice ${count}, half of those within ${median} s simulated`
}

/** The higher of the two in the middle; 0 of none. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[sorted.length >> 1] ?? 0
}

export function page(rows: readonly Row[], mutants: readonly Mutant[], record: NoticedRecord): string {
  const noticedBy = (mutant: Mutant): Noticed => record[mutant.name] ?? {}
  const isNoticed = ({ tests, simulator, kernel }: Noticed): boolean =>
    tests !== undefined || simulator?.noticed !== undefined || kernel !== undefined
  const describeRow = ({ id, text, reason }: Row): string[] => {
    const mine = mutants.filter((mutant) => mutant.rows.includes(id))
    if (mine.length === 0) return [`| ${id} | ${text} | none: ${reason ?? 'MISSING'} | | |`]
    return mine.map((mutant) => {
      const { tests, simulator, kernel } = noticedBy(mutant)
      // The seeds are asked before it is said that nothing notices it.
      const otherwise =
        simulator === undefined ? 'not tried' : simulator.noticed === undefined ? '**nothing**' : ''
      const byTests = cell(kernel ?? tests ?? otherwise)
      return `| ${id} | ${text} | ${mutant.name} | ${byTests} | ${cell(describeVerdict(simulator))} |`
    })
  }
  const noticedCount = mutants.filter((mutant) => isNoticed(noticedBy(mutant))).length
  return [
    '# Planted bugs',
    '',
    'Written by `npm run mutants -- --write`: each row of what toy implementations get wrong, of the known faults of etcd,',
    'and of the defects in published samples, with the bugs planted for it and what noticed each when it was last run.',
    'The bugs are data in `testing/mutants/*.txt`. The checks are the standard seeds of the simulator and the tests of the',
    'rooms; what fired the last time goes first, and a run ends with the first that fires. With `--simulator` the seeds',
    'are all asked, in their order: the last column, in seconds simulated since the start of the first seed.',
    '',
    `${noticedCount} of ${mutants.length} are noticed; ${describeSimulator(mutants, record)}.`,
    '',
    '| Row | What goes wrong | Planted bug | Noticed by the test or sweep | By the standard seeds |',
    '| --- | --- | --- | --- | --- |',
    ...rows.flatMap(describeRow),
    '',
  ].join('\n')
}

function describeVerdict(verdict: SimulatorVerdict | undefined): string {
  if (verdict === undefined) return 'not asked'
  const seconds = `${verdict.simulatedSeconds} s`
  if (verdict.noticed === undefined) return `not within ${seconds}`
  return `${verdict.noticed.promise}: seed ${verdict.noticed.seed}, ${seconds}`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '\\<')
}
