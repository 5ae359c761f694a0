import { assert, type ErrorCode, QuorateError } from '../base/index.ts'

/**
 * Requests that wait for an answer, by number. Each is answered exactly once: by its result, by a refusal, by the loss
 * of what could have answered it, or by its deadline. Late answers find nothing and are ignored.
 */
export class WaitingList<Result> {
  readonly bound: number
  readonly #waiters = new Map<number, Waiter<Result>>()

  constructor(bound: number) {
    this.bound = bound
  }

  get size(): number {
    return this.#waiters.size
  }

  get isFull(): boolean {
    return this.#waiters.size >= this.bound
  }

  /** The promise of the answer to request `sequence`. The list must not be full. */
  add(sequence: number, deadlineMs: number): Promise<Result> {
    assert(!this.isFull, 'whoever waits was let in')
    assert(!this.#waiters.has(sequence), 'a request waits once')
    return new Promise((resolve, reject) => {
      this.#waiters.set(sequence, { resolve, reject, deadlineMs })
    })
  }

  has(sequence: number): boolean {
    return this.#waiters.has(sequence)
  }

  resolve(sequence: number, result: Result): void {
    const waiter = this.#waiters.get(sequence)
    if (waiter === undefined) return
    this.#waiters.delete(sequence)
    waiter.resolve(result)
  }

  reject(sequence: number, error: QuorateError): void {
    const waiter = this.#waiters.get(sequence)
    if (waiter === undefined) return
    this.#waiters.delete(sequence)
    waiter.reject(error)
  }

  rejectAll(code: ErrorCode, text: string): void {
    this.rejectWhere(() => true, code, text)
  }

  rejectWhere(isLost: (sequence: number) => boolean, code: ErrorCode, text: string): void {
    // One error for all: making thousands of them, each with its stack, would hold up the event loop.
    const error = new QuorateError(code, text)
    for (const sequence of [...this.#waiters.keys()]) if (isLost(sequence)) this.reject(sequence, error)
  }

  /** Rejects with `code` everything whose deadline has passed. */
  expire(nowMs: number, code: ErrorCode, text: string): void {
    let error: QuorateError | undefined
    for (const [sequence, waiter] of this.#waiters) {
      if (waiter.deadlineMs > nowMs) continue
      error ??= new QuorateError(code, text)
      this.reject(sequence, error)
    }
  }
}

interface Waiter<Result> {
  resolve(result: Result): void
  reject(error: QuorateError): void
  readonly deadlineMs: number
}
