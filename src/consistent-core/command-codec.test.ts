import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { bytesFromHex, hexFromBytes, isQuorateError, QuorateError, utf8Encode } from '../base/index.ts'
import { decodeAnswer, encodeAnswer } from './answer-codec.ts'
import type { Applied, Command, Operation } from './contract.ts'
import { decodeCommand, encodeCommand, transactionDepthMax } from './index.ts'

/** Objects as the program makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
const bytes = fc.uint8Array({ maxLength: 20 })
const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const count = fc.maxSafeNat()
const number = fc.maxSafeInteger()
const flag = fc.boolean()
const interval = { key: bytes, rangeEnd: bytes }
const put = record({
  kind: fc.constant('put' as const),
  key: bytes,
  value: bytes,
  lease: id,
  previous: flag,
  ignoreValue: flag,
  ignoreLease: flag,
})
const deleteRange = record({ kind: fc.constant('deleteRange' as const), ...interval, previous: flag })
const range = record({
  kind: fc.constant('range' as const),
  ...interval,
  limit: number,
  revision: number,
  sortOrder: fc.constantFrom('none' as const, 'ascend' as const, 'descend' as const),
  sortTarget: fc.constantFrom(
    'key' as const,
    'version' as const,
    'create' as const,
    'mod' as const,
    'value' as const,
  ),
  keysOnly: flag,
  countOnly: flag,
  modRevisionMin: number,
  modRevisionMax: number,
  createRevisionMin: number,
  createRevisionMax: number,
})
const result = fc.constantFrom('equal' as const, 'greater' as const, 'less' as const, 'notEqual' as const)
const compare = fc.oneof(
  record({
    ...interval,
    target: fc.constantFrom('version' as const, 'create' as const, 'mod' as const),
    result,
    number,
    value: fc.constant(new Uint8Array(0)),
    lease: fc.constant(0n),
  }),
  record({
    ...interval,
    target: fc.constant('value' as const),
    result,
    number: fc.constant(0),
    value: bytes,
    lease: fc.constant(0n),
  }),
  record({
    ...interval,
    target: fc.constant('lease' as const),
    result,
    number: fc.constant(0),
    value: fc.constant(new Uint8Array(0)),
    lease: id,
  }),
)
const { operation, transaction } = fc.letrec<{
  operation: Operation
  transaction: Extract<Operation, { kind: 'transaction' }>
}>((tie) => ({
  operation: fc.oneof({ maxDepth: 3 }, put, deleteRange, range, tie('transaction')),
  transaction: record({
    kind: fc.constant('transaction' as const),
    compare: fc.array(compare, { maxLength: 3 }),
    success: fc.array(tie('operation'), { maxLength: 3 }),
    failure: fc.array(tie('operation'), { maxLength: 3 }),
  }),
}))
assert.ok(operation)
const command: fc.Arbitrary<Command> = record({
  session: fc.option(record({ session: id, request: count, answeredBelow: count }), { nil: undefined }),
  write: fc.oneof(
    put,
    deleteRange,
    transaction,
    record({ kind: fc.constant('compact' as const), revision: number }),
    record({ kind: fc.constant('leaseGrant' as const), id, ttlSeconds: number }),
    record({ kind: fc.constant('leaseRevoke' as const), id, expired: flag }),
    record({
      kind: fc.constant('leaseCheckpoint' as const),
      leases: fc.array(record({ id, remainingSeconds: count }), { maxLength: 4 }),
    }),
  ),
})

test('every command comes back as it was', () => {
  fc.assert(
    fc.property(command, (one) => {
      assert.deepEqual(decodeCommand(encodeCommand(one)), one)
    }),
    { numRuns: 300 },
  )
})

test('a command that is cut or changed is refused by name, never by accident', () => {
  fc.assert(
    fc.property(command, fc.nat(), fc.nat({ max: 255 }), (one, place, byte) => {
      const whole = encodeCommand(one)
      const at = place % whole.length
      assert.throws(() => decodeCommand(whole.slice(0, at)), { code: 'frame-malformed' })
      const changed = whole.slice()
      changed[at] = byte
      try {
        decodeCommand(changed)
      } catch (error) {
        assert.ok(isQuorateError(error, 'frame-malformed', 'format-unsupported'), String(error))
      }
    }),
    { numRuns: 300 },
  )
})

test('unknown versions, kinds and flags stop by name', () => {
  const whole = encodeCommand({ session: undefined, write: { kind: 'compact', revision: 5 } })
  for (const [at, byte] of [
    [0, 2],
    [1, 99],
    [2, 2],
  ] as const) {
    const changed = whole.slice()
    changed[at] = byte
    assert.throws(() => decodeCommand(changed), { code: 'format-unsupported' })
  }
  assert.throws(() => decodeCommand(Uint8Array.of(...whole, 0)), { code: 'frame-malformed' })
})

test('nesting has a limit on both sides', () => {
  let nested: Extract<Operation, { kind: 'transaction' }> = {
    kind: 'transaction',
    compare: [],
    success: [],
    failure: [],
  }
  for (let depth = 1; depth < transactionDepthMax; depth++) {
    nested = { kind: 'transaction', compare: [], success: [nested], failure: [] }
  }
  decodeCommand(encodeCommand({ session: undefined, write: nested }))
  const deeper = { kind: 'transaction' as const, compare: [], success: [nested], failure: [] }
  assert.throws(() => decodeCommand(encodeCommand({ session: undefined, write: deeper })), QuorateError)
})

// Commands of version 1 as they stand in logs: these bytes are read for ever.
const examples: readonly [Command, string][] = [
  [
    {
      session: { session: 7n, request: 300, answeredBelow: 2 },
      write: {
        kind: 'put',
        key: utf8Encode('key'),
        value: utf8Encode('value'),
        lease: 5n,
        previous: true,
        ignoreValue: false,
        ignoreLease: false,
      },
    },
    '010101' + '0700000000000000ac0202' + '09050000000000000003' + '6b6579' + '0576616c7565',
  ],
  [{ session: undefined, write: { kind: 'leaseRevoke', id: 1n, expired: true } }, '010700010000000000000001'],
]

test('the bytes of version 1 do not change', () => {
  for (const [one, hex] of examples) {
    assert.equal(hexFromBytes(encodeCommand(one)), hex)
    assert.deepEqual(decodeCommand(bytesFromHex(hex)), one)
  }
})

test('every kept answer comes back as it was', () => {
  const pair = {
    key: utf8Encode('k'),
    value: utf8Encode('v'),
    createRevision: 2,
    modRevision: 3,
    version: 2,
    lease: 2n ** 64n - 1n,
  }
  const put = { kind: 'put' as const, previous: pair, revision: 4 }
  const range = { kind: 'range' as const, pairs: [pair, pair], count: 9, more: true, revision: 4 }
  const deleted = { kind: 'deleteRange' as const, deleted: 2, previous: [pair], revision: 4 }
  const inner = { kind: 'transaction' as const, succeeded: false, results: [range], revision: 4 }
  const results: Applied['result'][] = [
    put,
    { ...put, previous: undefined },
    deleted,
    { ...inner, succeeded: true, results: [put, deleted, inner] },
    { kind: 'leaseGrant', id: 5n, ttlSeconds: 9_000_000_000 },
    { kind: 'done' },
    { kind: 'doneBefore' },
    { kind: 'refused', code: 'lease-exists', detail: 'why' },
  ]
  for (const one of results) {
    assert.deepEqual(decodeAnswer(encodeAnswer({ revision: 4, result: one })), { revision: 4, result: one })
  }
})
