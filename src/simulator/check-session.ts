/**
 * Sessions: each numbered request takes effect at most once, and every answer to it is the first one, whichever server
 * was asked and however often. Values of puts are unique in the history, but for puts that keep the value: what those
 * write again is theirs, and a key that one of unknown outcome may have kept tells nothing. Linear in answers and log.
 */
import { saysItChanged } from './check-kv.ts'
import type { CallOutcome, RecordedCall, Violation } from './history.ts'
import { describeRequest } from './history.ts'
import { describeResult, type ModelRequest, operationsOf, type RevisionRecord } from './kv-model.ts'

/** One number of a session: what was asked under it, and all that was heard. */
export interface NumberedRequest {
  readonly session: bigint
  readonly number: number
  readonly request: ModelRequest
  /** One each time that it was asked, in any order. */
  readonly outcomes: CallOutcome[]
}

export interface SessionHistory {
  /** All of all clients; the numbered ones, too, each once. */
  readonly calls: readonly RecordedCall[]
  readonly log: readonly RevisionRecord[]
  readonly numbered: readonly NumberedRequest[]
}

/** What was written when, and what of it is known to be of whom. */
interface Writes {
  /** By key and value: where it was put. */
  readonly revisions: ReadonlyMap<string, ReadonlySet<number>>
  /** That some answered call has as its own. */
  readonly claimed: ReadonlySet<number>
  /** Keys whose value may have been put again by a call that nobody had an answer to. */
  readonly maybeKept: ReadonlySet<string>
}

export function checkSessions({ calls, log, numbered }: SessionHistory): Violation[] {
  const writes = {
    revisions: revisionsOfPuts(log),
    claimed: revisionsOfAnswers(calls),
    maybeKept: maybeKept(calls),
  }
  return numbered.flatMap((asked) => [...checkAnswers(asked), ...checkEffects(asked, writes)])
}

function checkAnswers(asked: NumberedRequest): Violation[] {
  const answers = new Set<string>()
  for (const outcome of asked.outcomes) {
    if (outcome.kind === 'answered') answers.add(`${describeResult(outcome.result)} at ${outcome.revision}`)
  }
  if (answers.size < 2) return []
  return [
    { promise: 'a retry hears the first answer', facts: `${describe(asked)}: ${[...answers].join(' and ')}` },
  ]
}

function checkEffects(asked: NumberedRequest, { revisions, claimed, maybeKept }: Writes): Violation[] {
  const own = asked.outcomes.flatMap((outcome) => (outcome.kind === 'answered' ? [outcome.revision] : []))
  const seen = new Set<number>()
  for (const step of operationsOf(asked.request)) {
    if (step.kind !== 'put' || maybeKept.has(step.key)) continue
    for (const revision of revisions.get(nameOf(step.key, step.value)) ?? []) {
      if (own.includes(revision) || !claimed.has(revision)) seen.add(revision)
    }
  }
  if (seen.size < 2) return []
  return [
    {
      promise: 'a numbered request happens once',
      facts: `${describe(asked)}: revisions ${[...seen].join(', ')}`,
    },
  ]
}

function revisionsOfPuts(log: readonly RevisionRecord[]): Map<string, Set<number>> {
  const revisions = new Map<string, Set<number>>()
  for (const { revision, events } of log) {
    for (const event of events) {
      if (event.kind === 'delete') continue
      const name = nameOf(event.pair.key, event.pair.value)
      revisions.set(name, (revisions.get(name) ?? new Set()).add(revision))
    }
  }
  return revisions
}

function revisionsOfAnswers(calls: readonly RecordedCall[]): Set<number> {
  return new Set(
    calls.flatMap(({ outcome }) =>
      outcome.kind === 'answered' && saysItChanged(outcome.result) ? [outcome.revision] : [],
    ),
  )
}

function maybeKept(calls: readonly RecordedCall[]): Set<string> {
  const unknown = calls.filter(({ outcome }) => outcome.kind === 'unknown')
  const steps = unknown.flatMap(({ request }) => operationsOf(request))
  return new Set(steps.flatMap((step) => (step.kind === 'put' && step.ignoreValue ? [step.key] : [])))
}

function nameOf(key: string, value: string): string {
  return `${key.length} ${key}${value}`
}

function describe({ session, number, request }: NumberedRequest): string {
  return `request ${number} of session ${session}: ${describeRequest(request)}`
}
