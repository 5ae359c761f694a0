// The disk half of the sweeps with real processes on a real kernel. One line a sweep, with its counts.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { countRun, readTotals, totalsPath } from '../../testing/totals.ts'
import { Arguments } from '../support/arguments.ts'
import { sweepClusterFlips } from './cluster-flips.ts'
import { sweepCrashes } from './crash.ts'
import { sweepDisks } from './disks.ts'
import { sweepErrors } from './errors.ts'
import { sweepFlips } from './flips.ts'
import { sweepInstalls } from './install.ts'
import { endSoon, Lab, type SweepOptions, type SweepResult } from './lab.ts'
import { sweepPowerCuts } from './power-cut.ts'

interface Sweep {
  run(lab: Lab): Promise<SweepResult>
  /** Its files. Memory is as good where it does not matter what the medium does: a power cut is one of an image. */
  readonly where: 'disk' | 'memory'
  /** Points in a circle, on which a run goes on where the one before ended, or drawn ones, with the next seed. */
  readonly points: 'circle' | 'drawn'
  /** Of the time. */
  readonly share: number
  readonly about: string
}

const sweeps: Readonly<Record<string, Sweep>> = {
  crash: {
    run: sweepCrashes,
    where: 'memory',
    points: 'circle',
    share: 4,
    about: 'die at every call that changes a file',
  },
  errors: {
    run: sweepErrors,
    where: 'memory',
    points: 'circle',
    share: 4,
    about: 'EIO, ENOSPC and half writes at every such call',
  },
  install: {
    run: sweepInstalls,
    where: 'disk',
    points: 'circle',
    share: 2,
    about: 'kill a follower that takes in a snapshot at every such call',
  },
  cuts: {
    run: sweepPowerCuts,
    where: 'memory',
    points: 'drawn',
    share: 4,
    about: 'power cuts: copies of a mounted ext4 image at such calls',
  },
  flips: {
    run: sweepFlips,
    where: 'memory',
    points: 'drawn',
    share: 3,
    about: 'one bit changed in each class of bytes of a directory',
  },
  'cluster-flips': {
    run: sweepClusterFlips,
    where: 'disk',
    points: 'drawn',
    share: 2,
    about: 'one bit changed on one of three nodes',
  },
  disks: {
    run: sweepDisks,
    where: 'disk',
    points: 'drawn',
    share: 2,
    about: 'full, hung and slow disks, and a sync that fails in the kernel',
  },
}

const usage = `npm run kernel -- [--only NAME,...] [--all] [--minutes N] [--seed S] [--totals] [--tree DIR]
  --only      of ${Object.keys(sweeps).join(', ')}
  --minutes   for all sweeps together (default 4); each takes what it can, from a place that the seed decides
  --all       every point of every sweep, however long it takes
  --seed      default: from the commit
  --jobs      how many nodes live at a time (default: processors)
  --point     one point alone, as it was printed; of crash and errors all that begin so (first-start:1)
  --call      of crash and errors all points at calls like this: 'pwritev? wal/.*wal$'
  --tree      the processes run the sources of another tree
  --verbose   what became of every kind of point
  --totals    begins where the run before ended, and adds what this one did to ${totalsPath}
  --json      totals go there
SIGTERM ends it when the points that run have ended, with its sums.
Needs Linux and root, and the Debian packages gcc, libc6-dev, strace, e2fsprogs, mount, util-linux, iproute2.

${Object.entries(sweeps)
  .map(([name, { about }]) => `  ${name.padEnd(14)} ${about}`)
  .join('\n')}`

const tools = ['cc', 'strace', 'mkfs.ext4', 'e2fsck', 'losetup', 'mount', 'fsfreeze', 'unshare', 'ip']
/** Before it come the seeds that people choose by hand. */
const firstEver = 1_000_000
const insideVariable = 'KERNEL_SWEEPS_INSIDE'

