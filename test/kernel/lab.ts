// What all sweeps share: a directory that goes with the process, prepared states to start from, workers, and a verdict
// on a node that came back.
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProcessNode } from '../processes/harness.ts'
import { freePorts } from '../support/ports.ts'
import { contradictions, type History, newHistory } from './history.ts'
import { buildInterposer } from './interposer.ts'
import { Life, newNode, phases } from './life.ts'
import { observe, writeAgain } from './observe.ts'
import { asProcess, type Opener, WorkerOpener } from './opener.ts'

const shownProblemsMax = 10
const progressMs = 30_000
const sharedMemory = '/dev/shm'
const memoryBytesMin = 4 * 1024 ** 3

export interface SweepOptions {
  /** What is drawn, and in which order points are tried, follows from it. */
  readonly seed: number
  /** Where on the circle of its points a sweep begins that has such. */
  readonly from: number
  /** Everything there is, instead of what fits into the time. */
  readonly isComplete: boolean
  readonly seconds: number
  readonly jobs: number
  /** One point of a sweep, as it was printed. */
  readonly point: string | undefined
  /** Of crash and errors: only points at calls like this. */
  readonly call: string | undefined
  /** What became of every kind of point, not only the sums. */
  readonly isVerbose: boolean
}

export interface SweepResult {
  readonly name: string
  /** What was tried and what came of it, in the order in which it is printed; running totals add it up. */
  readonly counts: Readonly<Record<string, number>>
  /** What is no sum over runs. */
  readonly facts?: Readonly<Record<string, number>>
  /** Where a next run goes on: a place on the circle of points, or a seed. Without it the sweep is always the same. */
  readonly next?: number
  readonly problems: readonly string[]
}

export class Lab {
  readonly directory: string
  readonly library: string
  readonly options: SweepOptions
  readonly #cleanups: (() => void)[] = []

  constructor(options: SweepOptions, where: 'disk' | 'memory') {
    this.options = options
    this.directory = mkdtempSync(join(where === 'memory' ? memoryDirectory() : tmpdir(), 'quorate-kernel-'))
    this.onEnd(() => rmSync(this.directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }))
    this.library = buildInterposer(this.directory)
  }

  /** Undone when the process ends, in whatever way it can still act on; the last first. */
  onEnd(cleanup: () => void): void {
    this.#cleanups.push(cleanup)
  }

  end(): void {
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      try {
        cleanup()
      } catch (error) {
        console.error(`cleaning up: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }

  /** One for each node that lives at a time. */
  makeOpeners(): WorkerOpener[] {
    const openers = Array.from({ length: this.options.jobs }, () => new WorkerOpener())
    this.onEnd(() => {
      for (const opener of openers) opener.end()
    })
    return openers
  }

  makeDirectory(name: string): string {
    const path = join(this.directory, name)
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path, { recursive: true })
    return path
  }
}

/** Files in memory, where there is enough of it. */
function memoryDirectory(): string {
  if (!existsSync(sharedMemory)) return tmpdir()
  const { bavail, bsize } = statfsSync(sharedMemory)
  return bavail * bsize >= memoryBytesMin ? sharedMemory : tmpdir()
}

/** A directory as the phases before left it, and what was acknowledged until then. */
export interface Prepared {
  readonly directory: string
  readonly history: History
}

/** The start of every phase, by one undisturbed life. */
export async function prepareLives(lab: Lab): Promise<Prepared[]> {
  const states: Prepared[] = []
  const base = lab.makeDirectory('prepared')
  const life = new Life(newNode(join(base, 'life'), await freePorts(3)), newHistory())
  mkdirSync(life.node.directory)
  for (const phase of phases) {
    const directory = join(base, phase.name)
    cpSync(life.node.directory, directory, { recursive: true })
    states.push({ directory, history: structuredClone(life.history) })
    await phase.run(life)
  }
  life.node.close()
  return states
}

/** Opens the node and asks it for all it has. Empty when it came up, contradicts nothing, and takes a write. */
export async function verify(
  node: ProcessNode,
  history: History,
  opener: Opener = asProcess,
): Promise<string[]> {
  const problems: string[] = []
  try {
    await opener.open(node)
    const observed = await observe(node.endpoint)
    problems.push(...contradictions(history, observed).slice(0, shownProblemsMax))
    problems.push(...(await writeAgain(node.endpoint, history, observed.revision)))
    if (problems.length > 0) problems.push(`it said: ${opener.said(node)}`)
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error))
  }
  try {
    await opener.close(node)
  } catch (error) {
    problems.push(`closing it: ${String(error)}`)
  }
  node.close()
  return problems
}

/**
 * `work` for each item, `jobs` at a time, each with its own number; stops to take items when the time is over. Says from
 * time to time how far it is. Returns how many it took: the first ones.
 */
export async function inParallel<Item>(
  items: readonly Item[],
  jobs: number,
  untilMs: number,
  work: (item: Item, worker: number) => Promise<void>,
): Promise<number> {
  let next = 0
  let toldMs = performance.now()
  const worker = async (number: number): Promise<void> => {
    while (next < items.length && !isOver(untilMs)) {
      const item = items[next++] as Item
      if (performance.now() - toldMs > progressMs) {
        console.log(`  ${next - 1} of ${items.length}`)
        toldMs = performance.now()
      }
      await work(item, number)
    }
  }
  await Promise.all(Array.from({ length: jobs }, (_, number) => worker(number)))
  return next
}

let isEnding = false

/** From now on nothing new is tried, and the sweeps come to their sums. */
export function endSoon(): void {
  isEnding = true
}

export function isOver(untilMs: number): boolean {
  return isEnding || performance.now() > untilMs
}

/** When a sweep with these options must end. */
export function untilMsOf(options: SweepOptions): number {
  return options.isComplete ? Number.POSITIVE_INFINITY : performance.now() + options.seconds * 1_000
}
