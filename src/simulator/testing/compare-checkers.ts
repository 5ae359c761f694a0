/** Random small histories, each judged by all checkers and by trying all orders. */
import { SeededRandom } from '../../base/index.ts'
import { checkKv } from '../check-kv.ts'
import { checkKvBySearch } from '../check-kv-search.ts'
import { type Explained, someOrderExplains } from './all-orders.ts'
import { type DrawnHistory, drawHistory, mutateHistory } from './draw-history.ts'

export interface Comparison {
  readonly checker: string
  accepted: number
  rejected: number
}

export interface Comparisons {
  readonly checkers: readonly Comparison[]
  /** One line each, with the seed that draws the history again. */
  readonly disagreements: readonly string[]
  /** How many histories had at least one call of unknown outcome, and at least one pair of calls that overlapped. */
  readonly unknown: number
  readonly overlapping: number
}

const stepsMax = 1_000_000

const checkers: readonly { name: string; explained: Explained; accepts(history: DrawnHistory): boolean }[] = [
  { name: 'by revision', explained: 'log', accepts: (history) => checkKv(history).length === 0 },
  {
    name: 'by search',
    explained: 'calls',
    accepts: (history) => checkKvBySearch(history, { revisions: 'told', stepsMax }).length === 0,
  },
  {
    name: 'by search in parts, without revisions',
    explained: 'values',
    accepts: (history) => checkKvBySearch(history, { revisions: 'ignored', stepsMax }).length === 0,
  },
]

/** Compares the checkers on `count` histories of up to 7 calls; the seeds are from `from` on. */
export function compareCheckers(from: number, count: number): Comparisons {
  const totals = checkers.map(({ name }): Comparison => ({ checker: name, accepted: 0, rejected: 0 }))
  const disagreements: string[] = []
  let unknown = 0
  let overlapping = 0
  for (let seed = from; seed < from + count; seed++) {
    const history = drawSmallHistory(seed)
    if (history.calls.some((call) => call.outcome.kind === 'unknown')) unknown++
    if (overlaps(history)) overlapping++
    for (const [place, checker] of checkers.entries()) {
      const accepts = checker.accepts(history)
      const total = totals[place]
      if (total !== undefined) total[accepts ? 'accepted' : 'rejected']++
      if (accepts !== someOrderExplains(history, checker.explained)) {
        disagreements.push(
          `seed ${seed}: ${checker.name} ${accepts ? 'accepts' : 'rejects'}, all orders do not`,
        )
      }
    }
  }
  return { checkers: totals, disagreements, unknown, overlapping }
}

/** Up to 7 calls at whole times, so that many touch; about a third right by construction. */
export function drawSmallHistory(seed: number): DrawnHistory {
  const random = new SeededRandom(seed)
  const spread = random.between(1, 5)
  let history = drawHistory(random, {
    size: random.between(1, 8),
    drawSpread: () => random.between(0, spread),
    isMixed: random.chance(0.5),
    isUnique: false,
  })
  for (let changes = random.between(0, 5); changes > 0; changes--) history = mutateHistory(random, history)
  return { ...history, calls: history.calls.slice(0, 7) }
}

function overlaps({ calls }: DrawnHistory): boolean {
  return calls.some((call, place) =>
    calls.some((other, i) => {
      if (i <= place || call.outcome.kind !== 'answered' || other.outcome.kind !== 'answered') return false
      return call.calledAt <= other.outcome.returnedAt && other.calledAt <= call.outcome.returnedAt
    }),
  )
}
