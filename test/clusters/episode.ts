// One history: faults that a seed draws, for some seconds.
import { SeededRandom } from '../../src/base/index.ts'
import type { Laboratory } from '../support/laboratory.ts'
import type { ClusterSettings, System } from './cluster.ts'
import { drawFaults, type FaultKind, fastClockRate, Nemesis } from './nemesis.ts'
import { type Result, runSession } from './session.ts'

export interface EpisodeSetup {
  readonly system: System
  readonly seed: number
  readonly tree: string
  readonly keepData: boolean
  /** Undefined: drawn by the seed. */
  readonly faults: readonly FaultKind[] | undefined
}

const clientCount = 6
const faultsMs = 7_000

export async function runEpisode(setup: EpisodeSetup, laboratory: Laboratory): Promise<Result> {
  const { system, seed, tree, keepData } = setup
  const random = new SeededRandom(seed)
  const kinds = setup.faults ?? drawFaults(random, system)
  const settings: ClusterSettings = {
    system,
    tree,
    ...random.pick([
      { heartbeatMs: 100, electionMs: 1_000 },
      { heartbeatMs: 50, electionMs: 500 },
      { heartbeatMs: 30, electionMs: 300 },
    ]),
    snapshotCount: random.pick([20, 100, 10_000]),
    fakeClocks: kinds.includes('wallJump') ? 'wall' : kinds.includes('clockRate') ? 'all' : undefined,
  }
  const clockRateMax = kinds.includes('clockRate') ? fastClockRate : 1
  const load = { clients: clientCount, probes: false }
  let faults: ReadonlyMap<FaultKind, number> = new Map()
  const result = await runSession(
    { settings, laboratory, random, load, clockRateMax, keepData },
    async (session) => {
      const nemesis = new Nemesis({
        cluster: session.cluster,
        random: random.fork(),
        kinds,
        cutClients: () => session.cutClients(),
        answeredCount: () => session.recorder.answeredCount,
      })
      faults = nemesis.counts
      await nemesis.run(faultsMs)
    },
  )
  const figures = Object.fromEntries(faults)
  return { ...result, name: `seed ${seed}`, system, figures, faults }
}
