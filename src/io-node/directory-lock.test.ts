import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { isQuorateError } from '../base/index.ts'
import { lockDirectory } from './index.ts'

function temporaryDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-lock-'))
  context.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const onlyFile = (directory: string): string => {
  const names = readdirSync(directory)
  assert.equal(names.length, 1, `one lock file stays, found ${names}`)
  return join(directory, names[0] ?? '')
}

const isLocked = (error: unknown): boolean => isQuorateError(error, 'data-locked')

/** A process that waits for a line, locks, prints how it went, and holds on until killed. */
const childProgram = `
  import { lockDirectory } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, 'index.ts')).href)}
  process.stdout.write('ready\\n')
  process.stdin.once('data', async () => {
    const result = await lockDirectory(process.argv[1]).then(() => 'locked', (error) => error.code)
    process.stdout.write(result + '\\n')
  })
`

async function startChild(t: TestContext, directory: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', childProgram, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  assert.equal((await lines.next()).value, 'ready')
  return {
    child,
    async lock(): Promise<string> {
      child.stdin.write('go\n')
      return String((await lines.next()).value)
    },
  }
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

test('a second lock is refused until the first is released, any number of times', async (t) => {
  const directory = temporaryDirectory(t)
  for (let round = 0; round < 3; round++) {
    const lock = await lockDirectory(directory)
    await assert.rejects(lockDirectory(directory), (error) => {
      assert.ok(isLocked(error))
      assert.ok(String(error).includes(String(process.pid)), 'the message names the process')
      return true
    })
    await lock.release()
  }
  onlyFile(directory)
})

test('a living process keeps its lock; killed without a word, it loses it', async (t) => {
  const directory = temporaryDirectory(t)
  const { child, lock } = await startChild(t, directory)
  assert.equal(await lock(), 'locked')
  await assert.rejects(
    lockDirectory(directory),
    (error) => isLocked(error) && String(error).includes(`process ${child.pid}`),
  )
  await kill(child)
  await (await lockDirectory(directory)).release()
})

test('of several processes that find one stale lock, one gets it', async (t) => {
  const directory = temporaryDirectory(t)
  const first = await startChild(t, directory)
  assert.equal(await first.lock(), 'locked')
  await kill(first.child)
  const others = await Promise.all([1, 2, 3, 4].map(() => startChild(t, directory)))
  const results = await Promise.all(others.map((other) => other.lock()))
  assert.deepEqual(results.sort(), ['data-locked', 'data-locked', 'data-locked', 'locked'])
})

test('inside one process, of many at once one gets the lock', async (t) => {
  const directory = temporaryDirectory(t)
  const stale = await lockDirectory(directory)
  await stale.release()
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(directory)))
  assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1)
  for (const result of results) if (result.status === 'rejected') assert.ok(isLocked(result.reason))
  onlyFile(directory)
})

const hasProcessTable = existsSync('/proc/self/stat')

/** What a lock file of a living process is changed to, and whether it still counts. */
const changes: { name: string; change: (text: string) => string; isStale: boolean }[] = [
  { name: 'as it was', change: (text) => text, isStale: false },
  {
    name: 'of another boot',
    change: (text) => JSON.stringify({ ...JSON.parse(text), bootId: 'other' }),
    isStale: true,
  },
  {
    name: 'of a process id given out again',
    change: (text) => JSON.stringify({ ...JSON.parse(text), processStart: '1' }),
    isStale: true,
  },
  { name: 'empty after a power cut', change: () => '', isStale: true },
  { name: 'of process 0', change: () => '{"pid":0}', isStale: true },
]
for (const { name, change, isStale } of changes) {
  test(`a lock file ${name} is ${isStale ? 'stale' : 'in force'}`, { skip: !hasProcessTable }, async (t) => {
    const directory = temporaryDirectory(t)
    const { lock } = await startChild(t, directory)
    assert.equal(await lock(), 'locked')
    const path = onlyFile(directory)
    writeFileSync(path, change(readFileSync(path, 'utf8')))
    if (isStale) await (await lockDirectory(directory)).release()
    else await assert.rejects(lockDirectory(directory), isLocked)
  })
}

test('a lower number than the one in force counts for nobody', async (t) => {
  const directory = temporaryDirectory(t)
  for (let round = 0; round < 3; round++) await (await lockDirectory(directory)).release()
  const lock = await lockDirectory(directory)
  writeFileSync(join(directory, 'lock.2'), readFileSync(onlyFile(directory)))
  await assert.rejects(lockDirectory(directory), isLocked)
  await lock.release()
  await (await lockDirectory(directory)).release()
  onlyFile(directory)
})

/** Opens a named pipe for writing once somebody has begun to read it. */
async function openPipeOfReader(path: string): Promise<number> {
  for (;;) {
    try {
      return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === 'ENXIO', String(error))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

test('a taker that slept while others took and left steps back', { skip: !hasProcessTable }, async (t) => {
  const directory = temporaryDirectory(t)
  // The sleeper: it found lock 5 and reads who holds it, which takes as long as we like.
  const pipe = join(directory, 'lock.5')
  spawnSync('mkfifo', [pipe])
  const sleeper = lockDirectory(directory).then(
    () => 'locked',
    (error) => error.code,
  )
  const writer = await openPipeOfReader(pipe)
  // Meanwhile somebody had lock 6 and left, and another took lock 7, which cleared 5 and 6 away.
  writeFileSync(join(directory, 'lock.6'), '')
  const lock = await lockDirectory(directory)
  assert.equal(onlyFile(directory), join(directory, 'lock.7'))
  // Now it learns that the holder of 5 is gone; number 6 is free, and it must not believe that this is the lock.
  writeSync(writer, '{}')
  closeSync(writer)
  assert.equal(await sleeper, 'data-locked')
  assert.equal(onlyFile(directory), join(directory, 'lock.7'))
  await lock.release()
})

test('however takers and leavers overlap, never do two hold the lock', async (t) => {
  const directory = temporaryDirectory(t)
  let holders = 0
  let turns = 0
  async function takeTurns(): Promise<void> {
    while (turns < 60) {
      let lock: Awaited<ReturnType<typeof lockDirectory>>
      try {
        lock = await lockDirectory(directory)
      } catch (error) {
        assert.ok(isLocked(error), String(error))
        continue
      }
      turns++
      holders++
      assert.equal(holders, 1)
      await new Promise((resolve) => setImmediate(resolve))
      holders--
      await lock.release()
    }
  }
  await Promise.all(Array.from({ length: 6 }, takeTurns))
  assert.ok(turns >= 60)
})

test('a directory that is not there is disk-failed', async (t) => {
  const directory = join(temporaryDirectory(t), 'none')
  await assert.rejects(lockDirectory(directory), (error) => isQuorateError(error, 'disk-failed'))
})
