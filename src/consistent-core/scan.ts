import { compareBytes, equalBytes } from '../base/index.ts'
import type { KeyRange, Pair } from '../store/index.ts'
import { type FormBounds, joinForm } from './key-form.ts'
import type { KeyIndex } from './key-index.ts'
import { historyEnd, isHistoryOf, layerTag, rootLayer, spanSize, tagged } from './key-layers.ts'
import { historyKey, linkChild, rowKeyOfHistory, rowModRevision, rowSub } from './rows.ts'
import { prefixRange, type Tables } from './tables.ts'
import { stepBack, type Version, versionOfHistory, versionOfRow } from './versions.ts'

/**
 * Called for each visible key in order: its form, where its record is, and its live row when that is the visible version; the
 * row is lent. False ends the scan.
 */
export type Visit = (
  form: Uint8Array,
  modRevision: number,
  sub: number,
  row: Uint8Array | undefined,
) => boolean

/** Visits the newest version of every live key within `bounds`. False: the visitor ended it. */
export function scanNewest(index: KeyIndex, bounds: FormBounds, visit: Visit): boolean {
  return index.scan(bounds, (form, row) => visit(form, rowModRevision(row), rowSub(row), row))
}

/** The same as of `revision`: for each key the newest version at or before it, unless that is a tombstone. */
export function scanAt(
  { index, tables }: { index: KeyIndex; tables: Tables },
  revision: number,
  bounds: FormBounds,
  visit: Visit,
): boolean {
  const live = index.cursor(bounds)
  const passed = passedKeys({ tables, revision, layer: rootLayer, path: noPath }, bounds.first, bounds.end)
  let past = passed.next().value
  while (live.form !== undefined || past !== undefined) {
    const order = compareHeads(live.form, past?.form)
    const newest = order <= 0 ? versionOfRow(live.row) : undefined
    const isNewest = newest !== undefined && newest.revision <= revision
    const later = (order >= 0 ? past?.later : undefined) ?? newest
    const version = isNewest ? newest : stepBackFrom(tables, later, revision)
    if (version !== undefined) {
      const form = (order <= 0 ? live.form : past?.form) as Uint8Array
      if (!visit(form, version.revision, version.sub, isNewest ? live.row : undefined)) return false
    }
    if (order <= 0) live.advance()
    if (order >= 0) past = passed.next().value
  }
  return true
}

/** A key that has rows in `history`, and the first of its versions and tombstones there that is later than what is asked for. */
interface PassedKey {
  readonly form: Uint8Array
  readonly later: Version | undefined
}

const noPath = new Uint8Array(0)

interface LayerScan {
  readonly tables: Tables
  readonly revision: number
  readonly layer: number
  /** The bytes of the form that led here. */
  readonly path: Uint8Array
}

/** What a row key says behind the tag of its layer. The root has none, and a view of a whole key costs a quarter of a scan. */
function afterTag(rowKey: Uint8Array, tagSize: number): Uint8Array {
  return tagSize === 0 ? rowKey : rowKey.subarray(tagSize)
}

/** Rows of one key are few as a rule; where they are many, a search beats walking over them. */
const walkedRowsMax = 32

/** Keys of a layer and of those below it, in order. */
function* passedKeys(
  scan: LayerScan,
  lower: Uint8Array,
  upper: Uint8Array | undefined,
): Generator<PassedKey, undefined, void> {
  const { tables, revision, layer, path } = scan
  const tagSize = layerTag(layer).length
  const range = layerRange(layer, lower, upper)
  const links = new RowCursor(tables, 'links', range)
  const rows = new RowCursor(tables, 'history', range)
  for (;;) {
    const rowKey = rows.pair === undefined ? undefined : rowKeyOfHistory(rows.pair.key)
    const link = links.pair
    if (link !== undefined && compareHeads(link.key, rowKey) < 0) {
      links.advance()
      const rest = link.key.subarray(tagSize)
      yield* passedKeys(innerScan(scan, link), innerBound(lower, rest) ?? noPath, innerBound(upper, rest))
    } else if (rowKey !== undefined) {
      const later = firstAfter(rows, rowKey, revision)
      yield { form: joinForm(path, afterTag(rowKey, tagSize)), later }
    } else return undefined
  }
}

function stepBackFrom(tables: Tables, later: Version | undefined, revision: number): Version | undefined {
  return later === undefined ? undefined : stepBack(tables, later, revision)
}

/** Moves `rows` past the history of one key and returns its first version or tombstone behind `revision`. */
function firstAfter(rows: RowCursor, rowKey: Uint8Array, revision: number): Version | undefined {
  let first: Version | undefined
  for (let walked = 0; rows.pair !== undefined && isHistoryOf(rows.pair.key, rowKey); walked++) {
    const version = versionOfHistory(rows.pair.key)
    if (first === undefined && version.revision > revision) first = version
    if (first === undefined && walked === walkedRowsMax) rows.seek(historyKey(rowKey, revision + 1, 0))
    else if (first !== undefined && walked >= walkedRowsMax) rows.seek(historyEnd(rowKey))
    else rows.advance()
  }
  return first
}

/** Bounds of row keys in a layer; a bound longer than a span keeps the link row that stands for it in range. */
function layerRange(layer: number, lower: Uint8Array, upper: Uint8Array | undefined): KeyRange {
  const tag = layerTag(layer)
  const whole = prefixRange(tag)
  const first = tagged(tag, lower.subarray(0, spanSize))
  const range: KeyRange = { first: layer === rootLayer && first.length === 0 ? firstOfRoot : first }
  if (upper === undefined) {
    if (layer !== rootLayer && whole.end !== undefined) range.end = whole.end
  } else if (upper.length <= spanSize) {
    range.end = tagged(tag, upper)
  } else {
    range.end = tagged(tag, joinForm(upper.subarray(0, spanSize), Uint8Array.of(0)))
  }
  return range
}

/** Below every form of a key and above the rows of all other layers. */
const firstOfRoot: Uint8Array = Uint8Array.of(0, 1)

function innerScan(scan: LayerScan, link: Pair): LayerScan {
  const rest = link.key.subarray(layerTag(scan.layer).length)
  return { ...scan, layer: linkChild(link.value), path: joinForm(scan.path, rest) }
}

/** What a bound means inside the layer behind the link row with these bytes; undefined: nothing. */
function innerBound(bound: Uint8Array | undefined, rest: Uint8Array): Uint8Array | undefined {
  if (bound === undefined || bound.length <= spanSize) return undefined
  return equalBytes(bound.subarray(0, spanSize), rest) ? bound.subarray(spanSize) : undefined
}

/** Which comes first; nothing comes last. */
function compareHeads(left: Uint8Array | undefined, right: Uint8Array | undefined): number {
  if (left === undefined) return 1
  if (right === undefined) return -1
  return compareBytes(left, right)
}

class RowCursor {
  pair: Pair | undefined
  readonly #tables: Tables
  readonly #table: 'links' | 'history'
  readonly #range: KeyRange
  #pairs: Iterator<Pair, unknown>

  constructor(tables: Tables, table: 'links' | 'history', range: KeyRange) {
    this.#tables = tables
    this.#table = table
    this.#range = range
    this.#pairs = tables.range(table, range)
    this.advance()
  }

  advance(): void {
    const result = this.#pairs.next()
    this.pair = result.done === true ? undefined : result.value
  }

  seek(first: Uint8Array): void {
    this.#pairs = this.#tables.range(this.#table, { ...this.#range, first })
    this.advance()
  }
}
