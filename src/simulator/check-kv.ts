/**
 * Strict serializability of the key-value store, in linear time: the revision of each answer gives the one order that
 * the history must be equivalent to, so there is nothing to search (sources: etcd's robustness tests; Herlihy and Wing
 * 1990 for the rule of real time).
 *
 * Given are all calls of all clients and the complete log of revisions. The history is right when
 * 1. the log has no gap and each record is what the model makes of the state before it (versions, create revisions);
 * 2. each record has exactly one cause: one answered write, one write of unknown outcome, or the end of one lease;
 * 3. each answered call is what the model answers at its revision (so no acknowledged write is lost, none twice);
 * 4. real time holds: a call sees at least the highest revision that anybody had seen before it began, and a write
 *    takes a higher one; serializable reads are free of this, but never go back within one life of a server;
 * 5. a write that failed for certain is nowhere.
 * Values of puts must be unique in the history; then a record can be told from all others.
 */
import { assert, present } from '../base/index.ts'
import { describeCall, type RecordedCall, type Sighting, type Violation } from './history.ts'
import {
  describeEvent,
  describeResult,
  emptyRevision,
  KvModel,
  type ModelEvent,
  type ModelResult,
  type RevisionRecord,
} from './kv-model.ts'

export interface KvHistory {
  readonly calls: readonly RecordedCall[]
  /** Complete, from the first change on, in order. */
  readonly log: readonly RevisionRecord[]
  readonly sightings: readonly Sighting[]
  /** Leases that were ever asked for; the end of one deletes its keys in one revision. */
  readonly leases: readonly bigint[]
}

/** An answered call that changed something, or a read; what it needs of real time. */
interface Placed {
  readonly call: RecordedCall
  readonly revision: number
  readonly returnedAt: number
  readonly isWrite: boolean
}

export function checkKv(history: KvHistory): Violation[] {
  const logViolations = checkLog(history.log)
  // Without a sound log the other verdicts would be noise.
  if (logViolations.length > 0) return logViolations
  const violations: Violation[] = []
  const report = (promise: string, facts: string): void => {
    violations.push({ promise, facts })
  }
  const { causes, placed } = replay(history, report)
  assignUnknown(history, causes, placed, report)
  checkRealTime(history, placed, report)
  checkMonotone(history.calls, report)
  return violations
}

/** Rule 1: every event follows from the state before it. */
export function checkLog(log: readonly RevisionRecord[]): Violation[] {
  const model = new KvModel()
  for (const record of log) {
    const facts = (why: string): Violation[] => {
      const events = record.events.map(describeEvent).join(', ')
      return [{ promise: 'log of revisions', facts: `revision ${record.revision}: ${why} [${events}]` }]
    }
    if (record.revision !== model.revision + 1) return facts(`follows ${model.revision}`)
    if (record.events.length === 0) return facts('changes nothing')
    const seen = new Set<string>()
    for (const event of record.events) {
      const key = event.kind === 'put' ? event.pair.key : event.key
      if (seen.has(key)) return facts(`changes ${key} twice`)
      seen.add(key)
      const before = model.get(key)
      if (event.kind === 'delete') {
        if (before === undefined) return facts(`deletes ${key}, which is not there`)
        continue
      }
      const { pair } = event
      const isRight =
        pair.modRevision === record.revision &&
        pair.version === (before?.version ?? 0) + 1 &&
        pair.createRevision === (before?.createRevision ?? record.revision)
      if (!isRight) return facts(`${key} has wrong counters`)
    }
    model.apply(record)
  }
  return []
}

type Report = (promise: string, facts: string) => void
/** What may have caused a record that no answered write claims. */
interface Unclaimed {
  readonly record: RevisionRecord
  readonly candidates: readonly RecordedCall[]
}

