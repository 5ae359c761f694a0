/**
 * One simulated run: a seed draws cluster, configuration, load and faults; clients and watchers write down what they
 * see; then the faults end, and the cluster must serve and agree again; then the checkers judge everything.
 * The same seed and options give the same run, event by event: `digest` proves it.
 */
import { SeededRandom } from '../base/index.ts'
import { checkHashes } from './check-hash.ts'
import { checkKv, type KvHistory } from './check-kv.ts'
import { checkLeases, type LeasePeace, type LeaseRecord } from './check-lease.ts'
import { checkSessions, type NumberedRequest } from './check-session.ts'
import { checkTransactions } from './check-transactions.ts'
import { checkWatches, type RecordedWatch, type WatchMessage, type WatchRequest } from './check-watch.ts'
import { type CallResult, ClientPaths, type Recorder, SimulatedClient } from './client.ts'
import { SimulatedCluster } from './cluster.ts'
import type { RecordedCall, Sighting, Violation } from './history.ts'
import type { Journal } from './journal.ts'
import { clockRateMax, Nemesis } from './nemesis.ts'
import { Operator } from './operator.ts'
import { drawOptions, type FaultKind, type SimulationOptions } from './options.ts'
import { Scheduler } from './scheduler.ts'
import type { ServerRequest, StartServer } from './server-seam.ts'
import { WatchBrowser } from './watch-browser.ts'
import { LogCollector, SimulatedWatcher, wholeSpan } from './watcher.ts'

export interface SimulationResult {
  readonly seed: number
  readonly options: SimulationOptions
  readonly violations: readonly Violation[]
  /** Equal for two runs of the same seed and options. */
  readonly digest: number
  readonly events: number
  readonly virtualMs: number
  readonly calls: { readonly answered: number; readonly failed: number; readonly unknown: number }
  /** Calls other than reads that were answered: what must not be lost from then on. */
  readonly acknowledgedWrites: number
  /** Events that all watches together were told. */
  readonly watchedEvents: number
  readonly revisions: number
  readonly faults: ReadonlyMap<FaultKind, number>
  /** Changes of members that were answered, and disks wiped. */
  readonly changes: ReadonlyMap<string, number>
  /** How often the servers logged each event: what this run has reached. */
  readonly marks: ReadonlyMap<string, number>
  /** Starts of servers beyond the first of each. */
  readonly restarts: number
  readonly history: RunHistory
}

/** All that was recorded and judged. */
export interface RunHistory extends KvHistory {
  readonly leaseRecords: readonly LeaseRecord[]
  readonly leasePeace: LeasePeace | undefined
  readonly numbered: readonly NumberedRequest[]
  readonly watches: readonly RecordedWatch[]
}

/** What clients can see of broken promises in what they recorded. */
export function checkHistory(history: RunHistory): Violation[] {
  const { calls, log, sightings, leaseRecords, leasePeace, watches } = history
  return [
    ...checkKv(history),
    ...checkTransactions(history),
    ...checkSessions(history),
    ...checkLeases(log, leaseRecords, allSightings(calls, sightings), clockRateMax, leasePeace),
    ...checkWatches(log, watches),
  ]
}

/** Leases of the load live at most this long. */
const leaseTtlMsMax = 4_000

/** `journal` takes the notes for the story of the run. */
export async function simulate(
  seed: number,
  startServer: StartServer,
  options: SimulationOptions = drawOptions(seed),
  journal?: Journal,
): Promise<SimulationResult> {
  const run = new Run(seed, startServer, options, journal)
  return run.execute()
}

/** The promise of the simulator itself. */
export const repeats = 'a seed repeats'

/** Runs the seed twice; a difference between the two is a violation of its own. */
export async function simulateTwice(
  seed: number,
  startServer: StartServer,
  options: SimulationOptions = drawOptions(seed),
): Promise<SimulationResult> {
  const first = await simulate(seed, startServer, options)
  const second = await simulate(seed, startServer, options)
  if (first.digest === second.digest) return first
  const facts = `digests ${first.digest} and ${second.digest} after ${first.events} and ${second.events} events`
  return { ...first, violations: [...first.violations, { promise: repeats, facts }] }
}

class Run {
  readonly #seed: number
  readonly #options: SimulationOptions
  readonly #scheduler = new Scheduler()
  readonly #random: SeededRandom
  readonly #cluster: SimulatedCluster
  readonly #paths: ClientPaths
  readonly #collector = new LogCollector()
  readonly #recorder: Recorder
  readonly #watchers: SimulatedWatcher[] = []
  readonly #browsers: WatchBrowser[] = []
  readonly #operator: Operator | undefined
  readonly #violations: Violation[] = []
  #leasePeace: LeasePeace | undefined
  readonly #startedFirst: number
  readonly #journal: Journal | undefined

