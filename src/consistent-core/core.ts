import { assert, isQuorateError, type LeaseId, QuorateError } from '../base/index.ts'
import { type LeaseDeadlines, LeaseTable } from '../lease/index.ts'
import type { Batch, Store } from '../store/index.ts'
import { Applier } from './applier.ts'
import { commandVersion, decodeCommand } from './command-codec.ts'
import { Compaction } from './compaction.ts'
import { hashOf, verifyContent } from './content.ts'
import type {
  Applied,
  ConsistentCoreReads,
  LeaderDuties,
  LeaseView,
  Operation,
  RangeOperation,
  RangeResult,
  RangeTaker,
  Refusal,
  TransactionOperation,
  TransactionResult,
  WatchStream,
} from './contract.ts'
import { chainCounter, chainDigest } from './digest.ts'
import { KeySpace } from './key-space.ts'
import { createDeadlines, createLeaderDuties } from './leader-duties.ts'
import { decodeLease, leaseRowsPrefix } from './lease-rows.ts'
import { type AppliedPlace, decodeMeta, encodeMeta, metaKey } from './meta-row.ts'
import { checkOperation, noOperationLimits, replaced } from './operation-check.ts'
import { Pins } from './pins.ts'
import { checkRevision, rangeOf } from './range.ts'
import { defaultRangeCacheLimits, RangeCache, type RangeCacheLimits } from './range-cache.ts'
import { revisionOfKey, subOfKey } from './rows.ts'
import { defaultSessionLimits, type SessionLimits, Sessions, sessionRowsPrefix } from './sessions.ts'
import { type SnapshotHead, SnapshotReader, SnapshotWriter } from './snapshot.ts'
import { type BeforeWrite, prefixRange, Tables } from './tables.ts'
import { choosePath, readBranch, validatePath } from './transaction.ts'
import type { View } from './view.ts'
import { defaultWatchLimits, WatchHub, type WatchLimits } from './watch-hub.ts'
import { StreamOfWatchers } from './watch-stream.ts'

export interface ConsistentCoreOptions {
  readonly store: Store
  /** Shorter leases get this; it decides what is in the state, so it is the same on all members. Default 2. */
  readonly leaseTtlSecondsMin?: number
  /** The same on all members. */
  readonly sessionLimits?: SessionLimits
  /** This member's own matter. */
  readonly watchLimits?: WatchLimits
  /** This member's own matter. */
  readonly rangeCacheLimits?: RangeCacheLimits
  /** How often a leader writes down what is left of a lease. Default: five minutes. */
  readonly leaseCheckpointMs?: number
}

/** The state machine behind the etcd API: what the node drives and what the doors read. */
export interface ConsistentCore extends ConsistentCoreReads {
  readonly commandVersion: number
  readonly leader: LeaderDuties
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly digest: number
  readonly pending: { operations: number; bytes: number }
  apply(command: { index: number; term: number; timeMs: number; payload: Uint8Array }): Applied
  applyNothing(entry: { index: number; term: number }): void
  takeBatch(): { batch: Batch; appliedIndex: number } | undefined
  flushed(): void
  /** Compaction waits while one is open. */
  openSnapshot(): {
    readonly appliedIndex: number
    readonly appliedTerm: number
    next(): Uint8Array | undefined
    done(): void
  }
  beginRestore(): { write(chunk: Uint8Array): void; finish(): void }
  maintain(): boolean
  /** Everything that compacting at this revision forgets is gone from this replica's store; 0: never. */
  readonly compactionFinishedRevision: number
  /** In slices, of a store that is not empty and before all else but `verify`: what is kept in memory only. */
  load(): Generator<void, void, void>
  /** Reads all of the store and says whether it holds what was written; before anything is applied. */
  verify(): Generator<void, boolean, void>
}

/**
 * Opens the state in `store`, which is empty or was written by an earlier run.
 * Errors: `format-unsupported`; `data-damaged` when a run ended while it read in a snapshot: clear the backend.
 */
export function createConsistentCore(options: ConsistentCoreOptions): ConsistentCore {
  return new Core(options)
}

