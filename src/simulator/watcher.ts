import type { SeededRandom } from '../base/index.ts'
import type { RecordedWatch, WatchMessage, WatchRequest } from './check-watch.ts'
import type { ClientPaths } from './client.ts'
import type { ServerLife, SimulatedCluster } from './cluster.ts'
import type { Sighting, Violation } from './history.ts'
import type { Journal } from './journal.ts'
import { describeEvent, type ModelEvent, type RevisionRecord } from './kv-model.ts'
import { type ServerWatchMessage, watchAlone } from './server-seam.ts'

/** Pause before a watch is opened again. */
const reopenAfterMs = 100

/** The complete log, put together from what whole-span watches were told. */
export class LogCollector {
  readonly violations: Violation[] = []
  readonly sightings: Sighting[] = []
  readonly #records = new Map<number, RevisionRecord>()
  #contiguous = 1

  /** Every revision up to this one is here. */
  get contiguousRevision(): number {
    return this.#contiguous
  }

  records(): RevisionRecord[] {
    return [...this.#records.values()].sort((left, right) => left.revision - right.revision)
  }

  add(watch: string, record: RevisionRecord): void {
    const known = this.#records.get(record.revision)
    if (known === undefined) {
      this.#records.set(record.revision, record)
      while (this.#records.has(this.#contiguous + 1)) this.#contiguous++
      return
    }
    const text = (events: readonly ModelEvent[]): string => events.map(describeEvent).join(', ')
    if (text(known.events) === text(record.events)) return
    this.violations.push({
      promise: 'all servers tell the same history',
      facts: `${watch}: revision ${record.revision} is [${text(record.events)}], elsewhere [${text(known.events)}]`,
    })
  }
}

interface OpenWatch {
  readonly request: WatchRequest
  readonly life: ServerLife
  readonly name: string
  readonly messages: WatchMessage[]
  createdRevision: number | undefined
  isOver: boolean
  readonly cancel: () => void
}

/**
 * A client that watches one span for the whole run. When its stream ends it opens another, at any server, from the
 * revision after the last one it knows complete; each stream is recorded for the checker.
 */
export class SimulatedWatcher {
  readonly recorded: RecordedWatch[] = []
  readonly #name: string
  readonly #cluster: SimulatedCluster
  readonly #paths: ClientPaths
  readonly #random: SeededRandom
  readonly #collector: LogCollector
  readonly #base: WatchRequest
  readonly #pinned: string | undefined
  readonly #journal: Journal | undefined
  #next: number
  #open: OpenWatch | undefined
  #opened = 0
  #gathering: { readonly revision: number; readonly events: ModelEvent[] } | undefined
  #isStopped = false

  constructor(setup: {
    name: string
    cluster: SimulatedCluster
    paths: ClientPaths
    random: SeededRandom
    collector: LogCollector
    request: WatchRequest
    /** Watch at this node only. */
    pinned?: string
    journal?: Journal | undefined
  }) {
    this.#name = setup.name
    this.#cluster = setup.cluster
    this.#paths = setup.paths
    this.#random = setup.random
    this.#collector = setup.collector
    this.#base = setup.request
    this.#pinned = setup.pinned
    this.#journal = setup.journal
    this.#next = setup.request.startRevision
    this.#reopen()
  }

  /** Every revision below it was told or is known to hold nothing for this watch. */
  get nextRevision(): number {
    return this.#next
  }

  /** Ends it; what is still open must have told everything up to `completeThrough`. */
  stop(completeThrough: number): void {
    this.#isStopped = true
    this.#close(completeThrough)
  }

  #reopen(): void {
    if (this.#isStopped) return
    const candidates = this.#cluster.serving.filter(
      ({ node }) => this.#pinned === undefined || node.name === this.#pinned,
    )
    const life = candidates.length === 0 ? undefined : this.#random.pick(candidates)
    const server = life?.server
    if (life === undefined || server === undefined) {
      this.#reopenLater()
      return
    }
    const request = { ...this.#base, startRevision: this.#next }
    const onOver = (): void => this.#lost(watch)
    const deliver = (message: ServerWatchMessage): void => {
      if (!watch.isOver) this.#take(watch, message)
    }
    let stream: { cancel(): void } | undefined
    const watch: OpenWatch = {
      request,
      life,
      name: `${this.#name}.${++this.#opened} at ${life.node.name}.${life.number} from ${this.#next}`,
      messages: [],
      createdRevision: undefined,
      isOver: false,
      cancel: () => {
        life.onOver.delete(onOver)
        if (!life.isOver) life.node.machine.process.deliver(() => stream?.cancel())
      },
    }
    life.onOver.add(onOver)
    this.#open = watch
    life.node.machine.process.deliver(() => {
      stream = watchAlone(server, request, (message) => {
        // A fixed delay: in order on the way to the client.
        this.#cluster.scheduler.after(0.2, () => deliver(message))
      })
    })
  }

  #reopenLater(): void {
    this.#cluster.scheduler.after(reopenAfterMs + this.#paths.delayMs, () => {
      if (this.#open === undefined) this.#reopen()
    })
  }

