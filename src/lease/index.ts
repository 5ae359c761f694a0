/**
 * lease: a claim that ends by itself when its holder goes silent. Two parts that must not be mixed.
 *
 * The *table* is replicated: id, granted time to live, what was left at the last checkpoint. It changes only by
 * commands from the log and knows no clock. The *deadlines* belong to the leader alone: built anew when it is settled,
 * on its monotonic clock, thrown away when it steps down.
 *
 * Invariants:
 * 1. Only the leader finds a lease expired, and its finding is a proposal: the lease ends when the revoke is applied.
 * 2. A new leader gives every lease its full time, or what a checkpoint left, but never less: no holder that renewed in
 *    time loses its lease to a fail-over. So whoever answers a renewal first takes a checkpoint back.
 * 3. From the moment a revoke is proposed until its outcome is known, renewals are not answered: a holder could believe
 *    in a lease whose end is already in the log, or give up one that lives on under the next leader. A leader proposes
 *    one revoke a lease.
 * 4. A node that overslept expires nothing before `start` is called again: others may have renewed elsewhere.
 * 5. Work is paced: however many leases expire at once, revokes leave at a bounded rate.
 * 6. A renewal costs one number, not a heap operation; each lease has one live entry in the heap.
 *
 * Left out: the keys attached to a lease; consistent-core keeps them in its store.
 * Sources: Gray and Cheriton, "Leases", 1989; etcd's lessor (checkpoints every five minutes, 1,000 revokes a second).
 */
export { LeaseDeadlines } from './deadlines.ts'
export { type LeaseRecord, LeaseTable } from './lease-table.ts'
