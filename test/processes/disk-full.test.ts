// A disk that is really full: a small file system in memory, where the machine lets this process mount one.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { bytes } from '../support/keys.ts'
import { eventually, planCluster } from './harness.ts'
import { Writers } from './writers.ts'

const mountBytes = 24 * 1024 * 1024

test('a full disk is the matter of one node: it hands over, the others go on, and it comes back by itself', async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'quorate-test-disk-'))
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mountBytes}`, 'tmpfs', disk]).status !== 0) {
    rmdirSync(disk)
    t.skip('no file system can be mounted here; the simulator fills disks too')
    return
  }
  // Lazily: the process that uses it may end later. Hooks run in their order, and a failed one ends them: this goes first.
  t.after(() => {
    spawnSync('umount', ['-l', disk])
    rmdirSync(disk)
  })
  // Small segments: the next one, which finds no room, is due after a few hundred writes on any machine.
  const cluster = await planCluster(t, 3, ['--wal-segment-bytes', '65536'])
  const small = cluster.node(0)
  symlinkSync(disk, small.directory)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 6)
  await writers.more(50)
  const { memberId } = await small.status()
  await eventually('the small one as leader', async () => {
    const leader = await cluster.leader()
    if (leader === small) return true
    await leader.call('moveLeader', { targetID: BigInt(`0x${memberId}`) })
    return undefined
  })
  const ballast = join(small.directory, 'ballast')
  fill(ballast)
  await small.program.printed('"event":"disk-full"')
  const others = cluster.nodes.filter((node) => node !== small)
  await eventually('another leader', async () => ((await cluster.leader()) === small ? undefined : true))
  await writers.more(200)
  const read = await small.call('range', { key: bytes('w/0/0'), serializable: true })
  assert.equal(read.code, 0, read.text)
  assert.equal(small.program.exit, undefined, 'it runs')
  rmSync(ballast)
  await small.program.printed('"event":"disk-has-space"')
  await writers.more(50)
  await writers.stop()
  await cluster.agree()
  for (const node of [small, ...others]) await writers.check(node)
})

/** Writes until there is no more room. */
function fill(path: string): void {
  try {
    for (const size of [1024 * 1024, 4096]) {
      for (let left = mountBytes / size; left > 0; left--) {
        try {
          writeFileSync(path, new Uint8Array(size), { flag: 'a' })
        } catch (error) {
          if (size === 4096) throw error
          break
        }
      }
    }
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
  }
}
