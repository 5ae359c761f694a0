import { assert, type NodeId, noNode, unreachable } from '../base/index.ts'
import { isVoter } from './configuration.ts'
import type {
  ConfigurationChange,
  PeerProgress,
  ProposeResult,
  RaftNode,
  RaftOptions,
  RaftRestore,
} from './contract.ts'
import { type Core, createCore, isSettled, type Leadership, send } from './core.ts'
import {
  campaign,
  countOwnVote,
  handleDisconnected,
  handleDown,
  handleVoteRequest,
  handleVoteResponse,
  hearsLeader,
  tickElection,
} from './election.ts'
import { handleAppend, handleHeartbeat, handleInstallSnapshot, loseState, takeSnapshot } from './follower.ts'
import { appendAsLeader } from './leader-log.ts'
import { logStart } from './log.ts'
import { followConfiguration, proposeChange } from './membership.ts'
import {
  askReadIndex,
  confirmRound,
  handleReadIndexRequest,
  handleReadIndexResponse,
  tickReads,
} from './read-index.ts'
import { hasReady, takeEntriesRead, takeReady } from './ready.ts'
import {
  broadcastHeartbeats,
  committableIndex,
  handleAppendResponse,
  handleSnapshotSent,
  handleUnreachable,
  hearsQuorum,
  resumePeer,
  sendEntriesRead,
  tickPeers,
} from './replication.ts'
import { becomeFollower } from './roles.ts'
import { followTransfer, startResign, startTransfer, tickTransfer } from './transfer.ts'
import { entryKind, type HeartbeatResponse, type LogEnd, type Message } from './types.ts'
import { liftVoteBlock, mayVoteFor, tickVoteBlock } from './vote-block.ts'

/** The consensus rules of one group on one node, starting as a follower with what was durable. */
export function createRaft(options: RaftOptions, restore: RaftRestore): RaftNode {
  return raftOver(startCore(options, restore))
}

/** What `createRaft` begins with. */
export function startCore(options: RaftOptions, restore: RaftRestore): Core {
  const core = createCore(options, restore)
  liftVoteBlock(core)
  return core
}

/** The rules over a state: all that a node is lies in `core`. */
export function raftOver(core: Core): RaftNode {
  return {
    id: core.id,
    get role() {
      return core.role
    },
    get term() {
      return core.term
    },
    get vote() {
      return core.vote
    },
    get leader() {
      return core.leader
    },
    get commitIndex() {
      return core.commitIndex
    },
    get appliedIndex() {
      return core.appliedIndex
    },
    get lastIndex() {
      return core.log.lastIndex
    },
    get durableIndex() {
      return core.storage.durableIndex
    },
    get durableState() {
      return core.storage.durableState
    },
    get configuration() {
      return core.configurations.current
    },
    get configurations() {
      return core.configurations.placed
    },
    endAt: (index) => core.log.endAt(index),
    get isSettledLeader() {
      return isSettled(core)
    },
    tick: () => {
      tick(core)
      settle(core)
    },
    step: (message) => {
      step(core, message)
      settle(core)
    },
    propose: (payloads) => propose(core, payloads),
    proposeConfiguration: (change) => proposeConfiguration(core, change),
    readIndex: (request) => askReadIndex(core, request),
    transferLeadership: (to) => transferLeadership(core, to),
    resign: () => resign(core),
    storageCompleted: (sequence) => {
      const free = storageCompleted(core, sequence)
      settle(core)
      return free
    },
    entriesRead: (read) => {
      if (read.to === core.id) takeEntriesRead(core, read.entries)
      else if (core.leadership !== undefined) sendEntriesRead(core, core.leadership, read)
    },
    snapshotReceived: (snapshot) => {
      if (core.role === 'leader') return
      takeSnapshot(core, snapshot)
      settle(core)
    },
    snapshotSent: (to, result, end) => {
      if (core.leadership !== undefined) handleSnapshotSent(core.leadership, { to, result, end })
    },
    peerUnreachable: (id) => {
      if (core.leadership !== undefined) handleUnreachable(core, core.leadership, id)
    },
    peerDisconnected: (id) => handleDisconnected(core, id),
    peerDown: (id) => handleDown(core, id),
    applied: (index) => applied(core, index),
    stateLost: () => loseState(core),
    released: (base) => released(core, base),
    hasReady: () => hasReady(core),
    ready: () => takeReady(core),
    progress: () => progressOf(core.leadership),
  }
}

