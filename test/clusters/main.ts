// Real processes under real faults: `npm run clusters -- --help`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Arguments } from '../support/arguments.ts'
import type { System } from './cluster.ts'
import { describeEpisode, type EpisodeResult, runEpisode } from './episode.ts'
import { Laboratory, missingHere } from './laboratory.ts'
import { type FaultKind, faultKinds } from './nemesis.ts'

const usage = `npm run clusters -- [--system quorate|etcd|both] [--only NAME,...] [--histories N] [--seed S]
  Three real nodes in network namespaces: recorded clients under drawn faults, judged by the simulator's checkers.
  Needs root on Debian with iproute2, iptables, strace, libfaketime, and etcd-server for --system etcd.
  --system       default both
  --histories 4  of each system; 0: none
  --seed S       of the first history, the others follow; default: by the time
  --faults A,B   these instead of drawn ones: ${faultKinds.join(', ')}
  --tree DIR     the sources of Quorate (default: these); a broken copy shows that the checkers fire
  --keep         keeps logs and data of a history that failed
  --json FILE    writes the totals`

async function main(): Promise<number> {
  const options = new Arguments(usage)
  const system = options.text('system', 'both')
  const histories = options.number('histories', 4)
  const seed = options.number('seed', Date.now() % 1_000_000)
  const tree = options.text('tree', join(import.meta.dirname, '../..'))
  const keepData = options.flag('keep')
  const json = options.maybe('json')
  const faults = readFaults(options)
  options.refuseUnknown()
  if (!['quorate', 'etcd', 'both'].includes(system)) options.fail(`--system ${system} is none`)
  const systems: System[] = system === 'both' ? ['quorate', 'etcd'] : [system as System]
  const missing = missingHere(systems)
  if (missing.length > 0) {
    console.error(`missing here: ${missing.join(', ')}`)
    return 3
  }
  const laboratory = new Laboratory(3)
  const episodes: EpisodeResult[] = []
  for (let i = 0; i < histories; i++) {
    for (const one of systems) {
      const episode = await runEpisode({ system: one, seed: seed + i, tree, keepData, faults }, laboratory)
      episodes.push(episode)
      console.log(describeEpisode(episode))
      for (const { promise, facts } of episode.violations.slice(0, 5)) console.log(`  ${promise}: ${facts}`)
    }
  }
  laboratory.close()
  const totals = systems.map((one) => totalsOf(one, episodes))
  for (const total of totals) console.log(JSON.stringify(total))
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ totals }, undefined, 2)}\n`)
  return episodes.some((episode) => episode.violations.length > 0) ? 1 : 0
}

function readFaults(options: Arguments): FaultKind[] | undefined {
  const names = options.list('faults', '')
  const kinds = faultKinds.filter((kind) => names.includes(kind))
  if (kinds.length !== names.length) options.fail(`--faults ${names.join(',')}: ${faultKinds.join(', ')}`)
  return names.length === 0 ? undefined : kinds
}

function totalsOf(system: System, all: readonly EpisodeResult[]): Record<string, number | string> {
  const episodes = all.filter((episode) => episode.system === system)
  const sum = (of: (episode: EpisodeResult) => number): number =>
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
