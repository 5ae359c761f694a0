// What a run of the mutation suite says, as lines and as the page docs/mutants.md.
import type { Mutant, Row } from './catalogue.ts'
import type { Outcome } from './checks.ts'

/** One line a mutant, and below it the facts where a human has to look. */
export function describe(mutant: Mutant, outcome: Outcome): string {
  const { name, rows, expect } = mutant
  const { by, check, simulatedSeconds, realSeconds, facts } = outcome
  const verdict = outcome.isBroken ? 'IS NO PROGRAM' : outcome.isCaught ? 'caught' : 'SURVIVED'
  const what = check === undefined ? '' : `  ${by}: ${check}${outcome.isTimeout ? ' (time limit)' : ''}`
  const times = `${Math.round(simulatedSeconds)} s simulated, ${realSeconds.toFixed(1)} s real`
  const line = `${verdict}  ${name}  (${rows.join(', ')})${what}  ${times}`
  if (outcome.isBroken) return `${line}\n    ${facts}`
  if (check === undefined || check.includes(expect)) return line
  return `${line}\n    expected: ${expect}\n    ${facts.split('\n').slice(0, 3).join('\n    ')}`
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[sorted.length >> 1] ?? 0
}

export function page(
  rows: readonly Row[],
  mutants: readonly Mutant[],
  outcomes: ReadonlyMap<Mutant, Outcome>,
): string {
  const describeRow = ({ id, text, reason }: Row): string[] => {
    const mine = mutants.filter((mutant) => mutant.rows.includes(id))
    if (mine.length === 0) return [`| ${id} | ${text} | none | ${reason ?? 'MISSING'} |`]
    return mine.map((mutant) => `| ${id} | ${text} | ${mutant.name} | ${checkOf(mutant, outcomes)} |`)
  }
  return [
    '# Planted bugs',
    '',
    'Written by `npm run mutants -- --write`: each row of what toy implementations get wrong, of the known faults of etcd,',
    'and of the defects in published samples, with the bugs planted for it and the check that fired first. The bugs are',
    'data in `testing/mutants/*.txt`. Checks, in this order: the standard seeds of the simulator, the tests of the room,',
    'all other tests of the rooms.',
    '',
    '| Row | What goes wrong | Planted bug | Check that fired |',
    '| --- | --- | --- | --- |',
    ...rows.flatMap(describeRow),
    '',
  ].join('\n')
}

function checkOf(mutant: Mutant, outcomes: ReadonlyMap<Mutant, Outcome>): string {
  if (mutant.by === 'kernel') return `only a real kernel shows it: ${mutant.expect}`
  const outcome = outcomes.get(mutant)
  if (outcome?.check === undefined) return 'NONE'
  const simulated =
    outcome.by === 'simulator' ? ` after ${Math.round(outcome.simulatedSeconds)} s simulated` : ''
  return `${outcome.by}: ${outcome.check.replaceAll('|', '\\|')}${simulated}`
}