function tick(core: Core): void {
  const { leadership } = core
  if (leadership === undefined) {
    tickReads(core)
    tickVoteBlock(core)
    tickElection(core)
    return
  }
  tickPeers(core, leadership)
  if (!hearsQuorum(core, leadership)) {
    const cause = 'heard no majority for an election timeout'
    becomeFollower(core, { term: core.term, leader: noNode }, cause)
    return
  }
  tickTransfer(core, leadership)
  if (core.leadership !== leadership) return
  leadership.heartbeatElapsed++
  if (leadership.heartbeatElapsed >= core.options.heartbeatTicks) broadcastHeartbeats(core, leadership)
}

/** Terms first: what they decide is the same for every kind of message. */
function step(core: Core, message: Message): void {
  if (message.to !== core.id || message.from === core.id || message.from === noNode) return
  if (message.kind === 'voteRequest' && !message.transfer && message.term > core.term && hearsLeader(core))
    return
  if (message.term < core.term) {
    refuseOldTerm(core, message)
    return
  }
  if (message.term > core.term && !isPreVote(message)) enterTerm(core, message)
  dispatch(core, message)
}

function dispatch(core: Core, message: Message): void {
  switch (message.kind) {
    case 'voteRequest':
      handleVoteRequest(core, message)
      break
    case 'voteResponse':
      handleVoteResponse(core, message)
      break
    case 'appendRequest':
    case 'heartbeat':
    case 'installSnapshot':
      hearLeader(core, message.from)
      dispatchToFollower(core, message)
      break
    case 'timeoutNow':
      if (message.from === core.leader) obeyTimeoutNow(core)
      break
    case 'readIndexResponse':
      handleReadIndexResponse(core, message)
      break
    case 'appendResponse':
    case 'heartbeatResponse':
    case 'readIndexRequest':
      if (core.leadership !== undefined) dispatchToLeader(core, core.leadership, message)
      break
    default:
      unreachable(message, 'a message has a known kind')
  }
}

function dispatchToFollower(
  core: Core,
  message: Extract<Message, { kind: 'appendRequest' | 'heartbeat' | 'installSnapshot' }>,
): void {
  if (message.kind === 'appendRequest') handleAppend(core, message)
  else if (message.kind === 'heartbeat') handleHeartbeat(core, message)
  else handleInstallSnapshot(core, message)
}

function dispatchToLeader(
  core: Core,
  leadership: Leadership,
  message: Extract<Message, { kind: 'appendResponse' | 'heartbeatResponse' | 'readIndexRequest' }>,
): void {
  if (message.kind === 'appendResponse') handleAppendResponse(core, leadership, message)
  else if (message.kind === 'heartbeatResponse') handleHeartbeatResponse(core, leadership, message)
  else handleReadIndexRequest(core, leadership, message)
}

function handleHeartbeatResponse(core: Core, leadership: Leadership, response: HeartbeatResponse): void {
  const peer = leadership.peers.get(response.from)
  if (peer === undefined || response.round > leadership.round) return
  peer.silentTicks = 0
  peer.ackedRound = Math.max(peer.ackedRound, response.round)
  resumePeer(core, leadership, peer)
  confirmRound(core, leadership)
}

/** A pre-vote, asked or granted, speaks of a term that nobody has opened. */
function isPreVote(message: Message): boolean {
  if (message.kind === 'voteRequest') return message.pre
  return message.kind === 'voteResponse' && message.pre && message.granted
}

function enterTerm(core: Core, message: Message): void {
  const { kind, term } = message
  const isLeaders = kind === 'appendRequest' || kind === 'heartbeat' || kind === 'installSnapshot'
  const leader = isLeaders ? message.from : noNode
  becomeFollower(core, { term, leader }, isLeaders ? 'heard the leader of a later term' : 'met a later term')
}

/** The sender lags behind: a deposed leader or candidate has to learn it, anything else is only late. */
function refuseOldTerm(core: Core, message: Message): void {
  const { from: to, kind } = message
  const { id: from, term } = core
  if (kind === 'voteRequest') {
    send(core, { kind: 'voteResponse', from, to, term, pre: message.pre, granted: false })
  } else if (kind === 'appendRequest' || kind === 'heartbeat' || kind === 'installSnapshot') {
    const refusal = { accepted: false, index: 0, hint: logStart, forget: false }
    send(core, { kind: 'appendResponse', from, to, term, ...refusal })
  }
}

