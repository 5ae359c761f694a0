// The standard checks, in a fixed order, in a copy of the tree: the standard seeds of the simulator, then the tests of
// the rooms, those of the changed room first. The first one that fires ends it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestFailure } from './failure-reporter.ts'
import type { SeedReport } from './seeds.ts'
import type { Tree } from './tree.ts'

/** The list of standard seeds is 1 to this, each with the options that it draws. */
export const standardSeeds = 80
/** No seed of the unchanged tree takes a tenth of it. */
const seedSecondsMax = 150
const testSecondsMax = 600
/** All tests together; they are silent while they pass. */
const testsSecondsMax = 3_600

export interface Outcome {
  /** What noticed it; undefined: nothing did. */
  readonly check: string | undefined
  readonly by: 'simulator' | 'tests' | undefined
  /** The first facts. */
  readonly facts: string
  /** Of the seeds that were run. */
  readonly simulatedSeconds: number
  readonly realSeconds: number
  /** It ran into the time limit, and nothing else was seen. */
  readonly isTimeout: boolean
  /** It is no bug of the planned kind: the program does not run, or stumbles over itself. */
  readonly isBroken: boolean
  /** A check fired. */
  readonly isCaught: boolean
}

/** `room`: whose tests go first. */
export async function runChecks(tree: Tree, room: string): Promise<Outcome> {
  const startedMs = performance.now()
  const seeds = await runSeeds(tree)
  const found = seeds.found ?? (seeds.isBroken ? undefined : await runTests(tree, room))
  const facts = found?.facts ?? ''
  const isBroken = seeds.isBroken || /\b(TypeError|ReferenceError|SyntaxError)\b/.test(facts)
  return {
    check: found?.check,
    by: found?.by,
    facts,
    simulatedSeconds: seeds.simulatedMs / 1000,
    realSeconds: (performance.now() - startedMs) / 1000,
    isTimeout: found?.isTimeout ?? false,
    isBroken,
    isCaught: found !== undefined && !isBroken,
  }
}

interface Found {
  readonly by: 'simulator' | 'tests'
  readonly check: string
  readonly facts: string
  readonly isTimeout: boolean
}

async function runSeeds(tree: Tree): Promise<{ found?: Found; simulatedMs: number; isBroken: boolean }> {
  let simulatedMs = 0
  let isReady = false
  let found: Found | undefined
  const script = join('testing', 'mutants', 'seeds.ts')
  const ended = await eachLine(tree, [script, String(standardSeeds)], seedSecondsMax, (line) => {
    if (line === 'ready') isReady = true
    if (!line.startsWith('{')) return true
    const { seed, simulatedMs: ms, broken } = JSON.parse(line) as SeedReport
    simulatedMs += ms
    if (broken === undefined) return true
    const { promise, facts } = broken
    found = { by: 'simulator', check: `${promise} (seed ${seed})`, facts, isTimeout: false }
    return false
  })
  if (ended.isTimeout) {
    const check = `a seed ends within ${seedSecondsMax} s`
    found = { by: 'simulator', check, facts: 'the time limit', isTimeout: true }
  }
  const hasFailed = found === undefined && ended.code !== 0
  if (hasFailed && isReady) {
    found = { by: 'simulator', check: 'the program does not crash', facts: ended.errors, isTimeout: false }
  }
  return { ...(found === undefined ? {} : { found }), simulatedMs, isBroken: !isReady }
}

async function runTests(tree: Tree, room: string): Promise<Found | undefined> {
  const { own, others } = tree.testFiles(room)
  for (const files of [own, others]) {
    const known = new Set<string>()
    while (files.length > known.size) {
      const rest = files.filter((file) => !known.has(file))
      const failure = await firstFailure(tree, rest)
      if (failure === undefined) break
      // Once more: a test that fails now and then has found nothing.
      const file = rest.find((path) => failure.file.endsWith(path))
      if (file === undefined || (await firstFailure(tree, [file])) !== undefined)
        return foundBy(failure, file)
      known.add(file)
    }
  }
  return undefined
}

function foundBy(failure: TestFailure, file: string | undefined): Found {
  const { name, error, isTimeout } = failure
  return { by: 'tests', check: `${file ?? failure.file}: ${name}`, facts: error, isTimeout }
}

async function firstFailure(tree: Tree, files: readonly string[]): Promise<TestFailure | undefined> {
  if (files.length === 0) return undefined
  let failure: TestFailure | undefined
  const reporter = `./${join('testing', 'mutants', 'failure-reporter.ts')}`
  const options = ['--test', `--test-reporter=${reporter}`, `--test-timeout=${testSecondsMax * 1000}`]
  const ended = await eachLine(
    tree,
    [...options, '--test-concurrency=1', ...files],
    testsSecondsMax,
    (line) => {
      if (!line.startsWith('{')) return true
      failure = JSON.parse(line) as TestFailure
      return false
    },
  )
  if (failure !== undefined || ended.code === 0) return failure
  if (!ended.isTimeout) throw new Error(`the tests could not be run: ${ended.errors}`)
  const name = `the tests end within ${testsSecondsMax} s`
  return { name, file: files.join(', '), error: 'the time limit', isTimeout: true }
}

/** Runs node in the copy; `take` says after each line whether to go on. At most `secondsMax` between two lines. */
async function eachLine(
  tree: Tree,
  options: readonly string[],
  secondsMax: number,
  take: (line: string) => boolean,
): Promise<{ code: number | null; isTimeout: boolean; errors: string }> {
  const { NODE_TEST_CONTEXT: _, REWRITE: __, SIMULATION_SEED: ___, ...env } = process.env
  const child = spawn(process.execPath, options, { cwd: tree.directory, env, detached: true })
  const closed = once(child, 'close')
  let isTimeout = false
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000)
  })
  const stop = (): void => {
    // The child leads a group of its own, which holds whatever it has started.
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
  }
  const watchdog = setTimeout(() => {
    isTimeout = true
    stop()
  }, secondsMax * 1000)
  let isOver = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    watchdog.refresh()
    if (isOver || take(line)) return
    isOver = true
    stop()
  })
  const [code] = (await closed) as [number | null]
  clearTimeout(watchdog)
  return { code, isTimeout, errors }
}
