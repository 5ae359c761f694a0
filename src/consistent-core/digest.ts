/** A 32-bit number scrambled so that sums and chains of them spread (murmur3's finaliser). One to one. */
export function scramble(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * The next link of a digest chain. For a given `part` different chains stay different, so a replica that once
 * differed goes on differing unless a later difference happens to undo it (1 in 2^32).
 */
export function chainDigest(digest: number, part: number): number {
  const turned = (digest << 5) | (digest >>> 27)
  return (scramble(turned ^ part) + 0x9e3779b9) >>> 0
}

/** Both halves of a counter below 2^53. */
export function chainCounter(digest: number, value: number): number {
  return chainDigest(chainDigest(digest, value >>> 0), Math.floor(value / 0x1_0000_0000))
}
