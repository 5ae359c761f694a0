// Directed scenarios: one fault each, at a chosen node, with figures. Milliseconds are for the reader and say most when a
// scenario runs alone. What decides does not hang on how fast the machine is: the verdict on everything that was
// recorded meanwhile, that writes come again at all, and how many elections a fault took.
import { setTimeout as sleep } from 'node:timers/promises'
import { present, SeededRandom } from '../../src/base/index.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import type { Laboratory } from '../support/laboratory.ts'
import { type ClusterSettings, defaultSettings, type Seat, type SeatStatus, type System } from './cluster.ts'
import { LeaseHolders } from './lease-holders.ts'
import { fastClockRate } from './nemesis.ts'
import { keyOfProbe } from './probe.ts'
import { Connection } from './recorder.ts'
import { type Load, type Result, runSession, type Session } from './session.ts'

export interface ScenarioContext {
  readonly session: Session
  readonly samples: number
  /** Adds one measured figure. */
  readonly figure: (name: string, value: number | string) => void
}

export interface Scenario {
  readonly name: string
  readonly systems: readonly System[]
  readonly settings?: Partial<ClusterSettings>
  readonly clockRateMax?: number
  readonly load?: Partial<Load>
  readonly script: (context: ScenarioContext) => Promise<void>
}

const both: readonly System[] = ['quorate', 'etcd']
const fast = { heartbeatMs: 15, electionMs: 150 }
/** Without a leader one election is enough, but votes split now and then. */
const electionsMax = 4
/** Where a majority hears its leader all the time no election is due; a machine that stands still may cause one. */
const needlessElectionsMax = 2

export interface ScenarioSetup {
  /** Of one of `scenarios`. */
  readonly name: string
  readonly system: System
  readonly tree: string
  readonly seed: number
  readonly samples: number
  readonly keepData: boolean
}

export async function runScenario(setup: ScenarioSetup, laboratory: Laboratory): Promise<Result> {
  const { name, system, tree, samples, keepData } = setup
  const scenario = present(
    scenarios.find((one) => one.name === name),
    'a scenario has a name',
  )
  const settings = { ...defaultSettings, ...scenario.settings, system, tree }
  const figures: Record<string, number | string> = {}
  const result = await runSession(
    {
      settings,
      laboratory,
      random: new SeededRandom(setup.seed),
      load: { clients: 2, probes: true, ...scenario.load },
      clockRateMax: scenario.clockRateMax ?? 1,
      keepData,
    },
    async (session) => {
      const figure = (name: string, value: number | string): void => {
        figures[name] = value
      }
      await session.nextWriteMs(performance.now())
      await scenario.script({ session, samples, figure })
    },
  )
  return { ...result, name, system, figures, faults: new Map() }
}

/** How many terms have passed since then; more than the fault accounts for are a broken promise. */
async function countElections(session: Session, before: SeatStatus, elections: number): Promise<number> {
  const terms = (await session.cluster.leader()).term - before.term
  if (terms > elections)
    session.report('a fault takes few elections', `${terms}, at most ${elections} are due`)
  return terms
}

