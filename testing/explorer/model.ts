import type { NodeId } from '../../src/base/index.ts'
import { defaultTestOptions, type TestOptions } from '../../src/raft/testing/cluster.ts'

/** What may happen only so many times in one run. */
export const budgetNames = [
  'timeouts',
  'stepDowns',
  'heartbeats',
  'proposals',
  'reads',
  'crashes',
  'compactions',
  'transfers',
  'changes',
] as const
export type BudgetName = (typeof budgetNames)[number]

/** A bounded world. Whatever order things happen in within the bounds, it is explored. */
export interface Model {
  readonly name: string
  readonly nodes: readonly NodeId[]
  readonly voters: readonly NodeId[]
  readonly termMax: number
  readonly budgets: Readonly<Record<BudgetName, number>>
  /** Without it a node stands for election at once, and no lease of a leader keeps others from voting for it. */
  readonly hasPreVote: boolean
  /** Terms of the entries that each node begins with, by its place in `nodes`; empty: it begins with nothing. */
  readonly logs: readonly (readonly number[])[]
  /** The term that all have heard of at the beginning. */
  readonly term: number
  /** Storage operations become durable one by one, as steps of their own; else with the step that issued them. */
  readonly isDiskSlow: boolean
  /** Storage operations under way at one node; with more it takes no input but a completion. */
  readonly storageMax: number
  /** What a leader may propose as a change of the members: each once in a row. */
  readonly changes: readonly { readonly voters: readonly NodeId[]; readonly learners: readonly NodeId[] }[]
  readonly options: TestOptions
}

const none: Record<BudgetName, number> = {
  timeouts: 0,
  stepDowns: 0,
  heartbeats: 0,
  proposals: 0,
  reads: 0,
  crashes: 0,
  compactions: 0,
  transfers: 0,
  changes: 0,
}

const three: readonly NodeId[] = [1n, 2n, 3n]
const options: TestOptions = { ...defaultTestOptions, electionTicks: 2, heartbeatTicks: 1, inflightMax: 2 }

type Draft = Partial<Omit<Model, 'budgets'>> & { name: string; budgets: Partial<Record<BudgetName, number>> }

function model(draft: Draft): Model {
  return {
    nodes: three,
    voters: three,
    termMax: 2,
    hasPreVote: false,
    logs: [],
    term: 0,
    isDiskSlow: false,
    storageMax: 2,
    changes: [],
    options,
    ...draft,
    budgets: { ...none, ...draft.budgets },
  }
}

const singly: TestOptions = { ...options, appendBytesMax: 1 }

/** Those up to `heartbeats` are exhausted within seconds; the others are stopped at their bound. */
export const models: readonly Model[] = [
  model({ name: 'small', budgets: { timeouts: 2 } }),
  model({ name: 'small-crash', budgets: { timeouts: 1, proposals: 1, crashes: 1 } }),
  model({ name: 'small-disk', isDiskSlow: true, budgets: { timeouts: 1, proposals: 1 } }),
  model({ name: 'small-snapshot', budgets: { timeouts: 1, proposals: 1, compactions: 1 } }),
  model({
    name: 'heartbeats',
    term: 2,
    termMax: 4,
    logs: [[1], [1, 2], [1]],
    budgets: { timeouts: 1, heartbeats: 1, stepDowns: 1 },
  }),
  model({ name: 'terms', budgets: { timeouts: 2, proposals: 1, crashes: 1 } }),
  model({ name: 'pre-vote', hasPreVote: true, budgets: { timeouts: 2, proposals: 1 } }),
  model({ name: 'elections', termMax: 3, isDiskSlow: true, budgets: { timeouts: 3, crashes: 1 } }),
  model({ name: 'disk', isDiskSlow: true, budgets: { timeouts: 2, proposals: 1, crashes: 1 } }),
  model({
    name: 'old-terms',
    term: 2,
    termMax: 4,
    logs: [[1], [2], []],
    budgets: { timeouts: 2 },
    options: singly,
  }),
  model({ name: 'entries', termMax: 3, budgets: { timeouts: 3, proposals: 2 } }),
  model({ name: 'crashes', termMax: 3, budgets: { timeouts: 3, proposals: 1, crashes: 2 } }),
  model({ name: 'reads', budgets: { timeouts: 2, proposals: 1, reads: 1 } }),
  model({
    name: 'cuts',
    term: 2,
    termMax: 4,
    isDiskSlow: true,
    logs: [[1], [1, 2], [1]],
    budgets: { timeouts: 2, proposals: 1 },
  }),
  model({ name: 'transfer', hasPreVote: true, budgets: { timeouts: 1, proposals: 1, transfers: 1 } }),
  model({ name: 'snapshot', budgets: { timeouts: 2, proposals: 1, compactions: 1, crashes: 1 } }),
  model({
    name: 'add',
    voters: [1n, 2n],
    budgets: { timeouts: 2, changes: 1, crashes: 1 },
    changes: [{ voters: three, learners: [] }],
  }),
  model({
    name: 'remove',
    budgets: { timeouts: 2, changes: 1 },
    changes: [{ voters: [1n, 2n], learners: [] }],
  }),
  model({
    name: 'replace',
    nodes: [1n, 2n, 3n, 4n],
    voters: [1n, 2n],
    budgets: { timeouts: 2, changes: 1 },
    changes: [{ voters: [3n, 4n], learners: [] }],
  }),
]
