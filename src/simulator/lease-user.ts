import type { SeededRandom } from '../base/index.ts'
import type { LeaseRecord } from './check-lease.ts'
import type { CallResult, ClientPaths, Recorder } from './client.ts'
import type { ServerLife, SimulatedCluster } from './cluster.ts'
import { clockRateMax } from './nemesis.ts'
import type { LeaseAnswer, ServerKeepAliveStream } from './server-seam.ts'

interface HeldLease {
  readonly record: LeaseRecord
  /** As the server granted it. */
  readonly grantedSeconds: number
  /** Every key it may have, and of those the ones that it has. */
  readonly askedKeys: Set<string>
  readonly heldKeys: Set<string>
}

/**
 * Grants one lease after the other: renews it, asks what is left of it, and in the end revokes or forgets it. What it is
 * told it holds against what it knows: a lease that must still live is there, with the keys that were put under it; one
 * that was revoked is not; and nobody is promised more time than was granted.
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
    const record: LeaseRecord = { id, ttlMs: ttlSeconds * 1000, extendedAt: [], revokedAt: undefined }
    this.#recorder.leases.push(record)
    const result = await this.#paths.call(life, { kind: 'leaseGrant', id, ttlSeconds })
    if (result.kind !== 'answered') return false
    record.extendedAt.push(calledAt)
    const grantedSeconds = result.answer.lease?.grantedSeconds ?? ttlSeconds
    if (grantedSeconds < ttlSeconds)
      this.#report('a lease is granted for what was asked', `${grantedSeconds} s`)
    this.#held = { record, grantedSeconds, askedKeys: new Set(), heldKeys: new Set() }
    return true
  }

  async #renew(life: ServerLife, held: HeldLease): Promise<boolean> {
    const calledAt = this.#cluster.scheduler.now
    const result = await this.#paths.call(life, { kind: 'leaseRenew', id: held.record.id })
    if (result.kind === 'answered') this.#renewed(held, calledAt, result.answer.lease?.ttlSeconds)
    else if (result.kind === 'failed' && result.code === 'lease-not-found') this.#gone(held, 'a renewal')
    return result.kind === 'answered'
  }

  /** The answer comes when it comes. */
  #renewOnStream(life: ServerLife, held: HeldLease): boolean {
    if (this.#stream === undefined || this.#stream.isOver || this.#stream.life !== life) {
      this.#stream?.close()
      this.#stream = new KeepAlive(this.#cluster, this.#paths, life)
    }
    const calledAt = this.#cluster.scheduler.now
    this.#stream.renew(held.record.id, (ttlSeconds) => {
      if (ttlSeconds > 0) this.#renewed(held, calledAt, ttlSeconds)
      else this.#gone(held, 'a renewal on a stream')
    })
    return true
  }

  #renewed(held: HeldLease, calledAt: number, ttlSeconds: number | undefined): void {
    held.record.extendedAt.push(calledAt)
    if (ttlSeconds === undefined || ttlSeconds === held.grantedSeconds) return
    const facts = `${held.record.id}: ${ttlSeconds} s of ${held.grantedSeconds} s`
    this.#report('a renewal gives the whole time', facts)
  }

  async #askRemaining(life: ServerLife, held: HeldLease): Promise<boolean> {
    const { id } = held.record
    const heldKeys = [...held.heldKeys]
    const result = await this.#paths.call(life, { kind: 'leaseTimeToLive', id })
    if (result.kind !== 'answered') return false
    const { lease } = result.answer
    if (lease === undefined) return true
    if (lease.ttlSeconds < 0) this.#gone(held, 'a question')
    else this.#compare(held, heldKeys, lease)
    return true
  }

  #compare(held: HeldLease, heldKeys: readonly string[], lease: LeaseAnswer): void {
    const { grantedSeconds, askedKeys, record } = held
    if (lease.grantedSeconds !== grantedSeconds || lease.ttlSeconds > grantedSeconds) {
      const facts = `${record.id}: ${lease.ttlSeconds} of ${lease.grantedSeconds} s, granted ${grantedSeconds} s`
      this.#report('a lease has no more time than was granted', facts)
    }
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
    if (!leases.includes(held.record.id)) this.#gone(held, 'a list')
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

  /** Somebody said that there is no such lease: if it must live even now, it had to live then. */
  #gone(held: HeldLease, source: string): void {
    if (this.#held === held) this.#held = undefined
    const { id, ttlMs, extendedAt, revokedAt } = held.record
    const safeUntil = Math.max(...extendedAt) + ttlMs / clockRateMax
    const { now } = this.#cluster.scheduler
    if (revokedAt !== undefined || now >= safeUntil) return
    this.#report(
      'a lease lives as long as it was promised',
      `${source} at ${now.toFixed(1)} did not find ${id}, safe until ${safeUntil.toFixed(1)}`,
    )
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
