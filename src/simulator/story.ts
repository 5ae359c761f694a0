/**
 * The story of a run that broke a promise: what was done to the cluster, what it did, and the calls and watch messages
 * that the promise is about, in the order of time; the broken promise last. It has the form of a case file: what comes
 * from outside is a command, what the cluster did until the next one stands under it.
 *
 * What a promise is about is read from its facts: they name calls, revisions, keys and leases by these words
 * ("call 7", "revision 12", "k3", "lease 4"). What is named is always told; of the rest that touches the same keys,
 * and of the faults and elections, the last before the moment of the breach.
 */
import { describeRequest, type RecordedCall, type Violation } from './history.ts'
import type { Journal, Told } from './journal.ts'
import { describeEvent, describeResult, isInSpan, type KeySpan, type ModelRequest } from './kv-model.ts'
import type { SimulationResult } from './simulation.ts'

/** Lines of one kind in a story. */
const happeningsMax = 40
const callsMax = 16
const toldMax = 12
const eventsMax = 4
const violationsMax = 5
/** Lines are cut here. */
const lineLengthMax = 200
const factsLengthMax = 400

interface Line {
  readonly at: number
  readonly isCommand: boolean
  readonly text: string
}

/** What a broken promise speaks of. */
interface Mentions {
  readonly calls: ReadonlySet<number>
  readonly revisions: ReadonlySet<number>
  readonly keys: ReadonlySet<string>
  readonly leases: ReadonlySet<bigint>
}

/** The text of the story, at most some 200 lines; `title` says in a sentence what run it is. */
export function tellStory(title: string, result: SimulationResult, journal: Journal): string {
  const about = mentionsOf(result.violations[0])
  const breach = momentOf(about, journal, result.virtualMs)
  const notes: string[] = []
  const lastOnes = <T>(what: string, list: readonly T[], atOf: (item: T) => number, max: number): T[] => {
    const before = list.filter((item) => atOf(item) <= breach)
    if (before.length > max) notes.push(`# ${before.length - max} earlier ${what} are left out.`)
    return before.slice(-max)
  }
  const calls = split(
    journal.calls,
    (call) => namesCall(about, call),
    (call) => touches(about, call.request),
  )
  const told = split(
    journal.told,
    (one) => namesMessage(about, one),
    (one) => isOnKeys(about, one),
  )
  const happenings = lastOnes('events of the cluster', journal.happenings, ({ at }) => at, happeningsMax)
  const lines: Line[] = [
    ...happenings.map(({ at, isFault, text }) => ({ at, isCommand: isFault, text })),
    ...linesOfLeases(about, journal, breach),
    ...calls.named.slice(0, callsMax).flatMap(linesOfCall),
    ...lastOnes('calls on these keys', calls.others, ({ calledAt }) => calledAt, callsMax).flatMap(
      linesOfCall,
    ),
    ...told.named.slice(0, toldMax).map((one) => lineOfMessage(about, one)),
    ...lastOnes('messages on these keys', told.others, ({ at }) => at, toldMax).map((one) =>
      lineOfMessage(about, one),
    ),
  ]
  // Stable: what happened at one moment stays in the order in which it was written down.
  lines.sort((left, right) => left.at - right.at)
  return [`# ${title}`, ...notes, '', ...blocksOf(lines), ...checkBlock(result.violations)].join('\n')
}

/** Commands, each with what followed. */
function blocksOf(lines: readonly Line[]): string[] {
  const text: string[] = []
  for (const [i, line] of lines.entries()) {
    if (line.isCommand && i > 0) text.push('')
    if (!line.isCommand && i === 0) text.push('start', '----')
    text.push(cut(`${line.at.toFixed(2)} ${line.text}`, lineLengthMax))
    if (line.isCommand) text.push('----')
  }
  return [...text, '']
}

/** Each broken promise in one line; a server that cannot start says so at every attempt. */
function checkBlock(violations: readonly Violation[]): string[] {
  const texts = violations.map(({ promise, facts }) => {
    const [firstLine = ''] = facts.split('\n')
    return cut(`broken: ${promise}: ${firstLine}`, factsLengthMax)
  })
  const different = [...new Set(texts)]
  const rest = different.length - violationsMax
  const shown = different.slice(0, violationsMax)
  return ['check', '----', ...shown, ...(rest > 0 ? [`and ${rest} more`] : []), '']
}

/** The padding of large values is only counted. */
function cut(line: string, lengthMax: number): string {
  const short = line.replace(/x{20,}/g, (run) => `+${run.length}`)
  return short.length <= lengthMax ? short : `${short.slice(0, lengthMax)}...`
}

function linesOfCall(call: RecordedCall): Line[] {
  const name = `${call.client}.${call.id}`
  const kind = call.isSerializable ? ' serializable' : ''
  const at = call.atRevision === 0 ? '' : ` revision=${call.atRevision}`
  const asked = `${name} to ${call.server}: ${describeRequest(call.request)}${kind}${at}`
  const { outcome, calledAt } = call
  const answer =
    outcome.kind === 'answered'
      ? { at: outcome.returnedAt, text: `revision ${outcome.revision}: ${describeResult(outcome.result)}` }
      : { at: calledAt, text: outcome.kind }
  return [
    { at: calledAt, isCommand: true, text: asked },
    { at: answer.at, isCommand: false, text: `${name} < ${answer.text}` },
  ]
}

