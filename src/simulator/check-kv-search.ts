/**
 * Linearizability of the key-value store by search, for small and adversarial histories: all that is known are the
 * calls and their answers, no log of revisions. It needs no watcher and trusts no order, so it judges the checker that
 * goes by revision order, and histories where nobody watched. Transactions over several keys are searched whole.
 *
 * `revisions: 'told'`: answers must have the right revisions; they leave few orders to try. `'ignored'`: only values,
 * versions, counts and leases count, and the history falls into parts that share no key.
 */
import { assert } from '../base/index.ts'
import { saysItChanged } from './check-kv.ts'
import {
  partitionCalls,
  type SequentialModel,
  searchLinearization,
  type TimedCall,
} from './check-linearizable.ts'
import { describeCall, type RecordedCall, type Violation } from './history.ts'
import {
  describeEvent,
  describePair,
  describeResult,
  isInSpan,
  type KeySpan,
  KvModel,
  type ModelEvent,
  type ModelPair,
  type ModelRequest,
  type ModelResult,
  operationsOf,
} from './kv-model.ts'

export interface KvSearchOptions {
  readonly revisions: 'told' | 'ignored'
  /** Of each part; a search that would need more leaves the verdict unknown, which is a violation. */
  readonly stepsMax: number
}

type KvInput =
  | { readonly kind: 'call'; readonly request: ModelRequest; readonly isOld: boolean }
  | { readonly kind: 'leaseEnd'; readonly lease: bigint }
interface KvOutput {
  readonly revision: number
  readonly result: ModelResult
}
interface KvState {
  readonly kv: KvModel
  /** All that ever happened, where calls look back; else empty. */
  readonly past: string
  readonly key: string
}
type KvCall = TimedCall<KvInput, KvOutput> & { readonly recorded: RecordedCall | undefined }

/**
 * Serializable reads promise no real time and are left out. A lease may end once at any time, with all its keys.
 * With `'ignored'`, reads at an older revision are left out too, and no comparison may look at a revision.
 */
export function checkKvBySearch(
  history: { readonly calls: readonly RecordedCall[]; readonly leases: readonly bigint[] },
  options: KvSearchOptions,
): Violation[] {
  const calls = searchable(history, options)
  const parts = options.revisions === 'told' ? [calls] : partitionCalls(calls, keysTouched(calls))
  const isBackward = calls.some(({ input }) => input.kind === 'call' && looksBack(input.request))
  const model = kvModel(options.revisions, isBackward)
  return parts.flatMap((part) => {
    const { verdict, steps, longest } = searchLinearization(model, part, options.stepsMax)
    if (verdict === 'linearizable') return []
    const placed = new Set(longest)
    const stuck = part
      .filter((call, place) => call.answer !== undefined && !placed.has(place))
      .sort((left, right) => (left.answer?.returnedAt ?? 0) - (right.answer?.returnedAt ?? 0))
    const facts = [
      `${part.length} calls, ${steps} steps, at most ${longest.length} in order; then none fits before the return of`,
      ...stuck.slice(0, 1).map((call) => describeStuck(call)),
    ]
    const promise = verdict === 'unknown' ? 'the search for an order ends' : 'some order explains all answers'
    return [{ promise, facts: facts.join(' ') }]
  })
}

function describeStuck({ recorded, answer }: KvCall): string {
  if (recorded === undefined || answer === undefined) return 'nothing'
  const { revision, result } = answer.output
  return `${describeCall(recorded)}, answered ${describeResult(result)} at revision ${revision}`
}

function searchable(
  { calls, leases }: { readonly calls: readonly RecordedCall[]; readonly leases: readonly bigint[] },
  { revisions }: KvSearchOptions,
): KvCall[] {
  const found: KvCall[] = []
  let first = 0
  for (const recorded of calls) {
    const { outcome, request, calledAt } = recorded
    const isOld = recorded.atRevision !== 0
    if (outcome.kind === 'failed' || recorded.isSerializable || (isOld && revisions === 'ignored')) continue
    if (revisions === 'ignored') assertComparable(request)
    const answer =
      outcome.kind === 'answered'
        ? { output: { revision: outcome.revision, result: outcome.result }, returnedAt: outcome.returnedAt }
        : undefined
    first = Math.min(first, calledAt)
    found.push({ input: { kind: 'call', request, isOld }, calledAt, answer, recorded })
  }
  for (const lease of leases) {
    found.push({
      input: { kind: 'leaseEnd', lease },
      calledAt: first,
      answer: undefined,
      recorded: undefined,
    })
  }
  return found
}

