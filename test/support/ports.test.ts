import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import test from 'node:test'
import { freePorts } from './ports.ts'

test('a port is given to one process at a time, until that one ends, whether or not something listens there', async (t) => {
  const [mine = 0] = await freePorts(1)
  await assert.rejects(freePorts(1, { first: mine, count: 1 }), 'nor to the same one again')

  const source = `import('${join(import.meta.dirname, 'ports.ts')}')
    .then(({ freePorts }) => freePorts(1)).then(([port]) => { console.log(port); setInterval(() => {}, 1_000) })`
  const other = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => other.kill('SIGKILL'))
  const theirs = Number(String((await once(other.stdout, 'data'))[0]))
  const range = { first: theirs, count: 1 }
  await assert.rejects(freePorts(1, range))
  other.kill('SIGKILL')
  await once(other, 'exit')
  assert.deepEqual(await freePorts(1, range), [theirs])
})
