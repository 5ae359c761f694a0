// The verdict on one recorded history, by the checkers of the simulator.
import {
  checkKv,
  checkKvBySearch,
  checkLeases,
  checkTransactions,
  checkWatches,
  type RecordedCall,
  type RevisionRecord,
  type Violation,
} from '../../src/simulator/index.ts'
import type { Recorder } from './recorder.ts'

/**
 * What such keys begin with: all that is done to them is judged by a search, too, that believes no revision. They lie
 * before the drawn keys, whose spans may have no end, and behind those with a lease.
 */
export const searchedKeys = 'f'
/** Of the model, for one pair of keys; a right history needs a few times its calls. */
const stepsMax = 2_000_000

/** `clockRateMax`: how much faster than true time the clocks of a node may have run. */
export function judge(recorder: Recorder, clockRateMax: number): Violation[] {
  const { calls, leases, watches, collector } = recorder
  const log = collector.records()
  const { sightings } = collector
  const answers = calls.flatMap(({ outcome }) =>
    outcome.kind === 'answered' ? [{ revision: outcome.revision, seenAt: outcome.returnedAt }] : [],
  )
  return [
    ...collector.violations,
    ...checkKv({ calls, log, sightings, leases: leases.map(({ id }) => id) }),
    ...checkTransactions({ calls, log }),
    ...checkLeases(log, leases, [...answers, ...sightings], clockRateMax),
    ...checkWatches(log, watches),
    ...checkKvBySearch({ calls: calls.filter(isSearched), leases: [] }, { revisions: 'ignored', stepsMax }),
  ]
}

/** Acknowledged writes whose values are not in the log at the revision of the acknowledgement. */
export function countLost(calls: readonly RecordedCall[], log: readonly RevisionRecord[]): number {
  const byRevision = new Map(log.map((record) => [record.revision, record]))
  return calls.filter((call) => {
    const { request, outcome } = call
    if (outcome.kind !== 'answered' || request.kind !== 'put') return false
    const record = byRevision.get(outcome.revision)
    const isHere = record?.events.some(
      (event) =>
        event.kind === 'put' &&
        event.pair.key === request.key &&
        (request.ignoreValue === true || event.pair.value === request.value),
    )
    return isHere !== true
  }).length
}

/** Calls on these keys alone are few, compare no revisions, and have no leases. */
function isSearched({ request }: RecordedCall): boolean {
  const spans = request.kind === 'transaction' ? request.compare : [request]
  return spans.length > 0 && spans.every(({ key }) => key.startsWith(searchedKeys))
}
