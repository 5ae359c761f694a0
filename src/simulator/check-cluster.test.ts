import assert from 'node:assert/strict'
import test from 'node:test'
import type { PeerProgress, RaftView } from '../raft/index.ts'
import { ClusterChecker, type NodeStatus } from './check-cluster.ts'

const member = { id: 7n, host: 'n1', port: 2380, isLearner: false, isBecomingVoter: false, isPublished: true }
const status: NodeStatus = {
  isLeader: false,
  term: 3,
  commitIndex: 5,
  appliedIndex: 5,
  digest: 77,
  commitChain: 9,
  members: [member],
  marks: { logBegin: 4, durablyApplied: 4 },
}

function promises(act: (checker: ClusterChecker) => void): string[] {
  const checker = new ClusterChecker(4)
  checker.observe('n1', 1, { ...status, isLeader: true })
  checker.observe('n2', 1, status)
  act(checker)
  return checker.violations.map((violation) => violation.promise)
}

test('equal nodes, growing indexes, new terms and restarts are accepted', () => {
  const verdict = promises((checker) => {
    checker.observe('n2', 1, {
      ...status,
      isLeader: true,
      term: 4,
      commitIndex: 8,
      appliedIndex: 6,
      digest: 1,
      commitChain: 2,
      marks: { logBegin: 0, durablyApplied: 6 },
    })
    checker.observe('n1', 2, {
      ...status,
      term: 2,
      commitIndex: 4,
      appliedIndex: 4,
      digest: 5,
      commitChain: undefined,
      marks: undefined,
    })
    checker.observe('n1', 2, { ...status, commitIndex: 8, appliedIndex: 6, digest: 1, commitChain: 2 })
  })
  assert.deepEqual(verdict, [])
})

const broken: [string, string, number, Partial<NodeStatus>][] = [
  ['one leader a term', 'n2', 1, { isLeader: true }],
  [
    'commit never falls',
    'n2',
    1,
    { commitIndex: 4, appliedIndex: 4, digest: 1, commitChain: 1, marks: undefined },
  ],
  ['terms never fall', 'n2', 1, { term: 2 }],
  ['only what is committed is applied', 'n3', 1, { appliedIndex: 6 }],
  ['equal chain at equal index', 'n3', 1, { commitChain: 10 }],
  ['equal digest at equal index', 'n3', 1, { digest: 78 }],
  ['log and store have everything between them', 'n3', 1, { marks: { logBegin: 4, durablyApplied: 3 } }],
  ['log and store have everything between them', 'n3', 1, { marks: { logBegin: 4, durablyApplied: 6 } }],
  ['queues are bounded', 'n3', 1, { queues: { waiting: { size: 3, bound: 2 } } }],
  ['equal members at equal index', 'n3', 1, { members: [{ ...member, isLearner: true }] }],
]
for (const [promise, node, life, change] of broken) {
  test(`rejected once: ${promise}`, () => {
    const verdict = promises((checker) => {
      checker.observe(node, life, { ...status, ...change })
      checker.observe(node, life, { ...status, ...change })
    })
    assert.deepEqual(verdict, [promise])
  })
}

const configuration = { voters: [1n, 2n], outgoing: [], learners: [], context: new Uint8Array(0) }
const view: RaftView = {
  id: 1n,
  role: 'leader',
  term: 3,
  vote: 1n,
  leader: 1n,
  commitIndex: 2,
  appliedIndex: 2,
  lastIndex: 2,
  durableIndex: 2,
  durableState: { term: 3, vote: 1n, commit: 0 },
  configuration,
  configurations: [{ index: 0, configuration }],
  endAt: (index) => ({ index, term: 3, chain: index * 10 }),
  progress: () => new Map(),
}
const follower: RaftView = { ...view, id: 2n, role: 'follower' }

