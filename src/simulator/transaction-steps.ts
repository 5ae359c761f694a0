/** What one recorded call says about versions of keys, as the checker of transactions needs it. */
import type { RecordedCall } from './history.ts'
import {
  isInSpan,
  type KeySpan,
  type ModelCompare,
  type ModelPair,
  type ModelRequest,
  type ModelResult,
  type SimpleRequest,
} from './kv-model.ts'

/** `replaced`: by a later step of the same transaction. `not made`: it failed, or it is in the branch not taken. */
export type PutState = 'written' | 'replaced' | 'not made'

export interface TransactionSteps {
  readonly puts: readonly { readonly key: string; readonly value: string; readonly state: PutState }[]
  /** Keys that it wrote again with the value they had. */
  readonly keeps: readonly string[]
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
  const draft: Draft = { puts: [], keeps: [], deletions: [], reads: [], absences: [], faults: [] }
  if (outcome.kind === 'answered') {
    const made = madeSteps(draft, request, outcome.result)
    const steps = made.map(({ step }) => step)
    addMade(draft, made)
    addPuts(draft, steps, 'written')
  } else addEither(draft, request, outcome.kind === 'unknown' ? 'written' : 'not made')
  return draft
}

interface MadeStep {
  readonly step: SimpleRequest
  readonly result: ModelResult | undefined
}

/** What was done, one after the other; what was in the other branches goes to the draft, as do comparisons that held. */
function madeSteps(draft: Draft, request: ModelRequest, result: ModelResult | undefined): MadeStep[] {
  if (result?.kind === 'refused') {
    addEither(draft, request, 'not made')
    return []
  }
  if (request.kind !== 'transaction') return [{ step: request, result }]
  const succeeded = result?.kind === 'transaction' && result.succeeded
  const results = result?.kind === 'transaction' ? result.results : []
  const [made, other] = succeeded ? [request.success, request.failure] : [request.failure, request.success]
  if (succeeded) for (const compare of request.compare) addCompare(draft, compare)
  for (const step of other) addEither(draft, step, 'not made')
  return made.flatMap((step, i) => madeSteps(draft, step, results[i]))
}

/** Whichever branches were taken. */
function addEither(draft: Draft, request: ModelRequest, state: PutState): void {
  if (request.kind !== 'transaction') {
    addPuts(draft, [request], state)
    return
  }
  for (const branch of [request.success, request.failure]) {
    const simple = branch.filter((step) => step.kind !== 'transaction')
    addPuts(draft, simple, state)
    for (const step of branch) if (step.kind === 'transaction') addEither(draft, step, state)
  }
}

function addPuts(draft: Draft, steps: readonly SimpleRequest[], state: PutState): void {
  for (const [i, step] of steps.entries()) {
    if (step.kind !== 'put') continue
    const { key, value } = step
    const isReplaced = steps.slice(i + 1).some((later) => {
      if (later.kind === 'put') return later.key === key
      return later.kind === 'delete' && isInSpan(key, later)
    })
    if (step.ignoreValue === true) draft.keeps.push(key)
    else draft.puts.push({ key, value, state: isReplaced && state === 'written' ? 'replaced' : state })
  }
}

/** All comparisons held: those for equality tell what was there. */
function addCompare(draft: Draft, { key, end, target, result, operand }: ModelCompare): void {
  if (result !== 'equal' || end !== '' || target === 'lease') return
  if (target === 'value') draft.reads.push({ key, value: String(operand) })
  else if (Number(operand) === 0) draft.absences.push({ span: { key, end: '' }, present: new Set() })
  else if (target === 'mod') draft.reads.push({ key, revision: Number(operand) })
}

/** What a transaction did itself so far. */
interface Own {
  /** Undefined: a value that it kept and cannot know. */
  readonly puts: Map<string, string | undefined>
  readonly deleted: KeySpan[]
}

function addMade(draft: Draft, made: readonly MadeStep[]): void {
  const own: Own = { puts: new Map(), deleted: [] }
  for (const { step, result } of made) {
    if (step.kind === 'put') {
      if (result?.kind === 'put' && result.previous !== undefined) addPair(draft, result.previous, own)
      own.puts.set(step.key, step.ignoreValue === true ? undefined : step.value)
    } else if (step.kind === 'delete') {
      if (result?.kind !== 'delete') continue
      for (const pair of result.previous ?? []) addPair(draft, pair, own)
      for (const key of [...own.puts.keys()]) if (isInSpan(key, step)) own.puts.delete(key)
      own.deleted.push(step)
      if (result.deleted > 0) draft.deletions.push(step)
    } else if (result?.kind === 'range' && (step.variant?.revision ?? 0) === 0) {
      addRange(draft, step, result, own)
    }
  }
}

function addPair(draft: Draft, { key, value, modRevision }: ModelPair, own: Own): void {
  const written = own.puts.get(key)
  if (own.puts.has(key)) {
    if (written === undefined || written === value) return
    draft.faults.push(`wrote ${key}=${written} and then read ${value}`)
  } else if (own.deleted.some((one) => isInSpan(key, one))) {
    draft.faults.push(`deleted ${key} and then read ${value}`)
  } else draft.reads.push({ key, revision: modRevision, value })
}

function addRange(
  draft: Draft,
  span: SimpleRequest & { readonly kind: 'range' },
  { pairs, count }: ModelResult & { readonly kind: 'range' },
  own: Own,
): void {
  if (span.variant?.keysOnly !== true) for (const pair of pairs) addPair(draft, pair, own)
  // With a limit or a filter, the keys that are not here may be there nevertheless.
  if (pairs.length !== count) return
  const present = new Set(pairs.map(({ key }) => key))
  for (const key of own.puts.keys()) {
    if (isInSpan(key, span) && !present.has(key)) draft.faults.push(`wrote ${key} and then did not find it`)
  }
  if (own.deleted.length > 0) return
  draft.absences.push({ span, present: new Set([...present, ...own.puts.keys()]) })
}
