import { assert, QuorateError, RingQueue } from '../base/index.ts'
import type { WatchCreate, WatchEvent, WatchOutput, WatchStream } from './contract.ts'
import { replaced } from './operation-check.ts'
import type { StreamWatcher, WatchHub } from './watch-hub.ts'
import {
  changesAt,
  eventOf,
  eventSize,
  eventsFor,
  isWatched,
  pastChanges,
  pastRowsPerSlice,
  wantsKind,
  watchedKeys,
} from './watcher.ts'

/** Texts that clients of etcd compare. */
const refusals = {
  duplicate: 'mvcc: duplicate watch ID provided on the WatchStream',
  empty: 'mvcc: watcher range is empty',
  negative: 'etcdserver: mvcc: required revision has been compacted',
} as const

/**
 * All watchers of one client, pulled by the door. Answers to requests go first, so that `created` stands before
 * everything else of its watcher; then watchers with something to tell, in turn; then progress, which therefore is
 * never ahead of an event.
 */
export class StreamOfWatchers implements WatchStream {
  readonly #hub: WatchHub
  readonly #onReady: () => void
  readonly #watchers = new Map<number, StreamWatcher>()
  readonly #answers: RingQueue<WatchOutput>
  #queue: RingQueue<StreamWatcher>
  /** A revision cut into fragments: the rest goes out before anything else. */
  #rest: { watcher: StreamWatcher; events: readonly WatchEvent[] } | undefined
  readonly #progressDue: RingQueue<StreamWatcher>
  #owesProgress = false
  #nextId = 0
  /** `next` had nothing more: the door waits to be called. */
  #isDrained = true
  #isClosed = false

  constructor(hub: WatchHub, onReady: () => void) {
    this.#hub = hub
    this.#onReady = onReady
    this.#answers = new RingQueue(2 * hub.limits.watchersPerStreamMax)
    this.#queue = new RingQueue(hub.limits.watchersPerStreamMax)
    this.#progressDue = new RingQueue(hub.limits.watchersPerStreamMax)
    hub.streams.add(this)
  }

  get watcherCount(): number {
    return this.#watchers.size
  }

  // ---- requests --------------------------------------------------------------------------------------------------

