import type { Sighting, Violation } from './history.ts'
import { KvModel, type RevisionRecord } from './kv-model.ts'

/** What a client knows about one of its leases. Times are virtual milliseconds. */
export interface LeaseRecord {
  readonly id: bigint
  readonly ttlMs: number
  /** When the calls began that granted or renewed it and were answered. */
  readonly extendedAt: number[]
  /** When its revocation was first asked for; undefined: never. */
  revokedAt: number | undefined
}

/**
 * A lease lives at least its TTL from the beginning of every call that granted or renewed it and was answered, unless
 * it was revoked; so nobody sees its end earlier, and no renewal is answered after its end. `clockRateMax`: how much
 * faster than true time a server's clock may run. In the history nothing but the end of its lease deletes a key that
 * has one.
 */
export function checkLeases(
  log: readonly RevisionRecord[],
  leases: readonly LeaseRecord[],
  sightings: readonly Sighting[],
  clockRateMax: number,
): Violation[] {
  const violations: Violation[] = []
  const firstSeen = firstSeenFrom(sightings)
  for (const [id, end] of leaseEnds(log)) {
    const lease = leases.find((one) => one.id === id)
    if (lease === undefined) continue
    const seenAt = firstSeen(end)
    if (lease.revokedAt !== undefined && lease.revokedAt <= seenAt) continue
    const safeUntil = Math.max(...lease.extendedAt) + lease.ttlMs / clockRateMax
    if (seenAt >= safeUntil) continue
    const facts = `lease ${id} ended at revision ${end}, seen at ${seenAt.toFixed(1)}, but was safe until ${safeUntil.toFixed(1)}`
    violations.push({ promise: 'a lease lives as long as it was promised', facts })
  }
  return violations
}

/** When somebody first saw a revision or a later one. */
function firstSeenFrom(sightings: readonly Sighting[]): (revision: number) => number {
  const last = sightings.reduce((highest, { revision }) => Math.max(highest, revision), 0)
  const earliest = new Float64Array(last + 2).fill(Number.POSITIVE_INFINITY)
  for (const { revision, seenAt } of sightings) {
    earliest[revision] = Math.min(earliest[revision] as number, seenAt)
  }
  for (let revision = last; revision >= 0; revision--) {
    earliest[revision] = Math.min(earliest[revision] as number, earliest[revision + 1] as number)
  }
  return (revision) => earliest[revision] ?? Number.POSITIVE_INFINITY
}

/** The first revision at which a key of each lease was deleted. */
function leaseEnds(log: readonly RevisionRecord[]): Map<bigint, number> {
  const ends = new Map<bigint, number>()
  const model = new KvModel()
  for (const record of log) {
    for (const event of record.events) {
      const lease = event.kind === 'delete' ? (model.get(event.key)?.lease ?? 0n) : 0n
      if (lease !== 0n && !ends.has(lease)) ends.set(lease, record.revision)
    }
    model.apply(record)
  }
  return ends
}
