// What all clients of one history write down, and the one place where a real answer becomes a recorded outcome.
// Every change is seen by whole-span watches, so the complete log of revisions is known although old ones are compacted.
import type { LeaseRecord, ModelRequest, RecordedCall, RecordedWatch } from '../../src/simulator/index.ts'
import { LogCollector } from '../../src/simulator/index.ts'
import { type Answer, GrpcClient } from '../support/grpc-client.ts'
import { revisionOf } from '../support/keys.ts'
import type { Seat } from './cluster.ts'
import { callOf, resultOf } from './messages.ts'

/** How long a client waits: shorter than an election takes to be noticed, so that outcomes do become unknown. */
export const callDeadlineMs = 1_500

/**
 * Refusals that say that nothing happened: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION, OUT_OF_RANGE. All others
 * leave it open, unless the server says so in so many words.
 */
const certainCodes: ReadonlySet<number> = new Set([3, 5, 9, 11])

export class Recorder {
  readonly calls: RecordedCall[] = []
  readonly leases: LeaseRecord[] = []
  readonly watches: RecordedWatch[] = []
  readonly collector: LogCollector = new LogCollector()

  answeredCount = 0

  /** What a renewal was answered: the whole time again, or 0: there is no such lease. */
  renewed(lease: LeaseRecord, calledAt: number, ttlSeconds: number): void {
    if (ttlSeconds === 0) {
      lease.goneAt.push(this.now)
      return
    }
    lease.extendedAt.push(calledAt)
    lease.told.push({ remainingMs: ttlSeconds * 1_000, grantedMs: ttlSeconds * 1_000 })
  }

  get now(): number {
    return performance.now()
  }

  /** Makes the call and records it; the answer is for the caller's next step. */
  async call(
    client: { readonly name: string; readonly connection: Connection },
    request: ModelRequest,
    { atRevision = 0, isSerializable = false, deadlineMs = callDeadlineMs }: CallOptions = {},
  ): Promise<Answer> {
    const { connection } = client
    const call: RecordedCall = {
      id: this.calls.length + 1,
      client: client.name,
      server: connection.life,
      request,
      isSerializable,
      atRevision,
      calledAt: this.now,
      outcome: { kind: 'unknown' },
    }
    this.calls.push(call)
    const { method, message } = callOf(request, { atRevision, isSerializable })
    const answer = await connection.grpc.call(method, message, deadlineMs)
    if (answer.code === 0) {
      this.answeredCount++
      const revision = revisionOf(answer.message)
      call.outcome = {
        kind: 'answered',
        returnedAt: this.now,
        revision,
        result: resultOf(request, answer.message),
      }
    } else if (isCertainlyNothing(answer)) call.outcome = { kind: 'failed' }
    return answer
  }
}

export interface CallOptions {
  readonly atRevision?: number
  readonly isSerializable?: boolean
  readonly deadlineMs?: number
}

export function isCertainlyNothing({ code, text, lost, outcome }: Answer): boolean {
  // Nobody listens there: the request never left.
  if (lost) return text.includes('ECONNREFUSED')
  return outcome === '' ? certainCodes.has(code) : outcome === 'none'
}

/** A connection to one life of one node. */
export class Connection {
  readonly seat: Seat
  readonly life: string
  readonly grpc: GrpcClient

  constructor(seat: Seat) {
    this.seat = seat
    this.life = seat.life
    this.grpc = new GrpcClient(seat.server.endpoint)
  }

  get isUsable(): boolean {
    return this.grpc.usable
  }

  close(): void {
    this.grpc.close()
  }
}
