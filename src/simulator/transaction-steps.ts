/** What one recorded call says about versions of keys, as the checker of transactions needs it. */
import type { RecordedCall } from './history.ts'
import {
  isInSpan,
  type KeySpan,
  type ModelCompare,
  type SimpleRequest,
  type SimpleResult,
} from './kv-model.ts'

/** `replaced`: by a later step of the same transaction. `not made`: it failed, or it is in the branch not taken. */
export type PutState = 'written' | 'replaced' | 'not made'

export interface TransactionSteps {
  readonly puts: readonly { readonly key: string; readonly value: string; readonly state: PutState }[]
  /** Spans of which an answered call deleted something. */
  readonly deletions: readonly KeySpan[]
  /** Versions of others that it saw, by revision, value or both. */
  readonly reads: readonly { readonly key: string; readonly revision?: number; readonly value?: string }[]
  /** Spans in which it saw nothing but these keys. */
  readonly absences: readonly { readonly span: KeySpan; readonly present: ReadonlySet<string> }[]
  /** Where it did not see what it had done itself. */
  readonly faults: readonly string[]
}

type Draft = { -readonly [Name in keyof TransactionSteps]: TransactionSteps[Name][number][] }

export function stepsOfCall({ request, outcome }: RecordedCall): TransactionSteps {
  const draft: Draft = { puts: [], deletions: [], reads: [], absences: [], faults: [] }
  const isBranched = request.kind === 'transaction'
  const branches = isBranched ? [request.success, request.failure] : [[request]]
  if (outcome.kind === 'answered') {
    const { result } = outcome
    const succeeded = result.kind === 'transaction' && result.succeeded
    const results = result.kind === 'transaction' ? result.results : [result]
    const made = isBranched ? (succeeded ? request.success : request.failure) : [request]
    if (isBranched && succeeded) for (const compare of request.compare) addCompare(draft, compare)
    addMade(draft, made, results)
    for (const branch of branches) if (isBranched && branch !== made) addPuts(draft, branch, false)
    addPuts(draft, made, true)
  } else for (const branch of branches) addPuts(draft, branch, outcome.kind === 'unknown')
  return draft
}

function addPuts(draft: Draft, branch: readonly SimpleRequest[], isMade: boolean): void {
  for (const [i, step] of branch.entries()) {
    if (step.kind !== 'put') continue
    const { key, value } = step
    const isReplaced = branch.slice(i + 1).some((later) => {
      if (later.kind === 'put') return later.key === key
      return later.kind === 'delete' && isInSpan(key, later)
    })
    draft.puts.push({ key, value, state: isMade ? (isReplaced ? 'replaced' : 'written') : 'not made' })
  }
}

/** All comparisons held: those for equality tell what was there. */
function addCompare(draft: Draft, { key, end, target, result, operand }: ModelCompare): void {
  if (result !== 'equal' || end !== '' || target === 'lease') return
  if (target === 'value') draft.reads.push({ key, value: String(operand) })
  else if (Number(operand) === 0) draft.absences.push({ span: { key, end: '' }, present: new Set() })
  else if (target === 'mod') draft.reads.push({ key, revision: Number(operand) })
}

function addMade(draft: Draft, steps: readonly SimpleRequest[], results: readonly SimpleResult[]): void {
  const own = new Map<string, string>()
  const deleted: KeySpan[] = []
  for (const [i, step] of steps.entries()) {
    const result = results[i]
    if (step.kind === 'put') own.set(step.key, step.value)
    else if (step.kind === 'delete') {
      for (const key of own.keys()) if (isInSpan(key, step)) own.delete(key)
      deleted.push(step)
      if (result?.kind === 'delete' && result.deleted > 0) draft.deletions.push(step)
    } else if (result?.kind === 'range') addRange(draft, step, result, own, deleted)
  }
}

function addRange(
  draft: Draft,
  span: KeySpan,
  { pairs, count }: SimpleResult & { readonly kind: 'range' },
  own: ReadonlyMap<string, string>,
  deleted: readonly KeySpan[],
): void {
  for (const { key, value, modRevision } of pairs) {
    const written = own.get(key)
    if (written !== undefined) {
      if (written !== value) draft.faults.push(`wrote ${key}=${written} and then read ${value}`)
    } else if (deleted.some((one) => isInSpan(key, one)))
      draft.faults.push(`deleted ${key} and then read ${value}`)
    else draft.reads.push({ key, revision: modRevision, value })
  }
  // With a limit, the keys that are not here may be behind it.
  if (pairs.length !== count) return
  const present = new Set(pairs.map(({ key }) => key))
  for (const key of own.keys()) {
    if (isInSpan(key, span) && !present.has(key)) draft.faults.push(`wrote ${key} and then did not find it`)
  }
  if (deleted.length === 0) draft.absences.push({ span, present: new Set([...present, ...own.keys()]) })
}
