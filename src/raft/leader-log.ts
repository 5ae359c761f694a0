import { assert, present } from '../base/index.ts'
import { createEntry } from './chain.ts'
import { decodeConfiguration, isVoter, membersOf } from './configuration.ts'
import type { Core } from './core.ts'
import { Progress } from './progress.ts'
import { type EntryKind, entryKind } from './types.ts'

/** Adds entries of the present term; returns the index of the first. */
export function appendAsLeader(core: Core, kind: EntryKind, payloads: readonly Uint8Array[]): number {
  const leadership = present(core.leadership, 'only a leader adds entries of its own')
  assert(payloads.length > 0, 'at least one entry is added')
  const { group } = core.options
  const first = core.log.lastIndex + 1
  let previousChain = present(core.log.chainAt(first - 1), 'the end of the log is known')
  for (const payload of payloads) {
    const index = core.log.lastIndex + 1
    const entry = createEntry({ group, index, term: core.term, kind, payload, previousChain })
    core.log.append(entry)
    leadership.uncommittedBytes += payload.length
    previousChain = entry.chain
    if (kind === entryKind.configuration) enterConfiguration(core, index, payload)
  }
  leadership.isAppendDue = true
  return first
}

/** A configuration counts from the moment its entry is in the log, on every node. */
export function enterConfiguration(core: Core, index: number, payload: Uint8Array): void {
  core.configurations.append(index, decodeConfiguration(payload), core.commitIndex)
  syncPeers(core)
}

/** A leader keeps a progress for exactly the members; who was removed gets no message any more. */
function syncPeers(core: Core): void {
  const { leadership } = core
  if (leadership === undefined) return
  const configuration = core.configurations.current
  const before = leadership.peers
  leadership.peers = new Map()
  for (const id of membersOf(configuration)) {
    if (id === core.id) continue
    const isLearner = !isVoter(configuration, id)
    const peer = before.get(id) ?? new Progress(core.log.lastIndex + 1, core.options.inflightMax, isLearner)
    peer.isLearner = isLearner
    leadership.peers.set(id, peer)
  }
  const target = leadership.transfer?.to
  if (target !== undefined && !isVoter(configuration, target)) leadership.transfer = undefined
  // Fewer voters can mean that what is replicated already is enough.
  leadership.isCommitDue = true
  leadership.isAppendDue = true
}
