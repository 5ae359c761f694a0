import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, type NodeId } from '../base/index.ts'
import { createRaft, type RaftNode } from './index.ts'

const start = { index: 0, term: 0, chain: 0 }

/** Node 4 of these voters; it lost the end of its log, of which nothing is left. */
function createNode(voters: readonly NodeId[]): RaftNode {
  const configuration = { voters, outgoing: [], learners: [], context: emptyBytes }
  return createRaft(
    {
      id: 4n,
      group: 0,
      electionTicks: 10,
      heartbeatTicks: 1,
      seed: 1,
      appendBytesMax: 1_000,
      inflightMax: 4,
      windowBytesMax: 1_000,
      uncommittedBytesMax: 1_000,
    },
    {
      hardState: { term: 1, vote: 0n, commit: 0 },
      base: start,
      end: start,
      recent: [],
      configurations: [{ index: 0, configuration }],
      applied: 0,
      cutEnd: 2,
    },
  )
}

test('a new node that lost its first entries, and with them all it knew of the members, waits for its leader', () => {
  // It joined: its members come with the log, and a crash tore just the first entries of that.
  const node = createNode([])
  for (let tick = 0; tick < 40; tick++) node.tick()
  const end = { index: 2, term: 1, chain: 1 }
  node.step({ kind: 'voteRequest', from: 1n, to: 4n, term: 2, pre: false, transfer: false, end })
  const { storage, messages } = node.ready()
  const sent = [...messages, ...storage.flatMap(({ sequence }) => node.storageCompleted(sequence))]
  assert.deepEqual(
    sent.map((message) => (message.kind === 'voteResponse' ? message.granted : message.kind)),
    [false],
  )
  node.step({ kind: 'heartbeat', from: 1n, to: 4n, term: 2, commit: 0, round: 1, context: emptyBytes })
  assert.equal(node.leader, 1n)
})

test('a log that shows itself between the pre-vote and its majority ends the campaign of a node with a cut tail', () => {
  const node = createNode([1n, 2n, 4n])
  const askedBy = (from: NodeId, index: number): void => {
    const end = { index, term: index === 0 ? 0 : 1, chain: index }
    node.step({ kind: 'voteRequest', from, to: 4n, term: 2, pre: true, transfer: false, end })
  }
  askedBy(1n, 0)
  askedBy(2n, 0)
  for (let tick = 0; tick < 20 && node.role === 'follower'; tick++) node.tick()
  assert.equal(node.role, 'pre-candidate', 'it has seen all logs, and none has more than its own')
  askedBy(1n, 1)
  node.step({ kind: 'voteResponse', from: 2n, to: 4n, term: 2, pre: true, granted: true })
  assert.equal(node.role, 'follower')
  assert.equal(node.term, 1, 'it has opened no term')
})
