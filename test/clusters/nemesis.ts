// Real faults, drawn by a seed: what hits a process, a link, a clock or a disk, for how long, and how it is taken back.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../src/base/index.ts'
import type { Cluster, Seat } from './cluster.ts'

export const faultKinds = [
  'kill',
  'killLeader',
  'killAll',
  'pause',
  'pauseLeader',
  'isolate',
  'deaf',
  'mute',
  'mesh',
  'reset',
  'strobe',
  'slowDisk',
  'wallJump',
  'clockRate',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** Kinds that need the clocks of the program in our hands: etcd asks the kernel, past every library. */
const clockKinds: ReadonlySet<FaultKind> = new Set(['wallJump', 'clockRate'])

/** How much faster than true time the clocks of one node run under `clockRate`. */
export const fastClockRate = 1.5

/** The faults of one history: few kinds, so that each comes often, and seldom all at once; the same of both systems. */
export function drawFaults(random: SeededRandom, system: Cluster['settings']['system']): FaultKind[] {
  // A program's clocks follow its file in one way only, and under both ways at once a jump would also move timers.
  const excluded: FaultKind = random.chance(0.5) ? 'wallJump' : 'clockRate'
  const possible = faultKinds.filter((kind) => kind !== excluded)
  const count = random.chance(0.15) ? possible.length : random.between(1, 5)
  const chosen = new Set<FaultKind>([random.pick(possible.filter((kind) => !clockKinds.has(kind)))])
  while (chosen.size < count) chosen.add(random.pick(possible))
  return faultKinds.filter((kind) => chosen.has(kind) && !(system === 'etcd' && clockKinds.has(kind)))
}

const progressDeadlineMs = 2_000

type Undo = () => Promise<void> | void

export class Nemesis {
  readonly counts: Map<FaultKind, number> = new Map()
  readonly #cluster: Cluster
  readonly #random: SeededRandom
  readonly #kinds: readonly FaultKind[]
  /** Cuts connections of clients, whichever it likes. */
  readonly #cutClients: () => void
  readonly #answeredCount: () => number
  readonly #stopping = new AbortController()

  constructor(setup: {
    cluster: Cluster
    random: SeededRandom
    kinds: readonly FaultKind[]
    cutClients: () => void
    /** Calls answered so far: by them it sees that the cluster works again. */
    answeredCount: () => number
  }) {
    this.#cluster = setup.cluster
    this.#random = setup.random
    this.#kinds = setup.kinds
    this.#cutClients = setup.cutClients
    this.#answeredCount = setup.answeredCount
  }

  /** Faults for so long, several at one time; then all is taken back and every node runs. */
  async run(durationMs: number): Promise<void> {
    const until = performance.now() + durationMs
    const taking: Promise<void>[] = []
    while (performance.now() < until) {
      taking.push(this.#inject(this.#random.pick(this.#kinds)))
      await sleep(Math.max(0, Math.min(1_400 * this.#random.unit(), until - performance.now())))
      // Faults that follow each other too fast on a slow machine leave nothing to judge.
      if (this.#random.chance(0.6)) await this.#progress()
    }
    this.#stopping.abort()
    await Promise.all(taking)
    await this.#cluster.healAll()
  }

  /** Until some calls were answered, or for as long as the faults that go on may prevent it. */
  async #progress(): Promise<void> {
    const before = this.#answeredCount()
    const until = performance.now() + progressDeadlineMs
    while (performance.now() < until && this.#answeredCount() < before + 30) await sleep(20)
  }

  async #inject(kind: FaultKind): Promise<void> {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    const whileMs = this.#drawWhileMs()
    const undo = await this.#start(kind, whileMs)
    await sleep(whileMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
    await undo()
  }

  /** Mostly about an election long, now and then several. */
  #drawWhileMs(): number {
    const { electionMs } = this.#cluster.settings
    const elections = this.#random.chance(0.25) ? 1 + 3 * this.#random.unit() : 2 * this.#random.unit()
    return Math.min(electionMs * elections, 3_000)
  }

  async #leaderOrAny(): Promise<Seat> {
    return (await this.#cluster.findLeader())?.seat ?? this.#random.pick(this.#cluster.seats)
  }

  async #start(kind: FaultKind, whileMs: number): Promise<Undo> {
    const drawn = this.#random.pick(this.#cluster.seats)
    switch (kind) {
      case 'kill':
        return this.#kill([drawn])
      case 'killLeader':
        return this.#kill([await this.#leaderOrAny()])
      case 'killAll':
        return this.#kill(this.#cluster.seats)
      case 'pause':
        return this.#cluster.hang(drawn)
      case 'pauseLeader':
        return this.#cluster.hang(await this.#leaderOrAny())
      case 'isolate':
      case 'deaf':
      case 'mute':
      case 'mesh':
        return this.#silence(kind, this.#random.chance(0.5) ? await this.#leaderOrAny() : drawn)
      case 'reset':
        return this.#reset(drawn)
      case 'strobe':
        await this.#cluster.strobe(await this.#leaderOrAny(), whileMs)
        return () => undefined
      case 'slowDisk':
        return drawn.isDown
          ? () => undefined
          : this.#cluster.slowDisk(drawn, this.#random.pick([10, 50, 200]))
      case 'wallJump':
        this.#cluster.setClock(drawn, `${this.#random.between(-3_600, 3_600)}`.replace(/^(?=\d)/, '+'))
        return () => undefined
      default:
        return this.#restartWithFastClock(drawn)
    }
  }

  async #kill(seats: readonly Seat[]): Promise<Undo> {
    await Promise.all(seats.map((seat) => this.#cluster.kill(seat)))
    return () => {
      for (const seat of seats) this.#cluster.start(seat)
    }
  }

  async #silence(kind: 'isolate' | 'deaf' | 'mute' | 'mesh', seat: Seat): Promise<Undo> {
    const { laboratory } = this.#cluster
    const one = this.#random.pick(this.#cluster.others(seat)).place
    const links = this.#cluster.linksAround(seat).filter(({ from, to }) => {
      if (kind === 'deaf') return to === seat.place
      if (kind === 'mute') return from === seat.place
      return kind === 'isolate' || from === one || to === one
    })
    await laboratory.silence(...links)
    return () => laboratory.hear(...links)
  }

  async #reset(seat: Seat): Promise<Undo> {
    this.#cutClients()
    const other = this.#random.pick(this.#cluster.others(seat))
    return await this.#cluster.laboratory.reset({ from: other.place, to: seat.place })
  }

  /** Clocks of a life have one rate, so it is a new life; the fast one stays. */
  async #restartWithFastClock(seat: Seat): Promise<Undo> {
    await this.#cluster.kill(seat)
    this.#cluster.setClock(seat, `+0 x${fastClockRate}`)
    this.#cluster.start(seat)
    return () => undefined
  }
}
