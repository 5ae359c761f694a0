import type { NodeId } from '../base/index.ts'
import { isSoleVoter } from './configuration.ts'
import { type Core, deliverableIndex } from './core.ts'
import { hasQuorum } from './quorum.ts'
import type { LogEnd } from './types.ts'

/**
 * After a cut tail. What this node lost it may have acknowledged, and then its vote could elect a leader without it. So it
 * votes only for a log as complete as every log that it was shown, and only once so many were shown that an entry which it
 * helped to commit is in one of them. In a cluster that lost power at once all show theirs within two election timeouts.
 *
 * It does not last for ever, for whoever has not shown a log may be gone for good, and the tail is nearly always one that
 * was never acknowledged (docs/decisions/0026-vote-after-a-cut-tail.md).
 */
export interface VoteBlock {
  /** Where the logs of others ended that they showed since this node started. */
  readonly heard: Map<NodeId, LogEnd>
  ticks: number
}

const blockedElectionTimeoutsMax = 10

/** Whether a vote for a log that ends at `end`, this node's own or another's, cannot lose what this node may have lost. */
export function mayVoteFor(core: Core, end: LogEnd): boolean {
  const { voteBlock, id } = core
  if (voteBlock === undefined) return true
  const { heard } = voteBlock
  const { current } = core.configurations
  // A new node whose first entries were torn does not know who counts.
  if (current.voters.length === 0) return false
  if (hasQuorum(current, (voter) => voter === id || !heard.has(voter))) return false
  for (const shown of heard.values()) if (!isAsComplete(end, shown)) return false
  return true
}

/** `from` asks for a vote, and so shows where its log ends. */
export function hearEnd(core: Core, from: NodeId, end: LogEnd): void {
  core.voteBlock?.heard.set(from, end)
}

export function tickVoteBlock(core: Core): void {
  if (core.voteBlock === undefined) return
  core.voteBlock.ticks++
  liftVoteBlock(core)
}

/** Ends it when the durable log has passed the old end, when there is nobody to hear, and when it lasted long enough. */
export function liftVoteBlock(core: Core): void {
  const { voteBlock } = core
  if (voteBlock === undefined) return
  const isLate = voteBlock.ticks >= blockedElectionTimeoutsMax * core.options.electionTicks
  const isAlone = isSoleVoter(core.configurations.current, core.id)
  if (isLate || isAlone || deliverableIndex(core) >= core.cutEnd) core.voteBlock = undefined
}

/** Of two logs the one with the later last term is more complete, of equal terms the longer one. */
export function isAsComplete(end: LogEnd, other: LogEnd): boolean {
  return end.term > other.term || (end.term === other.term && end.index >= other.index)
}
