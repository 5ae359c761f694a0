import type { NodeId } from '../base/index.ts'

/**
 * Compares the state digests of the replicas at agreed indices. Whoever stands against a majority of the voters is
 * wrong: a bug or a damaged store made it differ, and it must not go on answering.
 */
const everyIndex = 1_024
const indicesKept = 16

export class DigestComparison {
  readonly #byIndex = new Map<number, Map<NodeId | 'own', number>>()

  isDue(index: number): boolean {
    return index % everyIndex === 0
  }

  own(index: number, digest: number): void {
    this.#note('own', index, digest)
  }

  reported(from: NodeId, report: { index: number; digest: number }): void {
    this.#note(from, report.index, report.digest)
  }

  /** The index at which a majority of the voters agree on a digest that is not this node's, if there is one. */
  disagreement(voters: readonly NodeId[], self: NodeId): { index: number } | undefined {
    for (const [index, digests] of this.#byIndex) {
      const own = digests.get('own')
      if (own === undefined) continue
      const votes = new Map<number, number>()
      for (const voter of voters) {
        const digest = voter === self ? own : digests.get(voter)
        if (digest !== undefined) votes.set(digest, (votes.get(digest) ?? 0) + 1)
      }
      const majority = Math.floor(voters.length / 2) + 1
      for (const [digest, count] of votes) if (digest !== own && count >= majority) return { index }
    }
    return undefined
  }

  #note(who: NodeId | 'own', index: number, digest: number): void {
    const digests = this.#byIndex.get(index) ?? new Map<NodeId | 'own', number>()
    digests.set(who, digest)
    this.#byIndex.set(index, digests)
    if (this.#byIndex.size <= indicesKept) return
    this.#byIndex.delete(Math.min(...this.#byIndex.keys()))
  }
}
