import { QuorateError } from '../base/index.ts'
import type { WatchEvent, WatchOutput, WatchStream } from '../consistent-core/index.ts'
import {
  decodeWatchRequest,
  type Event,
  encodeWatchResponse,
  eventType,
  type WatchCreateRequest,
  type WatchResponse,
} from '../etcd-codec/index.ts'
import type { GrpcMethod, GrpcStream, GrpcStreamHandlers } from '../grpc/index.ts'
import { randomU32, type Timer } from '../io/index.ts'
import { headerAt } from './context.ts'
import type { EtcdDependencies } from './dependencies.ts'
import type { LeaderMonitor } from './leader-monitor.ts'
import { readRules, streaming } from './methods.ts'
import { watchCreate } from './requests.ts'

/** Answers written before other streams get their turn. */
const outputsPerTurnMax = 64
/** Refusals of watchers over the limit that a client has not read yet. */
const refusalsWaitingMax = 1000
const progressIntervalMinMs = 100
/** Of the interval, added at random once a stream, so that streams do not report in step. */
const progressJitterMax = 0.1

/** etcdserverpb.Watch: any number of watchers on one stream, each told of its first event only after `created`. */
export function watchService(from: EtcdDependencies, monitor: LeaderMonitor): [string, GrpcMethod][] {
  const open = (stream: GrpcStream, fail: (error: unknown) => void): GrpcStreamHandlers => {
    if (from.core.counts.watchStreams >= from.options.watchStreamsMax) {
      throw new QuorateError('overloaded', `${from.options.watchStreamsMax} watch streams are open`)
    }
    return new WatchConnection(from, stream, fail)
  }
  return [['/etcdserverpb.Watch/Watch', streaming(from, readRules, monitor, open)]]
}

/**
 * One client stream. The core is pulled only as fast as the client reads: while the transport's buffer is full
 * nothing is taken from the core and no request is read, so what waits here is bounded.
 */
class WatchConnection implements GrpcStreamHandlers {
  readonly #from: EtcdDependencies
  readonly #stream: GrpcStream
  readonly #fail: (error: unknown) => void
  readonly #watch: WatchStream
  #progressTimer: Timer | undefined
  #isScheduled = false
  #isBlocked = false
  #isClosed = false
  /** Asked for and not yet told to have ended. */
  #watchers = 0
  #refusalsWaiting = 0

  constructor(from: EtcdDependencies, stream: GrpcStream, fail: (error: unknown) => void) {
    this.#from = from
    this.#stream = stream
    this.#fail = fail
    this.#watch = from.core.openWatchStream(() => this.#schedule())
  }

  onMessage(message: Uint8Array): void {
    const request = decodeWatchRequest(message)
    if (request.kind === 'createRequest') this.#create(request.createRequest)
    else if (request.kind === 'cancelRequest') this.#watch.cancel(request.cancelRequest.watchId)
    else if (request.kind === 'progressRequest') this.#watch.requestProgress()
    this.#schedule()
  }

  /** The client has no more requests; its watchers go on. */
  onHalfClose(): void {}

  onDrain(): void {
    if (!this.#isBlocked) return
    this.#isBlocked = false
    this.#stream.resumeReading()
    this.#schedule()
  }

  onClose(): void {
    this.#isClosed = true
    this.#progressTimer?.cancel()
    this.#watch.close()
  }

  #create(request: WatchCreateRequest): void {
    const { options, core } = this.#from
    if (this.#watchers >= options.watchersPerStreamMax || core.counts.watchers >= options.watchersMax) {
      if (++this.#refusalsWaiting > refusalsWaitingMax)
        throw new QuorateError('overloaded', 'too many watchers')
      return
    }
    this.#watchers++
    this.#watch.create(watchCreate(request))
    if (request.progressNotify) this.#progressTimer ??= this.#startProgressTimer()
  }

  #startProgressTimer(): Timer {
    const { options, entropy, time } = this.#from
    const interval = Math.max(options.progressNotifyIntervalMs, progressIntervalMinMs)
    const jitter = (randomU32(entropy) / 0x1_0000_0000) * progressJitterMax
    const tick = (): void => {
      this.#progressTimer = time.startTimer(interval * (1 + jitter), tick)
      this.#watch.notifyProgress()
      this.#schedule()
    }
    return time.startTimer(interval * (1 + jitter), tick)
  }

  /** Answers in a turn of its own: the applier, which calls this, does not wait for the encoding. */
  #schedule(): void {
    if (this.#isScheduled || this.#isBlocked || this.#isClosed) return
    this.#isScheduled = true
    void this.#run()
  }

  async #run(): Promise<void> {
    await this.#from.time.yieldTurn()
    this.#isScheduled = false
    try {
      this.#answer()
    } catch (error) {
      this.#fail(error)
    }
  }

  #answer(): void {
    for (let count = 0; count < outputsPerTurnMax; count++) {
      if (this.#isBlocked || this.#isClosed) return
      const response = this.#next()
      if (response === undefined) return
      if (!this.#stream.send(encodeWatchResponse(response))) {
        this.#isBlocked = true
        this.#stream.pauseReading()
      }
    }
    this.#schedule()
  }

  #next(): WatchResponse | undefined {
    const output = this.#watch.next(this.#from.options.requestBytesMax)
    if (output !== undefined) {
      if (output.kind === 'createRefused' || output.kind === 'canceled' || output.kind === 'compacted') {
        this.#watchers--
      }
      return responseOf(this.#from, output)
    }
    if (this.#refusalsWaiting === 0) return undefined
    this.#refusalsWaiting--
    const { revision } = this.#from.core
    const reason = 'etcdserver: too many requests'
    return responseOf(this.#from, { kind: 'createRefused', watchId: -1, reason, revision })
  }
}

function responseOf(from: EtcdDependencies, output: WatchOutput): WatchResponse {
  const { watchId } = output
  switch (output.kind) {
    case 'created':
      return { ...blank(from, watchId, output.revision), created: true }
    case 'createRefused': {
      const answer = blank(from, watchId, output.revision)
      return { ...answer, created: true, canceled: true, cancelReason: output.reason }
    }
    case 'events': {
      const answer = blank(from, watchId, output.revision)
      return { ...answer, fragment: output.fragment, events: output.events.map(eventOf) }
    }
    case 'progress':
      return blank(from, watchId, output.revision)
    case 'canceled':
      return { ...blank(from, watchId, output.revision), canceled: true, cancelReason: output.reason }
    case 'compacted':
      // etcd leaves the header's revision and the reason out here.
      return { ...blank(from, watchId, 0), canceled: true, compactRevision: output.compactRevision }
  }
}

function blank(from: EtcdDependencies, watchId: number, revision: number): WatchResponse {
  return {
    header: headerAt(from, revision),
    watchId,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment: false,
    events: [],
  }
}

function eventOf(event: WatchEvent): Event {
  const type = event.kind === 'put' ? eventType.put : eventType.delete
  return { type, kv: event.pair, prevKv: event.previous }
}
