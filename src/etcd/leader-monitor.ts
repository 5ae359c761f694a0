import { QuorateError } from '../base/index.ts'
import type { Timer } from '../io/index.ts'
import type { EtcdDependencies } from './dependencies.ts'

/** Election timeouts without a leader after which streams that asked for one end. */
const leaderlessTimeoutsMax = 3

type End = (error: unknown) => void

/**
 * Ends the streams whose client asked for a leader once this member has known none for three election timeouts,
 * so that the client goes to a member on the other side of a partition. Its timer runs only while there are any.
 */
export class LeaderMonitor {
  readonly #from: EtcdDependencies
  readonly #streams = new Set<End>()
  #timer: Timer | undefined
  #leaderlessTimeouts = 0

  constructor(from: EtcdDependencies) {
    this.#from = from
  }

  add(end: End): void {
    this.#streams.add(end)
    this.#timer ??= this.#start()
  }

  remove(end: End): void {
    if (!this.#streams.delete(end) || this.#streams.size > 0) return
    this.#timer?.cancel()
    this.#timer = undefined
    this.#leaderlessTimeouts = 0
  }

  #start(): Timer {
    return this.#from.time.startTimer(this.#from.options.electionTimeoutMs, () => this.#look())
  }

  #look(): void {
    this.#timer = this.#start()
    this.#leaderlessTimeouts = this.#from.group.leader === 0n ? this.#leaderlessTimeouts + 1 : 0
    if (this.#leaderlessTimeouts < leaderlessTimeoutsMax) return
    for (const end of [...this.#streams]) {
      this.remove(end)
      end(new QuorateError('no-leader', `no leader for ${leaderlessTimeoutsMax} election timeouts`))
    }
  }
}
