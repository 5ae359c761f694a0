import { setTimeout as pause } from 'node:timers/promises'
import { methods } from '../../test/support/etcd-messages.ts'
import { numberOf } from '../../test/support/keys.ts'
import { encode } from '../../test/support/protobuf.ts'
import { type Call, CallConnection } from './calls.ts'
import { countedTime, forEachIndex, type LoadControl, withDeadline } from './control.ts'
import { FieldReader } from './fields.ts'
import { LatencyHistogram } from './latency.ts'
import { Meter, type Target, type Usage } from './meter.ts'
import { loadKey, loadKeys } from './requests.ts'
import { WatchConnection } from './watch-connection.ts'

export interface LeasesPlan extends Target {
  readonly leases: number
  /** Each keeps its share of the leases alive on one stream, as a client of etcd does. */
  readonly connections: number
  readonly ttlSeconds: number
}

/** The first lease; ids of this size are as long on the wire as those that a server draws. */
const firstLease = 2 ** 52
const grantsUnderWay = 200
const endDeadlineMs = 180_000

/** Leases, spread over connections, and one keep-alive stream on each of these. */
class LeaseHolder {
  readonly failed: (error: unknown) => void
  readonly #plan: LeasesPlan
  readonly #failure = Promise.withResolvers<never>()
  readonly #connections: CallConnection[]
  readonly #streams: KeepAliveStream[] = []

  constructor(plan: LeasesPlan) {
    this.#plan = plan
    this.failed = (error) => this.#failure.reject(error)
    this.#failure.promise.catch(() => undefined)
    this.#connections = Array.from(
      { length: plan.connections },
      () => new CallConnection(plan.host, plan.port, this.failed),
    )
  }

  /** As the promise; rejects when a connection has failed or an answer was wrong. */
  async orFail<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#failure.promise])
  }

  async grantAll(): Promise<void> {
    const { leases, ttlSeconds } = this.#plan
    await this.orFail(Promise.all(this.#connections.map((connection) => connection.ready())))
    const grant = async (index: number): Promise<void> => {
      const request = { ID: firstLease + index, TTL: ttlSeconds }
      const { TTL } = await this.#connectionOf(index).unary('leaseGrant', request)
      if (numberOf(TTL) !== ttlSeconds) throw new Error(`a lease was granted for ${numberOf(TTL)} s`)
    }
    await this.orFail(forEachIndex(leases, grantsUnderWay, grant))
  }

  /** One key for each lease, which goes when the lease does. */
  async putAll(): Promise<void> {
    const put = (index: number): Promise<unknown> =>
      this.#connectionOf(index).unary('put', { key: loadKey(index), lease: firstLease + index })
    await this.orFail(forEachIndex(this.#plan.leases, grantsUnderWay, put))
  }

  /** `answered` is told the index of the lease and when its keep-alive was sent. */
  openStreams(answered: (index: number, sentMs: number, nowMs: number) => void): readonly KeepAliveStream[] {
    for (const [i, connection] of this.#connections.entries()) {
      const { leases, connections, ttlSeconds } = this.#plan
      const indexes: number[] = []
      for (let index = i; index < leases; index += connections) indexes.push(index)
      this.#streams.push(
        new KeepAliveStream({ connection, indexes, ttlSeconds, answered, failed: this.failed }),
      )
    }
    return this.#streams
  }

  async count(): Promise<number> {
    const { count } = await this.orFail(
      this.#connectionOf(0).unary('range', { ...loadKeys, count_only: true }),
    )
    return numberOf(count)
  }

  destroy(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  #connectionOf(index: number): CallConnection {
    return this.#connections[index % this.#connections.length] as CallConnection
  }
}

interface KeepAliveStreamOptions {
  readonly connection: CallConnection
  readonly indexes: readonly number[]
  readonly ttlSeconds: number
  answered(index: number, sentMs: number, nowMs: number): void
  failed(error: unknown): void
}

/** Its leases in turn. Answers come in the order of the requests. */
class KeepAliveStream {
  readonly #options: KeepAliveStreamOptions
  readonly #call: Call
  readonly #requests: readonly Uint8Array[]
  readonly #fields = new FieldReader()
  #sent: { index: number; atMs: number }[] = []
  #next = 0

  constructor(options: KeepAliveStreamOptions) {
    this.#options = options
    this.#requests = options.indexes.map((index) =>
      encode({ ID: firstLease + index }, methods.leaseKeepAlive.request),
    )
    this.#call = options.connection.open('leaseKeepAlive', {
      message: (bytes, at, end, nowMs) => this.#answer(bytes, at, end, nowMs),
      ended: (status) => options.failed(new Error(`a keep-alive stream ended with status ${status}`)),
    })
  }

  get leaseCount(): number {
    return this.#requests.length
  }

  get underWay(): number {
    return this.#sent.length
  }

  sendNext(nowMs: number): void {
    const slot = this.#next
    this.#next = (slot + 1) % this.#requests.length
    this.#call.send(this.#requests[slot] as Uint8Array)
    this.#sent.push({ index: this.#options.indexes[slot] as number, atMs: nowMs })
  }

  /** LeaseKeepAliveResponse: ID 2, TTL 3, which is 0 when there is no such lease. */
  #answer(bytes: Buffer, at: number, end: number, nowMs: number): void {
    let [id, ttl] = [0, 0]
    const fields = this.#fields.reset(bytes, at, end)
    while (fields.next()) {
      if (fields.number === 2) id = fields.value
      else if (fields.number === 3) ttl = fields.value
    }
    const sent = this.#sent.shift()
    if (sent === undefined || id !== firstLease + sent.index) throw new Error('a keep-alive of another lease')
    if (ttl !== this.#options.ttlSeconds) throw new Error(`a lease was kept alive for ${ttl} s`)
    this.#options.answered(sent.index, sent.atMs, nowMs)
  }
}

