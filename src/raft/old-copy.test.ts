// A follower whose disk was replaced by an older copy: it shows entries that its leader knows to be overwritten.
import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes } from '../base/index.ts'
import { createEntry } from './chain.ts'
import { createRaft } from './node.ts'
import { type AppendRequest, type Entry, entryKind, type LogEnd, type Message } from './types.ts'

const [self, peer, third] = [1n, 2n, 3n]

function entriesOf(terms: readonly number[]): Entry[] {
  const entries: Entry[] = []
  for (const [i, term] of terms.entries()) {
    const previousChain = entries.at(-1)?.chain ?? 0
    const content = { group: 0, kind: entryKind.command, payload: emptyBytes, previousChain }
    entries.push(createEntry({ ...content, index: i + 1, term }))
  }
  return entries
}

const endOf = (entries: readonly Entry[]): LogEnd => {
  const { index, term, chain } = entries.at(-1) as Entry
  return { index, term, chain }
}

test('a follower that came back with older entries in the place of what it acknowledged is brought up to date', () => {
  const log = entriesOf([1, 1, 2, 2])
  const configuration = { voters: [self, peer, third], outgoing: [], learners: [], context: emptyBytes }
  const limits = {
    appendBytesMax: 4096,
    inflightMax: 4,
    windowBytesMax: 1 << 16,
    uncommittedBytesMax: 1 << 16,
  }
  const raft = createRaft(
    { ...limits, id: self, group: 0, electionTicks: 10, heartbeatTicks: 3, seed: 1 },
    {
      hardState: { term: 2, vote: 0n, commit: 4 },
      base: { index: 0, term: 0, chain: 0 },
      end: endOf(log),
      recent: log,
      configurations: [{ index: 0, configuration }],
      applied: 4,
      cutEnd: undefined,
    },
  )
  /** Performs what is ready; what was sent to the follower. */
  const drain = (): AppendRequest[] => {
    const sent: Message[] = []
    while (raft.hasReady()) {
      const ready = raft.ready()
      sent.push(...ready.messages)
      for (const { sequence } of ready.storage) sent.push(...raft.storageCompleted(sequence))
      const last = ready.committed.at(-1)
      if (last !== undefined) raft.applied(last.index)
    }
    return sent.filter(
      (message) => message.kind === 'appendRequest' && message.to === peer,
    ) as AppendRequest[]
  }
  while (raft.role === 'follower') raft.tick()
  const vote = (term: number, pre: boolean): void =>
    raft.step({ kind: 'voteResponse', from: third, to: self, term, pre, granted: true })
  vote(3, true)
  drain()
  vote(3, false)
  drain()
  assert.equal(raft.role, 'leader')
  const answer = (accepted: boolean, forget: boolean, index: number, hint: LogEnd): AppendRequest[] => {
    raft.step({ kind: 'appendResponse', from: peer, to: self, term: 3, accepted, forget, index, hint })
    return drain()
  }
  answer(true, false, 5, { index: 5, term: 3, chain: 0 })
  assert.equal(raft.commitIndex, 5)
  assert.equal(raft.progress().get(peer)?.match, 5)

  const older = endOf(entriesOf([1, 1, 1, 1]))
  const [first] = answer(false, true, 5, older)
  assert.ok(
    first !== undefined && first.previous.index <= 2,
    `compares ${first?.previous.index}, where the logs differ`,
  )
  assert.equal(first.entries[0]?.index, first.previous.index + 1)
  answer(true, false, 5, endOf(log))
  assert.equal(raft.progress().get(peer)?.match, 5)
})
