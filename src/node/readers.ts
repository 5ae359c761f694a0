import { type ErrorCode, QuorateError } from '../base/index.ts'
import { type Maybe, never } from '../io/index.ts'

/**
 * Linearizable reads that wait: first for a round that confirms the leadership (all readers of one turn share it),
 * then until the index of that round is applied here. A round that gets no answer is asked again under a new number:
 * an answer to an old number must never serve a younger reader.
 */
export interface Reader {
  readonly deadlineMs: number
  /** Wants to hear of a lost leadership instead of asking again. */
  readonly leaderOnly: boolean
  resolve(): void
  reject(error: QuorateError): void
}

interface Round {
  readonly readers: readonly Reader[]
  readonly startedMs: number
}

export class ReaderQueue {
  readonly bound: number
  readonly #maybe: Maybe
  #waiting: Reader[] = []
  /** Their round failed: they ask again once a leader is known, at the latest with the next tick. */
  #retry: Reader[] = []
  readonly #rounds = new Map<number, Round>()
  #confirmed: { index: number; readers: readonly Reader[] }[] = []
  #size = 0
  #lastRequest = 0

  constructor(bound: number, maybe: Maybe = never) {
    this.bound = bound
    this.#maybe = maybe
  }

  get size(): number {
    return this.#size
  }

  /** False when the queue is full. */
  add(reader: Reader): boolean {
    if (this.#size >= this.bound || this.#maybe('reads-full')) return false
    this.#size++
    this.#waiting.push(reader)
    return true
  }

  /** A new round for everyone who waits, or undefined when nobody does. */
  startRound(nowMs: number): number | undefined {
    if (this.#waiting.length === 0) return undefined
    this.#lastRequest++
    this.#rounds.set(this.#lastRequest, { readers: this.#waiting, startedMs: nowMs })
    this.#waiting = []
    return this.#lastRequest
  }

  confirmed(request: number, index: number): void {
    const round = this.#rounds.get(request)
    if (round === undefined) return
    this.#rounds.delete(request)
    this.#confirmed.push({ index, readers: round.readers })
  }

  /** The round will get no answer. Readers ask again at `askAgain`, leader-only ones hear of it. */
  failed(request: number): void {
    const round = this.#rounds.get(request)
    if (round === undefined) return
    this.#rounds.delete(request)
    for (const reader of round.readers) {
      if (!reader.leaderOnly) this.#retry.push(reader)
      else {
        this.#refuse(reader, new QuorateError('leader-changed', 'this node lost its leadership meanwhile'))
      }
    }
  }

  /** Those whose round failed wait for the next one. */
  askAgain(): void {
    this.#waiting.push(...this.#retry)
    this.#retry = []
  }

  applied(index: number): void {
    if (this.#confirmed.length === 0) return
    this.#confirmed = this.#confirmed.filter((group) => {
      if (group.index > index) return true
      for (const reader of group.readers) this.#finish(reader)
      return false
    })
  }

  /** Once a tick: gives up what is past its deadline, asks again what failed or has waited longer than `retryMs`. */
  tick(nowMs: number, retryMs: number, expiry: { code: ErrorCode; text: string }): void {
    for (const [request, round] of this.#rounds) {
      if (nowMs - round.startedMs > retryMs || this.#maybe('read-round-lost')) this.failed(request)
    }
    this.askAgain()
    // One error for all: making thousands of them, each with its stack, would hold up the event loop.
    let error: QuorateError | undefined
    const inTime = (reader: Reader): boolean => {
      if (reader.deadlineMs > nowMs) return true
      error ??= new QuorateError(expiry.code, expiry.text)
      this.#refuse(reader, error)
      return false
    }
    this.#waiting = this.#waiting.filter(inTime)
    this.#confirmed = this.#confirmed
      .map((group) => ({ index: group.index, readers: group.readers.filter(inTime) }))
      .filter((group) => group.readers.length > 0)
  }

  rejectAll(code: ErrorCode, text: string): void {
    const all = [
      ...this.#waiting,
      ...this.#retry,
      ...[...this.#rounds.values()].flatMap((round) => round.readers),
      ...this.#confirmed.flatMap((group) => group.readers),
    ]
    this.#waiting = []
    this.#retry = []
    this.#rounds.clear()
    this.#confirmed = []
    const error = new QuorateError(code, text)
    for (const reader of all) this.#refuse(reader, error)
  }

  #finish(reader: Reader): void {
    this.#size--
    reader.resolve()
  }

  #refuse(reader: Reader, error: QuorateError): void {
    this.#size--
    reader.reject(error)
  }
}
