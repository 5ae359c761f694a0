import { assert } from '../base/index.ts'
import type { SnapshotFile, SnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { FlushLimits } from './options.ts'
import type { StateMachine } from './state-machine.ts'

export interface LoadTarget<Result> {
  readonly machine: StateMachine<Result>
  readonly backend: StoreBackend
  readonly snapshots: SnapshotStore
  readonly limits: FlushLimits
}

/**
 * Replaces the state by the one in `file`, durably. The machine hears of it before its store is emptied: whoever reads
 * meanwhile is refused, and a read that is under way ends, instead of finding nothing where something was. What
 * `beforeChunk` throws ends it half-way. Error `data-damaged`: the file is, and the store is left half full.
 */
export async function loadSnapshot<Result>(
  { machine, backend, snapshots, limits }: LoadTarget<Result>,
  file: SnapshotFile,
  beforeChunk: () => void = () => undefined,
): Promise<void> {
  const commits = new Commits(machine, backend, limits)
  const sink = machine.beginRestore()
  await backend.clear()
  try {
    await snapshots.load(file, async (chunk) => {
      beforeChunk()
      sink.write(chunk)
      if (commits.isDue) await commits.start()
    })
    sink.finish()
    await commits.start()
  } finally {
    // Also where it failed: whoever tries another snapshot empties the store first.
    await commits.end()
  }
  assert(
    machine.appliedIndex === file.mark.end.index,
    'the restored state stands at the mark of the snapshot',
  )
}

/** One batch is on its way to the store while the next one gathers. */
class Commits<Result> {
  readonly #machine: StateMachine<Result>
  readonly #backend: StoreBackend
  readonly #limits: FlushLimits
  /** What is on its way. */
  #out = { operations: 0, bytes: 0 }
  #underWay: Promise<void> = Promise.resolve()

  constructor(machine: StateMachine<Result>, backend: StoreBackend, limits: FlushLimits) {
    this.#machine = machine
    this.#backend = backend
    this.#limits = limits
  }

  get isDue(): boolean {
    const { operations, bytes } = this.#machine.pending
    const { flushOperations, flushBytes } = this.#limits
    return operations - this.#out.operations > flushOperations || bytes - this.#out.bytes > flushBytes
  }

  /** Resolves when the batch before this one is durable, and this one is on its way. */
  async start(): Promise<void> {
    await this.#underWay
    const taken = this.#machine.takeBatch()
    if (taken === undefined) return
    this.#out = { ...this.#machine.pending }
    this.#underWay = this.#backend.commit(taken.batch).then(() => {
      this.#machine.flushed()
      this.#out = { operations: 0, bytes: 0 }
    })
    // Whoever waits for it next is told.
    this.#underWay.catch(() => undefined)
  }

  /** Resolves when nothing is on its way any more. Throws what the last commit threw. */
  async end(): Promise<void> {
    await this.#underWay
  }
}
