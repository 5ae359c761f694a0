import type { Sighting, Violation } from './history.ts'
import { KvModel, type RevisionRecord } from './kv-model.ts'

/** What a client knows about one of its leases. Times are milliseconds of the clock of all clients. */
export interface LeaseRecord {
  readonly id: bigint
  /** As it was granted; as it was asked for until then. */
  ttlMs: number
  /** When the calls began that granted or renewed it and were answered. */
  readonly extendedAt: number[]
  /** When calls began that would have extended it, but have no known outcome. */
  readonly maybeExtendedAt: number[]
  /** When its revocation was first asked for; undefined: never. */
  revokedAt: number | undefined
  /** When a server was heard to say that it is gone, by whichever call. */
  readonly goneAt: number[]
  /** Every answer that told its times. */
  readonly told: { readonly remainingMs: number; readonly grantedMs: number }[]
}

/** Of a lease that was not yet asked for. */
export function recordLease(id: bigint, ttlMs: number): LeaseRecord {
  return { id, ttlMs, extendedAt: [], maybeExtendedAt: [], revokedAt: undefined, goneAt: [], told: [] }
}

/** The time in which nothing keeps a forgotten lease from ending. */
export interface LeasePeace {
  /** From then on there was one leader and a majority. */
  readonly since: number
  /** The last look at the store. */
  readonly until: number
  /** A lease ends at most this long after its time has passed, by any server's clock. */
  readonly lateMsMax: number
}

/**
 * Never early: a lease lives at least its TTL from the beginning of every call that granted or renewed it and was
 * answered, whoever leads, unless it was revoked; so nobody sees its keys go or hears that it is gone earlier, and no
 * renewal is answered after its end. Ended when forgotten: in peace, its keys are gone a TTL and the promised delay after
 * the last call that may have extended it. Nobody is told more time than was granted. `clockRateMax`: how much faster
 * than true time a server's clock may run.
 *
 * In the history nothing but the end of its lease deletes a key that has one. Linear, but for sorting the sightings.
 */
export function checkLeases(
  log: readonly RevisionRecord[],
  leases: readonly LeaseRecord[],
  sightings: readonly Sighting[],
  clockRateMax: number,
  peace?: LeasePeace,
): Violation[] {
  const { ends, left } = replayLeases(log)
  const firstSeen = firstSightOf(sightings)
  return leases.flatMap((lease) => {
    const end = ends.get(lease.id)
    return [
      ...checkNotEarly(
        lease,
        end === undefined ? undefined : { revision: end, seenAt: firstSeen(end) },
        clockRateMax,
      ),
      ...checkForgotten(lease, left.get(lease.id) ?? [], clockRateMax, peace),
      ...checkTold(lease),
    ]
  })
}

function checkNotEarly(
  lease: LeaseRecord,
  end: { readonly revision: number; readonly seenAt: number } | undefined,
  clockRateMax: number,
): Violation[] {
  const seenAt = Math.min(end?.seenAt ?? Number.POSITIVE_INFINITY, ...lease.goneAt)
  if (lease.revokedAt !== undefined && lease.revokedAt <= seenAt) return []
  const safeUntil = Math.max(...lease.extendedAt) + lease.ttlMs / clockRateMax
  if (seenAt >= safeUntil) return []
  const how =
    end !== undefined && end.seenAt === seenAt
      ? `ended at revision ${end.revision}, seen`
      : 'was said to be gone'
  const facts = `lease ${lease.id} ${how} at ${seenAt.toFixed(1)}, but was safe until ${safeUntil.toFixed(1)}`
  return [{ promise: 'a lease lives as long as it was promised', facts }]
}

function checkForgotten(
  lease: LeaseRecord,
  keys: readonly string[],
  clockRateMax: number,
  peace: LeasePeace | undefined,
): Violation[] {
  if (peace === undefined || keys.length === 0) return []
  const lastAt = Math.max(peace.since, ...lease.extendedAt, ...lease.maybeExtendedAt)
  // A clock that is slower than true time by as much as another may be faster.
  const overAt = lastAt + lease.ttlMs * clockRateMax + peace.lateMsMax
  if (overAt >= peace.until) return []
  const facts = `lease ${lease.id} still holds ${keys.join(', ')} at ${peace.until.toFixed(1)}, over since ${overAt.toFixed(1)}`
  return [{ promise: 'a lease that nobody renews ends', facts }]
}

function checkTold(lease: LeaseRecord): Violation[] {
  return lease.told.flatMap(({ remainingMs, grantedMs }) => {
    if (grantedMs === lease.ttlMs && remainingMs <= grantedMs) return []
    const facts = `lease ${lease.id} of ${lease.ttlMs} ms has ${remainingMs} ms left of ${grantedMs}`
    return [{ promise: 'a lease is told no more time than was granted', facts }]
  })
}

/** When somebody first saw a revision or a later one. */
function firstSightOf(sightings: readonly Sighting[]): (revision: number) => number {
  const sorted = [...sightings].sort((left, right) => right.revision - left.revision)
  let seenAt = Number.POSITIVE_INFINITY
  const earliest = sorted.map((one) => {
    seenAt = Math.min(seenAt, one.seenAt)
    return seenAt
  })
  return (revision) => {
    let count = 0
    for (let end = sorted.length; count < end; ) {
      const middle = (count + end) >> 1
      if ((sorted[middle]?.revision ?? 0) >= revision) count = middle + 1
      else end = middle
    }
    return earliest[count - 1] ?? Number.POSITIVE_INFINITY
  }
}

/** The first revision at which a key of each lease was deleted, and the keys that each still has in the end. */
function replayLeases(log: readonly RevisionRecord[]): {
  ends: Map<bigint, number>
  left: Map<bigint, string[]>
} {
  const ends = new Map<bigint, number>()
  const model = new KvModel()
  for (const record of log) {
    for (const event of record.events) {
      const lease = event.kind === 'delete' ? (model.get(event.key)?.lease ?? 0n) : 0n
      if (lease !== 0n && !ends.has(lease)) ends.set(lease, record.revision)
    }
    model.apply(record)
  }
  const left = new Map<bigint, string[]>()
  for (const { key, lease } of model.range({ key: '', end: '\0' })) {
    if (lease !== 0n) left.set(lease, [...(left.get(lease) ?? []), key])
  }
  return { ends, left }
}
