// What all sweeps share: a directory that goes with the process, prepared states to start from, workers, and a verdict
// on a node that came back.
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, type ProcessNode } from '../processes/harness.ts'
import { contradictions, type History, newHistory } from './history.ts'
import { buildInterposer } from './interposer.ts'
import { Life, newNode, phases } from './life.ts'
import { observe, writeAgain } from './observe.ts'

const shownProblemsMax = 10
const saidMax = 2_000
const progressMs = 30_000

export interface SweepOptions {
  readonly seed: number
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
  /** In the order in which they are printed. */
  readonly counts: Readonly<Record<string, number>>
  readonly problems: readonly string[]
}

export class Lab {
  readonly directory: string
  readonly library: string
  readonly options: SweepOptions
  readonly #cleanups: (() => void)[] = []

  constructor(options: SweepOptions) {
    this.options = options
    this.directory = mkdtempSync(join(tmpdir(), 'quorate-kernel-'))
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

  makeDirectory(name: string): string {
    const path = join(this.directory, name)
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path, { recursive: true })
    return path
  }
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

/** Starts the node and asks it for all it has. Empty when it came up, contradicts nothing, and takes a write. */
export async function verify(node: ProcessNode, history: History): Promise<string[]> {
  const life = new Life(node, history)
  try {
    await life.start()
    const observed = await observe(node.endpoint)
    const problems = contradictions(history, observed)
    problems.push(...(await writeAgain(node.endpoint, history, observed.revision)))
    if (problems.length > 0) problems.push(`it said: ${node.program.stderr.slice(-saidMax)}`)
    return problems.length <= shownProblemsMax
      ? problems
      : [...problems.slice(0, shownProblemsMax), ...problems.slice(-1)]
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  } finally {
    await node.end('SIGKILL')
    node.close()
  }
}

/**
 * `work` for each item, `jobs` at a time, each with its own number; stops to take items when the time is over. Says from
 * time to time how far it is.
 */
export async function inParallel<Item>(
  items: readonly Item[],
  jobs: number,
  untilMs: number,
  work: (item: Item, worker: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let toldMs = performance.now()
  const worker = async (number: number): Promise<void> => {
    while (next < items.length && performance.now() < untilMs) {
      const item = items[next++] as Item
      if (performance.now() - toldMs > progressMs) {
        console.log(`  ${next - 1} of ${items.length}`)
        toldMs = performance.now()
      }
      await work(item, number)
    }
  }
  await Promise.all(Array.from({ length: jobs }, (_, number) => worker(number)))
}

/** When a sweep with these options must end. */
export function untilMsOf(options: SweepOptions): number {
  return options.isComplete ? Number.POSITIVE_INFINITY : performance.now() + options.seconds * 1_000
}
