import type { SeededRandom } from '../base/index.ts'
import type { Entropy } from '../io/index.ts'

/** Entropy that is none: a stream of the run's seed. */
export function createSimulatedEntropy(random: SeededRandom): Entropy {
  return {
    fill: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = random.nextU32() & 0xff
    },
  }
}
