// Real processes under real faults: `npm run clusters -- --help`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Arguments } from '../support/arguments.ts'
import type { System } from './cluster.ts'
import { describeEpisode, type EpisodeResult, runEpisode } from './episode.ts'
import { Laboratory, missingHere } from './laboratory.ts'
import { type FaultKind, faultKinds } from './nemesis.ts'
import { runScenario, type Scenario, type ScenarioResult, scenarios } from './scenarios.ts'
import { describeSession, type SessionResult } from './session.ts'

const shownMax = 5

const usage = `npm run clusters -- [--system quorate|etcd|both] [--only NAME,...] [--histories N] [--seed S]
  Three real nodes in network namespaces: recorded clients under drawn faults, judged by the simulator's checkers.
  Needs root on Debian with iproute2, iptables, strace, libfaketime, and etcd-server for --system etcd.
  --system       default both
  --histories 4  of each system; 0: none
  --only A,B     these scenarios and no histories unless --histories asks for them; none: no scenario
                 ${scenarios.map(({ name }) => name).join(', ')}
  --samples 4    of each figure that is measured more than once
  --seed S       of the first history, the others follow; default: by the time
  --faults A,B   these instead of drawn ones: ${faultKinds.join(', ')}
  --tree DIR     the sources of Quorate (default: these); a broken copy shows that the checkers fire
  --keep         keeps logs and data of a history that failed
  --json FILE    writes the totals`

async function main(): Promise<number> {
  const options = new Arguments(usage)
  const system = options.text('system', 'both')
  const histories = options.number('histories', options.maybe('only') === undefined ? 4 : 0)
  const seed = options.number('seed', Date.now() % 1_000_000)
  const tree = options.text('tree', join(import.meta.dirname, '../..'))
  const keepData = options.flag('keep')
  const json = options.maybe('json')
  const faults = readFaults(options)
  const samples = options.number('samples', 4)
  const chosen = readScenarios(options)
  options.refuseUnknown()
  if (!['quorate', 'etcd', 'both'].includes(system)) options.fail(`--system ${system} is none`)
  const systems: System[] = system === 'both' ? ['quorate', 'etcd'] : [system as System]
  const missing = missingHere(systems)
  if (missing.length > 0) {
    console.error(`missing here: ${missing.join(', ')}`)
    return 3
  }
  const laboratory = new Laboratory(3)
  const results: ScenarioResult[] = []
  for (const scenario of chosen) {
    for (const one of systems.filter((name) => scenario.systems.includes(name))) {
      const result = await runScenario(scenario, { system: one, tree, seed, samples, keepData }, laboratory)
      results.push(result)
      const figures = Object.entries(result.figures).map(([name, value]) => `${name} ${value}`)
      console.log(`${scenario.name}  ${one}  ${figures.join(', ')}  ${describeSession(result)}`)
      printViolations(result)
    }
  }
  const episodes: EpisodeResult[] = []
  for (let i = 0; i < histories; i++) {
    for (const one of systems) {
      const episode = await runEpisode({ system: one, seed: seed + i, tree, keepData, faults }, laboratory)
      episodes.push(episode)
      console.log(describeEpisode(episode))
      printViolations(episode)
    }
  }
  laboratory.close()
  const all = [...results, ...episodes]
  const totals = systems.map((one) => totalsOf(one, all))
  for (const total of totals) console.log(JSON.stringify(total))
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ totals, scenarios: results.map(figuresOf) }, undefined, 2)}\n`)
  return all.some((one) => one.violations.length > 0) ? 1 : 0
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

function printViolations({ violations }: SessionResult): void {
  for (const { promise, facts } of violations.slice(0, shownMax)) console.log(`  ${promise}: ${facts}`)
}

function figuresOf({ scenario, system, figures }: ScenarioResult): object {
  return { scenario, system, figures }
}

type Result = SessionResult & { readonly system: System }

function totalsOf(system: System, all: readonly Result[]): Record<string, number | string> {
  const episodes = all.filter((episode) => episode.system === system)
  const sum = (of: (episode: Result) => number): number =>
    episodes.reduce((total, episode) => total + of(episode), 0)
  return {
    system,
    histories: episodes.length,
    violations: sum((episode) => episode.violations.length),
    lost: sum((episode) => episode.lost),
    answered: sum((episode) => episode.answered),
    unknown: sum((episode) => episode.unknown),
    revisions: sum((episode) => episode.revisions),
    watchedEvents: sum((episode) => episode.watchedEvents),
  }
}

process.exit(await main())