function hearLeader(core: Core, leader: NodeId): void {
  assert(core.role !== 'leader', 'a term has one leader')
  assert(core.leader === noNode || core.leader === leader, 'a term has one leader')
  if (core.role === 'follower' && core.leader === leader) {
    core.electionElapsed = 0
    core.isLeaderDisconnected = false
  } else becomeFollower(core, { term: core.term, leader }, 'heard the leader')
}

function obeyTimeoutNow(core: Core): void {
  const mayCampaign = isVoter(core.configurations.current, core.id) && mayVoteFor(core, core.log.end())
  if (core.role === 'leader' || !mayCampaign) return
  campaign(core, { isTransfer: true, cause: 'was asked to take over' })
}

function propose(core: Core, payloads: readonly Uint8Array[]): ProposeResult {
  const { leadership } = core
  if (leadership === undefined) return { ok: false, reason: 'not-leader' }
  if (leadership.transfer !== undefined) return { ok: false, reason: 'transferring' }
  let bytes = leadership.uncommittedBytes
  for (const payload of payloads) bytes += payload.length
  const isOverloaded = bytes > core.options.uncommittedBytesMax && leadership.uncommittedBytes > 0
  if (isOverloaded) return { ok: false, reason: 'overloaded' }
  const index = appendAsLeader(core, entryKind.command, payloads)
  return { ok: true, index, term: core.term }
}

function proposeConfiguration(core: Core, change: ConfigurationChange): ProposeResult {
  const { leadership } = core
  if (leadership === undefined) return { ok: false, reason: 'not-leader' }
  const result = proposeChange(core, leadership, change)
  settle(core)
  return result
}

function transferLeadership(core: Core, to: NodeId): ProposeResult {
  const { leadership } = core
  if (leadership === undefined) return { ok: false, reason: 'not-leader' }
  const result = startTransfer(core, leadership, to)
  settle(core)
  return result
}

function resign(core: Core): void {
  if (core.leadership === undefined) return
  startResign(core, core.leadership)
  settle(core)
}

function storageCompleted(core: Core, sequence: number): readonly Message[] {
  const free = core.storage.completed(sequence)
  countOwnVote(core)
  if (core.leadership !== undefined) core.leadership.isCommitDue = true
  return free
}

function applied(core: Core, index: number): void {
  assert(index <= core.deliveredIndex, 'only what was handed out is applied')
  core.appliedIndex = Math.max(core.appliedIndex, index)
}

function released(core: Core, base: LogEnd): void {
  assert(base.index <= core.appliedIndex, 'only what is applied is released')
  if (base.index > core.log.base.index) core.log.release(base)
}

/** What follows from every input: the commit index moves as far as it can, and what waited for it goes on. */
function settle(core: Core): void {
  liftVoteBlock(core)
  const { leadership } = core
  if (leadership === undefined) return
  while (core.leadership === leadership && leadership.isCommitDue) {
    leadership.isCommitDue = false
    const index = committableIndex(core, leadership)
    if (index === undefined) break
    commitAsLeader(core, leadership, index)
    followConfiguration(core, leadership)
  }
  if (core.leadership !== leadership) return
  followTransfer(core, leadership)
  // With fewer voters the answers that came before can be enough, and no other need ever come.
  confirmRound(core, leadership)
}

function commitAsLeader(core: Core, leadership: Leadership, index: number): void {
  for (let i = core.commitIndex + 1; i <= index; i++) {
    leadership.uncommittedBytes -= core.log.entryAt(i)?.payload.length ?? 0
  }
  assert(leadership.uncommittedBytes >= 0, 'what is committed was counted before')
  core.commitIndex = index
  // The peers are told as soon as there is room, not only with the next entry.
  leadership.isAppendDue = true
}

function progressOf(leadership: Leadership | undefined): ReadonlyMap<NodeId, PeerProgress> {
  const progress = new Map<NodeId, PeerProgress>()
  for (const [id, peer] of leadership?.peers ?? []) {
    const { match, next, state, inflight, silentTicks, isLearner } = peer
    progress.set(id, { match, next, state, inflight, silentTicks, isLearner })
  }
  return progress
}
