import { assert, crc32c, isQuorateError, QuorateError } from '../base/index.ts'
import { type Maybe, never } from '../io/index.ts'
import { chainOf, type Entry, type HardState, type LogEnd } from '../raft/index.ts'
import type { SegmentedLog } from '../segmented-log/index.ts'
import { BatchEncoder, encodedBytes } from './batch-encoder.ts'
import type { LogGauges, LogWrite, RecoveredGroup, WriteAheadLog, WriteAheadLogOptions } from './contract.ts'
import { encodeGroupTable, GroupLog } from './group-log.ts'
import type { HardStateFile, SavedState } from './hard-state-file.ts'
import { readEntries } from './read-entries.ts'
import { type RecordKind, recordHeaderBytes, recordKind } from './record.ts'
import type { Recovery } from './recovery.ts'

/** What waits is merged into one write up to about this size. */
const batchBytesMax = 4 * 1024 * 1024

/** One call of write, release or reset on its way to the disk. */
interface Operation {
  readonly group: GroupState
  readonly hardState: HardState | undefined
  readonly truncateAfter: number | undefined
  readonly entries: readonly Entry[]
  /** Of a release or a reset. */
  readonly mark: { readonly kind: RecordKind; readonly base: LogEnd } | undefined
  /** In the segment. */
  readonly bytes: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** A group as it is on disk (`log`), and as it will be once everything that is queued is durable. */
interface GroupState {
  readonly log: GroupLog
  queuedBase: number
  queuedEnd: number
  /** Chain at the queued end; undefined where only the disk knows it. */
  queuedChain: number | undefined
  queuedTerm: number
  /** A full disk refused something of this group, so what follows it is refused too. */
  isRefused: boolean
  /** The hard state in memory has a newer commit index than the one on disk. */
  isCommitUnsaved: boolean
}

export interface JournalParts {
  readonly options: WriteAheadLogOptions
  readonly segmentedLog: SegmentedLog
  readonly hardStates: HardStateFile
  readonly recovery: Recovery
  readonly recovered: readonly RecoveredGroup[]
}

/** The write-ahead log while it is open: one loop that takes what is queued and makes one durable write of it. */
export class Journal implements WriteAheadLog {
  readonly recovered: readonly RecoveredGroup[]
  readonly gauges: Gauges
  readonly #options: WriteAheadLogOptions
  readonly #maybe: Maybe
  readonly #segmentedLog: SegmentedLog
  readonly #hardStates: HardStateFile
  readonly #groups: Map<number, GroupLog>
  readonly #states = new Map<number, GroupState>()
  readonly #encoder = new BatchEncoder()
  /** In order. Bounded by the callers: `gauges.queuedBytes` says how much waits. */
  #queue: Operation[] = []
  #running: Promise<void> | undefined
  #failure: Error | undefined
  #closing: Promise<void> | undefined

  constructor(parts: JournalParts) {
    this.recovered = parts.recovered
    this.#options = parts.options
    this.#maybe = parts.options.maybe ?? never
    this.#segmentedLog = parts.segmentedLog
    this.#hardStates = parts.hardStates
    this.#groups = parts.recovery.groups
    this.gauges = new Gauges(parts.segmentedLog)
    this.#removeUnneeded()
  }

  async write(write: LogWrite): Promise<void> {
    this.#checkUsable()
    const group = this.#stateOf(write.group)
    const { hardState, entries } = write
    const after = write.truncateAfter
    const truncateAfter = after !== undefined && after < group.queuedEnd ? after : undefined
    const end = truncateAfter ?? group.queuedEnd
    const first = entries[0]?.index ?? end + 1
    if (group.isRefused && first !== end + 1) {
      throw new QuorateError(
        'disk-full',
        `entry ${first} follows entries that were refused: the disk is full`,
      )
    }
    this.#queueHardState(group, hardState)
    if (truncateAfter !== undefined) this.#queueTruncation(group, truncateAfter)
    for (const entry of entries) this.#queueEntry(group, entry)
    const markBytes = truncateAfter === undefined ? 0 : recordHeaderBytes
    const bytes = markBytes + encodedBytes(entries)
    if (bytes === 0 && hardState === undefined) {
      // Nothing to make durable but what came before it.
      if (this.#queue.length === 0 && this.#running === undefined) return
    }
    await this.#enqueue({ group, hardState, truncateAfter, entries, mark: undefined, bytes })
  }

  async read(
    group: number,
    first: number,
    end: number,
    bytesMax: number,
  ): Promise<{ previous: LogEnd; entries: Entry[] }> {
    this.#checkUsable()
    const log = this.#groups.get(group) ?? new GroupLog(group)
    const bytes = this.#maybe('log-read-short') ? 0 : bytesMax
    return readEntries(this.#segmentedLog, log, { first, end, bytesMax: bytes })
  }

  async release(groupId: number, base: LogEnd): Promise<void> {
    this.#checkUsable()
    const group = this.#stateOf(groupId)
    if (base.index <= group.queuedBase) return
    assert(base.index <= group.queuedEnd, 'a release lies within the log')
    group.queuedBase = base.index
    await this.#enqueue({
      group,
      hardState: undefined,
      truncateAfter: undefined,
      entries: [],
      mark: { kind: recordKind.release, base },
      bytes: recordHeaderBytes,
    })
  }

