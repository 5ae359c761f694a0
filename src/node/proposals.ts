import { type ErrorCode, type NodeId, noNode, QuorateError, RingQueue } from '../base/index.ts'
import type { Maybe, Time } from '../io/index.ts'
import type { RaftNode } from '../raft/index.ts'
import type { CallOptions, Proposed } from './contract.ts'
import { encodeEnvelope, type Incarnation } from './envelope.ts'
import type { ForwardedCommand, NodeMessage } from './node-message-codec.ts'
import type { GroupLimits } from './options.ts'
import { refusalText, stateLostText, stoppedError } from './refusals.ts'
import { WaitingList } from './waiting-list.ts'

/**
 * The way of a command from the call until its entry comes back to be applied: it waits for the turn, goes with all
 * that wait into the leader's log or in one message to the leader, and its caller is answered from the waiting list.
 *
 * 1. Each command is answered once: by its result, by a refusal that leaves no trace, or by `outcome-unknown`.
 * 2. A command is refused without a trace only while it cannot be in any log: before it went anywhere, or by the leader
 *    that did not take it in. What was on its way when a leadership ended is `outcome-unknown`.
 * 3. A command is sent once. What gets lost is not repeated: its deadline says that nobody knows.
 *
 * `propose` may be called at any time and only queues; the rest is called in the group's turn, and `end` at its end.
 */
export interface ProposalsOptions {
  readonly raft: RaftNode
  readonly time: Time
  readonly limits: GroupLimits
  readonly maybe: Maybe
  /** Of this process: what has it in its envelope is answered here. */
  readonly incarnation: Incarnation
  send(to: NodeId, message: NodeMessage): boolean
  /** A command waits for the next turn. */
  waits(): void
  isStopped(): boolean
  isDiskFull(): boolean
  isStateLost(): boolean
}

interface Proposal {
  readonly sequence: number
  readonly command: Uint8Array
}

export class Proposals<Result> {
  readonly #options: ProposalsOptions
  readonly #queue: RingQueue<Proposal>
  readonly #waiting: WaitingList<Proposed<Result>>
  /** Sent to the leader, and no answer of it was seen yet. */
  readonly #forwarded = new Set<number>()
  /** Begins at a place of its own in each run of the process: a late refusal of an earlier one finds nobody. */
  #lastSequence: number

  constructor(options: ProposalsOptions) {
    this.#options = options
    this.#queue = new RingQueue(options.limits.updateQueueMax)
    this.#waiting = new WaitingList(options.limits.waitingMax)
    this.#lastSequence = options.incarnation.low >>> 2
  }

  /** Commands that wait for the next turn. */
  get queueSize(): number {
    return this.#queue.size
  }

  /** Commands that are not answered yet, wherever they are. */
  get waitingSize(): number {
    return this.#waiting.size
  }

  // ---- in the order of a command's way --------------------------------------------------------------------------

  propose(command: Uint8Array, options: CallOptions): Promise<Proposed<Result>> {
    const refusal = this.#refusal(command)
    if (refusal !== undefined) return Promise.reject(refusal)
    this.#lastSequence++
    const sequence = this.#lastSequence
    const answer = this.#waiting.add(sequence, this.#options.time.monotonicMs() + options.timeoutMs)
    this.#queue.push({ sequence, command })
    this.#options.waits()
    return answer
  }

