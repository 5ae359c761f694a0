import type { ErrorCode } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import type { RaftNode } from '../raft/index.ts'
import type { StateMachine } from './state-machine.ts'

/**
 * What the state machine wants its leader to do, and when it may. Duties are taken up only once
 *
 * 1. the leadership is settled,
 * 2. everything is applied that the log held when they came due: a revoke or a checkpoint in it counts, whether the
 *    leader before left it there or this one before a pause,
 * 3. and after a pause of this node, a round that began afterwards has proved the leadership.
 */
export interface DutiesOptions {
  readonly raft: RaftNode
  readonly time: Time
  readonly machine: Pick<StateMachine<unknown>, 'appliedIndex' | 'leader'>
  isSettledLeader(): boolean
  /** The code says why the command was not taken. */
  propose(command: Uint8Array): ErrorCode | undefined
  /** Tells `ended`, in a turn of the group, whether a quorum round that begins now has confirmed the leadership. */
  confirmLeadership(ended: (isConfirmed: boolean) => void): void
}

export class Duties {
  readonly #options: DutiesOptions
  #isOnDuty = false
  /** Duties begin once this is applied. */
  #beginAfter: number | undefined
  /** Pauses of this node since it last proved its leadership. */
  #pauses = 0
  #isProving = false

  constructor(options: DutiesOptions) {
    this.#options = options
  }

  /** Once a tick. `wasPaused`: the node was late by so much that it may have been deposed without knowing it. */
  tick(nowMs: number, wasPaused: boolean): void {
    const duties = this.#options.machine.leader
    if (!this.#options.isSettledLeader()) return
    if (wasPaused) {
      if (this.#isOnDuty) duties.suspend()
      this.#isOnDuty = false
      this.#beginAfter = undefined
      this.#pauses++
    }
    if (this.#pauses > 0) {
      this.#proveLeadership()
      return
    }
    if (!this.#isOnDuty) {
      this.#takeUp()
      return
    }
    for (const command of duties.tick(nowMs)) {
      if (this.#options.propose(command) !== undefined) duties.refused(command)
    }
  }

  /** The leadership is over. */
  deposed(): void {
    this.end()
    this.#beginAfter = undefined
  }

  /** Also where they rest after a pause: clocks of this leadership must not answer in the next one. */
  end(): void {
    this.#options.machine.leader.stop()
    this.#isOnDuty = false
  }

  #proveLeadership(): void {
    if (this.#isProving) return
    this.#isProving = true
    const pauses = this.#pauses
    this.#options.confirmLeadership((isConfirmed) => {
      this.#isProving = false
      if (isConfirmed && this.#pauses === pauses) this.#pauses = 0
    })
  }

  #takeUp(): void {
    const { raft, machine, time } = this.#options
    this.#beginAfter ??= raft.lastIndex
    if (machine.appliedIndex < this.#beginAfter) return
    this.#isOnDuty = true
    machine.leader.start(time.monotonicMs())
  }
}
