import { randomBytes } from 'node:crypto'
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { QuorateError } from '../base/index.ts'

/**
 * One process a data directory. Node has no flock, so the lock is a file that says who holds it: `lock.<number>`, and
 * the highest number counts. Nobody ever removes or overwrites the highest file of somebody else; whoever finds its
 * owner gone (or that it was released) creates the next number. Creating is exclusive, so of several that find the same
 * stale lock one gets it, and one that slept between looking and creating sees the higher number afterwards and steps
 * back. The file gets its name by link, complete: no reader sees half of one.
 *
 * An owner is gone when the system was started anew, its process id is free or a zombie, or the process of that id was
 * started at another time. Where the start of a process cannot be read (not Linux) the id alone decides.
 */
export interface DirectoryLock {
  release(): Promise<void>
}

/** What the lock file holds, as JSON. */
interface Owner {
  readonly pid: number
  /** Start of the process in ticks since boot (Linux), else unknown to others. */
  readonly processStart: string
  readonly bootId: string
  readonly released: boolean
}

const prefix = 'lock.'
const draftPrefix = 'lock-draft.'

/** How often a lock that others take at the same time is tried for. */
const attemptCountMax = 100

/**
 * Locks `directory`, which must exist, until released or until this process ends, however it ends.
 * Errors: `data-locked` when a living process holds it; `disk-failed`.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  try {
    return await acquire(directory)
  } catch (error) {
    throw diskError('lock', directory, error)
  }
}

async function acquire(directory: string): Promise<DirectoryLock> {
  const me = await describeThisProcess()
  for (let attempt = 0; attempt < attemptCountMax; attempt++) {
    const newest = (await lockNumbers(directory)).at(-1) ?? 0
    if (newest > 0) {
      const owner = await readOwner(directory, newest)
      if (owner === 'gone') continue
      if (owner !== 'unreadable' && (await isAlive(owner, me))) throw lockedError(directory, owner)
    }
    const mine = newest + 1
    if (!(await createLock(directory, mine, me))) continue
    const numbers = await lockNumbers(directory)
    if (numbers.at(-1) !== mine) {
      await rm(pathOf(directory, mine), { force: true })
      continue
    }
    await removeOlder(directory, mine, numbers)
    return { release: () => release(directory, mine, me) }
  }
  throw new QuorateError('data-locked', `the data directory ${directory} is being locked by many at once`)
}

/** The file stays, as the number that the next owner counts from. */
async function release(directory: string, number: number, owner: Owner): Promise<void> {
  const draft = draftPath(directory)
  try {
    await writeOwner(draft, { ...owner, released: true })
    await rename(draft, pathOf(directory, number))
  } catch (error) {
    throw diskError('unlock', directory, error)
  }
}

function lockedError(directory: string, owner: Owner): QuorateError {
  return new QuorateError(
    'data-locked',
    `the data directory ${directory} is in use by the process ${owner.pid}, which is running`,
  )
}

/** False when somebody else created this number first. */
async function createLock(directory: string, number: number, owner: Owner): Promise<boolean> {
  const draft = draftPath(directory)
  await writeOwner(draft, owner)
  try {
    await link(draft, pathOf(directory, number))
    return true
  } catch (error) {
    // ENOENT: the holder of a newer lock has cleaned the draft away.
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOENT') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

function writeOwner(draft: string, owner: Owner): Promise<void> {
  return writeFile(draft, JSON.stringify(owner), { flag: 'wx', mode: 0o600 })
}

/** Lower numbers and the drafts of the dead. The holder of the highest number is the only one who gets here. */
async function removeOlder(directory: string, mine: number, numbers: number[]): Promise<void> {
  for (const number of numbers) {
    if (number < mine) await rm(pathOf(directory, number), { force: true })
  }
  for (const name of await readdir(directory)) {
    if (name.startsWith(draftPrefix)) await rm(join(directory, name), { force: true })
  }
}

/**
 * The numbers of all lock files, ascending. Read until twice the same: while a directory is read, a name that vanishes
 * and one that appears instead can both be missed.
 */
async function lockNumbers(directory: string): Promise<number[]> {
  let before = await readLockNumbers(directory)
  for (;;) {
    const now = await readLockNumbers(directory)
    if (now.join() === before.join()) return now
    before = now
  }
}

async function readLockNumbers(directory: string): Promise<number[]> {
  const numbers: number[] = []
  for (const name of await readdir(directory)) {
    if (name.startsWith(prefix)) numbers.push(Number(name.slice(prefix.length)))
  }
  return numbers.filter(Number.isSafeInteger).sort((left, right) => left - right)
}

/** `unreadable`: only a power cut can leave such a file, so its owner is gone too. */
async function readOwner(directory: string, number: number): Promise<Owner | 'gone' | 'unreadable'> {
  let text: string
  try {
    text = await readFile(pathOf(directory, number), 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'gone'
    throw error
  }
  try {
    const { pid, processStart, bootId, released } = JSON.parse(text) as Partial<Owner>
    if (!Number.isSafeInteger(pid) || pid === undefined || pid <= 0) return 'unreadable'
    return {
      pid,
      processStart: String(processStart),
      bootId: String(bootId),
      released: released === true,
    }
  } catch {
    return 'unreadable'
  }
}

async function isAlive(owner: Owner, me: Owner): Promise<boolean> {
  if (owner.released || owner.bootId !== me.bootId) return false
  if (owner.pid === me.pid) return owner.processStart === me.processStart
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: it is there and belongs to somebody else.
    if (codeOf(error) === 'ESRCH') return false
  }
  const found = await readProcess(owner.pid)
  if (found === undefined) return true
  return !found.isDead && found.start === owner.processStart
}

async function describeThisProcess(): Promise<Owner> {
  const found = await readProcess(process.pid)
  const processStart = found?.start ?? String(performance.timeOrigin)
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')
  return { pid: process.pid, processStart, bootId: bootId.trim(), released: false }
}

/**
 * What /proc/<pid>/stat says, undefined where there is none. Source: proc_pid_stat(5): field 2, the name, is in
 * parentheses and may hold anything; 3 is the state, 20 the number of threads, 22 the start in ticks since boot.
 * A zombie with threads left may still have a write under way, so it counts as alive.
 */
async function readProcess(pid: number): Promise<{ start: string; isDead: boolean } | undefined> {
  let text: string
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, threads, start] = [fields[0], fields[17], fields[19]]
  if (start === undefined) return undefined
  return { start, isDead: (state === 'Z' || state === 'X') && Number(threads) <= 1 }
}

function pathOf(directory: string, number: number): string {
  return join(directory, `${prefix}${number}`)
}

function draftPath(directory: string): string {
  return join(directory, `${draftPrefix}${process.pid}.${randomBytes(6).toString('hex')}`)
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function diskError(action: string, directory: string, cause: unknown): QuorateError {
  if (cause instanceof QuorateError) return cause
  const text = cause instanceof Error ? cause.message : String(cause)
  return new QuorateError('disk-failed', `${action} ${directory}: ${text}`, { cause })
}
