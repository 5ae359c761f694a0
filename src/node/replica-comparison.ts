import { formatId, type NodeId } from '../base/index.ts'
import type { Logger, Time } from '../io/index.ts'
import type { Corruption, RaftNode } from '../raft/index.ts'
import { DigestComparison } from './digest-comparison.ts'
import type { NodeMessage } from './node-message-codec.ts'
import type { GroupLimits } from './options.ts'
import { corruptError } from './refusals.ts'
import type { StateMachine } from './state-machine.ts'
import type { StateRepair } from './state-repair.ts'

/**
 * What this replica finds out by comparing itself with the others, and what follows. A state that a majority of the
 * voters contradicts is thrown away; where no majority agrees, or a state that was given anew is wrong again, the node
 * ends. Logs that differ are only told: which of the two is damaged is not known here, and nothing was taken over.
 * Called in the group's turn; `stateReplaced` while a snapshot is installed, when nothing is applied or judged.
 */
export interface ReplicaComparisonOptions {
  readonly nodeId: NodeId
  readonly raft: RaftNode
  readonly time: Time
  readonly logger: Logger
  readonly limits: GroupLimits
  readonly machine: Pick<StateMachine<unknown>, 'digest'>
  readonly repair: StateRepair
  send(to: NodeId, message: NodeMessage): boolean
  /** The state of this replica is wrong. */
  loseState(cause: string): void
  /** Runs `action` in a turn of the group; what it throws ends the group. */
  event(action: () => void): void
}

export class ReplicaComparison {
  readonly #options: ReplicaComparisonOptions
  readonly #digests = new DigestComparison()
  /** The voters' states differ, and nobody knows which is right: this node is about to end. */
  #isUndecided = false
  #problem: string | undefined
  /** What was told last. A peer that was not there to hear it hears it again. */
  #told: { readonly index: number; readonly digest: number } | undefined
  #ticksSinceTold = 0

  constructor(options: ReplicaComparisonOptions) {
    this.#options = options
  }

  /** What a human has to hear of the log. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** The entry at `index` was applied here. */
  applied(index: number): void {
    if (!this.#digests.isDue(index)) return
    const { digest } = this.#options.machine
    this.#digests.own(index, digest)
    this.#told = { index, digest }
    this.#tell()
  }

  /** A message can get lost, and then the states would go uncompared for a thousand entries more. */
  tick(): void {
    this.#ticksSinceTold++
    if (this.#ticksSinceTold >= this.#options.limits.electionTicks) this.#tell()
  }

  reported(from: NodeId, report: { index: number; digest: number }): void {
    this.#digests.reported(from, report)
  }

  /** What this replica said of the state before is over. */
  stateReplaced(): void {
    this.#digests.forgetOwn()
    this.#told = undefined
  }

  /** Draws the conclusions of what was reported since the last call. Throws `replica-corrupt`. */
  judge(): void {
    const { raft, nodeId, repair } = this.#options
    const verdict = this.#digests.judge(raft.configuration.voters, nodeId)
    if (verdict?.kind === 'agrees') repair.confirmed()
    else if (verdict?.kind === 'undecided') this.#stopUndecided(verdict.index)
    else if (verdict?.kind === 'differs') {
      if (repair.isOnProbation) throw corruptError(differsAgainText(verdict.index))
      this.#options.loseState(
        `the state at index ${verdict.index} differs from that of a majority of the voters`,
      )
    }
  }

  logsDiffer({ peer, index, term, chain, peerChain }: Corruption): void {
    const problem = `CORRUPT: the log differs from that of member ${formatId(peer)} at index ${index}`
    if (this.#problem === problem) return
    this.#problem = problem
    this.#options.logger.log('error', 'logs-differ', { peer, index, term, chain, peerChain })
  }

  #tell(): void {
    this.#ticksSinceTold = 0
    if (this.#told === undefined) return
    const { raft, nodeId } = this.#options
    const { voters, learners } = raft.configuration
    for (const peer of [...voters, ...learners]) {
      if (peer !== nodeId) this.#options.send(peer, { kind: 'digest', ...this.#told })
    }
  }

  /** Not at once: the others cannot judge without this node's digest, which may still be on its way. */
  #stopUndecided(index: number): void {
    if (this.#isUndecided) return
    this.#isUndecided = true
    const { time, limits, logger } = this.#options
    logger.log('error', 'states-differ', { index })
    time.startTimer(limits.tickMs * limits.electionTicks, () =>
      this.#options.event(() => {
        throw corruptError(undecidedText(index))
      }),
    )
  }
}

function undecidedText(index: number): string {
  return (
    `the voters' states at index ${index} differ and no majority has the same, so none is known to be right. Start ` +
    'them again, give the leadership to the one that is to count, and replace the others: remove each and add it ' +
    'again with an empty data directory.'
  )
}

function differsAgainText(index: number): string {
  return (
    `the state at index ${index} differs again from that of a majority, although the leader gave it anew: this member ` +
    'computes something else than the others. Look for a different version of the program, or bad memory.'
  )
}
