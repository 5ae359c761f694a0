import { type ErrorCode, hexFromBytes, utf8Encode } from '../../src/base/index.ts'
import { decodeAnswer, encodeAnswer } from '../../src/consistent-core/answer-codec.ts'
import {
  type Applied,
  type Command,
  decodeCommand,
  encodeCommand,
  type Operation,
  type WriteCommand,
} from '../../src/consistent-core/index.ts'
import { decodeLease, encodeLease, leaseKey } from '../../src/consistent-core/lease-rows.ts'
import { decodeRecord, encodePut, encodeTombstone, type Record } from '../../src/consistent-core/rows.ts'
import type { FuzzTarget } from './target.ts'

const key = utf8Encode('key')
const none = new Uint8Array(0)
const put: Operation = {
  kind: 'put',
  key,
  value: utf8Encode('value'),
  lease: 5n,
  previous: true,
  ignoreValue: false,
  ignoreLease: false,
}
const deleteRange: Operation = { kind: 'deleteRange', key, rangeEnd: utf8Encode('kez'), previous: true }
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

/** What the state machine reads: commands from the log, and rows of its store. */
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
      seeds: [encodePut(record), encodePut({ ...record, lease: 0n }), encodeTombstone(key)],
      read: decodeRecord,
      write: (one: Record) => (one.isPut ? encodePut(one) : encodeTombstone(one.key)),
      refusals: ['data-damaged', 'frame-malformed'],
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
