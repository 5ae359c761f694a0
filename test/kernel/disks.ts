// Disks that go wrong as a whole, on real file systems: one that is full and has room again, one that hangs, one that is
// slow, and one whose backing store ends under it so that a sync really fails in the kernel (after which a second sync
// would report success: fsyncgate). Each is a story with one outcome.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually, type ProcessCluster, type ProcessNode, planCluster } from '../processes/harness.ts'
import { Writers } from '../processes/writers.ts'
import { bytes } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import { Image } from './image.ts'
import { type Lab, type SweepResult, verify } from './lab.ts'
import { Life, NodeEnded, newNode, Refused } from './life.ts'

const smallBytes = 32 * 1024 * 1024
const backingBytes = 24 * 1024 * 1024
const gateBytes = 200 * 1024 * 1024
const putsMax = 5_000
const slowBytesPerSecond = 16 * 1024
const throttles = '/sys/fs/cgroup/blkio'
const resourceExhausted = 8
const failedExit = 1
const stories: Readonly<Record<string, (lab: Lab) => Promise<string[]>>> = {
  'full-alone': fullAlone,
  'full-leader': fullLeader,
  'hung-leader': hungLeader,
  'slow-leader': slowLeader,
  'sync-fails-in-the-kernel': syncFails,
}

export async function sweepDisks(lab: Lab): Promise<SweepResult> {
  const problems: string[] = []
  let told = 0
  for (const [name, story] of Object.entries(stories)) {
    if (lab.options.point !== undefined && lab.options.point !== name) continue
    const startedMs = performance.now()
    const found = await story(lab).catch((error: unknown) => [String(error)])
    told++
    console.log(`  ${name}: ${found.length === 0 ? 'as it should be' : 'WRONG'}, ${seconds(startedMs)} s`)
    problems.push(...found.map((problem) => `${name}: ${problem}`))
  }
  return { name: 'disks', counts: { stories: told, wrong: problems.length }, problems }
}

// ---- full ----------------------------------------------------------------------------------------------------------

/** Refused with its code while it is full, read all the same, and accepted again once there is room. */
async function fullAlone(lab: Lab): Promise<string[]> {
  const image = Image.make(lab, 'full-alone', smallBytes)
  image.mount()
  const node = newNode(join(image.mountPoint, 'n1'), await freePorts(3))
  const life = new Life(node)
  await life.start()
  await life.put('before')
  const ballast = join(image.mountPoint, 'ballast')
  fill(ballast)
  const refusal = await putUntilRefused(life)
  const problems: string[] = []
  if (refusal?.code !== resourceExhausted) problems.push(`a full disk is answered with: ${String(refusal)}`)
  const read = await node.call('range', { key: bytes('before') })
  if (read.code !== 0) problems.push(`a read on a full disk: ${read.text}`)
  rmSync(ballast)
  await eventually('an accepted write', async () => {
    try {
      await life.put(`again/${life.history.attempts.length}`)
      return true
    } catch (error) {
      if (error instanceof Refused) return undefined
      throw error
    }
  })
  await node.end('SIGKILL')
  problems.push(...(await verify(node, life.history)))
  image.unmount()
  return problems
}

/** It hands over, the others serve on, and it comes back by itself. */
async function fullLeader(lab: Lab): Promise<string[]> {
  const { cluster, image, sick, writers, after } = await sickLeader(lab, 'full-leader')
  const ballast = join(image.mountPoint, 'ballast')
  fill(ballast)
  await sick.program.printed('"event":"disk-full"')
  await anotherLeader(cluster, sick)
  await writers.more(100)
  rmSync(ballast)
  await sick.program.printed('"event":"disk-has-space"')
  return await wellAgain(cluster, writers, image, after)
}

// ---- hung and slow -------------------------------------------------------------------------------------------------

/** Nothing of its disk comes to an end: the others elect a leader and serve on; nothing is lost. */
async function hungLeader(lab: Lab): Promise<string[]> {
  const { cluster, image, sick, writers, after } = await sickLeader(lab, 'hung-leader')
  const freeze = (how: '-f' | '-u'): void => {
    execFileSync('fsfreeze', [how, image.mountPoint], { stdio: 'pipe' })
  }
  freeze('-f')
  let isFrozen = true
  // A frozen file system cannot be unmounted, nor a process end that writes to it.
  const thaw = (): void => {
    if (isFrozen) freeze('-u')
    isFrozen = false
  }
  lab.onEnd(thaw)
  try {
    await anotherLeader(cluster, sick)
    await writers.more(100)
  } finally {
    thaw()
  }
  return await wellAgain(cluster, writers, image, after)
}

/** Its disk takes some kilobytes a second: the cluster goes on, with it or without, and nothing is lost. */
async function slowLeader(lab: Lab): Promise<string[]> {
  if (!existsSync(join(throttles, 'blkio.throttle.write_bps_device')))
    return ['this kernel throttles no disk']
  const { cluster, image, sick, writers, after } = await sickLeader(lab, 'slow-leader')
  const group = join(throttles, `quorate-${process.pid}`)
  mkdirSync(group, { recursive: true })
  const { dev } = statSync(image.mountPoint)
  const device = `${(dev >> 8) & 0xfff}:${dev & 0xff}`
  const limit = join(group, 'blkio.throttle.write_bps_device')
  const remove = (): void => {
    if (!existsSync(group)) return
    writeFileSync(limit, `${device} 0`)
    // A group goes when it is empty; its process goes back to where the others are.
    if (sick.isRunning) writeFileSync(join(throttles, 'cgroup.procs'), String(sick.pid))
    rmdirSync(group)
  }
  lab.onEnd(remove)
  writeFileSync(limit, `${device} ${slowBytesPerSecond}`)
  writeFileSync(join(group, 'cgroup.procs'), String(sick.pid))
  await writers.more(200)
  remove()
  return await wellAgain(cluster, writers, image, after)
}

