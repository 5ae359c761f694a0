import { assert } from '../base/index.ts'
import type { SnapshotFile, SnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { StateMachine } from './state-machine.ts'

export interface LoadTarget<Result> {
  readonly machine: StateMachine<Result>
  readonly backend: StoreBackend
  readonly snapshots: SnapshotStore
  readonly flushOperations: number
}

/**
 * Replaces the state by the one in `file`, durably. The machine hears of it before its store is emptied: whoever reads
 * meanwhile is refused, and a read that is under way ends, instead of finding nothing where something was. What
 * `beforeChunk` throws ends it half-way. Error `data-damaged`: the file is, and the store is left half full.
 */
export async function loadSnapshot<Result>(
  { machine, backend, snapshots, flushOperations }: LoadTarget<Result>,
  file: SnapshotFile,
  beforeChunk: () => void = () => undefined,
): Promise<void> {
  const flush = async (): Promise<void> => {
    for (let taken = machine.takeBatch(); taken !== undefined; taken = machine.takeBatch()) {
      await backend.commit(taken.batch)
      machine.flushed()
    }
  }
  const sink = machine.beginRestore()
  await backend.clear()
  await snapshots.load(file, async (chunk) => {
    beforeChunk()
    sink.write(chunk)
    if (machine.pending.operations > flushOperations) await flush()
  })
  sink.finish()
  await flush()
  assert(
    machine.appliedIndex === file.mark.end.index,
    'the restored state stands at the mark of the snapshot',
  )
}
