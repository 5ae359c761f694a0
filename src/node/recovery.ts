import { assert, isQuorateError, noNode, QuorateError } from '../base/index.ts'
import type { Logger } from '../io/index.ts'
import type { Configuration, Entry, LogEnd, RaftRestore } from '../raft/index.ts'
import type { SnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { RecoveredGroup, WriteAheadLog } from '../write-ahead-log/index.ts'
import { loadSnapshot } from './load-snapshot.ts'
import type { FlushLimits } from './options.ts'
import type { StateMachine } from './state-machine.ts'

/**
 * Brings the three things that survive a crash to one point: the log, the store and the snapshots. The store is taken
 * as it is when its applied index lies inside what the log can continue from; else it is emptied and rebuilt from the
 * newest whole snapshot, and the log from there; so it is when only a later snapshot says who the members are, so that
 * members and state are of one point. Nothing that was acknowledged can be missing: it is in the log, or in a
 * snapshot that was durable before the log let it go. What the store has applied was committed and durable in the log
 * before; a log that does not have it lost more than a crash can take, and is refused: error `data-damaged`.
 *
 * A state that is lost is another matter: neither store nor snapshots may be used, so there is none until another member
 * gives one. The log is left as it is, and nothing counts as applied but what it has released.
 */
export interface RecoveryOptions<Result> {
  readonly group: number
  readonly log: WriteAheadLog
  readonly snapshots: SnapshotStore
  readonly backend: StoreBackend
  readonly logger: Logger
  readonly limits: FlushLimits
  /** The state was found wrong: the machine comes back empty, with `applied` at the base of the log. */
  readonly isStateLost: boolean
  /** What a store had applied that was thrown away before this: the log must have it all the same. */
  readonly discarded: AppliedPlace | undefined
  /** The configuration before the first entry of the log. */
  readonly bootstrap: Configuration
  createMachine(backend: StoreBackend): StateMachine<Result>
  /** Between two slices of work. */
  yieldTurn(): Promise<void>
}

/** Where a state stands in the log. */
export interface AppliedPlace {
  readonly appliedIndex: number
  readonly appliedTerm: number
}

export interface Recovered<Result> {
  readonly machine: StateMachine<Result>
  readonly restore: RaftRestore
  readonly applied: LogEnd
}

const readBytesMax = 4 * 1024 * 1024
const noEnd: LogEnd = { index: 0, term: 0, chain: 0 }

export async function recoverGroup<Result>(options: RecoveryOptions<Result>): Promise<Recovered<Result>> {
  const { log, group } = options
  let onDisk = log.recovered.find((candidate) => candidate.group === group) ?? emptyGroup(group)
  let machine = await openMachine(options)
  for (const state of options.discarded === undefined ? [machine] : [machine, options.discarded]) {
    if ((await appliedEnd(options, onDisk, state)) === undefined) checkNothingLost(options, onDisk, state)
  }
  if (options.isStateLost) {
    await options.backend.clear()
    machine = options.createMachine(options.backend)
  }
  let applied = options.isStateLost ? onDisk.base : await appliedEnd(options, onDisk, machine)
  if (applied === undefined || (!options.isStateLost && isBeforeMembers(options, onDisk, applied))) {
    options.logger.log('warn', 'state-rebuild', {
      applied: machine.appliedIndex,
      logBase: onDisk.base.index,
      logEnd: onDisk.end.index,
    })
    await options.backend.clear()
    machine = options.createMachine(options.backend)
    applied = await rebuild(options, onDisk, machine)
    if (!(await continues(options, onDisk, applied))) {
      // A crash came between the installed snapshot and the reset of the log. The snapshot is committed, so its term
      // was; a vote that this node does not remember was not cast.
      const { hardState } = onDisk
      const isKnown = applied.term <= hardState.term
      const raised = isKnown ? hardState : { ...hardState, term: applied.term, vote: noNode }
      await log.reset(group, applied, raised)
      onDisk = { ...onDisk, hardState: raised, base: applied, end: applied, configurations: [] }
    }
  }
  const { hardState, base, end, cutEnd } = onDisk
  // From the applied entry on: raft has to know where everything that may yet be cut is attached. Without a state
  // nothing is applied for now, and what is known to be committed need not be in memory.
  const known = options.isStateLost ? Math.min(hardState.commit, end.index) : applied.index
  const recent = await readAll(options, Math.max(known, base.index + 1), end.index + 1)
  const configurations = [...startConfigurations(options, onDisk), ...onDisk.configurations]
  const restore = { hardState, base, end, cutEnd, recent, configurations, applied: applied.index }
  return { machine, restore, applied }
}

function emptyGroup(group: number): RecoveredGroup {
  const hardState = { term: 0, vote: 0n, commit: 0 }
  return { group, hardState, base: noEnd, end: noEnd, cutEnd: undefined, configurations: [] }
}

/** A store that an interrupted restore left half full is emptied, like one without an applied index. */
async function openMachine<Result>(options: RecoveryOptions<Result>): Promise<StateMachine<Result>> {
  const { backend, logger, createMachine, yieldTurn } = options
  try {
    const machine = createMachine(backend)
    if (machine.appliedIndex > 0) {
      for (const _ of machine.load()) await yieldTurn()
      return machine
    }
  } catch (error) {
    if (!isQuorateError(error, 'data-damaged')) throw error
    logger.log('warn', 'state-incomplete', { cause: error.message })
  }
  await backend.clear()
  return createMachine(backend)
}

/** The log end at the applied index of the store, or undefined when store and log do not fit together. */
async function appliedEnd<Result>(
  { log, group }: RecoveryOptions<Result>,
  onDisk: RecoveredGroup,
  { appliedIndex, appliedTerm }: AppliedPlace,
): Promise<LogEnd | undefined> {
  if (appliedIndex === onDisk.base.index) return onDisk.base
  if (appliedIndex < onDisk.base.index || appliedIndex > onDisk.end.index) return undefined
  const { entries } = await log.read(group, appliedIndex, appliedIndex + 1, readBytesMax)
  const entry = entries[0]
  assert(entry?.index === appliedIndex, 'the log holds every index between its ends')
  return entry.term === appliedTerm ? { index: entry.index, term: entry.term, chain: entry.chain } : undefined
}

/** The one reason for a store that the log does not lead to: a crash between an installed snapshot and the reset log. */
function checkNothingLost<Result>(
  { snapshots }: RecoveryOptions<Result>,
  { base, end }: RecoveredGroup,
  { appliedIndex, appliedTerm }: AppliedPlace,
): void {
  if (appliedIndex < base.index) return
  if (snapshots.list().some(({ mark }) => mark.end.index === appliedIndex && mark.end.term === appliedTerm))
    return
  throw new QuorateError(
    'data-damaged',
    `the store has applied the log up to index ${appliedIndex} of term ${appliedTerm}, and the log, which ends at index ` +
      `${end.index}, does not have that entry any more: what was committed is gone from it. Remove this member and add ` +
      'it again with an empty data directory.',
  )
}

/** Whether the log goes on where the state stands: it reaches that far, and has the same entry there. */
async function continues<Result>(
  { log, group }: RecoveryOptions<Result>,
  { base, end }: RecoveredGroup,
  applied: LogEnd,
): Promise<boolean> {
  if (applied.index > end.index) return false
  if (applied.index === base.index) return applied.chain === base.chain
  const { entries } = await log.read(group, applied.index, applied.index + 1, readBytesMax)
  return entries[0]?.term === applied.term && entries[0].chain === applied.chain
}

async function rebuild<Result>(
  options: RecoveryOptions<Result>,
  onDisk: RecoveredGroup,
  machine: StateMachine<Result>,
): Promise<LogEnd> {
  const { snapshots, logger } = options
  // A copy: a snapshot that turns out to be damaged leaves the list.
  for (const file of [...snapshots.list()]) {
    if (file.mark.end.index < onDisk.base.index) break
    try {
      await loadSnapshot({ ...options, machine }, file)
      logger.log('info', 'state-from-snapshot', { index: file.mark.end.index, path: file.path })
      return file.mark.end
    } catch (error) {
      if (!isQuorateError(error, 'data-damaged')) throw error
      logger.log('error', 'snapshot-damaged', { path: file.path, cause: error.message })
      await options.backend.clear()
    }
  }
  if (onDisk.base.index === 0) return noEnd
  throw new QuorateError(
    'data-damaged',
    `the state must be rebuilt, the log begins at index ${onDisk.base.index + 1}, and no whole snapshot reaches that ` +
      'far. Remove this member and add it again with an empty data directory.',
  )
}

async function readAll<Result>(
  { log, group }: RecoveryOptions<Result>,
  first: number,
  end: number,
): Promise<readonly Entry[]> {
  const all: Entry[] = []
  for (let next = first; next < end; ) {
    const { entries } = await log.read(group, next, end, readBytesMax)
    assert(entries.length > 0, 'a read inside the log returns at least one entry')
    for (const entry of entries) all.push(entry)
    next += entries.length
  }
  return all
}

/** Whether only a snapshot behind `applied` says who the members are; the one at the base of the log is damaged then. */
function isBeforeMembers<Result>(
  { snapshots }: RecoveryOptions<Result>,
  { base, configurations }: RecoveredGroup,
  applied: LogEnd,
): boolean {
  const known = snapshots.list().map(({ mark }) => mark.configurationIndex)
  if (base.index === 0 || known.length === 0) return false
  return Math.min(...known, ...configurations.map(({ index }) => index)) > applied.index
}

/** What counted before the oldest configuration entry that the log still holds. */
function startConfigurations<Result>(
  { bootstrap, snapshots }: RecoveryOptions<Result>,
  onDisk: RecoveredGroup,
): { index: number; configuration: Configuration }[] {
  const known = snapshots
    .list()
    .map(({ mark }) => ({ index: mark.configurationIndex, configuration: mark.configuration }))
    .sort((left, right) => right.index - left.index)
  const atBase = known.find(({ index }) => index <= onDisk.base.index)
  if (atBase !== undefined) return [atBase]
  if (onDisk.base.index === 0) return [{ index: 0, configuration: bootstrap }]
  // The snapshot at the base is damaged and a newer one is whole: what it says was committed, so nothing below comes back.
  const oldest = known.at(-1)
  if (oldest !== undefined) return [{ index: onDisk.base.index, configuration: oldest.configuration }]
  throw new QuorateError(
    'data-damaged',
    'no snapshot and no log entry says who the members are. Remove this member and add it again with an empty data directory.',
  )
}
