import type { SeededRandom } from '../base/index.ts'
import type { ClusterNode, SimulatedCluster } from './cluster.ts'
import { type DiskOperation, solidStateLatency } from './disk.ts'
import type { Journal } from './journal.ts'
import type { FaultKind, SimulationOptions } from './options.ts'

/** How much faster than true time a clock may run (or slower, by the same). */
export const clockRateMax = 1.05

/** These last so many times as long as the others. */
const longFaults: Partial<Record<FaultKind, number>> = { clockRate: 5, absence: 12 }

type Undo = () => void
const nothingToUndo: Undo = () => undefined

/** Injects faults at drawn times, takes each back after a drawn while, and counts what it did. */
export class Nemesis {
  readonly counts: Map<FaultKind, number> = new Map()
  readonly #cluster: SimulatedCluster
  readonly #random: SeededRandom
  readonly #options: SimulationOptions
  readonly #inject: Record<FaultKind, (node: ClusterNode) => Undo>
  readonly #journal: Journal | undefined
  #isStopped = false

  constructor(
    cluster: SimulatedCluster,
    random: SeededRandom,
    options: SimulationOptions,
    journal?: Journal,
  ) {
    this.#cluster = cluster
    this.#journal = journal
    this.#random = random
    this.#options = options
    this.#inject = createFaults(cluster, random)
    this.#scheduleNext()
  }

  /** No fault after this; what still waits to be taken back is left to `cluster.heal`. */
  stop(): void {
    this.#isStopped = true
  }

  #scheduleNext(): void {
    const { faults, faultEveryMs } = this.#options
    if (faults.length === 0) return
    this.#later(2 * faultEveryMs * this.#random.unit(), () => {
      const kind = this.#random.pick(faults)
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
      const node = this.#pickNode()
      this.#journal?.fault(this.#cluster.scheduler.now, `${kind} ${node.name}`)
      const undo = this.#inject[kind](node)
      this.#later(this.#drawWhile() * (longFaults[kind] ?? 1), () => {
        this.#journal?.fault(this.#cluster.scheduler.now, `end of ${kind} ${node.name}`)
        undo()
      })
      this.#scheduleNext()
    })
  }

  #later(delayMs: number, act: () => void): void {
    this.#cluster.scheduler.after(delayMs, () => {
      if (!this.#isStopped) act()
    })
  }

  /** Leaders are hit more often than the others. */
  #pickNode(): ClusterNode {
    const leader = this.#random.chance(0.4) ? this.#cluster.leader : undefined
    return leader ?? this.#random.pick(this.#cluster.nodes)
  }

  /** Mostly shorter than two elections, now and then much longer. */
  #drawWhile(): number {
    const election = this.#options.tuning.electionMs
    return this.#random.chance(0.2)
      ? election * (2 + 4 * this.#random.unit())
      : 2 * election * this.#random.unit()
  }
}

/** Each fault hits one node and returns what takes it back. */
function createFaults(
  cluster: SimulatedCluster,
  random: SeededRandom,
): Record<FaultKind, (node: ClusterNode) => Undo> {
  const { network } = cluster
  const heal = (): void => network.heal()
  const othersThan = (node: ClusterNode): string[] =>
    cluster.nodes.filter((other) => other !== node).map((other) => other.name)
  const restart = (node: ClusterNode) => (): void => cluster.restart(node)
  return {
    crash: (node) => {
      cluster.crash(node)
      return restart(node)
    },
    crashAll: () => {
      for (const each of cluster.nodes) cluster.crash(each)
      return () => cluster.startAll()
    },
    kill: (node) => {
      cluster.kill(node)
      return restart(node)
    },
    // Long enough to miss more than the log of the others keeps.
    absence: (node) => {
      const isDown = ({ seat, life }: ClusterNode): boolean => seat !== undefined && life === undefined
      if (cluster.nodes.some((other) => other !== node && isDown(other))) return nothingToUndo
      if (random.chance(0.5)) cluster.crash(node)
      else cluster.kill(node)
      return restart(node)
    },
    pause: (node) => {
      node.machine.pause()
      return () => node.machine.resume()
    },
    partition: (node) => {
      // A node alone against the others, or one side of the triangle only.
      const names = othersThan(node)
      network.partition([node.name], random.chance(0.7) ? names : names.slice(0, 1), 'both')
      return heal
    },
    oneWay: (node) => {
      if (random.chance(0.5)) network.partition([node.name], othersThan(node), 'one-way')
      else network.partition(othersThan(node), [node.name], 'one-way')
      return heal
    },
    clog: (node) => {
      for (const name of othersThan(node)) network.clog(node.name, name, random.between(10, 1000))
      return heal
    },
    cut: (node) => {
      for (const name of othersThan(node)) network.cutConnections(node.name, name)
      return nothingToUndo
    },
    flaky: () => {
      network.setFaults({ cutChance: 0.05, splitChance: 0.5 })
      return () => network.setFaults({})
    },
    corrupt: () => {
      network.setFaults({ corruptChance: 0.05 })
      return () => network.setFaults({})
    },
    slowDisk: ({ machine }) => {
      const healthy = solidStateLatency(random.fork())
      const factor = random.pick([10, 100, 1000])
      machine.disk.setLatency((operation, bytes, isDurable) => factor * healthy(operation, bytes, isDurable))
      return () => machine.disk.setLatency(healthy)
    },
    diskError: ({ machine }) => {
      machine.disk.failNext({ operation: random.pick(failingOperations), nth: random.between(1, 10) })
      return nothingToUndo
    },
    diskFull: ({ machine }) => {
      machine.disk.setFaults({ bytesMax: machine.disk.usedBytes + random.between(0, 20_000) })
      return () => machine.disk.setFaults({})
    },
    clockRate: ({ machine }) => {
      machine.clock.setRate(1 + (clockRateMax - 1) * (2 * random.unit() - 1))
      return () => machine.clock.setRate(1)
    },
    wallJump: ({ machine }) => {
      machine.clock.jumpWall(random.between(-7_200_000, 7_200_000))
      return nothingToUndo
    },
  }
}

const failingOperations: readonly DiskOperation[] = [
  'write',
  'sync',
  'open',
  'read',
  'rename',
  'preallocate',
  'syncDirectory',
]
