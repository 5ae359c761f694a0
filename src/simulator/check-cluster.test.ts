import assert from 'node:assert/strict'
import test from 'node:test'
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
    })
    checker.observe('n1', 2, {
      ...status,
      term: 2,
      commitIndex: 4,
      appliedIndex: 4,
      digest: 5,
      commitChain: undefined,
    })
    checker.observe('n1', 2, { ...status, commitIndex: 8, appliedIndex: 6, digest: 1, commitChain: 2 })
  })
  assert.deepEqual(verdict, [])
})

const broken: [string, string, number, Partial<NodeStatus>][] = [
  ['one leader a term', 'n2', 1, { isLeader: true }],
  ['commit never falls', 'n2', 1, { commitIndex: 4, appliedIndex: 4, digest: 1, commitChain: 1 }],
  ['terms never fall', 'n2', 1, { term: 2 }],
  ['only what is committed is applied', 'n3', 1, { appliedIndex: 6 }],
  ['equal chain at equal index', 'n3', 1, { commitChain: 10 }],
  ['equal digest at equal index', 'n3', 1, { digest: 78 }],
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
