import { assert, type LeaseId } from '../base/index.ts'

/** The replicated part of a lease. */
export interface LeaseRecord {
  readonly id: LeaseId
  readonly ttlSeconds: number
  /** What was left at the last checkpoint; 0 when there was none since the lease was granted or renewed. */
  readonly remainingSeconds: number
}

/** The leases that exist, equal on all replicas. Time plays no part here. */
export class LeaseTable {
  readonly #leases = new Map<LeaseId, LeaseRecord>()

  get size(): number {
    return this.#leases.size
  }

  get(id: LeaseId): LeaseRecord | undefined {
    return this.#leases.get(id)
  }

  has(id: LeaseId): boolean {
    return this.#leases.has(id)
  }

  /** In order of granting. */
  values(): IterableIterator<LeaseRecord> {
    return this.#leases.values()
  }

  add(lease: LeaseRecord): void {
    assert(!this.#leases.has(lease.id), 'a lease is granted once')
    this.#leases.set(lease.id, lease)
  }

  /** Takes the place of the record with the same id. */
  replace(lease: LeaseRecord): void {
    assert(this.#leases.has(lease.id), 'only a lease that exists is changed')
    this.#leases.set(lease.id, lease)
  }

  remove(id: LeaseId): void {
    const existed = this.#leases.delete(id)
    assert(existed, 'only a lease that exists is removed')
  }

  clear(): void {
    this.#leases.clear()
  }
}