  create(request: WatchCreate): void {
    this.#assertOpen()
    // Which revisions are past and which are to come is not known: a watcher from the past would miss it.
    if (this.#hub.isRestoring) throw replaced()
    const { keys, limits } = this.#hub
    if (this.#watchers.size === limits.watchersPerStreamMax) {
      throw new QuorateError('overloaded', `a stream has at most ${limits.watchersPerStreamMax} watchers`)
    }
    const watched = watchedKeys(request)
    const { startRevision } = request
    if (watched === undefined) {
      this.#refuse(refusals.empty)
      return
    }
    if (request.watchId !== 0 && this.#watchers.has(request.watchId)) {
      this.#refuse(refusals.duplicate)
      return
    }
    if (startRevision < 0) {
      this.#refuse(refusals.negative)
      return
    }
    const id = request.watchId === 0 ? this.#freeId() : request.watchId
    this.#answer({ kind: 'created', watchId: id, revision: keys.revision })
    if (startRevision > 0 && startRevision < keys.compactRevision) {
      this.#answer({ kind: 'compacted', watchId: id, compactRevision: keys.compactRevision })
      this.#hub.wake()
      return
    }
    const watcher: StreamWatcher = {
      stream: this,
      id,
      watched,
      previous: request.previous,
      noPut: request.noPut,
      noDelete: request.noDelete,
      progressNotify: request.progressNotify,
      fragment: request.fragment,
      startRevision,
      isBehind: startRevision > 0 && startRevision <= keys.revision,
      cursor: startRevision === 0 ? keys.revision + 1 : startRevision,
      cursorSub: 0,
      pending: undefined,
      isRemoved: false,
      isQueued: false,
      isProgressDue: false,
      wasTold: false,
    }
    this.#watchers.set(id, watcher)
    this.#hub.register(watcher)
    if (watcher.isBehind) this.#enqueue(watcher)
    this.#hub.wake()
  }

  cancel(watchId: number): void {
    this.#assertOpen()
    const watcher = this.#watchers.get(watchId)
    if (watcher === undefined) return
    this.#remove(watcher)
    this.#answer({ kind: 'canceled', watchId, revision: this.#hub.keys.revision, reason: '' })
    this.#hub.wake()
  }

  requestProgress(): void {
    this.#assertOpen()
    this.#owesProgress = true
    this.#hub.owingProgress.add(this)
    this.offerProgress()
    this.#hub.wake()
  }

  notifyProgress(): void {
    this.#assertOpen()
    for (const watcher of this.#watchers.values()) {
      if (!watcher.progressNotify) continue
      const isDue = !watcher.wasTold && this.#canTellProgress(watcher)
      watcher.wasTold = false
      // Progress is a courtesy: one that finds no room is left out.
      if (isDue && !watcher.isProgressDue) watcher.isProgressDue = this.#progressDue.push(watcher)
    }
    if (this.#progressDue.size > 0) this.#wakeLater()
    this.#hub.wake()
  }

  close(): void {
    if (this.#isClosed) return
    for (const watcher of this.#watchers.values()) this.#remove(watcher)
    this.#isClosed = true
    this.#rest = undefined
    this.#hub.streams.delete(this)
    this.#hub.owingProgress.delete(this)
  }

  #freeId(): number {
    while (this.#watchers.has(this.#nextId)) this.#nextId++
    return this.#nextId++
  }

  #refuse(reason: string): void {
    this.#answer({ kind: 'createRefused', watchId: -1, reason, revision: this.#hub.keys.revision })
    this.#hub.wake()
  }

  #answer(output: WatchOutput): void {
    if (!this.#answers.push(output)) {
      throw new QuorateError('overloaded', 'a stream is asked faster than its answers are read')
    }
    this.#wakeLater()
  }

  #remove(watcher: StreamWatcher): void {
    this.#watchers.delete(watcher.id)
    this.#hub.unregister(watcher)
    watcher.isRemoved = true
    if (this.#rest?.watcher === watcher) this.#rest = undefined
  }

  #assertOpen(): void {
    assert(!this.#isClosed, 'a closed watch stream is not used')
  }

  // ---- from the hub ----------------------------------------------------------------------------------------------

  /** A change of `revision` concerns the watcher. */
  concerned(watcher: StreamWatcher, revision: number): void {
    const { pendingRevisionsMax } = this.#hub.limits
    watcher.pending ??= new RingQueue(pendingRevisionsMax)
    const { pending } = watcher
    if (!pending.push(revision)) this.#becomeBehind(watcher, pending.peek() ?? revision)
    assert(pending.size <= pendingRevisionsMax, 'what waits for a watcher is bounded')
    this.#enqueue(watcher)
  }

  /** The search in the background came to a revision that concerns the watcher, or to the end. */
  searched(watcher: StreamWatcher, isAtEnd: boolean): void {
    if (isAtEnd) this.#becomeCurrent(watcher)
    else this.#enqueue(watcher)
  }

  offerProgress(): void {
    if (this.#watchers.size === 0) this.#dropProgress()
    else if (this.#canTellAll()) this.#wakeLater()
  }

  fallBehind(revision: number): void {
    for (const watcher of this.#watchers.values()) {
      if (watcher.isBehind) continue
      this.#becomeBehind(watcher, watcher.pending?.peek() ?? Math.max(watcher.cursor, revision + 1))
    }
  }

  goOn(): void {
    for (const watcher of this.#watchers.values()) {
      if (watcher.cursor > this.#hub.keys.revision) watcher.isBehind = false
      else this.#enqueue(watcher)
    }
  }

  callReady(): void {
    if (!this.#isClosed) this.#onReady()
  }

  #becomeBehind(watcher: StreamWatcher, cursor: number): void {
    watcher.isBehind = true
    watcher.cursor = cursor
    watcher.cursorSub = 0
    watcher.pending = undefined
  }

  #becomeCurrent(watcher: StreamWatcher): void {
    watcher.isBehind = false
    watcher.cursor = this.#hub.keys.revision + 1
    watcher.cursorSub = 0
  }

  #enqueue(watcher: StreamWatcher): void {
    if (watcher.isQueued) return
    if (this.#queue.isFull) this.#sweepQueue()
    watcher.isQueued = true
    const isNew = this.#queue.push(watcher)
    assert(isNew, 'each watcher stands in the queue once')
    this.#wakeLater()
  }

  /** Watchers that were cancelled leave their place in the queue behind. */
  #sweepQueue(): void {
    const swept = new RingQueue<StreamWatcher>(this.#queue.capacity)
    for (let watcher = this.#queue.shift(); watcher !== undefined; watcher = this.#queue.shift()) {
      if (!watcher.isRemoved) swept.push(watcher)
    }
    this.#queue = swept
  }

  #wakeLater(): void {
    if (!this.#isDrained) return
    this.#isDrained = false
    this.#hub.wakeLater(this)
  }

  // ---- outputs ---------------------------------------------------------------------------------------------------

  next(bytesMax: number): WatchOutput | undefined {
    this.#assertOpen()
    const output = this.#hub.isRestoring ? this.#answers.shift() : this.#nextOutput(bytesMax)
    if (output === undefined) this.#isDrained = true
    return output
  }

  #nextOutput(bytesMax: number): WatchOutput | undefined {
    if (this.#rest !== undefined) return this.#fragment(this.#rest.watcher, this.#rest.events, bytesMax)
    const answer = this.#answers.shift()
    if (answer !== undefined) return answer
    for (let watcher = this.#queue.shift(); watcher !== undefined; watcher = this.#queue.shift()) {
      watcher.isQueued = false
      if (watcher.isRemoved) continue
      const output = watcher.isBehind ? this.#readPast(watcher, bytesMax) : this.#readTail(watcher, bytesMax)
      if (output !== undefined) return output
    }
    return this.#duePeriodicProgress() ?? this.#dueProgress()
  }

  /** What waits for a watcher that keeps up: whole revisions, up to about `bytesMax`. */
  #readTail(watcher: StreamWatcher, bytesMax: number): WatchOutput | undefined {
    const { keys, compaction } = this.#hub
    const { pending } = watcher
    const events: WatchEvent[] = []
    let bytes = 0
    while (pending !== undefined && pending.size > 0 && bytes < bytesMax) {
      const revision = pending.peek() as number
      const tail = this.#hub.tailAt(revision)
      if (tail === undefined && revision < compaction.startedRevision) {
        if (events.length > 0) break
        return this.#compacted(watcher)
      }
      pending.shift()
      const found = tail === undefined ? this.#eventsAt(watcher, revision) : eventsFor(watcher, tail)
      for (const event of found) {
        events.push(event)
        bytes += eventSize(event)
      }
      watcher.cursor = revision + 1
    }
    if (pending !== undefined && pending.size > 0) this.#enqueue(watcher)
    assert(keys.revision >= watcher.cursor - 1, 'a watcher is told of what is applied')
    return this.#told(watcher, events, bytesMax)
  }

  #eventsAt(watcher: StreamWatcher, revision: number): WatchEvent[] {
    const { keys } = this.#hub
    const events: WatchEvent[] = []
    for (const record of changesAt(keys, revision)) {
      if (!wantsKind(watcher, record.isPut) || !isWatched(watcher.watched, record.key)) continue
      events.push(eventOf(keys, record, revision, watcher.previous))
    }
    return events
  }

  /** What a watcher that is behind finds next in the store. Never a part of a revision; a bounded search. */
  #readPast(watcher: StreamWatcher, bytesMax: number): WatchOutput | undefined {
    const { keys } = this.#hub
    if (watcher.cursor < keys.compactRevision) return this.#compacted(watcher)
    const events: WatchEvent[] = []
    let bytes = 0
    let rows = 0
    let isAtEnd = true
    for (const { revision, sub, record } of pastChanges(keys, watcher)) {
      const isFull = bytes >= bytesMax || rows >= pastRowsPerSlice
      const isBetween =
        events.length === 0 || revision > (events[events.length - 1] as WatchEvent).pair.modRevision
      watcher.cursor = revision
      watcher.cursorSub = sub
      if (isFull && isBetween) {
        isAtEnd = false
        break
      }
      rows++
      if (record === undefined) continue
      const event = eventOf(keys, record, revision, watcher.previous)
      events.push(event)
      bytes += eventSize(event)
    }
    if (isAtEnd) this.#becomeCurrent(watcher)
    else if (events.length > 0) this.#enqueue(watcher)
    else this.#hub.searching.add(watcher)
    return this.#told(watcher, events, bytesMax, isAtEnd ? keys.revision : undefined)
  }

  /**
   * `revision`: up to where nothing else concerns the watcher, where that is known; else that of the last event. It
   * is never ahead of an event that is still to come.
   */
  #told(
    watcher: StreamWatcher,
    events: readonly WatchEvent[],
    bytesMax: number,
    revision?: number,
  ): WatchOutput | undefined {
    const last = events[events.length - 1]
    if (last === undefined) return undefined
    watcher.wasTold = true
    if (watcher.fragment) return this.#fragment(watcher, events, bytesMax)
    const told = revision ?? last.pair.modRevision
    return { kind: 'events', watchId: watcher.id, revision: told, events, fragment: false }
  }

