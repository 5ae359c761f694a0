import { damaged, openSegmentedLog, type SegmentedLog } from '../segmented-log/index.ts'
import type { RecoveredGroup, WriteAheadLog, WriteAheadLogOptions } from './contract.ts'
import { HardStateFile, type SavedState } from './hard-state-file.ts'
import { Journal } from './journal.ts'
import { type Recovery, recover } from './recovery.ts'

const hardStateName = 'hard-state'

/**
 * Opens the journal in `directory`, creating it when the directory is empty, and recovers what it holds.
 * Errors: `data-damaged` (names file, bytes and what to do), `data-wrong-cluster`, `format-unsupported`, and those of
 * the disk. Nothing else may use the directory meanwhile.
 */
export async function openWriteAheadLog(options: WriteAheadLogOptions): Promise<WriteAheadLog> {
  const { disk, directory, time } = options
  await disk.makeDirectory(directory)
  const names = await disk.list(directory)
  const hasSegments = names.some((name) => name.endsWith('.wal'))
  const hasHardState = names.includes(hardStateName)
  const hardStatePath = `${directory}/${hardStateName}`
  if (hasSegments && !hasHardState) {
    throw damaged(hardStatePath, { first: 0, end: 0 }, 'the file with terms and votes is missing')
  }
  const { file: hardStates, states } = await HardStateFile.open(disk, hardStatePath, {
    clusterId: options.clusterId,
    nodeId: options.nodeId,
    create: !hasHardState,
  })
  let segmentedLog: SegmentedLog | undefined
  try {
    if (!hasSegments && states.length > 0) {
      throw damaged(directory, { first: 0, end: 0 }, 'there are votes but no segments: the log was removed')
    }
    // Syncs the directory first, so the hard-state file has its name before a segment has one.
    segmentedLog = await openSegmentedLog(options)
    const recovery = await recover({ segmentedLog, time, states, hardStatePath })
    await makeDurable(segmentedLog, hardStates, recovery)
    logRecovery(options, recovery, segmentedLog)
    return new Journal({ options, segmentedLog, hardStates, recovery, recovered: recoveredOf(recovery) })
  } catch (error) {
    await segmentedLog?.close()
    await hardStates.close()
    throw error
  }
}

/**
 * What was read may be in the cache only, after a sync that failed. So the last batch, the only one in doubt, is
 * written again, and both copies of each hard state. That a tail is cut is remembered before the cut: a crash in
 * between finds the tail again, or the remembered end.
 */
async function makeDurable(
  segmentedLog: SegmentedLog,
  hardStates: HardStateFile,
  recovery: Recovery,
): Promise<void> {
  const { groups, places, cut } = recovery
  const stateOf = (position: number): SavedState[] =>
    [...groups.values()].map(({ group, hardState, cutEnd }) => ({
      group,
      hardState,
      cutEnd,
      syncedThrough: { sequence: segmentedLog.newest.sequence, position },
    }))
  if (cut !== undefined) await hardStates.save(stateOf(places.durableEnd))
  await segmentedLog.settle(places)
  await hardStates.save(stateOf(places.end))
}

function recoveredOf(recovery: Recovery): RecoveredGroup[] {
  const { groups, configurations } = recovery
  return [...groups.values()]
    .sort((left, right) => left.group - right.group)
    .map(({ group, hardState, base, end, cutEnd }) => ({
      group,
      hardState,
      base,
      end,
      cutEnd,
      configurations: (configurations.get(group) ?? []).filter(({ index }) => index > base.index),
    }))
}

function logRecovery(options: WriteAheadLogOptions, recovery: Recovery, segmentedLog: SegmentedLog): void {
  const { groups, places, cut } = recovery
  const fields = { segments: segmentedLog.segments.length, groups: groups.size, end: places.end }
  if (cut === undefined) options.logger.log('info', 'log-opened', fields)
  else {
    options.logger.log('warn', 'log-tail-cut', {
      ...fields,
      path: segmentedLog.newest.path,
      lostBytes: cut.lostEnd - places.end,
    })
  }
}