/** Rules 2 (answered writes and leases) and 3, in one pass over the revisions. */
function replay(history: KvHistory, report: Report): { causes: Unclaimed[]; placed: Placed[] } {
  const answered = new Map<number, RecordedCall[]>()
  const oldReads = new Map<number, RecordedCall[]>()
  for (const call of history.calls) {
    if (call.outcome.kind === 'answered') add(answered, call.outcome.revision, call)
  }
  const unknown = history.calls.filter((call) => call.outcome.kind === 'unknown')
  const model = new KvModel()
  const causes: Unclaimed[] = []
  const placed: Placed[] = []

  const place = (call: RecordedCall, isWrite: boolean): void => {
    assert(call.outcome.kind === 'answered', 'only answered calls have a place')
    const { returnedAt, revision } = call.outcome
    placed.push({ call, revision, returnedAt, isWrite })
  }
  const answerAt = (call: RecordedCall): void => {
    if (call.atRevision === 0) checkAnswer(model, call, report)
    else add(oldReads, call.atRevision, call)
    place(call, false)
  }

  for (const call of answered.get(emptyRevision) ?? []) answerAt(call)
  for (const record of history.log) {
    const calls = answered.get(record.revision) ?? []
    const claims = calls.filter(saysItChanged)
    for (const call of claims) {
      checkEvents(model, call, record, report)
      checkAnswer(model, call, report)
      place(call, true)
    }
    if (claims.length > 1) {
      report('one cause a revision', `revision ${record.revision}: ${claims.map(describeCall).join(' and ')}`)
    }
    if (claims.length === 0 && !isLeaseEnd(model, record, history.leases)) {
      const candidates = unknown.filter((call) =>
        sameEvents(model.evaluate(call.request).events, record.events),
      )
      causes.push({ record, candidates })
    }
    model.apply(record)
    for (const call of calls) if (!claims.includes(call)) answerAt(call)
  }
  for (const [revision, calls] of answered) {
    if (revision >= emptyRevision && revision <= model.revision) continue
    for (const call of calls) {
      const facts = `${describeCall(call)} answered revision ${revision}, the last one is ${model.revision}`
      report('an acknowledged call is never lost', facts)
    }
  }
  checkOldReads(history, oldReads, report)
  return { causes, placed }
}

/** Whether the answer says that the call made its revision; else it only saw it. */
function saysItChanged(call: RecordedCall): boolean {
  return call.outcome.kind === 'answered' && hasChanged(call.outcome.result)
}

function hasChanged(result: ModelResult): boolean {
  if (result.kind === 'transaction') return result.results.some(hasChanged)
  return result.kind === 'put' || (result.kind === 'delete' && result.deleted > 0)
}

function checkEvents(model: KvModel, call: RecordedCall, record: RevisionRecord, report: Report): void {
  const { events } = model.evaluate(call.request)
  if (sameEvents(events, record.events)) return
  const wanted = events.map(describeEvent).join(', ')
  const got = record.events.map(describeEvent).join(', ')
  report(
    'an acknowledged write is in the log',
    `${describeCall(call)} answered revision ${record.revision}, which holds [${got}] and not [${wanted}]`,
  )
}

function checkAnswer(model: KvModel, call: RecordedCall, report: Report): void {
  if (call.outcome.kind !== 'answered') return
  const wanted = describeResult(model.evaluate(call.request).result)
  const got = describeResult(call.outcome.result)
  if (wanted === got) return
  report(
    'an answer is true at its revision',
    `${describeCall(call)} at ${model.revision}: ${got}, not ${wanted}`,
  )
}

/** Ranges at an older revision, each against the state it asked for. */
function checkOldReads(history: KvHistory, reads: ReadonlyMap<number, RecordedCall[]>, report: Report): void {
  const model = new KvModel()
  const answer = (): void => {
    for (const call of reads.get(model.revision) ?? []) checkAnswer(model, call, report)
  }
  answer()
  for (const record of history.log) {
    model.apply(record)
    answer()
  }
  for (const [revision, calls] of reads) {
    if (revision <= model.revision) continue
    for (const call of calls) report('a read is of a revision that was', `${describeCall(call)}: ${revision}`)
  }
}

/** The end of a lease deletes exactly the keys that are attached to it, in any order. */
function isLeaseEnd(model: KvModel, record: RevisionRecord, leases: readonly bigint[]): boolean {
  const keys: string[] = []
  for (const event of record.events) {
    if (event.kind === 'put') return false
    keys.push(event.key)
  }
  const lease = model.get(keys[0] ?? '')?.lease ?? 0n
  return leases.includes(lease) && keys.sort().join('\n') === model.keysOfLease(lease).join('\n')
}

