// A fresh cluster under recorded clients and watches, whatever is done to it meanwhile; in the end all is healed, the
// cluster must serve and agree again, and everything that was written down is judged.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../src/base/index.ts'
import { type Violation, type WatchRequest, wholeSpan } from '../../src/simulator/index.ts'
import { messagesOf, numberOf, revisionOf } from '../support/keys.ts'
import type { Laboratory } from '../support/laboratory.ts'
import { RecordedClient } from './client.ts'
import { type Cluster, type ClusterSettings, type Seat, type System, startCluster } from './cluster.ts'
import { countLost, judge } from './judge.ts'
import { spanMessage } from './messages.ts'
import { Probe } from './probe.ts'
import { Connection, Recorder } from './recorder.ts'
import { RecordedWatcher } from './watcher.ts'

export interface SessionResult {
  readonly answered: number
  /** Of the answered calls those that are no reads. */
  readonly acknowledgedWrites: number
  readonly failed: number
  readonly unknown: number
  readonly revisions: number
  readonly watchedEvents: number
  /** Acknowledged writes that are nowhere. */
  readonly lost: number
  readonly violations: readonly Violation[]
  /** Broken promises that the system is known to break, by the issue that says so. They decide nothing. */
  readonly known: ReadonlyMap<string, number>
  readonly seconds: number
}

/** Of Debian's etcd 3.4: a leader that stood still revokes, when it wakes, leases that were renewed elsewhere. */
const knownOfEtcd: ReadonlyMap<string, string> = new Map([
  ['a lease lives as long as it was promised', 'etcd-io/etcd #15247'],
])

/** The result of a session that was one history or scenario of one system. */
export interface Result extends SessionResult {
  /** `seed N`, or of the scenario. */
  readonly name: string
  readonly system: System
  readonly figures: Readonly<Record<string, number | string>>
  /** Faults that were drawn, by kind. */
  readonly faults: ReadonlyMap<string, number>
}

/** How many clients of which kind there are. */
export interface Load {
  readonly clients: number
  /** One at each node that does nothing but write, for the measurement of gaps. */
  readonly probes: boolean
}

export interface SessionSetup {
  readonly settings: ClusterSettings
  readonly laboratory: Laboratory
  readonly random: SeededRandom
  readonly load: Load
  /** How much faster than true time the clocks of a node may run. */
  readonly clockRateMax: number
  /** Whether logs and data stay when a promise was broken. */
  readonly keepData: boolean
}

/** Generous: that it comes back is asked here; how soon is the matter of the directed scenarios. */
const healDeadlineMs = 120_000

/** Starts a cluster and its clients, lets the script do what it likes, heals, and judges. */
export async function runSession(
  setup: SessionSetup,
  script: (session: Session) => Promise<void>,
): Promise<SessionResult> {
  const cluster = await startCluster(setup.settings, setup.laboratory)
  let keepsData = setup.keepData
  try {
    const session = new Session(cluster, setup)
    const result = await session.run(script)
    keepsData &&= result.violations.length > 0
    if (keepsData) console.error(`logs and data: ${cluster.directory}`)
    return result
  } finally {
    await cluster.stop(keepsData)
  }
}

export class Session {
  readonly cluster: Cluster
  readonly random: SeededRandom
  readonly recorder: Recorder = new Recorder()
  readonly #clockRateMax: number
  readonly #clients: RecordedClient[]
  readonly #probes: Probe[]
  readonly #scribes: RecordedWatcher[]
  readonly #watchers: RecordedWatcher[]
  readonly #violations: Violation[] = []
  readonly #startedAt: number

