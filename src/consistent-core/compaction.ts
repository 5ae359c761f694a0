import { equalBytes, present } from '../base/index.ts'
import type { Pair } from '../store/index.ts'
import { isHistoryOf } from './key-layers.ts'
import type { KeySpace } from './key-space.ts'
import { neverCompacted } from './key-space.ts'
import {
  isHistoryPut,
  revisionKey,
  revisionOfKey,
  rowKeyOfHistory,
  rowModRevision,
  subOfKey,
} from './rows.ts'

/** Rows of `history` looked at in one slice. */
const sliceRows = 256

/**
 * Removes in slices what compaction allows to forget. A compaction is over for readers as soon as it is applied; this
 * only gives the room back, when each replica finds time. One walk goes over `history` (what was superseded or deleted,
 * so nothing that is live) in key order towards one target revision. After a restart it begins again: what was removed
 * is gone, so it only passes over what stays.
 *
 * A version goes once its successor is older than the target, a tombstone once it is older itself. So there stays the
 * newest version at or before the target, a tombstone exactly at it, and also what a change exactly at it replaced:
 * a watcher that begins there still learns the previous value.
 */
export class Compaction {
  /** All that compacting at this revision forgets has been removed. */
  finishedRevision: number = neverCompacted
  /** The walk under way: towards `target`, done up to and including `after`. */
  #walk: { target: number; after: Uint8Array | undefined } | undefined
  readonly #keys: KeySpace

  constructor(keys: KeySpace) {
    this.#keys = keys
  }

  /** The target of the walk under way or of the last one: versions older than this may be gone. */
  get startedRevision(): number {
    return this.#walk?.target ?? this.finishedRevision
  }

  /** Whether a step would do something; `allowed`: how far the present readers let a walk go. */
  hasWork(allowed: number): boolean {
    return this.#walk !== undefined || Math.min(allowed, this.#keys.compactRevision) > this.finishedRevision
  }

  /** A slice of the walk under way, or of a new one. */
  step(allowed: number): void {
    this.#walk ??= { target: Math.min(allowed, this.#keys.compactRevision), after: undefined }
    this.#slice(this.#walk)
  }

  #slice(walk: { target: number; after: Uint8Array | undefined }): void {
    const { tables } = this.#keys
    // A row is judged by the one behind it, so one more is read than is judged.
    const from = walk.after === undefined ? {} : { first: walk.after }
    const rows = [...tables.range('history', { ...from, limit: sliceRows + 2 })]
    if (walk.after !== undefined && rows[0] !== undefined && equalBytes(rows[0].key, walk.after)) rows.shift()
    const isLast = rows.length <= sliceRows
    const judged = isLast ? rows.length : sliceRows
    for (let i = 0; i < judged; i++) this.#judge(rows[i] as Pair, rows[i + 1], walk.target)
    if (isLast) {
      this.finishedRevision = walk.target
      this.#walk = undefined
    } else {
      walk.after = (rows[judged - 1] as Pair).key
    }
  }

  #judge(row: Pair, next: Pair | undefined, target: number): void {
    const rowKey = rowKeyOfHistory(row.key)
    const revision = revisionOfKey(row.key)
    if (revision >= target) return
    const { tables } = this.#keys
    if (isHistoryPut(row.value)) {
      const successor =
        next !== undefined && isHistoryOf(next.key, rowKey)
          ? revisionOfKey(next.key)
          : rowModRevision(this.#currentRow(rowKey))
      if (successor >= target) return
    }
    const { key } = this.#keys.record(revision, subOfKey(row.key))
    tables.delete('history', row.key, row.value)
    tables.deletePresent('revisions', revisionKey(revision, subOfKey(row.key)))
    this.#keys.layers.prune(key)
  }

  #currentRow(rowKey: Uint8Array): Uint8Array {
    return present(this.#keys.tables.get('current', rowKey), 'a superseded version has a successor')
  }

  clear(): void {
    this.finishedRevision = neverCompacted
    this.#walk = undefined
  }
}
