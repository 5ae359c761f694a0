import { assert, QuorateError, RingQueue } from '../base/index.ts'
import { GrpcError, type GrpcUnaryCall, grpcStatus, type UnaryAnswer } from '../grpc/index.ts'
import type { Time } from '../io/index.ts'

/** Bytes of answers that one turn of the loop reads before others have theirs: half a millisecond of work, or a slice of one. */
const turnBytesMax = 128 * 1024
/** Reads that go on over several turns. Each holds what it has read; a turn has one slice of one of them. */
const underWayCountMax = 16
const waitingCountMax = 10_000
/** Waiting reads that one turn starts, refuses or lets wait for their clients. */
const lookedPerTurn = 64
/** What costs less is not counted: nothing is to be asked of usual reads. */
const countedBytesMin = 16 * 1024

/** Ten thousand of them are made in a moment when clients do not take what they ask for: one promise each. */
interface Waiting {
  readonly call: GrpcUnaryCall
  /** Since when it waits for others; the time in which its client does not take its answers does not count. */
  sinceMs: number
  readonly timeoutMs: number
  readonly read: Read
  readonly resolve: (answer: UnaryAnswer | Promise<UnaryAnswer>) => void
  readonly reject: (error: unknown) => void
}

type Read = () => UnaryAnswer | Promise<UnaryAnswer>

/**
 * Large reads of many clients one after the other, and their slices too. All that became possible in one turn, by one
 * confirmation of the leader for example, would be read in that turn otherwise: it would stop everybody else, whose
 * write takes several turns, and keep the answers of clients that have long gone or read nothing.
 */
export class ReadTurns {
  readonly #time: Time
  readonly #waiting = new RingQueue<Waiting>(waitingCountMax)
  /** Reads under way that wait for the turn of their next slice. */
  readonly #slices = new RingQueue<() => void>(underWayCountMax)
  /** Of those that wait for room in their connections and for nobody else. */
  #withoutRoomCount = 0
  #turnBytes = 0
  #underWayCount = 0
  #isTurning = false

  constructor(time: Time) {
    this.#time = time
  }

  /**
   * The answer of `read`, which runs now or when its turn has come, but not before `ready` resolves, and not at all once the
   * call is cancelled. Errors, nothing was read: those of `ready`, `overloaded`, and `timeout` for what would begin later
   * than `timeoutMs` after it was ready.
   */
  run(
    call: GrpcUnaryCall,
    timeoutMs: number,
    ready: Promise<void> | undefined,
    read: Read,
  ): UnaryAnswer | Promise<UnaryAnswer> {
    if (ready === undefined && this.#isFree(call)) return this.#start(read)
    return new Promise((resolve, reject) => {
      const waiting = { call, sinceMs: 0, timeoutMs, read, resolve, reject }
      if (ready === undefined) this.#wait(waiting)
      else ready.then(() => this.#begin(waiting), reject)
    })
  }

  /** A turn of the loop for the next slice of a read that is under way. */
  yieldTurn(): Promise<void> {
    return new Promise((resolve) => {
      const isIn = this.#slices.push(resolve)
      assert(isIn, 'each read under way waits for one turn')
      this.#turn()
    })
  }

  get #mayStart(): boolean {
    return this.#turnBytes < turnBytesMax && this.#underWayCount < underWayCountMax
  }

  #isFree(call: GrpcUnaryCall): boolean {
    return this.#waiting.size === 0 && this.#mayStart && call.hasRoom
  }

  #begin(waiting: Waiting): void {
    if (this.#isFree(waiting.call)) this.#settle(waiting)
    else this.#wait(waiting)
  }

  #wait(waiting: Waiting): void {
    waiting.sinceMs = this.#time.monotonicMs()
    if (this.#withoutRoomCount + this.#waiting.size === waitingCountMax || !this.#waiting.push(waiting)) {
      waiting.reject(new QuorateError('overloaded', `${waitingCountMax} reads wait for their turn`))
    }
    this.#turn()
  }

  #settle(waiting: Waiting): void {
    try {
      waiting.resolve(this.#start(waiting.read))
    } catch (error) {
      waiting.reject(error)
    }
  }

  #start(read: Read): UnaryAnswer | Promise<UnaryAnswer> {
    const answer = read()
    if (!(answer instanceof Promise)) {
      this.#spend(bytesOf(answer))
      return answer
    }
    this.#underWayCount++
    this.#spend(turnBytesMax)
    const done = (): void => {
      this.#underWayCount--
    }
    answer.then(done, done)
    return answer
  }

  #spend(bytes: number): void {
    if (bytes < countedBytesMin) return
    this.#turnBytes += bytes
    this.#turn()
  }

  /** From here on every turn begins with what waits, until nothing does. */
  #turn(): void {
    if (this.#isTurning) return
    this.#isTurning = true
    void this.#turns()
  }

  async #turns(): Promise<void> {
    do {
      await this.#time.yieldBulkTurn()
      this.#turnBytes = 0
      this.#slices.shift()?.()
      this.#startWaiting()
    } while (this.#slices.size > 0 || this.#waiting.size > 0 || this.#turnBytes > 0)
    this.#isTurning = false
  }

  #startWaiting(): void {
    for (let looked = 0; looked < lookedPerTurn && this.#mayStart; looked++) {
      const waiting = this.#waiting.shift()
      if (waiting === undefined) return
      const { call, sinceMs, timeoutMs } = waiting
      if (call.isCancelled) {
        waiting.reject(new GrpcError(grpcStatus.cancelled, 'the client went away'))
      } else if (this.#time.monotonicMs() - sinceMs > timeoutMs) {
        waiting.reject(new QuorateError('timeout', `the read waited ${timeoutMs} ms for its turn`))
      } else this.#startOrWaitForRoom(waiting)
    }
  }

  #startOrWaitForRoom(waiting: Waiting): void {
    if (waiting.call.hasRoom) {
      this.#settle(waiting)
      return
    }
    this.#withoutRoomCount++
    waiting.call.onRoom(() => {
      this.#withoutRoomCount--
      waiting.sinceMs = this.#time.monotonicMs()
      const isIn = this.#waiting.push(waiting)
      assert(isIn, 'who waits for room has kept a place')
      this.#turn()
    })
  }
}

function bytesOf(answer: UnaryAnswer): number {
  if (answer instanceof Uint8Array) return answer.length
  let bytes = 0
  for (const piece of answer) bytes += piece.length
  return bytes
}
