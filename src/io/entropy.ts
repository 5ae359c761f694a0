/** Randomness from the world: seeds, ids. Under the simulator it comes from the seed of the run. */
export interface Entropy {
  /** Fills all of `target`. */
  fill(target: Uint8Array): void
}

export function randomU32(entropy: Entropy): number {
  const bytes = new Uint8Array(4)
  entropy.fill(bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}

export function randomU64(entropy: Entropy): bigint {
  const bytes = new Uint8Array(8)
  entropy.fill(bytes)
  return new DataView(bytes.buffer).getBigUint64(0, true)
}
