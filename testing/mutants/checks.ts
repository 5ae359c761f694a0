// The standard checks in a copy of the tree, step by step until one fires: the standard seeds of the simulator, and the
// tests of the rooms.
import { eachLine } from './children.ts'
import type { Noticed, Step } from './order.ts'
import type { SeedReport } from './seeds.ts'
import type { TestFailure } from './tests.ts'
import type { Tree } from './tree.ts'

/** The list of standard seeds: the first so many whose clients pause, each with the options that it draws. */
export const standardSeeds = 80
/** No seed of the unchanged tree takes a fiftieth of it. */
const seedSecondsMax = 150
/** One file of tests. */
const testSecondsMax = 300
/** Beyond it, for a file that goes round in one turn and so does not hear that its time is over. */
const deafSeconds = 20

export interface Outcome {
  /** What noticed it; undefined: nothing did. */
  readonly check: string | undefined
  readonly by: Step['by'] | 'kernel' | undefined
  /** The first facts. */
  readonly facts: string
  /** Of the seeds that were run. */
  readonly simulatedSeconds: number
  readonly realSeconds: number
  /** What ran into a time limit. On a busy machine that says nothing, so it is no catch. */
  readonly hung: string | undefined
  /** It is no bug of the planted kind: the program does not run, or stumbles over itself. */
  readonly isBroken: boolean
  /** A check fired. */
  readonly isCaught: boolean
  /** What is to be remembered. */
  readonly noticed: Noticed
}

interface Found {
  readonly check: string
  readonly facts: string
}

interface BrokenSeed {
  readonly seed: number
  readonly promise: string
  readonly facts: string
}

interface StepResult {
  readonly found?: Found | undefined
  readonly hung?: string | undefined
  readonly simulatedMs: number
  readonly isBroken: boolean
  readonly noticed: Noticed
}

/** `before`: what noticed it the last time. */
export async function runChecks(tree: Tree, steps: readonly Step[], before: Noticed): Promise<Outcome> {
  const startedMs = performance.now()
  let noticed = before
  let simulatedMs = 0
  let hung: string | undefined
  let found: Found | undefined
  let by: Step['by'] | undefined
  let isBroken = false
  for (const step of steps) {
    const result = await runStep(tree, step, noticed)
    noticed = result.noticed
    simulatedMs += result.simulatedMs
    hung ??= result.hung
    found = result.found
    by = step.by
    isBroken = result.isBroken || /\b(TypeError|ReferenceError|SyntaxError)\b/.test(found?.facts ?? '')
    if (found !== undefined || isBroken) break
  }
  return {
    check: found?.check,
    by: found && by,
    facts: found?.facts ?? '',
    simulatedSeconds: simulatedMs / 1000,
    realSeconds: (performance.now() - startedMs) / 1000,
    hung,
    isBroken,
    isCaught: found !== undefined && !isBroken,
    noticed,
  }
}

function runStep(tree: Tree, step: Step, noticed: Noticed): Promise<StepResult> {
  return step.by === 'simulator' ? runSeeds(tree, step.only, noticed) : runTests(tree, step.files, noticed)
}

async function runSeeds(tree: Tree, only: number | undefined, before: Noticed): Promise<StepResult> {
  let simulatedMs = 0
  let seed = 0
  let broken: BrokenSeed | undefined
  const choice = [standardSeeds, ...(only === undefined ? [] : [only])].map(String)
  const ended = await eachLine(
    tree.directory,
    ['testing/mutants/seeds.ts', ...choice],
    seedSecondsMax,
    (line) => {
      if (!line.startsWith('{')) return true
      const report = JSON.parse(line) as SeedReport
      seed = report.seed
      simulatedMs += report.simulatedMs ?? 0
      if (report.broken !== undefined) broken = { seed, ...report.broken }
      return broken === undefined
    },
  )
  if (ended.isTimeout) return { simulatedMs, isBroken: false, hung: 'a standard seed', noticed: before }
  if (broken === undefined && ended.code !== 0) {
    broken = { seed, promise: 'the program does not crash', facts: ended.errors }
    // Without a seed it could not even be loaded.
    if (seed === 0) return { found: foundBy(broken), simulatedMs, isBroken: true, noticed: before }
  }
  const found = broken && foundBy(broken)
  const noticed = broken && { seed: broken.seed, promise: broken.promise }
  // Of one seed alone it is not known how long all before it take.
  const seconds = only === undefined ? simulatedMs / 1000 : before.simulator?.simulatedSeconds
  const isKnown = seconds !== undefined && (only === undefined || noticed !== undefined)
  const simulator = isKnown ? { simulatedSeconds: Math.round(seconds), noticed } : undefined
  return { found, simulatedMs, isBroken: false, noticed: { ...before, simulator } }
}

function foundBy({ seed, promise, facts }: BrokenSeed): Found {
  return { check: `${promise} (seed ${seed})`, facts }
}

async function runTests(tree: Tree, files: readonly string[], before: Noticed): Promise<StepResult> {
  const passedOver = new Set<string>()
  let hung: string | undefined
  while (files.length > passedOver.size) {
    const rest = files.filter((file) => !passedOver.has(file))
    const failure = await firstFailure(tree, rest)
    if (failure === undefined) break
    const { file } = failure
    const check = `${file}: ${failure.name}`
    if (failure.isTimeout) hung ??= check
    // Once more, unless it is what fired the last time: a test that fails now and then has found nothing.
    else if (check === before.tests || (await firstFailure(tree, [file])) !== undefined) {
      const found = { check, facts: failure.error }
      return { found, hung, simulatedMs: 0, isBroken: false, noticed: { ...before, tests: check } }
    }
    passedOver.add(file)
  }
  const isForgotten = files.some((file) => before.tests?.startsWith(`${file}: `))
  const noticed = isForgotten ? { ...before, tests: undefined } : before
  return { hung, simulatedMs: 0, isBroken: false, noticed }
}

async function firstFailure(tree: Tree, files: readonly string[]): Promise<TestFailure | undefined> {
  let failure: TestFailure | undefined
  let running = ''
  const options = ['testing/mutants/tests.ts', String(testSecondsMax * 1000), ...files]
  const ended = await eachLine(tree.directory, options, testSecondsMax + deafSeconds, (line) => {
    if (!line.startsWith('{')) {
      running = line
      return true
    }
    failure = JSON.parse(line) as TestFailure
    return false
  })
  if (ended.isTimeout) return { name: 'the file ends', file: running, error: '', isTimeout: true }
  if (failure === undefined && ended.code !== 0)
    throw new Error(`the tests could not be run: ${ended.errors}`)
  return failure
}
