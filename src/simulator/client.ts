import { isQuorateError, present, type SeededRandom } from '../base/index.ts'
import type { HashReport } from './check-hash.ts'
import type { LeaseRecord } from './check-lease.ts'
import type { NumberedRequest } from './check-session.ts'
import type { ServerLife, SimulatedCluster } from './cluster.ts'
import type { CallOutcome, RecordedCall, Violation } from './history.ts'
import { isReadOnly } from './kv-model.ts'
import { LeaseUser } from './lease-user.ts'
import type { SimulationOptions } from './options.ts'
import { unlistedCode } from './refusals.ts'
import { RequestDrawer } from './request-drawer.ts'
import {
  type CallTerms,
  type RequestStamp,
  type ServerAnswer,
  ServerRefusal,
  type ServerRequest,
} from './server-seam.ts'

/** How long a client waits for an answer. */
const callTimeoutMs = 5_000
/** What it says of that to the server: the client hears what the server says. */
const serverTimeoutMs = 4_000
/** Pause after a call that found no server or no leader. */
const retryAfterMs = 100
/** Every server would say so: it is decided by what is asked, and by the state in which it is done. */
const decidedCodes: ReadonlySet<string> = new Set([
  'request-too-large',
  'key-not-found',
  'duplicate-key',
  'revision-compacted',
  'revision-future',
  'lease-not-found',
])
/** Leases of the load have smaller ids. */
const sessionIdsFrom = 1_000_000

export type CallResult =
  | { readonly kind: 'answered'; readonly answer: ServerAnswer }
  | { readonly kind: 'failed'; readonly code: string }
  | { readonly kind: 'unknown'; readonly code: string }

/** The way from clients to servers: it takes time, and a server's death or silence leaves the outcome unknown. */
export class ClientPaths {
  /** Refusals that no client of the API knows. */
  readonly violations: Violation[] = []
  readonly #cluster: SimulatedCluster
  readonly #random: SeededRandom

  constructor(cluster: SimulatedCluster, random: SeededRandom) {
    this.#cluster = cluster
    this.#random = random
  }

  get delayMs(): number {
    return 0.05 + 0.5 * this.#random.unit()
  }

  /** `patienceMs`: how long the client waits and the server is told it does; by default the server is told less. */
  call(life: ServerLife, request: ServerRequest, patienceMs?: number): Promise<CallResult> {
    const { scheduler } = this.#cluster
    const cancelled: (() => void)[] = []
    const terms: CallTerms = {
      timeoutMs: patienceMs ?? serverTimeoutMs,
      onCancel: (callback) => void cancelled.push(callback),
    }
    return new Promise((resolve) => {
      let isSettled = false
      const settle = (result: CallResult): void => {
        if (isSettled) return
        isSettled = true
        if (result.kind !== 'answered') this.#cluster.mark(`refused: ${result.code}`)
        life.onOver.delete(onOver)
        scheduler.cancel(timeout)
        scheduler.after(this.delayMs, () => resolve(result))
      }
      const onOver = (): void => settle({ kind: 'unknown', code: 'connection-lost' })
      const giveUp = (): void => {
        settle({ kind: 'unknown', code: 'timeout' })
        if (!life.isOver) {
          life.node.machine.process.deliver(() => {
            for (const callback of cancelled) callback()
          })
        }
      }
      const timeout = scheduler.after(patienceMs ?? callTimeoutMs, giveUp)
      life.onOver.add(onOver)
      const send = (): void => {
        const { server } = life
        if (life.isOver || server === undefined) {
          settle({ kind: 'failed', code: 'connect-failed' })
          return
        }
        life.node.machine.process.deliver(() => {
          server.execute(request, terms).then(
            (answer) => settle({ kind: 'answered', answer }),
            (error: unknown) => settle(this.#resultOfError(error)),
          )
        })
      }
      scheduler.after(this.delayMs, send)
    })
  }

  /** Any server that runs; undefined when none does. */
  pickServer(): ServerLife | undefined {
    const { serving } = this.#cluster
    return serving.length === 0 ? undefined : this.#random.pick(serving)
  }

  #resultOfError(error: unknown): CallResult {
    const result = resultOfError(error)
    if (result.code.startsWith(unlistedCode)) {
      this.violations.push({ promise: 'a refusal is one that clients know', facts: result.code })
    }
    return result
  }
}

function resultOfError(error: unknown): Exclude<CallResult, { kind: 'answered' }> {
  if (error instanceof ServerRefusal) {
    return { kind: error.outcome === 'none' ? 'failed' : 'unknown', code: error.code }
  }
  if (!isQuorateError(error)) throw error
  const didNothing = error.deterministic || isQuorateError(error, 'not-leader', 'no-leader', 'overloaded')
  return { kind: didNothing ? 'failed' : 'unknown', code: error.code }
}

