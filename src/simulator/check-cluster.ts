/**
 * What must hold between the nodes of one group at every moment, checked as it happens: at most one leader a term;
 * a node's term and commit index never fall within one life; at equal commit index equal chain; at equal applied index
 * equal state digest and equal members; no log released that the store does not hold; no queue over its bound. After every
 * event the rules of consensus are asked of the nodes that it moved.
 */
import { AssertionError, formatId, type NodeId } from '../base/index.ts'
import { Past, type RaftView } from '../raft/index.ts'
import type { Violation } from './history.ts'
import type { ListedMember } from './server-seam.ts'

export interface NodeStatus {
  readonly isLeader: boolean
  readonly term: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** End of the log in memory, where the node can tell. */
  readonly lastIndex?: number
  /** The log begins after it, and up to where the store holds the state durably; where the node can tell and has a state. */
  readonly marks?: { readonly logBegin: number; readonly durablyApplied: number } | undefined
  /** State digest at the applied index. */
  readonly digest: number
  /** Chain at the commit index, where the node can tell. */
  readonly commitChain: number | undefined
  /** Where the node can tell. */
  readonly queues?: Readonly<Record<string, { readonly size: number; readonly bound: number }>>
  /** The members at the applied index, where the node can tell. */
  readonly members: readonly ListedMember[] | undefined
}

type Place = { -readonly [Field in PlaceField]: RaftView[Field] } & { life: number }
type PlaceField =
  | 'role'
  | 'term'
  | 'vote'
  | 'commitIndex'
  | 'durableIndex'
  | 'lastIndex'
  | 'appliedIndex'
  | 'durableState'

export class ClusterChecker {
  readonly violations: Violation[] = []
  readonly #leaders = new Map<number, string>()
  readonly #commits = new Map<string, { life: number; index: number; term: number }>()
  readonly #chains = new Map<number, { chain: number; node: string }>()
  readonly #digests = new Map<number, { digest: number; node: string }>()
  readonly #members = new Map<number, { members: string; node: string }>()
  readonly #memberTexts = new WeakMap<readonly ListedMember[], string>()
  readonly #past: Past
  readonly #places = new Map<NodeId, Place>()

  /** `inflightMax`: appends that a leader may have under way to one peer. */
  constructor(inflightMax: number) {
    this.#past = new Past(inflightMax)
  }

  /** Whether anything of a node changed since it was last asked that the rules of consensus speak of. */
  hasMoved(raft: RaftView, life: number): boolean {
    const place = this.#places.get(raft.id)
    if (place === undefined || place.life !== life) {
      this.#places.set(raft.id, placeOf(raft, life))
      return true
    }
    const { commitIndex, durableIndex, lastIndex, appliedIndex, durableState } = raft
    const isSame =
      place.commitIndex === commitIndex &&
      place.durableIndex === durableIndex &&
      place.lastIndex === lastIndex &&
      place.appliedIndex === appliedIndex &&
      place.durableState === durableState &&
      place.role === raft.role &&
      place.term === raft.term &&
      place.vote === raft.vote
    if (isSame) return false
    Object.assign(place, { commitIndex, durableIndex, lastIndex, appliedIndex, durableState })
    Object.assign(place, { role: raft.role, term: raft.term, vote: raft.vote })
    return true
  }

  /** A node that moved, beside `all` that run. */
  stepped(raft: RaftView, life: number, all: readonly RaftView[]): void {
    try {
      this.#past.observe(raft, life, all)
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      this.#report('the rules of consensus hold at every step', error.message)
    }
  }

