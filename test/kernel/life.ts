// A scripted life of one node, small enough that every call it makes to the disk can be a place to die: writes of all
// kinds, leases, a session, compaction, segments that roll and go, snapshots, orderly and sudden ends, a store that is
// rebuilt. Each phase starts from the directory that the phase before left.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { ProcessNode } from '../processes/harness.ts'
import type { MethodName } from '../support/etcd-messages.ts'
import type { Answer } from '../support/grpc-client.ts'
import { bytes, prefixRange, revisionOf } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { type Attempt, type Change, type History, newHistory } from './history.ts'
import { putRequest, sessionMetadata } from './observe.ts'

const callDeadlineMs = 30_000
const readyDeadlineMs = 60_000
const neverSize = 6_000
const neverAtOnce = 4
const roundsMin = 6
const roundsMax = 400
const sessionLease = 7777n

export const smallFiles: readonly string[] = [
  ...['--wal-segment-bytes', '65536'],
  ...['--snapshot-count', '20', '--snapshot-log-bytes', '20000'],
]

export const lifeFlags: readonly string[] = [
  // Who it is must not depend on the ports of the moment: a directory is copied from one place to another.
  ...['--initial-advertise-peer-urls', 'http://n1.invalid:2380'],
  ...['--advertise-client-urls', 'http://n1.invalid:2379'],
  ...smallFiles,
  ...['--log-level', 'warn'],
]

/** The node ended while something was asked of it, or would not start. */
export class NodeEnded extends Error {}

/** It said no. Whether the write happened is taken as unknown all the same. */
export class Refused extends Error {
  readonly code: number

  constructor(answer: Answer) {
    super(`code ${answer.code} ${answer.text}`)
    this.code = answer.code
  }
}

export class Life {
  readonly node: ProcessNode
  readonly history: History
  /** Whether something has gone wrong by now; what is asked after that and answered with success is counted. */
  isDisturbed: () => boolean = () => false
  answersAfterDisturbance = 0

  constructor(node: ProcessNode, history: History = newHistory()) {
    this.node = node
    this.history = history
  }

  async start(): Promise<void> {
    this.node.start()
    try {
      await this.node.program.printed('ready to serve client requests', readyDeadlineMs)
    } catch (error) {
      throw new NodeEnded(error instanceof Error ? error.message : String(error))
    }
  }

  /** An orderly end; the sweeps may make it another one. */
  async stop(): Promise<void> {
    const { signal } = await this.node.end('SIGTERM')
    if (signal !== null) throw new NodeEnded(`it ended by ${signal}`)
  }

  async put(key: string, text = '', lease = 0n): Promise<void> {
    const change = { type: 'put', key, value: `${text}#${this.history.attempts.length}`, lease } as const
    await this.#write('put', putRequest(change), [change])
  }

  async putAtOnce(keys: readonly string[]): Promise<void> {
    const all = await Promise.allSettled(keys.map((key) => this.put(key)))
    for (const outcome of all) if (outcome.status === 'rejected') throw outcome.reason
  }

  async transaction(keys: readonly string[]): Promise<void> {
    const value = `txn#${this.history.attempts.length}`
    const puts = keys.map((key) => ({ type: 'put', key, value, lease: 0n }) as const)
    const success = puts.map((put) => ({ request_put: putRequest(put) }))
    await this.#write('txn', { success }, puts)
  }

  /** `keys`: what stands below the prefix, in order; all of it was acknowledged. */
  async deletePrefix(prefix: string, keys: readonly string[]): Promise<void> {
    const changes = keys.map((key) => ({ type: 'delete', key }) as const)
    await this.#write('deleteRange', prefixRange(prefix), changes)
  }

  async grant(id: bigint): Promise<void> {
    const lease = { granted: 'unknown', revoked: 'no' } as { granted: 'unknown' | 'yes'; revoked: 'no' }
    this.history.leases.set(id, lease)
    await this.call('leaseGrant', { TTL: 3_600, ID: id })
    lease.granted = 'yes'
  }

