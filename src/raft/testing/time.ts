import { assert } from '../../base/index.ts'
import { campaign } from '../election.ts'
import type { TestNode } from './cluster.ts'

/** Time passes at one node until something comes of it. How long that takes decides nothing: any order may happen. */
export type Passed = 'election' | 'candidacy' | 'lease' | 'heartbeat' | 'quorum' | 'retry'

/**
 * election: its election timeout ends. candidacy: the same in a world without pre-vote and leases. lease: it has not
 * heard its leader for so long that it may vote for another. heartbeat: a leader's next heartbeats are due. quorum: a
 * leader has heard nobody for an election timeout. retry: what was asked or begun and not answered is given up.
 */
export function passTime({ core, raft }: TestNode, what: Passed): void {
  const { electionTicks, heartbeatTicks } = core.options
  const { leadership } = core
  switch (what) {
    case 'election':
      core.electionElapsed = core.electionTimeout
      break
    case 'candidacy':
      if (raft.role === 'leader' || !core.configurations.mayCampaign(raft.id, raft.commitIndex)) return
      campaign(core, { isTransfer: true, cause: 'heard no leader for an election timeout' })
      return
    case 'lease':
      core.electionElapsed = Math.max(core.electionElapsed, electionTicks)
      return
    case 'heartbeat':
      assert(leadership !== undefined, 'only a leader sends heartbeats')
      leadership.heartbeatElapsed = heartbeatTicks
      break
    case 'quorum':
      for (const peer of leadership?.peers.values() ?? []) peer.silentTicks = electionTicks
      break
    case 'retry':
      if (leadership?.transfer !== undefined) leadership.transfer.elapsed = electionTicks
      if (core.reads.forward !== undefined) core.reads.forward.elapsed = electionTicks
      core.electionElapsed = 0
  }
  raft.tick()
}

/** Forgets how long things have lasted, but for whether the leader's lease is over: `passTime` says when they end. */
export function forgetTime({ core }: TestNode): void {
  const { electionTicks } = core.options
  core.electionElapsed = core.electionElapsed < electionTicks ? 0 : electionTicks
  if (core.reads.forward !== undefined) core.reads.forward.elapsed = 0
  const { leadership } = core
  if (leadership === undefined) return
  leadership.heartbeatElapsed = 0
  if (leadership.transfer !== undefined) leadership.transfer.elapsed = 0
  for (const peer of leadership.peers.values()) peer.silentTicks = 0
}
