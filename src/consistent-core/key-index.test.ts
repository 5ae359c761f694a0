import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { compareBytes, hexFromBytes, SeededRandom } from '../base/index.ts'
import { orderedForm } from './key-form.ts'
import { KeyIndex } from './key-index.ts'
import { encodeLiveRow, rowModRevision } from './rows.ts'

function rowOf(modRevision: number): Uint8Array {
  return encodeLiveRow({ modRevision, sub: 0, createRevision: 1, version: 1, lease: 0n })
}

test('random changes leave what a sorted list has', () => {
  const random = new SeededRandom(7)
  const index = new KeyIndex()
  let model = new Map<string, { form: Uint8Array; revision: number }>()
  let pairs: { form: Uint8Array; revision: number }[] = []
  const draw = (): Uint8Array => {
    const size = random.between(0, 50) === 0 ? 1 + random.between(0, 5_000) : 1 + random.between(0, 4)
    return orderedForm(Uint8Array.from({ length: size }, () => random.between(0, 8)))
  }
  const sort = (): void => {
    pairs = [...model.values()].sort((left, right) => compareBytes(left.form, right.form))
  }
  for (let step = 1; step <= 30_000; step++) {
    // It grows first, and then shrinks until nothing is left.
    const form = step > 15_000 && pairs.length > 0 ? (pairs[step % pairs.length]?.form ?? draw()) : draw()
    const name = hexFromBytes(form)
    assert.equal(index.has(form), model.has(name))
    const row = index.get(form)
    assert.equal(row && rowModRevision(row), model.get(name)?.revision)
    if (model.has(name) && (step > 15_000 || random.between(0, 4) === 0)) {
      index.delete(form)
      model.delete(name)
    } else if (step <= 15_000) {
      index.set(form, rowOf(step))
      model.set(name, { form, revision: step })
    }
    if (step % 500 !== 0) continue
    sort()
    const [one, other] = [draw(), draw()]
    const [first, end] = compareBytes(one, other) <= 0 ? [one, other] : [other, one]
    for (const bounds of [
      { first: Uint8Array.of(0), end: undefined },
      { first, end },
      { first, end: undefined },
      { first: end, end: first },
    ]) {
      const expected = pairs.filter(
        ({ form: at }) =>
          compareBytes(at, bounds.first) >= 0 &&
          (bounds.end === undefined || compareBytes(at, bounds.end) < 0),
      )
      assert.equal(index.count(bounds), expected.length)
      const seen: { form: Uint8Array; revision: number }[] = []
      assert.ok(
        index.scan(bounds, (at, found) => seen.push({ form: at, revision: rowModRevision(found) }) > 0),
      )
      assert.deepEqual(seen, expected)
      const walked: { form: Uint8Array; revision: number }[] = []
      for (const cursor = index.cursor(bounds); cursor.form !== undefined; cursor.advance()) {
        walked.push({ form: cursor.form, revision: rowModRevision(cursor.row) })
      }
      assert.deepEqual(walked, expected)
    }
    if (step === 15_000) assert.ok(pairs.length > 1_000, 'there were many leaves')
  }
  assert.equal(index.count({ first: Uint8Array.of(0), end: undefined }), 0)
  index.set(orderedForm(Uint8Array.of(1)), rowOf(1))
  index.clear()
  model = new Map()
  assert.equal(index.count({ first: Uint8Array.of(0), end: undefined }), 0)
})

test('a key that comes to a full leaf is found wherever it lies in it', () => {
  const all = { first: Uint8Array.of(0), end: undefined }
  const formOf = (number: number): Uint8Array => orderedForm(Uint8Array.of(1, number >> 8, number))
  for (let place = 0; place <= 256; place++) {
    const index = new KeyIndex()
    for (let number = 1; number <= 256; number++) index.set(formOf(2 * number), rowOf(number))
    const form = formOf(2 * place + 1)
    index.set(form, rowOf(1_000))
    assert.deepEqual([index.count(all), index.count({ first: form, end: undefined })], [257, 257 - place])
    let last = new Uint8Array(0)
    index.scan(all, (at) => {
      assert.ok(compareBytes(last, at) < 0)
      last = Uint8Array.from(at)
      return true
    })
    index.delete(form)
    assert.equal(index.has(form), false)
    assert.equal(index.count(all), 256)
  }
})

test('a row that was got does not change with its key, and a visitor may end its visit', () => {
  const index = new KeyIndex()
  for (let key = 0; key < 1_000; key++) index.set(orderedForm(Uint8Array.of(key >> 8, key)), rowOf(1))
  const form = orderedForm(Uint8Array.of(2, 2))
  const before = index.get(form)
  index.set(form, rowOf(2))
  assert.equal(before && rowModRevision(before), 1)
  let visited = 0
  assert.equal(
    index.scan({ first: Uint8Array.of(0), end: undefined }, () => ++visited < 300),
    false,
  )
  assert.equal(visited, 300)
  assert.throws(
    () =>
      index.scan({ first: Uint8Array.of(0), end: undefined }, (at) => {
        index.delete(at)
        return true
      }),
    /written to while they were read/,
  )
  assert.throws(() => index.delete(orderedForm(Uint8Array.of(9, 9, 9))), /is live/)
})
