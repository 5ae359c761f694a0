// One recorded client: a call, a pause, and so on; at another node when the one before refused or fell silent.
import { setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../src/base/index.ts'
import {
  isReadOnly,
  type LeaseRecord,
  type ModelCompare,
  type ModelRequest,
  RequestDrawer,
  recordLease,
  type SimpleRequest,
} from '../../src/simulator/index.ts'
import { numberOf } from '../support/keys.ts'
import type { Seat, System } from './cluster.ts'
import { searchedKeys } from './judge.ts'
import { Connection, callDeadlineMs, isCertainlyNothing, type Recorder } from './recorder.ts'

const thinkMsMax = 20
const pauseAfterRefusalMs = 50
const leaseTtlSeconds = 2
/** With those of wide transactions no more than etcd still sorts without mixing equals. */
const keyCount = 6
/** Calls of a client on one pair of keys before the next pair is taken: the search over their orders stays small. */
const pairCallsMax = 25

/** Of answers, and of refusals with a reason: a key or lease is missing, a revision is gone or has not been. */
const servingCodes: ReadonlySet<number> = new Set([0, 3, 5, 11])

export class RecordedClient {
  readonly name: string
  readonly #seats: readonly Seat[]
  readonly #recorder: Recorder
  readonly #random: SeededRandom
  readonly #system: System
  readonly #drawer: RequestDrawer
  #connection: Connection
  #lease: LeaseRecord | undefined
  #pairValues = 0
  #pairCalls = 0
  #isStopped = false

  constructor(setup: {
    name: string
    seats: readonly Seat[]
    recorder: Recorder
    random: SeededRandom
    system: System
  }) {
    this.name = setup.name
    this.#seats = setup.seats
    this.#recorder = setup.recorder
    this.#random = setup.random
    this.#system = setup.system
    this.#drawer = new RequestDrawer({
      name: setup.name,
      random: setup.random.fork(),
      keys: keyCount,
      recordedRevision: () => setup.recorder.collector.contiguousRevision,
      readsPast: setup.system === 'quorate',
    })
    this.#connection = new Connection(this.#random.pick(this.#seats))
  }

  get connection(): Connection {
    return this.#connection
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Cuts the connection under whatever is on its way. */
  cut(): void {
    this.#connection.close()
  }

  /** Resolves when it has stopped and its last call has ended. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      if (!this.#connection.isUsable || this.#random.chance(0.02)) this.#move()
      const isServed = await this.#act()
      if (!isServed) this.#move()
      await sleep(isServed ? thinkMsMax * this.#random.unit() : pauseAfterRefusalMs)
    }
    this.#connection.close()
  }

  #move(): void {
    this.#connection.close()
    this.#connection = new Connection(this.#random.pick(this.#seats))
  }

  #act(): Promise<boolean> {
    const choice = this.#random.unit()
    if (choice < 0.08) return this.#actOnLease()
    if (choice < 0.1) return this.#compact()
    if (choice < 0.3) return this.#actOnPair()
    return this.#actOnKeys()
  }

  async #actOnKeys(): Promise<boolean> {
    const random = this.#random
    const lease = random.chance(0.15) ? this.#lease : undefined
    const request = lease === undefined ? this.#drawer.draw() : this.#drawer.leasePut(lease.id)
    const newest = this.#recorder.collector.contiguousRevision
    const isOld = request.kind === 'range' && newest > 1 && random.chance(0.1)
    const isSerializable = isReadOnly(request) && random.chance(0.3)
    const { code } = await this.#recorder.call(this, request, {
      isSerializable: isSerializable || (this.#system === 'etcd' && isWithoutSteps(request)),
      atRevision: isOld ? random.between(Math.max(1, newest - 100), newest + 1) : 0,
    })
    return servingCodes.has(code)
  }

  /** Two keys that all clients share for a while, changed and read together, for the search over all orders. */
  async #actOnPair(): Promise<boolean> {
    const pair = `${searchedKeys}${Math.floor(this.#pairCalls++ / pairCallsMax)}`
    const keys = [`${pair}.0`, `${pair}.1`]
    const both = { kind: 'range', key: `${pair}.`, end: `${pair}/`, limit: 0 } as const
    const key = this.#random.pick(keys)
    const choice = this.#random.unit()
    const swap = (): ModelRequest => {
      const success = keys.map((one) => this.#pairPut(one))
      return { kind: 'transaction', compare: [this.#drawSwap(key)], success, failure: [both] }
    }
    const request: ModelRequest =
      choice < 0.45
        ? both
        : choice < 0.7
          ? this.#pairPut(key)
          : choice < 0.75
            ? { kind: 'delete', key, end: '' }
            : swap()
    return (await this.#recorder.call(this, request)).code === 0
  }

  /** A value that nobody else writes. */
  #pairPut(key: string): SimpleRequest {
    return { kind: 'put', key, value: `${this.name}.pair${++this.#pairValues}`, lease: 0n }
  }

  #drawSwap(key: string): ModelCompare {
    const last = this.#recorder.calls.findLast(
      ({ request, outcome }) => request.kind === 'put' && request.key === key && outcome.kind === 'answered',
    )
    const operand = last?.request.kind === 'put' ? last.request.value : 'nothing'
    return { key, end: '', target: 'value', result: 'equal', operand }
  }

  async #compact(): Promise<boolean> {
    const revision = this.#recorder.collector.contiguousRevision - this.#random.between(0, 20)
    if (revision <= 1) return true
    const { code } = await this.#connection.grpc.call('compact', { revision }, callDeadlineMs)
    return code === 0 || code === 11
  }

  /** Grants a lease, renews it, and in the end revokes or forgets it. */
  async #actOnLease(): Promise<boolean> {
    const held = this.#lease
    if (held === undefined) return this.#grant()
    const calledAt = this.#recorder.now
    if (this.#random.chance(0.65)) return this.#renew(held)
    if (this.#random.chance(0.3)) return this.#askRemaining(held)
    this.#lease = undefined
    if (this.#random.chance(0.5)) return true
    held.revokedAt = calledAt
    return (await this.#connection.grpc.call('leaseRevoke', { ID: held.id }, callDeadlineMs)).code === 0
  }

  async #grant(): Promise<boolean> {
    const calledAt = this.#recorder.now
    const id = BigInt(1 + this.#recorder.leases.length)
    const request = { ID: id, TTL: leaseTtlSeconds }
    const lease = recordLease(id, leaseTtlSeconds * 1_000)
    this.#recorder.leases.push(lease)
    lease.maybeExtendedAt.push(calledAt)
    const answer = await this.#connection.grpc.call('leaseGrant', request, callDeadlineMs)
    if (answer.code !== 0) return isCertainlyNothing(answer)
    // The server may grant more than was asked for, and that is what it has promised.
    lease.ttlMs = numberOf(answer.message.TTL) * 1_000
    lease.extendedAt.push(calledAt)
    this.#lease = lease
    return true
  }

  async #renew(lease: LeaseRecord): Promise<boolean> {
    const calledAt = this.#recorder.now
    const stream = this.#connection.grpc.openStream('leaseKeepAlive')
    lease.maybeExtendedAt.push(calledAt)
    stream.send({ ID: lease.id })
    const answer = await stream.next(callDeadlineMs)
    stream.close()
    if (answer === undefined) return false
    this.#recorder.renewed(lease, calledAt, numberOf(answer.TTL))
    if (lease.goneAt.length > 0) this.#lease = undefined
    return true
  }

  async #askRemaining(lease: LeaseRecord): Promise<boolean> {
    const answer = await this.#connection.grpc.call('leaseTimeToLive', { ID: lease.id }, callDeadlineMs)
    if (answer.code !== 0) return false
    const { TTL, grantedTTL } = answer.message
    if (numberOf(TTL) < 0) {
      lease.goneAt.push(this.#recorder.now)
      this.#lease = undefined
    } else lease.told.push({ remainingMs: 1_000 * numberOf(TTL), grantedMs: 1_000 * numberOf(grantedTTL) })
    return true
  }
}

/** etcd answers it as a serializable read, although nobody asked for one. */
function isWithoutSteps(request: ModelRequest): boolean {
  return request.kind === 'transaction' && request.success.length + request.failure.length === 0
}
