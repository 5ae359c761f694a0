import { type NodeId, noNode } from '../base/index.ts'
import { encodeConfiguration, isJoint, isVoter, leaveJoint, nextConfiguration } from './configuration.ts'
import type { ConfigurationChange, ProposeResult } from './contract.ts'
import { type Core, isSettled, type Leadership, send } from './core.ts'
import { appendAsLeader } from './leader-log.ts'
import { becomeFollower } from './roles.ts'
import { entryKind } from './types.ts'

/**
 * Begins a change. One at a time, and none before an entry of the own term is committed: two leaders with different
 * unfinished changes could otherwise each find a majority.
 */
export function proposeChange(
  core: Core,
  leadership: Leadership,
  change: ConfigurationChange,
): ProposeResult {
  const { current, index } = core.configurations
  if (isJoint(current) || index > core.commitIndex || !isSettled(core)) {
    return { ok: false, reason: 'change-in-progress' }
  }
  if (leadership.transfer !== undefined) return { ok: false, reason: 'transferring' }
  const payload = encodeConfiguration(nextConfiguration(current, change))
  const first = appendAsLeader(core, entryKind.configuration, [payload])
  return { ok: true, index: first, term: core.term }
}

/** What a leader owes to a committed configuration: leave the joint one, or leave itself. */
export function followConfiguration(core: Core, leadership: Leadership): void {
  const { current, index } = core.configurations
  if (index > core.commitIndex || !isSettled(core)) return
  if (isJoint(current)) {
    appendAsLeader(core, entryKind.configuration, [encodeConfiguration(leaveJoint(current))])
  } else if (!isVoter(current, core.id)) {
    handOver(core, leadership)
  }
}

/** The most caught-up voter among the peers that answer; 0n when there is none. */
export function bestSuccessor(core: Core, leadership: Leadership): NodeId {
  let best = noNode
  let bestMatch = -1
  for (const [id, peer] of leadership.peers) {
    const isAble = core.configurations.current.voters.includes(id)
    if (!isAble || peer.silentTicks > core.options.electionTicks || peer.match <= bestMatch) continue
    best = id
    bestMatch = peer.match
  }
  return best
}

/** A removed leader has done its last duty. It names a successor, so that nobody has to wait for a timeout. */
function handOver(core: Core, leadership: Leadership): void {
  const to = bestSuccessor(core, leadership)
  const { term } = core
  if (to !== noNode) send(core, { kind: 'timeoutNow', from: core.id, to, term })
  becomeFollower(core, { term, leader: noNode }, 'is no voter of the committed configuration')
}