  async revoke(id: bigint, keys: readonly string[]): Promise<void> {
    const lease = this.history.leases.get(id)
    if (lease === undefined) throw new Error('only what was granted is revoked')
    lease.revoked = 'unknown'
    await this.#write(
      'leaseRevoke',
      { ID: id },
      keys.map((key) => ({ type: 'delete', key }) as const),
    )
    lease.revoked = 'yes'
  }

  /** The same write twice under one number of a session: one change, one answer. */
  async putTwice(request: number): Promise<void> {
    const { attempts } = this.history
    const value = `session#${attempts.length}`
    const change = { type: 'put', key: 'session', value, lease: 0n } as const
    const attempt: Attempt = { changes: [change], revision: undefined }
    attempts.push(attempt)
    this.history.session = { id: sessionLease, request, attempt }
    const metadata = sessionMetadata(sessionLease, request)
    attempt.revision = revisionOf(await this.call('put', putRequest(change), metadata))
    const again = revisionOf(await this.call('put', putRequest(change), metadata))
    if (again !== attempt.revision) throw new Error(`a retry in a session got revision ${again}`)
  }

  async compact(behind: number): Promise<void> {
    const last = this.history.attempts.findLast(({ revision }) => revision !== undefined)?.revision ?? 0
    const compaction = { revision: last - behind, isAnswered: false }
    this.history.compactions.push(compaction)
    await this.call('compact', { revision: compaction.revision, physical: true })
    compaction.isAnswered = true
  }

  /** The log grows and the state does not, so segments roll, snapshots become due, and old files go. */
  async grow(name: string): Promise<void> {
    const before = (await this.#lowWaterMark()) ?? 0
    const key = bytes('never')
    const put = { request_put: { key, value: new Uint8Array(neverSize) } }
    const request = { compare: [{ key, target: 0, result: 0, version: 99 }], success: [put] }
    for (let round = 0; round < roundsMax; round++) {
      await Promise.all(Array.from({ length: neverAtOnce }, () => this.call('txn', request)))
      await this.put(`${name}/${round}`)
      const mark = await this.#lowWaterMark()
      if (mark === undefined) throw new NodeEnded('it ended while its log grew')
      if (round >= roundsMin && mark > before) return
    }
    throw new Error(`the log is not released after ${roundsMax} rounds`)
  }

  async call(name: MethodName, request: Message, metadata: Record<string, string> = {}): Promise<Message> {
    const isDisturbed = this.isDisturbed()
    const answer = await this.node.client.call(name, request, callDeadlineMs, metadata)
    if (answer.lost) throw new NodeEnded(answer.text)
    if (answer.code !== 0) throw new Refused(answer)
    if (isDisturbed) this.answersAfterDisturbance++
    return answer.message
  }

  async #write(name: MethodName, request: Message, changes: readonly Change[]): Promise<void> {
    const attempt: Attempt = { changes, revision: undefined }
    this.history.attempts.push(attempt)
    attempt.revision = revisionOf(await this.call(name, request))
  }

  /** Undefined when it does not answer because it has ended. */
  async #lowWaterMark(): Promise<number | undefined> {
    try {
      return (await this.node.status()).group.lowWaterMark
    } catch {
      // It ends, or its store does not answer any more and it will.
      await this.node.ended()
      return undefined
    }
  }
}

export interface Phase {
  readonly name: string
  run(life: Life): Promise<void>
}

export const phases: readonly Phase[] = [
  {
    name: 'first-start',
    async run(life) {
      await life.start()
      for (const key of ['a', 'b', 'c', 'a']) await life.put(key)
      await life.transaction(['t/1', 't/2', 'b'])
      await life.deletePrefix('c', ['c'])
      await life.deletePrefix('t/', ['t/1', 't/2'])
      await life.grant(11n)
      await life.put('leased/1', '', 11n)
      await life.grant(12n)
      await life.put('leased/2', '', 12n)
      await life.revoke(12n, ['leased/2'])
      await life.grant(sessionLease)
      await life.putTwice(1)
      await life.putTwice(2)
      await life.putAtOnce(['p/1', 'p/2', 'p/3', 'p/4', 'p/5', 'p/6'])
      await life.compact(4)
      await life.put('a')
      await life.stop()
    },
  },
  {
    name: 'segments-and-snapshots',
    async run(life) {
      await life.start()
      await life.put('a')
      await life.grow('g1')
      await life.deletePrefix('b', ['b'])
      await life.put('b')
      // Sudden, with nothing under way: what comes back next has to read its store through.
      await life.node.end('SIGKILL')
    },
  },
  {
    name: 'after-a-kill',
    async run(life) {
      await life.start()
      await life.put('a')
      await life.putTwice(3)
      await life.grow('g2')
      await life.compact(3)
      await life.grow('g3')
      await life.put('a')
      await life.stop()
    },
  },
  {
    name: 'store-rebuilt',
    async run(life) {
      rmSync(join(life.node.directory, 'store'), { recursive: true, force: true })
      await life.start()
      await life.put('a')
      await life.stop()
    },
  },
]

export function newNode(directory: string, ports: readonly number[]): ProcessNode {
  return new ProcessNode('n1', directory, ports, lifeFlags)
}
