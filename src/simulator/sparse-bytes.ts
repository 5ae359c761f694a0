import { assert } from '../base/index.ts'

const pageSize = 4096

/** The content of a simulated file: any size, memory only for pages that were written; the rest reads as zeros. */
export class SparseBytes {
  #size = 0
  readonly #pages = new Map<number, Uint8Array>()

  get size(): number {
    return this.#size
  }

  /** Fills `target` from `position`; the number of bytes that were there. */
  read(position: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.length, this.#size - position))
    forEachPage(position, count, (page, offset, length, done) => {
      const bytes = this.#pages.get(page)
      if (bytes === undefined) target.fill(0, done, done + length)
      else target.set(bytes.subarray(offset, offset + length), done)
    })
    return count
  }

  /** Writes and extends the size where needed. */
  write(position: number, bytes: Uint8Array): void {
    forEachPage(position, bytes.length, (page, offset, length, done) => {
      let target = this.#pages.get(page)
      if (target === undefined) {
        target = new Uint8Array(pageSize)
        this.#pages.set(page, target)
      }
      target.set(bytes.subarray(done, done + length), offset)
    })
    this.#size = Math.max(this.#size, position + bytes.length)
  }

  /** Sets the size. Bytes that appear are zero, also when they stood there before an earlier cut. */
  resize(size: number): void {
    assert(Number.isSafeInteger(size) && size >= 0, 'a size is a whole number')
    if (size < this.#size) {
      for (const page of this.#pages.keys()) if (page * pageSize >= size) this.#pages.delete(page)
      this.#pages.get(Math.floor(size / pageSize))?.fill(0, size % pageSize)
    }
    this.#size = size
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size)
    this.read(0, bytes)
    return bytes
  }

  clone(): SparseBytes {
    const copy = new SparseBytes()
    copy.#size = this.#size
    for (const [page, bytes] of this.#pages) copy.#pages.set(page, bytes.slice())
    return copy
  }
}

function forEachPage(
  position: number,
  count: number,
  visit: (page: number, offset: number, length: number, done: number) => void,
): void {
  for (let done = 0; done < count; ) {
    const offset = (position + done) % pageSize
    const length = Math.min(pageSize - offset, count - done)
    visit(Math.floor((position + done) / pageSize), offset, length, done)
    done += length
  }
}
