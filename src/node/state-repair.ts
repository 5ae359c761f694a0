import { assert, isQuorateError } from '../base/index.ts'
import { sleep, type Time } from '../io/index.ts'

/**
 * The state of this replica was found wrong: it is thrown away, with the snapshots that were made of it, and another
 * member gives a new one. Log, term and vote are sound and stay; the group goes on to vote and to acknowledge.
 *
 * A mark in the data directory says so from before anything is done about it until the new state is durable: whatever
 * ends the process meanwhile, the next start neither uses what is left of the wrong state nor forgets to ask.
 */
export interface StateRepairOptions {
  readonly time: Time
  /** Durable when they resolve. */
  mark(): Promise<void>
  clearMark(): Promise<void>
  /** Resolves once nothing can be read of the wrong state any more. */
  discard(): Promise<void>
  failed(error: unknown): void
}

const diskFullRetryMs = 1_000

export class StateRepair {
  readonly #options: StateRepairOptions
  #isLost = false
  #isMarked = false
  #leastIndex = 0
  #count = 0
  #marking: Promise<void> = Promise.resolve()
  /** A state that was given has not been found equal to that of a majority yet. */
  #isOnProbation = false
  #isStopped = false

  constructor(options: StateRepairOptions) {
    this.#options = options
  }

  /** There is no state that may be read, sent or applied to. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** The mark is durable: another state may be asked for. */
  get isReady(): boolean {
    return this.#isLost && this.#isMarked
  }

  /** A snapshot before this index is not the one asked for: readers here have seen later state than that. */
  get leastIndex(): number {
    return this.#leastIndex
  }

  /** How often the state was lost since the start: what was begun before the last loss is of the wrong state. */
  get count(): number {
    return this.#count
  }

  get isOnProbation(): boolean {
    return this.#isOnProbation
  }

  /** The state was lost before this start: the mark is there. */
  resume(leastIndex: number): void {
    this.#begin(leastIndex)
    this.#isMarked = true
  }

  begin(leastIndex: number): void {
    this.#begin(leastIndex)
    this.#marking = this.#markLost().catch((error: unknown) => this.#options.failed(error))
  }

  /** Resolves when nothing is written any more: the mark is there, unless the disk is full. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#marking
  }

  /** The mark, once it is begun, is durable: only then may the store be touched. */
  async marked(): Promise<void> {
    await this.#marking
  }

  /** The new state is durable, and nothing of the one before is left. */
  async finish(): Promise<void> {
    assert(this.isReady, 'a state is repaired after it was lost')
    await this.#options.clearMark()
    this.#isLost = false
    this.#isMarked = false
    this.#isOnProbation = true
  }

  /** A majority has the digest of this replica. */
  confirmed(): void {
    this.#isOnProbation = false
  }

  #begin(leastIndex: number): void {
    assert(!this.#isLost, 'a state is lost once')
    this.#isLost = true
    this.#leastIndex = leastIndex
    this.#count++
  }

  async #markLost(): Promise<void> {
    await this.#options.discard()
    for (;;) {
      try {
        await this.#options.mark()
        this.#isMarked = true
        return
      } catch (error) {
        if (!isQuorateError(error, 'disk-full')) throw error
        if (this.#isStopped) return
        await sleep(this.#options.time, diskFullRetryMs)
      }
    }
  }
}
