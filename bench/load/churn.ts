import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { SeededRandom } from '../../src/base/index.ts'
import { type MethodName, methods } from '../../test/support/etcd-messages.ts'
import { bytes, revisionOf } from '../../test/support/keys.ts'
import { encode, type Message, type Value } from '../../test/support/protobuf.ts'
import { CallConnection } from './calls.ts'
import { type LoadControl, withDeadline } from './control.ts'
import { FieldReader } from './fields.ts'
import { Meter, type Target, type Usage } from './meter.ts'
import { loadKey, loadKeys } from './requests.ts'
import { WatchConnection } from './watch-connection.ts'

export interface ChurnPlan extends Target {
  /** Of `loadKey`: what is deleted, ranged over and watched. Another load puts them. */
  readonly keyCount: number
  readonly seed: number
  /** Each compaction takes what was the newest revision at the one before. */
  readonly compactEveryMs: number
}

export interface ChurnReport extends Usage {
  /** How often each was done. A lease is granted, put to use and revoked. */
  readonly deletes: number
  readonly ranges: number
  readonly leases: number
  readonly compactions: number
  readonly snapshots: number
  readonly snapshotBytes: number
  /** Of ten watches that share the keys. */
  readonly events: number
  /** What was refused, by call and gRPC status. */
  readonly refused: { readonly [callAndStatus: string]: number }
}

type Done = { -readonly [Name in 'deletes' | 'ranges' | 'leases' | 'compactions' | 'snapshots']: number }

const watchCount = 10
const rangeKeys = 100
/** Each waits for its answer and then for `pauseMs`: busy, and no flood. */
const workerCounts = { deletes: 4, ranges: 4, leases: 4, compactions: 1, snapshots: 1 }
const pauseMs = 5
const checksumBytes = 32
const leaseKeyCount = 1_000
const endDeadlineMs = 120_000

/**
 * Everything but puts that clients do to a store, all at once, until it is stopped: deletes of random keys, ranges, leases,
 * compaction, one snapshot after the other, and watches. Refusals are counted; a watch that comes back, skips its last event
 * or is cancelled, a snapshot whose checksum is wrong, and a call without an answer are errors.
 */
export async function runChurn(plan: ChurnPlan, control: LoadControl): Promise<ChurnReport> {
  const churn = new Churn(plan)
  try {
    return await churn.run(control)
  } finally {
    churn.destroy()
  }
}

class Churn {
  readonly #plan: ChurnPlan
  readonly #random: SeededRandom
  readonly #calls: CallConnection
  readonly #watcher: WatchConnection
  readonly #failure = Promise.withResolvers<never>()
  readonly #stopped = new AbortController()
  readonly #done: Done = { deletes: 0, ranges: 0, leases: 0, compactions: 0, snapshots: 0 }
  readonly #refused: { [callAndStatus: string]: number } = {}
  /** The newest event of each watch. */
  readonly #seenRevisions = Array.from({ length: watchCount }, () => 0)
  #events = 0
  #snapshotBytes = 0
  /** As answers tell it. */
  #revision = 0
  #compactTo = 0
  #leaseKeys = 0
  #seen: (() => void) | undefined

