import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { storeResult } from '../../bench/result-file.ts'

const run = { date: '2026-11-22', commit: '0123456789ab' }

test('two runs of a part on one day and commit are stored in two files', (t) => {
  const directory = temporary(t)
  const results = [1, 2, 3].map((sample) => ({ ...run, sample }))
  const paths = results.map((result) => storeResult(directory, 'one-three', result))
  assert.deepEqual(
    paths.map((path) => basename(path)),
    [
      '2026-11-22-0123456789ab-one-three.json',
      '2026-11-22-0123456789ab-one-three-2.json',
      '2026-11-22-0123456789ab-one-three-3.json',
    ],
  )
  assert.deepEqual(
    paths.map((path) => JSON.parse(readFileSync(path, 'utf8'))),
    results,
  )
})

test('another part, commit or day has a name of its own', (t) => {
  const directory = temporary(t)
  const others = [
    storeResult(directory, 'one', run),
    storeResult(directory, 'two', run),
    storeResult(directory, 'one', { ...run, commit: 'ba9876543210' }),
    storeResult(directory, 'one', { ...run, date: '2026-11-23' }),
  ]
  assert.deepEqual(
    others.map((path) => basename(path)),
    [
      '2026-11-22-0123456789ab-one.json',
      '2026-11-22-0123456789ab-two.json',
      '2026-11-22-ba9876543210-one.json',
      '2026-11-23-0123456789ab-one.json',
    ],
  )
})

// A link that leads nowhere has the name, and whoever looks first finds no file: as with a run that is stored just then.
test('whether a name is free is decided by making the file, not by looking before', (t) => {
  const directory = temporary(t)
  symlinkSync(join(directory, 'nowhere'), join(directory, '2026-11-22-0123456789ab-one.json'))
  assert.equal(basename(storeResult(directory, 'one', run)), '2026-11-22-0123456789ab-one-2.json')
})

test('a directory that is not there yet is made; one that cannot be made is an error', (t) => {
  const directory = join(temporary(t), 'a', 'b')
  const path = storeResult(directory, 'one', run)
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), run)
  assert.throws(() => storeResult(join(path, 'below'), 'one', run), { code: 'ENOTDIR' })
})

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}
