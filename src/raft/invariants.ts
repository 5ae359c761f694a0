import { assert, type NodeId, present } from '../base/index.ts'
import { isJoint } from './configuration.ts'
import type { RaftView } from './contract.ts'
import type { Configuration, HardState, LogEnd, Message, Role } from './types.ts'

/**
 * What must hold between the nodes of one group at every step, whatever happens to them. Written once, as functions over
 * what can be seen of a node, for the random schedules and the explorer of this room and for the simulator of whole
 * clusters. Broken: an AssertionError that names the rule.
 */

/** What a look at a node leaves for the next look at the same life of it. */
export interface Marks {
  readonly role: Role
  readonly term: number
  readonly vote: NodeId
  readonly commitIndex: number
  readonly appliedIndex: number
}

export function marksOf({ role, term, vote, commitIndex, appliedIndex }: RaftView): Marks {
  return { role, term, vote, commitIndex, appliedIndex }
}

/** What is known to be committed, by whom, over the whole life of the group. */
export interface Committed {
  /** Highest index that any leader has committed. */
  readonly lastIndex: number
  /** Undefined for an index that was not seen in a leader's memory. */
  chainAt(index: number): number | undefined
  /** Highest index that a leader of a term before `term` has committed. */
  lastIndexBefore(term: number): number
}

/** Between two looks at one life of a node. */
export function checkStep(before: Marks, now: RaftView): void {
  assert(now.term >= before.term, () => `the term of node ${now.id} never moves back`)
  const keepsVote = now.term > before.term || before.vote === 0n || now.vote === before.vote
  assert(keepsVote, () => `node ${now.id} votes once in term ${now.term}`)
  assert(now.commitIndex >= before.commitIndex, () => `the commit index of node ${now.id} never moves back`)
}

/**
 * Between two looks at one leadership. What it committed is of its own term (section 5.4.2 of the paper) and was told to be
 * durable by a majority of every set of voters; it changes no members before it has committed anything. In one step a
 * commit and a change may both have come: it is enough that one of the configurations that can still count had decided.
 */
export function checkLeadership(before: Marks & { lastIndex: number }, leader: RaftView): void {
  const { id, term, commitIndex } = leader
  const committed = leader.endAt(commitIndex)
  const isOwn = committed === undefined || committed.term === term
  if (commitIndex > before.commitIndex) {
    assert(isOwn, () => `leader ${id} commits by counting only what is of its own term ${term}`)
    const isDecided = leader.configurations.some(({ configuration }) => hasMajorities(leader, configuration))
    assert(isDecided, () => `a majority of all voters has what leader ${id} committed at ${commitIndex}`)
  }
  const newest = leader.configurations.at(-1)
  if (newest === undefined || newest.index <= before.lastIndex) return
  assert(isOwn, () => `leader ${id} changes members once it has committed in its term ${term}`)
}

function hasMajorities(leader: RaftView, { voters, outgoing }: Configuration): boolean {
  const progress = leader.progress()
  const has = (id: NodeId): boolean => {
    const known = id === leader.id ? leader.durableIndex : (progress.get(id)?.match ?? 0)
    return known >= leader.commitIndex
  }
  const isMajority = (set: readonly NodeId[]): boolean => 2 * set.filter(has).length > set.length
  return isMajority(voters) && (outgoing.length === 0 || isMajority(outgoing))
}

/** One node by itself. */
export function checkNode(node: RaftView, inflightMax: number): void {
  const { id, commitIndex, appliedIndex, durableIndex, lastIndex } = node
  assert(
    commitIndex <= lastIndex && durableIndex <= lastIndex,
    () => `the marks of node ${id} lie in its log`,
  )
  assert(appliedIndex <= commitIndex, () => `node ${id} applies only what is committed`)
  assert(node.durableState.term <= node.term, () => `node ${id} knows the term that its disk has`)
  const { configurations } = node
  const newest = configurations.at(-1)
  assert(
    newest === undefined || newest.index <= lastIndex,
    () => `node ${id} has the entry of its configuration`,
  )
  for (let i = 1; i < configurations.length; i++) {
    const [older, newer] = [configurations[i - 1], configurations[i]]
    const areSafe = overlap(present(older, 'older').configuration, present(newer, 'newer').configuration)
    assert(
      areSafe,
      () => `configurations that follow each other at node ${id} share a voter of every majority`,
    )
  }
  if (node.role !== 'leader') return
  for (const peer of node.progress().values()) {
    assert(peer.inflight <= inflightMax, () => `appends of node ${id} without an answer are bounded`)
    assert(peer.match <= lastIndex, () => `a peer of node ${id} matches only what the leader has`)
  }
}

