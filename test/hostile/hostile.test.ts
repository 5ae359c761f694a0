// All attacks at once, small and for a moment. `npm run hostile` is the real run.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { Generator } from '../../bench/generator.ts'
import { temporaryDirectory } from '../processes/harness.ts'
import { startCluster } from '../support/servers.ts'
import { attackNames } from './attacks.ts'
import { fillBigKeys, watch } from './run.ts'

const sizes = {
  attackMs: 1_500,
  scale: 0.05,
  nice: 0,
  attackersLauncher: [],
  perSecond: 20,
  bigKeys: 64,
}

test('good clients are served beside every attack', async (t) => {
  const cluster = await startCluster(`${process.execPath} src/cli/main.ts`, { label: 'hostile', size: 1 })
  t.after(async () => {
    Generator.killAll()
    await cluster.stop()
  })
  const [node] = cluster.nodes
  assert.ok(node !== undefined)
  await fillBigKeys(node, sizes.bigKeys)
  const { problems, probe, newClients, attacks } = await watch(node, attackNames, sizes)
  assert.deepEqual(problems, [])
  assert.ok((probe?.gets.count ?? 0) > 0 && (probe?.puts.count ?? 0) > 0 && newClients > 0)
  assert.deepEqual(Object.keys(attacks), attackNames)
  for (const [name, { connections }] of Object.entries(attacks)) assert.ok(connections > 0, name)
})

test('a second server that does not start ends the first, and its data go', (t) => {
  const [programs, data] = [temporaryDirectory(t), temporaryDirectory(t)]
  const program = join(programs, 'starts-once')
  const script = `#!/bin/sh\nrm "$0"; exec ${process.execPath} src/cli/main.ts "$@"\n`
  writeFileSync(program, script, { mode: 0o755 })
  const run = spawnSync(
    process.execPath,
    ['test/hostile/main.ts', '--loopback', '--elsewhere', '--server', program],
    {
      env: { ...process.env, TMPDIR: data },
      encoding: 'utf8',
    },
  )
  assert.equal(run.status, 1)
  assert.match(run.stderr, /starts-once did not become ready/)
  assert.deepEqual(readdirSync(data), [])
})
