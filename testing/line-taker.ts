import { concatBytes, utf8Decode, utf8Encode } from '../src/base/index.ts'
import type { KeyValue, RangeTaker } from '../src/consistent-core/index.ts'

/** Takes the pairs of a range as lines of text, and counts how they came. */
export class LineTaker implements RangeTaker {
  readonly #show: (pair: KeyValue) => string
  #bytes: Uint8Array = new Uint8Array(0)
  addedCount = 0
  runCount = 0

  constructor(show: (pair: KeyValue) => string) {
    this.#show = show
  }

  get size(): number {
    return this.#bytes.length
  }

  get lines(): string[] {
    return (utf8Decode(this.#bytes) ?? '').split('\n').slice(0, -1)
  }

  add(pair: KeyValue): void {
    this.addedCount++
    this.#bytes = concatBytes([this.#bytes, utf8Encode(`${this.#show(pair)}\n`)])
  }

  copy(start: number, end: number): Uint8Array {
    return this.#bytes.slice(start, end)
  }

  addBytes(bytes: Uint8Array): void {
    this.runCount++
    this.#bytes = concatBytes([this.#bytes, bytes])
  }
}
