import { assert, present } from '../base/index.ts'
import { chainAfter } from './chain.ts'
import { type Core, reportCorruption, send } from './core.ts'
import { enterConfiguration } from './leader-log.ts'
import {
  type AppendRequest,
  type Entry,
  entryKind,
  type Heartbeat,
  type InstallSnapshot,
  type LogEnd,
  type SnapshotMark,
} from './types.ts'

/** An append of this term's leader. Nothing of a message is taken unless all of it fits. */
export function handleAppend(core: Core, request: AppendRequest): void {
  if (!isContiguous(request)) return
  if (!attaches(core, request)) return
  const firstNew = findFirstNew(core, request)
  if (firstNew === undefined) return
  if (!continuesChain(core, request, firstNew)) return
  take(core, request.entries, firstNew)
  const last = request.previous.index + request.entries.length
  core.verifiedIndex = Math.max(core.verifiedIndex, last)
  core.isAcknowledgeDue = true
  followCommit(core, Math.min(request.commit, last))
}

export function handleHeartbeat(core: Core, heartbeat: Heartbeat): void {
  // Beyond what was compared with this leader's log, its commit index says nothing about the entries here.
  followCommit(core, Math.min(heartbeat.commit, core.verifiedIndex))
  const { from: to, round, context } = heartbeat
  assert(core.leader === to, 'a heartbeat comes from the leader')
  // The leader counts this node further than it can confirm: it restarted, and would wait for ever in a quiet cluster.
  if (heartbeat.commit > core.verifiedIndex) {
    sendRefusal(core, { index: heartbeat.commit, hint: core.log.end(), forget: true })
  }
  send(core, { kind: 'heartbeatResponse', from: core.id, to, term: core.term, round, context })
}

/** A snapshot is on its way, outside of raft. One that brings nothing new is answered at once. */
export function handleInstallSnapshot(core: Core, message: InstallSnapshot): void {
  if (message.snapshot.end.index <= core.commitIndex) core.isAcknowledgeDue = true
}

/**
 * The bytes of a snapshot are here, complete and checked. An older one than what is committed here is ignored; one
 * that the log agrees with only moves the commit index; any other replaces state and log. Where the state was lost the
 * first two give it back, and the log stays.
 */
export function takeSnapshot(core: Core, snapshot: SnapshotMark): void {
  const { end } = snapshot
  assert(core.role !== 'leader', 'a leader needs no snapshot')
  if (core.role === 'follower') core.isAcknowledgeDue = true
  if (end.index <= core.commitIndex) {
    if (core.isStateLost) restoreState(core, snapshot)
    return
  }
  const own = core.log.endAt(end.index)
  const isSameEntry = own !== undefined && own.term === end.term
  if (isSameEntry && own.chain !== end.chain) {
    const { index, term, chain: peerChain } = end
    reportCorruption(core, { peer: core.leader, index, term, chain: own.chain, peerChain })
    core.isAcknowledgeDue = false
    return
  }
  core.verifiedIndex = Math.max(core.verifiedIndex, end.index)
  if (isSameEntry) {
    followCommit(core, end.index)
    if (core.isStateLost) restoreState(core, snapshot)
    return
  }
  core.isStateLost = false
  core.storage.installed(snapshot, core.commitIndex)
  core.log.reset(end)
  core.configurations.reset(snapshot.configurationIndex, snapshot.configuration)
  core.commitIndex = end.index
  core.deliveredIndex = end.index
  core.appliedIndex = Math.max(core.appliedIndex, end.index)
  core.verifiedIndex = end.index
  core.readBack = []
  core.isReadingBack = false
}

/** What was handed out and not applied is forgotten: it comes again behind the snapshot that brings a state. */
export function loseState(core: Core): void {
  core.isStateLost = true
  core.readBack = []
  core.isReadingBack = false
}

/** A committed snapshot becomes the state; applying goes on behind it, with what the log has had all along. */
function restoreState(core: Core, snapshot: SnapshotMark): void {
  const { end } = snapshot
  // The log could not go on from there.
  if (end.index < core.log.base.index) return
  const own = core.log.endAt(end.index)
  if (own !== undefined && (own.term !== end.term || own.chain !== end.chain)) {
    const { index, term, chain: peerChain } = end
    reportCorruption(core, { peer: core.leader, index, term, chain: own.chain, peerChain })
    return
  }
  core.isStateLost = false
  core.storage.restored(snapshot)
  core.deliveredIndex = end.index
  core.appliedIndex = end.index
}

