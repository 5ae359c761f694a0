import { copyBytes } from '../base/index.ts'
import { orderedForm } from './key-form.ts'
import type { KeySpace } from './key-space.ts'
import { neverCompacted } from './key-space.ts'
import {
  decodeRow,
  historyKey,
  historyPut,
  historyTombstone,
  isInHistory,
  revisionKey,
  revisionOfKey,
  subOfKey,
} from './rows.ts'
import { predecessorIn, type Version } from './versions.ts'

/** Rows of `revisions` looked at in one slice. */
const sliceRows = 256

/** A version or tombstone that is older than the target. */
interface Passed {
  readonly version: Version
  readonly key: Uint8Array
  readonly isPut: boolean
  readonly before: Version | undefined
}

/**
 * Removes in slices what compaction allows to forget. A compaction is over for readers as soon as it is applied; this
 * only gives the room back, when each replica finds time. One walk goes over `revisions` in their order, from where the last one
 * ended to one target revision. After a restart it begins there again: what was removed is gone, so it only passes over what
 * stays.
 *
 * A version goes once its successor is older than the target, a tombstone once it is older itself. So there stays the
 * newest version at or before the target, a tombstone exactly at it, and also what a change exactly at it replaced:
 * a watcher that begins there still learns the previous value.
 */
export class Compaction {
  /** All that compacting at this revision forgets has been removed. */
  finishedRevision: number = neverCompacted
  /** The walk under way: towards `target`, and where it goes on. */
  #walk: { target: number; next: Uint8Array } | undefined
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
    this.#walk ??= {
      target: Math.min(allowed, this.#keys.compactRevision),
      next: revisionKey(Math.max(0, this.finishedRevision), 0),
    }
    this.#slice(this.#walk)
  }

  #slice(walk: { target: number; next: Uint8Array }): void {
    const { tables } = this.#keys
    const passed: Passed[] = []
    const range = { first: walk.next, end: revisionKey(walk.target, 0) }
    const isLast = tables.scan('revisions', range, (key, row) => {
      if (passed.length === sliceRows) {
        walk.next = key
        return false
      }
      const version = { revision: revisionOfKey(key), sub: subOfKey(key) }
      const { key: clientKey, isPut } = decodeRow(row)
      passed.push({ version, key: copyBytes(clientKey), isPut, before: predecessorIn(row) })
      return true
    })
    for (const one of passed) this.#pass(one)
    if (!isLast) return
    this.finishedRevision = walk.target
    this.#walk = undefined
  }

  #pass({ version, key, isPut, before }: Passed): void {
    if (before !== undefined) this.#remove(key, before)
    if (!isPut) this.#remove(key, version)
    if (before !== undefined || !isPut) this.#keys.layers.prune(key)
  }

  #remove(key: Uint8Array, { revision, sub }: Version): void {
    const { tables, layers } = this.#keys
    const rowKey = layers.find(orderedForm(key))
    const row = tables.get('revisions', revisionKey(revision, sub))
    // Gone since an earlier walk to this target, which a restart ended.
    if (rowKey === undefined || row === undefined) return
    const record = decodeRow(row)
    if (!record.isPut) tables.delete('history', historyKey(rowKey, revision, sub), historyTombstone)
    else if (isInHistory(record.version))
      tables.delete('history', historyKey(rowKey, revision, sub), historyPut)
    tables.delete('revisions', revisionKey(revision, sub), row)
  }

  clear(): void {
    this.finishedRevision = neverCompacted
    this.#walk = undefined
  }
}
