import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { addToTotals, readTotals, withAddition } from '../../testing/totals.ts'

const empty = { format: 1, rows: {} } as const
const first = {
  figures: { seeds: 3, simulatedHours: 0.10004, faults: { crash: 2 } },
  commit: 'aaa',
  date: '2026-11-21',
  next: 103,
}

test('a run is added to its row, figure by figure and kind by kind; other rows stay', () => {
  const one = withAddition(withAddition(empty, 'simulation', first), 'explorer', {
    ...first,
    figures: { states: 5 },
  })
  const two = withAddition(one, 'simulation', {
    figures: { seeds: 4, failures: 1, simulatedHours: 0.20001, faults: { crash: 1, kill: 1 } },
    commit: 'bbb',
    date: '2026-11-23',
  })
  assert.deepEqual(two.rows.simulation, {
    since: '2026-11-21',
    until: '2026-11-23',
    commit: 'bbb',
    runs: 2,
    next: 103,
    figures: { seeds: 7, failures: 1, simulatedHours: 0.3, faults: { crash: 3, kill: 1 } },
  })
  assert.deepEqual(two.rows.explorer, one.rows.explorer)
})

test('a figure never shrinks and does not change its kind', () => {
  const one = withAddition(empty, 'simulation', first)
  for (const figures of [{ seeds: -1 }, { seeds: Number.NaN }, { seeds: { crash: 1 } }, { faults: 1 }]) {
    assert.throws(() => withAddition(one, 'simulation', { ...first, figures }))
  }
})

test('the file is made where there is none, and read back as it was written', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'totals-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'totals.json')
  addToTotals('simulation', first, path)
  const row = addToTotals('simulation', { ...first, next: 200 }, path)
  assert.equal(row.figures.seeds, 6)
  assert.deepEqual(readTotals(path).rows.simulation, row)
  assert.equal(row.next, 200)
  assert.ok(readFileSync(path, 'utf8').endsWith('}\n'))
  writeFileSync(path, '{"format":2,"rows":{}}')
  assert.throws(() => readTotals(path), /format 2/)
})
