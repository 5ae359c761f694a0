// The catalogue of planted bugs keeps up with the code: each one still stands where it says, is still a program, and every
// row of its sources has one or says why not. What the checks make of them is told by `npm run mutants`.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import test from 'node:test'
import { plant, readMutants, readRows } from '../testing/mutants/catalogue.ts'

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
  const mutant = {
    name: 'm',
    rows: [],
    file: 'f',
    by: 'tests',
    expect: '',
    what: '',
    search: 'a',
    replace: 'b',
  } as const
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