  constructor(plan: ChurnPlan) {
    this.#plan = plan
    this.#random = new SeededRandom(plan.seed)
    const { host, port } = plan
    const failed = (error: unknown): void => this.#failure.reject(error)
    this.#failure.promise.catch(() => undefined)
    this.#calls = new CallConnection(host, port, failed)
    this.#watcher = new WatchConnection({
      ...{ host, port, failed },
      event: ({ watch, modRevision }) => {
        if (modRevision <= (this.#seenRevisions[watch] as number)) {
          throw new Error('an event came twice or late')
        }
        this.#seenRevisions[watch] = modRevision
        this.#events++
        this.#seen?.()
      },
    })
  }

  async run(control: LoadControl): Promise<ChurnReport> {
    const meter = new Meter(this.#plan.serverPid)
    const ranges = Array.from({ length: watchCount }, (_, watch) => this.#watchedRange(watch))
    await this.#orFail(Promise.all([this.#calls.ready(), this.#watcher.watch(ranges)]))
    meter.begin()
    control.begun()
    void control.stop.then(() => this.#stopped.abort())
    const working = Promise.all([
      ...this.#workers('deletes', pauseMs, () => this.#delete()),
      ...this.#workers('ranges', pauseMs, () => this.#range()),
      ...this.#workers('leases', pauseMs, () => this.#lease()),
      ...this.#workers('compactions', this.#plan.compactEveryMs, () => this.#compact()),
      ...this.#workers('snapshots', pauseMs, () => this.#snapshot()),
    ])
    await Promise.race([this.#orFail(working), control.stop])
    await withDeadline(this.#orFail(working), endDeadlineMs, () => 'calls were not answered')
    const usage = meter.end()
    await this.#requireLiveWatches()
    const counts = { snapshotBytes: this.#snapshotBytes, events: this.#events }
    return { ...this.#done, ...counts, refused: this.#refused, ...usage }
  }

  destroy(): void {
    this.#stopped.abort()
    this.#calls.destroy()
    this.#watcher.destroy()
  }

  #workers(name: keyof Done, everyMs: number, work: () => Promise<boolean>): Promise<void>[] {
    return Array.from({ length: workerCounts[name] }, async () => {
      while (!this.#stopped.signal.aborted) {
        if (await work()) this.#done[name]++
        await pause(everyMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined)
      }
    })
  }

  async #delete(): Promise<boolean> {
    return (await this.#call('deleteRange', { key: this.#anyKey() })) !== undefined
  }

  async #range(): Promise<boolean> {
    const { range_end } = loadKeys
    return (await this.#call('range', { key: this.#anyKey(), range_end, limit: rangeKeys })) !== undefined
  }

  async #lease(): Promise<boolean> {
    const granted = await this.#call('leaseGrant', { TTL: 60 })
    if (granted === undefined) return false
    const { ID } = granted
    const key = bytes(`/lease/${this.#leaseKeys++ % leaseKeyCount}`)
    const isPut = (await this.#call('put', { key, lease: ID as Value })) !== undefined
    return (await this.#call('leaseRevoke', { ID: ID as Value })) !== undefined && isPut
  }

  /** Not beyond what was the newest revision at the time before: a watch that lags less than that is not cancelled. */
  async #compact(): Promise<boolean> {
    const revision = this.#compactTo
    this.#compactTo = this.#revision
    return revision > 0 && (await this.#call('compact', { revision })) !== undefined
  }

  async #snapshot(): Promise<boolean> {
    const hash = createHash('sha256')
    const fields = new FieldReader()
    let checksum: Buffer | undefined
    const { promise, resolve } = Promise.withResolvers<string>()
    const stream = this.#calls.open('snapshot', {
      // SnapshotResponse: remaining_bytes 2, blob 3; the checksum is the last blob.
      message: (message, at, end) => {
        fields.reset(message, at, end)
        while (fields.next()) {
          if (fields.number !== 3) continue
          const blob = message.subarray(fields.at, fields.end)
          if (blob.length === checksumBytes) checksum = Buffer.from(blob)
          else hash.update(blob)
          this.#snapshotBytes += blob.length
        }
      },
      ended: resolve,
    })
    stream.sendLast(encode({}, methods.snapshot.request))
    const status = await promise
    if (status !== '0') this.#refuse(`snapshot: status ${status}`)
    else if (checksum?.equals(hash.digest()) !== true) throw new Error('the checksum of a snapshot is wrong')
    return status === '0'
  }

  /** Undefined: refused. */
  async #call(method: MethodName, request: Message): Promise<Message | undefined> {
    try {
      const answer = await this.#calls.unary(method, request)
      this.#revision = Math.max(this.#revision, revisionOf(answer))
      return answer
    } catch (error) {
      this.#refuse((error as Error).message)
      return undefined
    }
  }

  #refuse(callAndStatus: string): void {
    this.#refused[callAndStatus] = (this.#refused[callAndStatus] ?? 0) + 1
  }

  #anyKey(): Uint8Array {
    return loadKey(this.#random.between(0, this.#plan.keyCount))
  }

  #watchedRange(watch: number): { key: Uint8Array; range_end: Uint8Array } {
    const bound = (slot: number): Uint8Array => loadKey(Math.floor((slot * this.#plan.keyCount) / watchCount))
    return { key: bound(watch), range_end: bound(watch + 1) }
  }

  /** Each watch tells of one more put. */
  async #requireLiveWatches(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const awaited: number[] = []
    for (let watch = 0; watch < watchCount; watch++) {
      const put = this.#calls.unary('put', { key: this.#watchedRange(watch).key })
      awaited.push(revisionOf(await this.#orFail(put)))
    }
    this.#seen = () => {
      if (awaited.every((revision, watch) => (this.#seenRevisions[watch] as number) >= revision)) resolve()
    }
    this.#seen()
    await withDeadline(this.#orFail(promise), endDeadlineMs, () => 'not every watch told of its last put')
  }

  async #orFail<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#failure.promise])
  }
}
