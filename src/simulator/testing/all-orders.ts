/**
 * Judges a small history of the key-value store by trying every order of its calls: the meaning of "linearizable" word
 * by word, with no cache and no cleverness, so that the checkers can be compared with it. Factorial in the calls.
 */
import type { KvHistory } from '../check-kv.ts'
import type { RecordedCall } from '../history.ts'
import {
  describeEvent,
  describePair,
  describeResult,
  KvModel,
  type ModelEvent,
  type ModelResult,
  type RevisionRecord,
} from '../kv-model.ts'

/**
 * What an order has to explain. `log`: all answers, and the log, the sightings and the serializable reads with them.
 * `calls`: the answers of the linearizable calls. `values`: these without any revision.
 */
export type Explained = 'log' | 'calls' | 'values'

/** Something that happens at one point of [from, to], or, when it need not, perhaps never. */
interface Act {
  readonly from: number
  readonly to: number
  readonly isNeeded: boolean
  /** What it changes in this state; undefined: it cannot happen here. */
  readonly run: (model: KvModel) => readonly ModelEvent[] | undefined
}

export function someOrderExplains(history: KvHistory, explained: Explained): boolean {
  const isWhole = explained === 'log'
  if (isWhole && !sessionsHold(history.calls)) return false
  const acts = [
    ...history.calls.flatMap((call) => actsOfCall(call, explained)),
    ...history.leases.map(actOfLease),
    ...(isWhole ? history.sightings : []).map((one) => actOfSighting(one.revision, one.seenAt)),
  ]
  const isEnd = (records: readonly RevisionRecord[]): boolean =>
    !isWhole || (textOfLog(records) === textOfLog(history.log) && oldReadsHold(history))
  return tryAll(acts, new KvModel(), [], isEnd)
}

function tryAll(
  left: readonly Act[],
  model: KvModel,
  records: readonly RevisionRecord[],
  isEnd: (records: readonly RevisionRecord[]) => boolean,
): boolean {
  if (!left.some((act) => act.isNeeded) && isEnd(records)) return true
  return left.some((act) => {
    const others = left.filter((other) => other !== act)
    if (others.some((other) => other.to < act.from)) return false
    const events = act.run(model)
    if (events === undefined) return false
    if (events.length === 0) return tryAll(others, model, records, isEnd)
    const record = { revision: model.revision + 1, events }
    const next = model.copy()
    next.apply(record)
    return tryAll(others, next, [...records, record], isEnd)
  })
}

function actsOfCall(call: RecordedCall, explained: Explained): Act[] {
  const { outcome, request } = call
  if (outcome.kind === 'failed') return []
  if (outcome.kind === 'unknown') {
    if (call.isSerializable || call.atRevision !== 0) return []
    const run = (model: KvModel): ModelEvent[] => model.evaluate(request).events
    return [{ from: call.calledAt, to: Number.POSITIVE_INFINITY, isNeeded: false, run }]
  }
  const { returnedAt, revision, result } = outcome
  if (call.isSerializable) return explained === 'log' ? [actOfSighting(revision, returnedAt)] : []
  const isOld = call.atRevision !== 0
  if (isOld && explained === 'values') return []
  const run = (model: KvModel): readonly ModelEvent[] | undefined => {
    if (isOld) return model.revision === revision ? [] : undefined
    const answer = model.evaluate(request)
    const revisionAfter = model.revision + (answer.events.length === 0 ? 0 : 1)
    const isSame =
      textOf(answer.result, explained) === textOf(result, explained) &&
      (explained === 'values' || revisionAfter === revision)
    return isSame ? answer.events : undefined
  }
  return [{ from: call.calledAt, to: returnedAt, isNeeded: true, run }]
}

function actOfLease(lease: bigint): Act {
  const run = (model: KvModel): ModelEvent[] => {
    return model.keysOfLease(lease).map((key) => ({ kind: 'delete', key }))
  }
  return { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY, isNeeded: false, run }
}

/** By then the store had at least this revision. */
function actOfSighting(revision: number, seenAt: number): Act {
  const run = (model: KvModel): ModelEvent[] | undefined => (model.revision >= revision ? [] : undefined)
  return { from: Number.NEGATIVE_INFINITY, to: seenAt, isNeeded: true, run }
}

/** What one server told one client in serializable reads is never older than what it had told it before. */
function sessionsHold(calls: readonly RecordedCall[]): boolean {
  return calls.every((later) =>
    calls.every((earlier) => {
      if (earlier.outcome.kind !== 'answered' || later.outcome.kind !== 'answered') return true
      const isSession = earlier.client === later.client && earlier.server === later.server
      const isBefore = earlier.outcome.returnedAt < later.calledAt
      if (!isSession || !isBefore || !later.isSerializable) return true
      return later.outcome.revision >= earlier.outcome.revision
    }),
  )
}

/** Serializable reads are of the state at their revision, ranges at an older revision of that one. */
function oldReadsHold({ calls, log }: KvHistory): boolean {
  return calls.every((call) => {
    if (call.outcome.kind !== 'answered' || (!call.isSerializable && call.atRevision === 0)) return true
    const { revision, result } = call.outcome
    const read = call.atRevision === 0 ? revision : call.atRevision
    if (read < 1 || read > revision || revision > log.length + 1) return false
    const model = new KvModel()
    for (const record of log) if (record.revision <= read) model.apply(record)
    return describeResult(model.evaluate(call.request).result) === describeResult(result)
  })
}

function textOfLog(log: readonly RevisionRecord[]): string {
  return log.map(({ revision, events }) => `${revision}: ${events.map(describeEvent).join()}`).join('; ')
}

function textOf(result: ModelResult, explained: Explained): string {
  if (explained !== 'values') return describeResult(result)
  const steps = result.kind === 'transaction' ? result.results : [result]
  const texts = steps.map((step) => {
    if (step.kind !== 'range') return describeResult(step)
    const pairs = step.pairs.map((pair) => describePair({ ...pair, createRevision: 0, modRevision: 0 }))
    return `${step.count}${step.more ? '+' : ''} ${pairs.join()}`
  })
  return `${result.kind === 'transaction' ? result.succeeded : ''} ${texts.join('; ')}`
}