  /** Everything that waits goes into the log here, or to the leader. */
  proposeWaiting(): void {
    if (this.#queue.size === 0) return
    const batch: Proposal[] = []
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      // Whoever gave up before the command went anywhere: it need not happen.
      if (this.#waiting.has(next.sequence)) batch.push(next)
    }
    if (batch.length === 0) return
    const { raft, incarnation } = this.#options
    const { leader } = raft
    if (this.#options.isStateLost()) this.#refuseBatch(batch, 'no-leader')
    else if (raft.role === 'leader') {
      const code = this.#proposeHere(batch, incarnation)
      if (code !== undefined) this.#refuseBatch(batch, code)
    } else if (leader === noNode) this.#refuseBatch(batch, 'no-leader')
    else this.#forward(leader, batch)
  }

  /** On the leader: the commands that another node forwarded. */
  proposeForwarded(from: NodeId, message: Extract<NodeMessage, { kind: 'forward' }>): void {
    const code = this.#judgeForwarded(message)
    if (code === undefined) return
    const sequences = message.commands.map((command) => command.sequence)
    this.#options.send(from, { kind: 'forwardRefused', code, sequences })
  }

  /** On the leader: a command of this node itself, whose answer nobody waits for. The code says why it was not taken. */
  proposeOwn(command: Uint8Array): ErrorCode | undefined {
    return this.#proposeHere([{ sequence: 0, command }], this.#options.incarnation)
  }

  /** The leader took none of these in. */
  refused(sequences: readonly number[], code: ErrorCode): void {
    for (const sequence of sequences) this.#refuse(sequence, code)
  }

  /** A command was applied here; its caller is answered if it is of this process and waits still. */
  applied(
    origin: { incarnation: Incarnation; sequence: number },
    result: Result,
    at: { index: number; term: number },
  ): void {
    const { incarnation } = this.#options
    if (origin.incarnation.high !== incarnation.high || origin.incarnation.low !== incarnation.low) return
    this.#forwarded.delete(origin.sequence)
    this.#waiting.resolve(origin.sequence, { result, index: at.index, term: at.term })
  }

  // ---- how it ends otherwise ------------------------------------------------------------------------------------

  /** Once a tick: whoever has waited too long hears that nobody knows. */
  tick(nowMs: number): void {
    this.#waiting.expire(
      nowMs,
      'outcome-unknown',
      'no answer in time: the command may or may not have happened',
    )
    for (const sequence of this.#forwarded) if (!this.#waiting.has(sequence)) this.#forwarded.delete(sequence)
  }

  /** Whatever was on its way through the old leadership may or may not arrive: nobody can tell here. */
  leadershipChanged(isLeaderNow: boolean): void {
    if (isLeaderNow && this.#forwarded.size === 0) return
    this.failOnTheWay('the leader changed: the command may or may not have happened')
  }

  /** Nobody will know what becomes of a command that left the queue; what waits in the queue goes on waiting. */
  failOnTheWay(text: string): void {
    const waitingHere = new Set<number>()
    for (let count = this.#queue.size; count > 0; count--) {
      const proposal = this.#queue.shift()
      if (proposal === undefined) break
      waitingHere.add(proposal.sequence)
      this.#queue.push(proposal)
    }
    this.#waiting.rejectWhere((sequence) => !waitingHere.has(sequence), 'outcome-unknown', text)
    this.#forwarded.clear()
  }

  /** The group is at its end. */
  end(text: string): void {
    this.#waiting.rejectAll('outcome-unknown', `${text}: the command may or may not have happened`)
  }

  // ---- steps ----------------------------------------------------------------------------------------------------

  #refusal(command: Uint8Array): QuorateError | undefined {
    const { commandBytesMax } = this.#options.limits
    if (this.#options.isStopped()) return stoppedError()
    if (command.length > commandBytesMax) {
      return new QuorateError(
        'request-too-large',
        `a command of ${command.length} bytes is over ${commandBytesMax}`,
      )
    }
    if (this.#options.isDiskFull()) return new QuorateError('disk-full', 'the disk of this node is full')
    // Its answer would be made by applying it, and that may be left to the snapshot that brings the state.
    if (this.#options.isStateLost()) return new QuorateError('no-leader', stateLostText)
    if (this.#queue.isFull || this.#waiting.isFull || this.#options.maybe('commands-full')) {
      return new QuorateError('overloaded', `${this.#waiting.size} commands are waiting already`)
    }
    return undefined
  }

  #proposeHere(batch: readonly ForwardedCommand[], incarnation: Incarnation): ErrorCode | undefined {
    const timeMs = Math.max(0, Math.floor(this.#options.time.wallMs()))
    const payloads = batch.map(({ sequence, command }) =>
      encodeEnvelope({ timeMs, incarnation, sequence, command }),
    )
    const result = this.#options.raft.propose(payloads)
    if (result.ok) return undefined
    switch (result.reason) {
      case 'not-leader':
      case 'transferring':
        return 'no-leader'
      case 'not-a-voter':
        return 'no-leader'
      case 'overloaded':
      case 'change-in-progress':
        return 'overloaded'
    }
  }

  /** One message to the leader, once: if it gets lost, nobody knows, and the deadline says so. */
  #forward(leader: NodeId, batch: readonly Proposal[]): void {
    const { high, low } = this.#options.incarnation
    let part: Proposal[] = []
    let bytes = 0
    const flush = (): void => {
      if (part.length === 0) return
      if (this.#options.send(leader, { kind: 'forward', high, low, commands: part })) {
        for (const { sequence } of part) this.#forwarded.add(sequence)
      } else this.#refuseBatch(part, 'no-leader')
      part = []
      bytes = 0
    }
    for (const proposal of batch) {
      if (bytes + proposal.command.length > this.#options.limits.appendBytesMax) flush()
      part.push(proposal)
      bytes += proposal.command.length
    }
    flush()
  }

  #judgeForwarded(message: Extract<NodeMessage, { kind: 'forward' }>): ErrorCode | undefined {
    if (this.#options.raft.role !== 'leader' || this.#options.isStateLost()) return 'no-leader'
    const { commandBytesMax } = this.#options.limits
    // The other node may have been started with a larger limit.
    if (message.commands.some(({ command }) => command.length > commandBytesMax)) return 'request-too-large'
    return this.#proposeHere(message.commands, { high: message.high, low: message.low })
  }

  #refuseBatch(batch: readonly Proposal[], code: ErrorCode): void {
    for (const { sequence } of batch) this.#refuse(sequence, code)
  }

  #refuse(sequence: number, code: ErrorCode): void {
    this.#forwarded.delete(sequence)
    this.#waiting.reject(sequence, new QuorateError(code, refusalText(code)))
  }
}