  async reset(groupId: number, base: LogEnd, hardState: HardState | undefined): Promise<void> {
    this.#checkUsable()
    const group = this.#stateOf(groupId)
    this.#queueHardState(group, hardState)
    assert(base.term <= group.queuedTerm, 'the term of a snapshot was persisted before it')
    group.queuedBase = base.index
    group.queuedEnd = base.index
    group.queuedChain = base.chain
    await this.#enqueue({
      group,
      hardState,
      truncateAfter: undefined,
      entries: [],
      mark: { kind: recordKind.reset, base },
      bytes: recordHeaderBytes,
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  // ---- the queue ----

  #checkUsable(): void {
    if (this.#failure !== undefined) {
      throw new QuorateError('disk-failed', `the log stopped: ${this.#failure.message}`, {
        cause: this.#failure,
      })
    }
    if (this.#closing !== undefined) throw new QuorateError('stopped', 'the log is closed')
  }

  #stateOf(id: number): GroupState {
    const found = this.#states.get(id)
    if (found !== undefined) return found
    const log = this.#groups.get(id) ?? new GroupLog(id)
    this.#groups.set(id, log)
    const state = {
      log,
      queuedBase: log.base.index,
      queuedEnd: log.end.index,
      queuedChain: log.end.chain,
      queuedTerm: log.hardState.term,
      isRefused: false,
      isCommitUnsaved: false,
    }
    this.#states.set(id, state)
    return state
  }

  #queueHardState(group: GroupState, hardState: HardState | undefined): void {
    if (hardState === undefined) return
    assert(hardState.term >= group.queuedTerm, 'a term never falls')
    group.queuedTerm = hardState.term
  }

