import {
  assert,
  type ClusterId,
  type ErrorCode,
  formatId,
  isQuorateError,
  type NodeId,
  noNode,
  QuorateError,
  RingQueue,
} from '../base/index.ts'
import { type Logger, type Maybe, never, type Time, type Timer } from '../io/index.ts'
import {
  checkLeaving,
  createRaft,
  type LogEnd,
  type LogRead,
  type Message,
  type RaftNode,
  type RaftRestore,
  type RaftView,
  type Ready,
  type Role,
  type StorageOperation,
} from '../raft/index.ts'
import type { SnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { WriteAheadLog } from '../write-ahead-log/index.ts'
import { AppliedMembers } from './applied-members.ts'
import { AppliedWaiters } from './applied-waiters.ts'
import { Applier } from './applier.ts'
import type {
  CallOptions,
  Group,
  GroupMarks,
  GroupQueues,
  GroupStatus,
  Member,
  Proposed,
} from './contract.ts'
import { DiskWatch } from './disk-watch.ts'
import { Duties } from './duties.ts'
import type { Incarnation } from './envelope.ts'
import { MemberChanges } from './member-changes.ts'
import type { Directory } from './members.ts'
import type { PublishedFacts } from './membership.ts'
import type { GroupLimits } from './options.ts'
import type { PeerMessage } from './peer-codec.ts'
import { Proposals } from './proposals.ts'
import { Questions } from './questions.ts'
import { ReaderQueue } from './readers.ts'
import { notLeaderError, refusalText, stateLostText, stoppedError } from './refusals.ts'
import { ReplicaComparison } from './replica-comparison.ts'
import { SnapshotInstall } from './snapshot-install.ts'
import { SnapshotOffers } from './snapshot-offers.ts'
import { SnapshotTransfer } from './snapshot-transfer.ts'
import { SnapshotWriter, snapshotsKept } from './snapshot-writer.ts'
import type { SnapshotSource, StateMachine } from './state-machine.ts'
import { StateRepair } from './state-repair.ts'
import { StorageQueue } from './storage-queue.ts'
import { StoreFlusher } from './store-flusher.ts'

/** Everything a group runs on. The state machine is already restored from the backend. */
export interface GroupDependencies<Result> {
  readonly group: number
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly incarnation: Incarnation
  readonly seed: number
  readonly time: Time
  readonly logger: Logger
  /** Default: never. */
  readonly maybe?: Maybe
  readonly limits: GroupLimits
  readonly log: WriteAheadLog
  readonly snapshots: SnapshotStore
  readonly backend: StoreBackend
  readonly machine: StateMachine<Result>
  readonly restore: RaftRestore
  /** The end of the log at the applied index, for the next snapshot. */
  readonly applied: LogEnd
  /** The state was found wrong in an earlier life, and there is none now: `machine` is empty. */
  readonly isStateLost: boolean
  /** Note in the data directory, durably, that the state must not be used, or that it may be again. */
  markStateLost(): Promise<void>
  clearStateLost(): Promise<void>
  /** False: the message was dropped. */
  send(to: NodeId, message: PeerMessage): boolean
  /** Who has to be spoken to changed: the members, and those who leave until that is committed. */
  directoryChanged(directory: Directory): void
  /** The group stopped for good. */
  failed(error: unknown): void
}

/**
 * One replicated group on this node: the single update queue, and the loop that carries what the rules decide to disk,
 * peers and clients. All state changes in `#turn`; whatever comes from outside (a call, a message, a finished write) is
 * queued and looked at there, never acted on inside a callback.
 *
 * The way of a write: `propose`, `#turn`, `Proposals.proposeWaiting`, `#carryOut` (disk and peers), `#storeCompleted`,
 * `#carryOut` again once it is committed, `Applier.applySlice`, `Proposals.applied`.
 */
export class ReplicatedGroup<Result> implements Group<Result> {
  readonly #deps: GroupDependencies<Result>
  readonly #maybe: Maybe
  readonly #raft: RaftNode
  readonly #machine: StateMachine<Result>

  // Inputs that wait for the next turn.
  readonly #events: (() => void)[] = []
  readonly #inbox: RingQueue<{ from: NodeId; message: PeerMessage }>
  readonly #lostPeers: { readonly id: NodeId; readonly isDown: boolean }[] = []
  #isTurnDue = false

  // Applying.
  readonly #applier: Applier<Result>
  readonly #members: AppliedMembers

  // Disk.
  readonly #storage: StorageQueue
  readonly #diskWatch: DiskWatch
  readonly #flusher: StoreFlusher<Result>

  // Whoever waits.
  readonly #proposals: Proposals<Result>
  readonly #readers: ReaderQueue
  readonly #appliedWaiters: AppliedWaiters
  readonly #questions: Questions
  readonly #changes: MemberChanges

  readonly #duties: Duties

  // The state, given to others and taken from them.
  readonly #repair: StateRepair
  readonly #comparison: ReplicaComparison
  readonly #transfer: SnapshotTransfer
  readonly #writer: SnapshotWriter<Result>
  readonly #install: SnapshotInstall<Result>
  readonly #offers: SnapshotOffers

  #lastTickMs: number
  #lastRole: { readonly role: Role; readonly term: number }
  #ticker: Timer | undefined
  #isStopped = false

  constructor(deps: GroupDependencies<Result>) {
    this.#deps = deps
    this.#maybe = deps.maybe ?? never
    this.#machine = deps.machine
    const { limits, time } = deps
    this.#raft = this.#newRaft()
    this.#inbox = new RingQueue(limits.inboxMax)
    this.#storage = this.#newStorageQueue()
    this.#diskWatch = new DiskWatch({ raft: this.#raft, storage: this.#storage, limits, logger: deps.logger })
    this.#flusher = this.#newStoreFlusher()
    this.#members = this.#newAppliedMembers()
    this.#proposals = this.#newProposals()
    this.#applier = this.#newApplier()
    this.#readers = new ReaderQueue(limits.readersMax, this.#maybe)
    this.#appliedWaiters = new AppliedWaiters(limits.readersMax, time)
    this.#questions = this.#newQuestions()
    this.#changes = this.#newMemberChanges()
    this.#duties = this.#newDuties()
    this.#repair = this.#newStateRepair()
    this.#comparison = this.#newComparison()
    this.#transfer = this.#newSnapshotTransfer()
    this.#writer = this.#newSnapshotWriter()
    this.#install = this.#newSnapshotInstall()
    this.#offers = this.#newSnapshotOffers()
    if (deps.isStateLost) this.#resumeRepair()
    this.#lastTickMs = time.monotonicMs()
    this.#lastRole = { role: this.#raft.role, term: this.#raft.term }
  }

  start(): void {
    this.#members.tellPeers()
    this.#startTicker()
    // The only voter leads with its first tick: it has nobody to wait for or to disturb, so that is now.
    const { voters, outgoing } = this.#raft.configuration
    const isAlone = outgoing.length === 0 && voters.length === 1 && voters[0] === this.nodeId
    if (isAlone) this.#event(() => this.#raft.tick())
    this.#schedule()
  }

  /** Hands leadership over if it can, answers everyone who waits, makes the state durable. */
  async stop(): Promise<void> {
    if (!this.#isStopped) {
      if (this.#raft.role === 'leader' && this.#raft.configuration.voters.length > 1) await this.#handOver()
      this.#end('stopped', 'this node is shutting down')
    }
    // Whatever still uses store and disk comes to its end first.
    await Promise.all([this.#storage.settle(), this.#writer.settle(), this.#transfer.stop()])
    await this.#flusher.drain()
    await this.#repair.stop()
  }

  // ---- what the doors call ------------------------------------------------------------------------------------

  get clusterId(): ClusterId {
    return this.#deps.clusterId
  }

  get nodeId(): NodeId {
    return this.#deps.nodeId
  }

  get raftView(): RaftView {
    return this.#raft
  }

  get term(): number {
    return this.#raft.term
  }

  get leader(): NodeId {
    return this.#raft.leader
  }

  get isSettledLeader(): boolean {
    return this.#raft.isSettledLeader && !this.#repair.isLost
  }

  get isLearner(): boolean {
    return this.#raft.configuration.learners.includes(this.nodeId)
  }

  get appliedDirectory(): Directory {
    return this.#members.directory
  }

  get marks(): GroupMarks {
    return {
      durableAppliedIndex: this.#flusher.durableIndex,
      lowWaterMark: this.#writer.lowWaterMark,
      configurationIndex: this.#install.isInstalling ? 0 : this.#members.index,
    }
  }

  /** Those that turn away what would pass their bound. */
  get queues(): GroupQueues {
    const { limits } = this.#deps
    return {
      update: { size: this.#proposals.queueSize, bound: limits.updateQueueMax },
      waiting: { size: this.#proposals.waitingSize, bound: limits.waitingMax },
      readers: { size: this.#readers.size, bound: limits.readersMax },
      appliedWaiters: { size: this.#appliedWaiters.size, bound: limits.readersMax },
      inbox: { size: this.#inbox.size, bound: limits.inboxMax },
      questions: { size: this.#questions.size, bound: limits.questionsMax },
    }
  }

  propose(command: Uint8Array, options: CallOptions): Promise<Proposed<Result>> {
    return this.#proposals.propose(command, options)
  }

  readBarrier(options: CallOptions): Promise<void> {
    return this.#read(options, false)
  }

  confirmLeadership(options: CallOptions): Promise<void> {
    if (!this.isSettledLeader) return Promise.reject(notLeaderError(this.#raft.leader))
    return this.#read(options, true)
  }

  #read(options: CallOptions, leaderOnly: boolean): Promise<void> {
    if (this.#isStopped) return Promise.reject(stoppedError())
    if (this.#repair.isLost) return Promise.reject(new QuorateError('no-leader', stateLostText))
    const deadlineMs = this.#deps.time.monotonicMs() + options.timeoutMs
    return new Promise((resolve, reject) => {
      const isIn = this.#readers.add({ deadlineMs, leaderOnly, resolve, reject })
      if (isIn) this.#schedule()
      else reject(new QuorateError('overloaded', `${this.#readers.size} reads are waiting already`))
    })
  }

  /** A cut of the state, one at a time; `done` of it must be called. Errors: `no-leader`, `stopped`. */
  async openSnapshot(): Promise<SnapshotSource> {
    return (await this.#writer.openCut()).source
  }

  waitApplied(isReached: () => boolean, options: CallOptions): Promise<void> {
    return this.#appliedWaiters.wait(isReached, options)
  }

  askLeader(question: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    return this.#questions.ask('door', question, options)
  }

  setQuestionHandler(handler: (question: Uint8Array) => Promise<Uint8Array>): void {
    this.#questions.setDoorHandler(handler)
  }

  members(): readonly Member[] {
    return this.#changes.members()
  }

  addMember(
    peerUrls: readonly string[],
    isLearner: boolean,
    options: CallOptions,
  ): Promise<{ added: Member; members: readonly Member[] }> {
    return this.#changes.add(peerUrls, isLearner, options)
  }

  removeMember(id: NodeId, options: CallOptions): Promise<readonly Member[]> {
    return this.#changes.remove(id, options)
  }

  updateMember(id: NodeId, peerUrls: readonly string[], options: CallOptions): Promise<readonly Member[]> {
    return this.#changes.update(id, peerUrls, options)
  }

  promoteMember(id: NodeId, options: CallOptions): Promise<readonly Member[]> {
    return this.#changes.promote(id, options)
  }

  /** Reports this member's own facts to the cluster, if they are not known there yet. */
  publish(facts: Omit<PublishedFacts, 'commandVersion'>, options: CallOptions): Promise<void> {
    const { commandVersion } = this.#machine
    return this.#changes.publish(this.nodeId, { ...facts, commandVersion }, options)
  }

  async transferLeadership(to: NodeId, options: CallOptions): Promise<void> {
    if (this.#raft.role !== 'leader') throw notLeaderError(this.#raft.leader)
    if (to === this.nodeId) return
    if (!this.#raft.configuration.voters.includes(to)) {
      throw new QuorateError('transferee-invalid', `${formatId(to)} is no voting member`)
    }
    this.#event(() => {
      this.#raft.transferLeadership(to)
    })
    await this.#appliedWaiters.waitForEnd(() => this.#raft.leader === to, options)
  }

  status(): GroupStatus {
    const raft = this.#raft
    const { limits, snapshots } = this.#deps
    const { pending } = this.#machine
    return {
      role: raft.role,
      term: raft.term,
      leader: raft.leader,
      isLearner: this.isLearner,
      firstIndex: this.#writer.lowWaterMark + 1,
      lastIndex: raft.lastIndex,
      durableIndex: raft.durableIndex,
      commitIndex: raft.commitIndex,
      appliedIndex: this.#machine.appliedIndex,
      ...this.marks,
      digest: this.#machine.digest,
      clusterVersion: this.#members.directory.clusterVersion,
      peers: raft.progress(),
      queues: {
        ...this.queues,
        pendingOperations: { size: pending.operations, bound: limits.pendingOperationsMax },
        pendingBytes: { size: pending.bytes, bound: limits.pendingBytesMax },
        snapshots: { size: snapshots.list().length, bound: snapshotsKept + 1 },
      },
      problems: [
        ...(this.#comparison.problem === undefined ? [] : [this.#comparison.problem]),
        ...(this.#repair.isLost ? [`CORRUPT: ${stateLostText}`] : []),
        ...(this.#isDiskFull ? ['the disk is full'] : []),
        ...(this.#diskWatch.isBehind ? ['the disk does not answer'] : []),
        ...(raft.leader === noNode ? ['no leader'] : []),
      ],
    }
  }

  // ---- what the node calls ------------------------------------------------------------------------------------

  /** A message of a peer. Dropped when the inbox is full: raft repeats what matters. */
  receive(from: NodeId, message: PeerMessage): void {
    if (this.#isStopped || this.#maybe('inbox-full')) return
    if (this.#inbox.push({ from, message })) this.#schedule()
  }

  peerLost(id: NodeId): void {
    this.#event(() => {
      this.#raft.peerUnreachable(id)
      this.#transfer.peerLost(id)
    })
  }

  /** No connection with this peer is left. */
  peerDisconnected(id: NodeId): void {
    this.#losePeer({ id, isDown: false })
  }

  /** Nor could a new one be made. */
  peerDown(id: NodeId): void {
    this.#losePeer({ id, isDown: true })
  }

  #losePeer(lost: { readonly id: NodeId; readonly isDown: boolean }): void {
    if (this.#isStopped) return
    this.#lostPeers.push(lost)
    this.#schedule()
  }

  // ---- the turn -----------------------------------------------------------------------------------------------

  #event(action: () => void): void {
    if (this.#isStopped) return
    this.#events.push(action)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isTurnDue || this.#isStopped) return
    this.#isTurnDue = true
    const { time } = this.#deps
    const turn = this.#maybe('turn-late') ? time.yieldTurn().then(() => time.yieldTurn()) : time.yieldTurn()
    turn.then(
      () => {
        this.#isTurnDue = false
        if (this.#isStopped) return
        try {
          this.#turn()
        } catch (error) {
          this.#fail(error)
        }
      },
      (error: unknown) => this.#fail(error),
    )
  }

  #turn(): void {
    for (const event of this.#events.splice(0)) event()
    for (let count = this.#inbox.size; count > 0; count--) {
      const item = this.#inbox.shift()
      if (item !== undefined) this.#receiveNow(item.from, item.message)
    }
    // Behind the inbox: what a peer said before its connections ended is no sign that it is there now.
    for (const { id, isDown } of this.#lostPeers.splice(0)) {
      if (isDown) this.#raft.peerDown(id)
      else this.#raft.peerDisconnected(id)
    }
    // Who waited under a leadership that is over hears of it before anything new is proposed under the next one.
    if (this.#raft.role !== this.#lastRole.role || this.#raft.term !== this.#lastRole.term) {
      while (this.#raft.hasReady()) this.#carryOut(this.#raft.ready())
    }
    this.#proposals.proposeWaiting()
    const round = this.#readers.startRound(this.#deps.time.monotonicMs())
    if (round !== undefined) this.#raft.readIndex(round)
    while (this.#raft.hasReady()) this.#carryOut(this.#raft.ready())
    this.#applySlice()
    while (this.#raft.hasReady()) this.#carryOut(this.#raft.ready())
    // Last: a snapshot that is about to replace the state is in the storage queue by now, and a state that is being
    // replaced is not worth a judgement.
    if (!this.#isReplacing && !this.#storage.hasInstall) this.#comparison.judge()
    if (!this.#isReplacing) this.#flusher.poll()
  }

  #receiveNow(from: NodeId, message: PeerMessage): void {
    switch (message.kind) {
      case 'forward':
        this.#proposals.proposeForwarded(from, message)
        break
      case 'forwardRefused':
        this.#proposals.refused(message.sequences, message.code)
        break
      case 'question':
        this.#questions.asked(from, message)
        break
      case 'answer':
        this.#questions.answered(message)
        break
      case 'snapshotRequest':
        this.#transfer.serve(from, message).catch((error: unknown) => this.#fail(error))
        break
      case 'snapshotPart':
        this.#transfer.part(from, message)
        break
      case 'snapshotGone':
        this.#transfer.gone(from, message.end)
        break
      case 'digest':
        this.#comparison.reported(from, message)
        break
      case 'stateRequest':
        this.#offers.asked(from, message.leastIndex)
        break
      case 'ping':
      case 'pong':
        break
      case 'installSnapshot':
        this.#offers.announced(from, message)
        break
      default:
        this.#raft.step(message)
        if (this.#maybe('message-twice')) this.#raft.step(message)
    }
  }

  #carryOut(ready: Ready): void {
    for (const change of ready.roleChanges) this.#roleChanged(change)
    this.#lastRole = { role: this.#raft.role, term: this.#raft.term }
    if (ready.corruption !== undefined) this.#comparison.logsDiffer(ready.corruption)
    if (ready.configuration !== undefined) this.#members.tellPeers()
    for (const message of ready.messages) this.#send(message)
    for (const operation of ready.storage) this.#store(operation)
    for (const entry of ready.committed) this.#applier.committed(entry)
    for (const state of ready.readStates) this.#readers.confirmed(state.request, state.index)
    for (const request of ready.readFailures) this.#readers.failed(request)
    // Who asked a leader that is lost, or before there was one, asks the one there is now instead of at the next tick.
    if (ready.roleChanges.length > 0 && this.#raft.leader !== noNode) {
      this.#readers.askAgain()
      this.#schedule()
    }
    // A state that is being replaced may be there already, while the member list still is the one before it.
    if (!this.#install.isInstalling) this.#readers.applied(this.#machine.appliedIndex)
    for (const read of ready.logReads) this.#readLog(read)
    for (const peer of ready.snapshotsWanted) this.#offers.wanted(peer)
  }

  #store(operation: StorageOperation): void {
    if (operation.kind === 'write' && operation.truncateAfter !== undefined) {
      this.#deps.logger.log('info', 'log-truncated', { after: operation.truncateAfter })
    }
    this.#storage.push(operation)
  }

  /** What raft wanted durable is: what it may only say from now on is said. */
  #storeCompleted(operation: StorageOperation): void {
    for (const message of this.#raft.storageCompleted(operation.sequence)) this.#send(message)
  }

  /** The last place at which a vote or an acknowledgement that the disk does not have can be held back. */
  #send(message: Message): void {
    checkLeaving(message, this.#raft)
    this.#deps.send(message.to, message)
  }

  #readLog({ to, first, end, bytesMax }: LogRead): void {
    const { term } = this.#raft
    const { log, group } = this.#deps
    const isOwn = to === this.nodeId
    // What a peer is sent belongs to one leadership: in a later one these entries may have been cut and replaced.
    const isWanted = (): boolean => isOwn || this.#raft.term === term
    log.read(group, first, end, bytesMax).then(
      ({ previous, entries }) =>
        this.#event(() => {
          if (isWanted()) this.#raft.entriesRead({ to, entries, previous })
        }),
      (error: unknown) => {
        const isGone = isQuorateError(error, 'log-released', 'log-index-out-of-range')
        if (!isGone) this.#fail(error)
        else
          this.#event(() => {
            // Own entries are gone only when a snapshot took their place, and then nobody waits for them.
            if (isOwn) assert(first <= this.#writer.lowWaterMark, 'the log keeps what is not applied')
            else if (isWanted()) this.#raft.entriesRead({ to, entries: [], previous: undefined })
          })
      },
    )
  }

  // ---- applying -----------------------------------------------------------------------------------------------

  #applySlice(): void {
    // While a snapshot replaces the state there is no state to apply to.
    if (this.#isReplacing) return
    if (this.#applier.applySlice()) {
      this.#readers.applied(this.#machine.appliedIndex)
      this.#appliedWaiters.wake()
    }
    const hasWork = this.#machine.maintain()
    if (hasWork || this.#applier.hasWork) this.#schedule()
    this.#writer.poll()
  }

  // ---- time ---------------------------------------------------------------------------------------------------

  #startTicker(): void {
    this.#ticker = this.#deps.time.startTimer(this.#deps.limits.tickMs, () => {
      if (this.#isStopped) return
      this.#startTicker()
      this.#event(() => this.#tick())
    })
  }

  #tick(): void {
    const { time, limits } = this.#deps
    const nowMs = time.monotonicMs()
    const lateMs = nowMs - this.#lastTickMs
    this.#lastTickMs = nowMs
    this.#raft.tick()
    const electionMs = limits.tickMs * limits.electionTicks
    const expiry: { code: ErrorCode; text: string } =
      this.#raft.leader === noNode
        ? { code: 'no-leader', text: refusalText('no-leader') }
        : { code: 'timeout', text: 'no quorum confirmed the read in time' }
    this.#readers.tick(nowMs, electionMs / 2, expiry)
    this.#proposals.tick(nowMs)
    this.#questions.tick(nowMs)
    this.#appliedWaiters.tick(nowMs)
    this.#storage.tick()
    this.#diskWatch.tick()
    const mayLead = !this.#isDiskFull && !this.#diskWatch.isBehind && !this.#repair.isLost
    if (!mayLead && this.#raft.role === 'leader') this.#raft.resign()
    this.#transfer.tick()
    this.#comparison.tick()
    if (this.#repair.isReady) this.#offers.askForState()
    this.#duties.tick(nowMs, lateMs > electionMs)
    if (this.isSettledLeader) this.#changes.promoteWhoIsReady()
  }

  // ---- roles --------------------------------------------------------------------------------------------------

  #roleChanged(change: { role: Role; term: number; leader: NodeId; cause: string }): void {
    const leader = change.leader === noNode ? 'none' : formatId(change.leader)
    this.#deps.logger.log('info', 'role', {
      role: change.role,
      term: change.term,
      leader,
      cause: change.cause,
    })
    if (change.role !== 'leader') this.#duties.deposed()
    this.#proposals.leadershipChanged(change.role === 'leader')
    if (change.role !== 'leader')
      this.#questions.rejectAll('leader-changed', 'the leader changed before it answered')
  }

  /** The leadership goes with the next tick, and again with each until somebody has taken it. */
  #diskFullChanged(isFull: boolean): void {
    this.#deps.logger.log(isFull ? 'error' : 'info', isFull ? 'disk-full' : 'disk-has-space', {})
  }

  get #isDiskFull(): boolean {
    return this.#storage.isDiskFull || this.#flusher.isDiskFull
  }

  async #handOver(): Promise<void> {
    const { time, limits, logger } = this.#deps
    const startMs = time.monotonicMs()
    this.#event(() => this.#raft.resign())
    const isOver = (): boolean => this.#raft.leader !== noNode && this.#raft.leader !== this.nodeId
    await this.waitApplied(isOver, { timeoutMs: limits.tickMs * limits.electionTicks }).catch(() => undefined)
    const ms = Math.round(time.monotonicMs() - startMs)
    if (isOver()) logger.log('info', 'leadership-handed-over', { to: formatId(this.#raft.leader), ms })
    else logger.log('warn', 'leadership-not-handed-over', { ms })
  }

  // ---- a state that is wrong ------------------------------------------------------------------------------------

  /** There is no state, or a snapshot takes its place just now. */
  get #isReplacing(): boolean {
    return this.#install.isInstalling || this.#repair.isLost
  }

  /** Throws the state away and serves nothing, until the leader has given another. Votes and acknowledges all the same. */
  #loseState(cause: string): void {
    this.#deps.logger.log('error', 'state-wrong', { applied: this.#machine.appliedIndex, cause })
    // Whoever read here has seen the state at the applied index: a snapshot before it would lead back.
    this.#repair.begin(this.#applier.appliedEnd.index)
    this.#dropState()
    this.#duties.end()
    this.#proposals.failOnTheWay(
      'the state of this member is wrong: the command may or may not have happened',
    )
    this.#readers.rejectAll('no-leader', stateLostText)
    this.#raft.resign()
    this.#schedule()
  }

  #resumeRepair(): void {
    this.#deps.logger.log('warn', 'state-missing', { logBase: this.#applier.appliedEnd.index })
    this.#repair.resume(this.#applier.appliedEnd.index)
    this.#dropState()
    this.#machine.beginRestore()
  }

  #dropState(): void {
    const { snapshots } = this.#deps
    for (const file of [...snapshots.list()]) snapshots.forget(file)
    this.#applier.stateLost()
    this.#raft.stateLost()
  }

  /** From here on the state machine refuses every read, and nothing of it reaches the store. */
  async #discardState(): Promise<void> {
    await this.#flusher.settle()
    this.#machine.beginRestore()
  }

  // ---- the end ------------------------------------------------------------------------------------------------

  /** Ends the group at once and answers everyone who waits: nothing it does can be relied on any more. */
  fail(error: unknown): void {
    this.#fail(error)
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return
    this.#end('stopped', 'this node stopped because of a failure; its log says which')
    this.#deps.failed(error)
  }

  #end(code: ErrorCode, text: string): void {
    this.#isStopped = true
    this.#ticker?.cancel()
    this.#storage.stop()
    this.#duties.end()
    this.#proposals.end(text)
    this.#readers.rejectAll(code, text)
    this.#questions.rejectAll(code, text)
    this.#appliedWaiters.stop(code, text)
  }

  // ---- the parts, and what each may ask of the group ------------------------------------------------------------

  #newRaft(): RaftNode {
    const { nodeId, group, seed, limits, restore } = this.#deps
    const { electionTicks, appendBytesMax, inflightMax, windowBytesMax, uncommittedBytesMax } = limits
    return createRaft(
      {
        id: nodeId,
        group,
        electionTicks,
        heartbeatTicks: 1,
        seed,
        appendBytesMax,
        inflightMax,
        windowBytesMax,
        uncommittedBytesMax,
      },
      restore,
    )
  }

  #newStorageQueue(): StorageQueue {
    const { group, log } = this.#deps
    return new StorageQueue({
      group,
      log,
      install: (operation) => this.#install.install(operation),
      completed: (operation) => this.#event(() => this.#storeCompleted(operation)),
      diskFull: (isFull) => this.#event(() => this.#diskFullChanged(isFull)),
      failed: (error) => this.#fail(error),
    })
  }

  #newStoreFlusher(): StoreFlusher<Result> {
    const { machine, backend, time, limits } = this.#deps
    return new StoreFlusher({
      machine,
      backend,
      time,
      limits,
      maybe: this.#maybe,
      flushed: () => this.#schedule(),
      failed: (error) => this.#fail(error),
    })
  }

  #newAppliedMembers(): AppliedMembers {
    const { logger, restore, applied } = this.#deps
    return new AppliedMembers({
      raft: this.#raft,
      logger,
      configurations: restore.configurations,
      appliedIndex: applied.index,
      tellPeers: (directory) => this.#deps.directoryChanged(directory),
    })
  }

  #newProposals(): Proposals<Result> {
    const { time, limits, incarnation } = this.#deps
    return new Proposals({
      raft: this.#raft,
      time,
      limits,
      maybe: this.#maybe,
      incarnation,
      send: (to, message) => this.#deps.send(to, message),
      waits: () => this.#schedule(),
      isStopped: () => this.#isStopped,
      isDiskFull: () => this.#isDiskFull,
      isStateLost: () => this.#repair.isLost,
    })
  }

  #newApplier(): Applier<Result> {
    const { time, limits, machine, applied } = this.#deps
    return new Applier({
      raft: this.#raft,
      time,
      limits,
      maybe: this.#maybe,
      machine,
      members: this.#members,
      proposals: this.#proposals,
      storage: this.#storage,
      appliedEnd: applied,
      applied: (entry) => {
        this.#writer.applied(entry.payload.length)
        this.#comparison.applied(entry.index)
      },
    })
  }

  #newQuestions(): Questions {
    const { time, limits, incarnation } = this.#deps
    return new Questions({
      raft: this.#raft,
      time,
      bound: limits.questionsMax,
      repeatMs: (limits.tickMs * limits.electionTicks) / 2,
      incarnation,
      send: (to, message) => this.#deps.send(to, message),
      answerNode: (question) => this.#changes.begin(question),
      isStopped: () => this.#isStopped,
      failed: (error) => this.#fail(error),
    })
  }

  #newMemberChanges(): MemberChanges {
    const { clusterId, time, limits } = this.#deps
    return new MemberChanges({
      clusterId,
      raft: this.#raft,
      time,
      limits,
      applied: this.#members,
      waiters: this.#appliedWaiters,
      appliedIndex: () => this.#applier.appliedEnd.index,
      askLeader: (question, options) => this.#questions.ask('node', question, options),
      proposed: () => this.#schedule(),
      isStopped: () => this.#isStopped,
    })
  }

  #newDuties(): Duties {
    const { time, machine, limits } = this.#deps
    return new Duties({
      raft: this.#raft,
      time,
      machine,
      isSettledLeader: () => this.isSettledLeader,
      propose: (command) => this.#proposals.proposeOwn(command),
      confirmLeadership: (ended) => {
        this.confirmLeadership({ timeoutMs: limits.electionTicks * limits.tickMs }).then(
          () => this.#event(() => ended(true)),
          () => this.#event(() => ended(false)),
        )
      },
    })
  }

  #newStateRepair(): StateRepair {
    return new StateRepair({
      time: this.#deps.time,
      mark: () => this.#deps.markStateLost(),
      clearMark: () => this.#deps.clearStateLost(),
      discard: () => this.#discardState(),
      failed: (error) => this.#fail(error),
    })
  }

  #newComparison(): ReplicaComparison {
    const { nodeId, time, logger, limits, machine } = this.#deps
    return new ReplicaComparison({
      nodeId,
      raft: this.#raft,
      time,
      logger,
      limits,
      machine,
      repair: this.#repair,
      send: (to, message) => this.#deps.send(to, message),
      loseState: (cause) => this.#loseState(cause),
      event: (action) => this.#event(action),
    })
  }

  #newSnapshotTransfer(): SnapshotTransfer {
    const { time, logger, snapshots } = this.#deps
    return new SnapshotTransfer({
      time,
      logger,
      maybe: this.#maybe,
      snapshots,
      send: (to, message) => this.#deps.send(to, message),
      received: (file) => this.#event(() => this.#offers.received(file)),
      sent: (to, result, end) => this.#event(() => this.#raft.snapshotSent(to, result, end)),
      failed: (error) => this.#fail(error),
    })
  }

  #newSnapshotWriter(): SnapshotWriter<Result> {
    const { group, time, logger, limits, log, snapshots, machine, restore } = this.#deps
    return new SnapshotWriter({
      group,
      time,
      logger,
      maybe: this.#maybe,
      limits,
      log,
      snapshots,
      machine,
      members: this.#members,
      baseIndex: restore.base.index,
      appliedEnd: () => this.#applier.appliedEnd,
      durableIndex: () => this.#flusher.durableIndex,
      lossCount: () => this.#repair.count,
      needsLog: (index) => this.#transfer.needsLog(index, (peer) => this.#raft.progress().get(peer)?.match),
      isReplacing: () => this.#isReplacing,
      isAwaited: (index) => this.#storage.awaits(index),
      isStopped: () => this.#isStopped,
      released: (end) => this.#event(() => this.#raft.released(end)),
      failed: (error) => this.#fail(error),
    })
  }

  #newSnapshotInstall(): SnapshotInstall<Result> {
    const { group, logger, limits, log, snapshots, backend, machine } = this.#deps
    return new SnapshotInstall({
      group,
      logger,
      limits,
      log,
      snapshots,
      backend,
      machine,
      members: this.#members,
      flusher: this.#flusher,
      writer: this.#writer,
      comparison: this.#comparison,
      repair: this.#repair,
      replaced: (end) => this.#applier.replaced(end),
      isAwaited: (index) => this.#storage.awaits(index),
      isStopped: () => this.#isStopped,
    })
  }

  #newSnapshotOffers(): SnapshotOffers {
    return new SnapshotOffers({
      nodeId: this.nodeId,
      raft: this.#raft,
      snapshots: this.#deps.snapshots,
      transfer: this.#transfer,
      repair: this.#repair,
      appliedEnd: () => this.#applier.appliedEnd,
      hasInstall: () => this.#storage.hasInstall,
      isReplacing: () => this.#isReplacing,
      startSnapshot: () => this.#writer.start(),
      send: (to, message) => this.#deps.send(to, message),
    })
  }
}
