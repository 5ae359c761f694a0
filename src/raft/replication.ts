import { assert, emptyBytes, type NodeId, present } from '../base/index.ts'
import { type Core, type Leadership, reportCorruption, send } from './core.ts'
import type { Progress } from './progress.ts'
import { hasQuorum, quorumIndex } from './quorum.ts'
import type { AppendResponse, Entry, LogEnd } from './types.ts'

/** Sends every peer what it may be sent now. Called once a `ready`, so that what gathered leaves as one batch. */
export function flushAppends(core: Core, leadership: Leadership): void {
  if (!leadership.isAppendDue) return
  leadership.isAppendDue = false
  for (const [id, peer] of leadership.peers) {
    while (peer.canSend && sendNext(core, id, peer)) {
      assert(peer.inflight <= core.options.inflightMax, 'appends under way are bounded')
    }
  }
}

/** A heartbeat to every peer opens a new round: an answer to it proves that this node led when the round began. */
export function broadcastHeartbeats(core: Core, leadership: Leadership): number {
  const round = ++leadership.round
  leadership.heartbeatElapsed = 0
  for (const [id, peer] of leadership.peers) {
    send(core, {
      kind: 'heartbeat',
      from: core.id,
      to: id,
      term: core.term,
      commit: Math.min(core.commitIndex, peer.match),
      round,
      context: emptyBytes,
    })
  }
  return round
}

/** An answer to a heartbeat: the peer lives, so whatever it left unanswered is tried again. */
export function resumePeer(core: Core, leadership: Leadership, peer: Progress): void {
  peer.resume()
  if (peer.state === 'snapshot') return
  peer.isPingDue = peer.match < core.log.lastIndex
  if (peer.isPingDue || peer.state === 'probe') leadership.isAppendDue = true
}

export function handleAppendResponse(core: Core, leadership: Leadership, response: AppendResponse): void {
  const peer = leadership.peers.get(response.from)
  if (peer === undefined) return
  peer.silentTicks = 0
  if (response.accepted) accepted(core, leadership, peer, response.index)
  else refused(core, peer, response)
  leadership.isAppendDue = true
}

/** Entries of the log that memory no longer had, for one lagging peer. None: they are gone from disk too. */
export function sendEntriesRead(
  core: Core,
  leadership: Leadership,
  read: { to: NodeId; entries: readonly Entry[]; previous: LogEnd | undefined },
): void {
  const peer = leadership.peers.get(read.to)
  if (peer?.reading === undefined) return
  peer.reading = undefined
  leadership.isAppendDue = true
  const [first] = read.entries
  if (first === undefined) {
    wantSnapshot(core, read.to, peer)
    return
  }
  // The peer may have moved meanwhile; then the next flush asks again.
  if (first.index !== peer.next || !peer.canSend) return
  const previous = present(read.previous, 'what is read from the log has an entry before it')
  assert(previous.index === first.index - 1, 'the entry before is the one before')
  sendAppend(core, { id: read.to, peer }, previous, read.entries)
}

export function handleSnapshotSent(
  leadership: Leadership,
  sent: { readonly to: NodeId; readonly result: 'delivered' | 'failed'; readonly end: LogEnd },
): void {
  const peer = leadership.peers.get(sent.to)
  if (peer === undefined || peer.state !== 'snapshot') return
  leadership.isAppendDue = true
  if (sent.result === 'delivered') {
    peer.snapshotDelivered = sent.end.index
    return
  }
  peer.becomeProbe(peer.match + 1)
  peer.pause()
}

/** What was under way to this peer may be lost. */
export function handleUnreachable(core: Core, leadership: Leadership, id: NodeId): void {
  const peer = leadership.peers.get(id)
  if (peer === undefined || peer.state !== 'replicate') return
  assert(peer.match <= core.log.lastIndex, 'a peer matches only what this log has')
  peer.becomeProbe(peer.match + 1)
  peer.pause()
}

/** One tick for every peer. A delivered snapshot that nobody reports installed is not waited for for ever. */
export function tickPeers(core: Core, leadership: Leadership): void {
  for (const peer of leadership.peers.values()) {
    peer.silentTicks++
    const index = peer.snapshotDelivered
    if (index === undefined || peer.takeSnapshotTick() < core.options.electionTicks) continue
    peer.becomeProbe(Math.max(index, peer.match) + 1)
    leadership.isAppendDue = true
  }
}

/** Whether a majority was heard within an election timeout; a leader that was not must not lead on. */
export function hearsQuorum(core: Core, leadership: Leadership): boolean {
  return hasQuorum(core.configurations.current, (id) => {
    if (id === core.id) return true
    const peer = leadership.peers.get(id)
    return peer !== undefined && peer.silentTicks <= core.options.electionTicks
  })
}

