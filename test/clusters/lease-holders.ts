// Many leases, each with a key, kept alive without a pause: what a fault does to them is seen at once.
import { setTimeout as sleep } from 'node:timers/promises'
import { type LeaseRecord, recordLease } from '../../src/simulator/index.ts'
import { messagesOf, numberOf } from '../support/keys.ts'
import type { Seat } from './cluster.ts'
import { spanMessage } from './messages.ts'
import { Connection, type Recorder } from './recorder.ts'

const leaseCount = 30
const ttlSeconds = 4
/** Above those that other clients ask for. */
const idsFrom = 1_000_000
const name = 'holder'
const renewEveryMs = 500
/** Before another node is asked. */
const patienceMs = 700
const setUpDeadlineMs = 10_000

export class LeaseHolders {
  readonly #seats: readonly Seat[]
  readonly #recorder: Recorder
  readonly #leases: LeaseRecord[] = []
  readonly #connections: Connection[] = []
  #isStopped = false
  #work: Promise<unknown> | undefined

  constructor(seats: readonly Seat[], recorder: Recorder) {
    this.#seats = seats
    this.#recorder = recorder
  }

  /** Grants the leases and attaches a key to each; from then on each node renews its share of them. */
  async open(): Promise<void> {
    const connection = new Connection(this.#seats[0] as Seat)
    await Promise.all(Array.from({ length: leaseCount }, () => this.#grant(connection)))
    connection.close()
    this.#work = Promise.all(this.#seats.map((_, i) => this.#keepShare(i)))
  }

  async #grant(connection: Connection): Promise<void> {
    const id = BigInt(idsFrom + this.#recorder.leases.length)
    const calledAt = this.#recorder.now
    const lease = recordLease(id, ttlSeconds * 1_000)
    this.#leases.push(lease)
    this.#recorder.leases.push(lease)
    const granted = await connection.grpc.must('leaseGrant', { ID: id, TTL: ttlSeconds }, setUpDeadlineMs)
    lease.ttlMs = numberOf(granted.TTL) * 1_000
    lease.extendedAt.push(calledAt)
    const put = { kind: 'put', key: keyOf(id), value: `${name} ${id}`, lease: id } as const
    const { code, text } = await this.#recorder.call({ name, connection }, put, {
      deadlineMs: setUpDeadlineMs,
    })
    if (code !== 0) throw new Error(`a key with a lease: ${text}`)
  }

  /** Ends the renewals, says how many keys are left, and revokes the leases. */
  async close(): Promise<number> {
    this.#isStopped = true
    await this.#work
    for (const connection of this.#connections) connection.close()
    const left = await this.#count()
    for (const lease of this.#leases) lease.revokedAt = this.#recorder.now
    const connection = new Connection(this.#seats[0] as Seat)
    await Promise.all(
      this.#leases.map(({ id }) => connection.grpc.call('leaseRevoke', { ID: id }, setUpDeadlineMs)),
    )
    connection.close()
    return left
  }

  get total(): number {
    return this.#leases.length
  }

  /** Keys that are still there, by any node that answers. */
  async #count(): Promise<number> {
    const until = performance.now() + setUpDeadlineMs
    const span = spanMessage({ key: keyOf(BigInt(idsFrom)), end: 'b' })
    for (let i = 0; performance.now() < until; i++) {
      const seat = this.#seats[i % this.#seats.length]
      if (seat === undefined || seat.isDown) continue
      const connection = new Connection(seat)
      const answer = await connection.grpc.call('range', { ...span, keys_only: true }, 1_000)
      connection.close()
      if (answer.code === 0) return messagesOf(answer.message.kvs).length
      await sleep(20)
    }
    throw new Error('nobody says how many keys with a lease are left')
  }

  /** At another node when one is silent; what waits there stays on its way, as with a client that was cut off. */
  async #keepShare(share: number): Promise<void> {
    const mine = this.#leases.filter((_, i) => i % this.#seats.length === share)
    for (let turn = share; !this.#isStopped; turn++) {
      const seat = this.#seats[turn % this.#seats.length]
      if (seat === undefined) return
      const connection = new Connection(seat)
      this.#connections.push(connection)
      const stream = connection.grpc.openStream('leaseKeepAlive')
      while (!this.#isStopped && stream.ended === undefined) {
        const calledAt = this.#recorder.now
        for (const { id } of mine) stream.send({ ID: id })
        if (!(await this.#takeAnswers(stream, mine, calledAt))) break
        await sleep(renewEveryMs)
      }
      await sleep(20)
    }
  }

  async #takeAnswers(
    stream: ReturnType<Connection['grpc']['openStream']>,
    mine: readonly LeaseRecord[],
    calledAt: number,
  ): Promise<boolean> {
    for (let i = 0; i < mine.length; i++) {
      const answer = await stream.next(patienceMs)
      if (answer === undefined) return false
      const lease = mine.find(({ id }) => id === answer.ID)
      if (lease !== undefined) this.#recorder.renewed(lease, calledAt, numberOf(answer.TTL))
    }
    return true
  }
}

/** Between the keys of other leases and those without. */
function keyOf(id: bigint): string {
  return `ah${id}`
}
