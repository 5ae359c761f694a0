/** What happened in a run, as far as the rules ask for it: what leaders committed, who reads, what may still happen. */
import { AssertionError, type NodeId, present } from '../../src/base/index.ts'
import type { Committed } from '../../src/raft/invariants.ts'
import { checkRead } from '../../src/raft/testing/invariants.ts'
import { budgetNames, type Model } from './model.ts'
import type { Effect } from './nodes.ts'
import { hashText, type Renaming, textOf } from './state.ts'
import { HashColumns, PairTable } from './tables.ts'

interface History {
  readonly budgets: readonly number[]
  /** Index 1 first, with the lowest term whose leader committed it. */
  readonly committed: readonly { readonly chain: number | undefined; readonly term: number }[]
  readonly reads: readonly { readonly node: NodeId; readonly request: number; readonly least: number }[]
}

export class Histories {
  readonly hashes: HashColumns
  readonly #renamings: readonly Renaming[]
  readonly #histories: History[] = []
  readonly #known = new Map<string, number>()
  readonly #steps = new PairTable(1 << 12)
  readonly broken: string[] = []

  constructor(renamings: readonly Renaming[]) {
    this.#renamings = renamings
    this.hashes = new HashColumns(renamings.length)
  }

  get size(): number {
    return this.#histories.length
  }

  first(model: Model): number {
    return this.#intern({ budgets: budgetNames.map((name) => model.budgets[name]), committed: [], reads: [] })
  }

  has(index: number, budget: number): boolean {
    return budget === -1 || (this.#at(index).budgets[budget] as number) > 0
  }

  committed(index: number): Committed {
    const { committed } = this.#at(index)
    return {
      lastIndex: committed.length,
      chainAt: (place) => committed[place - 1]?.chain,
      lastIndexBefore: (term) => committed.filter((place) => place.term < term).length,
    }
  }

  /** The history after `effect`; below -1 it broke a rule: `broken[-2 - result]`. */
  step(index: number, effectNumber: number, effect: Effect): number {
    const known = this.#steps.get(index, effectNumber)
    if (known !== -1) return known
    let next: number
    try {
      next = this.#intern(after(this.#at(index), effect))
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      next = -2 - this.broken.length
      this.broken.push(error.message)
    }
    this.#steps.set(index, effectNumber, next)
    return next
  }

  #at(index: number): History {
    return present(this.#histories[index], 'the history is known')
  }

  #intern(history: History): number {
    const texts = this.#renamings.map((rename) => textOf(history, rename, 0))
    const text = present(texts[0], 'the renaming that changes nothing')
    const known = this.#known.get(text)
    if (known !== undefined) return known
    this.#known.set(text, this.#histories.length)
    this.#histories.push(history)
    return this.hashes.push(texts.flatMap((one) => hashText(`history ${one}`)))
  }
}

function after({ budgets, committed, reads }: History, effect: Effect): History {
  const { spent, commit, asked, crashed } = effect
  const places = [...committed]
  commit?.chains.forEach((chain, slot) => {
    const known = places[slot]
    if (known === undefined) places.push({ chain, term: commit.term })
    else if (commit.term < known.term) places[slot] = { ...known, term: commit.term }
  })
  const waiting = asked === undefined ? reads : [...reads, { ...asked, least: committed.length }]
  for (const answer of effect.answered) {
    const read = waiting.find(({ node, request }) => node === answer.node && request === answer.request)
    checkRead(answer, present(read, `read ${answer.request} of node ${answer.node} was asked`).least)
  }
  const isOver = (read: { node: NodeId; request: number }): boolean =>
    read.node === crashed ||
    effect.ended.some(({ node, request }) => node === read.node && request === read.request)
  return {
    budgets: budgets.map((left, slot) => (slot === spent ? left - 1 : left)),
    committed: places,
    reads: waiting.filter((read) => !isOver(read)),
  }
}
