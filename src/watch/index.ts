/**
 * watch: who waits for what. A registry from keys and ranges of keys to watchers, so that a change finds the ones it
 * concerns without asking all of them. It knows nothing of events, streams or stores: those belong to the state
 * machine that calls it.
 *
 * Words: a *watcher* is whatever the caller registers; it is *concerned* by a key when its key is that key or its
 * range holds it. Ranges are half-open in byte order; an absent end is open.
 *
 * Invariants:
 * 1. `visit` calls once for each registration that the key concerns, and for no other.
 * 2. Its cost does not grow with registrations that the key does not concern, but for the logarithm of their number.
 * 3. Equal ranges share one place, so a thousand watchers of one prefix cost a search as one.
 * 4. The same calls in the same order give the same tree and the same order of visits.
 *
 * Left out: filters and revisions; they are the watcher's matter.
 * Sources: Seidel and Aragon, "Randomized search trees", 1996; Cormen et al., interval trees by augmentation.
 */
export { type WatchedKeys, WatchRegistry } from './registry.ts'
