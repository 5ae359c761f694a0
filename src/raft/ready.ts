import { assert, noNode, present } from '../base/index.ts'
import { type Core, createOutbox, deliverableIndex, send } from './core.ts'
import { logStart } from './log.ts'
import { flushReads, isReadDue } from './read-index.ts'
import { flushAppends } from './replication.ts'
import type { AppendResponse, Configuration, Entry, Ready, StorageOperation } from './types.ts'

const noEntries: readonly Entry[] = []
const noOperations: readonly StorageOperation[] = []

/** Whether `takeReady` would hand over anything. */
export function hasReady(core: Core): boolean {
  const { outbox, leadership } = core
  return (
    outbox.messages.length > 0 ||
    outbox.after.length > 0 ||
    outbox.roleChanges.length > 0 ||
    outbox.readStates.length > 0 ||
    outbox.readFailures.length > 0 ||
    outbox.logReads.length > 0 ||
    outbox.snapshotsWanted.length > 0 ||
    outbox.corruption !== undefined ||
    core.isAcknowledgeDue ||
    leadership?.isAppendDue === true ||
    isReadDue(core) ||
    core.readBack.length > 0 ||
    (core.deliveredIndex < deliverableIndex(core) && !core.isReadingBack && hasState(core)) ||
    core.configurationReported !== core.configurations.current ||
    core.storage.isDue(core.log, core.term, core.vote)
  )
}

/** Hands over all that happened since the last call. */
export function takeReady(core: Core): Ready {
  flushReads(core)
  if (core.leadership !== undefined) flushAppends(core, core.leadership)
  flushAcknowledgement(core)
  const committed = takeCommitted(core)
  const storage = takeStorage(core)
  const configuration = takeConfiguration(core)
  const { outbox } = core
  core.outbox = createOutbox()
  core.log.shrink(core.appliedIndex, isAlone(core) ? 0 : core.options.windowBytesMax)
  const { roleChanges, messages, readStates, readFailures, logReads, snapshotsWanted, corruption } = outbox
  return {
    roleChanges,
    storage,
    messages,
    committed,
    readStates,
    readFailures,
    logReads,
    snapshotsWanted,
    configuration,
    corruption,
  }
}

/** Entries that this node asked itself for: committed, durable, and not in memory. */
export function takeEntriesRead(core: Core, entries: readonly Entry[]): void {
  if (!core.isReadingBack) return
  const first = entries[0]
  assert(first !== undefined, 'the log keeps what is not applied')
  if (first.index !== core.deliveredIndex + 1) return
  const last = present(entries.at(-1), 'at least one entry was read')
  assert(last.index <= deliverableIndex(core), 'only what may be applied was asked for')
  core.isReadingBack = false
  core.readBack = entries
}

/** One answer for all appends since the last `ready`; it waits for the disk when it says more than the disk has. */
function flushAcknowledgement(core: Core): void {
  if (!core.isAcknowledgeDue) return
  core.isAcknowledgeDue = false
  if (core.role !== 'follower' || core.leader === noNode) return
  const index = core.verifiedIndex
  assert(index <= core.log.lastIndex, 'only what the log has is acknowledged')
  const answer: AppendResponse = {
    kind: 'appendResponse',
    from: core.id,
    to: core.leader,
    term: core.term,
    accepted: true,
    index,
    hint: logStart,
    forget: false,
  }
  if (index <= core.storage.durableIndex) send(core, answer)
  else core.outbox.after.push(answer)
}

/** Whether there is a state to apply to, on disk and not only announced. */
function hasState(core: Core): boolean {
  return !core.isStateLost && !core.storage.isRestoring
}

function takeCommitted(core: Core): readonly Entry[] {
  if (!hasState(core)) return noEntries
  const limit = deliverableIndex(core)
  const first = core.deliveredIndex + 1
  if (core.readBack.length > 0) {
    const entries = core.readBack
    core.readBack = []
    return deliver(core, entries)
  }
  if (first > limit || core.isReadingBack) return noEntries
  if (first < core.log.firstIndex) {
    const end = Math.min(core.log.firstIndex, limit + 1)
    core.isReadingBack = true
    core.outbox.logReads.push({ to: core.id, first, end, bytesMax: core.options.appendBytesMax })
    return noEntries
  }
  return deliver(core, core.log.slice(first, limit + 1, Number.POSITIVE_INFINITY))
}

function deliver(core: Core, entries: readonly Entry[]): readonly Entry[] {
  const first = present(entries[0], 'at least one entry is handed out')
  const last = present(entries.at(-1), 'at least one entry is handed out')
  assert(first.index === core.deliveredIndex + 1, 'entries are handed out in order, once')
  assert(last.index <= deliverableIndex(core), 'only committed and durable entries are handed out')
  core.deliveredIndex = last.index
  return entries
}

function takeStorage(core: Core): readonly StorageOperation[] {
  const { after } = core.outbox
  if (after.length === 0 && !core.storage.isDue(core.log, core.term, core.vote)) return noOperations
  // The commit index written down is never ahead of what is on disk already.
  const commit = deliverableIndex(core)
  return core.storage.take(core.log, { term: core.term, vote: core.vote, commit }, after)
}

function takeConfiguration(core: Core): Configuration | undefined {
  const { current } = core.configurations
  if (current === core.configurationReported) return undefined
  core.configurationReported = current
  return current
}

/** Nobody else needs what is applied here; kept any longer, each entry would be moved about by the collector. */
function isAlone(core: Core): boolean {
  const { voters, outgoing, learners } = core.configurations.current
  return voters.length + outgoing.length + learners.length === 1
}
