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
 * 5. a write that failed for certain is nowhere;
 * 6. a serializable read is of a state that was: never of a revision that nobody committed, nor of one whose write had
 *    not begun when the read returned; and where it named a least revision, not of an older one.
 *
 * Cost: one pass over calls and records, each with its step of the model, and sorting by time. Only calls of unknown
 * outcome that delete or keep a value are tried at each record that nothing else explains.
 */
import { assert, present } from '../base/index.ts'
import { describeCall, describeRequest, type RecordedCall, type Sighting, type Violation } from './history.ts'
import {
  describeEvent,
  describeResult,
  emptyRevision,
  KvModel,
  type ModelEvent,
  type ModelResult,
  operationsOf,
  type RevisionRecord,
} from './kv-model.ts'

export interface KvHistory {
  readonly calls: readonly RecordedCall[]
  /** Complete, from the first change on, in order. */
  readonly log: readonly RevisionRecord[]
  readonly sightings: readonly Sighting[]
  /** Leases that were ever asked for; each ends at most once, and its end deletes its keys in one revision. */
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
  checkLeastRevisions(history.calls, report)
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
  /** Calls of unknown outcome, and the lease whose end it may be. */
  readonly candidates: readonly (RecordedCall | bigint)[]
}

/** Rules 2 (answered writes and leases) and 3, in one pass over the revisions. */
function replay(history: KvHistory, report: Report): { causes: Unclaimed[]; placed: Placed[] } {
  const answered = new Map<number, RecordedCall[]>()
  const oldReads = new Map<number, RecordedCall[]>()
  for (const call of history.calls) {
    if (call.outcome.kind === 'answered') add(answered, call.outcome.revision, call)
  }
  const unknown = new UnknownWrites(history.calls)
  const leases = new Set(history.leases)
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

  for (const call of answered.get(emptyRevision) ?? []) {
    if (!isWrite(call)) answerAt(call)
    else report('an acknowledged write is in the log', `${describeCall(call)} answered the empty revision`)
  }
  for (const record of history.log) {
    const calls = answered.get(record.revision) ?? []
    const claims = calls.filter(isWrite)
    for (const call of claims) {
      checkEvents(model, call, record, report)
      checkAnswer(model, call, report)
      place(call, true)
    }
    if (claims.length > 1) {
      report('one cause a revision', `revision ${record.revision}: ${claims.map(describeCall).join(' and ')}`)
    }
    if (claims.length === 0) {
      causes.push({
        record,
        candidates: [...endedLease(model, record, leases), ...unknown.fitting(model, record)],
      })
    }
    model.apply(record)
    for (const call of calls) if (!claims.includes(call)) answerAt(call)
  }
  for (const [revision, calls] of answered) {
    if (revision >= emptyRevision && revision <= model.revision) continue
    for (const call of calls) {
      const facts = `${describeCall(call)} answered revision ${revision}, the last one is ${model.revision}`
      report(isWrite(call) ? 'an acknowledged call is never lost' : 'a read is of a revision that was', facts)
    }
  }
  for (const { revision, seenAt } of history.sightings) {
    if (revision <= model.revision) continue
    const facts = `revision ${revision} was seen at ${seenAt}, the last one is ${model.revision}`
    report('a revision that was seen is in the log', facts)
  }
  checkOldReads(history, oldReads, report)
  return { causes, placed }
}

/** Whether the answer says that the call made its revision; else it only saw it. */
export function saysItChanged(result: ModelResult): boolean {
  if (result.kind === 'transaction') return result.results.some(saysItChanged)
  return result.kind === 'put' || (result.kind === 'delete' && result.deleted > 0)
}

function isWrite({ outcome }: RecordedCall): boolean {
  return outcome.kind === 'answered' && saysItChanged(outcome.result)
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
    for (const call of calls) {
      const answered = call.outcome.kind === 'answered' ? call.outcome.revision : 0
      if (revision <= Math.min(answered, model.revision)) continue
      report(
        'a read is of a revision that was',
        `${describeCall(call)}: ${revision} when ${answered} was the last`,
      )
    }
  }
}

/** Writes of unknown outcome, found by what they may have done. */
class UnknownWrites {
  readonly #byPut = new Map<string, RecordedCall[]>()
  /** Those that may delete or keep a value, and so cannot be known by one. Equal requests do the same: tried once. */
  readonly #others = new Map<string, RecordedCall[]>()

  constructor(calls: readonly RecordedCall[]) {
    for (const call of calls) {
      if (call.outcome.kind !== 'unknown') continue
      const puts = new Set<string>()
      let isOther = false
      for (const step of operationsOf(call.request)) {
        if (step.kind === 'put' && step.ignoreValue !== true) puts.add(putName(step.key, step.value))
        else if (step.kind !== 'range') isOther = true
      }
      for (const put of puts) add(this.#byPut, put, call)
      if (isOther) add(this.#others, describeRequest(call.request), call)
    }
  }

  /** The calls that would make exactly this record now. */
  fitting(model: KvModel, record: RevisionRecord): ReadonlySet<RecordedCall> {
    const fits = (call: RecordedCall): boolean =>
      sameEvents(model.evaluate(call.request).events, record.events)
    const put = record.events.find((event) => event.kind === 'put')
    const found = new Set<RecordedCall>()
    if (put !== undefined) {
      const calls = this.#byPut.get(putName(put.pair.key, put.pair.value)) ?? []
      for (const call of calls) if (fits(call)) found.add(call)
    }
    for (const calls of this.#others.values()) {
      const [first] = calls
      if (first !== undefined && fits(first)) for (const call of calls) found.add(call)
    }
    return found
  }
}

function putName(key: string, value: string): string {
  return `${key.length} ${key}${value}`
}

/** The end of a lease deletes exactly the keys that are attached to it, in key order. At most one lease. */
function endedLease(model: KvModel, record: RevisionRecord, leases: ReadonlySet<bigint>): bigint[] {
  const keys: string[] = []
  for (const event of record.events) {
    if (event.kind === 'put') return []
    keys.push(event.key)
  }
  const lease = model.get(keys[0] ?? '')?.lease ?? 0n
  const isEnd = leases.has(lease) && keys.join('\n') === model.keysOfLease(lease).join('\n')
  return isEnd ? [lease] : []
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
  const owner = new Map<RecordedCall | bigint, Unclaimed>()
  const give = (cause: Unclaimed, tried: Set<RecordedCall | bigint>): boolean => {
    for (const one of cause.candidates) {
      const isLate = typeof one !== 'bigint' && floorAt(one.calledAt) >= cause.record.revision
      if (isLate || tried.has(one)) continue
      tried.add(one)
      const other = owner.get(one)
      if (other !== undefined && !give(other, tried)) continue
      owner.set(one, cause)
      return true
    }
    return false
  }
  for (const cause of causes) {
    if (give(cause, new Set())) continue
    const events = cause.record.events.map(describeEvent).join(', ')
    const fits = `${cause.candidates.length} calls of unknown outcome or leases fit, but began too late or caused others`
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

/** Rule 6. */
function checkLeastRevisions(calls: readonly RecordedCall[], report: Report): void {
  for (const call of calls) {
    const { outcome, leastRevision = 0 } = call
    if (outcome.kind !== 'answered' || outcome.revision >= leastRevision) continue
    report(
      'a read waits for the least revision',
      `${describeCall(call)}: ${outcome.revision} of ${leastRevision}`,
    )
  }
}

function add<Key>(map: Map<Key, RecordedCall[]>, key: Key, call: RecordedCall): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [call])
  else list.push(call)
}
