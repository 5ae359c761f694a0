import { setTimeout as pause } from 'node:timers/promises'
import { methods } from '../../test/support/etcd-messages.ts'
import { bytes } from '../../test/support/keys.ts'
import { encode } from '../../test/support/protobuf.ts'
import { CallConnection } from './calls.ts'
import { type LoadControl, withDeadline } from './control.ts'
import { type Latencies, LatencyHistogram } from './latency.ts'
import type { Target } from './meter.ts'

export interface ProbePlan extends Target {
  /** Gets a second, and as many puts; each is sent when its time has come, whether the one before was answered or not. */
  readonly perSecond: number
  readonly puts: boolean
}

export interface ProbedReport extends Latencies {
  /** All answers, refusals too. */
  readonly count: number
  /** The longest time without an answer of status 0. */
  readonly gapMaxMs: number
}

export interface ProbeReport {
  readonly gets: ProbedReport
  readonly puts: ProbedReport
  /** Every answer by its gRPC status. A get that does not find the key is an error of the run. */
  readonly statuses: { readonly [status: string]: number }
  /** By how much the latest request left after its time: this process waited for a processor, not for the server. */
  readonly lateMaxMs: number
}

const endDeadlineMs = 60_000
const valueBytes = 64

/** Another client: small requests at a fixed slow rate, until it is stopped. Gets and puts have a connection each. */
export async function runProbe(plan: ProbePlan, control: LoadControl): Promise<ProbeReport> {
  const failure = Promise.withResolvers<never>()
  const statuses: { [status: string]: number } = {}
  const answered = (status: string): void => {
    statuses[status] = (statuses[status] ?? 0) + 1
  }
  const kinds = (['range', 'put'] as const).map(
    (method) => new ProbedCall(plan, method, { answered, failed: failure.reject }),
  )
  const [gets, puts] = kinds as [ProbedCall, ProbedCall]
  const sent = plan.puts ? [gets, puts] : [gets]
  let lateMaxMs = 0
  let isStopped = false
  try {
    await Promise.race([puts.first().then(() => gets.first()), failure.promise])
    control.begun()
    void control.stop.then(() => {
      isStopped = true
    })
    const beginMs = performance.now()
    for (let i = 1; !isStopped; i++) {
      const dueMs = beginMs + (i * 1_000) / plan.perSecond
      await Promise.race([pause(Math.max(0, dueMs - performance.now())), failure.promise])
      lateMaxMs = Math.max(lateMaxMs, performance.now() - dueMs)
      for (const call of sent) call.send()
    }
    await Promise.race([Promise.all(kinds.map((call) => call.allAnswered())), failure.promise])
    return { gets: gets.report(), puts: puts.report(), statuses, lateMaxMs }
  } finally {
    failure.promise.catch(() => undefined)
    for (const call of kinds) call.destroy()
  }
}

interface ProbedCallHandlers {
  answered(status: string): void
  failed(error: unknown): void
}

class ProbedCall {
  readonly #method: 'range' | 'put'
  readonly #connection: CallConnection
  readonly #body: Uint8Array
  readonly #latencies = new LatencyHistogram()
  readonly #handlers: ProbedCallHandlers
  #succeededMs = Number.POSITIVE_INFINITY
  #gapMaxMs = 0
  #underWay = 0
  #idle: (() => void) | undefined

  constructor(plan: ProbePlan, method: 'range' | 'put', handlers: ProbedCallHandlers) {
    this.#method = method
    this.#handlers = handlers
    this.#connection = new CallConnection(plan.host, plan.port, handlers.failed)
    const key = bytes('/probe')
    const message = method === 'put' ? { key, value: Buffer.alloc(valueBytes, 'p') } : { key }
    this.#body = encode(message, methods[method].request)
  }

  /** One request that does not count. */
  async first(): Promise<void> {
    await this.#connection.ready()
    await new Promise<void>((resolve) => this.#request(() => resolve()))
    this.#succeededMs = performance.now()
  }

  send(): void {
    const startMs = performance.now()
    this.#request((nowMs) => this.#latencies.add(nowMs - startMs))
  }

  async allAnswered(): Promise<void> {
    if (this.#underWay === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#idle = resolve
    await withDeadline(
      promise,
      endDeadlineMs,
      () => `${this.#underWay} requests of the probe were not answered`,
    )
  }

  report(): ProbedReport {
    const gapMaxMs = Math.max(this.#gapMaxMs, performance.now() - this.#succeededMs)
    return { ...this.#latencies.latencies(), count: this.#latencies.count, gapMaxMs }
  }

  destroy(): void {
    this.#connection.destroy()
  }

  #request(answered: (nowMs: number) => void): void {
    this.#underWay++
    let size = 0
    const call = this.#connection.open(this.#method, {
      message: (_, at, end) => {
        size += end - at
      },
      ended: (status, nowMs) => {
        this.#underWay--
        this.#handlers.answered(status)
        if (status === '0') this.#succeeded(size, nowMs)
        answered(nowMs)
        if (this.#underWay === 0) this.#idle?.()
      },
    })
    call.sendLast(this.#body)
  }

  #succeeded(answerBytes: number, nowMs: number): void {
    if (this.#method === 'range' && answerBytes < valueBytes) {
      this.#handlers.failed(new Error('the key of the probe is not there'))
    }
    this.#gapMaxMs = Math.max(this.#gapMaxMs, nowMs - this.#succeededMs)
    this.#succeededMs = nowMs
  }
}
