/**
 * What a watch stream promises, checked against the log of revisions. The nine names are those of etcd's API guarantees
 * and of the validators of its robustness tests:
 * - filter: nothing outside the span, nothing of a kind that was not asked for;
 * - ordered: revisions never fall, and no event is ahead of its answer's header;
 * - unique: no event comes twice;
 * - atomic: all events of a revision together, in one answer or in fragments that were asked for;
 * - reliable: between the first and the last event nothing is left out;
 * - resumable: from the start revision on nothing is left out before the first event;
 * - bookmarkable: a progress mark at R means that everything up to R was told, and nothing of it comes later;
 * - previous value: what was there before, exactly when it was asked for and there was something;
 * - created or modified: create revision, version and mod revision tell a new key from a changed one.
 * And three of our own: true (the event is in the log), compacted (only a compaction of what it still had to tell ends a
 * watch early, and nothing follows), future (from a start revision that is still to come, nothing older is told, not
 * even progress).
 *
 * Cost: linear in the log, and for each watch in the records of the log that it covers.
 */
import { present } from '../base/index.ts'
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
  const told = new ToldLog(log)
  return watches.flatMap((watch) => new WatchChecker(told, watch).check())
}

/** Every event of the log with what was there before it. */
class ToldLog {
  readonly #events: ToldEvent[] = []

  constructor(log: readonly RevisionRecord[]) {
    const model = new KvModel()
    for (const { revision, events } of log) {
      for (const event of events) this.#events.push({ event, revision, previous: model.get(keyOf(event)) })
      model.apply({ revision, events })
    }
  }