export interface KeepAlivesPlan extends LeasesPlan {
  /** Keep-alives that are under way on each connection. */
  readonly underWay: number
  readonly warmUpMs: number
  readonly countedMs: number
}

export interface KeepAlivesReport extends Usage {
  readonly keepAlivesPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** A closed loop of keep-alives: every answer, which must be that of its lease, is followed by the next request. */
export async function runKeepAlives(plan: KeepAlivesPlan, control: LoadControl): Promise<KeepAlivesReport> {
  const holder = new LeaseHolder(plan)
  const meter = new Meter(plan.serverPid)
  const latencies = new LatencyHistogram()
  const ended = Promise.withResolvers<void>()
  let [beginMs, endMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  try {
    await holder.grantAll()
    const streams = holder.openStreams((index, sentMs, nowMs) => {
      if (nowMs >= beginMs && nowMs < endMs) latencies.add(nowMs - sentMs)
      if (nowMs < endMs) streams[index % plan.connections]?.sendNext(nowMs)
      else if (streams.every((stream) => stream.underWay === 0)) ended.resolve()
    })
    const startMs = performance.now()
    for (const stream of streams) for (let i = 0; i < plan.underWay; i++) stream.sendNext(startMs)
    await holder.orFail(pause(plan.warmUpMs))
    meter.begin()
    beginMs = performance.now()
    endMs = beginMs + plan.countedMs
    control.begun()
    await holder.orFail(countedTime(plan.countedMs))
    const usage = meter.end()
    await withDeadline(holder.orFail(ended.promise), endDeadlineMs, () => 'keep-alives were not answered')
    return {
      keepAlivesPerSecond: Math.round((latencies.count * 1_000) / plan.countedMs),
      p50Ms: latencies.percentileMs(0.5),
      p99Ms: latencies.percentileMs(0.99),
      ...usage,
    }
  } finally {
    holder.destroy()
  }
}

export interface ExpiryReport {
  /** From when the last lease was due to the delete event of the last key. */
  readonly goneMs: number
  /** From when the first lease was due to its event: never negative. */
  readonly firstGoneMs: number
}

/**
 * Leases with one key each are kept alive once more, all in one go, and never again. Ends when every key is gone; a key
 * that goes before its time, or twice, is an error.
 */
export async function runExpiry(plan: LeasesPlan, control: LoadControl): Promise<ExpiryReport> {
  const holder = new LeaseHolder(plan)
  const ttlMs = plan.ttlSeconds * 1_000
  /** By the index of the lease: when it can end at the earliest. */
  const dueMs: number[] = Array.from({ length: plan.leases }, () => Number.POSITIVE_INFINITY)
  let [kept, gone, lastDueMs, firstGoneMs, lastGoneMs] = [0, 0, 0, Number.POSITIVE_INFINITY, 0]
  const [allKept, allGone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const watcher = new WatchConnection({
    ...{ host: plan.host, port: plan.port, failed: holder.failed },
    event: ({ isDelete, keyIndex }, nowMs) => {
      const sinceDueMs = nowMs - (dueMs[keyIndex] ?? Number.POSITIVE_INFINITY)
      if (!isDelete || sinceDueMs < 0) throw new Error('a key went before its time, or twice')
      dueMs[keyIndex] = Number.POSITIVE_INFINITY
      firstGoneMs = Math.min(firstGoneMs, sinceDueMs)
      lastGoneMs = nowMs
      if (++gone === plan.leases) allGone.resolve()
    },
  })
  try {
    await holder.grantAll()
    await holder.putAll()
    await holder.orFail(watcher.watch([loadKeys]))
    const streams = holder.openStreams((index, sentMs, nowMs) => {
      dueMs[index] = sentMs + ttlMs
      lastDueMs = nowMs + ttlMs
      if (++kept === plan.leases) allKept.resolve()
    })
    for (const stream of streams)
      for (let i = 0; i < stream.leaseCount; i++) stream.sendNext(performance.now())
    const missing = (): string =>
      `${plan.leases - kept} leases were not kept, ${plan.leases - gone} keys not gone`
    await withDeadline(holder.orFail(allKept.promise), endDeadlineMs, missing)
    control.begun()
    await withDeadline(holder.orFail(allGone.promise), ttlMs + endDeadlineMs, missing)
    const left = await holder.count()
    if (left !== 0) throw new Error(`${left} keys are left`)
    return { goneMs: Math.max(0, lastGoneMs - lastDueMs), firstGoneMs }
  } finally {
    holder.destroy()
    watcher.destroy()
  }
}
