import { assert, isQuorateError, present, type SeededRandom } from '../base/index.ts'
import type { LogFields, LogLevel, Maybe, MaybePlace } from '../io/index.ts'
import type { RaftView } from '../raft/index.ts'
import { ClusterChecker } from './check-cluster.ts'
import type { DiskCopy, StrayKind } from './disk.ts'
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
/** How often every running server is asked for its status, whether it moved or not. */
const observeEveryMs = 100
/** The same where no raft tells when a server moves. */
const observeBlindEveryMs = 10
/** A server that has not ended in order by then is killed. */
const stopTimeoutMs = 3_000
/** How often a place does the rare thing, where it is switched on; those that cost much time do it less often. */
const maybeChance = 0.05
const maybeChances: Partial<Record<MaybePlace, number>> = {
  'peer-reconnect': 0.002,
  'peer-message-lost': 0.01,
  'inbox-full': 0.01,
  'snapshot-gone': 0.5,
  'snapshot-part-short': 0.5,
  snapshot: 0.01,
}

/** One life of a server, from the start of its program to its end. */
export interface ServerLife {
  readonly node: ClusterNode
  readonly number: number
  /** Undefined until it has recovered. */
  server: SimulatedServer | undefined
  /** Looked at to the end of the life: a leader that is being stopped still commits. */
  raft: SimulatedServer['raft']
  isOver: boolean
  /** Called once when the life ends. */
  readonly onOver: Set<() => void>
}

export interface ClusterNode {
  readonly name: string
  readonly machine: SimulatedMachine
  life: ServerLife | undefined
  /** Its files were damaged: it may refuse to go on, and then nobody starts it again. */
  isDamaged: boolean
  isLost: boolean
  /** The rest is healed without it. */
  isLeftOut: boolean
  /** The newest command version that the build on this machine understands. */
  version: number
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
  readonly checker: ClusterChecker
  readonly violations: Violation[] = []
  /** How often each event name was logged by the servers, and each rare thing was met by the clients. */
  readonly marks: Map<string, number> = new Map()
  /** When somebody became the leader the last time. */
  lastElectedAt = 0
  /** Called after an event for each node whose consensus it moved. */
  readonly onMoved: Set<(node: ClusterNode, raft: RaftView) => void> = new Set()
  readonly scheduler: Scheduler
  readonly options: SimulationOptions
  readonly #journal: Journal | undefined
  readonly #random: SeededRandom
  readonly #startServer: StartServer
  #isHealed = false
  /** Who led when the present joint configuration was seen. */
  #jointLeader: string | undefined
  #isUpgrading = false

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
    this.options = options
    this.checker = new ClusterChecker(options.tuning.inflightMax)
    this.#startServer = setup.startServer
    this.#journal = setup.journal
    this.network = new SimulatedNetwork({ scheduler, random: random.fork() })
    this.network.setDelay({ least: options.networkDelayMs / 5, typical: options.networkDelayMs })
    const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
    const members = names.map((name) => ({ name, host: name, port: peerPort }))
    const spares = options.members ? spareMachines : 0
    this.nodes = Array.from({ length: options.nodes + spares }, (_, i) => {
      const name = `n${i + 1}`
      const machine = new SimulatedMachine({
        name,
        scheduler,
        network: this.network,
        random: random.fork(),
        maybe: this.#maybe(random.fork()),
      })
      const seat = i < options.nodes ? newSeat({ memberId: 0n, members, isJoining: false }) : undefined
      const whole = { isDamaged: false, isLost: false, isLeftOut: false }
      return { name, machine, life: undefined, ...whole, version: 1, lives: 0, seat }
    })
    this.#observeAll()
    scheduler.afterEach(() => this.#look())
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
      raft: undefined,
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
      version: node.version,
      world,
      tuning: this.options.tuning,
      logger: {
        log: (level: LogLevel, event: string, fields?: LogFields) => {
          this.mark(event)
          this.#markDetails(event, fields)
          this.#journal?.logged(this.scheduler.now, node.name, level, event, fields)
        },
      },
      seed: this.#random.nextU32(),
    }
    this.#startServer(setup).then(
      (server) => {
        if (life.isOver) return
        life.server = server
        life.raft = server.raft
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
    return this.nodes.filter((node) => !node.isLost && !node.isLeftOut && node.seat !== undefined)
  }

