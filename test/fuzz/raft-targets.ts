import { AssertionError, QuorateError, utf8Encode } from '../../src/base/index.ts'
import { decodePeerMessage, encodePeerMessage } from '../../src/node/peer-codec.ts'
import {
  type Configuration,
  createEntry,
  createRaft,
  type Entry,
  entryKind,
  type LogEnd,
  type Message,
  type RaftNode,
  type Ready,
} from '../../src/raft/index.ts'
import type { FuzzTarget } from './target.ts'

const [self, peer, third] = [1n, 2n, 3n]
const group = 0
const term = 4
const configuration: Configuration = {
  voters: [self, peer, third],
  outgoing: [],
  learners: [],
  context: utf8Encode('names'),
}
const log = entriesAfter({ index: 0, term: 0, chain: 0 }, [2, 2, 3, 3, 3])
const logEnd = endOf(log)
const more = entriesAfter(logEnd, [4, 4])

function entriesAfter(after: LogEnd, terms: readonly number[]): Entry[] {
  const entries: Entry[] = []
  let previous = after
  for (const entryTerm of terms) {
    const entry = createEntry({
      group,
      index: previous.index + 1,
      term: entryTerm,
      kind: entryKind.command,
      payload: utf8Encode('x'),
      previousChain: previous.chain,
    })
    entries.push(entry)
    previous = entry
  }
  return entries
}

function endOf(entries: readonly Entry[]): LogEnd {
  const { index, term: lastTerm, chain } = entries.at(-1) as Entry
  return { index, term: lastTerm, chain }
}

type Send = { [K in Message['kind']]: Omit<Extract<Message, { kind: K }>, 'from' | 'to'> }[Message['kind']]

/** What a peer may send to a node in each role: one of each kind, near what the node expects. */
const sent: readonly Send[] = [
  { kind: 'voteRequest', term: term + 1, pre: false, transfer: true, end: logEnd },
  { kind: 'voteRequest', term: term + 1, pre: true, transfer: false, end: logEnd },
  { kind: 'voteResponse', term, pre: false, granted: true },
  { kind: 'appendRequest', term, previous: logEnd, commit: 6, entries: more },
  { kind: 'appendRequest', term, previous: endOf(log.slice(0, 3)), commit: 3, entries: [] },
  { kind: 'appendResponse', term, accepted: true, forget: false, index: 6, hint: endOf(more) },
  { kind: 'appendResponse', term, accepted: false, forget: true, index: 5, hint: logEnd },
  { kind: 'heartbeat', term, commit: 5, round: 1, context: new Uint8Array(0) },
  { kind: 'heartbeatResponse', term, round: 1, context: new Uint8Array(0) },
  { kind: 'readIndexRequest', term, request: 1 },
  { kind: 'readIndexResponse', term, request: 1, index: 5 },
  { kind: 'timeoutNow', term },
  { kind: 'installSnapshot', term, snapshot: { end: endOf(more), configurationIndex: 1, configuration } },
]

const roles = ['follower', 'candidate', 'leader'] as const

/** A node that has just come into the role; all that it wrote so far is durable. */
function nodeIn(role: (typeof roles)[number]): RaftNode {
  const options = { id: self, group, electionTicks: 10, heartbeatTicks: 3, seed: 1 }
  const limits = { appendBytesMax: 64, inflightMax: 2, windowBytesMax: 1 << 16, uncommittedBytesMax: 1 << 16 }
  const node = createRaft(
    { ...options, ...limits },
    {
      hardState: { term: term - 1, vote: 0n, commit: 3 },
      base: { index: 0, term: 0, chain: 0 },
      end: logEnd,
      recent: log,
      configurations: [{ index: 0, configuration }],
      applied: 0,
      cutEnd: undefined,
    },
  )
  drain(node)
  if (role === 'follower') return node
  for (let ticks = 0; node.role === 'follower' && ticks < 50; ticks++) node.tick()
  drain(node)
  const answer = (pre: boolean): void =>
    node.step({
      kind: 'voteResponse',
      from: third,
      to: self,
      term: node.term + (pre ? 1 : 0),
      pre,
      granted: true,
    })
  answer(true)
  drain(node)
  if (role === 'leader') {
    answer(false)
    drain(node)
  }
  return node
}

const readyMax = 100

/** Performs everything the node asks for, at once. Returns what it made ready. */
function drain(node: RaftNode): Ready[] {
  const all: Ready[] = []
  while (node.hasReady()) {
    if (all.length > readyMax) throw new Error('the node does not come to rest')
    const ready = node.ready()
    all.push(ready)
    for (const { sequence } of ready.storage) node.storageCompleted(sequence)
    const last = ready.committed.at(-1)
    if (last !== undefined) node.applied(last.index)
  }
  return all
}

/**
 * Any message that can be read, to a node in any role. Raft believes its members, so what a broken one says may stop a
 * node by an assertion. It may not bring it to a state that cannot be: a term or commit index that falls, more committed
 * than there is, entries that do not hang together, no end of work, or memory by the number in a field.
 */
export function raftTargets(): FuzzTarget[] {
  return [
    {
      name: 'raft.step',
      seeds: roles.flatMap((_role, number) =>
        sent.map((message) =>
          Uint8Array.of(number, ...encodePeerMessage({ ...message, from: peer, to: self } as Message)),
        ),
      ),
      refusals: ['frame-malformed', 'format-unsupported', 'stopped'],
      read: (input) => {
        const message = decodePeerMessage(input.subarray(1), { from: peer, to: self })
        if (!isRaftMessage(message)) return undefined
        const node = nodeIn(roles[(input[0] ?? 0) % roles.length] as (typeof roles)[number])
        const before = { term: node.term, commit: node.commitIndex }
        try {
          node.step(message)
          const ready = drain(node)
          node.tick()
          return { before, after: { term: node.term, commit: node.commitIndex, last: node.lastIndex }, ready }
        } catch (error) {
          if (error instanceof AssertionError)
            throw new QuorateError('stopped', `the node stops: ${error.message}`)
          throw error
        }
      },
      judge: judgeStep,
    },
  ]
}

const messageKinds: ReadonlySet<string> = new Set(sent.map(({ kind }) => kind))
function isRaftMessage(message: { kind: string }): message is Message {
  return messageKinds.has(message.kind)
}

interface Step {
  readonly before: { term: number; commit: number }
  readonly after: { term: number; commit: number; last: number }
  readonly ready: readonly Ready[]
}

function judgeStep(step: Step | undefined): string | undefined {
  if (step === undefined) return undefined
  const { before, after, ready } = step
  if (after.term < before.term) return `the term falls from ${before.term} to ${after.term}`
  if (after.commit < before.commit) return `the commit index falls from ${before.commit} to ${after.commit}`
  if (after.commit > after.last) return `committed ${after.commit} of ${after.last}`
  const committed = ready.flatMap((one) => one.committed)
  const gap = committed.findIndex((entry, i) => i > 0 && entry.index !== (committed[i - 1]?.index ?? 0) + 1)
  return gap < 0 ? undefined : `committed entry ${committed[gap]?.index} does not follow the one before`
}
