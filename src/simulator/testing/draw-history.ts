/** Random histories of the key-value store: right by construction, and then changed in one place. */
import { assert, present, type SeededRandom } from '../../base/index.ts'
import type { KvHistory } from '../check-kv.ts'
import type { CallOutcome, RecordedCall, Sighting } from '../history.ts'
import {
  KvModel,
  type ModelPair,
  type ModelRequest,
  type ModelResult,
  type RevisionRecord,
} from '../kv-model.ts'

export interface DrawnHistory extends KvHistory {
  readonly calls: RecordedCall[]
  readonly log: RevisionRecord[]
  readonly sightings: Sighting[]
  readonly leases: bigint[]
}

export interface DrawOptions {
  readonly size: number
  /** Draws how long before or after its effect a call begins or returns; the effects are 1 apart. */
  readonly drawSpread: () => number
  /** Serializable reads and what watchers saw are drawn too. */
  readonly isMixed: boolean
  /** No two puts have the same value. */
  readonly isUnique: boolean
}

export const drawnLease = 7n

/** Every call takes effect at one point between its call and its return. */
export function drawHistory(random: SeededRandom, options: DrawOptions): DrawnHistory {
  const model = new KvModel()
  const states = [model.copy()]
  const history: DrawnHistory = { calls: [], log: [], sightings: [], leases: [drawnLease] }
  let hasLease = true
  /** What each server may have applied when it was last read. */
  const applied = new Map<string, number>()
  const advance = (events: RevisionRecord['events']): void => {
    if (events.length === 0) return
    const record = { revision: model.revision + 1, events }
    model.apply(record)
    states.push(model.copy())
    history.log.push(record)
  }
  const stateAt = (revision: number): KvModel => present(states[revision - 1], 'states are of all revisions')

  for (let id = 1; id <= options.size; id++) {
    const point = 10 + id
    if (hasLease && random.chance(0.05)) {
      const keys = model.keysOfLease(drawnLease)
      hasLease = keys.length === 0
      advance(keys.map((key) => ({ kind: 'delete', key })))
    }
    const request = drawRequest(random, id, options.isUnique)
    const isRange = request.kind === 'range'
    const isSerializable = options.isMixed && isRange && random.chance(0.3)
    const atRevision =
      isRange && !isSerializable && random.chance(0.1) ? random.between(1, model.revision + 1) : 0
    const server = random.pick(['s1', 's2'])
    if (isSerializable) applied.set(server, random.between(applied.get(server) ?? 1, model.revision + 1))
    const seen = isSerializable ? stateAt(applied.get(server) ?? 1) : model
    const { result, events } = (atRevision === 0 ? seen : stateAt(atRevision)).evaluate(request)
    const isAnswered = random.chance(0.8)
    const isDone = isAnswered || random.chance(0.5)
    if (isDone) advance(events)
    const lost: CallOutcome = { kind: isDone || random.chance(0.5) ? 'unknown' : 'failed' }
    const revision = isSerializable ? seen.revision : model.revision
    const returnedAt = point + options.drawSpread()
    history.calls.push({
      id,
      // One client would wait for its answer; so only the reads of sessions share one.
      client: isSerializable ? 'reader' : `c${id}`,
      server,
      request,
      isSerializable,
      atRevision,
      calledAt: point - options.drawSpread(),
      outcome: isAnswered ? { kind: 'answered', returnedAt, revision, result } : lost,
    })
    if (options.isMixed && random.chance(0.1)) {
      history.sightings.push({ revision: model.revision, seenAt: point + options.drawSpread() })
    }
  }
  return history
}

function drawRequest(random: SeededRandom, id: number, isUnique: boolean): ModelRequest {
  const key = random.pick(['a', 'b', 'c'])
  const value = !isUnique && random.chance(0.2) ? 'same' : `v${id}`
  const put = { kind: 'put', key, value, lease: random.chance(0.15) ? drawnLease : 0n } as const
  switch (random.between(0, 6)) {
    case 0:
      return { kind: 'delete', key, end: random.pick(['', '', 'c']) }
    case 1:
    case 2:
      return {
        kind: 'range',
        key: random.pick(['a', key]),
        end: random.pick(['', '\0']),
        limit: random.pick([0, 1]),
      }
    case 3: {
      const operand = random.between(0, 3)
      const compare = { key, end: '', target: 'version', result: 'equal', operand } as const
      const read = { kind: 'range', key, end: '', limit: 0 } as const
      const other = { ...put, key: random.pick(['a', 'b', 'c']), value: `${value}else`, lease: 0n }
      const failure = random.chance(0.3) ? [other] : [read]
      return { kind: 'transaction', compare: [compare], success: [put, read], failure }
    }
    default:
      return put
  }
}

