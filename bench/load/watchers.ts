import { setTimeout as pause } from 'node:timers/promises'
import { methods } from '../../test/support/etcd-messages.ts'
import { encode } from '../../test/support/protobuf.ts'
import { CallConnection } from './calls.ts'
import { countedTime, type LoadControl, withDeadline } from './control.ts'
import { type Latencies, LatencyHistogram } from './latency.ts'
import { Meter, type Target, type Usage } from './meter.ts'
import { loadKey, loadKeys } from './requests.ts'
import { WatchConnection, type WatchedEvent } from './watch-connection.ts'

export interface WatchersPlan extends Target {
  readonly connections: number
  readonly watchesPerConnection: number
  readonly valueBytes: number
  /** 0: as many as `undeliveredMax` lets through. */
  readonly putsPerSecond: number
  /** Puts that not every watcher has seen. The next put waits for one of them. */
  readonly undeliveredMax: number
  readonly warmUpMs: number
  readonly countedMs: number
}

export interface WatchersReport extends Usage {
  /** To all watchers together, while it counted. */
  readonly eventsPerSecond: number
  /** From the moment a put was sent, to its event at one watcher. */
  readonly sendToEvent: Latencies
  /** From the answer of a put, to its event at one watcher; 0 when the event came first. */
  readonly answerToEvent: Latencies
  readonly puts: number
  readonly events: number
}

const endDeadlineMs = 60_000
const tickMs = 5

/**
 * Watchers of one prefix, and puts below it. Ends when every watcher has seen every put once, in the order of the
 * revisions; anything else is an error.
 */
export async function runWatchers(plan: WatchersPlan, control: LoadControl): Promise<WatchersReport> {
  const run = new WatchersRun(plan)
  try {
    return await run.run(control)
  } finally {
    run.destroy()
  }
}

class WatchersRun {
  readonly #plan: WatchersPlan
  readonly #watchers: WatchConnection[]
  readonly #writer: CallConnection
  readonly #failure = Promise.withResolvers<never>()
  readonly #value: Uint8Array
  readonly #lastRevisions: number[]
  /** By the index of the put. */
  readonly #sentMs: number[] = []
  readonly #answeredMs: (number | undefined)[] = []
  readonly #seenCounts: number[] = []
  readonly #sendToEvent = new LatencyHistogram()
  readonly #answerToEvent = new LatencyHistogram()
  #delivered = 0
  #answered = 0
  #counted = 0
  #startMs = 0
  #beginMs = Number.POSITIVE_INFINITY
  #endMs = Number.POSITIVE_INFINITY
  #allDelivered: (() => void) | undefined

  constructor(plan: WatchersPlan) {
    this.#plan = plan
    const { host, port, connections, watchesPerConnection } = plan
    const failed = (error: unknown): void => this.#failure.reject(error)
    this.#failure.promise.catch(() => undefined)
    this.#value = Buffer.alloc(plan.valueBytes, 'v')
    this.#lastRevisions = Array.from({ length: connections * watchesPerConnection }, () => 0)
    this.#writer = new CallConnection(host, port, failed)
    this.#watchers = Array.from({ length: connections }, (_, connection) => {
      const first = connection * watchesPerConnection
      const event = (seen: WatchedEvent, nowMs: number): void => this.#event(first + seen.watch, seen, nowMs)
      return new WatchConnection({ host, port, failed, event })
    })
  }

  async run(control: LoadControl): Promise<WatchersReport> {
    const { serverPid, warmUpMs, countedMs, watchesPerConnection } = this.#plan
    const ranges = Array.from({ length: watchesPerConnection }, () => loadKeys)
    await this.#orFail(Promise.all([this.#writer.ready(), ...this.#watchers.map((w) => w.watch(ranges))]))
    const meter = new Meter(serverPid)
    this.#startMs = performance.now()
    // Whatever makes room lets the next put go; the clock does where a rate is asked for.
    const ticker = setInterval(() => this.#fill(), tickMs)
    try {
      await this.#orFail(pause(warmUpMs))
      this.#beginMs = performance.now()
      this.#endMs = this.#beginMs + countedMs
      meter.begin()
      control.begun()
      await this.#orFail(countedTime(countedMs))
      const usage = meter.end()
      await this.#orFail(this.#everythingDelivered())
      return this.#report(usage)
    } finally {
      clearInterval(ticker)
    }
  }

  destroy(): void {
    this.#writer.destroy()
    for (const watcher of this.#watchers) watcher.destroy()
  }

  #fill(): void {
    const nowMs = performance.now()
    const { undeliveredMax, putsPerSecond } = this.#plan
    while (nowMs < this.#endMs && this.#sentMs.length - this.#delivered < undeliveredMax) {
      if (putsPerSecond > 0 && this.#sentMs.length >= ((nowMs - this.#startMs) * putsPerSecond) / 1_000)
        return
      this.#put(nowMs)
    }
  }

  #put(sentMs: number): void {
    const index = this.#sentMs.push(sentMs) - 1
    this.#seenCounts.push(0)
    this.#answeredMs.push(undefined)
    const call = this.#writer.open('put', {
      message: () => undefined,
      ended: (status, nowMs) => {
        if (status !== '0') this.#failure.reject(new Error(`put: status ${status}`))
        this.#answeredMs[index] = nowMs
        this.#answered++
        this.#settle()
      },
    })
    call.sendLast(encode({ key: loadKey(index), value: this.#value }, methods.put.request))
  }

  #event(watcher: number, { keyIndex, modRevision, isDelete }: WatchedEvent, nowMs: number): void {
    const sentMs = this.#sentMs[keyIndex]
    if (isDelete || sentMs === undefined) throw new Error('an event of no put')
    if (modRevision <= (this.#lastRevisions[watcher] as number))
      throw new Error('an event came twice or late')
    this.#lastRevisions[watcher] = modRevision
    if (nowMs >= this.#beginMs && nowMs < this.#endMs) {
      this.#counted++
      this.#sendToEvent.add(nowMs - sentMs)
      this.#answerToEvent.add(nowMs - (this.#answeredMs[keyIndex] ?? nowMs))
    }
    const seen = (this.#seenCounts[keyIndex] as number) + 1
    this.#seenCounts[keyIndex] = seen
    if (seen < this.#lastRevisions.length) return
    this.#delivered++
    if (this.#plan.putsPerSecond === 0) this.#fill()
    this.#settle()
  }

  #settle(): void {
    if (this.#delivered === this.#sentMs.length && this.#answered === this.#sentMs.length)
      this.#allDelivered?.()
  }

  async #everythingDelivered(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#allDelivered = resolve
    this.#settle()
    const missing = (): string => `${this.#sentMs.length - this.#delivered} puts did not reach every watcher`
    await withDeadline(promise, endDeadlineMs, missing)
  }

  async #orFail<T>(promise: Promise<T>): Promise<T> {
    return await Promise.race([promise, this.#failure.promise])
  }

  #report(usage: Usage): WatchersReport {
    const puts = this.#sentMs.length
    return {
      eventsPerSecond: Math.round((this.#counted * 1_000) / this.#plan.countedMs),
      sendToEvent: this.#sendToEvent.latencies(),
      answerToEvent: this.#answerToEvent.latencies(),
      puts,
      events: puts * this.#lastRevisions.length,
      ...usage,
    }
  }
}
