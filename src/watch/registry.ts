import { latin1FromBytes } from '../base/index.ts'
import { IntervalIndex, type TextInterval } from './interval-index.ts'

/** What a watcher looks at: one key, or all keys in [key, end), or from `key` on. */
export type WatchedKeys =
  | { readonly kind: 'key'; readonly key: Uint8Array }
  | { readonly kind: 'range'; readonly first: Uint8Array; readonly end: Uint8Array | undefined }

/** Who waits for what. Single keys, by far the most, are found by one look-up; ranges through the interval index. */
export class WatchRegistry<T> {
  readonly #keys = new Map<string, Set<T>>()
  readonly #ranges = new IntervalIndex<T>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(watched: WatchedKeys, value: T): void {
    this.#size++
    if (watched.kind === 'range') {
      this.#ranges.add(intervalOf(watched), value)
      return
    }
    const key = latin1FromBytes(watched.key)
    const values = this.#keys.get(key)
    if (values === undefined) this.#keys.set(key, new Set([value]))
    else values.add(value)
  }

  /** Takes out what `add` put in with the same arguments. */
  remove(watched: WatchedKeys, value: T): void {
    this.#size--
    if (watched.kind === 'range') {
      this.#ranges.remove(intervalOf(watched), value)
      return
    }
    const key = latin1FromBytes(watched.key)
    const values = this.#keys.get(key)
    values?.delete(value)
    if (values?.size === 0) this.#keys.delete(key)
  }

  /** Calls `visit` once for each watcher of the key. */
  visit(key: Uint8Array, visit: (value: T) => void): void {
    if (this.#size === 0) return
    const text = latin1FromBytes(key)
    const values = this.#keys.get(text)
    if (values !== undefined) for (const value of values) visit(value)
    if (this.#ranges.size > 0) this.#ranges.visit(text, visit)
  }
}

function intervalOf(watched: Extract<WatchedKeys, { kind: 'range' }>): TextInterval {
  const end = watched.end === undefined ? undefined : latin1FromBytes(watched.end)
  return { first: latin1FromBytes(watched.first), end }
}