  /** As many events as fit, at least one. */
  #fragment(watcher: StreamWatcher, events: readonly WatchEvent[], bytesMax: number): WatchOutput {
    let count = 0
    for (let bytes = 0; count < events.length; count++) {
      bytes += eventSize(events[count] as WatchEvent)
      if (bytes > bytesMax && count > 0) break
    }
    const part = events.slice(0, count)
    const rest = events.slice(count)
    this.#rest = rest.length === 0 ? undefined : { watcher, events: rest }
    const revision = (part[part.length - 1] as WatchEvent).pair.modRevision
    return { kind: 'events', watchId: watcher.id, revision, events: part, fragment: rest.length > 0 }
  }

  #compacted(watcher: StreamWatcher): WatchOutput {
    this.#remove(watcher)
    return { kind: 'compacted', watchId: watcher.id, compactRevision: this.#hub.keys.compactRevision }
  }

  // ---- progress --------------------------------------------------------------------------------------------------

  /** Nothing at or before the store's revision is left to tell, and the client asked to hear of it already. */
  #canTellProgress(watcher: StreamWatcher): boolean {
    if (watcher.isBehind || watcher.isQueued || (watcher.pending?.size ?? 0) > 0) return false
    return this.#rest?.watcher !== watcher && watcher.startRevision <= this.#hub.keys.revision
  }

  #canTellAll(): boolean {
    for (const watcher of this.#watchers.values()) if (!this.#canTellProgress(watcher)) return false
    return this.#watchers.size > 0
  }

  #duePeriodicProgress(): WatchOutput | undefined {
    for (
      let watcher = this.#progressDue.shift();
      watcher !== undefined;
      watcher = this.#progressDue.shift()
    ) {
      watcher.isProgressDue = false
      if (watcher.isRemoved || watcher.wasTold || !this.#canTellProgress(watcher)) continue
      return { kind: 'progress', watchId: watcher.id, revision: this.#hub.keys.revision }
    }
    return undefined
  }

  #dueProgress(): WatchOutput | undefined {
    if (!this.#owesProgress || !this.#canTellAll()) return undefined
    this.#dropProgress()
    return { kind: 'progress', watchId: -1, revision: this.#hub.keys.revision }
  }

  #dropProgress(): void {
    this.#owesProgress = false
    this.#hub.owingProgress.delete(this)
  }
}