function rulesBroken(first: RaftView, second: RaftView, secondLife = 1): string {
  const checker = new ClusterChecker(4)
  for (const one of [view, follower]) checker.stepped(one, 1, [view, follower])
  checker.stepped(first, 1, [first, second])
  checker.stepped(second, secondLife, [first, second])
  return checker.violations.map(({ facts }) => facts).join('; ')
}

const matching: PeerProgress = {
  match: 3,
  next: 4,
  state: 'replicate',
  inflight: 0,
  silentTicks: 0,
  isLearner: false,
}
const further: RaftView = {
  ...view,
  lastIndex: 3,
  durableIndex: 3,
  commitIndex: 3,
  progress: () => new Map([[2n, matching]]),
}

test('a step that keeps the rules of consensus is accepted, and only a step is asked about', () => {
  assert.equal(rulesBroken(further, { ...follower, commitIndex: 3, lastIndex: 3 }), '')
  assert.equal(rulesBroken(view, { ...follower, commitIndex: 0, appliedIndex: 0 }, 2), '')
  const checker = new ClusterChecker(4)
  const asked = [view, view, { ...view, lastIndex: 3 }, view].map((one) => checker.hasMoved(one, 1))
  assert.deepEqual([...asked, checker.hasMoved(view, 2)], [true, false, true, true, true])
})

const configurationAt3 = [...view.configurations, { index: 3, configuration }]
const brokenLeaders: [RegExp, Partial<RaftView>][] = [
  [/a majority of all voters has what leader 1 committed at 3/, { durableIndex: 2 }],
  [/a majority of all voters has what leader 1 committed at 3/, { progress: () => new Map() }],
  [
    /commits by counting only what is of its own term 3/,
    { endAt: (index) => ({ index, term: 2, chain: index * 10 }) },
  ],
  [
    /changes members once it has committed in its term 3/,
    {
      commitIndex: 2,
      configurations: configurationAt3,
      endAt: (index) => ({ index, term: 2, chain: index * 10 }),
    },
  ],
  [/has the entry of its configuration/, { configurations: [{ index: 4, configuration }] }],
]
for (const [broken, change] of brokenLeaders) {
  test(`noticed of a leader: ${broken.source}, ${Object.keys(change)}`, () => {
    assert.match(rulesBroken({ ...further, ...change }, follower), broken)
  })
}

const brokenSteps: [RegExp, Partial<RaftView>, number][] = [
  [/term 3 has one leader/, { role: 'leader' }, 1],
  [/commit index of node 2 never moves back/, { commitIndex: 1, appliedIndex: 1 }, 1],
  [/the term of node 2 never moves back/, { term: 2, durableState: { term: 2, vote: 0n, commit: 0 } }, 1],
  [/node 2 votes once in term 3/, { vote: 2n }, 1],
  [/node 2 votes once in term 3/, { vote: 2n, durableState: { term: 3, vote: 2n, commit: 0 } }, 2],
  [/applies only what is committed/, { appliedIndex: 3, lastIndex: 3 }, 1],
  [/takes for committed a leader has committed/, { commitIndex: 3, lastIndex: 3 }, 1],
  [/is the one that was committed/, { endAt: (index) => ({ index, term: 2, chain: 5 }) }, 2],
  [
    /has one history/,
    { commitIndex: 0, appliedIndex: 0, endAt: (index) => ({ index, term: 3, chain: 5 }) },
    2,
  ],
  [
    /leader 2 of term 4 has what was committed up to 2/,
    {
      role: 'leader',
      term: 4,
      lastIndex: 1,
      durableIndex: 1,
      commitIndex: 0,
      appliedIndex: 0,
      durableState: { term: 4, vote: 2n, commit: 0 },
    },
    2,
  ],
]
for (const [rule, change, life] of brokenSteps) {
  test(`a step in a life ${life} is rejected: ${rule.source}`, () => {
    assert.match(rulesBroken(view, { ...follower, ...change }, life), rule)
  })
}
