import { assert, equalBytes, present } from '../base/index.ts'
import { type FormBounds, orderedForm } from './key-form.ts'
import type { KeyIndex } from './key-index.ts'
import { encodeLink, historyKey, linkChild, rowKeyOfHistory, writeU32BigEndian } from './rows.ts'
import type { Tables } from './tables.ts'
import { prefixRange } from './tables.ts'

/**
 * Row keys for forms of any length. A form of up to `spanSize` bytes is its own row key. Of a longer one the first
 * `spanSize` bytes are the key of a *link row*, which names a *layer*; the rest lives in that layer in the same way.
 * Rows of a layer other than the root begin with two zero bytes (no form of a key does) and the layer's number, so
 * that within each layer rows sort as the forms do, and a scan that descends at each link meets all keys in order.
 * Layers are a matter of this replica: they are in no digest and no snapshot. The structure is that of Masstree
 * (Mao, Kohler, Morris 2012) with spans of 1,900 bytes instead of eight.
 */
export const spanSize = 1900
export const rootLayer = 0
const layerTagSize = 6

/** What rows of `layer` begin with. */
export function layerTag(layer: number): Uint8Array {
  if (layer === rootLayer) return new Uint8Array(0)
  const tag = new Uint8Array(layerTagSize)
  writeU32BigEndian(tag, 2, layer)
  return tag
}

export class KeyLayers {
  /** The number the next layer gets; kept in the meta row. */
  nextLayer = 1
  readonly #tables: Tables
  readonly #index: KeyIndex

  constructor(tables: Tables, index: KeyIndex) {
    this.#tables = tables
    this.#index = index
  }

  /** The row key of a form, or undefined when it lies in a layer that does not exist: then there is no such row. */
  find(form: Uint8Array): Uint8Array | undefined {
    return form.length <= spanSize ? form : this.#descend(form, false)
  }

  /** The row key of a form; makes the layers it needs. */
  findOrCreate(form: Uint8Array): Uint8Array {
    if (form.length <= spanSize) return form
    return present(this.#descend(form, true), 'a layer that is missing is made')
  }

  /**
   * Removes the layers on the way to `key` that hold nothing any more. Called after one of its rows went away. A live key keeps
   * its layers: the lease that it is attached to names it by its row key.
   */
  prune(key: Uint8Array): void {
    const form = orderedForm(key)
    if (form.length <= spanSize) return
    const links: { key: Uint8Array; row: Uint8Array; prefix: Uint8Array }[] = []
    let tag = layerTag(rootLayer)
    for (let at = 0; form.length - at > spanSize; at += spanSize) {
      const linkKey = tagged(tag, form.subarray(at, at + spanSize))
      const row = this.#tables.get('links', linkKey)
      if (row === undefined) break
      links.push({ key: linkKey, row, prefix: form.subarray(0, at + spanSize) })
      tag = layerTag(linkChild(row))
    }
    for (const link of links.reverse()) {
      if (this.#index.count(prefixBounds(link.prefix)) > 0 || !this.#isEmpty(linkChild(link.row))) return
      this.#tables.delete('links', link.key, link.row)
    }
  }

  #isEmpty(layer: number): boolean {
    const range = { ...prefixRange(layerTag(layer)), limit: 1 }
    for (const _ of this.#tables.range('links', range)) return false
    for (const _ of this.#tables.range('history', range)) return false
    return true
  }

  #descend(form: Uint8Array, create: boolean): Uint8Array | undefined {
    let tag = layerTag(rootLayer)
    let at = 0
    for (; form.length - at > spanSize; at += spanSize) {
      const linkKey = tagged(tag, form.subarray(at, at + spanSize))
      let row = this.#tables.get('links', linkKey)
      if (row === undefined) {
        if (!create) return undefined
        assert(this.nextLayer < 0xffff_ffff, 'layer numbers have 32 bits')
        row = encodeLink(this.nextLayer++)
        this.#tables.put('links', linkKey, row, undefined)
      }
      tag = layerTag(linkChild(row))
    }
    return tagged(tag, form.subarray(at))
  }
}

function prefixBounds(prefix: Uint8Array): FormBounds {
  return { first: prefix, end: prefixRange(prefix).end }
}

export function tagged(tag: Uint8Array, rest: Uint8Array): Uint8Array {
  const key = new Uint8Array(tag.length + rest.length)
  key.set(tag)
  key.set(rest, tag.length)
  return key
}

/** Whether a history row belongs to the row key. */
export function isHistoryOf(historyRowKey: Uint8Array, rowKey: Uint8Array): boolean {
  return equalBytes(rowKeyOfHistory(historyRowKey), rowKey)
}

/** Where rows of one key end in `history`, past every revision. */
export function historyEnd(rowKey: Uint8Array): Uint8Array {
  return historyKey(rowKey, Number.MAX_SAFE_INTEGER, 0xffff_ffff)
}