/** Kill, measure, restart, and only then again. */
async function killLeaders({ session, samples, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  const gaps: number[] = []
  for (let i = 0; i < samples; i++) {
    const leader = await cluster.leader()
    const { seat } = leader
    const at = performance.now()
    await cluster.kill(seat)
    gaps.push(await session.nextWriteMs(at))
    await countElections(session, leader, electionsMax)
    cluster.start(seat)
    await cluster.ready()
  }
  figure('n', samples)
  figure('p50 ms', percentile(gaps, 0.5))
  figure('p99 ms', percentile(gaps, 0.99))
}

async function transferLeadership({ session, samples, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  const gaps: number[] = []
  /** The same measure while nothing happens: what the machine adds to every gap. */
  const quiet: number[] = []
  for (let i = 0; i < samples; i++) {
    const leader = await cluster.leader()
    const others = (await cluster.statuses()).filter((status) => status.memberId !== leader.memberId)
    const target = others[i % others.length]
    if (target === undefined) continue
    await sleep(500)
    const at = performance.now()
    quiet.push(session.longestGapMs(at - 500, at))
    const client = new GrpcClient(leader.seat.server.endpoint)
    const answer = await client.call('moveLeader', { targetID: target.memberId }, 10_000)
    client.close()
    if (answer.code !== 0) session.report('leadership moves when asked', answer.text)
    await sleep(500)
    gaps.push(session.longestGapMs(at, performance.now()))
    await countElections(session, leader, electionsMax)
  }
  figure('n', samples)
  figure('gap p50 ms', percentile(gaps, 0.5))
  figure('gap p99 ms', percentile(gaps, 0.99))
  figure('without transfer p50 ms', percentile(quiet, 0.5))
}

async function restartInTurn({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  await sleep(2_000)
  const from = performance.now()
  figure('gap before ms', Math.round(session.longestGapMs(from - 2_000, from)))
  for (const seat of cluster.seats) {
    const before = await cluster.leader()
    await cluster.terminate(seat)
    cluster.start(seat)
    await cluster.ready()
    await countElections(session, before, electionsMax)
  }
  figure('longest gap ms', Math.round(session.longestGapMs(from, performance.now())))
}

/** Reads and renewals wait at the leader while it stands still; what it says when it wakes must be true. */
async function pauseLeader({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster, recorder } = session
  const holders = new LeaseHolders(cluster.seats, recorder)
  await holders.open()
  const gaps: number[] = []
  let answered = 0
  for (const pauseMs of [2_000, 3_000, 6_000]) {
    const leader = await cluster.leader()
    const { seat } = leader
    const connection = new Connection(seat)
    await connection.grpc.call('status', {}, 2_000)
    const at = performance.now()
    cluster.pause(seat)
    const reads = Array.from({ length: 20 }, (_, i) => {
      const client = { name: `queued ${seat.life} ${i}`, connection }
      const read = { kind: 'range', key: keyOfProbe(i % 3), end: '', limit: 0 } as const
      return recorder.call(client, read, { deadlineMs: 20_000 })
    })
    gaps.push(await session.nextWriteMs(at))
    await sleep(Math.max(0, pauseMs - (performance.now() - at)))
    cluster.resume(seat)
    answered += (await Promise.all(reads)).filter((answer) => answer.code === 0).length
    connection.close()
    await cluster.ready()
    await countElections(session, leader, electionsMax)
  }
  figure('gap max ms', Math.round(Math.max(...gaps)))
  figure('queued reads answered', `${answered}/60`)
  figure('leases kept', `${await holders.close()}/${holders.total}`)
}

type Cut =
  | 'leader deaf'
  | 'leader mute'
  | 'leader alone'
  | 'mesh without leader'
  | 'mesh with leader'
  | 'follower deaf'

/** A cut of links for some elections: time without writes, and what it does to the terms. */
async function cutLinks(cut: Cut, { session, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  const { electionMs } = cluster.settings
  const leader = await cluster.leader()
  const [first, second] = cluster.others(leader.seat) as [Seat, Seat]
  const around = cluster.linksAround(leader.seat)
  const between = (left: Seat, right: Seat) => [
    { from: left.place, to: right.place },
    { from: right.place, to: left.place },
  ]
  const links = {
    'leader deaf': around.filter((link) => link.to === leader.seat.place),
    'leader mute': around.filter((link) => link.from === leader.seat.place),
    'leader alone': around,
    'mesh without leader': between(first, second),
    'mesh with leader': between(leader.seat, first),
    'follower deaf': cluster.linksAround(first).filter((link) => link.to === first.place),
  }[cut]
  const at = performance.now()
  await cluster.laboratory.silence(...links)
  await sleep(6 * electionMs)
  await session.nextWriteMs(performance.now())
  const gapMs = session.longestGapMs(at, performance.now())
  await cluster.laboratory.hear(...links)
  const healedAt = performance.now()
  await cluster.ready()
  figure('elections without writes', (gapMs / electionMs).toFixed(2))
  const hasMajority = cut.startsWith('mesh') || cut.startsWith('follower')
  figure('terms', await countElections(session, leader, hasMajority ? needlessElectionsMax : electionsMax))
  figure('whole again ms', Math.round(performance.now() - healedAt))
}

/** Ways in which a connection can end or not end: each must be over by the system's own deadlines. */
async function endConnections({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  const measure = async (name: string, hurt: (seat: Seat) => Promise<() => Promise<void>>): Promise<void> => {
    const leader = await cluster.leader()
    const heal = await hurt(leader.seat)
    // A write that began before may still have been answered.
    const at = performance.now()
    figure(`${name}: next write ms`, Math.round(await session.nextWriteMs(at)))
    await sleep(1_000)
    await heal()
    const healedAt = performance.now()
    await cluster.ready()
    figure(`${name}: all serve ms`, Math.round(performance.now() - healedAt))
    await countElections(session, leader, electionsMax)
  }
  await measure('silence', async (seat) => {
    await cluster.isolate(seat)
    return () => cluster.rejoin(seat)
  })
  await measure('resets', async (seat) => {
    const froms = cluster.others(seat).map((other) => other.place)
    const undos = await Promise.all(froms.map((from) => cluster.laboratory.reset({ from, to: seat.place })))
    return async () => {
      for (const undo of undos) await undo()
    }
  })
  await measure('refused', async (seat) => {
    await cluster.kill(seat)
    return async () => cluster.start(seat)
  })
  // The others never hear that the process is gone: their ends of the connections stay open.
  await measure('half-open', async (seat) => {
    await cluster.isolate(seat)
    await cluster.kill(seat)
    return async () => {
      cluster.start(seat)
      await cluster.rejoin(seat)
    }
  })
}

async function jumpClocks({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster, recorder } = session
  const holders = new LeaseHolders(cluster.seats, recorder)
  await holders.open()
  const before = await cluster.leader()
  const [follower] = cluster.others(before.seat) as [Seat, Seat]
  const from = performance.now()
  for (const [seat, jump] of [
    [before.seat, '+3600'],
    [before.seat, '-3600'],
    [follower, '+3600'],
    [follower, '-3600'],
  ] as const) {
    cluster.setClock(seat, jump)
    // The library looks at its file once a second.
    await sleep(1_500)
    await session.nextWriteMs(performance.now())
  }
  figure('longest gap ms', Math.round(session.longestGapMs(from, performance.now())))
  figure('terms', await countElections(session, before, needlessElectionsMax))
  figure('leases kept', `${await holders.close()}/${holders.total}`)
}

/** First the leader's clocks run fast, then both followers' and not the leader's. */
async function runClocksFast({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster, recorder } = session
  const setRates = async (isFast: (seat: Seat) => boolean): Promise<void> => {
    for (const seat of cluster.seats) {
      const words = isFast(seat) ? `+0 x${fastClockRate}` : '+0'
      await cluster.kill(seat)
      cluster.setClock(seat, words)
      cluster.start(seat)
      await cluster.ready()
    }
  }
  const seat = cluster.seats[0] as Seat
  for (const who of ['leader', 'followers'] as const) {
    await setRates((one) => (one === seat) === (who === 'leader'))
    await leadBy(session, seat)
    const holders = new LeaseHolders(cluster.seats, recorder)
    await holders.open()
    const before = await cluster.leader()
    const from = performance.now()
    await sleep(5_000)
    figure(`${who} fast: longest gap ms`, Math.round(session.longestGapMs(from, performance.now())))
    figure(`${who} fast: terms`, await countElections(session, before, needlessElectionsMax))
    figure(`${who} fast: leases kept`, `${await holders.close()}/${holders.total}`)
  }
}

async function leadBy(session: Session, seat: Seat): Promise<void> {
  const { cluster } = session
  for (let attempt = 0; attempt < 20; attempt++) {
    const leader = await cluster.leader()
    if (leader.seat === seat) return
    const target = (await cluster.statuses()).find((status) => status.seat === seat)
    const client = new GrpcClient(leader.seat.server.endpoint)
    if (target !== undefined) await client.call('moveLeader', { targetID: target.memberId }, 5_000)
    client.close()
    await sleep(200)
  }
  throw new Error(`${seat.name} does not get to lead`)
}

async function keepLeaderBusy({ session, figure }: ScenarioContext): Promise<void> {
  const { cluster, recorder } = session
  const holders = new LeaseHolders(cluster.seats, recorder)
  await holders.open()
  const before = await cluster.leader()
  const from = performance.now()
  await cluster.keepBusy(before.seat)
  figure('longest gap ms', Math.round(session.longestGapMs(from, performance.now())))
  figure('terms', await countElections(session, before, needlessElectionsMax))
  figure('leases kept', `${await holders.close()}/${holders.total}`)
}

const countMs = 1_000
const slowSyncMs = 1_000

/**
 * Healthy and slow by turns, so that whatever else the machine does hits both. A leader that waited for a slow disk would
 * end no write sooner than it does; one that waited for a silent follower would do so until it may take it for dead,
 * which is an election timeout: a write of each client must end before.
 */
async function slowFollower({ session, samples, figure }: ScenarioContext): Promise<void> {
  const { cluster, recorder } = session
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader.seat) as [Seat, Seat]
  const busy = Array.from({ length: 8 }, (_, i) => new Hammer(session, leader.seat, i))
  const work = Promise.all(busy.map((one) => one.run()))
  const count = async (): Promise<number> => {
    const before = recorder.answeredCount
    await sleep(countMs)
    return recorder.answeredCount - before
  }
  await count()
  for (const { name, slowMs, hurt } of [
    { name: 'hung', slowMs: Number.POSITIVE_INFINITY, hurt: async () => cluster.hang(follower) },
    { name: 'slow disk', slowMs: slowSyncMs, hurt: () => cluster.slowDisk(follower, slowSyncMs) },
  ]) {
    let healthy = 0
    let slow = 0
    for (let i = 0; i < samples; i++) {
      healthy += await count()
      const heal = await hurt()
      const from = performance.now()
      slow += await count()
      const sooner = (): number => session.writesSooner(from, slowMs)
      const until = from + cluster.settings.electionMs
      while (sooner() < busy.length && performance.now() < until) await sleep(20)
      const facts = `${name}: ${sooner()} writes of ${busy.length} clients did not wait for it`
      if (sooner() < busy.length) session.report('one slow follower slows nobody', facts)
      heal()
    }
    figure(`${name}: percent of healthy`, Math.round((100 * slow) / healthy))
  }
  for (const one of busy) one.stop()
  await work
}

/** Writes through one node as fast as it answers. */
class Hammer {
  readonly #session: Session
  readonly #seat: Seat
  readonly #number: number
  readonly #padding: string
  #isStopped = false

  constructor(session: Session, seat: Seat, number: number, valueBytes = 0) {
    this.#padding = ' '.repeat(valueBytes)
    this.#session = session
    this.#seat = seat
    this.#number = number
  }

  stop(): void {
    this.#isStopped = true
  }

  async run(): Promise<void> {
    const { recorder } = this.#session
    const name = `hammer ${this.#number}`
    let connection = new Connection(this.#seat)
    for (let i = 0; !this.#isStopped; i++) {
      const put = {
        kind: 'put',
        key: `h${this.#number}`,
        value: `${name} ${i}${this.#padding}`,
        lease: 0n,
      } as const
      const { code } = await recorder.call({ name, connection }, put, { deadlineMs: 5_000 })
      if (code === 0) continue
      connection.close()
      connection = new Connection(this.#seat)
      await sleep(20)
    }
    connection.close()
  }
}

/** Cut off until the others' log no longer reaches back to it, healed, and again at once. */
async function leaveBehind({ session, samples, figure }: ScenarioContext): Promise<void> {
  const { cluster } = session
  const leader = await cluster.leader()
  const [follower] = cluster.others(leader.seat) as [Seat, Seat]
  // Large values: the log is released by whole files.
  const hammers = cluster.others(follower).map((seat) => new Hammer(session, seat, seat.place, 4_000))
  const work = Promise.all(hammers.map((one) => one.run()))
  const installed = (): number => cluster.countInLog(follower, 'snapshot-installed')
  const before = installed()
  const times: number[] = []
  for (let i = 0; i < samples; i++) {
    await cluster.isolate(follower)
    await growPast(session, (await cluster.leader()).seat)
    // Memory holds more of the log than the disk: the others forget that, too.
    for (const seat of cluster.others(follower)) {
      await cluster.kill(seat)
      cluster.start(seat)
      await session.nextWriteMs(performance.now())
    }
    await cluster.rejoin(follower)
    const at = performance.now()
    await cluster.ready()
    times.push(performance.now() - at)
  }
  for (const one of hammers) one.stop()
  await work
  figure('n', samples)
  figure('snapshots installed', installed() - before)
  figure('rejoin p50 ms', percentile(times, 0.5))
  figure('rejoin max ms', Math.round(Math.max(...times)))
  const loops = installed() - before - 2 * samples
  if (installed() === before) session.report('one that is left behind gets a snapshot', 'none was installed')
  if (loops > 0) session.report('no snapshot loop', `${installed() - before} installed in ${samples} returns`)
}

/** Until the node has released its log beyond what it had now: twice, because it keeps it back to the snapshot before. */
async function growPast(session: Session, seat: Seat): Promise<void> {
  const released = (): number => session.cluster.countInLog(seat, 'log-released')
  const start = released()
  const until = performance.now() + 60_000
  const connection = new Connection(seat)
  while (released() < start + 3) {
    if (performance.now() > until) throw new Error(`${seat.name} does not release its log`)
    // A history that grows would make snapshots large and rare.
    const revision = session.recorder.collector.contiguousRevision - 10
    await connection.grpc.call('compact', { revision }, 2_000)
    await sleep(100)
  }
  connection.close()
}

const cuts: readonly Cut[] = [
  'leader deaf',
  'leader mute',
  'leader alone',
  'mesh without leader',
  'mesh with leader',
  'follower deaf',
]

export const scenarios: readonly Scenario[] = [
  { name: 'leader-kill', systems: both, script: killLeaders },
  { name: 'leader-kill-fast', systems: both, settings: fast, script: killLeaders },
  { name: 'transfer', systems: both, script: transferLeadership },
  { name: 'rolling-restart', systems: both, script: restartInTurn },
  { name: 'pause-leader', systems: both, script: pauseLeader },
  ...cuts.map((cut) => ({
    name: cut.replaceAll(' ', '-'),
    systems: both,
    settings: { heartbeatMs: 50, electionMs: 500 },
    script: (context: ScenarioContext) => cutLinks(cut, context),
  })),
  { name: 'connections', systems: both, script: endConnections },
  { name: 'clock-jump', systems: ['quorate'], settings: { fakeClocks: 'wall' }, script: jumpClocks },
  {
    name: 'clock-rate',
    systems: ['quorate'],
    settings: { fakeClocks: 'all' },
    clockRateMax: fastClockRate,
    script: runClocksFast,
  },
  { name: 'busy-leader', systems: both, script: keepLeaderBusy },
  { name: 'slow-follower', systems: both, settings: { electionMs: 3_000 }, script: slowFollower },
  { name: 'left-behind', systems: ['quorate'], settings: { snapshotCount: 20 }, script: leaveBehind },
]

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
}