/** Two nodes at one moment: one leader a term, and equal logs wherever index and term are equal from `first` on. */
export function checkPair(one: RaftView, other: RaftView, first: number): void {
  const areRivals = one.role === 'leader' && other.role === 'leader' && one.term === other.term
  assert(!areRivals, () => `term ${one.term} has one leader, not ${one.id} and ${other.id}`)
  const last = Math.min(one.lastIndex, other.lastIndex)
  for (let index = first; index <= last; index++) {
    const [own, others] = [one.endAt(index), other.endAt(index)]
    if (own === undefined || own.term !== others?.term) continue
    assert(
      own.chain === others.chain,
      () => `entry ${index}/${own.term} of ${one.id} and ${other.id} has one history`,
    )
  }
}

/**
 * One node against what leaders have committed: state machine safety (what it takes for committed is that, with the
 * same history), leader completeness, and at most one configuration that is not committed.
 */
export function checkCommitted(node: RaftView, committed: Committed): void {
  const { id, commitIndex } = node
  assert(
    commitIndex <= committed.lastIndex,
    () => `what node ${id} takes for committed a leader has committed`,
  )
  checkHistory(node, committed, commitIndex)
  if (node.role === 'leader') {
    const needed = committed.lastIndexBefore(node.term)
    const isComplete = (): string =>
      `leader ${id} of term ${node.term} has what was committed up to ${needed}`
    assert(needed <= node.lastIndex, isComplete)
    checkHistory(node, committed, needed)
  }
  let openCount = 0
  for (const { index } of node.configurations) {
    const isCommitted =
      index <= commitIndex ||
      (index <= committed.lastIndex && node.endAt(index)?.chain === committed.chainAt(index))
    if (!isCommitted) openCount++
  }
  assert(openCount <= 1, () => `the log of node ${id} has one change under way`)
}

/** What a message claims of its sender is on the sender's disk at the moment it leaves. */
export function checkMessage(
  message: Message,
  disk: { hardState: HardState; end: Pick<LogEnd, 'index'> },
): void {
  const { hardState, end } = disk
  const { from, term } = message
  const isVote = message.kind === 'voteRequest' || message.kind === 'voteResponse'
  assert(
    (isVote && message.pre) || term <= hardState.term,
    () => `the term of a message of node ${from} is durable`,
  )
  const candidate = candidateOf(message)
  if (candidate !== undefined && term === hardState.term) {
    assert(hardState.vote === candidate, () => `the vote of node ${from} in term ${term} is durable`)
  }
  if (message.kind === 'appendResponse' && message.accepted) {
    assert(message.index <= end.index, () => `node ${from} acknowledges only what is durable`)
  }
}

/**
 * What leaves `node` now is durable by what the node knows of its disk. An answer of an earlier term may leave when its entries
 * are about to be cut: whoever led that term can decide nothing with it, as a majority has left it.
 */
export function checkLeaving(message: Message, node: RaftView): void {
  const { term, durableState: hardState, durableIndex: index } = node
  if (message.term === term) checkMessage(message, { hardState, end: { index } })
}

/** For whom the sender says that it votes; undefined when the message is no vote. */
export function candidateOf(message: Message): NodeId | undefined {
  if (message.kind === 'voteResponse' && message.granted && !message.pre) return message.to
  if (message.kind === 'voteRequest' && !message.pre) return message.from
  return undefined
}

/** Whether a majority of the one and a majority of the other always have a voter in common. */
function overlap(one: Configuration, other: Configuration): boolean {
  const sets = (configuration: Configuration): (readonly NodeId[])[] =>
    isJoint(configuration) ? [configuration.voters, configuration.outgoing] : [configuration.voters]
  // Of any two sets of which one decides here and the other there it is enough that one pair overlaps.
  return sets(one).some((left) => sets(other).some((right) => majoritiesMeet(left, right)))
}

function majoritiesMeet(left: readonly NodeId[], right: readonly NodeId[]): boolean {
  const common = left.filter((id) => right.includes(id)).length
  const least = (size: number): number => Math.floor(size / 2) + 1
  // The fewest common voters that two majorities can be made with: each takes those that only it has first.
  const ofLeft = Math.max(0, least(left.length) - (left.length - common))
  const ofRight = Math.max(0, least(right.length) - (right.length - common))
  return ofLeft + ofRight > common
}

