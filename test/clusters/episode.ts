// One history: a fresh cluster, recorded clients, a nemesis for some seconds; then all is healed, the cluster must serve
// and agree again, and everything that was written down is judged.
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../../src/base/index.ts'
import { type Violation, type WatchRequest, wholeSpan } from '../../src/simulator/index.ts'
import { messagesOf, numberOf, revisionOf } from '../support/keys.ts'
import { RecordedClient } from './client.ts'
import { type Cluster, type ClusterSettings, type Seat, type System, startCluster } from './cluster.ts'
import { countLost, judge } from './judge.ts'
import type { Laboratory } from './laboratory.ts'
import { spanMessage } from './messages.ts'
import { drawFaults, type FaultKind, fastClockRate, Nemesis } from './nemesis.ts'
import { Connection, Recorder } from './recorder.ts'
import { RecordedWatcher } from './watcher.ts'

export interface EpisodeResult {
  readonly system: System
  readonly seed: number
  readonly faults: ReadonlyMap<FaultKind, number>
  readonly answered: number
  readonly failed: number
  readonly unknown: number
  readonly revisions: number
  readonly watchedEvents: number
  readonly lost: number
  readonly violations: readonly Violation[]
}

export interface EpisodeSetup {
  readonly system: System
  readonly seed: number
  readonly tree: string
  readonly keepData: boolean
  /** Undefined: drawn by the seed. */
  readonly faults: readonly FaultKind[] | undefined
}

const clientCount = 6
const faultsMs = 6_000
/** Generous: that it comes back is asked here; how soon is the matter of the directed scenarios. */
const healDeadlineMs = 30_000

export async function runEpisode(setup: EpisodeSetup, laboratory: Laboratory): Promise<EpisodeResult> {
  const { system, seed } = setup
  const random = new SeededRandom(seed)
  const kinds = setup.faults ?? drawFaults(random, system)
  const settings: ClusterSettings = {
    system,
    tree: setup.tree,
    ...random.pick([
      { heartbeatMs: 100, electionMs: 1_000 },
      { heartbeatMs: 50, electionMs: 500 },
      { heartbeatMs: 30, electionMs: 300 },
    ]),
    snapshotCount: random.pick([20, 100, 10_000]),
    fakeClocks: kinds.includes('wallJump') ? 'wall' : kinds.includes('clockRate') ? 'all' : undefined,
  }
  const cluster = await startCluster(settings, laboratory)
  let keepData = setup.keepData
  try {
    const result = await new Episode(cluster, random, kinds).run(seed)
    keepData &&= result.violations.length > 0
    if (keepData) console.error(`logs and data of seed ${seed}: ${cluster.directory}`)
    return result
  } finally {
    await cluster.stop(keepData)
  }
}

class Episode {
  readonly #cluster: Cluster
  readonly #random: SeededRandom
  readonly #kinds: readonly FaultKind[]
  readonly #recorder = new Recorder()
  readonly #clients: RecordedClient[]
  readonly #scribes: RecordedWatcher[]
  readonly #watchers: RecordedWatcher[]
  readonly #violations: Violation[] = []

