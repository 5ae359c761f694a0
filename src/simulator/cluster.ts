import { assert, isQuorateError, present, type SeededRandom } from '../base/index.ts'
import type { LogFields, LogLevel } from '../io/index.ts'
import { ClusterChecker } from './check-cluster.ts'
import type { Violation } from './history.ts'
import type { Journal } from './journal.ts'
import { SimulatedMachine } from './machine.ts'
import { SimulatedNetwork } from './network.ts'
import type { SimulationOptions } from './options.ts'
import type { Scheduler } from './scheduler.ts'
import type { ServerMember, SimulatedServer, StartServer } from './server-seam.ts'

/** Peer port of every server at first. */
export const peerPort = 2380
/** Machines beyond the first members, for those that join. */
const spareMachines = 2
/** How a server says that it found its files damaged. */
const damageCodes = ['data-damaged', 'data-wrong-cluster', 'format-unsupported'] as const
/** How often every running server is asked for its status. */
const observeEveryMs = 10

/** One life of a server, from the start of its program to its end. */
export interface ServerLife {
  readonly node: ClusterNode
  readonly number: number
  /** Undefined until it has recovered. */
  server: SimulatedServer | undefined
  isOver: boolean
  /** Called once when the life ends. */
  readonly onOver: Set<() => void>
}

export interface ClusterNode {
  readonly name: string
  readonly machine: SimulatedMachine
  life: ServerLife | undefined
  /** Bits rotted in its files: it may refuse to go on, and then nobody starts it again. */
  isRotten: boolean
  isLost: boolean
  lives: number
  /** How its program is started; undefined: it is no member, and nobody starts it. */
  seat: Seat | undefined
}

/** What the operator has made of a machine: a member with a data directory. */
export interface Seat {
  /** 0n until the operator has seen the first members listed. */
  memberId: bigint
  /** Those it is told about when it starts for the first time. */
  members: readonly ServerMember[]
  readonly isJoining: boolean
  port: number
  /** The data directory. */
  data: object
  /** The directory was lost after it was in use: whoever starts here under the old identity must be refused. */
  wipe: 'none' | 'wiped' | 'refused'
  /** Its removal was asked for: it may end by itself, because it is told so. */
  isRemoved: boolean
}

/** Machines, the servers on them, and their lives. */
export class SimulatedCluster {
  readonly nodes: readonly ClusterNode[]
  readonly network: SimulatedNetwork
  readonly checker: ClusterChecker = new ClusterChecker()
  readonly violations: Violation[] = []
  /** How often each event name was logged by the servers. */
  readonly marks: Map<string, number> = new Map()
  readonly scheduler: Scheduler
  readonly #journal: Journal | undefined
  readonly #random: SeededRandom
  readonly #options: SimulationOptions
  readonly #startServer: StartServer

  constructor(setup: {
    scheduler: Scheduler
    random: SeededRandom
    options: SimulationOptions
    startServer: StartServer
    /** Takes notes for a story. */
    journal?: Journal | undefined
  }) {
    const { scheduler, random, options } = setup
    this.scheduler = scheduler
    this.#random = random.fork()
    this.#options = options
    this.#startServer = setup.startServer
    this.#journal = setup.journal
    this.network = new SimulatedNetwork({ scheduler, random: random.fork() })
    this.network.setDelay({ least: options.networkDelayMs / 5, typical: options.networkDelayMs })
    const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
    const members = names.map((name) => ({ name, host: name, port: peerPort }))
    const spares = options.members ? spareMachines : 0
    this.nodes = Array.from({ length: options.nodes + spares }, (_, i) => {
      const name = `n${i + 1}`
      const machine = new SimulatedMachine({ name, scheduler, network: this.network, random: random.fork() })
      const seat = i < options.nodes ? newSeat({ memberId: 0n, members, isJoining: false }) : undefined
      return { name, machine, life: undefined, isRotten: false, isLost: false, lives: 0, seat }
    })
    this.#observe()
  }

  startAll(): void {
    for (const node of this.nodes) this.restart(node)
  }