function assertComparable(request: ModelRequest): void {
  assert(!looksBack(request), 'a range at a revision needs the revisions')
  if (request.kind !== 'transaction') return
  const isFree = request.compare.every(({ target }) => target !== 'mod' && target !== 'create')
  assert(isFree, 'a comparison of revisions needs the revisions')
  for (const step of [...request.success, ...request.failure]) assertComparable(step)
}

/** The keys that a call can see or change, of all that are ever put. */
function keysTouched(calls: readonly KvCall[]): (call: KvCall) => string[] {
  const put = new Set<string>()
  const leased = new Map<bigint, Set<string>>()
  for (const { input } of calls) {
    if (input.kind !== 'call') continue
    for (const step of operationsOf(input.request)) {
      if (step.kind !== 'put') continue
      put.add(step.key)
      const keys = leased.get(step.lease) ?? new Set()
      leased.set(step.lease, keys.add(step.key))
    }
  }
  return ({ input }) => {
    if (input.kind === 'leaseEnd') return [...(leased.get(input.lease) ?? [])]
    const spans = spansOf(input.request)
    return spans.flatMap((span) =>
      span.end === '' ? [span.key] : [...put].filter((key) => isInSpan(key, span)),
    )
  }
}

function spansOf(request: ModelRequest): KeySpan[] {
  if (request.kind === 'put') return [{ key: request.key, end: '' }]
  if (request.kind !== 'transaction') return [request]
  return [...request.compare, ...[...request.success, ...request.failure].flatMap(spansOf)]
}

/** Whether an answer may depend on more than the newest state. */
function looksBack(request: ModelRequest): boolean {
  return operationsOf(request).some((step) => step.kind === 'range' && (step.variant?.revision ?? 0) !== 0)
}

function kvModel(
  revisions: KvSearchOptions['revisions'],
  isBackward: boolean,
): SequentialModel<KvState, KvInput, KvOutput> {
  const textOf = (result: ModelResult): string =>
    describeResult(revisions === 'told' ? result : withoutRevisions(result))
  const stateOf = (kv: KvModel, past: string): KvState => {
    const pairs = kv.range({ key: '', end: '\0' })
    if (revisions === 'ignored')
      return { kv, past, key: pairs.map((pair) => describePair(bare(pair))).join() }
    return { kv, past, key: `${kv.revision} ${pairs.map(describePair).join()} ${past}` }
  }
  const after = (state: KvState, events: readonly ModelEvent[]): KvState => {
    if (events.length === 0) return state
    const kv = state.kv.copy()
    kv.apply({ revision: kv.revision + 1, events })
    return stateOf(kv, isBackward ? `${state.past}; ${events.map(describeEvent).join()}` : '')
  }
  return {
    initial: stateOf(new KvModel(), ''),
    key: (state) => state.key,
    isRead: (_input, { result }) => !saysItChanged(result),
    step: (state, input, output) => {
      if (input.kind === 'leaseEnd') {
        const keys = state.kv.keysOfLease(input.lease)
        return after(
          state,
          keys.map((key) => ({ kind: 'delete', key })),
        )
      }
      const { result, events } = state.kv.evaluate(input.request)
      if (output !== undefined) {
        const revision = state.kv.revision + (events.length === 0 ? 0 : 1)
        if (revisions === 'told' && output.revision !== revision) return undefined
        if (!input.isOld && textOf(output.result) !== textOf(result)) return undefined
      }
      return after(state, events)
    },
  }
}

function withoutRevisions(result: ModelResult): ModelResult {
  switch (result.kind) {
    case 'transaction':
      return { ...result, results: result.results.map(withoutRevisions) }
    case 'range':
      return { ...result, pairs: result.pairs.map(bare) }
    case 'put':
      return result.previous === undefined ? result : { ...result, previous: bare(result.previous) }
    case 'delete':
      return result.previous === undefined ? result : { ...result, previous: result.previous.map(bare) }
    default:
      return result
  }
}

function bare(pair: ModelPair): ModelPair {
  return { ...pair, createRevision: 0, modRevision: 0 }
}
