// What a follower does with appends that no leader of these rules sends: damaged, or of a program with a fault. Nothing
// of them is taken and none is acknowledged; where two histories contradict each other, that is told.
import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError } from '../base/index.ts'
import { createEntry } from './chain.ts'
import { decodeConfiguration } from './configuration.ts'
import type { RaftNode } from './contract.ts'
import { createRaft } from './node.ts'
import { type Entry, entryKind, type LogEnd, type Ready } from './types.ts'

const [self, leader, third] = [1n, 2n, 3n]
const start: LogEnd = { index: 0, term: 0, chain: 0 }

function entryAfter(previous: LogEnd, term: number, payload = emptyBytes): Entry {
  const content = { group: 0, kind: entryKind.command, payload, previousChain: previous.chain }
  return createEntry({ ...content, index: previous.index + 1, term })
}

const first = entryAfter(start, 1)
const committed = entryAfter(first, 1)
const last = entryAfter(committed, 2)

/** Has three entries, of which two are committed, and hears the leader of term 3. */
function createFollower(): RaftNode {
  const configuration = { voters: [self, leader, third], outgoing: [], learners: [], context: emptyBytes }
  const limits = { appendBytesMax: 4096, inflightMax: 4, windowBytesMax: 65_536, uncommittedBytesMax: 65_536 }
  return createRaft(
    { ...limits, id: self, group: 0, electionTicks: 10, heartbeatTicks: 3, seed: 1 },
    {
      hardState: { term: 3, vote: 0n, commit: 2 },
      base: start,
      end: last,
      recent: [first, committed, last],
      configurations: [{ index: 0, configuration }],
      applied: 2,
      cutEnd: undefined,
    },
  )
}

function answerTo(previous: LogEnd, entries: readonly Entry[]): { raft: RaftNode; ready: Ready | undefined } {
  const raft = createFollower()
  raft.step({ kind: 'appendRequest', from: leader, to: self, term: 3, previous, entries, commit: 2 })
  return { raft, ready: raft.hasReady() ? raft.ready() : undefined }
}

test('entries that do not follow one by one, or whose terms fall or are not yet, are no append', () => {
  const next = entryAfter(last, 3)
  const appends: readonly [string, LogEnd, readonly Entry[]][] = [
    ['a gap', last, [{ ...next, index: 5 }]],
    ['an entry twice', last, [next, next]],
    ['a term that falls', last, [entryAfter(last, 1)]],
    ['a term after that of the leader', last, [entryAfter(last, 4)]],
  ]
  for (const [what, previous, entries] of appends) {
    const { raft, ready } = answerTo(previous, entries)
    assert.equal(raft.lastIndex, 3, what)
    assert.deepEqual(
      [ready?.messages ?? [], ready?.storage ?? [], ready?.corruption],
      [[], [], undefined],
      what,
    )
  }
})

test('an append that contradicts what is here is told as corruption, with both chains, and nothing is taken', () => {
  const other = { ...last, chain: last.chain ^ 1 }
  const next = entryAfter(last, 3)
  const appends: readonly [string, LogEnd, readonly Entry[], LogEnd, number][] = [
    ['another history before it', other, [], other, last.chain],
    ['another history of the same term', committed, [other], other, last.chain],
    [
      'another entry in a committed place',
      first,
      [entryAfter(first, 3)],
      entryAfter(first, 3),
      committed.chain,
    ],
    [
      'a chain that does not continue',
      last,
      [{ ...next, chain: next.chain ^ 1 }],
      { ...next, chain: next.chain ^ 1 },
      next.chain,
    ],
  ]
  for (const [what, previous, entries, place, chain] of appends) {
    const { raft, ready } = answerTo(previous, entries)
    assert.equal(raft.lastIndex, 3, what)
    const { index, term, chain: peerChain } = place
    assert.deepEqual(ready?.corruption, { peer: leader, index, term, chain, peerChain }, what)
    assert.deepEqual([ready?.messages, ready?.storage], [[], []], what)
  }
})

test('a message to another node, or of nobody, is not for this one', () => {
  const raft = createFollower()
  const append = { kind: 'appendRequest', term: 9, previous: last, entries: [], commit: 2 } as const
  for (const [from, to] of [
    [leader, third],
    [self, self],
    [0n, self],
  ] as const)
    raft.step({ ...append, from, to })
  assert.equal(raft.term, 3)
  assert.ok(!raft.hasReady())
})

test('who does not lead changes no members and hands nothing over', () => {
  const raft = createFollower()
  const change = { voters: [self], learners: [], context: emptyBytes }
  assert.deepEqual(raft.proposeConfiguration(change), { ok: false, reason: 'not-leader' })
  assert.deepEqual(raft.transferLeadership(leader), { ok: false, reason: 'not-leader' })
  raft.resign()
  assert.ok(!raft.hasReady())
})

test('a configuration without voters cannot be read', () => {
  // Version 1, no voters, no outgoing ones, no learners, no context.
  const bytes = Uint8Array.of(1, 0, 0, 0, 0)
  assert.throws(
    () => decodeConfiguration(bytes),
    (error) => isQuorateError(error, 'frame-malformed'),
  )
})
