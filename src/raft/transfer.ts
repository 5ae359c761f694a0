import { assert, type NodeId, noNode, present } from '../base/index.ts'
import type { ProposeResult } from './contract.ts'
import { type Core, type Leadership, send } from './core.ts'
import { bestSuccessor } from './membership.ts'
import { becomeFollower } from './roles.ts'

/** Stops taking proposals, brings `to` up to date and asks it to campaign. Given up after an election timeout. */
export function startTransfer(core: Core, leadership: Leadership, to: NodeId): ProposeResult {
  const accepted = { ok: true, index: core.log.lastIndex, term: core.term } as const
  const isVoter = core.configurations.current.voters.includes(to)
  if (!isVoter) return { ok: false, reason: 'not-a-voter' }
  if (to === core.id || leadership.transfer?.to === to) return accepted
  if (leadership.transfer !== undefined) return { ok: false, reason: 'transferring' }
  leadership.transfer = { to, elapsed: 0, isAsked: false }
  leadership.isAppendDue = true
  return accepted
}

/** Gives leadership to whoever can take it soonest; without such a voter nothing happens. */
export function startResign(core: Core, leadership: Leadership): void {
  const to = bestSuccessor(core, leadership)
  if (to === noNode || leadership.transfer !== undefined) return
  const result = startTransfer(core, leadership, to)
  assert(result.ok, 'a voter can be asked to lead')
}

/** Once the target has the whole log it is asked to campaign. */
export function followTransfer(core: Core, leadership: Leadership): void {
  const { transfer } = leadership
  if (transfer === undefined || transfer.isAsked) return
  const peer = present(leadership.peers.get(transfer.to), 'the target of a transfer is a member')
  if (peer.match < core.log.lastIndex) return
  transfer.isAsked = true
  send(core, { kind: 'timeoutNow', from: core.id, to: transfer.to, term: core.term })
}

/** Without a state a leader must not lead on, even if whom it asked may not campaign: then the others see to it. */
export function tickTransfer(core: Core, leadership: Leadership): void {
  const { transfer } = leadership
  if (transfer === undefined || ++transfer.elapsed < core.options.electionTicks) return
  leadership.transfer = undefined
  if (!core.isStateLost) return
  becomeFollower(core, { term: core.term, leader: noNode }, 'has no state, and nobody took over')
}
