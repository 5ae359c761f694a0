import { assert } from '../base/index.ts'

/** Revisions that readers are at. Rooms of old versions that a reader may still need are not given back. */
export class Pins {
  readonly #counts = new Map<number, number>()

  add(revision: number): void {
    this.#counts.set(revision, (this.#counts.get(revision) ?? 0) + 1)
  }

  remove(revision: number): void {
    const count = this.#counts.get(revision) ?? 0
    assert(count > 0, 'what is released was pinned')
    if (count === 1) this.#counts.delete(revision)
    else this.#counts.set(revision, count - 1)
  }

  /** The oldest; Infinity when there is none. */
  get lowest(): number {
    let lowest = Infinity
    for (const revision of this.#counts.keys()) lowest = Math.min(lowest, revision)
    return lowest
  }
}
