import { assert } from '../base/index.ts'
import { fieldBytes } from './header-list.ts'
import { staticFieldCount, staticFields } from './static-table.ts'

/**
 * The fields that one direction of a connection has sent before (RFC 7541, sections 2.3.2 and 4), seen through the one
 * space of indexes: 1 to 61 are static, 62 is the newest of this table.
 */
export class DynamicTable {
  #bytesMax: number
  #bytes = 0
  /** Names and values in turn, oldest first; what lies before `#first` is evicted. */
  #fields: string[] = []
  #first = 0
  #version = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Changes whenever an index may mean something else than before. */
  get version(): number {
    return this.#version
  }

  get bytes(): number {
    return this.#bytes
  }

  get bytesMax(): number {
    return this.#bytesMax
  }

  get count(): number {
    return (this.#fields.length - this.#first) / 2
  }

  /** Undefined: there is no field with that index. */
  name(index: number): string | undefined {
    return this.#at(index, 0)
  }

  value(index: number): string | undefined {
    return this.#at(index, 1)
  }

  /** A field that is larger than the whole table empties it and is not kept (section 4.4). */
  insert(name: string, value: string): void {
    this.#version++
    const size = fieldBytes(name, value)
    this.#evictTo(this.#bytesMax - size)
    if (size > this.#bytesMax) return
    this.#fields.push(name, value)
    this.#bytes += size
  }

  resize(bytesMax: number): void {
    this.#bytesMax = bytesMax
    if (this.#bytes <= bytesMax) return
    this.#version++
    this.#evictTo(bytesMax)
  }

  /** The index of that field, newest first; undefined when it is not here. */
  find(name: string, value: string): number | undefined {
    for (let at = this.#fields.length - 2; at >= this.#first; at -= 2) {
      if (this.#fields[at] === name && this.#fields[at + 1] === value) {
        return staticFieldCount + (this.#fields.length - at) / 2
      }
    }
    return undefined
  }

  #at(index: number, part: 0 | 1): string | undefined {
    if (index <= staticFieldCount) return index === 0 ? undefined : staticFields[2 * (index - 1) + part]
    const at = this.#fields.length - 2 * (index - staticFieldCount)
    return at < this.#first ? undefined : this.#fields[at + part]
  }

  #evictTo(bytesMax: number): void {
    while (this.#bytes > bytesMax && this.#first < this.#fields.length) {
      const [name, value] = [this.#fields[this.#first], this.#fields[this.#first + 1]]
      this.#bytes -= fieldBytes(name as string, value as string)
      this.#first += 2
    }
    assert(this.#bytes >= 0, 'a table holds no less than nothing')
    // The strings that are gone go together, so that evicting one costs the same however many there are.
    if (this.#first > 64 && 2 * this.#first > this.#fields.length) {
      this.#fields = this.#fields.slice(this.#first)
      this.#first = 0
    }
  }
}