// ---- fsyncgate -----------------------------------------------------------------------------------------------------

/** The medium under the file system ends: a sync fails in the kernel. The node ends and acknowledges nothing more. */
async function syncFails(lab: Lab): Promise<string[]> {
  const backing = lab.makeDirectory('backing')
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${backingBytes}`, 'tmpfs', backing], { stdio: 'pipe' })
  lab.onEnd(() => execFileSync('umount', ['-l', backing], { stdio: 'pipe' }))
  const image = Image.make(lab, join('backing', 'gate'), gateBytes)
  image.mount()
  const node = newNode(join(image.mountPoint, 'n1'), await freePorts(3))
  const life = new Life(node)
  await life.start()
  await life.put('before')
  const ballast = join(backing, 'ballast')
  fill(ballast)
  const problems: string[] = []
  try {
    for (let i = 0; i < putsMax; i++) await life.put(`gate/${i}`, 'x'.repeat(4_000))
    problems.push('the medium is full and every write was acknowledged')
  } catch (error) {
    if (!(error instanceof NodeEnded) && !(error instanceof Refused)) throw error
  }
  const { code, signal } = await node.ended()
  // Where the sync was one of lmdb, that ends the process itself (decision 3): as loud, and nothing more is acknowledged.
  if (code !== failedExit && signal === null) problems.push(`it ended with code ${code}`)
  node.close()
  rmSync(ballast)
  image.unmount()
  // The file system noted the error and might only be read; what it finds to repair is its own matter.
  spawnSync('e2fsck', ['-fy', image.path], { stdio: 'pipe' })
  image.mount()
  problems.push(...(await verify(node, life.history)))
  image.unmount()
  return problems
}

// ---- three nodes, one of them on an image of its own ---------------------------------------------------------------

interface SickLeader {
  readonly cluster: ProcessCluster
  readonly image: Image
  readonly sick: ProcessNode
  readonly writers: Writers
  readonly after: () => void
}

async function sickLeader(lab: Lab, name: string): Promise<SickLeader> {
  const cleanups: (() => void)[] = []
  const after = (): void => {
    for (let cleanup = cleanups.shift(); cleanup !== undefined; cleanup = cleanups.shift()) cleanup()
  }
  lab.onEnd(after)
  const t = { after: (cleanup: () => void) => void cleanups.push(cleanup) }
  const image = Image.make(lab, name, smallBytes)
  image.mount()
  // Small segments: the next one is due after a few hundred writes.
  const cluster = await planCluster(t, 3, ['--wal-segment-bytes', '65536'])
  const sick = cluster.node(0)
  symlinkSync(lab.makeDirectory(join(name, 'mounted', 'data')), sick.directory)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 6)
  await writers.more(30)
  const { memberId } = await sick.status()
  await eventually('the sick one as leader', async () => {
    const leader = await cluster.leader()
    if (leader === sick) return true
    await leader.call('moveLeader', { targetID: BigInt(`0x${memberId}`) })
    return undefined
  })
  return { cluster, image, sick, writers, after }
}

async function anotherLeader(cluster: ProcessCluster, sick: ProcessNode): Promise<void> {
  const others = cluster.nodes.filter((node) => node !== sick)
  await eventually('another leader', async () => {
    const all = await Promise.all(others.map((node) => node.status()))
    return all.some(({ group }) => group.role === 'leader') ? true : undefined
  })
}

/** All agree and have what was acknowledged, now and after all of them were killed at once. */
async function wellAgain(
  cluster: ProcessCluster,
  writers: Writers,
  image: Image,
  after: () => void,
): Promise<string[]> {
  try {
    await writers.more(30)
    await writers.stop()
    await cluster.agree()
    for (const node of cluster.nodes) await writers.check(node)
    await Promise.all(cluster.nodes.map((node) => node.end('SIGKILL')))
    await cluster.start()
    await cluster.agree()
    for (const node of cluster.nodes) await writers.check(node)
    return []
  } finally {
    await Promise.all(cluster.live.map((node) => node.end('SIGKILL')))
    after()
    image.unmount()
  }
}

async function putUntilRefused(life: Life): Promise<Refused | undefined> {
  try {
    for (let i = 0; i < putsMax; i++) await life.put(`full/${i}`, 'x'.repeat(4_000))
    return undefined
  } catch (error) {
    if (error instanceof Refused) return error
    throw error
  }
}

/** Writes until there is no more room. */
function fill(path: string): void {
  for (const size of [1 << 20, 1 << 12]) {
    for (;;) {
      try {
        writeFileSync(path, new Uint8Array(size), { flag: 'a', flush: true })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        break
      }
    }
  }
}

function seconds(startedMs: number): number {
  return Math.round((performance.now() - startedMs) / 1_000)
}