class Core implements ConsistentCore {
  readonly commandVersion = commandVersion
  readonly leader: LeaderDuties
  readonly #store: Store
  readonly #tables: Tables
  readonly #keys: KeySpace
  readonly #compaction: Compaction
  readonly #leases = new LeaseTable()
  readonly #deadlines: LeaseDeadlines
  readonly #sessions: Sessions
  readonly #applier: Applier
  readonly #hub: WatchHub
  readonly #pins = new Pins()
  readonly #place: AppliedPlace = { index: 0, term: 0, isRestoring: false }
  /** Something changed that the next batch must carry, if only the applied index. */
  #isDirty = false
  /** The store was empty, or `load` has brought in what is kept in memory of it. */
  #isLoaded = true
  readonly #snapshots = new Set<SnapshotReader>()
  /** Grows when a snapshot takes the place of the state under its readers. */
  #generation = 0

  constructor(options: ConsistentCoreOptions) {
    this.#store = options.store
    this.#deadlines = createDeadlines(this.#leases, options.leaseCheckpointMs)
    this.#tables = new Tables(options.store)
    this.#keys = new KeySpace(
      this.#tables,
      new RangeCache(options.rangeCacheLimits ?? defaultRangeCacheLimits),
    )
    this.#compaction = new Compaction(this.#keys)
    this.#sessions = new Sessions(this.#tables, options.sessionLimits ?? defaultSessionLimits)
    this.#applier = new Applier({
      keys: this.#keys,
      leases: this.#leases,
      deadlines: this.#deadlines,
      sessions: this.#sessions,
      leaseTtlSecondsMin: options.leaseTtlSecondsMin ?? 2,
    })
    this.#hub = new WatchHub(this.#keys, this.#compaction, options.watchLimits ?? defaultWatchLimits)
    this.leader = createLeaderDuties(this.#deadlines)
    try {
      this.#open()
    } catch (error) {
      throw damageOf(error)
    }
  }

  #open(): void {
    const meta = this.#store.get('meta', metaKey)
    if (meta === undefined) return
    this.#isLoaded = false
    decodeMeta(meta, this.#place, this.#keys, this.#tables, this.#compaction)
    for (const { key, value } of this.#tables.range('leases', prefixRange(Uint8Array.of(leaseRowsPrefix)))) {
      this.#leases.add(decodeLease(key, value))
    }
    const sessions = prefixRange(Uint8Array.of(sessionRowsPrefix))
    for (const { key, value } of this.#tables.range('sessions', sessions)) this.#sessions.load(key, value)
  }

  // ---- the log -----------------------------------------------------------------------------------------------------

  get appliedIndex(): number {
    return this.#place.index
  }

  get appliedTerm(): number {
    return this.#place.term
  }

  get digest(): number {
    return this.#keys.digest
  }

  apply(command: { index: number; term: number; timeMs: number; payload: Uint8Array }): Applied {
    this.#advance(command)
    const answer = this.#applier.apply(decodeCommand(command.payload))
    this.#hub.settled(this.#keys.revision)
    return answer
  }

  applyNothing(entry: { index: number; term: number }): void {
    this.#advance(entry)
  }

  #advance(entry: { index: number; term: number }): void {
    assert(!this.#place.isRestoring, 'nothing is applied while a snapshot is read in')
    assert(this.#isLoaded, 'a state is loaded before anything is applied to it')
    assert(entry.index === this.#place.index + 1, 'entries are applied in order, each once')
    this.#place.index = entry.index
    this.#place.term = entry.term
    this.#keys.digest = chainDigest(chainCounter(this.#keys.digest, entry.index), entry.term)
    this.#isDirty = true
  }

  // ---- the store ---------------------------------------------------------------------------------------------------

  get pending(): { operations: number; bytes: number } {
    return this.#store.pending
  }

  takeBatch(): { batch: Batch; appliedIndex: number } | undefined {
    if (!this.#isDirty) return undefined
    this.#store.put('meta', metaKey, encodeMeta(this.#place, this.#keys, this.#tables, this.#compaction))
    const batch = this.#store.takeBatch()
    if (batch === undefined) return undefined
    this.#isDirty = false
    return { batch, appliedIndex: this.#place.index }
  }

  flushed(): void {
    this.#store.flushed()
  }

  maintain(): boolean {
    if (this.#place.isRestoring) return false
    const isSearching = this.#hub.search()
    // A snapshot must not meet one version of a key and miss the tombstone that ended it.
    if (this.#snapshots.size > 0) return isSearching
    const allowed = this.#pins.lowest
    if (!this.#compaction.hasWork(allowed)) return isSearching
    this.#compaction.step(allowed)
    this.#isDirty = true
    return isSearching || this.#compaction.hasWork(allowed)
  }

  get compactionFinishedRevision(): number {
    return Math.max(0, this.#compaction.finishedRevision)
  }

  *load(): Generator<void, void, void> {
    try {
      yield* this.#keys.load()
      this.#isLoaded = true
    } catch (error) {
      throw damageOf(error)
    }
  }

  verify(): Generator<void, boolean, void> {
    return verifyContent(this.#tables)
  }

  // ---- snapshots ---------------------------------------------------------------------------------------------------

  openSnapshot(): ReturnType<ConsistentCore['openSnapshot']> {
    assert(!this.#place.isRestoring, 'a snapshot is taken of a whole state')
    const { index: appliedIndex, term: appliedTerm } = this.#place
    const { digest, revision, compactRevision } = this.#keys
    const head = { appliedIndex, appliedTerm, digest, revision, compactRevision }
    const reader = new SnapshotReader(this.#tables, head)
    const generation = this.#generation
    this.#snapshots.add(reader)
    this.#tables.beforeWrite = this.#beforeWrite
    return {
      appliedIndex,
      appliedTerm,
      next: () => {
        this.#assertGeneration(generation)
        assert(this.#snapshots.has(reader), 'a snapshot that was given up is not read')
        return reader.next()
      },
      done: () => {
        this.#snapshots.delete(reader)
        if (this.#snapshots.size === 0) this.#tables.beforeWrite = undefined
      },
    }
  }

  readonly #beforeWrite: BeforeWrite = (table, key, old) => {
    for (const reader of this.#snapshots) reader.beforeWrite(table, key, old)
  }

  beginRestore(): { write(chunk: Uint8Array): void; finish(): void } {
    this.#generation++
    this.#snapshots.clear()
    this.#tables.beforeWrite = undefined
    if (!this.#place.isRestoring) this.#hub.beginRestore()
    this.#store.discard()
    this.#place.isRestoring = true
    this.#place.index = 0
    this.#place.term = 0
    this.#leases.clear()
    this.#sessions.clear()
    this.#compaction.clear()
    this.#deadlines.stop()
    this.#keys.clear()
    this.#isLoaded = true
    this.#isDirty = true
    let taken: SnapshotHead | undefined
    const writer = new SnapshotWriter({
      head: (head) => {
        taken = head
      },
      lease: (key, value) => {
        this.#takeNew('leases', key, value)
        this.#leases.add(decodeLease(key, value))
      },
      session: (key, value) => {
        this.#takeNew('sessions', key, value)
        this.#sessions.load(key, value)
      },
      revision: (key, value) => this.#keys.restore(revisionOfKey(key), subOfKey(key), value),
    })
    const generation = this.#generation
    return {
      write: (chunk) => {
        this.#assertGeneration(generation)
        this.#isDirty = true
        writer.write(chunk)
      },
      finish: () => {
        this.#assertGeneration(generation)
        writer.finish()
        assert(taken !== undefined, 'a snapshot begins with its head')
        this.#place.index = taken.appliedIndex
        this.#place.term = taken.appliedTerm
        this.#place.isRestoring = false
        this.#keys.digest = taken.digest
        this.#keys.revision = taken.revision
        this.#keys.compactRevision = taken.compactRevision
        this.#isDirty = true
        this.#hub.finishRestore()
      },
    }
  }

  /** A row of a snapshot, which has each once. */
  #takeNew(table: 'leases' | 'sessions', key: Uint8Array, value: Uint8Array): void {
    if (this.#tables.get(table, key) !== undefined)
      throw new QuorateError('data-damaged', `a snapshot has a row of ${table} twice`)
    this.#tables.put(table, key, value, undefined)
  }

  // ---- reads -------------------------------------------------------------------------------------------------------

  get revision(): number {
    return this.#keys.revision
  }

  get compactRevision(): number {
    return Math.max(0, this.#keys.compactRevision)
  }

  *range(operation: RangeOperation, taker?: RangeTaker): Generator<void, RangeResult | Refusal, void> {
    this.#assertWhole()
    const refusal =
      checkOperation(operation, noOperationLimits) ?? checkRevision(this.#keys, operation.revision)
    if (refusal !== undefined) return refusal
    const revision = operation.revision > 0 ? operation.revision : this.#keys.revision
    return yield* this.#pinned(revision, revision, (view) => rangeOf(view, operation, taker))
  }

  *readTransaction(transaction: TransactionOperation): Generator<void, TransactionResult | Refusal, void> {
    this.#assertWhole()
    const refusal = checkOperation(transaction, noOperationLimits)
    if (refusal !== undefined) return refusal
    const { revision } = this.#keys
    const oldest = Math.min(revision, ...[...transaction.success, ...transaction.failure].map(revisionAsked))
    // A revision that was compacted is refused below and needs no pin.
    const pinned = Math.max(oldest, this.#keys.compactRevision)
    return yield* this.#pinned(pinned, revision, (view) => this.#read(view, transaction))
  }

  *#read(view: View, transaction: TransactionOperation): Generator<void, TransactionResult | Refusal, void> {
    const path = yield* choosePath(view, transaction)
    return (
      validatePath(this.#keys, undefined, transaction, path) ?? (yield* readBranch(view, transaction, path))
    )
  }

  *hash(
    revision: number,
  ): Generator<void, { hash: number; hashRevision: number; compactRevision: number } | Refusal, void> {
    this.#assertWhole()
    const refusal = checkRevision(this.#keys, revision)
    if (refusal !== undefined) return refusal
    const hashRevision = revision > 0 ? revision : this.#keys.revision
    const { compactRevision } = this.#keys
    const hash = yield* this.#pinned(compactRevision, hashRevision, (view) => hashOf(view, compactRevision))
    return { hash, hashRevision, compactRevision }
  }

  /** Runs a reader on a state that does not move: what it may need from `pinned` on stays in the store. */
  *#pinned<T>(
    pinned: number,
    revision: number,
    read: (view: View) => Generator<void, T, void>,
  ): Generator<void, T, void> {
    const generation = this.#generation
    const view: View = { keys: this.#keys, revision, resumed: () => this.#assertGeneration(generation) }
    this.#pins.add(pinned)
    try {
      return yield* read(view)
    } finally {
      this.#pins.remove(pinned)
    }
  }

  /** What is not there while a snapshot is read in is not unknown: nobody can tell. */
  #assertWhole(): void {
    assert(this.#isLoaded, 'a state is loaded before it is read')
    if (this.#place.isRestoring) throw replaced()
  }

  #assertGeneration(generation: number): void {
    if (generation !== this.#generation) throw replaced()
  }

  openWatchStream(onReady: () => void): WatchStream {
    return new StreamOfWatchers(this.#hub, onReady)
  }

  // ---- leases ------------------------------------------------------------------------------------------------------

  lease(id: LeaseId, nowMs: number): LeaseView | undefined {
    this.#assertWhole()
    const lease = this.#leases.get(BigInt.asUintN(64, id))
    if (lease === undefined) return undefined
    return {
      id: lease.id,
      grantedSeconds: lease.ttlSeconds,
      remainingSeconds: this.#deadlines.remainingSeconds(lease.id, nowMs),
      keys: this.#applier.attachedKeys(lease.id),
    }
  }

  leaseIds(): readonly LeaseId[] {
    this.#assertWhole()
    return [...this.#leases.values()].map((lease) => lease.id)
  }

  renewLease(id: LeaseId, nowMs: number): number {
    if (!this.#deadlines.isRunning) {
      throw new QuorateError('not-leader', 'only the settled leader renews leases')
    }
    const seconds = this.#deadlines.renew(BigInt.asUintN(64, id), nowMs)
    if (seconds !== undefined) return seconds
    throw new QuorateError('leader-changed', 'the lease ran out, and whether it ends is not decided yet')
  }

  isCheckpointed(id: LeaseId): boolean {
    return this.#deadlines.isCheckpointed(BigInt.asUintN(64, id))
  }

  get counts(): ConsistentCoreReads['counts'] {
    return {
      leases: this.#leases.size,
      sessions: this.#sessions.size,
      watchers: this.#hub.watcherCount,
      watchStreams: this.#hub.streams.size,
      rangeCacheBytes: this.#keys.cache.bytes,
    }
  }
}

/** Nothing in the store was compared with its sum yet. */
function damageOf(error: unknown): unknown {
  if (!isQuorateError(error, 'frame-malformed')) return error
  return new QuorateError('data-damaged', `the state cannot be read: ${error.message}`, { cause: error })
}

function revisionAsked(operation: Operation): number {
  return operation.kind === 'range' && operation.revision > 0 ? operation.revision : Infinity
}
