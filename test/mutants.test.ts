// The catalogue of planted bugs keeps up with the code: each one still stands where it says, is still a program, and every
// row of its sources has one or says why not. What the checks make of them is told by `npm run mutants`.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import test from 'node:test'
import { plant, readMutants, readRows } from '../testing/mutants/catalogue.ts'
import { orderSteps, parseRecord, type Step } from '../testing/mutants/order.ts'

const mutants = readMutants()
const rows = readRows()

test('each planted bug stands exactly once in its file, and what it makes of the file can be read', () => {
  assert.ok(mutants.length >= 40, `${mutants.length} planted bugs`)
  for (const mutant of mutants) {
    const text = readFileSync(mutant.file, 'utf8')
    const planted = plant(mutant, text)
    assert.notEqual(planted, text, mutant.name)
    stripTypeScriptTypes(planted)
  }
})

test('a planted bug that stands nowhere, or twice, is refused', () => {
  const mutant = { name: 'm', file: 'f', search: 'a', replace: 'b' }
  assert.throws(() => plant(mutant, 'xyz'), /found 0 times/)
  assert.throws(() => plant(mutant, 'aya'), /found 2 times/)
  assert.equal(plant(mutant, 'xay'), 'xby')
})

test('every row of the sources has a planted bug or the reason why not, and no other row is named', () => {
  const named = new Set(mutants.flatMap((mutant) => mutant.rows))
  for (const { id, reason } of rows) assert.ok(named.has(id) !== (reason !== undefined), id)
  for (const id of named)
    assert.ok(
      rows.some((row) => row.id === id),
      id,
    )
})

const files = { own: ['src/a/x.test.ts', 'src/a/y.test.ts'], others: ['src/b/z.test.ts'] }
const seeds: Step = { by: 'simulator' }
const noticed = { seed: 7, promise: 'reads are not stale' }

test('of a bug that nothing is remembered of, its room is asked, then the standard seeds, then all other tests', () => {
  const tests = [files.own, files.others].map((some): Step => ({ by: 'tests', files: some }))
  assert.deepEqual(orderSteps('tests', {}, files, false), [tests[0], seeds, tests[1]])
  assert.deepEqual(orderSteps('simulator', {}, files, false), [seeds, ...tests])
})

test('what fired the last time goes first, and all standard checks come after it, none of the files twice', () => {
  const before = { tests: 'src/b/z.test.ts: a: b', simulator: { simulatedSeconds: 90, noticed } }
  const first: Step = { by: 'tests', files: ['src/b/z.test.ts'] }
  const seed: Step = { by: 'simulator', only: 7 }
  const rest: Step[] = [files.own, []].map((some) => ({ by: 'tests', files: some }))
  assert.deepEqual(orderSteps('tests', before, files, false), [first, seed, rest[0], seeds, rest[1]])
  assert.deepEqual(orderSteps('simulator', before, files, false), [seed, first, seeds, ...rest])
  assert.deepEqual(orderSteps('tests', before, files, true), [seeds, first, ...rest])
})

test('a test file that is gone, and seeds that noticed nothing, put nothing first', () => {
  const before = { tests: 'src/a/gone.test.ts: a', simulator: { simulatedSeconds: 1600 } }
  assert.deepEqual(orderSteps('tests', before, files, false), orderSteps('tests', {}, files, false))
})

test('what is remembered is read as it was written, and what is nothing of the kind is refused', () => {
  const record = { m: { tests: 'f: name', simulator: { simulatedSeconds: 12, noticed } } }
  assert.deepEqual(parseRecord(JSON.stringify(record)), record)
  for (const text of ['[', '3', 'null', '{"m":null}', '{"m":{"tests":"name"}}', '{"m":{"simulator":{}}}'])
    assert.throws(() => parseRecord(text), text)
})