function linesOfLeases({ leases }: Mentions, journal: Journal, breach: number): Line[] {
  return journal.leases
    .filter(({ id }) => leases.has(id))
    .flatMap(({ id, ttlMs, extendedAt, revokedAt }) => [
      ...extendedAt.map((at, i) => {
        const verb = i === 0 ? `grant lease ${id} ttl=${ttlMs / 1000}` : `renew lease ${id}`
        return { at, isCommand: true, text: `${verb} (answered)` }
      }),
      ...(revokedAt === undefined ? [] : [{ at: revokedAt, isCommand: true, text: `revoke lease ${id}` }]),
    ])
    .filter(({ at }) => at <= breach)
    .slice(-callsMax)
}

function lineOfMessage(about: Mentions, { at, watch, message }: Told): Line {
  return { at, isCommand: false, text: `${watch} < ${textOfMessage(about, message)}` }
}

function textOfMessage(about: Mentions, message: Told['message']): string {
  switch (message.kind) {
    case 'created':
      return `created at ${message.revision}`
    case 'progress':
      return `progress at ${message.revision}`
    case 'compacted':
      return `compacted at ${message.compactRevision}`
    case 'ended':
      return `ended: ${message.reason}`
    case 'events': {
      const wanted = message.events.filter(({ event, revision }) => {
        return about.revisions.has(revision) || (about.revisions.size === 0 && about.keys.has(keyOf(event)))
      })
      const shown = (wanted.length > 0 ? wanted : message.events).slice(0, eventsMax)
      const texts = shown.map(({ event, revision }) =>
        event.kind === 'put' ? describeEvent(event) : `${describeEvent(event)} m${revision}`,
      )
      const left = message.events.length - shown.length
      if (left > 0) texts.push(`and ${left} more`)
      return `at ${message.revision}: ${texts.join(', ')}${message.fragment ? ' (fragment)' : ''}`
    }
  }
}

// ---- what a promise is about ------------------------------------------------------------------------------------

function mentionsOf(violation: Violation | undefined): Mentions {
  const facts = violation?.facts ?? ''
  const numbers = (pattern: RegExp): string[] => [...facts.matchAll(pattern)].map(([, number = '']) => number)
  const leases = numbers(/\blease (\d+)/g)
  return {
    calls: new Set(numbers(/\bcall (\d+)/g).map(Number)),
    revisions: new Set(numbers(/\brevisions? (\d+)/g).map(Number)),
    // The load puts under a lease what its name says (a4.0 is a key of lease 4).
    keys: new Set([
      ...numbers(/\b(k\d+|a\d+\.\d+|healed)\b/g),
      ...leases.flatMap((id) => [`a${id}.0`, `a${id}.1`]),
    ]),
    leases: new Set(leases.map(BigInt)),
  }
}

function split<T>(
  list: readonly T[],
  isNamed: (item: T) => boolean,
  isRelated: (item: T) => boolean,
): { named: T[]; others: T[] } {
  return {
    named: list.filter(isNamed),
    others: list.filter((item) => !isNamed(item) && isRelated(item)),
  }
}

function namesCall({ calls, revisions }: Mentions, { id, outcome }: RecordedCall): boolean {
  return calls.has(id) || (outcome.kind === 'answered' && revisions.has(outcome.revision))
}

function touches({ keys }: Mentions, request: ModelRequest): boolean {
  return spansOf(request).some((span) => [...keys].some((key) => isInSpan(key, span)))
}

function spansOf(request: ModelRequest): KeySpan[] {
  if (request.kind === 'transaction') return [...request.success, ...request.failure].flatMap(spansOf)
  if (request.kind === 'put') return [{ key: request.key, end: '' }]
  return [request]
}

function namesMessage({ revisions }: Mentions, { message }: Told): boolean {
  switch (message.kind) {
    case 'events':
      return message.events.some(({ revision }) => revisions.has(revision))
    case 'progress':
      return revisions.has(message.revision)
    case 'compacted':
      return revisions.has(message.compactRevision)
    default:
      return false
  }
}

function isOnKeys({ keys }: Mentions, { message }: Told): boolean {
  return message.kind === 'events' && message.events.some(({ event }) => keys.has(keyOf(event)))
}

function keyOf(event: { kind: 'put'; pair: { key: string } } | { kind: 'delete'; key: string }): string {
  return event.kind === 'put' ? event.pair.key : event.key
}

/**
 * When it was broken: when that was seen at its moment; else, as far as the facts tell, when the last call they name had
 * ended or the last revision they name was first told; else at the end of the run.
 */
function momentOf(about: Mentions, journal: Journal, end: number): number {
  if (journal.brokenAt !== undefined) return journal.brokenAt
  const ends = journal.calls
    .filter(({ id }) => about.calls.has(id))
    .map(({ outcome, calledAt }) => (outcome.kind === 'answered' ? outcome.returnedAt : calledAt))
  if (ends.length > 0) return Math.max(...ends)
  const firstTold = [...about.revisions].flatMap((revision) => {
    const first = journal.told.find((one) => namesMessage({ ...about, revisions: new Set([revision]) }, one))
    return first === undefined ? [] : [first.at]
  })
  return firstTold.length > 0 ? Math.max(...firstTold) : end
}