  start(node: ClusterNode): void {
    assert(node.life === undefined, `${node.name} is not running`)
    const seat = present(node.seat, `${node.name} is a member`)
    const world = node.machine.boot()
    const life: ServerLife = {
      node,
      number: ++node.lives,
      server: undefined,
      isOver: false,
      onOver: new Set(),
    }
    node.life = life
    this.#tell(false, `${node.name} starts (life ${life.number})`)
    const setup = {
      name: node.name,
      self: { name: node.name, host: node.name, port: seat.port },
      members: seat.members,
      isJoining: seat.isJoining,
      dataDirectory: '/data',
      data: seat.data,
      world,
      tuning: this.#options.tuning,
      logger: {
        log: (level: LogLevel, event: string, fields?: LogFields) => {
          this.#mark(event)
          this.#journal?.logged(this.scheduler.now, node.name, level, event, fields)
        },
      },
      seed: this.#random.nextU32(),
    }
    this.#startServer(setup).then(
      (server) => {
        if (life.isOver) return
        life.server = server
        server.stopped.then(
          (reason) => this.#stoppedItself(life, reason),
          (reason) => this.#stoppedItself(life, reason),
        )
      },
      (reason) => this.#stoppedItself(life, reason),
    )
  }

  /** Nodes that may be asked to serve in the end. */
  get wholeNodes(): readonly ClusterNode[] {
    return this.nodes.filter((node) => !node.isLost && node.seat !== undefined)
  }

  /** Starts a member that was added, on this machine and with an empty directory, whatever ran here before. */
  join(node: ClusterNode, memberId: bigint, members: readonly ServerMember[]): void {
    this.retire(node)
    node.machine.wipe()
    node.seat = newSeat({ memberId, members, isJoining: true })
    this.start(node)
  }

  /** The machine is no member's any more. */
  retire(node: ClusterNode): void {
    this.kill(node)
    node.seat = undefined
  }

  /** The member's disk is lost with all that is on it; nobody starts it again before somebody says so. */
  wipe(node: ClusterNode): void {
    const seat = present(node.seat, `${node.name} is a member`)
    this.crash(node)
    node.machine.wipe()
    seat.data = {}
    seat.wipe = 'wiped'
    this.#mark('disk-wiped')
    this.#tell(true, `wipe ${node.name}`)
  }

  /** Flips a bit in some of the files of this node, and ends it: only the next start reads all of them. */
  rot(node: ClusterNode, random: SeededRandom): void {
    const { disk } = node.machine
    node.isRotten = true
    this.#tell(true, `rot ${node.name}`)
    for (const path of disk.paths('cached')) {
      const size = disk.cachedBytes(path)?.length ?? 0
      if (size === 0 || random.chance(0.5)) continue
      const first = random.between(0, size)
      disk.rot(path, { first, end: first + 1 })
      this.#mark('bits-rotted')
    }
    this.kill(node)
    this.#startLater(node)
  }

  /** Power cut. */
  crash(node: ClusterNode): void {
    this.#end(node)
    node.machine.crash()
  }

  kill(node: ClusterNode): void {
    this.#end(node)
    node.machine.kill()
  }

  /** Undoes whatever is still wrong with machines, network and clocks, and starts what is down. */
  heal(): void {
    this.#tell(true, 'heal')
    this.network.heal()
    this.network.setFaults({})
    for (const node of this.nodes) {
      node.machine.resume()
      node.machine.clock.setRate(1)
      node.machine.disk.clearFaults()
    }
    this.startAll()
  }

  /** Servers that take requests. */
  get serving(): readonly ServerLife[] {
    return this.nodes.flatMap(({ life }) => (life?.server === undefined ? [] : [life]))
  }

  get leader(): ClusterNode | undefined {
    return this.serving.find(({ server }) => server?.status().isLeader === true)?.node
  }

  #end(node: ClusterNode): void {
    const { life } = node
    node.life = undefined
    if (life === undefined) return
    this.#tell(false, `${node.name} ends (life ${life.number})`)
    life.isOver = true
    for (const tell of life.onOver) tell()
    life.onOver.clear()
  }

  /** A failed or full disk is a reason; without such faults no disk of this simulation says so. */
  #stoppedItself(life: ServerLife, reason: unknown): void {
    if (life.isOver) return
    const { node } = life
    this.#tell(false, `${node.name} stops by itself: ${reason instanceof Error ? reason.message : reason}`)
    if (this.#leavesForGood(node, reason)) return
    if (node.isRotten && isQuorateError(reason, ...damageCodes)) {
      node.isLost = true
      this.#mark('rot-noticed')
      this.kill(node)
      return
    }
    const hasNotJoined = node.seat?.isJoining === true && isQuorateError(reason, 'no-leader')
    const isExcused = isQuorateError(reason, 'disk-failed', 'disk-full') || hasNotJoined
    if (!isExcused) {
      this.violations.push({
        promise: 'a server stops only for a reason',
        facts: `${node.name}: ${explain(reason)}`,
      })
      this.#journal?.broken(this.scheduler.now)
    }
    this.kill(node)
    this.#startLater(node)
  }

  /** A member that lost its data or was removed is told so by the others, and ends with the code that says which. */
  #leavesForGood(node: ClusterNode, reason: unknown): boolean {
    const seat = present(node.seat, 'a life belongs to a member')
    if (seat.wipe !== 'none' && isQuorateError(reason, 'data-wiped')) {
      seat.wipe = 'refused'
      this.#mark('wiped-refused')
      this.kill(node)
      return true
    }
    // Where it never came to join, it is told that nobody was added.
    const isTold = isQuorateError(reason, 'member-not-found', 'handshake-refused')
    if (!seat.isRemoved || !isTold) return false
    this.#mark('removed-ended')
    this.retire(node)
    return true
  }

  /** What is down and may run is started: a wiped member only by whoever wiped it. */
  restart(node: ClusterNode): void {
    const mayRun = node.seat !== undefined && node.seat.wipe === 'none' && !node.isLost
    if (node.life === undefined && mayRun) this.start(node)
  }

  #startLater(node: ClusterNode): void {
    this.scheduler.after(500, () => this.restart(node))
  }

  #tell(isFault: boolean, text: string): void {
    if (isFault) this.#journal?.fault(this.scheduler.now, text)
    else this.#journal?.server(this.scheduler.now, text)
  }

  #mark(event: string): void {
    this.marks.set(event, (this.marks.get(event) ?? 0) + 1)
  }

  #observe(): void {
    const known = this.checker.violations.length
    for (const { node, number, server } of this.serving) {
      // A paused server cannot say anything.
      if (node.machine.isPaused) continue
      this.checker.observe(node.name, number, present(server, 'it serves').status())
    }
    if (this.checker.violations.length > known) this.#journal?.broken(this.scheduler.now)
    this.scheduler.after(observeEveryMs, () => this.#observe())
  }
}

function newSeat(seat: Pick<Seat, 'memberId' | 'members' | 'isJoining'>): Seat {
  return { ...seat, port: peerPort, data: {}, wipe: 'none', isRemoved: false }
}

function explain(reason: unknown): string {
  if (reason instanceof Error) return reason.stack ?? reason.message
  return String(reason)
}
