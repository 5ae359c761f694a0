import type { NodeId } from '../base/index.ts'

/**
 * Compares the state digests of the replicas at agreed indices. Whoever stands against a majority of the voters is
 * wrong: a bug or a damaged store made it differ, and it must not go on answering.
 */
const everyIndex = 1_024
const indicesKept = 16

/**
 * What the digests at one index say of this node. `agrees`: a majority of the voters has its digest. `differs`: a
 * majority has another. `undecided`: every voter has told its digest, and no majority has the same.
 */
export interface Verdict {
  readonly kind: 'agrees' | 'differs' | 'undecided'
  readonly index: number
}

export class DigestComparison {
  readonly #byIndex = new Map<number, Map<NodeId | 'own', number>>()
  /** Something was noted since the last verdict. */
  #isNew = false

  isDue(index: number): boolean {
    return index % everyIndex === 0
  }

  own(index: number, digest: number): void {
    this.#note('own', index, digest)
  }

  reported(from: NodeId, report: { index: number; digest: number }): void {
    this.#note(from, report.index, report.digest)
  }

  /** The state was replaced: what this node said of the one before does not count. */
  forgetOwn(): void {
    for (const digests of this.#byIndex.values()) digests.delete('own')
  }

  /** The worst of what can be said now; undefined when nothing was noted since the last call, or nothing is known. */
  judge(voters: readonly NodeId[], self: NodeId): Verdict | undefined {
    if (!this.#isNew) return undefined
    this.#isNew = false
    const verdicts = [...this.#byIndex].flatMap(([index, digests]) => verdictAt(index, digests, voters, self))
    return (
      verdicts.find(({ kind }) => kind === 'differs') ??
      verdicts.find(({ kind }) => kind === 'undecided') ??
      verdicts[0]
    )
  }

  #note(who: NodeId | 'own', index: number, digest: number): void {
    this.#isNew = true
    const digests = this.#byIndex.get(index) ?? new Map<NodeId | 'own', number>()
    digests.set(who, digest)
    this.#byIndex.set(index, digests)
    if (this.#byIndex.size <= indicesKept) return
    this.#byIndex.delete(Math.min(...this.#byIndex.keys()))
  }
}

function verdictAt(
  index: number,
  digests: ReadonlyMap<NodeId | 'own', number>,
  voters: readonly NodeId[],
  self: NodeId,
): Verdict[] {
  const own = digests.get('own')
  if (own === undefined) return []
  const votes = new Map<number, number>()
  let told = 0
  for (const voter of voters) {
    const digest = voter === self ? own : digests.get(voter)
    if (digest === undefined) continue
    told++
    votes.set(digest, (votes.get(digest) ?? 0) + 1)
  }
  const majority = Math.floor(voters.length / 2) + 1
  for (const [digest, count] of votes) {
    if (count >= majority) return [{ kind: digest === own ? 'agrees' : 'differs', index }]
  }
  return told === voters.length && voters.includes(self) ? [{ kind: 'undecided', index }] : []
}
