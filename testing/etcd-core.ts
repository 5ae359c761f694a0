// A real core in memory, for tests of the door.
import { SeededRandom } from '../src/base/index.ts'
import { type ConsistentCore, createConsistentCore } from '../src/consistent-core/index.ts'
import { createMemoryBackend, createStore } from '../src/store/index.ts'

export function openTestCore(): ConsistentCore {
  // Nothing is flushed: the overlay holds all of it.
  const backend = createMemoryBackend({
    schedule: () => Promise.reject(new Error('no test of the door flushes')),
    random: new SeededRandom(1),
  })
  return createConsistentCore({ store: createStore(backend) })
}
