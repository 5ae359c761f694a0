import type { SeededRandom } from '../base/index.ts'
import { type LeaseRecord, recordLease } from './check-lease.ts'
import type { CallResult, ClientPaths, Recorder } from './client.ts'
import type { ServerLife, SimulatedCluster } from './cluster.ts'
import type { LeaseAnswer, ServerKeepAliveStream } from './server-seam.ts'

interface HeldLease {
  readonly record: LeaseRecord
  /** Every key it may have, and of those the ones that it has. */
  readonly askedKeys: Set<string>
  readonly heldKeys: Set<string>
}

/**
 * Grants one lease after the other: renews it, asks what is left of it, and in the end revokes or forgets it. What it is
 * told of times it writes down for `checkLeases`. What it is told of keys it holds against what it knows: a lease has the
 * keys that were put under it, and one that was revoked is in no list.
 */
export class LeaseUser {
  readonly #name: string
  readonly #paths: ClientPaths
  readonly #cluster: SimulatedCluster
  readonly #random: SeededRandom
  readonly #recorder: Recorder
  #held: HeldLease | undefined
  #stream: KeepAlive | undefined

  constructor(setup: {
    name: string
    paths: ClientPaths
    cluster: SimulatedCluster
    random: SeededRandom
    recorder: Recorder
  }) {
    this.#name = setup.name
    this.#paths = setup.paths
    this.#cluster = setup.cluster
    this.#random = setup.random
    this.#recorder = setup.recorder
  }

  get lease(): bigint | undefined {
    return this.#held?.record.id
  }

  /** A put under the lease is on its way; true once it was answered. */
  attached(lease: bigint, key: string, isAnswered: boolean): void {
    if (this.#held?.record.id !== lease) return
    this.#held.askedKeys.add(key)
    if (isAnswered) this.#held.heldKeys.add(key)
  }

  async act(life: ServerLife): Promise<boolean> {
    const held = this.#held
    if (held === undefined) return this.#grant(life)
    const choice = this.#random.unit()
    if (choice < 0.3) return this.#renew(life, held)
    if (choice < 0.5) return this.#renewOnStream(life, held)
    if (choice < 0.65) return this.#askRemaining(life, held)
    if (choice < 0.75) return this.#list(life, held)
    return this.#leave(life, held)
  }

  close(): void {
    this.#stream?.close()
    this.#stream = undefined
  }

  async #grant(life: ServerLife): Promise<boolean> {
    const calledAt = this.#cluster.scheduler.now
    const ttlSeconds = this.#random.between(1, 4)
    const id = BigInt(1 + this.#recorder.leases.length)
    const record = recordLease(id, ttlSeconds * 1000)
    this.#recorder.leases.push(record)
    record.maybeExtendedAt.push(calledAt)
    const result = await this.#paths.call(life, { kind: 'leaseGrant', id, ttlSeconds })
    if (result.kind !== 'answered') return false
    record.extendedAt.push(calledAt)
    const grantedSeconds = result.answer.lease?.grantedSeconds ?? ttlSeconds
    if (grantedSeconds < ttlSeconds)
      this.#report('a lease is granted for what was asked', `${grantedSeconds} s`)
    record.ttlMs = grantedSeconds * 1000
    this.#held = { record, askedKeys: new Set(), heldKeys: new Set() }
    return true
  }

  async #renew(life: ServerLife, held: HeldLease): Promise<boolean> {
    const calledAt = this.#cluster.scheduler.now
    held.record.maybeExtendedAt.push(calledAt)
    const result = await this.#paths.call(life, { kind: 'leaseRenew', id: held.record.id })
    if (result.kind === 'answered') this.#renewed(held, calledAt, result.answer.lease?.ttlSeconds)
    else if (result.kind === 'failed' && result.code === 'lease-not-found') this.#gone(held)
    return result.kind === 'answered'
  }

