import { assert, type NodeId } from '../base/index.ts'
import type { Configuration } from './types.ts'

export type Tally = 'won' | 'lost' | 'pending'

/** The highest index that a majority of `voters` holds. An empty set holds everything: it has no say. */
export function majorityIndex(voters: readonly NodeId[], indexOf: (id: NodeId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY
  const descending: number[] = []
  for (const id of voters) insertDescending(descending, indexOf(id))
  const index = descending[voters.length >> 1]
  assert(index !== undefined, 'a majority is never larger than the whole')
  return index
}

/** The highest index that is safe: during a joint change both majorities must hold it. */
export function quorumIndex(configuration: Configuration, indexOf: (id: NodeId) => number): number {
  assert(configuration.voters.length > 0, 'a configuration has at least one voter')
  return Math.min(
    majorityIndex(configuration.voters, indexOf),
    majorityIndex(configuration.outgoing, indexOf),
  )
}

/** Whether those for whom `holds` is true are a majority of each set that counts. */
export function hasQuorum(configuration: Configuration, holds: (id: NodeId) => boolean): boolean {
  return quorumIndex(configuration, (id) => (holds(id) ? 1 : 0)) === 1
}

/** The state of an election; a vote that has not come is undefined. */
export function tally(configuration: Configuration, voteOf: (id: NodeId) => boolean | undefined): Tally {
  if (hasQuorum(configuration, (id) => voteOf(id) === true)) return 'won'
  if (hasQuorum(configuration, (id) => voteOf(id) !== false)) return 'pending'
  return 'lost'
}

/** Voter sets are small: insertion beats a general sort and allocates nothing. */
function insertDescending(values: number[], value: number): void {
  let slot = values.length
  values.push(value)
  for (; slot > 0 && (values[slot - 1] as number) < value; slot--) values[slot] = values[slot - 1] as number
  values[slot] = value
}
