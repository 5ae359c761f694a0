import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { AssertionError, hexFromBytes, isQuorateError, utf8Encode } from '../base/index.ts'
import {
  ConfigurationHistory,
  decodeConfiguration,
  encodeConfiguration,
  nextConfiguration,
} from './configuration.ts'
import { voterSet } from './testing/disk.ts'

const sample = {
  voters: [1n, 2n],
  outgoing: [3n],
  learners: [0xffff_ffff_ffff_ffffn],
  context: utf8Encode('x'),
}

test('the payload of a configuration entry is fixed', () => {
  const ids =
    '02' + '0100000000000000' + '0200000000000000' + '01' + '0300000000000000' + '01' + 'ffffffffffffffff'
  assert.equal(hexFromBytes(encodeConfiguration(sample)), `01${ids}0178`)
  assert.deepEqual(decodeConfiguration(encodeConfiguration(sample)), sample)
})

test('a newer version and damaged payloads are refused by code', () => {
  const bytes = encodeConfiguration(sample)
  const newer = Uint8Array.from(bytes).fill(2, 0, 1)
  assert.throws(
    () => decodeConfiguration(newer),
    (error) => isQuorateError(error, 'format-unsupported'),
  )
  for (let size = 0; size < bytes.length; size++) {
    const cut = bytes.subarray(0, size)
    assert.throws(
      () => decodeConfiguration(cut),
      (error) => isQuorateError(error, 'frame-malformed'),
    )
  }
})

test('arbitrary bytes end in a code, never in another exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodeConfiguration(Uint8Array.from([1, ...bytes]))
      } catch (error) {
        assert.ok(isQuorateError(error))
      }
    }),
  )
})

test('a change is joint exactly when the voters change', () => {
  const change = { voters: [2n, 1n], learners: [3n], context: new Uint8Array(0) }
  assert.deepEqual(nextConfiguration(voterSet(1n, 2n), change).outgoing, [])
  assert.deepEqual(nextConfiguration(voterSet(1n, 3n), { ...change, learners: [] }).outgoing, [1n, 3n])
})

test('a change that cannot be stops the program', () => {
  const context = new Uint8Array(0)
  const changes = [
    { voters: [], learners: [], context },
    { voters: [1n, 1n], learners: [], context },
    { voters: [1n], learners: [1n], context },
    { voters: [0n], learners: [], context },
  ]
  for (const change of changes) {
    assert.throws(() => nextConfiguration(voterSet(1n), change), AssertionError)
  }
})

test('a committed configuration cannot be cut, an uncommitted one gives way to the one before', () => {
  const history = new ConfigurationHistory([{ index: 0, configuration: voterSet(1n) }])
  history.append(5, voterSet(1n, 2n), 0)
  history.append(9, voterSet(1n, 2n, 3n), 6)
  history.truncateAfter(8)
  assert.deepEqual([history.index, history.current], [5, voterSet(1n, 2n)])
  assert.throws(() => history.truncateAfter(4), AssertionError)
})