  /** The place of the first event of this revision or a later one. */
  placeOf(revision: number): number {
    let first = 0
    for (let end = this.#events.length; first < end; ) {
      const middle = (first + end) >> 1
      if (present(this.#events[middle], 'inside').revision < revision) first = middle + 1
      else end = middle
    }
    return first
  }

  at(place: number): ToldEvent | undefined {
    return this.#events[place]
  }

  /** The place of the event that changed the same key in the same revision, and in the same way. */
  find({ revision, event }: ToldEvent): number | undefined {
    for (let i = this.placeOf(revision); this.#events[i]?.revision === revision; i++) {
      const one = present(this.#events[i], 'inside').event
      if (keyOf(one) === keyOf(event) && isSameChange(one, event)) return i
    }
    return undefined
  }
}

type Fault = readonly [promise: string, facts: string]

/** Goes through one stream; the first broken promise ends it, since all that follows would be noise. */
class WatchChecker {
  readonly #log: ToldLog
  readonly #watch: RecordedWatch
  readonly #start: number
  /** Of the next event that is to be told, or of one before it. */
  #place: number
  #latest = 0
  #marked = 0
  /** A revision whose fragments are still to come. */
  #openFragment = 0
  #isEnded = false

  constructor(log: ToldLog, watch: RecordedWatch) {
    const { startRevision } = watch.request
    this.#log = log
    this.#watch = watch
    this.#start = startRevision === 0 ? watch.createdRevision + 1 : startRevision
    this.#place = log.placeOf(this.#start)
  }

  check(): Violation[] {
    const { name, messages, completeThrough } = this.#watch
    const fault = this.#takeAll(messages) ?? this.#missing(completeThrough)
    if (fault === undefined) return []
    const [promise, facts] = fault
    return [{ promise: `watch: ${promise}`, facts: `${name}: ${facts}` }]
  }

  #takeAll(messages: readonly WatchMessage[]): Fault | undefined {
    for (const message of messages) {
      const fault = this.#take(message)
      if (fault !== undefined) return fault
    }
    return undefined
  }

  #missing(completeThrough: number): Fault | undefined {
    const left = this.#expected()
    if (this.#isEnded || left === undefined || left.revision > completeThrough) return undefined
    const facts = `${describeTold(left)} was never told, though the watch went on to ${completeThrough}`
    return [this.#latest === 0 ? 'resumable' : 'reliable', facts]
  }

  /** The next event that is to be told. */
  #expected(): ToldEvent | undefined {
    for (let one = this.#log.at(this.#place); one !== undefined; one = this.#log.at(++this.#place)) {
      if (matches(one.event, this.#watch.request)) return one
    }
    return undefined
  }

  #take(message: WatchMessage): Fault | undefined {
    if (this.#isEnded) return ['compacted', `${message.kind} came after the end`]
    switch (message.kind) {
      case 'compacted': {
        this.#isEnded = true
        const next = Math.max(this.#start, this.#latest + 1, this.#marked + 1)
        if (message.compactRevision >= next) return undefined
        return ['compacted', `ended at ${message.compactRevision}, but ${next} was still there`]
      }
      case 'progress':
        return this.#takeMark(message.revision)
      default:
        return this.#takeEvents(message)
    }
  }

  #takeMark(revision: number): Fault | undefined {
    const { startRevision } = this.#watch.request
    if (revision < startRevision) return ['future', `mark ${revision} of a watch from ${startRevision} on`]
    const missed = this.#expected()
    if (missed !== undefined && missed.revision <= revision) {
      return ['bookmarkable', `mark ${revision} came before ${describeTold(missed)}`]
    }
    this.#marked = Math.max(this.#marked, revision)
    return undefined
  }

  #takeEvents({ revision, events, fragment }: WatchMessage & { readonly kind: 'events' }): Fault | undefined {
    const [first] = events
    if (first === undefined) return ['reliable', `an answer at ${revision} without events`]
    if (this.#openFragment !== 0 && first.revision !== this.#openFragment) {
      return ['atomic', `revision ${this.#openFragment} was left open`]
    }
    for (const one of events) {
      if (one.revision > revision)
        return ['ordered', `${describeTold(one)} is ahead of the answer's revision ${revision}`]
      const fault = this.#takeEvent(one)
      if (fault !== undefined) return fault
    }
    const next = this.#expected()
    const isCut = next !== undefined && next.revision === this.#latest
    if (isCut && !(this.#watch.request.fragment && fragment)) {
      return ['atomic', `revision ${this.#latest} was told without ${describeTold(next)}`]
    }
    this.#openFragment = isCut ? this.#latest : 0
    return undefined
  }

  #takeEvent(one: ToldEvent): Fault | undefined {
    const { request } = this.#watch
    const wanted = this.#expected()
    const instead = (): string => (wanted === undefined ? '' : `, expected ${describeTold(wanted)}`)
    if (!matches(one.event, request)) return ['filter', `${describeTold(one)} was not asked for`]
    if (one.revision < this.#start) return ['future', `${describeTold(one)} is before ${this.#start}`]
    if (one.revision < this.#latest) return ['ordered', `${describeTold(one)} came after ${this.#latest}`]
    if (one.revision <= this.#marked)
      return ['bookmarkable', `${describeTold(one)} came after mark ${this.#marked}`]
    const place = this.#log.find(one)
    if (place === undefined) return ['true', `${describeTold(one)} is not in the log${instead()}`]
    if (wanted === undefined || place < this.#place) return ['unique', `${describeTold(one)} came twice`]
    if (place > this.#place)
      return [this.#latest === 0 ? 'resumable' : 'reliable', `${describeTold(one)}${instead()}`]
    if (describeEvent(one.event) !== describeEvent(wanted.event)) {
      return ['created or modified', `${describeTold(one)}${instead()}`]
    }
    const previous = request.previous ? wanted.previous : undefined
    const text = (pair: ModelPair | undefined): string => (pair === undefined ? 'none' : describePair(pair))
    if (text(one.previous) !== text(previous)) {
      return ['previous value', `${describeTold(one)} after ${text(one.previous)} and not ${text(previous)}`]
    }
    this.#place++
    this.#latest = one.revision
    return undefined
  }
}

function keyOf(event: ModelEvent): string {
  return event.kind === 'put' ? event.pair.key : event.key
}

/** But for the counters, which have their own promise. */
function isSameChange(left: ModelEvent, right: ModelEvent): boolean {
  if (left.kind === 'delete' || right.kind === 'delete') return left.kind === right.kind
  return left.pair.value === right.pair.value && left.pair.lease === right.pair.lease
}

function matches(event: ModelEvent, request: WatchRequest): boolean {
  if (event.kind === 'put') return !request.noPut && isInSpan(event.pair.key, request)
  return !request.noDelete && isInSpan(event.key, request)
}

function describeTold(told: ToldEvent): string {
  return `${told.revision}: ${describeEvent(told.event)}`
}