function sameEvents(left: readonly ModelEvent[], right: readonly ModelEvent[]): boolean {
  return (
    left.length === right.length &&
    left.every((event, i) => describeEvent(event) === describeEvent(present(right[i], 'same length')))
  )
}

/**
 * Rule 2 for unknown outcomes: gives each record that is left a cause of its own (a matching, because several calls
 * may fit several records) that began before anybody had seen the record or a later one.
 */
function assignUnknown(
  history: KvHistory,
  causes: readonly Unclaimed[],
  placed: Placed[],
  report: Report,
): void {
  const floorAt = floorOf(history, placed)
  const owner = new Map<RecordedCall, Unclaimed>()
  const give = (cause: Unclaimed, tried: Set<RecordedCall>): boolean => {
    for (const call of cause.candidates) {
      if (tried.has(call) || floorAt(call.calledAt) >= cause.record.revision) continue
      tried.add(call)
      const other = owner.get(call)
      if (other !== undefined && !give(other, tried)) continue
      owner.set(call, cause)
      return true
    }
    return false
  }
  for (const cause of causes) {
    if (give(cause, new Set())) continue
    const events = cause.record.events.map(describeEvent).join(', ')
    const fits = `${cause.candidates.length} calls of unknown outcome fit, but began too late or caused others`
    report('every revision has a cause', `revision ${cause.record.revision} [${events}]: ${fits}`)
  }
}

/** The highest revision that anybody had seen strictly before a time. */
function floorOf(history: KvHistory, placed: readonly Placed[]): (time: number) => number {
  const seen = [
    ...placed.map(({ returnedAt, revision }) => ({ seenAt: returnedAt, revision })),
    ...history.sightings,
  ].sort((left, right) => left.seenAt - right.seenAt)
  const highest: number[] = []
  for (const { revision } of seen) highest.push(Math.max(revision, highest.at(-1) ?? 0))
  return (time) => {
    let first = 0
    for (let end = seen.length; first < end; ) {
      const middle = (first + end) >> 1
      if (present(seen[middle], 'inside').seenAt < time) first = middle + 1
      else end = middle
    }
    return highest[first - 1] ?? 0
  }
}

/** Rule 4. */
function checkRealTime(history: KvHistory, placed: readonly Placed[], report: Report): void {
  const floorAt = floorOf(history, placed)
  for (const { call, revision, isWrite } of placed) {
    if (call.isSerializable) continue
    const floor = floorAt(call.calledAt)
    if (isWrite ? revision > floor : revision >= floor) continue
    report(
      isWrite ? 'writes follow real time' : 'reads are not stale',
      `${describeCall(call)} has revision ${revision}, but ${floor} had been seen before it began`,
    )
  }
}

/** Rule 4 for serializable reads: what one life of a server answers to one client never goes back. */
function checkMonotone(calls: readonly RecordedCall[], report: Report): void {
  /** The highest revision of the answers that had returned, and the answers that had not yet. */
  const sessions = new Map<string, { floor: number; open: { revision: number; returnedAt: number }[] }>()
  for (const call of [...calls].sort((left, right) => left.calledAt - right.calledAt)) {
    if (call.outcome.kind !== 'answered') continue
    const name = `${call.client} ${call.server}`
    const session = sessions.get(name) ?? { floor: 0, open: [] }
    sessions.set(name, session)
    const { revision, returnedAt } = call.outcome
    for (const earlier of session.open) {
      if (earlier.returnedAt < call.calledAt) session.floor = Math.max(session.floor, earlier.revision)
    }
    session.open = session.open.filter((earlier) => earlier.returnedAt >= call.calledAt)
    session.open.push({ revision, returnedAt })
    if (call.isSerializable && revision < session.floor) {
      report('a session never goes back', `${describeCall(call)} saw ${revision} after ${session.floor}`)
    }
  }
}

function add(map: Map<number, RecordedCall[]>, key: number, call: RecordedCall): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [call])
  else list.push(call)
}