  #lost(watch: OpenWatch): void {
    if (this.#open !== watch) return
    this.#close(0)
    this.#reopenLater()
  }

  #close(completeThrough: number): void {
    const watch = this.#open
    this.#open = undefined
    if (watch === undefined) return
    watch.isOver = true
    watch.cancel()
    this.#flush(watch)
    if (watch.createdRevision === undefined) return
    this.recorded.push({
      name: watch.name,
      request: watch.request,
      createdRevision: watch.createdRevision,
      messages: watch.messages,
      completeThrough,
    })
  }

  #take(watch: OpenWatch, message: ServerWatchMessage): void {
    this.#journal?.watch(this.#cluster.scheduler.now, watch.name, message)
    switch (message.kind) {
      case 'created':
        watch.createdRevision = message.revision
        if (this.#next === 0) this.#next = message.revision + 1
        this.#see(message.revision)
        return
      case 'ended':
        this.#lost(watch)
        return
      case 'compacted':
        this.#cluster.mark('watch-compacted')
        watch.messages.push(message)
        this.#next = Math.max(this.#next, message.compactRevision + 1)
        this.#lost(watch)
        return
      case 'progress':
        this.#flush(watch)
        watch.messages.push(message)
        this.#next = Math.max(this.#next, message.revision + 1)
        this.#see(message.revision)
        return
      default:
        watch.messages.push(message)
        this.#see(message.revision)
        this.#collect(watch, message)
    }
  }

  #see(revision: number): void {
    this.#collector.sightings.push({ revision, seenAt: this.#cluster.scheduler.now })
    this.#cluster.scheduler.note(revision)
  }

  #collect(watch: OpenWatch, message: WatchMessage & { readonly kind: 'events' }): void {
    const last = message.events.at(-1)
    // A revision whose fragments are still coming is not complete.
    if (last !== undefined) this.#next = Math.max(this.#next, last.revision + (message.fragment ? 0 : 1))
    for (const { revision, event } of message.events) {
      if (this.#gathering?.revision !== revision) this.#flush(watch)
      this.#gathering ??= { revision, events: [] }
      this.#gathering.events.push(event)
    }
  }

  /** A revision is complete when the next one begins, a mark comes, or, as revisions come whole, the stream ends. */
  #flush(watch: OpenWatch): void {
    const gathered = this.#gathering
    this.#gathering = undefined
    const { key, end, noPut, noDelete, fragment } = watch.request
    const isWhole = key === wholeSpan.key && end === wholeSpan.end && !noPut && !noDelete && !fragment
    if (isWhole && gathered !== undefined) this.#collector.add(watch.name, gathered)
  }
}

/** Every key there can be. */
export const wholeSpan = { key: '\0', end: '\0' } as const