  constructor(cluster: Cluster, { random, load, clockRateMax }: SessionSetup) {
    this.cluster = cluster
    this.random = random
    this.#clockRateMax = clockRateMax
    this.#startedAt = this.recorder.now
    const { seats } = cluster
    const { recorder } = this
    this.#clients = Array.from({ length: load.clients }, (_, i) => {
      const system = cluster.settings.system
      return new RecordedClient({ name: `c${i + 1}`, seats, recorder, random: random.fork(), system })
    })
    this.#probes = load.probes ? seats.map((seat) => new Probe(seat, recorder)) : []
    this.#scribes = seats.map((seat) =>
      this.#createWatcher(`scribe ${seat.name}`, this.#wholeRequest(), [seat]),
    )
    this.#watchers = ['k0', 'k1', 'k3'].map((key, i) =>
      this.#createWatcher(`watcher${i + 1}`, this.#narrowRequest(key), seats),
    )
  }

  async run(script: (session: Session) => Promise<void>): Promise<SessionResult> {
    const clients = Promise.all([...this.#clients, ...this.#probes].map((client) => client.run()))
    const watching = Promise.all([...this.#scribes, ...this.#watchers].map((watcher) => watcher.run()))
    try {
      await script(this)
    } catch (error) {
      this.report('the scenario runs to its end', String(error))
    }
    await this.cluster.healAll()
    // The load goes on while the cluster heals: agreement must not need silence.
    await sleep(1_000)
    for (const client of [...this.#clients, ...this.#probes]) client.stop()
    await clients
    await this.#checkRecovery()
    await watching
    return this.#result()
  }

  /** A promise that the script itself saw broken. */
  report(promise: string, facts: string): void {
    this.#violations.push({ promise, facts })
  }

  /** Cuts the connections of about half of the clients under whatever is on its way. */
  cutClients(): void {
    for (const client of this.#clients) if (this.random.chance(0.5)) client.cut()
    for (const watcher of this.#watchers) if (this.random.chance(0.5)) watcher.cut()
  }

  /** Milliseconds from then to the first acknowledgement of a write that began later. */
  async nextWriteMs(since: number, deadlineMs = 30_000): Promise<number> {
    const seen = this.recorder.calls.length
    const until = performance.now() + deadlineMs
    for (;;) {
      let first = Number.POSITIVE_INFINITY
      for (let i = seen - 200; i < this.recorder.calls.length; i++) {
        const call = this.recorder.calls[i]
        if (call?.outcome.kind !== 'answered' || call.request.kind !== 'put' || call.calledAt < since)
          continue
        first = Math.min(first, call.outcome.returnedAt)
      }
      if (first < Number.POSITIVE_INFINITY) return first - since
      if (performance.now() > until) {
        this.report('the cluster serves within the deadline', `no write within ${deadlineMs} ms`)
        return deadlineMs
      }
      await sleep(5)
    }
  }

  /** The longest time in which no write was acknowledged, within the span, in milliseconds. */
  longestGapMs(from: number, to: number): number {
    const ends = this.recorder.calls.flatMap(({ request, outcome }) =>
      outcome.kind === 'answered' && request.kind === 'put' ? [outcome.returnedAt] : [],
    )
    const inside = [from, ...ends.filter((end) => end > from && end < to).sort((a, b) => a - b), to]
    return inside.reduce((longest, end, i) => Math.max(longest, end - (inside[i - 1] ?? end)), 0)
  }

  /** Writes that began at that time or later and were acknowledged in less than so many milliseconds. */
  writesSooner(from: number, belowMs: number): number {
    return this.recorder.calls.filter(
      ({ request, outcome, calledAt }) =>
        request.kind === 'put' &&
        calledAt >= from &&
        outcome.kind === 'answered' &&
        outcome.returnedAt - calledAt < belowMs,
    ).length
  }

  #wholeRequest(): WatchRequest {
    return { ...wholeSpan, startRevision: 2, ...plain, previous: this.#tellsPrevious }
  }

  #narrowRequest(key: string): WatchRequest {
    const { random } = this
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
    return this.cluster.settings.system === 'quorate'
  }

  #createWatcher(name: string, request: WatchRequest, seats: readonly Seat[]): RecordedWatcher {
    return new RecordedWatcher({
      name,
      request,
      seats,
      recorder: this.recorder,
      random: this.random.fork(),
      // etcd before 3.4.25 answers a request for a mark ahead of the events (etcd-io/etcd #15220).
      asksProgress: this.cluster.settings.system === 'quorate',
    })
  }

  /** After the faults: every node serves, forgotten leases end, all tell one history to its end, all hash alike. */
  async #checkRecovery(): Promise<void> {
    const deadline = performance.now() + healDeadlineMs
    for (const seat of this.cluster.seats) {
      const revision = await this.#put(seat, 'healed', deadline)
      if (revision === undefined) this.report('a healed cluster serves', `${seat.name} takes no write`)
    }
    for (const seat of this.cluster.crashed) {
      this.report('a node lives until it is killed', `${seat.name}:\n${seat.server.lastLogLines(5)}`)
    }
    if (this.#violations.length === 0) await this.#leasesEnd(deadline)
    // A last event for each narrow watch: by it the watch is known to have come to the end.
    let last = 0
    for (const watcher of this.#watchers) {
      last = (await this.#put(this.random.pick(this.cluster.seats), watcher.request.key, deadline)) ?? last
    }
    const whole = this.#scribes.every((scribe) => scribe.nextRevision > last)
    if (!whole) await until(deadline, () => this.#scribes.every((scribe) => scribe.nextRevision > last))
    const late = this.#scribes.filter((scribe) => scribe.nextRevision <= last)
    for (const scribe of late) {
      const facts = `${scribe.name} was told up to ${scribe.nextRevision - 1} of ${last}`
      this.report('a healed cluster tells everything', facts)
    }
    await this.#watchersArrive(deadline)
    for (const scribe of this.#scribes) scribe.stop(last)
    for (const watcher of this.#watchers) watcher.stop(this.#lastOf(watcher))
    await this.#compareHashes(last, deadline)
  }

  /** The revision of the last change that the watch has to tell of. */
  #lastOf(watcher: RecordedWatcher): number {
    const { request } = watcher
    const finals = this.recorder.calls.flatMap((call) =>
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
      this.report('a healed cluster tells everything', facts)
    }
  }

  /** The revision of a recorded write that was acknowledged, tried again until the deadline. */
  async #put(seat: Seat, key: string, deadline: number): Promise<number | undefined> {
    for (let attempt = 1; performance.now() < deadline; attempt++) {
      const connection = new Connection(seat)
      const value = `${healer} ${this.recorder.calls.length} ${attempt}`
      const request = { kind: 'put', key, value, lease: 0n } as const
      const answer = await this.recorder.call({ name: healer, connection }, request)
      connection.close()
      if (answer.code === 0) return revisionOf(answer.message)
      await sleep(50)
    }
    return undefined
  }

  async #leasesEnd(deadline: number): Promise<void> {
    let left: number | undefined
    await until(deadline, async () => {
      const [seat] = this.cluster.seats
      if (seat === undefined) return true
      const connection = new Connection(seat)
      const answer = await connection.grpc.call('range', spanMessage({ key: 'a', end: 'b' }), 2_000)
      connection.close()
      left = answer.code === 0 ? messagesOf(answer.message.kvs).length : undefined
      return left === 0
    })
    if (left !== 0) this.report('a lease that nobody renews ends', `${left} keys with a lease are left`)
  }

  /** Of the same revision, once all have compacted to the same. */
  async #compareHashes(revision: number, deadline: number): Promise<void> {
    let facts: string[] = []
    await until(Math.min(deadline, performance.now() + 10_000), async () => {
      facts = await Promise.all(
        this.cluster.seats.map(async (seat) => {
          const connection = new Connection(seat)
          const { code, text, message } = await connection.grpc.call('hashKv', { revision }, 2_000)
          connection.close()
          if (code !== 0) return `${seat.name}: ${text}`
          return `${numberOf(message.hash)} compacted ${numberOf(message.compact_revision)}`
        }),
      )
      return new Set(facts).size === 1
    })
    if (new Set(facts).size !== 1) this.report('equal hash at equal revision', facts.join(' | '))
  }

  #result(): SessionResult {
    const { calls, collector } = this.recorder
    const log = collector.records()
    const count = (kind: string): number => calls.filter((call) => call.outcome.kind === kind).length
    const all = [...this.#violations, ...judge(this.recorder, this.#clockRateMax)]
    const isKnown = ({ promise }: Violation): boolean =>
      this.cluster.settings.system === 'etcd' && knownOfEtcd.has(promise)
    const known = new Map<string, number>()
    for (const { promise } of all.filter(isKnown)) {
      const issue = knownOfEtcd.get(promise) ?? promise
      known.set(issue, (known.get(issue) ?? 0) + 1)
    }
    return {
      answered: count('answered'),
      acknowledgedWrites: calls.filter(
        ({ outcome, request }) => outcome.kind === 'answered' && request.kind !== 'range',
      ).length,
      failed: count('failed'),
      unknown: count('unknown'),
      revisions: log.length,
      watchedEvents: [...this.#scribes, ...this.#watchers].reduce((sum, one) => sum + one.toldCount, 0),
      lost: countLost(calls, log),
      violations: all.filter((violation) => !isKnown(violation)),
      known,
      seconds: Math.round((performance.now() - this.#startedAt) / 1_000),
    }
  }
}

const healer = 'healer'
const plain = { noPut: false, noDelete: false, fragment: false } as const

async function until(deadline: number, ask: () => boolean | Promise<boolean>): Promise<void> {
  while (performance.now() < deadline && !(await ask())) await sleep(20)
}

export function describeSession(result: SessionResult): string {
  const { answered, failed, unknown } = result
  const promises = new Set(result.violations.map((violation) => violation.promise))
  return [
    `calls ${answered}/${failed}/${unknown}`,
    `revisions ${result.revisions}`,
    `watched ${result.watchedEvents}`,
    promises.size === 0 ? 'ok' : `VIOLATED ${[...promises].join(', ')}`,
    ...[...result.known].map(([issue, count]) => `known ${issue}: ${count}`),
    `${result.seconds} s`,
  ].join('  ')
}
