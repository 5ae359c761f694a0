import { ByteReader, ByteWriter, isQuorateError, type LeaseId, QuorateError } from '../base/index.ts'
import { encodeCommand } from '../consistent-core/index.ts'
import { sleep } from '../io/index.ts'
import type { CallOptions } from '../node/index.ts'
import type { EtcdDependencies } from './dependencies.ts'

/**
 * What only the leader knows about leases, asked by any member and answered without a log entry. The format, with
 * examples, is docs/formats/lease-question.md.
 *
 *   question  u8 version = 1 | u8 kind (1 renew, 2 remaining) | varint count | count x u64 lease id
 *   answer    count x varint: 0 the leader knows no such lease, else 1 + whole seconds left
 *
 * Both stay small: `leasesPerQuestionMax` ids.
 */
export const leasesPerQuestionMax = 1024

const version = 1
const kinds = { renew: 1, remaining: 2 } as const
export type LeaseQuestion = keyof typeof kinds

/** Between two attempts while the leadership changes hands. */
const retryDelayMs = 50

/**
 * Seconds left of each lease, undefined for one that the leader does not know; `renew` gives each its full time
 * first. While the leadership changes hands it asks again, until the time is up: then `leader-changed` or what
 * the last attempt said, never a wrong number.
 */
export async function askAboutLeases(
  from: EtcdDependencies,
  question: LeaseQuestion,
  leases: readonly LeaseId[],
  options: CallOptions,
): Promise<(number | undefined)[]> {
  const { group, time } = from
  const asked = encodeQuestion(question, leases)
  const endMs = time.monotonicMs() + options.timeoutMs
  for (;;) {
    const left = { timeoutMs: Math.max(endMs - time.monotonicMs(), 1) }
    try {
      const answer = group.isSettledLeader
        ? await answerQuestion(from, asked, left)
        : await group.askLeader(asked, left)
      return decodeAnswer(answer, leases.length)
    } catch (error) {
      const isPassing = isQuorateError(
        error,
        'not-leader',
        'no-leader',
        'leader-changed',
        'connect-failed',
        'connection-lost',
      )
      if (!isPassing) throw error
      if (time.monotonicMs() + retryDelayMs >= endMs) {
        throw error.code === 'no-leader' ? error : new QuorateError('leader-changed', error.message)
      }
    }
    await sleep(time, retryDelayMs)
  }
}

/**
 * The leader's side. The quorum round begins after the question came, so a leader that was replaced in the meantime
 * renews nothing; and what was committed by then is applied, so a lease that is unknown here is unknown.
 */
export async function answerQuestion(
  from: EtcdDependencies,
  bytes: Uint8Array,
  options: CallOptions,
): Promise<Uint8Array> {
  const { kind, leases } = decodeQuestion(bytes)
  await from.group.confirmLeadership(options)
  const answer = lookUp(from, kind, leases)
  if (kind === 'renew') await takeBackCheckpoints(from, leases, options)
  const writer = new ByteWriter(leases.length * 3)
  for (const seconds of answer) writer.varint(seconds === undefined ? 0 : seconds + 1)
  return writer.copy()
}

/** A renewal that is told holds under the next leader, too, which begins with what the last checkpoint left. */
async function takeBackCheckpoints(
  from: EtcdDependencies,
  leases: readonly LeaseId[],
  options: CallOptions,
): Promise<void> {
  const shortened = leases.filter((id) => from.core.isCheckpointed(id))
  if (shortened.length === 0) return
  const write = {
    kind: 'leaseCheckpoint',
    leases: shortened.map((id) => ({ id, remainingSeconds: 0 })),
  } as const
  try {
    await from.group.propose(encodeCommand({ session: undefined, write }), options)
  } catch (error) {
    if (!isQuorateError(error, 'outcome-unknown')) throw error
    throw new QuorateError('leader-changed', 'the renewal was not made durable here')
  }
}

function lookUp(
  from: EtcdDependencies,
  kind: LeaseQuestion,
  leases: readonly LeaseId[],
): (number | undefined)[] {
  if (!from.group.isSettledLeader) throw new QuorateError('leader-changed', 'another member leads now')
  const nowMs = from.time.monotonicMs()
  if (kind === 'remaining') return leases.map((id) => remaining(from, id, nowMs))
  return leases.map((id) => from.core.renewLease(id, nowMs) || undefined)
}

/** A new leader is settled before its clocks run: until then a lease that exists is not unknown, nobody can tell its time. */
function remaining(from: EtcdDependencies, id: LeaseId, nowMs: number): number | undefined {
  const lease = from.core.lease(id, nowMs)
  if (lease !== undefined && lease.remainingSeconds === undefined)
    throw new QuorateError('not-leader', 'the clocks of the leases do not run here yet')
  return lease?.remainingSeconds
}

function encodeQuestion(question: LeaseQuestion, leases: readonly LeaseId[]): Uint8Array {
  const writer = new ByteWriter(4 + 8 * leases.length)
  writer.u8(version)
  writer.u8(kinds[question])
  writer.varint(leases.length)
  for (const id of leases) writer.u64(id)
  return writer.copy()
}

function decodeQuestion(bytes: Uint8Array): { kind: LeaseQuestion; leases: LeaseId[] } {
  const reader = new ByteReader(bytes)
  const given = reader.u8()
  if (given !== version) throw new QuorateError('format-unsupported', `lease question of version ${given}`)
  const number = reader.u8()
  const kind = number === kinds.renew ? 'renew' : number === kinds.remaining ? 'remaining' : undefined
  const count = reader.varint()
  if (kind === undefined || count > leasesPerQuestionMax || reader.remaining !== 8 * count) {
    throw new QuorateError('frame-malformed', 'a lease question has a known kind and as many ids as it says')
  }
  const leases: LeaseId[] = []
  for (let i = 0; i < count; i++) leases.push(reader.u64())
  return { kind, leases }
}

function decodeAnswer(bytes: Uint8Array, count: number): (number | undefined)[] {
  const reader = new ByteReader(bytes)
  const answer: (number | undefined)[] = []
  for (let i = 0; i < count; i++) {
    const seconds = reader.varint()
    answer.push(seconds === 0 ? undefined : seconds - 1)
  }
  reader.finish('the answer to a lease question')
  return answer
}
