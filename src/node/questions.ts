import { type ErrorCode, isQuorateError, type NodeId, noNode, QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import type { RaftNode } from '../raft/index.ts'
import type { CallOptions } from './contract.ts'
import type { Incarnation } from './envelope.ts'
import type { Audience, NodeMessage } from './node-message-codec.ts'
import { notLeaderError, refusalText, stoppedError } from './refusals.ts'
import { WaitingList } from './waiting-list.ts'

/**
 * Questions that only the leader can answer and that need no entry in the log. Here if this node leads, else in a message
 * to the leader. Question and answer travel on two connections, either may be lost, and so may each of them where a queue
 * is full. So what a door asks, which may be answered twice, is sent again while it waits, ever more rarely: a leader that
 * is slow is not asked ever more. What a node asks changes the members and is sent once. All end with their deadline,
 * or when the leader changes.
 */
export interface QuestionsOptions {
  readonly raft: RaftNode
  readonly time: Time
  readonly bound: number
  /** How long the first answer may take; each further one has twice the time. */
  readonly repeatMs: number
  readonly incarnation: Incarnation
  send(to: NodeId, message: NodeMessage): boolean
  /** On the leader: answers what another node, and not a door, asks. */
  answerNode(question: Uint8Array): Promise<Uint8Array>
  isStopped(): boolean
  failed(error: unknown): void
}

type Question = Extract<NodeMessage, { kind: 'question' }>
type Answer = Extract<NodeMessage, { kind: 'answer' }>

interface Repeatable {
  readonly question: Question
  pauseMs: number
  dueMs: number
}

export class Questions {
  readonly #options: QuestionsOptions
  /** Sent to the leader and not answered. */
  readonly #waiting: WaitingList<Uint8Array>
  /** Those of them that may be asked again. */
  readonly #repeatable = new Map<number, Repeatable>()
  /** Begins at a place of its own in each run of the process: a late answer to an earlier one finds nobody. */
  #lastId: number
  #answerDoor: ((question: Uint8Array) => Promise<Uint8Array>) | undefined

  constructor(options: QuestionsOptions) {
    this.#options = options
    this.#waiting = new WaitingList(options.bound)
    this.#lastId = options.incarnation.low >>> 2
  }

  get size(): number {
    return this.#waiting.size
  }

  /** On the leader: who answers what the doors ask. */
  setDoorHandler(handler: (question: Uint8Array) => Promise<Uint8Array>): void {
    this.#answerDoor = handler
  }

  /** The leader's answer. Errors: what the leader refused with, `no-leader`, `overloaded`, `stopped`, `timeout`. */
  ask(audience: Audience, bytes: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { raft, time, repeatMs } = this.#options
    if (this.#options.isStopped()) return Promise.reject(stoppedError())
    if (raft.role === 'leader') return this.#answerHere(audience, bytes)
    const { leader } = raft
    if (leader === noNode) return Promise.reject(new QuorateError('no-leader', refusalText('no-leader')))
    if (this.#waiting.isFull)
      return Promise.reject(new QuorateError('overloaded', 'too many questions to the leader'))
    this.#lastId++
    const id = this.#lastId
    const nowMs = time.monotonicMs()
    const answer = this.#waiting.add(id, nowMs + options.timeoutMs)
    const question = { kind: 'question', id, audience, bytes } as const
    if (!this.#options.send(leader, question)) {
      this.#waiting.reject(id, new QuorateError('no-leader', 'the leader cannot be reached'))
    } else if (audience === 'door') {
      this.#repeatable.set(id, { question, pauseMs: repeatMs, dueMs: nowMs + repeatMs })
    }
    return answer
  }

  /** Another node asks. */
  asked(from: NodeId, { id, audience, bytes }: Question): void {
    const reply = (answer: Pick<Answer, 'code' | 'text' | 'bytes'>): void => {
      this.#options.send(from, { kind: 'answer', id, ...answer })
    }
    this.#answerHere(audience, bytes).then(
      (answer) => reply({ code: undefined, text: '', bytes: answer }),
      (error: unknown) => {
        if (!isQuorateError(error)) this.#options.failed(error)
        else reply({ code: error.code, text: error.message, bytes: new Uint8Array(0) })
      },
    )
  }

  answered({ id, code, text, bytes }: Answer): void {
    this.#repeatable.delete(id)
    if (code === undefined) this.#waiting.resolve(id, bytes)
    else this.#waiting.reject(id, new QuorateError(code, text))
  }

  tick(nowMs: number): void {
    this.#waiting.expire(nowMs, 'timeout', 'the leader did not answer in time')
    for (const [id, repeatable] of this.#repeatable) {
      if (!this.#waiting.has(id)) this.#repeatable.delete(id)
      else if (repeatable.dueMs <= nowMs) this.#askAgain(repeatable, nowMs)
    }
  }

  rejectAll(code: ErrorCode, text: string): void {
    this.#repeatable.clear()
    this.#waiting.rejectAll(code, text)
  }

  /** With the next tick once more if it cannot be sent now: a connection that was lost is made again. */
  #askAgain(repeatable: Repeatable, nowMs: number): void {
    if (!this.#options.send(this.#options.raft.leader, repeatable.question)) return
    repeatable.pauseMs *= 2
    repeatable.dueMs = nowMs + repeatable.pauseMs
  }

  async #answerHere(audience: Audience, bytes: Uint8Array): Promise<Uint8Array> {
    const { raft } = this.#options
    if (raft.role !== 'leader') throw notLeaderError(raft.leader)
    if (audience === 'node') return this.#options.answerNode(bytes)
    if (this.#answerDoor === undefined)
      throw new QuorateError('unimplemented', 'nobody answers questions here')
    return this.#answerDoor(bytes)
  }
}