  /** Takes what `node` says about itself; `life` changes at every start. */
  observe(node: string, life: number, status: NodeStatus): void {
    if (status.isLeader) this.#leader(node, status.term)
    this.#commit(node, life, status)
    if (status.appliedIndex > status.commitIndex) {
      this.#report(
        'only what is committed is applied',
        `${node} applied ${status.appliedIndex} of ${status.commitIndex}`,
      )
    }
    if (status.marks !== undefined) this.#marks(node, status.commitIndex, status.marks)
    for (const [name, { size, bound }] of Object.entries(status.queues ?? {})) {
      if (size > bound) this.#report('queues are bounded', `${name} of ${node} holds ${size} of ${bound}`)
    }
    if (status.commitChain !== undefined) {
      const first = this.#chains.get(status.commitIndex)
      if (first === undefined) this.#chains.set(status.commitIndex, { chain: status.commitChain, node })
      else if (first.chain !== status.commitChain) {
        this.#report(
          'equal chain at equal index',
          `${node} and ${first.node} differ at ${status.commitIndex}`,
        )
      }
    }
    const first = this.#digests.get(status.appliedIndex)
    if (first === undefined) this.#digests.set(status.appliedIndex, { digest: status.digest, node })
    else if (first.digest !== status.digest) {
      this.#report(
        'equal digest at equal index',
        `${node} and ${first.node} differ at ${status.appliedIndex}`,
      )
    }
    if (status.members !== undefined) {
      this.#compareMembers(node, status.appliedIndex, this.#textOf(status.members))
    }
  }

  /** A list that is shown again is the same object as a rule. */
  #textOf(members: readonly ListedMember[]): string {
    let text = this.#memberTexts.get(members)
    if (text === undefined) {
      text = describeMembers(members)
      this.#memberTexts.set(members, text)
    }
    return text
  }

  #compareMembers(node: string, index: number, members: string): void {
    const first = this.#members.get(index)
    if (first === undefined) this.#members.set(index, { members, node })
    else if (first.members !== members) {
      const facts = `${node} has ${members}, ${first.node} had ${first.members} at ${index}`
      this.#report('equal members at equal index', facts)
    }
  }

  #leader(node: string, term: number): void {
    const first = this.#leaders.get(term)
    if (first === undefined) this.#leaders.set(term, node)
    else if (first !== node) this.#report('one leader a term', `${first} and ${node} in term ${term}`)
  }

  #commit(node: string, life: number, status: NodeStatus): void {
    const before = this.#commits.get(node)
    if (before?.life === life) {
      if (status.commitIndex < before.index) {
        this.#report('commit never falls', `${node} from ${before.index} to ${status.commitIndex}`)
      }
      if (status.term < before.term) {
        this.#report('terms never fall', `${node} from ${before.term} to ${status.term}`)
      }
    }
    this.#commits.set(node, { life, index: status.commitIndex, term: status.term })
  }

  /** Of state and log one is always the other's other half: what is not durable in the store is still in the log. */
  #marks(node: string, commitIndex: number, marks: NonNullable<NodeStatus['marks']>): void {
    const { logBegin, durablyApplied } = marks
    if (logBegin <= durablyApplied && durablyApplied <= commitIndex) return
    const facts = `${node} has the log after ${logBegin}, the store up to ${durablyApplied}, and committed ${commitIndex}`
    this.#report('log and store have everything between them', facts)
  }

  #report(promise: string, facts: string): void {
    // One broken state is seen again at every look.
    const isKnown = this.violations.some((known) => known.promise === promise && known.facts === facts)
    if (!isKnown) this.violations.push({ promise, facts })
  }
}

function placeOf(raft: RaftView, life: number): Place {
  const { role, term, vote, commitIndex, durableIndex, lastIndex, appliedIndex, durableState } = raft
  return { role, term, vote, commitIndex, durableIndex, lastIndex, appliedIndex, durableState, life }
}

function describeMembers(members: readonly ListedMember[]): string {
  const describe = ({ id, host, port, isLearner, isBecomingVoter, isPublished }: ListedMember): string => {
    const role = isLearner ? (isBecomingVoter ? 'is to vote' : 'learns') : 'votes'
    return `${formatId(id)} at ${host}:${port} ${role}${isPublished ? '' : ' unpublished'}`
  }
  return members.map(describe).join(', ')
}
