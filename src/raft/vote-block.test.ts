import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes } from '../base/index.ts'
import { createRaft, type RaftNode } from './index.ts'

const start = { index: 0, term: 0, chain: 0 }

/** A node that joined: its members come with the log, and a crash tore just the first entries of that. */
function createNewcomer(): RaftNode {
  const configuration = { voters: [], outgoing: [], learners: [], context: emptyBytes }
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
  const node = createNewcomer()
  for (let tick = 0; tick < 40; tick++) node.tick()
  const end = { index: 2, term: 1, chain: 1 }
  node.step({ kind: 'voteRequest', from: 1n, to: 4n, term: 2, pre: false, transfer: false, end })
  const { storage, messages } = node.ready()
  const sent = [...messages, ...storage.flatMap(({ after }) => after)]
  assert.deepEqual(
    sent.map((message) => (message.kind === 'voteResponse' ? message.granted : message.kind)),
    [false],
  )
  node.step({ kind: 'heartbeat', from: 1n, to: 4n, term: 2, commit: 0, round: 1, context: emptyBytes })
  assert.equal(node.leader, 1n)
})
