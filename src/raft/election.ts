import { assert, type NodeId, noNode } from '../base/index.ts'
import { isSoleVoter, votersOf } from './configuration.ts'
import { type Core, reportCorruption, send } from './core.ts'
import { tally } from './quorum.ts'
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts'
import type { LogEnd, VoteRequest, VoteResponse } from './types.ts'
import { hearEnd, isAsComplete, mayVoteFor } from './vote-block.ts'

/** One tick without leading: time to campaign when nobody was heard for an election timeout. */
export function tickElection(core: Core): void {
  core.electionElapsed++
  const configuration = core.configurations.current
  // Nobody else can be disturbed or waited for.
  const isAlone = core.role === 'follower' && isSoleVoter(configuration, core.id)
  if (!isAlone && core.electionElapsed < core.electionTimeout) return
  // A disk slower than an election timeout is waited for: another term would not make it faster.
  if (core.role === 'candidate' && !core.storage.isDurable(core.term, core.vote)) return
  if (isAlone) standForElection(core, 'is the only voter')
  else standForElection(core, 'heard no leader for an election timeout')
}

/**
 * No connection with the leader is left. Whoever finds it down gets a vote; this node asks for none yet, for a network can
 * reset the connections of a leader that lives.
 */
export function handleDisconnected(core: Core, id: NodeId): void {
  if (core.role === 'follower' && core.leader === id) core.isLeaderDisconnected = true
}

/** The leader is gone: nothing of it can be waited for. Where others still hear it, the pre-vote is not won. */
export function handleDown(core: Core, id: NodeId): void {
  if (core.role !== 'follower' || core.leader !== id) return
  standForElection(core, 'found its leader down')
}

/** Asks for votes, as far as this node may, whatever time it is. */
function standForElection(core: Core, cause: string): void {
  // The lost tail may have held the entry that made this node a voter, so it asks whatever it now takes itself for.
  if (!mayVoteFor(core, core.log.end())) {
    announceEnd(core, cause)
  } else if (!core.configurations.mayCampaign(core.id, core.commitIndex)) {
    if (core.leader !== noNode) loseLeader(core, cause)
  } else if (core.role === 'follower' && isSoleVoter(core.configurations.current, core.id)) {
    campaign(core, { isTransfer: false, cause })
  } else {
    preCampaign(core, cause)
  }
}

/** Opens a term and asks for votes. */
export function campaign(core: Core, how: { readonly isTransfer: boolean; readonly cause: string }): void {
  // Since the pre-vote a more complete log may have shown itself.
  if (!mayVoteFor(core, core.log.end())) {
    loseLeader(core, 'may not vote after a cut tail')
    return
  }
  becomeCandidate(core, how.cause)
  askForVotes(core, { pre: false, transfer: how.isTransfer })
}

/** The hard state became durable: only now this node's own vote counts. */
export function countOwnVote(core: Core): void {
  if (core.role !== 'candidate' || !core.storage.isDurable(core.term, core.id)) return
  core.votes.set(core.id, true)
  decide(core)
}

export function handleVoteRequest(core: Core, request: VoteRequest): void {
  hearEnd(core, request.from, request.end)
  const isFree =
    core.vote === request.from ||
    (core.vote === noNode && core.leader === noNode) ||
    (request.pre && request.term > core.term)
  const granted =
    isFree && request.term >= core.term && mayVoteFor(core, request.end) && isUpToDate(core, request)
  if (granted && request.pre) standBack(core, request.from)
  if (granted && !request.pre) {
    assert(request.term === core.term, 'a vote is cast in the term of its request')
    core.vote = request.from
    core.electionElapsed = 0
  }
  send(core, {
    kind: 'voteResponse',
    from: core.id,
    to: request.from,
    term: granted ? request.term : core.term,
    pre: request.pre,
    granted,
  })
}

export function handleVoteResponse(core: Core, response: VoteResponse): void {
  const isAsked = response.pre ? core.role === 'pre-candidate' : core.role === 'candidate'
  // A granted pre-vote speaks of the term that is not opened yet.
  const termAsked = response.pre && response.granted ? core.term + 1 : core.term
  if (!isAsked || response.term !== termAsked) return
  if (!core.votes.has(response.from)) core.votes.set(response.from, response.granted)
  decide(core)
}

/**
 * Whether votes are refused unheard: this node leads or hears its leader. It keeps nodes that come back from a network
 * split, or that were removed, from disturbing a cluster that works.
 */
export function hearsLeader(core: Core): boolean {
  if (core.role === 'leader') return true
  if (core.leader === noNode || core.isLeaderDisconnected) return false
  return core.electionElapsed < core.options.electionTicks
}

/**
 * Another is about to take the place of the leader that was lost: to find that one down as well would only split the votes. Of
 * two that ask each other at the same time one goes on.
 */
function standBack(core: Core, other: NodeId): void {
  const isSecond = core.role === 'pre-candidate' && other < core.id
  if (core.isLeaderDisconnected || isSecond) loseLeader(core, 'gave its pre-vote to another')
}

function preCampaign(core: Core, cause: string): void {
  becomePreCandidate(core, cause)
  askForVotes(core, { pre: true, transfer: false })
  decide(core)
}

/** A node that may not vote still shows the others where its log ends. */
function announceEnd(core: Core, cause: string): void {
  loseLeader(core, `${cause} and may not vote after a cut tail`)
  askForVotes(core, { pre: true, transfer: false })
}

function loseLeader(core: Core, cause: string): void {
  becomeFollower(core, { term: core.term, leader: noNode }, cause)
}

function askForVotes(core: Core, how: { readonly pre: boolean; readonly transfer: boolean }): void {
  const end = core.log.end()
  const term = how.pre ? core.term + 1 : core.term
  for (const id of votersOf(core.configurations.current)) {
    if (id === core.id) continue
    send(core, { kind: 'voteRequest', from: core.id, to: id, term, ...how, end })
  }
}

function decide(core: Core): void {
  const result = tally(core.configurations.current, (id) => core.votes.get(id))
  if (result === 'pending') return
  if (result === 'lost') {
    loseLeader(core, `lost the ${core.role === 'candidate' ? 'election' : 'pre-vote'}`)
  } else if (core.role === 'pre-candidate') {
    campaign(core, { isTransfer: false, cause: 'won the pre-vote' })
  } else if (core.storage.isDurable(core.term, core.id)) {
    becomeLeader(core, 'won the election')
  }
}

function isUpToDate(core: Core, request: VoteRequest): boolean {
  const { end } = request
  return isSameHistory(core, request.from, end) && isAsComplete(end, core.log.end())
}

/** The same index and term with another chain cannot be: one of the two logs is damaged. */
function isSameHistory(core: Core, peer: NodeId, end: LogEnd): boolean {
  const { index, term } = end
  const own = core.log.endAt(index)
  if (own === undefined || own.term !== term || own.chain === end.chain) return true
  reportCorruption(core, { peer, index, term, chain: own.chain, peerChain: end.chain })
  return false
}
