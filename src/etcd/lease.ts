import { isQuorateError, type LeaseId, QuorateError, RingQueue } from '../base/index.ts'
import { leaseTtlSecondsMax } from '../consistent-core/index.ts'
import {
  decodeLeaseGrantRequest,
  decodeLeaseIdRequest,
  decodeLeaseTimeToLiveRequest,
  encodeHeaderResponse,
  encodeLeaseGrantResponse,
  encodeLeaseKeepAliveResponse,
  encodeLeaseLeasesResponse,
  encodeLeaseTimeToLiveResponse,
} from '../etcd-codec/index.ts'
import type { GrpcCall, GrpcMethod, GrpcStream, GrpcStreamHandlers } from '../grpc/index.ts'
import { randomU64 } from '../io/index.ts'
import { headerAt, propose, waitOptions } from './context.ts'
import type { EtcdDependencies } from './dependencies.ts'
import type { LeaderMonitor } from './leader-monitor.ts'
import { askAboutLeases, leasesPerQuestionMax } from './leader-question.ts'
import { readRules, streaming, unary, writeRules } from './methods.ts'
import { leaseId } from './requests.ts'

/** Random ids tried until one is free. */
const idAttemptsMax = 8
/** Keep-alives of one stream that wait for the round under way; reading pauses at half of it. */
const keepAlivesWaitingMax = leasesPerQuestionMax

/** etcdserverpb.Lease: grants and revokes go through the log; times and renewals are the leader's to tell. */
export function leaseService(from: EtcdDependencies, monitor: LeaderMonitor): [string, GrpcMethod][] {
  const timeToLive = unary(from, readRules, (bytes, call) => leaseTimeToLive(from, bytes, call))
  return [
    ['/etcdserverpb.Lease/LeaseGrant', unary(from, writeRules, (bytes, call) => grant(from, bytes, call))],
    ['/etcdserverpb.Lease/LeaseRevoke', unary(from, writeRules, (bytes, call) => revoke(from, bytes, call))],
    [
      '/etcdserverpb.Lease/LeaseKeepAlive',
      streaming(from, readRules, monitor, (stream, fail) => new KeepAliveConnection(from, stream, fail)),
    ],
    ['/etcdserverpb.Lease/LeaseTimeToLive', timeToLive],
    ['/etcdserverpb.Lease/LeaseLeases', unary(from, readRules, (_, call) => leaseIds(from, call))],
  ]
}

async function grant(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const request = decodeLeaseGrantRequest(bytes)
  // Here and not at apply: members may be configured differently, and the state must not be.
  const ttlSeconds = Math.max(request.ttl, Math.ceil((1.5 * from.options.electionTimeoutMs) / 1000))
  if (ttlSeconds > leaseTtlSecondsMax) {
    throw new QuorateError('lease-ttl-too-large', `${ttlSeconds} s, ${leaseTtlSecondsMax} s are allowed`)
  }
  for (let attempt = 1; ; attempt++) {
    const id = request.id === 0n ? randomLeaseId(from) : leaseId(request.id)
    try {
      const write = { kind: 'leaseGrant', id, ttlSeconds } as const
      const { revision, result } = await propose(from, call, 'leaseGrant', write)
      const header = headerAt(from, revision)
      return encodeLeaseGrantResponse({ header, id: result.id, ttl: result.ttlSeconds, error: '' })
    } catch (error) {
      const isTaken = isQuorateError(error, 'lease-exists') && request.id === 0n
      if (!isTaken || attempt === idAttemptsMax) throw error
    }
  }
}

/** Positive, as etcd chooses them. */
function randomLeaseId(from: EtcdDependencies): LeaseId {
  for (;;) {
    const id = BigInt.asUintN(63, randomU64(from.entropy))
    if (id !== 0n) return id
  }
}

async function revoke(from: EtcdDependencies, bytes: Uint8Array, call: GrpcCall): Promise<Uint8Array> {
  const id = leaseId(decodeLeaseIdRequest(bytes).id)
  const { revision } = await propose(from, call, 'done', { kind: 'leaseRevoke', id, expired: false })
  return encodeHeaderResponse({ header: headerAt(from, revision) })
}

