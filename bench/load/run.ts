import { setTimeout as pause } from 'node:timers/promises'
import { SeededRandom } from '../../src/base/index.ts'
import { LoadConnection } from './connection.ts'
import { countedTime, type LoadControl, noControl, withDeadline } from './control.ts'
import { LatencyHistogram } from './latency.ts'
import { Meter, type Target, type Usage } from './meter.ts'
import { type OperationName, renderRequests } from './requests.ts'

export interface LoadPlan extends Target {
  readonly operation: OperationName
  readonly connections: number
  /** Requests under way on each connection. */
  readonly streams: number
  readonly keyCount: number
  readonly valueBytes: number
  readonly warmUpMs: number
  readonly countedMs: number
  readonly seed: number
}

export interface LoadReport extends Usage {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  /** What was counted. */
  readonly answers: number
  readonly answerBytes: number
  /** Every answer by its gRPC status, also of the warm-up and the end. */
  readonly statuses: { readonly [status: string]: number }
}

/** How long the last answers may take to come. */
const endDeadlineMs = 20_000

/** Every connection keeps its number of requests under way, through the warm-up and the time that counts. */
export class LoadRun {
  readonly #plan: LoadPlan
  readonly #random: SeededRandom
  readonly #latencies = new LatencyHistogram()
  readonly #statuses: { [status: string]: number } = {}
  readonly #ended = Promise.withResolvers<void>()
  #beginMs = Number.POSITIVE_INFINITY
  #endMs = Number.POSITIVE_INFINITY
  #underWay = 0
  #answerBytes = 0

  constructor(plan: LoadPlan) {
    this.#plan = plan
    this.#random = new SeededRandom(plan.seed)
  }

  async run(control: LoadControl = noControl): Promise<LoadReport> {
    const { warmUpMs, countedMs, connections: count, serverPid } = this.#plan
    const options = this.#connectionOptions()
    const connections = Array.from({ length: count }, () => new LoadConnection(options))
    const failed = this.#ended.promise.then(() => Promise.reject(new Error('ended before it began')))
    const meter = new Meter(serverPid)
    try {
      await Promise.race([Promise.all(connections.map((connection) => connection.ready())), failed])
      this.#beginMs = performance.now() + warmUpMs
      this.#endMs = this.#beginMs + countedMs
      for (const connection of connections) connection.start()
      await Promise.race([pause(warmUpMs), failed])
      meter.begin()
      control.begun()
      await Promise.race([countedTime(countedMs), control.stop, this.#ended.promise])
      this.#endMs = Math.min(this.#endMs, performance.now())
      const usage = meter.end()
      const unanswered = (): string => `${this.#underWay} requests were not answered`
      await withDeadline(this.#ended.promise, endDeadlineMs, unanswered)
      return this.#report(usage)
    } finally {
      failed.catch(() => undefined)
      for (const connection of connections) connection.destroy()
    }
  }

  #connectionOptions(): ConstructorParameters<typeof LoadConnection>[0] {
    const { host, port, streams, keyCount } = this.#plan
    return {
      host,
      port,
      streams,
      ...renderRequests({ ...this.#plan, authority: `${host}:${port}` }),
      nextKey: () => this.#random.between(0, keyCount),
      mayStart: (nowMs) => nowMs < this.#endMs,
      started: () => this.#underWay++,
      answered: (...answer) => this.#answered(...answer),
      failed: (error) => this.#ended.reject(error),
    }
  }

  #answered(latencyMs: number, nowMs: number, status: string, bytes: number): void {
    this.#underWay--
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1
    if (nowMs >= this.#beginMs && nowMs < this.#endMs) {
      this.#latencies.add(latencyMs)
      this.#answerBytes += bytes
    }
    if (nowMs >= this.#endMs && this.#underWay === 0) this.#ended.resolve()
  }

  #report(usage: Usage): LoadReport {
    const latencies = this.#latencies
    return {
      requestsPerSecond: Math.round((latencies.count * 10_000) / (this.#endMs - this.#beginMs)) / 10,
      p50Ms: latencies.percentileMs(0.5),
      p99Ms: latencies.percentileMs(0.99),
      p999Ms: latencies.percentileMs(0.999),
      answers: latencies.count,
      answerBytes: this.#answerBytes,
      statuses: this.#statuses,
      ...usage,
    }
  }
}