function checkHistory(node: RaftView, committed: Committed, index: number): void {
  const own = node.endAt(index)?.chain
  const known = committed.chainAt(index)
  if (own === undefined || known === undefined) return
  assert(own === known, () => `entry ${index} of node ${node.id} is the one that was committed`)
}

/** A step may have been a leader's last; what it committed in it counts all the same. */
export function wasLeader(before: Marks | undefined, now: RaftView): boolean {
  return now.role === 'leader' || before?.role === 'leader'
}

function isSameLeadership(before: Marks, { term }: RaftView): boolean {
  return before.role === 'leader' && before.term === term
}

interface CommittedPlace {
  /** Undefined where no leader's memory had it. */
  readonly chain: number | undefined
  /** Lowest term whose leader is known to have committed it. */
  readonly term: number
}

interface Look {
  readonly life: number
  readonly marks: Marks
  readonly lastIndex: number
  readonly durableState: HardState
}

/** Follows the nodes of one run, step by step. */
export class Past implements Committed {
  readonly #leaders = new Map<number, NodeId>()
  readonly #votes = new Map<string, NodeId>()
  /** Index 1 first. */
  readonly #places: CommittedPlace[] = []
  readonly #lives = new Map<NodeId, Look>()
  readonly #inflightMax: number

  constructor(inflightMax: number) {
    this.#inflightMax = inflightMax
  }

  get lastIndex(): number {
    return this.#places.length
  }

  chainAt(index: number): number | undefined {
    return this.#places[index - 1]?.chain
  }

  lastIndexBefore(term: number): number {
    // Along the log the lowest committing terms never fall.
    let low = 0
    let high = this.#places.length
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (present(this.#places[middle - 1], 'within the log').term < term) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Looks at `node` after a step of it, beside the `others` that run. A new `life` began from its disk. */
  observe(node: RaftView, life: number, others: Iterable<RaftView>): void {
    const known = this.#lives.get(node.id)
    const before = known?.life === life ? known : undefined
    const { marks } = before ?? {}
    if (marks !== undefined) checkStep(marks, node)
    if (before !== undefined && node.role === 'leader' && isSameLeadership(before.marks, node)) {
      checkLeadership({ ...before.marks, lastIndex: before.lastIndex }, node)
    }
    checkNode(node, this.#inflightMax)
    if (node.role === 'leader') this.#noteLeader(node.term, node.id)
    const { durableState } = node
    const isNewVote = durableState !== known?.durableState && durableState.vote !== 0n
    if (isNewVote) this.voted(node.id, durableState.term, durableState.vote)
    if (wasLeader(marks, node) && node.commitIndex > 0) this.#noteCommit(node, marks)
    checkCommitted(node, this)
    // What was there at the last look was compared then; only what was not committed can have been replaced.
    const first = before === undefined ? 1 : Math.min(before.lastIndex, before.marks.commitIndex) + 1
    for (const other of others) if (other.id !== node.id) checkPair(node, other, first)
    this.#lives.set(node.id, { life, marks: marksOf(node), lastIndex: node.lastIndex, durableState })
  }

  /** Node `id` told somebody, or wrote down, for whom it votes. */
  voted(id: NodeId, term: number, candidate: NodeId): void {
    const before = this.#votes.get(`${id}/${term}`) ?? candidate
    assert(before === candidate, () => `node ${id} votes once in term ${term}`)
    this.#votes.set(`${id}/${term}`, candidate)
  }

  #noteLeader(term: number, id: NodeId): void {
    const before = this.#leaders.get(term) ?? id
    assert(before === id, () => `term ${term} has one leader, not ${before} and ${id}`)
    this.#leaders.set(term, id)
  }

  #noteCommit(node: RaftView, before: Marks | undefined): void {
    const term = before?.role === 'leader' ? before.term : node.term
    for (let index = this.#places.length + 1; index <= node.commitIndex; index++) {
      this.#places.push({ chain: node.endAt(index)?.chain, term })
    }
    // A leader of an earlier term may come to it later: from then on every leader after that term must have it.
    for (let index = node.commitIndex; index > 0; index--) {
      const place = present(this.#places[index - 1], 'it was noted')
      if (place.term <= term) break
      this.#places[index - 1] = { chain: place.chain, term }
    }
  }
}