/** Whether the log here has what the entries of `request` follow. When it has not, the leader or the node is told. */
function attaches(core: Core, request: AppendRequest): boolean {
  const { previous } = request
  const own = core.log.endAt(previous.index)
  if (own?.term === previous.term && own.chain === previous.chain) return true
  if (own !== undefined && (own.term === previous.term || previous.index <= core.commitIndex)) {
    report(core, request, previous, own.chain)
    return false
  }
  // What is committed is in every leader's log; memory may have forgotten it, but it cannot be another entry.
  if (previous.index <= core.commitIndex) return true
  refuse(core, request)
  return false
}

/** Where the follower and a leader with `previous` can agree: at or below it, and not of a later term. */
function refuse(core: Core, request: AppendRequest): void {
  const { previous } = request
  const within = core.log.lastIndexWithin(previous.term, previous.index)
  // What is committed is in every leader's log: there is no need to look further back.
  const index = Math.max(within ?? 0, core.commitIndex)
  const hint = present(core.log.endAt(index), 'the log is known from the commit index on')
  assert(index < previous.index || hint.term !== previous.term, 'a refusal does not hint at what it refuses')
  sendRefusal(core, { index: previous.index, hint, forget: core.log.lastIndex < core.cutEnd })
}

function sendRefusal(core: Core, refusal: { index: number; hint: LogEnd; forget: boolean }): void {
  const { id: from, leader: to, term } = core
  send(core, { kind: 'appendResponse', from, to, term, accepted: false, ...refusal })
}

/** Slot of the first entry that the log does not have; undefined when the logs contradict each other. */
function findFirstNew(core: Core, request: AppendRequest): number | undefined {
  const { entries } = request
  for (const [slot, entry] of entries.entries()) {
    const term = core.log.termAt(entry.index)
    if (term !== undefined) {
      const chain = present(core.log.chainAt(entry.index), 'an entry with a term has a chain')
      if (term === entry.term && chain === entry.chain) continue
      if (term === entry.term || entry.index <= core.commitIndex) {
        report(core, request, entry, chain)
        return undefined
      }
      return slot
    }
    if (entry.index > core.log.lastIndex) return slot
    assert(entry.index <= core.commitIndex, 'only committed entries leave the window')
  }
  return entries.length
}

/** Recomputes the chain over the new entries: what a leader sends has to continue what is here. */
function continuesChain(core: Core, request: AppendRequest, firstNew: number): boolean {
  const { entries } = request
  const before = entries[firstNew]
  if (before === undefined) return true
  let chain = present(core.log.chainAt(before.index - 1), 'new entries follow what is here')
  for (let slot = firstNew; slot < entries.length; slot++) {
    const entry = present(entries[slot], 'the slot is within the entries')
    chain = chainAfter(chain, core.options.group, entry)
    if (chain === entry.chain) continue
    report(core, request, entry, chain)
    return false
  }
  return true
}

function take(core: Core, entries: readonly Entry[], firstNew: number): void {
  const first = entries[firstNew]
  if (first === undefined) return
  if (first.index <= core.log.lastIndex) cut(core, first.index - 1)
  for (let slot = firstNew; slot < entries.length; slot++) {
    const entry = present(entries[slot], 'the slot is within the entries')
    core.log.append(entry)
    if (entry.kind === entryKind.configuration) enterConfiguration(core, entry.index, entry.payload)
  }
}

/** Entries that contradict the leader's go; a configuration among them goes with them. */
function cut(core: Core, index: number): void {
  assert(index >= core.commitIndex, 'what is committed is never cut')
  assert(index >= core.verifiedIndex, 'what equals the log of this leader is never cut')
  core.log.truncateAfter(index)
  core.storage.truncated(index)
  core.configurations.truncateAfter(index)
}

function followCommit(core: Core, index: number): void {
  assert(index <= core.log.lastIndex, 'only what the log has can be committed')
  if (index > core.commitIndex) core.commitIndex = index
}

function report(core: Core, request: AppendRequest, place: LogEnd, chain: number): void {
  const { index, term, chain: peerChain } = place
  reportCorruption(core, { peer: request.from, index, term, chain, peerChain })
}

/** Whether the entries follow `previous` one by one and their terms do not fall. Anything else is no append of ours. */
function isContiguous(request: AppendRequest): boolean {
  let { index, term } = request.previous
  for (const entry of request.entries) {
    if (entry.index !== ++index || entry.term < term || entry.term > request.term) return false
    term = entry.term
  }
  return true
}