/** What all clients of a run share and write down. */
export interface Recorder {
  readonly calls: RecordedCall[]
  readonly leases: LeaseRecord[]
  readonly numbered: NumberedRequest[]
  /** Their revocation was answered. */
  readonly revokedLeases: Set<bigint>
  readonly hashes: HashReport[]
  /** What a client saw to be wrong by itself. */
  readonly violations: Violation[]
  /** Every revision below it has been seen with its events; compaction stays behind it. */
  readonly recordedRevision: () => number
}

/** One client: a call, a pause, and so on until it is stopped. */
export class SimulatedClient {
  readonly #name: string
  readonly #paths: ClientPaths
  readonly #cluster: SimulatedCluster
  readonly #random: SeededRandom
  readonly #options: SimulationOptions
  readonly #recorder: Recorder
  readonly #drawer: RequestDrawer
  readonly #leaseUser: LeaseUser
  /** Of what it does; the rest are calls for keys. */
  readonly #compactionShare: number
  #server: ServerLife | undefined
  /** The client's session for numbered requests, once it is open. */
  #session: bigint | undefined
  #lastRequest = 0
  /** The highest revision this client was told. */
  #seenRevision = 0
  #isStopped = false

  constructor(setup: {
    name: string
    paths: ClientPaths
    cluster: SimulatedCluster
    random: SeededRandom
    options: SimulationOptions
    recorder: Recorder
  }) {
    this.#name = setup.name
    this.#paths = setup.paths
    this.#cluster = setup.cluster
    this.#random = setup.random
    this.#options = setup.options
    this.#recorder = setup.recorder
    this.#leaseUser = new LeaseUser({ ...setup, random: setup.random.fork() })
    this.#drawer = new RequestDrawer({
      name: setup.name,
      random: setup.random.fork(),
      keys: setup.options.keys,
      recordedRevision: setup.recorder.recordedRevision,
      readsPast: true,
    })
    // Some run right behind the newest revision with the compaction, several times a second.
    this.#compactionShare = setup.options.compaction ? setup.random.pick([0.02, 0.02, 0.2]) : 0
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Resolves when the client has stopped and its last call has ended. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      const life = this.#chooseServer()
      const succeeded = life !== undefined && (await this.#act(life))
      const pauseMs = succeeded ? 2 * this.#options.thinkMs * this.#random.unit() : retryAfterMs
      await this.#cluster.scheduler.wait(pauseMs)
    }
    this.#leaseUser.close()
  }

  /** Mostly the same server as before. */
  #chooseServer(): ServerLife | undefined {
    if (this.#server === undefined || this.#server.isOver || this.#random.chance(0.05)) {
      this.#server = this.#paths.pickServer()
    }
    return this.#server
  }

  async #act(life: ServerLife): Promise<boolean> {
    if (this.#options.leases && this.#random.chance(0.15)) return this.#leaseUser.act(life)
    if (this.#random.chance(this.#compactionShare)) return this.#compact(life)
    if (this.#random.chance(0.03)) return this.#maintain(life)
    if (this.#options.extensions && this.#random.chance(0.4)) return this.#actOnce(life)
    return this.#actOnKeys(life)
  }

  async #actOnKeys(life: ServerLife): Promise<boolean> {
    const lease = this.#random.chance(0.1) ? this.#leaseUser.lease : undefined
    const leasePut = lease === undefined ? undefined : this.#drawer.leasePut(lease)
    if (leasePut !== undefined) this.#leaseUser.attached(leasePut.lease, leasePut.key, false)
    const request = leasePut ?? this.#drawer.draw()
    const isRange = request.kind === 'range'
    const isSerializable = isReadOnly(request) && this.#random.chance(0.3)
    const recorded = this.#recorder.recordedRevision()
    const leastRevision =
      this.#options.extensions && isSerializable && this.#random.chance(0.5) ? this.#seenRevision : 0
    const atRevision =
      isRange && recorded > 1 && this.#random.chance(0.1) ? this.#random.between(1, recorded + 1) : 0
    const call: RecordedCall = {
      id: this.#recorder.calls.length + 1,
      client: this.#name,
      server: `${life.node.name}.${life.number}`,
      request,
      isSerializable,
      atRevision,
      leastRevision,
      calledAt: this.#cluster.scheduler.now,
      outcome: { kind: 'unknown' },
    }
    this.#recorder.calls.push(call)
    const wire = { kind: 'keyValue', request, isSerializable, atRevision, leastRevision } as const
    const patienceMs = this.#random.chance(0.05) ? this.#random.between(5, 400) : undefined
    const result = await this.#paths.call(life, wire, patienceMs)
    if (leasePut !== undefined)
      this.#leaseUser.attached(leasePut.lease, leasePut.key, result.kind === 'answered')
    call.outcome = this.#outcomeOf(result)
    if (result.kind !== 'answered') this.#server = undefined
    return result.kind === 'answered'
  }

  #outcomeOf(result: CallResult): CallOutcome {
    if (result.kind !== 'answered') return { kind: result.kind }
    const { revision } = result.answer
    const { scheduler } = this.#cluster
    scheduler.note(revision)
    this.#seenRevision = Math.max(this.#seenRevision, revision)
    const modelResult = present(result.answer.result, 'a key-value request has a result')
    return { kind: 'answered', returnedAt: scheduler.now, revision, result: modelResult }
  }

  /**
   * A numbered write: repeated at any server until its outcome is known, now and then at two servers at once, and now
   * and then asked again afterwards. It happens once, and every answer is the same. The history has it as one call.
   */
  async #actOnce(first: ServerLife): Promise<boolean> {
    if (!(await this.#openSession(first)) || this.#session === undefined) return false
    const request = this.#drawer.draw()
    if (isReadOnly(request) || this.#isStopped) return true
    const number = ++this.#lastRequest
    const stamp: RequestStamp = { session: this.#session, request: number, answeredBelow: number }
    const call: RecordedCall = {
      id: this.#recorder.calls.length + 1,
      client: this.#name,
      server: 'any',
      request,
      isSerializable: false,
      atRevision: 0,
      calledAt: this.#cluster.scheduler.now,
      outcome: { kind: 'unknown' },
    }
    this.#recorder.calls.push(call)
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0, stamp } as const
    const outcomes: CallOutcome[] = []
    this.#recorder.numbered.push({ session: this.#session, number, request, outcomes })
    const ask = async (life: ServerLife): Promise<CallResult> => {
      const result = await this.#paths.call(life, wire)
      outcomes.push(this.#outcomeOf(result))
      return result
    }
    const isKnown = await this.#untilKnown(first, ask)
    const answer = outcomes.find(({ kind }) => kind === 'answered')
    if (answer !== undefined) call.outcome = answer
    else if (isKnown) call.outcome = { kind: 'failed' }
    if (answer !== undefined && this.#random.chance(0.2)) await this.#askAgain(ask)
    return isKnown
  }

  /** True when it was answered, or certainly did not happen. */
  async #untilKnown(first: ServerLife, ask: (life: ServerLife) => Promise<CallResult>): Promise<boolean> {
    let mayHaveHappened = false
    for (let life: ServerLife | undefined = first; ; life = this.#paths.pickServer()) {
      const other = this.#random.chance(0.2) ? this.#paths.pickServer() : undefined
      const results = await Promise.all([life, other].flatMap((one) => (one === undefined ? [] : [ask(one)])))
      if (results.some(({ kind }) => kind === 'answered')) return true
      for (const { kind, code } of results as Exclude<CallResult, { kind: 'answered' }>[]) {
        if (kind === 'unknown') mayHaveHappened = true
        else if (code === 'session-expired' || code === 'request-number-too-old') {
          this.#report('a session remembers its requests', code)
          return false
        } else if (decidedCodes.has(code)) return true
      }
      if (this.#isStopped) return !mayHaveHappened
      await this.#cluster.scheduler.wait(retryAfterMs)
    }
  }

  async #askAgain(ask: (life: ServerLife) => Promise<CallResult>): Promise<void> {
    const life = this.#paths.pickServer()
    const result = life && (await ask(life))
    if (result?.kind === 'answered') this.#cluster.mark('session-asked-again')
  }

  /** A session is a lease that outlives the run. */
  async #openSession(life: ServerLife): Promise<boolean> {
    if (this.#session !== undefined) return true
    const id = BigInt(sessionIdsFrom + Number(this.#name.slice(1)))
    const result = await this.#paths.call(life, { kind: 'leaseGrant', id, ttlSeconds: 3_600 })
    const isOpen = result.kind === 'answered' || result.code === 'lease-exists'
    if (isOpen) this.#session = id
    return isOpen
  }

  #report(promise: string, facts: string): void {
    this.#recorder.violations.push({ promise, facts: `${this.#name}: ${facts}` })
  }

  async #compact(life: ServerLife): Promise<boolean> {
    const revision = this.#recorder.recordedRevision() - this.#random.between(0, 20)
    if (revision <= 1) return true
    const isPhysical = this.#random.chance(0.2)
    return (await this.#paths.call(life, { kind: 'compact', revision, isPhysical })).kind === 'answered'
  }

  /** What an operator's tools ask while all else goes on. */
  async #maintain(life: ServerLife): Promise<boolean> {
    const random = this.#random
    const kind = random.pick(['hash', 'hash', 'hash', 'status', 'alarms', 'defragment'] as const)
    if (kind !== 'hash') return (await this.#paths.call(life, { kind })).kind === 'answered'
    const recorded = this.#recorder.recordedRevision()
    const revision = random.chance(0.3) ? 0 : Math.max(1, recorded - random.between(0, 5))
    const result = await this.#paths.call(life, { kind, revision })
    if (result.kind !== 'answered') return false
    const { hash } = result.answer
    const server = `${life.node.name}.${life.number}`
    if (hash !== undefined) this.#recorder.hashes.push({ ...hash, server })
    return true
  }
}
