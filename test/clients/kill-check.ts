// What must hold of the writes of a run in which nodes were killed. Pure: the record in, the violations out.

/** One attempt to write a key of its own. Times in milliseconds of one clock. */
export type Attempt = {
  key: string
  startedAt: number
  endedAt: number
  /** The revision of the acknowledgement; undefined: the outcome is unknown. */
  revision: number | undefined
}

/** A change of a key as a node's history tells it. */
export type HistoryEvent = { key: string; revision: number; version: number }

export type NodeHistory = { node: string; events: readonly HistoryEvent[] }

const shownMax = 20

/**
 * 1. Every acknowledged write is in every node's history, at the revision of its acknowledgement.
 * 2. No key is written twice: an unknown outcome happened once or not at all.
 * 3. The nodes tell the same history, in rising revisions.
 * 4. A write that began after another was acknowledged has a higher revision.
 */
export function findViolations(attempts: readonly Attempt[], histories: readonly NodeHistory[]): string[] {
  const found: string[] = []
  if (attempts.length === 0) found.push('nothing was written')
  if (histories.length === 0) found.push('no history was read')
  for (const history of histories) found.push(...historyViolations(attempts, history))
  const [first, ...others] = histories
  if (first !== undefined) for (const other of others) found.push(...differences(first, other))
  found.push(...orderViolations(attempts))
  return found.length <= shownMax
    ? found
    : [...found.slice(0, shownMax), `and ${found.length - shownMax} more`]
}

function historyViolations(attempts: readonly Attempt[], { node, events }: NodeHistory): string[] {
  const found: string[] = []
  const known = new Set(attempts.map((attempt) => attempt.key))
  const revisions = new Map<string, number>()
  let last = 0
  for (const { key, revision, version } of events) {
    if (revision <= last) found.push(`${node}: revision ${revision} after ${last}`)
    last = revision
    if (!known.has(key)) found.push(`${node}: ${key} was never written`)
    if (revisions.has(key) || version !== 1)
      found.push(`${node}: ${key} was written twice (version ${version})`)
    revisions.set(key, revision)
  }
  for (const { key, revision } of attempts) {
    if (revision === undefined) continue
    const there = revisions.get(key)
    if (there === undefined) found.push(`${node}: acknowledged ${key} at revision ${revision} is lost`)
    else if (there !== revision) found.push(`${node}: ${key} acknowledged at ${revision} is at ${there}`)
  }
  return found
}

function differences(a: NodeHistory, b: NodeHistory): string[] {
  const length = Math.max(a.events.length, b.events.length)
  for (let i = 0; i < length; i++) {
    const [left, right] = [a.events[i], b.events[i]]
    if (left?.key === right?.key && left?.revision === right?.revision) continue
    const show = (event: HistoryEvent | undefined): string =>
      event === undefined ? 'nothing' : `${event.key}@${event.revision}`
    return [`${a.node} and ${b.node} part at event ${i}: ${show(left)} and ${show(right)}`]
  }
  return []
}

function orderViolations(attempts: readonly Attempt[]): string[] {
  const acknowledged = attempts.filter((attempt) => attempt.revision !== undefined)
  const byEnd = acknowledged.toSorted((a, b) => a.endedAt - b.endedAt)
  const byStart = acknowledged.toSorted((a, b) => a.startedAt - b.startedAt)
  const found: string[] = []
  let ended = 0
  let highest: Attempt | undefined
  for (const attempt of byStart) {
    for (
      let next = byEnd[ended];
      next !== undefined && next.endedAt < attempt.startedAt;
      next = byEnd[++ended]
    ) {
      if (highest === undefined || (next.revision ?? 0) > (highest.revision ?? 0)) highest = next
    }
    if (highest !== undefined && (attempt.revision ?? 0) <= (highest.revision ?? 0)) {
      found.push(
        `${attempt.key} at ${attempt.revision} began after ${highest.key} at ${highest.revision} was acknowledged`,
      )
    }
  }
  return found
}

/** The longest time in [from, to] in which no write was acknowledged. */
export function longestGapMs(attempts: readonly Attempt[], from: number, to: number): number {
  const times = attempts.filter((attempt) => attempt.revision !== undefined).map((attempt) => attempt.endedAt)
  let last = from
  let longest = 0
  for (const time of [...times.sort((a, b) => a - b), to]) {
    if (time < from || time > to) continue
    longest = Math.max(longest, time - last)
    last = time
  }
  return longest
}
