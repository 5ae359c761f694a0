import { assert, type NodeId, noNode } from '../base/index.ts'
import { isVoter, membersOf } from './configuration.ts'
import { type Core, drawElectionTimeout, type Leadership } from './core.ts'
import { appendAsLeader } from './leader-log.ts'
import { Progress } from './progress.ts'
import { failReads } from './read-index.ts'
import { entryKind, type Role } from './types.ts'
import { mayVoteFor } from './vote-block.ts'

/** Follows `leader` (0n: nobody yet) in `term`. Gives up whatever this node was before. */
export function becomeFollower(
  core: Core,
  place: { readonly term: number; readonly leader: NodeId },
  cause: string,
): void {
  assert(place.term >= core.term, 'a term never moves back')
  assert(place.leader !== core.id, 'a node does not follow itself')
  const isNewTerm = place.term > core.term
  if (isNewTerm) {
    core.term = place.term
    core.vote = noNode
    // Only what is committed is known to be in the log of a leader that was not heard yet.
    core.verifiedIndex = core.commitIndex
    core.isAcknowledgeDue = false
  }
  changeRole(core, 'follower', place.leader, cause, isNewTerm)
}

/** Asks around before it disturbs anybody: no term is raised and no vote is cast. */
export function becomePreCandidate(core: Core, cause: string): void {
  assert(core.role !== 'leader', 'a leader does not campaign')
  assert(mayVoteFor(core, core.log.end()), 'a node that may not vote does not campaign')
  core.votes = new Map([[core.id, true]])
  changeRole(core, 'pre-candidate', noNode, cause)
}

/** Opens a new term with this node's own vote, which counts once it is durable. */
export function becomeCandidate(core: Core, cause: string): void {
  assert(core.role !== 'leader', 'a leader does not campaign')
  assert(mayVoteFor(core, core.log.end()), 'a node that may not vote does not campaign')
  core.term++
  core.vote = core.id
  core.votes = new Map()
  core.verifiedIndex = core.commitIndex
  core.isAcknowledgeDue = false
  changeRole(core, 'candidate', noNode, cause)
}

/** Leads the term it won and opens it with an entry of its own: only that one can commit what came before. */
export function becomeLeader(core: Core, cause: string): void {
  assert(core.role === 'candidate', 'only a candidate is elected')
  assert(core.storage.isDurable(core.term, core.id), 'a leader cannot forget that it voted for itself')
  changeRole(core, 'leader', core.id, cause)
  core.leadership = createLeadership(core)
  appendAsLeader(core, entryKind.noop, [new Uint8Array(0)])
}

function createLeadership(core: Core): Leadership {
  const next = core.log.lastIndex + 1
  let uncommittedBytes = 0
  for (let index = core.commitIndex + 1; index < next; index++) {
    uncommittedBytes += core.log.entryAt(index)?.payload.length ?? 0
  }
  const peers = new Map<NodeId, Progress>()
  const configuration = core.configurations.current
  for (const id of membersOf(configuration)) {
    if (id === core.id) continue
    peers.set(id, new Progress(next, core.options.inflightMax, !isVoter(configuration, id)))
  }
  return {
    peers,
    termStart: next,
    heartbeatElapsed: 0,
    round: 0,
    uncommittedBytes,
    transfer: undefined,
    isAppendDue: true,
    isCommitDue: true,
  }
}

/** One line in `roleChanges` for each change of role or leader. Readers of a lost leader get no answer any more. */
function changeRole(core: Core, role: Role, leader: NodeId, cause: string, isNewTerm = false): void {
  const isReelected = isNewTerm && leader !== noNode
  const isChange = role !== core.role || leader !== core.leader || isReelected
  if (isChange) failReads(core)
  core.role = role
  core.leader = leader
  core.leadership = undefined
  core.isLeaderDisconnected = false
  core.electionElapsed = 0
  core.electionTimeout = drawElectionTimeout(core.options, core.random)
  if (isChange) core.outbox.roleChanges.push({ role, term: core.term, leader, cause })
}
