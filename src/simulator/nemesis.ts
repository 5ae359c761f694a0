import type { SeededRandom } from '../base/index.ts'
import { Ambush } from './ambush.ts'
import type { ClusterNode, SimulatedCluster } from './cluster.ts'
import {
  diskOperations,
  durableOperations,
  growingOperations,
  type StrayKind,
  solidStateLatency,
} from './disk.ts'
import type { Journal } from './journal.ts'
import type { FaultKind, SimulationOptions } from './options.ts'

/** How much faster than true time a clock may run (or slower, by the same). */
export const clockRateMax = 1.05

/** These last so many times as long as the others. */
const longFaults: Partial<Record<FaultKind, number>> = {
  clockRate: 5,
  absence: 12,
  oldCopy: 5,
  ambush: 10,
  slowDisk: 4,
}

/** Takes a fault back. Undefined where the fault could not be, or should not be now. */
type Undo = (() => void) | undefined
const nothingToUndo = (): void => undefined

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
    this.#inject = createFaults(cluster, random, () => this.#isStopped)
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
      const node = this.#pickNode()
      const undo = this.#inject[kind](node)
      if (undo !== undefined) {
        this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
        this.#journal?.fault(this.#cluster.scheduler.now, `${kind} ${node.name}`)
        this.#later(this.#drawWhile() * (longFaults[kind] ?? 1), () => {
          this.#journal?.fault(this.#cluster.scheduler.now, `end of ${kind} ${node.name}`)
          undo()
        })
      }
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

type Inject = (node: ClusterNode) => Undo

/** Each fault hits one node and returns what takes it back. */
function createFaults(
  cluster: SimulatedCluster,
  random: SeededRandom,
  isOver: () => boolean,
): Record<FaultKind, Inject> {
  return {
    ...processFaults(cluster, random, isOver),
    ...networkFaults(cluster, random, isOver),
    ...diskFaults(cluster, random),
    ...damageFaults(cluster, random),
    ...clockFaults(random),
    ambush: () => {
      const ambush = new Ambush(cluster, random.fork(), isOver)
      return () => ambush.end()
    },
  }
}

type ProcessFault = 'crash' | 'crashAll' | 'kill' | 'stop' | 'upgrade' | 'absence' | 'pause' | 'strobe'

function processFaults(
  cluster: SimulatedCluster,
  random: SeededRandom,
  isOver: () => boolean,
): Record<ProcessFault, Inject> {
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
    stop: (node) => {
      if (random.chance(0.3)) {
        // What it still wants to write down for its next start may fail.
        const operation = random.pick(['write', 'open', 'syncDirectory'] as const)
        node.machine.disk.failNext({ operation, code: random.pick(['disk-failed', 'disk-full'] as const) })
      }
      // Whatever ends first, the while or the program: it is started when both are over.
      const ended = cluster.stop(node)
      return () => {
        void ended.then(restart(node))
      }
    },
    upgrade: () => {
      if (cluster.isUpgrading) return undefined
      void cluster.upgrade(isOver)
      return nothingToUndo
    },
    // Long enough to miss more than the log of the others keeps.
    absence: (node) => {
      const isDown = ({ seat, life }: ClusterNode): boolean => seat !== undefined && life === undefined
      if (cluster.hasDamage || cluster.nodes.some((other) => other !== node && isDown(other)))
        return undefined
      if (random.chance(0.5)) cluster.crash(node)
      else cluster.kill(node)
      return restart(node)
    },
    pause: ({ machine }) => {
      machine.pause()
      return () => machine.resume()
    },
    strobe: ({ machine }) => {
      const onMs = random.between(10, 200)
      const offMs = random.between(10, 200)
      const flash = (left: number): void => {
        if (left === 0 || isOver()) return
        machine.pause()
        cluster.scheduler.after(offMs, () => {
          machine.resume()
          cluster.scheduler.after(onMs, () => flash(left - 1))
        })
      }
      flash(random.between(3, 15))
      return nothingToUndo
    },
  }
}

type NetworkFault = 'partition' | 'oneWay' | 'swizzle' | 'clog' | 'cut' | 'halfOpen' | 'flaky' | 'corrupt'

