import { isQuorateError } from '../base/index.ts'
import type { Logger, Time, Timer } from '../io/index.ts'
import type { CompactionPolicy } from './config.ts'

/**
 * Compacts the history by policy while this node leads: in revision mode all but the newest `retention` revisions every
 * five minutes; in periodic mode what is older than the retention, looked at ten times in a retention (at most hourly).
 */
export interface AutoCompactionOptions {
  readonly policy: CompactionPolicy
  readonly time: Time
  readonly logger: Logger
  isLeader(): boolean
  revision(): number
  compactRevision(): number
  compact(revision: number): Promise<void>
}

const revisionIntervalMs = 5 * 60_000
const samplesPerRetention = 10
const intervalMsMax = 3_600_000 / samplesPerRetention

export class AutoCompaction {
  readonly #options: AutoCompactionOptions
  readonly #intervalMs: number
  /** Revisions as they were, oldest first: what is at least one retention old may go. */
  readonly #samples: { atMs: number; revision: number }[] = []
  #timer: Timer | undefined

  constructor(options: AutoCompactionOptions) {
    this.#options = options
    const { policy } = options
    this.#intervalMs =
      policy.kind === 'periodic'
        ? Math.min(policy.retentionMs / samplesPerRetention, intervalMsMax)
        : revisionIntervalMs
    if (policy.kind !== 'off') this.#schedule()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #schedule(): void {
    this.#timer = this.#options.time.startTimer(this.#intervalMs, () => {
      this.#run().then(
        () => this.#schedule(),
        (error: unknown) => {
          const cause = error instanceof Error ? error.message : String(error)
          this.#options.logger.log('warn', 'auto-compaction-failed', { cause })
          this.#schedule()
        },
      )
    })
  }

  async #run(): Promise<void> {
    const target = this.#target()
    const { isLeader, compactRevision, compact, logger } = this.#options
    if (!isLeader() || target === undefined || target <= compactRevision()) return
    try {
      await compact(target)
      logger.log('info', 'auto-compacted', { revision: target })
    } catch (error) {
      // Somebody else compacted further meanwhile: that is what was wanted.
      if (!isQuorateError(error, 'revision-compacted')) throw error
    }
  }

  #target(): number | undefined {
    const { policy, time, revision } = this.#options
    if (policy.kind === 'revision') return revision() - policy.retention
    if (policy.kind !== 'periodic') return undefined
    const nowMs = time.monotonicMs()
    this.#samples.push({ atMs: nowMs, revision: revision() })
    let target: number | undefined
    for (let first = this.#samples[0]; first !== undefined; first = this.#samples[0]) {
      if (nowMs - first.atMs < policy.retentionMs) break
      target = first.revision
      this.#samples.shift()
    }
    return target
  }
}