  constructor(seed: number, startServer: StartServer, options: SimulationOptions, journal?: Journal) {
    this.#seed = seed
    this.#journal = journal
    this.#options = options
    this.#random = new SeededRandom(seed)
    const random = this.#random.fork()
    this.#cluster = new SimulatedCluster({
      scheduler: this.#scheduler,
      random,
      options,
      startServer,
      journal,
    })
    this.#startedFirst = options.nodes
    this.#paths = new ClientPaths(this.#cluster, this.#random.fork())
    this.#recorder = {
      calls: [],
      leases: [],
      numbered: [],
      revokedLeases: new Set(),
      hashes: [],
      violations: [],
      recordedRevision: () => this.#collector.contiguousRevision,
    }
    if (journal !== undefined) {
      journal.calls = this.#recorder.calls
      journal.leases = this.#recorder.leases
    }
    if (options.members) {
      this.#operator = new Operator({
        cluster: this.#cluster,
        paths: this.#paths,
        random: this.#random.fork(),
      })
    }
  }

  async execute(): Promise<SimulationResult> {
    const scheduler = this.#scheduler
    this.#cluster.startAll()
    this.#startWatchers()
    const clients = Array.from({ length: this.#options.clients }, (_, i) => this.#createClient(`c${i + 1}`))
    if (this.#options.rot) this.#rotLater(this.#random.fork())
    const ended = Promise.all([...clients.map((client) => client.run()), this.#operator?.run()])
    const nemesis = new Nemesis(this.#cluster, this.#random.fork(), this.#options, this.#journal)
    await scheduler.run(this.#options.chaosMs)
    nemesis.stop()
    this.#operator?.stop()
    this.#cluster.heal()
    const healedAt = scheduler.now
    // The load goes on while the cluster heals: agreement must not need silence.
    await scheduler.run(Math.min(2_000, this.#options.healMs / 4))
    for (const client of clients) client.stop()
    for (const browser of this.#browsers) browser.rest()
    await scheduler.complete(ended)
    if (this.#operator !== undefined) {
      await scheduler.complete(
        this.#operator.settle(healedAt + this.#options.healMs),
        2 * this.#options.healMs,
      )
    }
    await this.#checkRecovery(healedAt + this.#options.healMs)
    return this.#result(nemesis)
  }

  /** One byte of each file of one node, one after the other: it must notice or not care. */
  #rotLater(random: SeededRandom): void {
    this.#scheduler.after(this.#options.chaosMs * (0.3 + 0.5 * random.unit()), () => {
      this.#cluster.rot(random.pick(this.#cluster.nodes), random)
    })
  }

  #createClient(name: string): SimulatedClient {
    return new SimulatedClient({
      name,
      paths: this.#paths,
      cluster: this.#cluster,
      random: this.#random.fork(),
      options: this.#options,
      recorder: this.#recorder,
    })
  }

  #startWatchers(): void {
    const whole: WatchRequest = {
      ...wholeSpan,
      startRevision: 2,
      previous: true,
      noPut: false,
      noDelete: false,
      fragment: false,
    }
    this.#watch('scribe', whole)
    const random = this.#random.fork()
    for (let i = 0; i < 2; i++) {
      this.#watch(`watcher${i + 1}`, {
        key: random.pick(['a', 'k0', 'k1']),
        end: random.pick(['', 'k3', '\0']),
        startRevision: random.pick([0, 2]),
        previous: random.chance(0.5),
        noPut: random.chance(0.2),
        noDelete: random.chance(0.2),
        fragment: random.chance(0.3),
      })
    }
    for (let count = random.between(0, 3), i = 0; i < count; i++) {
      const browser = new WatchBrowser({
        name: `browser${i + 1}`,
        cluster: this.#cluster,
        paths: this.#paths,
        random: random.fork(),
        recordedRevision: this.#recorder.recordedRevision,
      })
      this.#browsers.push(browser)
      void browser.run()
    }
  }

  #watch(name: string, request: WatchRequest, pinned?: string): SimulatedWatcher {
    const watcher = new SimulatedWatcher({
      name,
      cluster: this.#cluster,
      paths: this.#paths,
      random: this.#random.fork(),
      collector: this.#collector,
      request,
      journal: this.#journal,
      ...(pinned === undefined ? {} : { pinned }),
    })
    this.#watchers.push(watcher)
    return watcher
  }

  /** After the faults: every node serves, forgotten leases end, all tell one history, all states are equal. */
  async #checkRecovery(deadline: number): Promise<void> {
    const last = await this.#checkService(deadline)
    if (last !== undefined) await this.#checkAgreement(last)
    // Watchers of narrow spans cannot tell that they are through; they have had the same time, and a second more. Where nobody
    // knows what the last revision is, they owe nothing, but what they were told counts all the same.
    await this.#scheduler.run(1_000)
    for (const watcher of [...this.#watchers, ...this.#browsers]) watcher.stop(last ?? 0)
  }

  /** The last revision; undefined where the cluster does not serve. */
  async #checkService(deadline: number): Promise<number | undefined> {
    const scheduler = this.#scheduler
    for (const { name } of this.#cluster.wholeNodes) {
      if (!(await this.#servesAgain(name, deadline))) {
        const facts = `${name} answers no write within ${this.#options.healMs} ms: ${this.#describeNodes()}`
        this.#report('a healed cluster serves', facts)
        return undefined
      }
    }
    const since = scheduler.now
    const lateMsMax = leaseTtlMsMax / 2 + 4 * this.#options.tuning.electionMs
    await scheduler.run(this.#options.leases ? leaseTtlMsMax * clockRateMax + lateMsMax : 0)
    const last = await this.#lastRevision()
    if (last === undefined) {
      this.#report('a healed cluster serves', 'no server answers a linearizable read')
      return undefined
    }
    // With each leader the clocks of all leases begin again; where timeouts are short beside delays, peace is short too.
    const quietSince = Math.max(since, this.#cluster.lastElectedAt)
    this.#leasePeace = { since: quietSince, until: scheduler.now, lateMsMax }
    return last
  }

  async #checkAgreement(last: number): Promise<void> {
    const scheduler = this.#scheduler
    const learners = this.#learners()
    const voters = this.#cluster.wholeNodes.filter((node) => !learners.has(node.seat?.memberId ?? 0n))
    const finals = voters.map(({ name }) => this.#watchFinally(name))
    const isTold = await scheduler.runUntil(
      () =>
        this.#isAgreed() &&
        [...finals, ...this.#watchers.slice(0, 1)].every((one) => one.nextRevision > last),
      scheduler.now + this.#options.healMs,
    )
    if (!isTold) {
      const facts = `${this.#describeNodes()}; watched through ${finals.map((one) => one.nextRevision - 1).join(', ')}`
      this.#report('a healed cluster agrees', `revision ${last}: ${facts}`)
    }
  }

  /** A whole-span watch at one node, from the first revision that is not compacted there. */
  #watchFinally(name: string): SimulatedWatcher {
    const request = {
      ...wholeSpan,
      startRevision: 2,
      previous: false,
      noPut: false,
      noDelete: false,
      fragment: false,
    }
    return this.#watch(`final ${name}`, request, name)
  }

  async #servesAgain(name: string, deadline: number): Promise<boolean> {
    for (let attempt = 1; this.#scheduler.now < deadline; attempt++) {
      const value = `heal ${name} ${attempt}`
      const result = await this.#callRecorded(name, value)
      // A learner serves, but neither writes nor watches.
      const isLearner = result?.kind === 'failed' && result.code === 'learner-unsupported'
      if (result?.kind === 'answered' || isLearner) return true
      await this.#scheduler.run(100)
    }
    return false
  }

  /** As the leader lists them: one that has just joined may not know yet that it is one. */
  #learners(): Set<bigint> {
    const listed = this.#cluster.leader?.life?.server?.status().members ?? []
    return new Set(listed.filter(({ isLearner }) => isLearner).map(({ id }) => id))
  }

  async #callRecorded(name: string, value: string): Promise<CallResult | undefined> {
    const life = this.#cluster.serving.find(({ node }) => node.name === name)
    if (life === undefined) return undefined
    const request = { kind: 'put', key: 'healed', value, lease: 0n } as const
    const call: RecordedCall = {
      id: this.#recorder.calls.length + 1,
      client: 'healer',
      server: `${name}.${life.number}`,
      request,
      isSerializable: false,
      atRevision: 0,
      calledAt: this.#scheduler.now,
      outcome: { kind: 'unknown' },
    }
    this.#recorder.calls.push(call)
    const wire: ServerRequest = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 }
    const result = await this.#scheduler.complete(this.#paths.call(life, wire))
    if (result.kind !== 'answered') call.outcome = { kind: result.kind }
    else if (result.answer.result !== undefined) {
      const { revision, result: modelResult } = result.answer
      call.outcome = { kind: 'answered', returnedAt: this.#scheduler.now, revision, result: modelResult }
    }
    return result
  }

  async #lastRevision(): Promise<number | undefined> {
    const request = { kind: 'range', ...wholeSpan, limit: 0 } as const
    const wire: ServerRequest = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 }
    for (let attempt = 0; attempt < 100; attempt++) {
      const life = this.#paths.pickServer()
      const result = life && (await this.#scheduler.complete(this.#paths.call(life, wire)))
      if (result?.kind === 'answered') return result.answer.revision
      await this.#scheduler.run(100)
    }
    return undefined
  }

  #isAgreed(): boolean {
    const all = this.#cluster.serving.map(({ server }) => server?.status())
    const first = all[0]
    return (
      all.length >= this.#cluster.wholeNodes.length &&
      all.every((one) => one?.appliedIndex === first?.appliedIndex && one?.digest === first?.digest)
    )
  }

  #describeNodes(): string {
    const describe = ({ name, life }: SimulatedCluster['nodes'][number]): string => {
      const status = life?.server?.status()
      if (status === undefined) return `${name} is down`
      const { isLeader, term, commitIndex, appliedIndex, digest } = status
      const role = isLeader ? 'leads' : 'follows'
      return `${name} ${role} term ${term} commit ${commitIndex} applied ${appliedIndex} digest ${digest}`
    }
    return this.#cluster.nodes.map(describe).join('; ')
  }

  #report(promise: string, facts: string): void {
    this.#violations.push({ promise, facts })
  }

  #result(nemesis: Nemesis): SimulationResult {
    const { calls, leases, numbered } = this.#recorder
    const watches = [...this.#watchers, ...this.#browsers].flatMap((watcher) => watcher.recorded)
    const history: RunHistory = {
      calls,
      log: this.#collector.records(),
      sightings: this.#collector.sightings,
      leases: leases.map(({ id }) => id),
      leaseRecords: leases,
      leasePeace: this.#leasePeace,
      numbered,
      watches,
    }
    for (const node of this.#cluster.nodes) {
      for (const facts of node.machine.disk.misuse)
        this.#report('a failed file is left alone', `${node.name}: ${facts}`)
    }
    const violations = [
      // What broke at its moment comes before what came of it.
      ...this.#cluster.checker.violations,
      ...this.#cluster.violations,
      ...this.#recorder.violations,
      ...this.#paths.violations,
      ...this.#browsers.flatMap((browser) => browser.violations),
      ...checkHashes(this.#recorder.hashes),
      ...(this.#operator?.violations ?? []),
      ...this.#violations,
      ...this.#collector.violations,
      ...checkHistory(history),
    ]
    const count = (kind: RecordedCall['outcome']['kind']): number =>
      calls.filter((call) => call.outcome.kind === kind).length
    return {
      seed: this.#seed,
      options: this.#options,
      violations,
      digest: this.#scheduler.digest,
      events: this.#scheduler.eventCount,
      virtualMs: this.#scheduler.now,
      calls: { answered: count('answered'), failed: count('failed'), unknown: count('unknown') },
      acknowledgedWrites: calls.filter(isAcknowledgedWrite).length,
      watchedEvents: watches.reduce((sum, { messages }) => sum + countEvents(messages), 0),
      revisions: history.log.length,
      faults: nemesis.counts,
      changes: this.#operator?.counts ?? new Map(),
      marks: this.#cluster.marks,
      restarts: this.#cluster.nodes.reduce((sum, node) => sum + node.lives, 0) - this.#startedFirst,
      history,
    }
  }
}

function isAcknowledgedWrite({ outcome, request }: RecordedCall): boolean {
  return outcome.kind === 'answered' && request.kind !== 'range'
}

function countEvents(messages: readonly WatchMessage[]): number {
  return messages.reduce((sum, message) => sum + (message.kind === 'events' ? message.events.length : 0), 0)
}

/** Answers show revisions too. */
function allSightings(calls: readonly RecordedCall[], sightings: readonly Sighting[]): Sighting[] {
  const answered = calls.flatMap(({ outcome }) =>
    outcome.kind === 'answered' ? [{ revision: outcome.revision, seenAt: outcome.returnedAt }] : [],
  )
  return [...answered, ...sightings]
}

/** One line a run. */
export function describeRun(result: SimulationResult): string {
  const { answered, failed, unknown } = result.calls
  const counts = (map: ReadonlyMap<string, number>): string =>
    map.size === 0 ? 'none' : [...map].map(([kind, count]) => `${kind}=${count}`).join(' ')
  return [
    `seed ${result.seed}`,
    result.violations.length === 0 ? 'ok' : 'FAILED',
    `nodes ${result.options.nodes}`,
    `calls ${answered}/${failed}/${unknown}`,
    `revisions ${result.revisions}`,
    `restarts ${result.restarts}`,
    `virtual ${(result.virtualMs / 1000).toFixed(1)} s`,
    `events ${result.events}`,
    `digest ${result.digest.toString(16).padStart(8, '0')}`,
    `faults ${counts(result.faults)}`,
    ...(result.options.members ? [`changes ${counts(result.changes)}`] : []),
  ].join('  ')
}
