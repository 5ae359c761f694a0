import { concatBytes, type ErrorCode, hexFromBytes, SeededRandom, utf8Encode } from '../../src/base/index.ts'
import { decodeAnswer, encodeAnswer } from '../../src/consistent-core/answer-codec.ts'
import {
  type Applied,
  type Command,
  type ConsistentCore,
  createConsistentCore,
  decodeCommand,
  encodeCommand,
  type Operation,
  type WriteCommand,
} from '../../src/consistent-core/index.ts'
import { decodeLease, encodeLease, leaseKey } from '../../src/consistent-core/lease-rows.ts'
import {
  decodeRecord,
  encodeLiveRow,
  encodePut,
  encodeTombstone,
  type Record,
  recordSize,
} from '../../src/consistent-core/rows.ts'
import { createMemoryBackend, createStore } from '../../src/store/index.ts'
import type { FuzzTarget } from './target.ts'

const key = utf8Encode('key')
const none = new Uint8Array(0)
const put: Extract<Operation, { kind: 'put' }> = {
  kind: 'put',
  key,
  value: utf8Encode('value'),
  lease: 5n,
  previous: true,
  ignoreValue: false,
  ignoreLease: false,
}
const deleteRange: Extract<Operation, { kind: 'deleteRange' }> = {
  kind: 'deleteRange',
  key,
  rangeEnd: utf8Encode('kez'),
  previous: true,
}
const range: Operation = {
  kind: 'range',
  key,
  rangeEnd: none,
  limit: 10,
  revision: 0,
  sortOrder: 'descend',
  sortTarget: 'mod',
  keysOnly: true,
  countOnly: false,
  modRevisionMin: 0,
  modRevisionMax: 2 ** 40,
  createRevisionMin: -1,
  createRevisionMax: 0,
}
const transaction: Extract<Operation, { kind: 'transaction' }> = {
  kind: 'transaction',
  compare: [
    { key, rangeEnd: none, target: 'mod', result: 'equal', number: 3, value: none, lease: 0n },
    { key, rangeEnd: none, target: 'value', result: 'less', number: 0, value: key, lease: 0n },
    { key, rangeEnd: none, target: 'lease', result: 'notEqual', number: 0, value: none, lease: 9n },
  ],
  success: [put, range, { kind: 'transaction', compare: [], success: [deleteRange], failure: [] }],
  failure: [deleteRange],
}
const writes: readonly WriteCommand[] = [
  put,
  deleteRange,
  transaction,
  { kind: 'compact', revision: 12 },
  { kind: 'leaseGrant', id: 7n, ttlSeconds: 60 },
  { kind: 'leaseRevoke', id: 7n, expired: true },
  { kind: 'leaseCheckpoint', leases: [{ id: 7n, remainingSeconds: 30 }] },
]
const commands: readonly Command[] = writes.flatMap((write) => [
  { session: undefined, write },
  { session: { session: 3n, request: 300, answeredBelow: 2 }, write },
])

const pair = { key, value: key, createRevision: 2, modRevision: 3, version: 2, lease: 2n ** 64n - 1n }
const putResult = { kind: 'put' as const, previous: pair, revision: 4 }
const rangeResult = { kind: 'range' as const, pairs: [pair, pair], count: 9, more: true, revision: 4 }
const results: readonly Applied['result'][] = [
  putResult,
  { kind: 'deleteRange', deleted: 2, previous: [pair], revision: 4 },
  { kind: 'transaction', succeeded: true, results: [rangeResult, putResult], revision: 4 },
  { kind: 'leaseGrant', id: 5n, ttlSeconds: 9_000_000_000 },
  { kind: 'done' },
  { kind: 'doneBefore' },
  { kind: 'refused', code: 'lease-exists', detail: 'why' },
]
const malformed: readonly ErrorCode[] = ['frame-malformed', 'format-unsupported']
const record: Record = { isPut: true, key, value: key, createRevision: 1, version: 1, lease: 7n }
const leaseId = 7n

function createCore(): ConsistentCore {
  const schedule = (finishWork: () => void): Promise<void> => {
    finishWork()
    return Promise.resolve()
  }
  const backend = createMemoryBackend({ schedule, random: new SeededRandom(1) })
  return createConsistentCore({ store: createStore(backend) })
}

function stateOf(core: ConsistentCore): Uint8Array {
  const source = core.openSnapshot()
  const chunks: Uint8Array[] = []
  for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) chunks.push(chunk.slice())
  source.done()
  return concatBytes(chunks)
}

/** A state of `count` puts under a lease that is a session, too, with a deletion and a compaction. */
function drawState(count: number): Uint8Array {
  const core = createCore()
  const run = (write: WriteCommand, request = 0): void => {
    const session = request === 0 ? undefined : { session: leaseId, request, answeredBelow: 0 }
    core.apply({
      index: core.appliedIndex + 1,
      term: 1,
      timeMs: 0,
      payload: encodeCommand({ session, write }),
    })
  }
  run({ kind: 'leaseGrant', id: leaseId, ttlSeconds: 60 })
  for (let i = 1; i <= count; i++)
    run({ ...put, key: utf8Encode(`k${i % 3}`), lease: i % 2 === 0 ? leaseId : 0n, previous: false }, i)
  if (count > 2) run({ ...deleteRange, key: utf8Encode('k1'), rangeEnd: none })
  if (count > 4) run({ kind: 'compact', revision: 4 })
  return stateOf(core)
}

/** What a row of `revisions` begins with. */
function encodeRecord(one: Record): Uint8Array {
  const row = one.isPut ? encodePut(one, liveRow) : encodeTombstone(one.key, liveRow)
  return row.slice(0, recordSize(row))
}

const liveRow = encodeLiveRow({ modRevision: 7, sub: 1, createRevision: 3, version: 2, lease: 0n })

/** What the state machine reads: commands from the log, rows of its store, and a snapshot of the whole state. */
export function coreTargets(): FuzzTarget[] {
  return [
    {
      name: 'core.command',
      seeds: commands.map((command) => encodeCommand(command).slice()),
      read: decodeCommand,
      write: (command: Command) => encodeCommand(command).slice(),
      refusals: malformed,
    },
    {
      name: 'core.answer',
      seeds: results.map((result) => encodeAnswer({ revision: 4, result })),
      read: decodeAnswer,
      write: encodeAnswer,
      refusals: [...malformed, 'data-damaged'],
    },
    {
      name: 'core.record',
      seeds: [record, { ...record, lease: 0n }, { ...record, isPut: false }].map(encodeRecord),
      read: decodeRecord,
      write: encodeRecord,
      refusals: ['data-damaged', 'frame-malformed'],
    },
    {
      name: 'core.snapshot',
      seeds: [0, 1, 3, 6].map(drawState),
      read: (input) => {
        const core = createCore()
        const restoring = core.beginRestore()
        const middle = input.length >> 1
        restoring.write(input.slice(0, middle))
        restoring.write(input.slice(middle))
        restoring.finish()
        return stateOf(core)
      },
      write: (state: Uint8Array) => state,
      refusals: [...malformed, 'data-damaged'],
    },
    {
      name: 'core.lease',
      seeds: [encodeLease({ id: leaseId, ttlSeconds: 60, remainingSeconds: 30 })],
      read: (input) => decodeLease(leaseKey(leaseId), input),
      write: encodeLease,
      refusals: ['frame-malformed'],
      judge: ({ id }: { id: bigint }) => (id === leaseId ? undefined : `another lease: ${hexFromBytes(key)}`),
    },
  ]
}
