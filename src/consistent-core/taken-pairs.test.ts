// The pairs of a range that are taken one by one out of a store whose bytes last until its next read, against those of a
// state that was never flushed and so hands out bytes that stay.
import assert from 'node:assert/strict'
import test from 'node:test'
import { LineTaker } from '../../testing/line-taker.ts'
import { SeededRandom, utf8Decode, utf8Encode } from '../base/index.ts'
import { createMemoryBackend, createStore } from '../store/index.ts'
import type { KeyValue } from './contract.ts'
import { type ConsistentCore, createConsistentCore, encodeCommand, type RangeOperation } from './index.ts'

function runNow(finish: () => void): Promise<void> {
  finish()
  return Promise.resolve()
}

/** Keys and values in different orders, some keys written again. */
function filledCore(isFlushed: boolean): ConsistentCore {
  const backend = createMemoryBackend({ schedule: runNow, random: new SeededRandom(1) })
  const core = createConsistentCore({ store: createStore(backend) })
  const random = new SeededRandom(7)
  for (let index = 1; index <= 60; index++) {
    const key = utf8Encode(`key${random.between(0, 40)}`)
    const value = utf8Encode(`${random.between(0, 1_000)}`)
    const write = {
      ...{ kind: 'put' as const, key, value, lease: 0n },
      ...{ previous: false, ignoreValue: false, ignoreLease: false },
    }
    core.apply({ index, term: 1, timeMs: 0, payload: encodeCommand({ session: undefined, write }) })
  }
  const taken = isFlushed ? core.takeBatch() : undefined
  if (taken !== undefined) {
    backend.commit(taken.batch).catch(assert.fail)
    core.flushed()
  }
  return core
}

function shown({ key, value, ...rest }: KeyValue): string {
  const { createRevision, modRevision, version } = rest
  return `${utf8Decode(key)}=${utf8Decode(value)} ${createRevision} ${modRevision} ${version}`
}

function* operations(): Generator<RangeOperation> {
  const intervals = [
    { key: utf8Encode('key'), rangeEnd: utf8Encode('kez') },
    { key: utf8Encode('key7'), rangeEnd: new Uint8Array() },
  ]
  for (const interval of intervals)
    for (const sortOrder of ['none', 'ascend', 'descend'] as const)
      for (const sortTarget of ['key', 'version', 'create', 'mod', 'value'] as const)
        for (const [limit, revision] of [
          [0, 0],
          [3, 0],
          [5, 40],
        ] as const)
          for (const keysOnly of [false, true])
            for (const modRevisionMin of [0, 20])
              yield {
                ...{ kind: 'range', ...interval, limit, revision, sortOrder, sortTarget, keysOnly },
                ...{ countOnly: false, modRevisionMin, modRevisionMax: 0 },
                ...{ createRevisionMin: 0, createRevisionMax: 0 },
              }
}

test('pairs that are taken one by one are those of the whole result, whatever is asked for', () => {
  const lasting = filledCore(false)
  const core = filledCore(true)
  let count = 0
  for (const operation of operations()) {
    const expected = lasting.range(operation).next().value
    const taker = new LineTaker(shown)
    const result = core.range(operation, taker).next().value
    const taken = taker.lines
    const kept = core.range(operation).next().value
    assert.ok(expected?.kind === 'range' && result?.kind === 'range' && kept?.kind === 'range')
    const text = JSON.stringify({ ...operation, key: '', rangeEnd: '' })
    assert.deepEqual(taken, expected.pairs.map(shown), text)
    assert.deepEqual(kept.pairs.map(shown), taken, `kept: ${text}`)
    assert.deepEqual(
      [result.pairs.length, result.count, result.more],
      [0, expected.count, expected.more],
      text,
    )
    count += taken.length
  }
  assert.ok(count > 1_000, `${count} pairs`)
})
