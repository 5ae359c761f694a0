/**
 * What a watch stream promises, checked against the log of revisions (sources: etcd's API guarantees and the
 * validators of its robustness tests):
 * ordered (revisions never fall), unique (no event twice), atomic (all events of a revision together), reliable (no
 * event is left out), resumable (from the start revision on, nothing is missing), bookmarkable (a progress mark at R
 * means that everything up to R was told), and each event is true: key, value, counters,
 * created or not, previous value, filters.
 */
import type { Violation } from './history.ts'
import {
  describeEvent,
  describePair,
  isInSpan,
  type KeySpan,
  KvModel,
  type ModelEvent,
  type ModelPair,
  type RevisionRecord,
} from './kv-model.ts'

export interface WatchRequest extends KeySpan {
  /** 0: from the next change on. */
  readonly startRevision: number
  readonly previous: boolean
  readonly noPut: boolean
  readonly noDelete: boolean
  readonly fragment: boolean
}

export interface ToldEvent {
  readonly event: ModelEvent
  readonly revision: number
  readonly previous: ModelPair | undefined
}

export type WatchMessage =
  /** `revision` is that of the header. */
  | {
      readonly kind: 'events'
      readonly revision: number
      readonly events: readonly ToldEvent[]
      readonly fragment: boolean
    }
  | { readonly kind: 'progress'; readonly revision: number }
  | { readonly kind: 'compacted'; readonly compactRevision: number }

/** One watch from its creation to its end, as its client saw it. */
export interface RecordedWatch {
  readonly name: string
  readonly request: WatchRequest
  /** Header revision of the creation. */
  readonly createdRevision: number
  readonly messages: readonly WatchMessage[]
  /** Everything up to this revision must have been told by the end; 0: no claim. */
  readonly completeThrough: number
}

export function checkWatches(log: readonly RevisionRecord[], watches: readonly RecordedWatch[]): Violation[] {
  const told = toldByLog(log)
  return watches.flatMap((watch) => checkWatch(told, watch))
}

/** Every event of the log with what was there before it. */
function toldByLog(log: readonly RevisionRecord[]): ToldEvent[] {
  const model = new KvModel()
  const told: ToldEvent[] = []
  for (const { revision, events } of log) {
    for (const event of events) {
      const key = event.kind === 'put' ? event.pair.key : event.key
      told.push({ event, revision, previous: model.get(key) })
    }
    model.apply({ revision, events })
  }
  return told
}

function checkWatch(told: readonly ToldEvent[], watch: RecordedWatch): Violation[] {
  const { request } = watch
  const start = request.startRevision === 0 ? watch.createdRevision + 1 : request.startRevision
  const expected = told.filter((one) => one.revision >= start && matches(one.event, request))
  const violations: Violation[] = []
  const report = (promise: string, facts: string): Violation[] => {
    violations.push({ promise: `watch: ${promise}`, facts: `${watch.name}: ${facts}` })
    return violations
  }
  let position = 0
  let latest = 0
  let marked = 0
  let openFragment = 0
  for (const message of watch.messages) {
    if (message.kind === 'compacted') {
      const next = Math.max(start, latest + 1, marked + 1)
      if (message.compactRevision < next) {
        return report('compacted', `ended at ${message.compactRevision}, but ${next} was still there`)
      }
      continue
    }
    if (message.kind === 'progress') {
      const missed = expected[position]
      if (missed !== undefined && missed.revision <= message.revision) {
        return report('bookmarkable', `mark ${message.revision} came before ${describeTold(missed)}`)
      }
      marked = Math.max(marked, message.revision)
      continue
    }
    if (message.events.length === 0) report('reliable', `an answer at ${message.revision} without events`)
    for (const one of message.events) {
      if (one.revision < latest) return report('ordered', `${describeTold(one)} came after ${latest}`)
      if (one.revision > message.revision) {
        return report('ordered', `${describeTold(one)} is ahead of the answer's revision ${message.revision}`)
      }
      const wanted = expected[position]
      const fault = wanted === undefined ? 'nothing is left to tell' : faultOf(one, wanted, request)
      if (wanted === undefined || fault !== undefined) {
        const isRepeat = expected.slice(0, position).some((other) => isSame(other, one))
        const isLater = expected.slice(position + 1).some((other) => isSame(other, one))
        const promise = isRepeat ? 'unique' : isLater ? 'reliable' : 'true'
        const instead = wanted === undefined ? '' : `, expected ${describeTold(wanted)}`
        return report(promise, `${describeTold(one)}: ${fault}${instead}`)
      }
      position++
      latest = one.revision
    }
    const next = expected[position]
    const isCut = next !== undefined && next.revision === latest
    if (isCut && !(request.fragment && message.fragment)) {
      return report('atomic', `revision ${latest} was told without ${describeTold(next)}`)
    }
    if (openFragment !== 0 && message.events[0]?.revision !== openFragment) {
      return report('atomic', `revision ${openFragment} was left open`)
    }
    openFragment = isCut ? latest : 0
  }
  const left = expected[position]
  if (left !== undefined && left.revision <= watch.completeThrough) {
    report(
      'reliable',
      `${describeTold(left)} was never told, though the watch went on to ${watch.completeThrough}`,
    )
  }
  return violations
}

function matches(event: ModelEvent, request: WatchRequest): boolean {
  if (event.kind === 'put') return !request.noPut && isInSpan(event.pair.key, request)
  return !request.noDelete && isInSpan(event.key, request)
}

/** What is wrong with a told event, or undefined. */
function faultOf(told: ToldEvent, wanted: ToldEvent, request: WatchRequest): string | undefined {
  if (!isSame(told, wanted)) return 'not the next event'
  const previous = request.previous ? wanted.previous : undefined
  const text = (pair: ModelPair | undefined): string => (pair === undefined ? 'none' : describePair(pair))
  if (text(told.previous) === text(previous)) return undefined
  return `previous value is ${text(told.previous)} and not ${text(previous)}`
}

function isSame(left: ToldEvent, right: ToldEvent): boolean {
  return left.revision === right.revision && describeEvent(left.event) === describeEvent(right.event)
}

function describeTold(told: ToldEvent): string {
  return `${told.revision}: ${describeEvent(told.event)}`
}
