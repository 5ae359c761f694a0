import { SeededRandom } from '../base/index.ts'
import { type MaybePlace, maybePlaces } from '../io/index.ts'
import type { ServerTuning } from './server-seam.ts'

export const faultKinds = [
  'crash',
  'crashAll',
  'kill',
  'stop',
  'upgrade',
  'absence',
  'pause',
  'strobe',
  'partition',
  'oneWay',
  'swizzle',
  'clog',
  'cut',
  'halfOpen',
  'flaky',
  'corrupt',
  'slowDisk',
  'hungDisk',
  'diskError',
  'noSpace',
  'diskFull',
  'rot',
  'lostWrite',
  'misdirectedWrite',
  'oldCopy',
  'clockRate',
  'wallJump',
  'ambush',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** What goes well with terms that change fast. */
const stormFaults = [
  'crash',
  'crashAll',
  'kill',
  'absence',
  'pause',
  'partition',
  'oneWay',
  'swizzle',
  'clog',
  'cut',
  'flaky',
  'slowDisk',
] as const

/** Everything that a run is made of besides its seed; plain data, so that a failing run can be made smaller. */
export interface SimulationOptions {
  readonly nodes: number
  readonly clients: number
  readonly keys: number
  readonly faults: readonly FaultKind[]
  /** Mean time between two faults. */
  readonly faultEveryMs: number
  /** How long clients and faults go on. */
  readonly chaosMs: number
  /** How long the cluster has afterwards to serve and agree again. */
  readonly healMs: number
  readonly thinkMs: number
  readonly leases: boolean
  readonly compaction: boolean
  /** Numbered requests, and reads with a least revision: what a server of ours promises beyond etcd. */
  readonly extensions: boolean
  /** Bits rot in files of one node, once. Only in a cluster: the others have what it loses. */
  readonly rot: boolean
  /** Members come, go, move and lose their disks. Not together with `rot`: a majority keeps what was acknowledged. */
  readonly members: boolean
  readonly networkDelayMs: number
  /** In the end a minority, if there is one, stays dead, paused, cut off or without a disk. Only where members stay. */
  readonly healsMajority: boolean
  /** Where the product does what is rare and legal, until it is healed. */
  readonly maybe: readonly MaybePlace[]
  readonly tuning: ServerTuning
}

/** Draws a run. Swarm testing: a third of the runs has one kind of fault, often; a third all; a third some. */
export function drawOptions(seed: number): SimulationOptions {
  const random = new SeededRandom(seed)
  const faults = drawFaults(random)
  const heartbeatMs = random.pick([20, 50, 100])
  const nodes = random.pick([1, 3, 3, 3, 5])
  const drawn = {
    nodes,
    clients: random.between(2, 7),
    keys: random.between(1, 9),
    faults,
    faultEveryMs: faults.length === 1 ? random.between(200, 1500) : random.between(500, 3000),
    chaosMs: random.between(6_000, 20_000),
    healMs: 60_000,
    thinkMs: random.pick([5, 30, 100]),
    leases: random.chance(0.5),
    compaction: random.chance(0.5),
    extensions: random.chance(0.5),
    rot: random.chance(0.15) && nodes > 1,
    networkDelayMs: random.pick([0.1, 0.5, 5]),
    healsMajority: random.chance(0.3) && nodes > 1,
    maybe: random.chance(0.5) ? maybePlaces.filter(() => random.chance(0.3)) : [],
    tuning: {
      heartbeatMs,
      electionMs: heartbeatMs * random.between(8, 12),
      segmentBytesMax: random.pick([4096, 16_384, 262_144]),
      snapshotEntries: random.pick([5, 20, 100, 100_000]),
      appendBytesMax: random.pick([64, 1024, 65_536]),
      inflightMax: random.pick([1, 2, 64]),
      windowBytesMax: random.pick([256, 4096, 1_048_576]),
      flushIntervalMs: random.pick([0, 50, 1_000]),
      queueMax: random.pick([2, 16_384, 16_384, 16_384]),
      uncommittedBytesMax: random.pick([4_096, 1_048_576, 1_048_576]),
      leaseCheckpointMs: random.pick([500, 300_000]),
      flushOperations: random.pick([5, 4_000, 4_000]),
    },
  }
  const members = random.chance(0.3)
  const options = {
    ...drawn,
    members,
    rot: drawn.rot && !members,
    healsMajority: drawn.healsMajority && !members,
  }
  return random.chance(0.4) ? stormOf(options, random) : options
}

/**
 * A storm over consensus: election timeouts that are short beside the delays of network and disk, so that terms follow
 * each other fast, and faults that wait for the moments in between. Nothing here damages files: what a cut tail may have
 * held is guarded for ten election timeouts only (docs/decisions/0026), which are short here.
 */
function stormOf(options: SimulationOptions, random: SeededRandom): SimulationOptions {
  const heartbeatMs = random.pick([10, 20])
  return {
    ...options,
    nodes: random.pick([3, 3, 5]),
    clients: random.between(2, 5),
    faults: ['ambush', ...stormFaults.filter(() => random.chance(0.3))],
    faultEveryMs: random.between(200, 1000),
    chaosMs: random.between(5_000, 12_000),
    rot: false,
    thinkMs: random.pick([30, 100]),
    networkDelayMs: random.pick([0.1, 0.5, 5]),
    tuning: {
      ...options.tuning,
      heartbeatMs,
      electionMs: heartbeatMs * random.between(5, 9),
      appendBytesMax: random.pick([1, 1, 64, 1024]),
      inflightMax: random.pick([1, 1, 2, 64]),
    },
  }
}

function drawFaults(random: SeededRandom): FaultKind[] {
  const shape = random.between(0, 3)
  if (shape === 0) return [random.pick(faultKinds)]
  if (shape === 1) return [...faultKinds]
  return faultKinds.filter(() => random.chance(0.4))
}