  constructor(cluster: Cluster, random: SeededRandom, kinds: readonly FaultKind[]) {
    this.#cluster = cluster
    this.#random = random
    this.#kinds = kinds
    const { seats } = cluster
    this.#clients = Array.from(
      { length: clientCount },
      (_, i) =>
        new RecordedClient({ name: `c${i + 1}`, seats, recorder: this.#recorder, random: random.fork() }),
    )
    this.#scribes = seats.map((seat) =>
      this.#createWatcher(`scribe ${seat.name}`, this.#wholeRequest(), [seat]),
    )
    this.#watchers = ['k0', 'k1', 'k3'].map((key, i) =>
      this.#createWatcher(`watcher${i + 1}`, this.#narrowRequest(key), seats),
    )
  }

  async run(seed: number): Promise<EpisodeResult> {
    const clients = Promise.all(this.#clients.map((client) => client.run()))
    const watching = Promise.all([...this.#scribes, ...this.#watchers].map((watcher) => watcher.run()))
    const nemesis = new Nemesis({
      cluster: this.#cluster,
      random: this.#random.fork(),
      kinds: this.#kinds,
      cutClients: () => this.#cutClients(),
      answeredCount: () => this.#recorder.answeredCount,
    })
    await nemesis.run(faultsMs)
    // The load goes on while the cluster heals: agreement must not need silence.
    await sleep(1_000)
    for (const client of this.#clients) client.stop()
    await clients
    await this.#checkRecovery()
    await watching
    return this.#result(seed, nemesis.counts)
  }

  #wholeRequest(): WatchRequest {
    return { ...wholeSpan, startRevision: 2, ...plain, previous: this.#tellsPrevious }
  }

  #narrowRequest(key: string): WatchRequest {
    const random = this.#random
    return {
      key,
      end: random.pick(['', 'k5', '\0']),
      startRevision: random.pick([0, 2]),
      previous: this.#tellsPrevious && random.chance(0.5),
      noPut: false,
      noDelete: random.chance(0.3),
      fragment: random.chance(0.3),
    }
  }

  /** etcd looks the previous value up when it sends, and leaves it out when that was compacted meanwhile. */
  get #tellsPrevious(): boolean {
    return this.#cluster.settings.system === 'quorate'
  }

  #createWatcher(name: string, request: WatchRequest, seats: readonly Seat[]): RecordedWatcher {
    return new RecordedWatcher({
      name,
      request,
      seats,
      recorder: this.#recorder,
      random: this.#random.fork(),
      // etcd before 3.4.25 answers a request for a mark ahead of the events (etcd-io/etcd #15220).
      asksProgress: this.#cluster.settings.system === 'quorate',
    })
  }

  #cutClients(): void {
    for (const client of this.#clients) if (this.#random.chance(0.5)) client.cut()
    for (const watcher of this.#watchers) if (this.#random.chance(0.5)) watcher.cut()
  }

  #report(promise: string, facts: string): void {
    this.#violations.push({ promise, facts })
  }

  /** After the faults: every node serves, forgotten leases end, all tell one history to its end, all hash alike. */
  async #checkRecovery(): Promise<void> {
    const deadline = performance.now() + healDeadlineMs
    for (const seat of this.#cluster.seats) {
      const revision = await this.#put(seat, 'healed', deadline)
      if (revision === undefined) this.#report('a healed cluster serves', `${seat.name} takes no write`)
    }
    for (const seat of this.#cluster.crashed) {
      this.#report('a node lives until it is killed', `${seat.name}:\n${seat.server.lastLogLines(5)}`)
    }
    if (this.#violations.length === 0) await this.#leasesEnd(deadline)
    // A last event for each narrow watch: by it the watch is known to have come to the end.
    let last = 0
    for (const watcher of this.#watchers) {
      last = (await this.#put(this.#random.pick(this.#cluster.seats), watcher.request.key, deadline)) ?? last
    }
    const whole = this.#scribes.every((scribe) => scribe.nextRevision > last)
    if (!whole) await until(deadline, () => this.#scribes.every((scribe) => scribe.nextRevision > last))
    const late = this.#scribes.filter((scribe) => scribe.nextRevision <= last)
    for (const scribe of late) {
      const facts = `${scribe.name} was told up to ${scribe.nextRevision - 1} of ${last}`
      this.#report('a healed cluster tells everything', facts)
    }
    await this.#watchersArrive(deadline)
    for (const scribe of this.#scribes) scribe.stop(last)
    for (const watcher of this.#watchers) watcher.stop(this.#lastOf(watcher))
    await this.#compareHashes(last, deadline)
  }

  /** The revision of the last change that the watch has to tell of. */
  #lastOf(watcher: RecordedWatcher): number {
    const { request } = watcher
    const finals = this.#recorder.calls.flatMap((call) =>
      call.client === healer && call.request.kind === 'put' && call.request.key === request.key
        ? [call.outcome]
        : [],
    )
    const last = finals.findLast((outcome) => outcome.kind === 'answered')
    return last?.kind === 'answered' ? last.revision : 0
  }

  async #watchersArrive(deadline: number): Promise<void> {
    const isThrough = (watcher: RecordedWatcher): boolean => watcher.nextRevision > this.#lastOf(watcher)
    await until(deadline, () => this.#watchers.every(isThrough))
    for (const watcher of this.#watchers.filter((one) => !isThrough(one))) {
      const facts = `${watcher.name} was told up to ${watcher.nextRevision - 1} of ${this.#lastOf(watcher)}`
      this.#report('a healed cluster tells everything', facts)
    }
  }

  /** The revision of a recorded write that was acknowledged, tried again until the deadline. */
  async #put(seat: Seat, key: string, deadline: number): Promise<number | undefined> {
    for (let attempt = 1; performance.now() < deadline; attempt++) {
      const connection = new Connection(seat)
      const value = `${healer} ${this.#recorder.calls.length} ${attempt}`
      const request = { kind: 'put', key, value, lease: 0n } as const
      const answer = await this.#recorder.call({ name: healer, connection }, request)
      connection.close()
      if (answer.code === 0) return revisionOf(answer.message)
      await sleep(50)
    }
    return undefined
  }

  async #leasesEnd(deadline: number): Promise<void> {
    let left: number | undefined
    await until(deadline, async () => {
      const [seat] = this.#cluster.seats
      if (seat === undefined) return true
      const connection = new Connection(seat)
      const answer = await connection.grpc.call('range', spanMessage({ key: 'a', end: 'b' }), 2_000)
      connection.close()
      left = answer.code === 0 ? messagesOf(answer.message.kvs).length : undefined
      return left === 0
    })
    if (left !== 0) this.#report('a lease that nobody renews ends', `${left} keys with a lease are left`)
  }

  /** Of the same revision, once all have compacted to the same. */
  async #compareHashes(revision: number, deadline: number): Promise<void> {
    let facts: string[] = []
    await until(Math.min(deadline, performance.now() + 10_000), async () => {
      facts = await Promise.all(
        this.#cluster.seats.map(async (seat) => {
          const connection = new Connection(seat)
          const { code, text, message } = await connection.grpc.call('hashKv', { revision }, 2_000)
          connection.close()
          if (code !== 0) return `${seat.name}: ${text}`
          return `${numberOf(message.hash)} compacted ${numberOf(message.compact_revision)}`
        }),
      )
      return new Set(facts).size === 1
    })
    if (new Set(facts).size !== 1) this.#report('equal hash at equal revision', facts.join(' | '))
  }

  #result(seed: number, faults: ReadonlyMap<FaultKind, number>): EpisodeResult {
    const { calls, collector } = this.#recorder
    const clockRateMax = this.#kinds.includes('clockRate') ? fastClockRate : 1
    const log = collector.records()
    const count = (kind: string): number => calls.filter((call) => call.outcome.kind === kind).length
    return {
      system: this.#cluster.settings.system,
      seed,
      faults,
      answered: count('answered'),
      failed: count('failed'),
      unknown: count('unknown'),
      revisions: log.length,
      watchedEvents: [...this.#scribes, ...this.#watchers].reduce((sum, one) => sum + one.toldCount, 0),
      lost: countLost(calls, log),
      violations: [...this.#violations, ...judge(this.#recorder, clockRateMax)],
    }
  }
}

const healer = 'healer'
const plain = { noPut: false, noDelete: false, fragment: false } as const

async function until(deadline: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  while (performance.now() < deadline && !(await ask())) await sleep(20)
}

export function describeEpisode(result: EpisodeResult): string {
  const faults = [...result.faults].map(([kind, count]) => `${kind}=${count}`).join(' ')
  const { answered, failed, unknown } = result
  const promises = new Set(result.violations.map((violation) => violation.promise))
  const verdict = promises.size === 0 ? 'ok' : `VIOLATED ${[...promises].join(', ')}`
  return [
    `seed ${result.seed}`,
    result.system,
    faults,
    `calls ${answered}/${failed}/${unknown}`,
    `revisions ${result.revisions}`,
    `watched ${result.watchedEvents}`,
    verdict,
  ].join('  ')
}
