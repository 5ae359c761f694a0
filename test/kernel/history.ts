// What one client asked of a node and was told, and whether a node that came back agrees with it. Every change names a
// key or value that no other has, so an event says which attempt it is of, also when its answer was never heard.

export type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly lease: bigint }
  | { readonly type: 'delete'; readonly key: string }

/** One write. Without a revision its outcome is unknown: it may have happened once, or not. */
export interface Attempt {
  readonly changes: readonly Change[]
  revision: number | undefined
}

/** `unknown`: asked for, and no answer. */
export type Known = 'no' | 'unknown' | 'yes'

export interface LeaseAttempt {
  granted: Known
  revoked: Known
}

/** All that was asked and answered. Plain data: a copy is a moment. */
export interface History {
  attempts: Attempt[]
  /** By lease id. */
  leases: Map<bigint, LeaseAttempt>
  compactions: { revision: number; isAnswered: boolean }[]
  /** The last write of the session: a retry of it must not happen twice. */
  session: { id: bigint; request: number; attempt: Attempt } | undefined
}

export interface Row {
  readonly key: string
  readonly value: string
  readonly created: number
  readonly modified: number
  readonly version: number
  readonly lease: bigint
}

/** What a node says. `base`: the rows at the compacted revision; `events`: all after it, in order. */
export interface Observed {
  readonly revision: number
  readonly compacted: number
  readonly base: readonly Row[]
  readonly events: readonly { readonly revision: number; readonly change: Change }[]
  readonly rows: readonly Row[]
  readonly leases: ReadonlySet<bigint>
}

export function newHistory(): History {
  return { attempts: [], leases: new Map(), compactions: [], session: undefined }
}

/** What contradicts the history; empty when all is well. */
export function contradictions(history: History, observed: Observed): string[] {
  const problems: string[] = []
  checkCompaction(history, observed, problems)
  const byRevision = matchEvents(history, observed, problems)
  for (const [i, { revision, changes }] of history.attempts.entries()) {
    if (revision === undefined || revision <= observed.compacted) continue
    if (byRevision.get(revision) !== i) {
      problems.push(`lost: write ${i} (${changes[0]?.key}) was acknowledged at revision ${revision}`)
    }
  }
  const base = new Map<string, Row>()
  for (const { revision, changes } of acknowledgedInOrder(history)) {
    if (revision <= observed.compacted) for (const change of changes) apply(base, change, revision)
  }
  if (observed.compacted > 0) compareRows(`at revision ${observed.compacted}`, base, observed.base, problems)
  const rows = new Map(observed.base.map((row) => [row.key, row]))
  for (const { revision, change } of observed.events) apply(rows, change, revision)
  compareRows('now', rows, observed.rows, problems)
  checkLeases(history, observed, problems)
  return problems
}

function checkCompaction(history: History, { compacted }: Observed, problems: string[]): void {
  for (const { revision, isAnswered } of history.compactions) {
    if (isAnswered && revision > compacted) problems.push(`compaction at ${revision} is undone: ${compacted}`)
  }
  if (compacted > 0 && !history.compactions.some(({ revision }) => revision === compacted)) {
    problems.push(`nobody asked for a compaction at ${compacted}`)
  }
}

/** Each revision is exactly one attempt, whole and in its order; none is missing, none is there twice. */
function matchEvents(history: History, observed: Observed, problems: string[]): Map<number, number> {
  const byRevision = new Map<number, number>()
  const seen = new Set<number>()
  const groups = new Map<number, Change[]>()
  for (const { revision, change } of observed.events) {
    groups.set(revision, [...(groups.get(revision) ?? []), change])
  }
  let expected = Math.max(observed.compacted, 1)
  for (const [revision, changes] of groups) {
    expected++
    if (revision !== expected) problems.push(`revision ${revision} follows ${expected - 1} in the history`)
    expected = revision
    const text = textOf(changes)
    const found = history.attempts.findIndex(
      (attempt, i) =>
        !seen.has(i) && textOf(attempt.changes) === text && (attempt.revision ?? revision) === revision,
    )
    if (found === -1) problems.push(`revision ${revision} is no write of this history: ${text.slice(0, 200)}`)
    else {
      seen.add(found)
      byRevision.set(revision, found)
    }
  }
  if (expected !== Math.max(observed.revision, 1)) {
    problems.push(`the history ends at revision ${expected}, the node is at ${observed.revision}`)
  }
  return byRevision
}

function checkLeases(history: History, observed: Observed, problems: string[]): void {
  for (const [id, { granted, revoked }] of history.leases) {
    const isThere = observed.leases.has(id)
    if (granted === 'yes' && revoked === 'no' && !isThere) problems.push(`lease ${id} is lost`)
    if (revoked === 'yes' && isThere) problems.push(`lease ${id} is back`)
  }
  for (const id of observed.leases)
    if (!history.leases.has(id)) problems.push(`lease ${id} was never granted`)
}

function acknowledgedInOrder(history: History): { revision: number; changes: readonly Change[] }[] {
  return history.attempts
    .flatMap(({ revision, changes }) => (revision === undefined ? [] : [{ revision, changes }]))
    .sort((left, right) => left.revision - right.revision)
}

function apply(rows: Map<string, Row>, change: Change, revision: number): void {
  if (change.type === 'delete') {
    rows.delete(change.key)
    return
  }
  const { key, value, lease } = change
  const before = rows.get(key)
  rows.set(key, {
    key,
    value,
    lease,
    created: before?.created ?? revision,
    modified: revision,
    version: (before?.version ?? 0) + 1,
  })
}

function compareRows(
  when: string,
  expected: Map<string, Row>,
  found: readonly Row[],
  problems: string[],
): void {
  const wanted = [...expected.values()].map(rowText).sort()
  const had = found.map(rowText).sort()
  for (const row of wanted) if (!had.includes(row)) problems.push(`${when} missing: ${row.slice(0, 120)}`)
  for (const row of had) if (!wanted.includes(row)) problems.push(`${when} unexpected: ${row.slice(0, 120)}`)
}

function rowText({ key, created, modified, version, lease, value }: Row): string {
  return `${key} created ${created} modified ${modified} version ${version} lease ${lease} ${value}`
}

function textOf(changes: readonly Change[]): string {
  return changes
    .map((change) =>
      change.type === 'put' ? `put ${change.key} ${change.lease} ${change.value}` : `delete ${change.key}`,
    )
    .join('; ')
}