  #queueTruncation(group: GroupState, after: number): void {
    assert(after >= group.queuedBase, 'what is committed is never cut')
    group.queuedEnd = after
    group.queuedChain = undefined
  }

  /** What recovery would refuse is refused here, where the mistake is still known. */
  #queueEntry(group: GroupState, entry: Entry): void {
    assert(entry.index === group.queuedEnd + 1, 'the entries of a group have no gap')
    assert(entry.term <= group.queuedTerm, 'the term of an entry was persisted before it')
    assert(entry.payload.length <= this.#options.entryBytesMax, 'an entry has a limited size')
    assert(crc32c(entry.payload) === entry.payloadChecksum, 'a payload is the one its checksum is of')
    const { index, term, kind, payloadChecksum, chain } = entry
    if (group.queuedChain !== undefined) {
      const fields = { group: group.log.group, index, term, kind, payloadChecksum }
      assert(
        chainOf(group.queuedChain, fields) === chain,
        'the chain of an entry goes on from the one before',
      )
    }
    group.queuedEnd = index
    group.queuedChain = chain
  }

  #enqueue(operation: Omit<Operation, 'resolve' | 'reject'>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...operation, resolve, reject })
      this.gauges.queuedBytes += operation.bytes
      this.#running ??= this.#run()
    })
  }

  // ---- the loop ----

  async #run(): Promise<void> {
    // Calls of the same turn go into the first write together.
    await undefined
    while (this.#queue.length > 0) {
      if (this.#maybe('log-yield')) await this.#options.time.yieldTurn()
      const batch: Operation[] = []
      try {
        await this.#writeBatch(batch)
      } catch (error) {
        if (isQuorateError(error, 'disk-full')) this.#refuse(batch, error)
        else this.#fail(batch, error instanceof Error ? error : new Error(String(error)))
        continue
      }
      for (const operation of batch) {
        this.gauges.queuedBytes -= operation.bytes
        operation.resolve()
      }
    }
    this.#running = undefined
  }

  /** Moves operations from the queue into `batch` and makes them durable. */
  async #writeBatch(batch: Operation[]): Promise<void> {
    const first = this.#queue[0] as Operation
    const { newest, room } = this.#segmentedLog
    const isRolled = newest.end > newest.start && this.#maybe('log-roll')
    if (first.bytes > room || isRolled) await this.#roll(first.bytes)
    const count = this.#countForBatch()
    for (const operation of this.#queue.splice(0, count)) batch.push(operation)
    await this.#saveHardStates(batch)
    // A cut begins a batch, so the entry it leaves last is durable and can be looked up.
    const kept =
      first.truncateAfter === undefined ? undefined : await this.#endAt(first.group.log, first.truncateAfter)
    const start = this.#segmentedLog.newest.end
    await this.#append(batch, kept)
    this.#apply(batch, kept, start)
    await this.#saveMarks(batch)
    if (batch.some(({ mark }) => mark !== undefined)) this.#removeUnneeded()
  }

  /** How many operations go into one write: what fits into the segment, up to a cut or behind a reset. */
  #countForBatch(): number {
    const limit = Math.min(batchBytesMax, this.#segmentedLog.room)
    if (this.#maybe('log-batch-cut')) return 1
    let bytes = 0
    let count = 0
    for (const operation of this.#queue) {
      bytes += operation.bytes
      if (count > 0 && (bytes > limit || operation.truncateAfter !== undefined)) break
      count++
      if (operation.mark?.kind === recordKind.reset) break
    }
    return count
  }

  async #roll(contentBytesMin: number): Promise<void> {
    const unsaved = [...this.#states.values()].filter(({ isCommitUnsaved }) => isCommitUnsaved)
    await this.#save(unsaved)
    await this.#segmentedLog.roll(encodeGroupTable(this.#groups), contentBytesMin)
  }

  /** New terms and votes are durable before the entries that came with them; a commit index may wait. */
  async #saveHardStates(batch: readonly Operation[]): Promise<void> {
    const latest = new Map<GroupState, SavedState>()
    for (const { group, hardState, mark } of batch) {
      const isReset = mark?.kind === recordKind.reset
      if (hardState === undefined && !isReset) continue
      const { log } = group
      const { term, vote } = hardState ?? latest.get(group)?.hardState ?? log.hardState
      if (!isReset && term === log.hardState.term && vote === log.hardState.vote) continue
      // The old commit index: the new one may count on a cut or on entries that are not durable yet.
      latest.set(group, this.#savedState(log, { term, vote, commit: log.hardState.commit }))
    }
    if (latest.size === 0) return
    await this.#hardStates.save([...latest.values()])
    for (const [{ log }, { hardState }] of latest) log.hardState = hardState
  }

  async #append(batch: readonly Operation[], kept: LogEnd | undefined): Promise<void> {
    let bytes = 0
    for (const operation of batch) bytes += operation.bytes
    if (bytes === 0) return
    const { newest } = this.#segmentedLog
    const place = { syncedThrough: newest.end, batchEnd: newest.end + bytes }
    const encoder = this.#encoder
    encoder.begin(newest.checksum, place)
    for (const { group, truncateAfter, mark, entries } of batch) {
      const id = group.log.group
      if (truncateAfter !== undefined && kept !== undefined) {
        encoder.mark({ ...kept, kind: recordKind.truncate, group: id })
      }
      if (mark !== undefined) encoder.mark({ ...mark.base, kind: mark.kind, group: id })
      for (const entry of entries) encoder.entry(id, entry)
    }
    assert(encoder.position === place.batchEnd, 'a batch has the size that was counted')
    const startedMs = this.#options.time.monotonicMs()
    await this.#segmentedLog.append(encoder.finish(), bytes)
    this.gauges.lastWriteMs = this.#options.time.monotonicMs() - startedMs
    this.gauges.durableWrites++
  }

  /** The batch is durable: now it counts. */
  #apply(batch: readonly Operation[], kept: LogEnd | undefined, batchStart: number): void {
    const { sequence } = this.#segmentedLog.newest
    let start = batchStart
    for (const { group, hardState, truncateAfter, mark, entries, bytes } of batch) {
      const { log } = group
      if (hardState !== undefined) {
        log.hardState = hardState
        group.isCommitUnsaved = true
      }
      if (bytes === 0) continue
      group.isRefused = false
      if (truncateAfter !== undefined && kept !== undefined) log.truncate(kept)
      if (mark?.kind === recordKind.release) log.release(mark.base)
      if (mark?.kind === recordKind.reset) log.reset(mark.base)
      if (truncateAfter !== undefined || mark !== undefined) {
        start += recordHeaderBytes
        this.gauges.recordsWritten++
      }
      for (const entry of entries) {
        const size = recordHeaderBytes + entry.payload.length
        log.append(entry, { sequence, start, size })
        start += size
      }
      this.gauges.recordsWritten += entries.length
    }
  }

  /**
   * A reset moves the end of a log by any distance, so what a lost one had cannot be estimated: its record stands
   * before the mark of the hard state when it is acknowledged. And a cut end that was reached is forgotten.
   */
  async #saveMarks(batch: readonly Operation[]): Promise<void> {
    const groups = new Set<GroupState>()
    for (const { group, mark } of batch) {
      const { log } = group
      const reached = Math.min(log.end.index, Math.max(log.hardState.commit, log.base.index))
      if (log.cutEnd !== undefined && reached >= log.cutEnd) {
        log.cutEnd = undefined
        groups.add(group)
      }
      if (mark?.kind === recordKind.reset || this.#maybe('log-mark')) groups.add(group)
    }
    try {
      await this.#save([...groups])
    } catch (error) {
      // The records are durable, so the operations cannot be refused any more.
      throw new QuorateError('disk-failed', 'the mark behind a reset could not be saved', { cause: error })
    }
  }

  async #save(groups: readonly GroupState[]): Promise<void> {
    if (groups.length === 0) return
    await this.#hardStates.save(groups.map(({ log }) => this.#savedState(log, log.hardState)))
    for (const group of groups) group.isCommitUnsaved = false
  }

  #savedState(log: GroupLog, hardState: HardState): SavedState {
    const { sequence, end } = this.#segmentedLog.newest
    return {
      group: log.group,
      // Never ahead of the entries that are durable with it.
      hardState: { ...hardState, commit: Math.min(hardState.commit, log.end.index) },
      syncedThrough: { sequence, position: end },
      cutEnd: log.cutEnd,
    }
  }

  async #endAt(log: GroupLog, index: number): Promise<LogEnd> {
    if (index === log.base.index) return log.base
    const { entries } = await readEntries(this.#segmentedLog, log, {
      first: index,
      end: index + 1,
      bytesMax: 0,
    })
    const entry = entries[0] as Entry
    return { index, term: entry.term, chain: entry.chain }
  }

  /** Whole segments go once no group needs an entry in them. */
  #removeUnneeded(): void {
    let needed = this.#segmentedLog.newest.sequence
    for (const { firstSequence } of this.#groups.values()) {
      if (firstSequence !== undefined && firstSequence < needed) needed = firstSequence
    }
    this.#segmentedLog.removeBefore(needed)
  }

  // ---- failure and end ----

  /**
   * The disk is full: nothing of the batch was appended, and nothing that waits behind it can be, for it may build on
   * it. Each group goes on from what is durable.
   */
  #refuse(batch: readonly Operation[], error: QuorateError): void {
    const refused = [...batch, ...this.#queue]
    this.#queue = []
    this.gauges.queuedBytes = 0
    for (const { group } of refused) {
      group.queuedBase = group.log.base.index
      group.queuedEnd = group.log.end.index
      group.queuedChain = group.log.end.chain
      group.queuedTerm = group.log.hardState.term
      group.isRefused = true
    }
    for (const { reject } of refused) reject(error)
  }

  /** Anything else is final: what the disk holds now is unknown until the next open has read it. */
  #fail(batch: readonly Operation[], error: Error): void {
    this.#failure = error
    const failed = [...batch, ...this.#queue]
    this.#queue = []
    this.gauges.queuedBytes = 0
    this.#options.logger.log('error', 'log-failed', { error: error.message })
    for (const { reject } of failed) reject(error)
  }

  async #close(): Promise<void> {
    await this.#running
    try {
      // After this, whatever the next open cannot read is known to be damage.
      if (this.#failure === undefined) await this.#save([...this.#states.values()])
    } catch (error) {
      if (!isQuorateError(error, 'disk-full')) throw error
      this.#options.logger.log('warn', 'log-close-incomplete', { error: error.message })
    } finally {
      await this.#segmentedLog.close()
      await this.#hardStates.close()
    }
  }
}

class Gauges implements LogGauges {
  durableWrites = 0
  recordsWritten = 0
  queuedBytes = 0
  lastWriteMs = 0
  readonly #segmentedLog: SegmentedLog

  constructor(segmentedLog: SegmentedLog) {
    this.#segmentedLog = segmentedLog
  }

  get segments(): number {
    return this.#segmentedLog.segments.length
  }

  get bytes(): number {
    return this.#segmentedLog.bytes
  }
}
