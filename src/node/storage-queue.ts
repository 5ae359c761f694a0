import { assert, isQuorateError } from '../base/index.ts'
import type { InstallOperation, StorageOperation, WriteOperation } from '../raft/index.ts'
import type { WriteAheadLog } from '../write-ahead-log/index.ts'

/**
 * Performs a group's storage operations strictly in order: log writes go to the write-ahead log as they come (it
 * merges what gathers into one durable write), an install waits until all before it is durable and holds up all
 * after it. Completions are reported in order.
 *
 * A full disk is not the end: what could not be written is kept, in order, and tried again by `retry`. Nothing of it
 * was reported, so nothing was acknowledged. Every other failure is final.
 *
 * A disk that does not answer is no failure either, since nothing is known of it: `ticksUnderWay` says for how long.
 */
export interface StorageQueueOptions {
  readonly group: number
  readonly log: WriteAheadLog
  install(operation: InstallOperation): Promise<void>
  completed(operation: StorageOperation): void
  /** The disk became full (true) or took writes again (false). */
  diskFull(isFull: boolean): void
  failed(error: unknown): void
}

export class StorageQueue {
  readonly #options: StorageQueueOptions
  #queue: StorageOperation[] = []
  /** Handed to the log and not yet reported. */
  #underWay: WriteOperation[] = []
  /** Came back because the disk is full, oldest first. */
  #refused: WriteOperation[] = []
  #installing: InstallOperation | undefined
  #install: Promise<void> = Promise.resolve()
  #isDiskFull = false
  #ticksUnderWay = 0
  #isStopped = false

  constructor(options: StorageQueueOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#queue.length + this.#underWay.length + this.#refused.length
  }

  get isDiskFull(): boolean {
    return this.#isDiskFull
  }

  /** Ticks that have passed since the oldest log write that is under way began, or the one before it ended. */
  get ticksUnderWay(): number {
    return this.#ticksUnderWay
  }

  /** A snapshot is about to replace the state, or does. */
  get hasInstall(): boolean {
    return this.#installs.length > 0
  }

  /** The snapshot that ends at `index` waits to be installed, or is being installed: its file is needed. */
  awaits(index: number): boolean {
    return this.#installs.some(({ snapshot }) => snapshot.end.index === index)
  }

  push(operation: StorageOperation): void {
    this.#queue.push(operation)
    this.#pump()
  }

  /** Once a tick. Tries again what a full disk refused. */
  tick(): void {
    this.#ticksUnderWay = this.#underWay.length === 0 ? 0 : this.#ticksUnderWay + 1
    this.#retry()
  }

  #retry(): void {
    if (!this.#isDiskFull || this.#isStopped || this.#underWay.length > 0) return
    this.#queue = [...this.#refused, ...this.#queue]
    this.#refused = []
    const first = this.#queue.shift()
    assert(first?.kind === 'write', 'a full disk leaves a write to try again')
    // Only the oldest is tried: the others follow once it went through.
    this.#write(first)
  }

  stop(): void {
    this.#isStopped = true
    this.#queue = []
  }

  /** Resolves when no install is under way. */
  async settle(): Promise<void> {
    await this.#install
  }

  get #installs(): InstallOperation[] {
    const waiting = this.#queue.filter((operation) => operation.kind === 'install')
    return this.#installing === undefined ? waiting : [this.#installing, ...waiting]
  }

  #pump(): void {
    while (this.#installing === undefined && !this.#isDiskFull && !this.#isStopped) {
      const operation = this.#queue[0]
      if (operation === undefined) return
      if (operation.kind === 'install') {
        if (this.#underWay.length === 0) this.#startInstall(operation)
        return
      }
      this.#queue.shift()
      this.#write(operation)
    }
  }

  #write(operation: WriteOperation): void {
    this.#underWay.push(operation)
    const { group, log } = this.#options
    const { hardState, truncateAfter, entries } = operation
    log
      .write({ group, hardState, truncateAfter, entries })
      .then(
        () => this.#written(operation),
        (error: unknown) => this.#writeFailed(operation, error),
      )
      .catch((error: unknown) => this.#fail(error))
  }

  #written(operation: WriteOperation): void {
    const first = this.#underWay.shift()
    assert(first === operation, 'writes complete in the order they were made')
    this.#ticksUnderWay = 0
    if (this.#isStopped) return
    if (this.#isDiskFull) {
      this.#isDiskFull = false
      this.#options.diskFull(false)
    }
    this.#options.completed(operation)
    this.#pump()
  }

  #writeFailed(operation: WriteOperation, error: unknown): void {
    const first = this.#underWay.shift()
    assert(first === operation, 'writes fail in the order they were made')
    if (this.#isStopped) return
    if (!isQuorateError(error, 'disk-full')) {
      this.#fail(error)
      return
    }
    this.#refused.push(operation)
    if (this.#isDiskFull) return
    this.#isDiskFull = true
    this.#options.diskFull(true)
  }

  #startInstall(operation: InstallOperation): void {
    this.#installing = operation
    this.#queue.shift()
    this.#install = this.#options
      .install(operation)
      .then(() => {
        this.#installing = undefined
        if (this.#isStopped) return
        this.#options.completed(operation)
        this.#pump()
      })
      .catch((error: unknown) => this.#fail(error))
  }

  #fail(error: unknown): void {
    this.stop()
    this.#options.failed(error)
  }
}
