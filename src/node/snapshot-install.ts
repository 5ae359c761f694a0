import { assert } from '../base/index.ts'
import type { Logger } from '../io/index.ts'
import type { InstallOperation, LogEnd } from '../raft/index.ts'
import type { SnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { WriteAheadLog } from '../write-ahead-log/index.ts'
import type { AppliedMembers } from './applied-members.ts'
import { loadSnapshot } from './load-snapshot.ts'
import type { GroupLimits } from './options.ts'
import { stoppedError } from './refusals.ts'
import type { ReplicaComparison } from './replica-comparison.ts'
import { type SnapshotWriter, snapshotsKept } from './snapshot-writer.ts'
import type { StateMachine } from './state-machine.ts'
import type { StateRepair } from './state-repair.ts'
import type { StoreFlusher } from './store-flusher.ts'

/**
 * Replaces the state, and mostly the log, by a snapshot that was received. It runs alone in the storage queue, and
 * while it does nothing is applied, flushed, read or cut: `isInstalling` from before the store is touched until
 * everything that says where this replica stands is at the mark of the snapshot.
 */
export interface SnapshotInstallOptions<Result> {
  readonly group: number
  readonly logger: Logger
  readonly limits: GroupLimits
  readonly log: WriteAheadLog
  readonly snapshots: SnapshotStore
  readonly backend: StoreBackend
  readonly machine: StateMachine<Result>
  readonly members: AppliedMembers
  readonly flusher: StoreFlusher<Result>
  readonly writer: SnapshotWriter<Result>
  readonly comparison: ReplicaComparison
  readonly repair: StateRepair
  /** The state is the one at `end`: what was to be applied up to there no longer is. */
  replaced(end: LogEnd): void
  /** The snapshot that ends at `index` is still to be installed. */
  isAwaited(index: number): boolean
  isStopped(): boolean
}

export class SnapshotInstall<Result> {
  readonly #options: SnapshotInstallOptions<Result>
  #isInstalling = false

  constructor(options: SnapshotInstallOptions<Result>) {
    this.#options = options
  }

  get isInstalling(): boolean {
    return this.#isInstalling
  }

  async install(operation: InstallOperation): Promise<void> {
    const { machine, backend, snapshots, log, logger, group, limits } = this.#options
    const { members, flusher, writer, comparison, repair } = this.#options
    // By its mark: while this one waited for its turn, a newer one may have come.
    const file = snapshots.list().find(({ mark }) => mark.end.index === operation.snapshot.end.index)
    assert(file !== undefined, 'the snapshot to install is here')
    this.#isInstalling = true
    await repair.marked()
    await flusher.settle()
    await loadSnapshot({ machine, backend, snapshots, limits }, file, () => {
      if (this.#options.isStopped()) throw stoppedError()
    })
    if (!operation.keepsLog) await log.reset(group, operation.end, operation.hardState)
    const { end, configuration, configurationIndex } = file.mark
    this.#options.replaced(end)
    members.replace(configurationIndex, configuration)
    writer.installed(end.index, operation.keepsLog)
    flusher.replaced(end.index)
    comparison.stateReplaced()
    logger.log('info', 'snapshot-installed', { index: end.index, bytes: file.sizeBytes })
    await snapshots.prune(snapshotsKept, (mark) => this.#options.isAwaited(mark.end.index))
    if (repair.isLost) {
      await repair.finish()
      logger.log('info', 'state-repaired', { index: end.index })
    }
    this.#isInstalling = false
  }
}