/** Grant and keys from this member once it is up to date, the time left from the leader. Unknown: a TTL of -1. */
async function leaseTimeToLive(
  from: EtcdDependencies,
  bytes: Uint8Array,
  call: GrpcCall,
): Promise<Uint8Array> {
  const request = decodeLeaseTimeToLiveRequest(bytes)
  const id = leaseId(request.id)
  const options = waitOptions(from, call)
  await from.group.readBarrier(options)
  let ttl: number | undefined
  if (from.core.lease(id, from.time.monotonicMs()) !== undefined) {
    ;[ttl] = await askAboutLeases(from, 'remaining', [id], options)
  }
  const view = from.core.lease(id, from.time.monotonicMs())
  const header = headerAt(from, from.core.revision)
  if (ttl === undefined || view === undefined) {
    return encodeLeaseTimeToLiveResponse({ header, id, ttl: -1, grantedTtl: 0, keys: [] })
  }
  const keys = request.keys ? view.keys : []
  return encodeLeaseTimeToLiveResponse({ header, id, ttl, grantedTtl: view.grantedSeconds, keys })
}

async function leaseIds(from: EtcdDependencies, call: GrpcCall): Promise<Uint8Array> {
  await from.group.readBarrier(waitOptions(from, call))
  const leases = from.core.leaseIds().map((id) => ({ id }))
  return encodeLeaseLeasesResponse({ header: headerAt(from, from.core.revision), leases })
}

/**
 * Renewals of one client, answered in the order they came. All that wait are renewed together: one quorum round,
 * begun after the last of them arrived, is enough for all.
 */
class KeepAliveConnection implements GrpcStreamHandlers {
  readonly #from: EtcdDependencies
  readonly #stream: GrpcStream
  readonly #fail: (error: unknown) => void
  readonly #waiting = new RingQueue<LeaseId>(keepAlivesWaitingMax)
  #isRunning = false
  #isBlocked = false
  #isPaused = false
  #isHalfClosed = false
  #isClosed = false

  constructor(from: EtcdDependencies, stream: GrpcStream, fail: (error: unknown) => void) {
    this.#from = from
    this.#stream = stream
    this.#fail = fail
  }

  onMessage(message: Uint8Array): void {
    if (!this.#waiting.push(leaseId(decodeLeaseIdRequest(message).id))) {
      throw new QuorateError('overloaded', `${keepAlivesWaitingMax} keep-alives wait on this stream`)
    }
    if (this.#waiting.size >= keepAlivesWaitingMax / 2 && !this.#isPaused) {
      this.#isPaused = true
      this.#stream.pauseReading()
    }
    this.#start()
  }

  onHalfClose(): void {
    this.#isHalfClosed = true
    this.#start()
  }

  onDrain(): void {
    this.#isBlocked = false
    this.#start()
  }

  onClose(): void {
    this.#isClosed = true
  }

  #start(): void {
    if (this.#isRunning || this.#isBlocked || this.#isClosed) return
    this.#isRunning = true
    void this.#run()
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.size > 0 && !this.#isBlocked && !this.#isClosed) await this.#renewWaiting()
      if (this.#isHalfClosed && this.#waiting.size === 0 && !this.#isClosed) this.#stream.end()
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isRunning = false
    }
  }

  async #renewWaiting(): Promise<void> {
    const from = this.#from
    const ids: LeaseId[] = []
    for (let id = this.#waiting.shift(); id !== undefined; id = this.#waiting.shift()) ids.push(id)
    if (this.#isPaused) {
      this.#isPaused = false
      this.#stream.resumeReading()
    }
    // Taken before the renewal: the header must not speak of a later state than the renewal saw.
    const header = headerAt(from, from.core.revision)
    const seconds = await askAboutLeases(from, 'renew', ids, waitOptions(from, this.#stream))
    if (this.#isClosed) return
    for (const [index, id] of ids.entries()) {
      const answer = encodeLeaseKeepAliveResponse({ header, id, ttl: seconds[index] ?? 0 })
      if (!this.#stream.send(answer)) this.#isBlocked = true
    }
  }
}
