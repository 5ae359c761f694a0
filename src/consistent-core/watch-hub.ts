import { assert } from '../base/index.ts'
import { WatchRegistry } from '../watch/index.ts'
import type { Compaction } from './compaction.ts'
import type { WatchEvent } from './contract.ts'
import type { Change, KeySpace } from './key-space.ts'
import { rowModRevision } from './rows.ts'
import type { StreamOfWatchers } from './watch-stream.ts'
import { eventSize, pastChanges, pastRowsPerSlice, type Watcher, wantsKind } from './watcher.ts'

export interface WatchLimits {
  /** Events kept in memory for watchers that are a little late; further back they are read from the store. */
  readonly tailBytesMax: number
  /** Revisions that may wait for one watcher before it reads from the store instead. */
  readonly pendingRevisionsMax: number
  /** Watchers, and answers to requests that wait, of one stream. */
  readonly watchersPerStreamMax: number
}

export const defaultWatchLimits: WatchLimits = {
  tailBytesMax: 16 * 1024 * 1024,
  pendingRevisionsMax: 1024,
  watchersPerStreamMax: 100_000,
}

export type StreamWatcher = Watcher<StreamOfWatchers>

interface Revision {
  readonly events: WatchEvent[]
  readonly concerned: Set<StreamWatcher>
  bytes: number
}

/**
 * What all watch streams share: who is concerned by a change, the tail of recent events, and who has to be woken.
 * A change costs its watchers one number each; the event exists once. A watcher that is late finds its revisions in
 * the tail, one that is later reads them from the store, with a cursor of its own and nothing in memory.
 */
export class WatchHub {
  readonly keys: KeySpace
  readonly compaction: Compaction
  readonly limits: WatchLimits
  readonly streams: Set<StreamOfWatchers> = new Set()
  /** Watchers whose reading of the past goes on in the background. */
  readonly searching: Set<StreamWatcher> = new Set()
  /** Streams that were asked for progress and could not tell it yet. */
  readonly owingProgress: Set<StreamOfWatchers> = new Set()
  isRestoring = false
  readonly #registry: WatchRegistry<StreamWatcher> = new WatchRegistry()
  /** Events by revision, oldest first. */
  readonly #tail = new Map<number, readonly WatchEvent[]>()
  readonly #tailBytes = new Map<number, number>()
  #tailSize = 0
  #open: Revision | undefined
  #woken: StreamOfWatchers[] = []

  constructor(keys: KeySpace, compaction: Compaction, limits: WatchLimits) {
    this.keys = keys
    this.compaction = compaction
    this.limits = limits
  }

  get watcherCount(): number {
    return this.#registry.size
  }

  register(watcher: StreamWatcher): void {
    this.#registry.add(watcher.watched, watcher)
    this.keys.onChange = this.#onChange
  }

  unregister(watcher: StreamWatcher): void {
    this.#registry.remove(watcher.watched, watcher)
    this.searching.delete(watcher)
    if (this.#registry.size === 0) this.keys.onChange = undefined
  }

  // ---- from the applier ------------------------------------------------------------------------------------------

  /** A change inside the present command. */
  readonly #onChange = (change: Change): void => {
    const { isPut, pair, oldRow } = change
    const open = this.#open ?? { events: [], concerned: new Set(), bytes: 0 }
    let isConcerned = false
    let wantsPrevious = false
    this.#registry.visit(pair.key, (watcher) => {
      if (watcher.isBehind || watcher.cursor > pair.modRevision || !wantsKind(watcher, isPut)) return
      open.concerned.add(watcher)
      isConcerned = true
      if (watcher.previous) wantsPrevious = true
    })
    if (!isConcerned) return
    this.#open = open
    // Too much for the tail: the watchers will read this revision from the store.
    if (open.bytes > this.limits.tailBytesMax) return
    const previous = wantsPrevious && oldRow !== undefined ? this.#previous(pair, oldRow) : undefined
    const event: WatchEvent = { kind: isPut ? 'put' : 'delete', pair, previous }
    open.events.push(event)
    open.bytes += eventSize(event)
  }

  #previous(pair: { key: Uint8Array; modRevision: number }, oldRow: Uint8Array): WatchEvent['previous'] {
    // A key may change twice in one revision; what counts is the value before the revision.
    if (rowModRevision(oldRow) === pair.modRevision) return this.keys.pairAt(pair.key, pair.modRevision - 1)
    return this.keys.pairOfRow(oldRow)
  }

  /** The command is applied; `revision` is the store's now. */
  settled(revision: number): void {
    const open = this.#open
    if (open !== undefined) {
      this.#open = undefined
      if (open.bytes <= this.limits.tailBytesMax) this.#remember(revision, open)
      for (const watcher of open.concerned) watcher.stream.concerned(watcher, revision)
    }
    this.settleProgress()
    this.wake()
  }

  #remember(revision: number, open: Revision): void {
    this.#tail.set(revision, open.events)
    this.#tailBytes.set(revision, open.bytes)
    this.#tailSize += open.bytes
    for (const [oldest, bytes] of this.#tailBytes) {
      if (this.#tailSize <= this.limits.tailBytesMax) break
      this.#tail.delete(oldest)
      this.#tailBytes.delete(oldest)
      this.#tailSize -= bytes
    }
    assert(this.#tailSize <= this.limits.tailBytesMax, 'events in memory are bounded')
  }

  /** The events of a revision, as far as they are still in memory. */
  tailAt(revision: number): readonly WatchEvent[] | undefined {
    return this.#tail.get(revision)
  }

  // ---- waking ----------------------------------------------------------------------------------------------------

  /** The stream was drained and has something to tell now. */
  wakeLater(stream: StreamOfWatchers): void {
    this.#woken.push(stream)
  }

  /** Tells everybody who is to be woken. Called last, when the state is whole again. */
  wake(): void {
    while (this.#woken.length > 0) {
      const woken = this.#woken
      this.#woken = []
      for (const stream of woken) stream.callReady()
    }
  }

  settleProgress(): void {
    for (const stream of this.owingProgress) stream.offerProgress()
  }

  // ---- in the background -----------------------------------------------------------------------------------------

  /** Moves one watcher on to the next revision that concerns it. False: none is searching. */
  search(): boolean {
    const [watcher] = this.searching
    if (watcher === undefined || this.isRestoring) return false
    this.searching.delete(watcher)
    const outcome = this.#skip(watcher)
    if (outcome === 'more') this.searching.add(watcher)
    else watcher.stream.searched(watcher, outcome === 'end')
    this.settleProgress()
    this.wake()
    return this.searching.size > 0
  }

  #skip(watcher: StreamWatcher): 'found' | 'end' | 'more' {
    if (watcher.cursor < this.keys.compactRevision) return 'found'
    let rows = 0
    for (const { revision, sub, record } of pastChanges(this.keys, watcher)) {
      watcher.cursor = revision
      watcher.cursorSub = sub
      if (record !== undefined) return 'found'
      watcher.cursorSub = sub + 1
      if (++rows === pastRowsPerSlice) return 'more'
    }
    return 'end'
  }

  // ---- a snapshot takes the place of the state -------------------------------------------------------------------

  beginRestore(): void {
    this.isRestoring = true
    this.#tail.clear()
    this.#tailBytes.clear()
    this.#tailSize = 0
    this.#open = undefined
    this.searching.clear()
    for (const stream of this.streams) stream.fallBehind(this.keys.revision)
  }

  finishRestore(): void {
    this.isRestoring = false
    for (const stream of this.streams) stream.goOn()
    this.settleProgress()
    this.wake()
  }
}
