import { initialWindowBytes } from '../../src/http2/frame.ts'
import { ClientConnection } from './client-connection.ts'
import type { RequestTemplate } from './requests.ts'

export interface LoadConnectionOptions {
  readonly host: string
  readonly port: number
  /** Requests that are under way at a time. */
  readonly streams: number
  readonly first: RequestTemplate
  readonly later: RequestTemplate
  nextKey(): number
  /** False: no more requests. */
  mayStart(nowMs: number): boolean
  started(): void
  /** `status`: as in the answer's trailers, or what broke the stream. */
  answered(latencyMs: number, nowMs: number, status: string, bytes: number): void
  failed(error: unknown): void
}

/** One connection that keeps its number of requests under way. Every answer is read to its gRPC status. */
export class LoadConnection {
  readonly #options: LoadConnectionOptions
  readonly #connection: ClientConnection
  readonly #underWay = new Map<number, { startMs: number; bytes: number }>()
  #nextStream = 1
  #sendWindow = initialWindowBytes

  constructor(options: LoadConnectionOptions) {
    this.#options = options
    this.#connection = new ClientConnection({
      ...{ host: options.host, port: options.port },
      data: (stream, _, at, end) => {
        const call = this.#underWay.get(stream)
        if (call !== undefined) call.bytes += end - at
      },
      ended: (stream, status, nowMs) => this.#ended(stream, status, nowMs),
      granted: (stream, count) => {
        if (stream === 0) this.#sendWindow += count
      },
      settled: (nowMs) => this.#fill(nowMs),
      failed: (error) => options.failed(error),
      isInUse: () => this.#underWay.size > 0,
    })
  }

  async ready(): Promise<void> {
    await this.#connection.ready()
  }

  /** Fills the connection with requests. */
  start(): void {
    this.#fill(performance.now())
  }

  /** Whatever is under way is given up. */
  destroy(): void {
    this.#underWay.clear()
    this.#connection.destroy()
  }

  #fill(nowMs: number): void {
    const { later, first, streams } = this.#options
    let count = Math.min(streams - this.#underWay.size, Math.floor(this.#sendWindow / later.dataBytes))
    if (!this.#options.mayStart(nowMs)) count = 0
    if (count <= 0) return
    const isFirst = this.#nextStream === 1
    const out = Buffer.allocUnsafe(
      (isFirst ? first.bytes.length - later.bytes.length : 0) + count * later.bytes.length,
    )
    let at = 0
    for (let i = 0; i < count; i++) {
      const template = isFirst && i === 0 ? first : later
      out.set(template.bytes, at)
      template.complete(out, at, this.#nextStream, this.#options.nextKey())
      this.#underWay.set(this.#nextStream, { startMs: nowMs, bytes: 0 })
      this.#options.started()
      at += template.bytes.length
      this.#sendWindow -= template.dataBytes
      this.#nextStream += 2
    }
    this.#connection.write(out)
  }

  #ended(stream: number, status: string, nowMs: number): void {
    const call = this.#underWay.get(stream)
    if (call === undefined) return
    this.#underWay.delete(stream)
    this.#options.answered(nowMs - call.startMs, nowMs, status, call.bytes)
  }
}
