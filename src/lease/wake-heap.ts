import type { LeaseId } from '../base/index.ts'

export interface Wake {
  readonly id: LeaseId
  readonly atMs: number
}

/** A binary heap of times at which a lease must be looked at, the earliest on top. */
export class WakeHeap {
  readonly #wakes: Wake[] = []

  get size(): number {
    return this.#wakes.length
  }

  peek(): Wake | undefined {
    return this.#wakes[0]
  }

  push(id: LeaseId, atMs: number): void {
    const wakes = this.#wakes
    const wake = { id, atMs }
    let at = wakes.length
    wakes.push(wake)
    while (at > 0) {
      const parent = (at - 1) >>> 1
      const above = wakes[parent] as Wake
      if (above.atMs <= atMs) break
      wakes[at] = above
      at = parent
    }
    wakes[at] = wake
  }

  pop(): Wake | undefined {
    const wakes = this.#wakes
    const top = wakes[0]
    const last = wakes.pop()
    if (last === undefined || wakes.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= wakes.length) break
      if (child + 1 < wakes.length && (wakes[child + 1] as Wake).atMs < (wakes[child] as Wake).atMs) child++
      const below = wakes[child] as Wake
      if (below.atMs >= last.atMs) break
      wakes[at] = below
      at = child
    }
    wakes[at] = last
    return top
  }
}
