// The allow-list must stay narrow: what it lets pass, and what it must not.
import assert from 'node:assert/strict'
import test from 'node:test'
import { differInFirstPrevious, differInTies } from './known-differences.ts'
import type { Canonical } from './normalise.ts'

const byVersion = { sort_target: 1, sort_order: 1 }

function answer(keys: string, more = false, count = 20): Canonical {
  const kvs = keys.split(' ').map((text) => ({ key: text, version: Number(text.slice(1)) }))
  return { count, header: { revision: 9 }, kvs, ...(more ? { more } : {}) }
}

test('only the order of keys that sort equal may differ', () => {
  assert.equal(differInTies(byVersion, answer('a1 b1 c2'), answer('b1 a1 c2')), true)
  assert.equal(differInTies(byVersion, answer('a1 b1 c2'), answer('a1 c2 b1')), false)
  assert.equal(differInTies(byVersion, answer('a1 b1 c2'), answer('b1 d1 c2')), false)
  assert.equal(differInTies(byVersion, answer('a1 b1 c2'), answer('b1 a1')), false)
  assert.equal(
    differInTies(byVersion, answer('a1 b1'), { ...(answer('b1 a1') as object), more: true }),
    false,
  )
})

test('a limit may cut different keys, but only among those that sort equal to the last', () => {
  assert.equal(differInTies(byVersion, answer('a1 b2 c2', true), answer('a1 d2 b2', true)), true)
  assert.equal(differInTies(byVersion, answer('a1 b2 c2', true), answer('d1 b2 c2', true)), false)
})

test('a dozen keys and fewer are in key order on both sides', () => {
  assert.equal(differInTies(byVersion, answer('a1 b1', false, 12), answer('b1 a1', false, 12)), false)
})

test('only side a, and only at the revision where the watch starts, may lack a previous pair', () => {
  const event = (mod: number, previous?: string): Canonical => ({
    kv: { key: 'k', mod_revision: mod },
    ...(previous === undefined ? {} : { prev_kv: { key: 'k', value: previous } }),
  })
  const whole = [event(5, 'x'), event(5, 'y'), event(6, 'z')]
  assert.equal(differInFirstPrevious(5, [event(5), event(5), event(6, 'z')], whole), true)
  assert.equal(differInFirstPrevious(5, whole, [event(5), event(5), event(6, 'z')]), false)
  assert.equal(differInFirstPrevious(5, [event(5), event(5), event(6)], whole), false)
  assert.equal(differInFirstPrevious(4, [event(5), event(5), event(6, 'z')], whole), false)
  assert.equal(differInFirstPrevious(5, [event(5, 'other'), event(5), event(6, 'z')], whole), false)
  assert.equal(differInFirstPrevious(5, [event(5), event(5)], whole), false)
})
