// Real processes under real faults: `npm run clusters -- --help`.
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { countRuns, type Figures } from '../../testing/totals.ts'
import { Arguments } from '../support/arguments.ts'
import { missingTools } from '../support/missing.ts'
import { fillCompileCache, type System } from './cluster.ts'
import { missingForFakeTime } from './fake-time.ts'
import { type FaultKind, faultKinds } from './nemesis.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import { describeSession, type Result } from './session.ts'
import { runTasks, type Task } from './workers.ts'

const shownMax = 5
const factsLengthMax = 400
/** They mostly wait. */
const jobsDefault = availableParallelism() + 1

const usage = `npm run clusters -- [--system quorate|etcd|both] [--only NAME,...] [--histories N] [--seed S]
  Three real nodes in network namespaces: recorded clients under drawn faults, judged by the simulator's checkers.
  Needs root on Debian with iproute2, iptables, strace, libfaketime, and etcd-server for --system etcd.
  --system       default both
  --histories 4  of each system; 0: none
  --jobs ${jobsDefault}       scenarios and histories at a time; 1 for figures in milliseconds that say something
  --only A,B     these scenarios and no histories unless --histories asks for them; none: no scenario
                 ${scenarios.map(({ name }) => name).join(', ')}
  --samples 4    of each figure that is measured more than once
  --seed S       of the first history, the others follow; default: by the time
  --faults A,B   these instead of drawn ones: ${faultKinds.join(', ')}
  --tree DIR     the sources of Quorate (default: these); a broken copy shows that the checkers fire
  --keep         keeps logs and data of a history that failed
  --json FILE    writes the totals by system, and the figures of each scenario
  --totals       adds them to docs/reliability-totals.json`

async function main(): Promise<number> {
  const options = new Arguments(usage)
  const system = options.text('system', 'both')
  const histories = options.number('histories', options.maybe('only') === undefined ? 4 : 0)
  const jobs = options.number('jobs', jobsDefault)
  const seed = options.number('seed', Date.now() % 1_000_000)
  const tree = options.text('tree', join(import.meta.dirname, '../..'))
  const keepData = options.flag('keep')
  const json = options.maybe('json')
  const counts = options.flag('totals')
  const faults = readFaults(options)
  const samples = options.number('samples', 4)
  const chosen = readScenarios(options)
  options.refuseUnknown()
  if (!['quorate', 'etcd', 'both'].includes(system)) options.fail(`--system ${system} is none`)
  const systems: System[] = system === 'both' ? ['quorate', 'etcd'] : [system as System]
  const etcd = systems.includes('etcd') ? (['etcd'] as const) : []
  const missing = [...missingTools(['ip', 'iptables-legacy', 'strace', ...etcd]), ...missingForFakeTime()]
  if (missing.length > 0) {
    console.error(`missing here: ${missing.join(', ')}`)
    return 3
  }
  fillCompileCache(tree)
  const setups = systems.map((one) => ({ system: one, tree, keepData, seed, samples, faults }))
  const results: Result[] = []
  const take = (result: Result): void => {
    results.push(result)
    show(result)
  }
  const startedAt = performance.now()
  const directed = chosen.flatMap(({ name, systems }) =>
    setups
      .filter((one) => systems.includes(one.system))
      .map((one): Task => ({ kind: 'scenario', setup: { ...one, name } })),
  )
  const drawn = Array.from({ length: histories }, (_, i) =>
    setups.map((one): Task => ({ kind: 'history', setup: { ...one, seed: seed + i } })),
  )
  let failure: unknown
  await runTasks([...directed, ...drawn.flat()], jobs, take).catch((error: unknown) => {
    failure = error
  })
  const totals = Object.fromEntries(systems.map((one) => [one, totalsOf(one, results)]))
  for (const [name, figures] of Object.entries(totals)) console.log(describeTotals(name, figures))
  if (json !== undefined) {
    const scenarioFigures = results.map(({ name, system, figures }) => ({ name, system, figures }))
    writeFileSync(json, `${JSON.stringify({ seed, totals, scenarios: scenarioFigures }, undefined, 2)}\n`)
  }
  const realHours = (performance.now() - startedAt) / 3_600_000 / systems.length
  const rows = systems.map((one) => [`clusters of ${one}`, { ...totals[one], realHours }] as const)
  if (counts) countRuns(Object.fromEntries(rows))
  // What was judged until then is counted and shown.
  if (failure !== undefined) throw failure
  return results.some((one) => one.violations.length > 0) ? 1 : 0
}

/** One line of each, and below it what was broken. */
function show(result: Result): void {
  const figures = Object.entries(result.figures).map(([name, value]) => `${name} ${value}`)
  console.log([result.name, result.system, figures.join(', '), describeSession(result)].join('  '))
  for (const { promise, facts } of result.violations.slice(0, shownMax))
    console.log(`  ${promise}: ${facts.slice(0, factsLengthMax)}`)
}

function readFaults(options: Arguments): FaultKind[] | undefined {
  const names = options.list('faults', '')
  const kinds = faultKinds.filter((kind) => names.includes(kind))
  if (kinds.length !== names.length) options.fail(`--faults ${names.join(',')}: ${faultKinds.join(', ')}`)
  return names.length === 0 ? undefined : kinds
}

function readScenarios(options: Arguments): readonly Scenario[] {
  const names = options.list('only', scenarios.map(({ name }) => name).join(','))
  if (names.join() === 'none') return []
  const chosen = scenarios.filter(({ name }) => names.includes(name))
  if (chosen.length !== names.length) options.fail(`--only ${names.join(',')} is not all known`)
  return chosen
}

function totalsOf(system: System, all: readonly Result[]): Figures {
  const results = all.filter((result) => result.system === system)
  const sum = (of: (result: Result) => number): number =>
    results.reduce((total, result) => total + of(result), 0)
  const faults: Record<string, number> = {}
  for (const result of results) {
    for (const [kind, count] of result.faults) faults[kind] = (faults[kind] ?? 0) + count
  }
  return {
    histories: results.length,
    violations: sum((result) => result.violations.length),
    lost: sum((result) => result.lost),
    acknowledgedWrites: sum((result) => result.acknowledgedWrites),
    answered: sum((result) => result.answered),
    failed: sum((result) => result.failed),
    unknown: sum((result) => result.unknown),
    revisions: sum((result) => result.revisions),
    watchedEvents: sum((result) => result.watchedEvents),
    known: sum((result) => [...result.known.values()].reduce((total, count) => total + count, 0)),
    faults,
  }
}

function describeTotals(system: string, totals: Figures): string {
  const { histories, violations, lost, acknowledgedWrites, answered, failed } = totals
  const { unknown, revisions, watchedEvents, known } = totals
  return [
    `${system}: ${histories} histories, ${violations} violations`,
    `${lost} of ${acknowledgedWrites} acknowledged writes lost`,
    `${answered} calls answered, ${failed} failed, ${unknown} unknown`,
    `${revisions} revisions, ${watchedEvents} watched events`,
    ...(known === 0 ? [] : [`${known} known violations`]),
  ].join('; ')
}

process.exit(await main())
