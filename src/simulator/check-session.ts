/**
 * Sessions: each numbered request takes effect at most once, and every answer to it is the first one, whichever server
 * was asked and however often. Values of puts are unique in the history. Linear in answers and log.
 */
import type { CallOutcome, Violation } from './history.ts'
import { describeRequest } from './history.ts'
import { describeResult, type ModelRequest, type RevisionRecord } from './kv-model.ts'

/** One number of a session: what was asked under it, and all that was heard. */
export interface NumberedRequest {
  readonly session: bigint
  readonly number: number
  readonly request: ModelRequest
  /** One each time that it was asked, in any order. */
  readonly outcomes: readonly CallOutcome[]
}

export function checkSessions(
  log: readonly RevisionRecord[],
  requests: readonly NumberedRequest[],
): Violation[] {
  const revisions = revisionsOfPuts(log)
  return requests.flatMap((request) => [...checkAnswers(request), ...checkEffects(request, revisions)])
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

function checkEffects(
  asked: NumberedRequest,
  revisions: ReadonlyMap<string, ReadonlySet<number>>,
): Violation[] {
  const { request } = asked
  const steps = request.kind === 'transaction' ? [...request.success, ...request.failure] : [request]
  const seen = new Set<number>()
  for (const step of steps) {
    if (step.kind !== 'put') continue
    for (const revision of revisions.get(nameOf(step.key, step.value)) ?? []) seen.add(revision)
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

function nameOf(key: string, value: string): string {
  return `${key.length} ${key}${value}`
}

function describe({ session, number, request }: NumberedRequest): string {
  return `request ${number} of session ${session}: ${describeRequest(request)}`
}
