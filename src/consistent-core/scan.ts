import { compareBytes, equalBytes } from '../base/index.ts'
import type { KeyRange, Pair } from '../store/index.ts'
import { type FormBounds, joinForm } from './key-form.ts'
import { historyEnd, isHistoryOf, layerTag, rootLayer, spanSize, tagged } from './key-layers.ts'
import {
  historyKey,
  isHistoryPut,
  isLink,
  linkChild,
  revisionOfKey,
  rowKeyOfHistory,
  rowModRevision,
  rowSub,
  subOfKey,
} from './rows.ts'
import { prefixRange, type Tables } from './tables.ts'

/**
 * Called for each visible key in order: its form, where its record is, and its row in `current` when that is the
 * visible version. False ends the scan.
 */
export type Visit = (
  form: Uint8Array,
  modRevision: number,
  sub: number,
  row: Uint8Array | undefined,
) => boolean

/** Visits the newest version of every live key within `bounds`. False: the visitor ended it. */
export function scanNewest(tables: Tables, bounds: FormBounds, visit: Visit): boolean {
  return scanLayer({ tables, visit, layer: rootLayer, path: noPath }, bounds.first, bounds.end)
}

/** The same as of `revision`: for each key the newest version at or before it, unless that is a tombstone. */
export function scanAt(tables: Tables, revision: number, bounds: FormBounds, visit: Visit): boolean {
  return mergeLayer({ tables, visit, layer: rootLayer, path: noPath }, revision, bounds.first, bounds.end)
}

const noPath = new Uint8Array(0)

interface LayerScan {
  readonly tables: Tables
  readonly visit: Visit
  readonly layer: number
  /** The bytes of the form that led here. */
  readonly path: Uint8Array
}

function scanLayer(scan: LayerScan, lower: Uint8Array, upper: Uint8Array | undefined): boolean {
  const { tables, visit, layer, path } = scan
  const tagSize = layerTag(layer).length
  return tables.scan('current', layerRange(layer, lower, upper), (key, value) => {
    if (isLink(value)) {
      const inner = innerScan(scan, key, value)
      const rest = key.subarray(tagSize)
      return scanLayer(inner, innerBound(lower, rest) ?? noPath, innerBound(upper, rest))
    }
    return visit(joinForm(path, afterTag(key, tagSize)), rowModRevision(value), rowSub(value), value)
  })
}

/** What a row key says behind the tag of its layer. The root has none, and a view of a whole key costs a quarter of a scan. */
function afterTag(rowKey: Uint8Array, tagSize: number): Uint8Array {
  return tagSize === 0 ? rowKey : rowKey.subarray(tagSize)
}

/** Rows of one key are few as a rule; where they are many, a search beats walking over them. */
const walkedRowsMax = 32

function mergeLayer(
  scan: LayerScan,
  revision: number,
  lower: Uint8Array,
  upper: Uint8Array | undefined,
): boolean {
  const { tables, visit, layer, path } = scan
  const tagSize = layerTag(layer).length
  const range = layerRange(layer, lower, upper)
  const currentRows = new RowCursor(tables, 'current', range)
  const historyRows = new RowCursor(tables, 'history', range)
  for (;;) {
    const current = currentRows.pair
    const history = historyRows.pair
    if (current === undefined && history === undefined) return true
    const order = compareHeads(current, history)
    if (order <= 0 && current !== undefined) {
      currentRows.advance()
      if (isLink(current.value)) {
        const inner = innerScan(scan, current.key, current.value)
        const rest = current.key.subarray(tagSize)
        if (!mergeLayer(inner, revision, innerBound(lower, rest) ?? noPath, innerBound(upper, rest)))
          return false
        continue
      }
      const modRevision = rowModRevision(current.value)
      if (modRevision <= revision) {
        const form = joinForm(path, afterTag(current.key, tagSize))
        if (!visit(form, modRevision, rowSub(current.value), current.value)) return false
        if (order === 0) floorOf(tables, historyRows, current.key, -1)
        continue
      }
      if (order < 0) continue
    }
    const rowKey = rowKeyOfHistory((history as Pair).key)
    const floor = floorOf(tables, historyRows, rowKey, revision)
    if (floor === undefined || !isHistoryPut(floor.value)) continue
    const form = joinForm(path, afterTag(rowKey, tagSize))
    if (!visit(form, revisionOfKey(floor.key), subOfKey(floor.key), undefined)) return false
  }
}

/**
 * Moves `rows` past the history of one key and returns its newest row at or before `revision`. With -1 it only
 * moves past.
 */
function floorOf(tables: Tables, rows: RowCursor, rowKey: Uint8Array, revision: number): Pair | undefined {
  let floor: Pair | undefined
  for (let walked = 0; rows.pair !== undefined && isHistoryOf(rows.pair.key, rowKey); walked++) {
    if (walked === walkedRowsMax) {
      rows.seek(historyEnd(rowKey))
      return revision < 0 ? undefined : historyFloor(tables, rowKey, revision)
    }
    if (revisionOfKey(rows.pair.key) <= revision) floor = rows.pair
    rows.advance()
  }
  return floor
}

/** The newest row in the history of one key at or before `revision`. */
export function historyFloor(tables: Tables, rowKey: Uint8Array, revision: number): Pair | undefined {
  const range: KeyRange = {
    first: historyKey(rowKey, 0, 0),
    end: historyKey(rowKey, revision + 1, 0),
    reverse: true,
    limit: 1,
  }
  for (const pair of tables.range('history', range)) return pair
  return undefined
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

function innerScan(scan: LayerScan, linkKey: Uint8Array, link: Uint8Array): LayerScan {
  const rest = linkKey.subarray(layerTag(scan.layer).length)
  return { ...scan, layer: linkChild(link), path: joinForm(scan.path, rest) }
}

/** What a bound means inside the layer behind the link row with these bytes; undefined: nothing. */
function innerBound(bound: Uint8Array | undefined, rest: Uint8Array): Uint8Array | undefined {
  if (bound === undefined || bound.length <= spanSize) return undefined
  return equalBytes(bound.subarray(0, spanSize), rest) ? bound.subarray(spanSize) : undefined
}

function compareHeads(current: Pair | undefined, history: Pair | undefined): number {
  if (current === undefined) return 1
  if (history === undefined) return -1
  return compareBytes(current.key, rowKeyOfHistory(history.key))
}

class RowCursor {
  pair: Pair | undefined
  readonly #tables: Tables
  readonly #table: 'current' | 'history'
  readonly #range: KeyRange
  #pairs: Iterator<Pair, unknown>

  constructor(tables: Tables, table: 'current' | 'history', range: KeyRange) {
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