  /** Starts a member that was added, on this machine and with an empty directory, whatever ran here before. */
  join(node: ClusterNode, memberId: bigint, members: readonly ServerMember[]): void {
    this.retire(node)
    node.machine.wipe()
    node.isDamaged = false
    node.isLost = false
    // Nobody is added with a build older than what the cluster may have agreed on.
    node.version = Math.max(...this.nodes.map(({ version }) => version))
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
    this.mark('disk-wiped')
    this.#tell(true, `wipe ${node.name}`)
  }

  /**
   * Whether the files of this node may be damaged: everything acknowledged is then still on a majority of whole disks, and
   * nobody is away who may have the only other copy of what a damaged tail held (docs/decisions/0026).
   */
  mayDamage(node: ClusterNode): boolean {
    const seated = this.nodes.filter(({ seat }) => seat !== undefined)
    const others = seated.filter((other) => other !== node)
    const areWhole = others.every(({ isDamaged, seat }) => !isDamaged && seat?.wipe === 'none')
    const arePresent = others.every(({ life, machine }) => life?.server !== undefined && !machine.isPaused)
    return seated.length >= 3 && node.seat?.wipe === 'none' && areWhole && arePresent
  }

  get hasDamage(): boolean {
    return this.nodes.some(({ isDamaged, seat }) => isDamaged && seat !== undefined)
  }

  /** One of the next writes of this node is acknowledged and does not reach its place; a power cut brings it to light. */
  stray(node: ClusterNode, kind: StrayKind, random: SeededRandom): void {
    if (!this.mayDamage(node)) return
    node.isDamaged = true
    node.machine.disk.strayNext(kind, random.between(1, 20), () => this.mark(`write-${kind}`))
  }

