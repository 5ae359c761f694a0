import { assert, ByteReader, ByteWriter, type LeaseId } from '../base/index.ts'
import type { KeyRange } from '../store/index.ts'
import { decodeAnswer, encodeAnswer } from './answer-codec.ts'
import type { Applied, Refusal, SessionStamp } from './contract.ts'
import { refuse } from './operation-check.ts'
import { prefixRange, type Tables } from './tables.ts'

/** Bounds of what is kept for retries. They decide what is in the state, so they are the same on all replicas. */
export interface SessionLimits {
  readonly answersMax: number
  readonly answerBytesMax: number
  readonly bytesPerSessionMax: number
  readonly bytesMax: number
}

export const defaultSessionLimits: SessionLimits = {
  answersMax: 1024,
  answerBytesMax: 64 * 1024,
  bytesPerSessionMax: 1024 * 1024,
  bytesMax: 64 * 1024 * 1024,
}

interface Session {
  /** Requests below this number are not known any more: answered, or pushed out by the limits. */
  windowStart: number
  answers: number
  bytes: number
}

export const sessionRowsPrefix = 1
export const answerRowsPrefix = 2
const idSize = 8
export const sessionRowKeySize: number = 1 + idSize
export const answerRowKeySize: number = 1 + 2 * idSize

/**
 * Answers by session and request number, in the store; only counts are in memory. Keys of the table `sessions`:
 * 1 | u64 id -> the session; 2 | u64 id | u64 request -> the answer. A session lives as long as the lease with its id.
 */
export class Sessions {
  readonly #tables: Tables
  readonly #limits: SessionLimits
  readonly #sessions = new Map<LeaseId, Session>()
  #bytes = 0

  constructor(tables: Tables, limits: SessionLimits) {
    this.#tables = tables
    this.#limits = limits
  }

  get size(): number {
    return this.#sessions.size
  }

  /** Takes in a row that is in the table, from the store on open or from a snapshot. */
  load(key: Uint8Array, value: Uint8Array): void {
    if (key[0] !== sessionRowsPrefix) return
    const session = decodeSession(value)
    this.#sessions.set(new DataView(key.buffer, key.byteOffset).getBigUint64(1), session)
    this.#bytes += session.bytes
  }

  clear(): void {
    this.#sessions.clear()
    this.#bytes = 0
  }

  /** What a stamped request gets without being done: its old answer or a refusal. Undefined: do it, then `keep`. */
  before(stamp: SessionStamp): Applied | Refusal | undefined {
    const session = this.#sessions.get(stamp.session)
    if (session !== undefined && stamp.answeredBelow > session.windowStart) {
      this.#trim(stamp.session, session, stamp.answeredBelow)
      this.#store(stamp.session, session)
    }
    const windowStart = Math.max(session?.windowStart ?? 0, stamp.answeredBelow)
    if (stamp.request < windowStart) {
      return refuse(
        'request-number-too-old',
        `request ${stamp.request} is below the window at ${windowStart}`,
      )
    }
    if (session === undefined) return undefined
    const answer = this.#tables.get('sessions', answerKey(stamp.session, stamp.request))
    return answer === undefined ? undefined : decodeAnswer(answer)
  }

  /** Keeps the answer to a request that was just done. Returns a hash of what was kept, for the digest. */
  keep(stamp: SessionStamp, answer: Applied): number {
    const id = stamp.session
    const isNew = !this.#sessions.has(id)
    const session = this.#sessions.get(id) ?? { windowStart: stamp.answeredBelow, answers: 0, bytes: 0 }
    if (isNew) this.#sessions.set(id, session)
    let bytes = encodeAnswer(answer)
    if (bytes.length > this.#limits.answerBytesMax || this.#bytes + bytes.length > this.#limits.bytesMax) {
      bytes = encodeAnswer({ revision: answer.revision, result: { kind: 'doneBefore' } })
    }
    const hash = this.#tables.put('sessions', answerKey(id, stamp.request), bytes, undefined)
    this.#count(session, 1, bytes.length)
    this.#pushOut(id, session)
    this.#store(id, session)
    return hash
  }

  /** The lease ended, and with it everything that was kept. */
  remove(id: LeaseId): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#bytes -= session.bytes
    this.#sessions.delete(id)
    this.#tables.deletePresent('sessions', sessionKey(id))
    this.#tables.deletePrefix('sessions', answersPrefix(id))
  }

  /** Over a limit the lowest numbers go first: the client is most likely to have their answers. */
  #pushOut(id: LeaseId, session: Session): void {
    const { answersMax, bytesPerSessionMax } = this.#limits
    while (session.answers > answersMax || session.bytes > bytesPerSessionMax) {
      const [lowest] = this.#tables.range('sessions', { ...answersRange(id, undefined), limit: 1 })
      assert(lowest !== undefined, 'a session over its limit has answers')
      this.#tables.delete('sessions', lowest.key, lowest.value)
      this.#count(session, -1, -lowest.value.length)
      session.windowStart = Math.max(session.windowStart, requestOf(lowest.key) + 1)
    }
  }

  #trim(id: LeaseId, session: Session, below: number): void {
    for (const { key, value } of [...this.#tables.range('sessions', answersRange(id, below))]) {
      this.#tables.delete('sessions', key, value)
      this.#count(session, -1, -value.length)
    }
    session.windowStart = below
  }

  #count(session: Session, answers: number, bytes: number): void {
    session.answers += answers
    session.bytes += bytes
    this.#bytes += bytes
  }

  #store(id: LeaseId, session: Session): void {
    const key = sessionKey(id)
    this.#tables.put('sessions', key, encodeSession(session), this.#tables.get('sessions', key))
  }
}

function sessionKey(id: LeaseId): Uint8Array {
  return prefixed(sessionRowsPrefix, id, 1 + idSize)
}

function answersPrefix(id: LeaseId): Uint8Array {
  return prefixed(answerRowsPrefix, id, 1 + idSize)
}

function answerKey(id: LeaseId, request: number): Uint8Array {
  const key = prefixed(answerRowsPrefix, id, 1 + 2 * idSize)
  new DataView(key.buffer).setBigUint64(1 + idSize, BigInt(request))
  return key
}

function prefixed(prefix: number, id: LeaseId, size: number): Uint8Array {
  const key = new Uint8Array(size)
  key[0] = prefix
  new DataView(key.buffer).setBigUint64(1, id)
  return key
}

/** Answers of a session with numbers below `below`; all of them when it is undefined. */
function answersRange(id: LeaseId, below: number | undefined): KeyRange {
  return below === undefined
    ? prefixRange(answersPrefix(id))
    : { first: answerKey(id, 0), end: answerKey(id, below) }
}

function requestOf(key: Uint8Array): number {
  return Number(new DataView(key.buffer, key.byteOffset).getBigUint64(1 + idSize))
}

function encodeSession(session: Session): Uint8Array {
  const writer = new ByteWriter(24)
  writer.u53(session.windowStart)
  writer.u53(session.answers)
  writer.u53(session.bytes)
  return writer.copy()
}

function decodeSession(value: Uint8Array): Session {
  const reader = new ByteReader(value)
  const session = { windowStart: reader.u53(), answers: reader.u53(), bytes: reader.u53() }
  reader.finish('a session row')
  return session
}
