import { randomFillSync } from 'node:crypto'
import type { Entropy } from '../io/index.ts'

/** Randomness of the operating system. */
export function createNodeEntropy(): Entropy {
  return {
    fill(target) {
      randomFillSync(target)
    },
  }
}