function networkFaults(
  cluster: SimulatedCluster,
  random: SeededRandom,
  isOver: () => boolean,
): Record<NetworkFault, Inject> {
  const { network } = cluster
  const heal = (): void => network.heal()
  const othersThan = (node: ClusterNode): string[] =>
    cluster.nodes.filter((other) => other !== node).map((other) => other.name)
  return {
    partition: (node) => {
      // A node alone against the others, one link, or two groups.
      const names = othersThan(node)
      const shape = random.pick(['alone', 'alone', 'link', 'groups'] as const)
      const near = shape === 'groups' ? names.filter(() => random.chance(0.5)) : []
      const far = shape === 'link' ? names.slice(0, 1) : names.filter((name) => !near.includes(name))
      network.partition([node.name, ...near], far, 'both')
      return heal
    },
    oneWay: (node) => {
      if (random.chance(0.5)) network.partition([node.name], othersThan(node), 'one-way')
      else network.partition(othersThan(node), [node.name], 'one-way')
      return heal
    },
    // Links fail one by one over seconds, and come back one by one in another order.
    swizzle: (node) => {
      const { scheduler } = cluster
      const links = othersThan(node).flatMap((name) => [
        [node.name, name] as const,
        [name, node.name] as const,
      ])
      const stepMs = random.between(50, 600)
      for (const [step, [from, to]] of shuffled(links, random).entries()) {
        scheduler.after(step * stepMs, () => isOver() || network.partition([from], [to], 'one-way'))
      }
      for (const [step, [from, to]] of shuffled(links, random).entries()) {
        scheduler.after((links.length + step) * stepMs, () => isOver() || network.unblock(from, to))
      }
      return nothingToUndo
    },
    clog: (node) => {
      for (const name of othersThan(node)) network.clog(node.name, name, random.between(10, 1000))
      return heal
    },
    cut: (node) => {
      for (const name of othersThan(node)) network.cutConnections(node.name, name)
      return nothingToUndo
    },
    // Both sides believe that it lives, or one of them.
    halfOpen: (node) => {
      for (const name of othersThan(node)) {
        network.forgetConnections(node.name, name, random.pick([node.name, name, undefined]))
      }
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
  }
}

type DiskFault = 'slowDisk' | 'hungDisk' | 'diskError' | 'noSpace' | 'diskFull'

function diskFaults(cluster: SimulatedCluster, random: SeededRandom): Record<DiskFault, Inject> {
  return {
    slowDisk: ({ machine }) => {
      const healthy = solidStateLatency(random.fork())
      const factor = random.pick([10, 100, 1000])
      machine.disk.setLatency((operation, bytes, isDurable) => factor * healthy(operation, bytes, isDurable))
      return () => machine.disk.setLatency(healthy)
    },
    // It answers again after a while, or only once the machine was reset.
    hungDisk: (node) => {
      const { disk } = node.machine
      disk.hang(random.pick([undefined, durableOperations]))
      if (random.chance(0.5)) return () => disk.resume()
      return () => {
        cluster.crash(node)
        disk.resume()
        cluster.restart(node)
      }
    },
    diskError: ({ machine }) => {
      machine.disk.failNext({ operation: random.pick(diskOperations), nth: random.between(1, 10) })
      return nothingToUndo
    },
    noSpace: ({ machine }) => {
      const operation = random.pick(growingOperations)
      machine.disk.failNext({ operation, nth: random.between(1, 10), code: 'disk-full' })
      return nothingToUndo
    },
    diskFull: ({ machine }) => {
      machine.disk.setFaults({ bytesMax: machine.disk.usedBytes + random.between(0, 20_000) })
      return () => machine.disk.setFaults({})
    },
  }
}

type DamageFault = 'rot' | 'lostWrite' | 'misdirectedWrite' | 'oldCopy'

/** Where members change, the operator does these: it knows who can be spared, and replaces whoever was hit. */
function damageFaults(cluster: SimulatedCluster, random: SeededRandom): Record<DamageFault, Inject> {
  const { members } = cluster.options
  const stray = (node: ClusterNode, kind: StrayKind): Undo => {
    if (members || !cluster.mayDamage(node)) return undefined
    cluster.stray(node, kind, random)
    return () => {
      cluster.crash(node)
      cluster.restart(node)
    }
  }
  return {
    rot: (node) => {
      if (members || !cluster.mayDamage(node)) return undefined
      cluster.rot(node, random)
      return nothingToUndo
    },
    lostWrite: (node) => stray(node, 'lost'),
    misdirectedWrite: (node) => stray(node, 'misdirected'),
    oldCopy: (node) => {
      if (members || cluster.nodes.length < 3 || cluster.hasDamage || node.life?.server === undefined)
        return undefined
      cluster.kill(node)
      const copy = node.machine.disk.copy()
      cluster.restart(node)
      return () => cluster.startFromCopy(node, copy)
    },
  }
}

function clockFaults(random: SeededRandom): Record<'clockRate' | 'wallJump', Inject> {
  return {
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

function shuffled<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const left = [...items]
  return items.map(() => left.splice(random.between(0, left.length), 1)[0] as Item)
}