  /**
   * Flips a bit in some of the files of this node, where it may be damaged, and ends it: only the next start reads all of
   * them.
   */
  rot(node: ClusterNode, random: SeededRandom): void {
    if (!this.mayDamage(node)) return
    const { disk } = node.machine
    node.isDamaged = true
    this.#tell(true, `rot ${node.name}`)
    for (const path of disk.paths('cached')) {
      const size = disk.cachedBytes(path)?.length ?? 0
      if (size === 0 || random.chance(0.5)) continue
      const first = random.between(0, size)
      disk.rot(path, { first, end: first + 1 })
      this.mark('bits-rotted')
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

  /** An orderly end, as before a planned restart. Resolves when the program has ended, whatever ended it. */
  stop(node: ClusterNode): Promise<void> {
    const { life } = node
    const server = life?.server
    if (life === undefined || server === undefined) {
      this.kill(node)
      return Promise.resolve()
    }
    life.server = undefined
    this.#disconnectClients(life)
    return new Promise((resolve) => {
      const end = (isOrderly: boolean): void => {
        if (node.life === life) {
          if (isOrderly) this.mark('stopped-in-order')
          this.kill(node)
          // Who stopped it may be gone by now.
          if (this.#isHealed) this.restart(node)
        }
        resolve()
      }
      life.onOver.add(() => end(false))
      this.scheduler.after(stopTimeoutMs, () => end(false))
      node.machine.process.deliver(() => {
        server.stop().then(
          () => end(true),
          (reason: unknown) => {
            if (node.life === life) this.#endedBadly(life, reason)
            end(false)
          },
        )
      })
    })
  }

  get isUpgrading(): boolean {
    return this.#isUpgrading
  }

  /** One member after the other ends, in order or not, and starts as a build that understands one more command version. */
  async upgrade(isOver: () => boolean): Promise<void> {
    this.#isUpgrading = true
    const version = 1 + Math.max(...this.nodes.map((node) => node.version))
    for (const node of this.nodes) {
      if (node.seat === undefined || isOver()) continue
      if (this.#random.chance(0.7)) await this.stop(node)
      else this.kill(node)
      node.version = version
      this.mark('upgraded')
      this.restart(node)
      await this.scheduler.wait(1_000 * this.#random.unit())
    }
    this.#isUpgrading = false
  }

  /**
   * A program that was down starts with an old copy of its disk, once that is harmless: all the others have, durably,
   * whatever it may have helped to commit, and are in its term or a later one under a leader (docs/decisions/0040). Gives
   * up after a while, and when somebody else starts it meanwhile.
   */
  startFromCopy(node: ClusterNode, copy: DiskCopy): void {
    this.kill(node)
    const seat = present(node.seat, 'it is a member')
    const mayStart = this.#untilHarmless(node)
    const attempt = (left: number): void => {
      if (node.life !== undefined || node.seat !== seat) return
      const isHarmless = mayStart()
      if (isHarmless) {
        node.machine.disk.restore(copy)
        // The store is no part of the copy: what it holds comes from snapshot and log.
        seat.data = {}
        this.mark('old-copy-started')
      }
      if (isHarmless || left === 0) this.restart(node)
      else this.scheduler.after(100, () => attempt(left - 1))
    }
    this.scheduler.after(100, () => attempt(50))
  }

  /** To be asked again and again while `node` is down. */
  #untilHarmless(node: ClusterNode): () => boolean {
    let seen: { readonly leader: string; readonly term: number; readonly index: number } | undefined
    return () => {
      const others = this.nodes.filter((other) => other !== node && other.seat !== undefined)
      const areUp = others.every(({ life, machine }) => life?.server !== undefined && !machine.isPaused)
      const leader = others.find(({ life }) => life?.server?.status().isLeader === true)
      const status = leader?.life?.server?.status()
      if (!areUp || leader === undefined || status?.lastIndex === undefined || others.length < 2) return false
      if (seen?.leader !== leader.name || seen.term !== status.term) {
        // What it sent before it ended has arrived by now, and counts up to here.
        const isSilent = this.network.isSilent(node.name)
        seen = isSilent ? { leader: leader.name, term: status.term, index: status.lastIndex } : undefined
        return false
      }
      const { term, index } = seen
      return others.every(({ life }) => {
        const other = life?.server?.status()
        return other?.term === term && other.appliedIndex >= index
      })
    }
  }

  /** Undoes whatever is still wrong with machines, network and clocks, and starts what is down; or only a majority of it. */
  heal(): void {
    this.#isHealed = true
    this.#tell(true, 'heal')
    this.network.heal()
    this.network.setFaults({})
    for (const node of this.nodes) {
      node.machine.resume()
      node.machine.clock.setRate(1)
      node.machine.disk.clearFaults()
    }
    const { healsMajority, members } = this.options
    if (healsMajority && !members && this.nodes.length >= 3) this.#leaveMinorityOut()
    this.startAll()
  }

  /** As many as a majority can do without; whose files are damaged goes first. */
  #leaveMinorityOut(): void {
    const count = this.#random.between(1, Math.floor((this.nodes.length - 1) / 2) + 1)
    const rank = new Map(this.nodes.map((node) => [node, node.isDamaged ? 1 : this.#random.unit()]))
    const byRank = [...this.nodes].sort((left, right) => (rank.get(right) ?? 0) - (rank.get(left) ?? 0))
    for (const node of byRank.slice(0, count)) {
      const how = this.#random.pick(['dead', 'paused', 'cut off', 'hung'] as const)
      this.mark(`left out: ${how}`)
      node.isLeftOut = true
      if (node.life !== undefined) this.#disconnectClients(node.life)
      if (how === 'dead') this.kill(node)
      else if (how === 'paused') node.machine.pause()
      else if (how === 'hung') node.machine.disk.hang()
      else {
        const others = this.nodes.filter((other) => other !== node).map(({ name }) => name)
        this.network.partition([node.name], others, 'both')
      }
    }
  }

  /** Servers that clients reach: of this cluster, not of one that somebody founded anew. */
  get serving(): readonly ServerLife[] {
    return this.nodes.flatMap((node) =>
      node.life?.server === undefined || node.isLeftOut || beginsAnew(node) ? [] : [node.life],
    )
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
    this.#disconnectClients(life)
  }

  #disconnectClients({ onOver }: ServerLife): void {
    const told = [...onOver]
    onOver.clear()
    for (const tell of told) tell()
  }

  /** A failed or full disk is a reason; without such faults no disk of this simulation says so. */
  #stoppedItself(life: ServerLife, reason: unknown): void {
    if (life.isOver) return
    const { node } = life
    this.#tell(false, `${node.name} stops by itself: ${reason instanceof Error ? reason.message : reason}`)
    if (this.#leavesForGood(node, reason)) return
    if (node.isDamaged && isQuorateError(reason, ...damageCodes)) {
      node.isLost = true
      this.mark('damage-noticed')
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

  /** An orderly end is one, whatever was under way; only a disk may prevent it. */
  #endedBadly({ node }: ServerLife, reason: unknown): void {
    const isExcused =
      isQuorateError(reason, 'disk-failed', 'disk-full') ||
      (node.isDamaged && isQuorateError(reason, ...damageCodes))
    if (isExcused) return
    const facts = `${node.name}: ${explain(reason)}`
    this.violations.push({ promise: 'a server that is stopped ends in order', facts })
    this.#journal?.broken(this.scheduler.now)
  }

  /** A member that lost its data or was removed is told so by the others, and ends with the code that says which. */
  #leavesForGood(node: ClusterNode, reason: unknown): boolean {
    const seat = present(node.seat, 'a life belongs to a member')
    if (seat.wipe !== 'none' && isQuorateError(reason, 'data-wiped')) {
      seat.wipe = 'refused'
      this.mark('wiped-refused')
      this.kill(node)
      return true
    }
    // Where it never came to join, it is told that nobody was added.
    const isTold = isQuorateError(reason, 'member-not-found', 'handshake-refused')
    if (!seat.isRemoved || !isTold) return false
    this.mark('removed-ended')
    this.retire(node)
    return true
  }

  /** What is down and may run is started: a wiped member only by whoever wiped it. */
  restart(node: ClusterNode): void {
    const mayRun = node.seat !== undefined && node.seat.wipe === 'none' && !node.isLost && !node.isLeftOut
    if (node.life === undefined && mayRun) this.start(node)
  }

  #startLater(node: ClusterNode): void {
    this.scheduler.after(500, () => this.restart(node))
  }

  #tell(isFault: boolean, text: string): void {
    if (isFault) this.#journal?.fault(this.scheduler.now, text)
    else this.#journal?.server(this.scheduler.now, text)
  }

  /** The answers of one machine; none once the cluster is healed. */
  #maybe(random: SeededRandom): Maybe {
    const places = new Set(this.options.maybe)
    return (place) => {
      if (this.#isHealed || !places.has(place) || !random.chance(maybeChances[place] ?? maybeChance))
        return false
      this.mark(`maybe ${place}`)
      return true
    }
  }

  #markDetails(event: string, fields: LogFields | undefined): void {
    if (event === 'role') this.mark(`${fields?.role}: ${fields?.cause}`)
    if (event === 'role' && fields?.role === 'leader') this.lastElectedAt = this.scheduler.now
    if (event === 'node-failed') this.mark(`${event}: ${fields?.code}`)
    if (event !== 'members-changed') return
    if (Number(fields?.clusterVersion) > 1) this.mark('cluster version raised')
    const leader = this.leader?.name
    if (fields?.outgoing !== '') {
      this.mark('joint configuration')
      this.#jointLeader = leader
    } else {
      const isLeft = this.#jointLeader !== undefined && leader !== undefined
      if (isLeft && leader !== this.#jointLeader) this.mark('joint configuration left by another leader')
      if (isLeft) this.#jointLeader = undefined
    }
  }

  /** Notes that this run has reached a state worth to be counted. */
  mark(event: string): void {
    this.marks.set(event, (this.marks.get(event) ?? 0) + 1)
  }

  /**
   * Whatever just happened, the rules of consensus hold, and equal places have equal states. Only a program to which
   * something was delivered can have moved.
   */
  #look(): void {
    for (const node of this.nodes) {
      if (!node.machine.takeActivity()) continue
      const { life } = node
      const raft = life?.raft
      if (life === undefined || raft === undefined || beginsAnew(node)) continue
      if (!this.checker.hasMoved(raft, life.number)) continue
      const all = this.nodes.flatMap((one) => (beginsAnew(one) ? [] : (one.life?.raft ?? [])))
      this.checker.stepped(raft, life.number, all)
      this.#observe(life)
      for (const tell of this.onMoved) tell(node, raft)
    }
  }

  #observe({ node, number, server }: ServerLife): void {
    // A paused server cannot say anything, and one of another cluster nothing about this one.
    if (server === undefined || node.machine.isPaused || beginsAnew(node)) return
    this.checker.observe(node.name, number, server.status())
    if (this.checker.violations.length > 0) this.#journal?.broken(this.scheduler.now)
  }

  #observeAll(): void {
    let isBlind = false
    for (const { life } of this.nodes) {
      if (life === undefined) continue
      this.#observe(life)
      isBlind ||= life.server !== undefined && life.raft === undefined
    }
    this.scheduler.after(isBlind ? observeBlindEveryMs : observeEveryMs, () => this.#observeAll())
  }
}

/**
 * One that was to found a cluster alone and lost its disk founds another: it knows nobody to ask, until one of the members
 * that it had finds it and refuses it.
 */
function beginsAnew({ seat }: ClusterNode): boolean {
  return seat !== undefined && seat.wipe !== 'none' && seat.members.length === 1 && !seat.isJoining
}

function newSeat(seat: Pick<Seat, 'memberId' | 'members' | 'isJoining'>): Seat {
  return { ...seat, port: peerPort, data: {}, wipe: 'none', isRemoved: false }
}

function explain(reason: unknown): string {
  if (reason instanceof Error) return reason.stack ?? reason.message
  return String(reason)
}