/** Changes one thing; the history may be right nevertheless. */
export function mutateHistory(random: SeededRandom, history: DrawnHistory): DrawnHistory {
  const changed: DrawnHistory = {
    calls: [...history.calls],
    log: [...history.log],
    sightings: [...history.sightings],
    leases: history.leases,
  }
  const choice = random.unit()
  if (choice < 0.12 && changed.log.length > 0) mutateLog(random, changed.log)
  else if (choice < 0.2) {
    changed.sightings.push({
      revision: random.between(1, history.log.length + 2),
      seenAt: 8 + random.between(0, 12),
    })
  } else if (history.calls.length > 0) {
    const place = random.between(0, history.calls.length)
    const call = present(history.calls[place], 'inside')
    if (choice < 0.26) changed.calls.splice(place, 1)
    else if (choice < 0.3) changed.calls.push({ ...call, id: call.id + 100 })
    else changed.calls[place] = mutateCall(random, call, history.log)
  }
  return changed
}

function mutateLog(random: SeededRandom, log: RevisionRecord[]): void {
  const place = random.between(0, log.length)
  const record = present(log[place], 'inside')
  const [first, ...others] = record.events
  assert(first !== undefined, 'records change something')
  switch (random.between(0, 4)) {
    case 0:
      log.pop()
      return
    case 1:
      log.push({ revision: log.length + 2, events: [{ kind: 'delete', key: random.pick(['a', 'b', 'c']) }] })
      return
    case 2:
      log[place] = { ...record, events: [...others, first] }
      return
    default: {
      const event =
        first.kind === 'put'
          ? ({ kind: 'put', pair: mutatePair(random, first.pair) } as const)
          : ({ kind: 'delete', key: random.pick(['a', 'b', 'c']) } as const)
      log[place] = { ...record, events: [event, ...others] }
    }
  }
}

function mutateCall(random: SeededRandom, call: RecordedCall, log: readonly RevisionRecord[]): RecordedCall {
  const { outcome } = call
  const shift = random.between(1, 5)
  if (outcome.kind !== 'answered') {
    if (random.chance(0.5)) return { ...call, calledAt: call.calledAt + shift }
    return { ...call, outcome: { kind: outcome.kind === 'failed' ? 'unknown' : 'failed' } }
  }
  const revision = Math.max(1, outcome.revision + random.pick([-2, -1, -1, 1]))
  switch (random.between(0, 8)) {
    case 0:
      return { ...call, outcome: { kind: random.pick(['unknown', 'failed']) } }
    case 1:
      return { ...call, outcome: { ...outcome, revision } }
    case 2:
      return { ...call, calledAt: Math.min(call.calledAt + shift, outcome.returnedAt) }
    case 3:
      return {
        ...call,
        outcome: { ...outcome, returnedAt: Math.max(outcome.returnedAt - shift, call.calledAt) },
      }
    case 4:
      return {
        ...call,
        calledAt: call.calledAt + shift,
        outcome: { ...outcome, returnedAt: outcome.returnedAt + shift },
      }
    case 5: {
      // What it would have been answered elsewhere in the order: the mistake that servers make.
      const model = new KvModel()
      for (const record of log) if (record.revision <= revision) model.apply(record)
      const { result } = model.evaluate(call.request)
      return { ...call, outcome: { ...outcome, revision: model.revision, result } }
    }
    default:
      return { ...call, outcome: { ...outcome, result: mutateResult(random, outcome.result) } }
  }
}

export function mutateResult(random: SeededRandom, result: ModelResult): ModelResult {
  switch (result.kind) {
    case 'range': {
      if (result.pairs.length === 0 || random.chance(0.3)) return { ...result, count: result.count + 1 }
      const place = random.between(0, result.pairs.length)
      const pair = mutatePair(random, present(result.pairs[place], 'inside'))
      return {
        ...result,
        pairs: random.chance(0.3) ? result.pairs.toSpliced(place, 1) : result.pairs.with(place, pair),
      }
    }
    case 'put':
      return { kind: 'delete', deleted: 1 }
    case 'delete':
      return { ...result, deleted: result.deleted + 1 }
    case 'transaction':
      return { ...result, succeeded: !result.succeeded }
    default:
      return { kind: 'put' }
  }
}

function mutatePair(random: SeededRandom, pair: ModelPair): ModelPair {
  switch (random.between(0, 5)) {
    case 0:
      return {
        ...pair,
        value: random.pick(['v1', 'v2', 'same', 'other'].filter((value) => value !== pair.value)),
      }
    case 1:
      return { ...pair, version: pair.version + 1 }
    case 2:
      return { ...pair, modRevision: pair.modRevision + random.pick([-1, 1]) }
    case 3:
      return { ...pair, createRevision: pair.createRevision - 1 }
    default:
      return { ...pair, lease: pair.lease === 0n ? drawnLease : 0n }
  }
}
