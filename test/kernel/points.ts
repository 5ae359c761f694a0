// Which points of a sweep a run takes, and in which order: the first of every kind of call, then the second of each, and so
// on, so that a short run has met every kind. The order is a circle, and a run may begin anywhere on it.
import { crc32c } from '../../src/base/index.ts'
import { type Action, boundaryOf } from './interposer.ts'
import type { SweepOptions } from './lab.ts'
import { phases } from './life.ts'

/** A place is a u32: above, the how manieth of its kind a point is; below, what decides among those. */
const rankShift = 24
const rankMax = 255

export interface Point {
  readonly phase: number
  readonly at: number
  readonly action: Action
  /** What stood there in the life that was counted; in another one it may be a neighbour. */
  readonly call: string
}

export interface Placed<Any> {
  readonly point: Any
  readonly place: number
}

export function pointName({ phase, at, action }: Point): string {
  return `${phases[phase]?.name}:${at}:${action}`
}

/**
 * All of them, or those that were asked for by name or call, from the place where this run begins and once around. Names
 * end in the number of the call and what is done there.
 */
export function choosePoints<Any extends Pick<Point, 'call'>>(
  all: readonly Any[],
  { seed, from, point: wanted, call }: SweepOptions,
  nameOf: (point: Any) => string,
): Placed<Any>[] {
  const drawn = all
    .filter((point) => wanted === undefined || nameOf(point).startsWith(wanted))
    .filter((point) => call === undefined || new RegExp(call).test(point.call))
    .map((point) => ({ point, draw: crc32c(new TextEncoder().encode(`${seed} ${nameOf(point)}`)) }))
    .sort((left, right) => left.draw - right.draw)
  const seen = new Map<string, number>()
  const placed = drawn.map(({ point, draw }) => {
    const kind = `${nameOf(point).replace(/^.*:\d+:/, '')} ${boundaryOf(point.call)}`
    const rank = seen.get(kind) ?? 0
    seen.set(kind, rank + 1)
    return { point, place: ((Math.min(rank, rankMax) << rankShift) | (draw >>> (32 - rankShift))) >>> 0 }
  })
  const distance = ({ place }: { place: number }): number => (place - from) >>> 0
  return placed.sort((left, right) => distance(left) - distance(right))
}

/** Where a run goes on after one that took the first `taken` of `chosen`; all of them: where that began. */
export function nextPlace(chosen: readonly Placed<unknown>[], taken: number): number {
  return (chosen[taken] ?? chosen[0])?.place ?? 0
}
