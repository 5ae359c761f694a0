import {
  assert,
  type ClusterId,
  equalBytes,
  formatId,
  isQuorateError,
  type NodeId,
  QuorateError,
} from '../base/index.ts'
import { sleep, type Time } from '../io/index.ts'
import type { RaftNode } from '../raft/index.ts'
import type { AppliedMembers } from './applied-members.ts'
import type { AppliedWaiters } from './applied-waiters.ts'
import type { CallOptions, Member } from './contract.ts'
import { configurationOf, type Directory, decodeDirectory, memberIdOf, publicMembers } from './members.ts'
import {
  changeDirectory,
  decodeChangeAnswer,
  decodeMembershipRequest,
  encodeChangeAnswer,
  encodeMembershipRequest,
  isChanged,
  type MembershipRequest,
  type MembershipView,
  type PublishedFacts,
  readyToPromote,
} from './membership.ts'
import type { GroupLimits } from './options.ts'
import { notLeaderError, stoppedError, unknownOutcome } from './refusals.ts'

/**
 * A change of the members, from both sides. Where it is asked for: the leader is asked, again while another change is
 * under way, and then its end is awaited as it is applied here. On the leader: it is judged and put into the log.
 *
 * One change at a time, and only on a list that is applied: what is not committed may be cut again.
 */
export interface MemberChangesOptions {
  readonly clusterId: ClusterId
  readonly raft: RaftNode
  readonly time: Time
  readonly limits: GroupLimits
  readonly applied: AppliedMembers
  readonly waiters: AppliedWaiters
  appliedIndex(): number
  askLeader(question: Uint8Array, options: CallOptions): Promise<Uint8Array>
  /** A change is in the log of this leader, or was refused by it. */
  proposed(): void
  isStopped(): boolean
}

export class MemberChanges {
  readonly #options: MemberChangesOptions

  constructor(options: MemberChangesOptions) {
    this.#options = options
  }

  // ---- where it is asked for ------------------------------------------------------------------------------------

  async add(
    peerUrls: readonly string[],
    isLearner: boolean,
    options: CallOptions,
  ): Promise<{ added: Member; members: readonly Member[] }> {
    const { clusterId, time } = this.#options
    // The id of a removed member never comes back, so the id of a new one depends on the moment it is added.
    const salt = `${formatId(clusterId)} ${time.wallMs()}`
    await this.#change({ kind: 'add', peerUrls, isLearner, salt }, options)
    const members = this.members()
    const added = members.find(({ id }) => id === memberIdOf(peerUrls, salt))
    assert(added !== undefined, 'a member that was added is in the list')
    return { added, members }
  }

  async remove(id: NodeId, options: CallOptions): Promise<readonly Member[]> {
    await this.#change({ kind: 'remove', id }, options)
    return this.members()
  }

  async update(id: NodeId, peerUrls: readonly string[], options: CallOptions): Promise<readonly Member[]> {
    await this.#change({ kind: 'update', id, peerUrls }, options)
    return this.members()
  }

  async promote(id: NodeId, options: CallOptions): Promise<readonly Member[]> {
    await this.#change({ kind: 'promote', id }, options)
    return this.members()
  }

  async publish(id: NodeId, facts: PublishedFacts, options: CallOptions): Promise<void> {
    await this.#change({ kind: 'publish', id, ...facts }, options)
  }

  members(): readonly Member[] {
    return publicMembers(this.#options.applied.configuration)
  }

  async #change(request: MembershipRequest, options: CallOptions): Promise<void> {
    const { time, limits, waiters } = this.#options
    const deadlineMs = time.monotonicMs() + options.timeoutMs
    const bytes = encodeMembershipRequest(request)
    let index: number
    if (this.#options.isStopped()) throw stoppedError()
    for (;;) {
      const timeoutMs = Math.max(1, deadlineMs - time.monotonicMs())
      try {
        index = decodeChangeAnswer(await this.#options.askLeader(bytes, { timeoutMs }))
        break
      } catch (error) {
        // The leader may have begun it all the same.
        if (isQuorateError(error, 'stopped')) throw unknownOutcome(error)
        const isLate = time.monotonicMs() + limits.tickMs >= deadlineMs
        if (isLate || !isQuorateError(error, 'change-in-progress')) throw error
        await sleep(time, limits.tickMs)
      }
    }
    const timeoutMs = Math.max(1, deadlineMs - time.monotonicMs())
    await waiters.waitForEnd(() => this.#isOver(request, index), { timeoutMs })
  }

  #isOver(request: MembershipRequest, index: number): boolean {
    const { configuration, directory } = this.#options.applied
    if (this.#options.appliedIndex() < index || configuration.outgoing.length > 0) return false
    return isChanged(directory, request)
  }

  // ---- on the leader --------------------------------------------------------------------------------------------

  /**
   * Judges the change and puts it into the log. Its end is seen where it is applied, from the index of the answer on:
   * before that the list there may be one in which the same already was so, and then no more.
   */
  async begin(question: Uint8Array): Promise<Uint8Array> {
    const request = decodeMembershipRequest(question)
    const { raft, applied } = this.#options
    const { configuration } = raft
    // What is not committed may be cut again: neither "it is so already" nor "there is no such member" follows from it.
    if (!equalBytes(configuration.context, applied.configuration.context))
      throw new QuorateError('change-in-progress', 'the change before it is not applied yet')
    const directory = decodeDirectory(configuration.context)
    const changed = changeDirectory(directory, request, this.#view())
    if (changed !== directory) this.#propose(changed)
    return encodeChangeAnswer(raft.lastIndex)
  }

  /** Once a tick: makes a voter of the learner that was added as one and has caught up. */
  promoteWhoIsReady(): void {
    const directory = decodeDirectory(this.#options.raft.configuration.context)
    const view = this.#view()
    const ready = readyToPromote(directory, view)
    if (ready === undefined) return
    try {
      this.#propose(changeDirectory(directory, { kind: 'promote', id: ready }, view))
    } catch (error) {
      if (!isQuorateError(error)) throw error
    }
  }

  #view(): MembershipView {
    const { raft, limits } = this.#options
    return {
      leader: raft.leader,
      lastIndex: raft.lastIndex,
      progress: raft.progress(),
      silentTicksMax: limits.electionTicks,
      learnersMax: limits.learnersMax,
    }
  }

  #propose(directory: Directory): void {
    const { raft } = this.#options
    const { voters, learners, context } = configurationOf(directory)
    const result = raft.proposeConfiguration({ voters, learners, context })
    this.#options.proposed()
    if (result.ok) return
    if (result.reason === 'not-leader') throw notLeaderError(raft.leader)
    throw new QuorateError('change-in-progress', `a change of the members is refused now: ${result.reason}`)
  }
}