async function main(): Promise<number> {
  const given = new Arguments(usage)
  const names = given.list('only', Object.keys(sweeps).join(','))
  const minutes = given.number('minutes', 4)
  const isComplete = given.flag('all')
  const seed = given.number('seed', seedOfCommit())
  const options = {
    isComplete,
    jobs: given.number('jobs', availableParallelism()),
    point: given.maybe('point'),
    call: given.maybe('call'),
    isVerbose: given.flag('verbose'),
  }
  const isCounted = given.flag('totals')
  const tree = given.maybe('tree')
  const json = given.maybe('json')
  given.refuseUnknown()
  for (const name of names) if (sweeps[name] === undefined) given.fail(`there is no sweep ${name}`)
  if (tree !== undefined) process.env.QUORATE_TREE = resolve(tree)
  const missing = whatIsMissing()
  if (missing !== undefined) {
    console.error(`the kernel sweeps cannot run here: ${missing}`)
    return 2
  }
  if (process.env[insideVariable] === undefined) return await runInside()
  console.log(`seed ${seed}, ${isComplete ? 'every point' : `${minutes} minutes`}, ${options.jobs} at a time`)
  const shares = names.reduce((sum, name) => sum + (sweeps[name]?.share ?? 0), 0)
  const totals: Record<string, unknown> = {}
  let failed = 0
  for (const name of names) {
    const share = sweeps[name]?.share ?? 0
    const seconds = (minutes * 60 * share) / shares
    const result = await runSweep(name, {
      ...options,
      ...(isCounted ? goOn(name) : { seed, from: 0 }),
      seconds,
    })
    totals[name] = { ...result.counts, ...result.facts }
    if (isCounted) {
      const failures = result.problems.length
      countRun(rowOf(name), { ...result.counts, failures }, result.next)
    }
    if (result.problems.length > 0) failed++
  }
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ seed, totals }, undefined, 2)}\n`)
  console.log(`${names.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

/** Where no run before has been. */
function goOn(name: string): Pick<SweepOptions, 'seed' | 'from'> {
  const next = readTotals().rows[rowOf(name)]?.next
  console.log(`  ${name} goes on at ${next ?? 'the beginning'}`)
  return sweeps[name]?.points === 'drawn'
    ? { seed: next ?? firstEver, from: 0 }
    : { seed: 0, from: next ?? 0 }
}

function rowOf(name: string): string {
  return `kernel ${name}`
}

async function runSweep(name: string, options: SweepOptions): Promise<SweepResult> {
  const startedMs = performance.now()
  const { run, where } = sweeps[name] as Sweep
  const lab = new Lab(options, where)
  const end = (): void => lab.end()
  process.on('exit', end)
  try {
    const swept: SweepResult = await run(lab).catch((error: unknown) => {
      const problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
      return { name, counts: {}, problems: [problem] }
    })
    const { copies, kills, points, images, flips, stories } = swept.counts
    const tried = (copies ?? 0) + (kills ?? 0) + (points ?? images ?? flips ?? stories ?? 0)
    const result = {
      ...swept,
      problems: tried === 0 ? [...swept.problems, 'nothing was tried'] : swept.problems,
    }
    const seconds = Math.round((performance.now() - startedMs) / 1_000)
    for (const problem of result.problems)
      console.log(`  ${name}: ${problem.trim().replaceAll(/\s*\n\s*/g, ' | ')}`)
    const counts = Object.entries({ ...result.counts, ...result.facts }).map(
      ([what, count]) => `${what} ${count}`,
    )
    console.log(
      `${name}: ${result.problems.length === 0 ? 'passed' : 'FAILED'}, ${counts.join(', ')}, ${seconds} s`,
    )
    return result
  } finally {
    process.off('exit', end)
    lab.end()
  }
}

/**
 * The same again with ports and mounts of its own: nobody else takes a port while its node is down, and what is mounted
 * is gone with the last process, however that ended.
 */
async function runInside(): Promise<number> {
  const inside = [
    '--net',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    'ip link set lo up && exec "$@"',
    'sh',
  ]
  const child = spawn('unshare', [...inside, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [insideVariable]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  const [code] = await once(child, 'exit')
  return typeof code === 'number' ? code : 1
}

function whatIsMissing(): string | undefined {
  if (process.platform !== 'linux') return `this is ${process.platform}, they need Linux`
  if (process.getuid?.() !== 0) return 'they mount file systems and need root'
  const absent = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
  return absent.length === 0 ? undefined : `not installed: ${absent.join(', ')}`
}

function seedOfCommit(): number {
  try {
    return Number.parseInt(execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).slice(0, 7), 16)
  } catch {
    return 1
  }
}

if (process.env[insideVariable] !== undefined) {
  process.on('SIGINT', () => process.exit(130))
  process.on('SIGTERM', endSoon)
}
process.exitCode = await main()
