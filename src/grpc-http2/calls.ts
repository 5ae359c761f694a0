import { assert } from '../base/index.ts'
import type { Decompress, GrpcServices } from '../grpc/index.ts'
import type { HeaderList } from '../hpack/index.ts'
import type { Logger, Time } from '../io/index.ts'
import { Call, type CallContext } from './call.ts'
import type { CallStream } from './call-stream.ts'
import { type CallPlan, Planner } from './plan.ts'
import { StreamCall } from './stream-call.ts'
import { UnaryCall } from './unary-call.ts'

export interface CallsOptions {
  readonly services: GrpcServices
  readonly time: Time
  readonly logger: Logger
  /** Runs it after this turn of the loop. */
  readonly later: (run: () => void) => void
  readonly gunzip: Decompress
  readonly messageBytesMax: number
  /** Bytes of unfinished request messages in one connection. At least `messageBytesMax`. */
  readonly gatheredBytesMax: number
  /** Bytes that wait in one stream before `send` answers false. */
  readonly sendBufferBytesMax: number
  /** Bytes of unary answers that wait in one connection before nothing large is begun for it. */
  readonly untakenBytesMax: number
}

/** Finds the method of each request and runs it; of all connections of a server. */
export class Calls {
  readonly #options: CallsOptions
  readonly #planner: Planner
  #openCount = 0
  #startedCount = 0

  constructor(options: CallsOptions) {
    assert(options.gatheredBytesMax >= options.messageBytesMax, 'the largest message can be gathered')
    this.#options = options
    this.#planner = new Planner(options.services, options.messageBytesMax, options.gunzip)
  }

  get openCount(): number {
    return this.#openCount
  }

  get startedCount(): number {
    return this.#startedCount
  }

  /** What its calls share, of one connection. */
  context(peer: string): CallContext {
    const { time, logger, later, gatheredBytesMax, untakenBytesMax } = this.#options
    const gathered = { bytesMax: gatheredBytesMax, bytes: 0 }
    const untaken = { bytesMax: untakenBytesMax, bytes: 0, waiting: new Set<Call>() }
    return {
      peer,
      time,
      logger,
      later,
      ended: () => this.#openCount--,
      gathered,
      untaken,
      streams: new Set(),
    }
  }

  /** Its connection takes no further requests: the streams that the client would keep open for ever end. */
  leave({ streams }: CallContext): void {
    for (const stream of [...streams]) stream.leave()
  }

  /** Takes one request, from its headers on. */
  start(stream: CallStream, headers: HeaderList, context: CallContext): void {
    this.#openCount++
    this.#startedCount++
    const plan = this.#planner.plan(headers)
    const call = new Call(stream, plan, context)
    stream.listener = call
    const { refusal, method } = plan
    if (refusal !== undefined) {
      for (let i = 0; i < refusal.trailers.length; i += 2) {
        call.setTrailer(refusal.trailers[i] as string, refusal.trailers[i + 1] as string)
      }
      call.finish(refusal.status, refusal.text, refusal.httpStatus)
      return
    }
    if (method?.kind === 'unary') call.reader = new UnaryCall(call, method.handle, plan.limits)
    else if (method?.kind === 'stream') this.#startStream(call, method.handle, plan, context.streams)
  }

  #startStream(
    call: Call,
    handle: (stream: StreamCall) => void,
    plan: CallPlan,
    open: CallContext['streams'],
  ): void {
    const stream = new StreamCall(call, plan.limits, this.#options.sendBufferBytesMax, open)
    try {
      handle(stream)
    } catch (error) {
      call.fail(error)
    }
    if (stream.hasHandlers) call.reader = stream
    else if (!call.isOver) call.fail(new Error('a stream handler sets its handlers in its turn'))
  }
}
