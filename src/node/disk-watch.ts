import type { Logger } from '../io/index.ts'
import type { RaftView } from '../raft/index.ts'
import type { GroupLimits } from './options.ts'
import type { StorageQueue } from './storage-queue.ts'

export interface DiskWatchOptions {
  readonly raft: RaftView
  readonly storage: Pick<StorageQueue, 'ticksUnderWay'>
  readonly limits: GroupLimits
  readonly logger: Logger
}

/**
 * Notices a disk that does not answer, while another member has stored what was to be written: this member answers nothing
 * any more, and as a leader it would hold up everyone who asks it, and whoever needs entries that only its disk has. Where the
 * others are as slow, nobody leads better.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  #ticksBehind = 0
  #isBehind = false

  constructor(options: DiskWatchOptions) {
    this.#options = options
  }

  /** It has been so for an election timeout. */
  get isBehind(): boolean {
    return this.#isBehind
  }

  tick(): void {
    const { raft, storage, limits, logger } = this.#options
    const { commitIndex, durableIndex } = raft
    const stored = Math.max(commitIndex, ...[...raft.progress().values()].map(({ match }) => match))
    const isWaiting = storage.ticksUnderWay > 0 && stored > durableIndex
    this.#ticksBehind = isWaiting ? Math.min(this.#ticksBehind + 1, storage.ticksUnderWay) : 0
    const isBehind = this.#ticksBehind >= limits.electionTicks
    if (isBehind === this.#isBehind) return
    this.#isBehind = isBehind
    logger.log(isBehind ? 'error' : 'info', isBehind ? 'disk-hung' : 'disk-answers', { stored, durableIndex })
  }
}