/**
 * The highest index that is on the disks of a quorum, when it is of the present term (the paper's section 5.4.2:
 * entries of older terms are committed only by one of the present term that follows them). Else undefined.
 */
export function committableIndex(core: Core, leadership: Leadership): number | undefined {
  const index = quorumIndex(core.configurations.current, (id) =>
    id === core.id ? core.storage.durableIndex : (leadership.peers.get(id)?.match ?? 0),
  )
  if (index <= core.commitIndex) return undefined
  assert(index <= core.log.lastIndex, 'only what the log has is replicated')
  return core.log.termAt(index) === core.term ? index : undefined
}

function accepted(core: Core, leadership: Leadership, peer: Progress, index: number): void {
  // No peer can match more than it was sent: the message is not of this leadership's making.
  if (index > core.log.lastIndex || index < peer.match) return
  if (peer.acknowledged(index)) leadership.isCommitDue = true
  if (peer.state === 'replicate') return
  // A peer that waits for a snapshot has it, or no longer needs it, once the log goes on where it ends.
  if (peer.state === 'probe' || index >= core.log.base.index) peer.becomeReplicate()
}

function refused(core: Core, peer: Progress, response: AppendResponse): void {
  if (response.forget && (peer.state === 'replicate' || response.hint.index < peer.match)) {
    forget(core, peer, response.hint)
    return
  }
  // Answers overtake each other: only a refusal of what is now believed says something.
  if (peer.state === 'snapshot' || response.index <= peer.match) return
  if (peer.state === 'probe' && response.index !== peer.next - 1) return
  const { hint } = response
  const own = core.log.endAt(hint.index)
  if (own !== undefined && own.term === hint.term && own.chain !== hint.chain) {
    const evidence = { index: hint.index, term: hint.term, chain: own.chain, peerChain: hint.chain }
    reportCorruption(core, { peer: response.from, ...evidence })
    return
  }
  const highest = core.log.lastIndexWithin(hint.term, hint.index)
  const agreed = highest ?? Math.min(hint.index, response.index - peer.takeStepBack())
  // Each refusal leads further back, or two logs could go on for ever comparing the same entry.
  peer.becomeProbe(Math.max(peer.match, Math.min(agreed, response.index - 1)) + 1)
}

/**
 * The peer has no more than `hint`. Where that is an entry of this log, all up to it is there. Else (an older copy of its
 * disk, or an entry that memory does not know) nothing is certain, and the logs are compared from there on down.
 */
function forget(core: Core, peer: Progress, hint: LogEnd): void {
  const own = core.log.endAt(hint.index)
  const isOwn = own !== undefined && own.term === hint.term && own.chain === hint.chain
  const agreed = core.log.lastIndexWithin(hint.term, hint.index) ?? hint.index
  peer.forget(isOwn ? hint.index : 0, agreed + 1)
}

/** Sends one append. True when another one may follow at once. */
function sendNext(core: Core, id: NodeId, peer: Progress): boolean {
  const { next } = peer
  if (next > core.log.lastIndex) {
    const isTold = peer.commitSent >= Math.min(core.commitIndex, peer.match)
    if (peer.state === 'replicate' && isTold && !peer.isPingDue) return false
    sendAppend(core, { id, peer }, core.log.end(), [])
    return false
  }
  if (next < core.log.firstIndex) {
    if (next > core.log.base.index) wantEntries(core, id, peer)
    else wantSnapshot(core, id, peer)
    return false
  }
  const previous = present(core.log.endAt(next - 1), 'the entry before the window is known')
  const entries = core.log.slice(next, core.log.lastIndex + 1, core.options.appendBytesMax)
  sendAppend(core, { id, peer }, previous, entries)
  return true
}

function sendAppend(
  core: Core,
  target: { readonly id: NodeId; readonly peer: Progress },
  previous: LogEnd,
  entries: readonly Entry[],
): void {
  const { id, peer } = target
  const last = previous.index + entries.length
  assert(last <= core.log.lastIndex, 'only what the log has is sent')
  const commit = core.commitIndex
  send(core, { kind: 'appendRequest', from: core.id, to: id, term: core.term, previous, entries, commit })
  peer.commitSent = Math.min(commit, last)
  peer.sent(last)
}

function wantEntries(core: Core, id: NodeId, peer: Progress): void {
  peer.reading = peer.next
  core.outbox.logReads.push({
    to: id,
    first: peer.next,
    end: core.log.firstIndex,
    bytesMax: core.options.appendBytesMax,
  })
}

function wantSnapshot(core: Core, id: NodeId, peer: Progress): void {
  assert(peer.state !== 'snapshot', 'a snapshot is asked for once')
  peer.becomeSnapshot()
  core.outbox.snapshotsWanted.push(id)
}
