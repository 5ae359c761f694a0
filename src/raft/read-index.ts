import { assert, type NodeId, noNode } from '../base/index.ts'
import { isSoleVoter } from './configuration.ts'
import { type Core, isSettled, type Leadership, send, type WaitingRead } from './core.ts'
import { hasQuorum } from './quorum.ts'
import { broadcastHeartbeats } from './replication.ts'
import type { ReadIndexRequest, ReadIndexResponse } from './types.ts'

/** Readers that may wait at once; more are turned away. */
const waitingReadsMax = 65_536

/** A reader of this node asks. It waits for a round that begins after now. */
export function askReadIndex(core: Core, request: number): void {
  assert(Number.isSafeInteger(request), 'a read is asked for by a number')
  if (core.leader === noNode || !enqueue(core, { from: core.id, request })) {
    core.outbox.readFailures.push(request)
  }
}

/** A follower asks for its readers. Without room it gets no answer and asks again with a new number. */
export function handleReadIndexRequest(core: Core, leadership: Leadership, request: ReadIndexRequest): void {
  if (leadership.peers.has(request.from)) enqueue(core, { from: request.from, request: request.request })
}

export function handleReadIndexResponse(core: Core, response: ReadIndexResponse): void {
  const { forward } = core.reads
  if (forward === undefined || forward.number !== response.request) return
  core.reads.forward = undefined
  for (const { request } of forward.waiting) {
    core.outbox.readStates.push({ request, index: response.index })
  }
}

/** One tick of a follower: an answer that stays away is asked for again, under a new number. */
export function tickReads(core: Core): void {
  const { forward } = core.reads
  if (forward === undefined || ++forward.elapsed < core.options.electionTicks) return
  core.reads.forward = undefined
  core.reads.queued = [...forward.waiting, ...core.reads.queued]
}

/** Whether a round or a request to the leader can begin for those that wait. */
export function isReadDue(core: Core): boolean {
  const { queued, batch, forward } = core.reads
  if (queued.length === 0 || batch !== undefined || forward !== undefined) return false
  return core.leadership !== undefined ? isSettled(core) : core.leader !== noNode
}

/** Begins a round for all that wait. Called once a `ready`, so that what gathered shares it. */
export function flushReads(core: Core): void {
  if (!isReadDue(core)) return
  const waiting = core.reads.queued
  core.reads.queued = []
  if (core.leadership === undefined) forwardReads(core, waiting)
  else if (isSoleVoter(core.configurations.current, core.id)) answer(core, waiting, core.commitIndex)
  else {
    const round = broadcastHeartbeats(core, core.leadership)
    core.reads.batch = { round, index: core.commitIndex, waiting }
  }
}

/** Answers the present round once a quorum confirmed, after it began, that this node leads. */
export function confirmRound(core: Core, leadership: Leadership): void {
  const { batch } = core.reads
  if (batch === undefined) return
  assert(isSettled(core), 'a round begins only once the leader knows every commit')
  const isConfirmed = hasQuorum(
    core.configurations.current,
    (id: NodeId) => id === core.id || (leadership.peers.get(id)?.ackedRound ?? 0) >= batch.round,
  )
  if (!isConfirmed) return
  core.reads.batch = undefined
  answer(core, batch.waiting, batch.index)
}

/** The leader is lost: this node's readers are told, those of other nodes find out by themselves. */
export function failReads(core: Core): void {
  const { queued, batch, forward } = core.reads
  for (const waiting of [forward?.waiting, batch?.waiting, queued]) {
    for (const { from, request } of waiting ?? []) {
      if (from === core.id) core.outbox.readFailures.push(request)
    }
  }
  core.reads.queued = []
  core.reads.batch = undefined
  core.reads.forward = undefined
}

function enqueue(core: Core, read: WaitingRead): boolean {
  const { queued, batch, forward } = core.reads
  const count = queued.length + (batch?.waiting.length ?? 0) + (forward?.waiting.length ?? 0)
  if (count >= waitingReadsMax) return false
  queued.push(read)
  return true
}

function forwardReads(core: Core, waiting: WaitingRead[]): void {
  assert(core.reads.forward === undefined, 'one request to the leader is under way')
  const number = core.reads.nextForward++
  core.reads.forward = { number, elapsed: 0, waiting }
  const { id: from, leader: to, term } = core
  send(core, { kind: 'readIndexRequest', from, to, term, request: number })
}

function answer(core: Core, waiting: readonly WaitingRead[], index: number): void {
  assert(index <= core.commitIndex, 'a read sees only what is committed')
  for (const { from, request } of waiting) {
    if (from === core.id) core.outbox.readStates.push({ request, index })
    else {
      send(core, { kind: 'readIndexResponse', from: core.id, to: from, term: core.term, request, index })
    }
  }
}