  /** The answer comes when it comes. */
  #renewOnStream(life: ServerLife, held: HeldLease): boolean {
    if (this.#stream === undefined || this.#stream.isOver || this.#stream.life !== life) {
      this.#stream?.close()
      this.#stream = new KeepAlive(this.#cluster, this.#paths, life)
    }
    const calledAt = this.#cluster.scheduler.now
    held.record.maybeExtendedAt.push(calledAt)
    this.#stream.renew(held.record.id, (ttlSeconds) => {
      if (ttlSeconds > 0) this.#renewed(held, calledAt, ttlSeconds)
      else this.#gone(held)
    })
    return true
  }

  /** A renewal gives the whole time. */
  #renewed({ record }: HeldLease, calledAt: number, ttlSeconds: number | undefined): void {
    record.extendedAt.push(calledAt)
    if (ttlSeconds === undefined) return
    record.told.push({ remainingMs: ttlSeconds * 1000, grantedMs: ttlSeconds * 1000 })
  }

  async #askRemaining(life: ServerLife, held: HeldLease): Promise<boolean> {
    const { id } = held.record
    const heldKeys = [...held.heldKeys]
    const result = await this.#paths.call(life, { kind: 'leaseTimeToLive', id })
    if (result.kind !== 'answered') return false
    const { lease } = result.answer
    if (lease === undefined) return true
    if (lease.ttlSeconds < 0) this.#gone(held)
    else this.#compare(held, heldKeys, lease)
    return true
  }

  #compare(held: HeldLease, heldKeys: readonly string[], lease: LeaseAnswer): void {
    const { askedKeys, record } = held
    record.told.push({ remainingMs: lease.ttlSeconds * 1000, grantedMs: lease.grantedSeconds * 1000 })
    const isComplete = heldKeys.every((key) => lease.keys.includes(key))
    const isTrue = lease.keys.every((key) => askedKeys.has(key))
    if (isComplete && isTrue) return
    const facts = `${record.id}: [${lease.keys.join()}], put were [${heldKeys.join()}]`
    this.#report('a lease has the keys that were put under it', facts)
  }

  async #list(life: ServerLife, held: HeldLease): Promise<boolean> {
    const revoked = [...this.#recorder.revokedLeases]
    const result = await this.#paths.call(life, { kind: 'leaseList' })
    if (result.kind !== 'answered') return false
    const { leases } = result.answer
    if (leases === undefined) return true
    if (!leases.includes(held.record.id)) this.#gone(held)
    const back = revoked.filter((id) => leases.includes(id))
    if (back.length > 0) this.#report('a revoked lease is gone', back.join())
    return true
  }

  async #leave(life: ServerLife, held: HeldLease): Promise<boolean> {
    this.#held = undefined
    if (this.#random.chance(0.5)) return true
    held.record.revokedAt = this.#cluster.scheduler.now
    const result: CallResult = await this.#paths.call(life, { kind: 'leaseRevoke', id: held.record.id })
    if (result.kind === 'answered') this.#recorder.revokedLeases.add(held.record.id)
    return result.kind === 'answered'
  }

  /** A server said that there is no such lease. */
  #gone(held: HeldLease): void {
    if (this.#held === held) this.#held = undefined
    held.record.goneAt.push(this.#cluster.scheduler.now)
  }

  #report(promise: string, facts: string): void {
    this.#recorder.violations.push({ promise, facts: `${this.#name}: ${facts}` })
  }
}

/** A stream of renewals; the answers come in the order of the questions. */
class KeepAlive {
  readonly life: ServerLife
  readonly #cluster: SimulatedCluster
  readonly #delayMs: number
  readonly #onOver = (): void => this.close()
  #stream: ServerKeepAliveStream | undefined
  #waiting: { id: bigint; onAnswer: (ttlSeconds: number) => void }[] = []
  isOver = false

  constructor(cluster: SimulatedCluster, paths: ClientPaths, life: ServerLife) {
    this.life = life
    this.#cluster = cluster
    // A fixed delay: in order on the way.
    this.#delayMs = paths.delayMs
    life.onOver.add(this.#onOver)
    this.#deliver(() => {
      this.#stream = life.server?.openKeepAlive({
        onRenewed: (id, ttlSeconds) =>
          cluster.scheduler.after(this.#delayMs, () => this.#take(id, ttlSeconds)),
        onEnd: () => cluster.scheduler.after(this.#delayMs, () => this.close()),
      })
    })
  }

  renew(id: bigint, onAnswer: (ttlSeconds: number) => void): void {
    this.#waiting.push({ id, onAnswer })
    this.#deliver(() => this.#stream?.renew(id))
  }

  close(): void {
    if (this.isOver) return
    this.isOver = true
    this.#waiting = []
    this.life.onOver.delete(this.#onOver)
    this.#deliver(() => this.#stream?.close())
  }

  #take(id: bigint, ttlSeconds: number): void {
    const asked = this.#waiting.shift()
    if (asked === undefined || this.isOver) return
    // Answers in another order would be taken for those of another lease.
    if (asked.id === id) asked.onAnswer(ttlSeconds)
    else this.close()
  }

  #deliver(callback: () => void): void {
    this.#cluster.scheduler.after(this.#delayMs, () => {
      if (!this.life.isOver) this.life.node.machine.process.deliver(callback)
    })
  }
}
