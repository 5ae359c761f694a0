// Threads that run seeds: each takes the next seed when it has done one. Reports come in the order of the seeds.
import { Worker } from 'node:worker_threads'
import type { RunPlan } from './plan.ts'
import { brokenOff, type SeedReport } from './run-seed.ts'

/** A run and the search for a smaller one take at most this long in real time; after it the thread is ended. */
const seedMsMax = 20 * 60_000
/** A tree that is broken fails everywhere: of the failures after these only the facts are told. */
const storiesMax = 5

export interface SeedOrder {
  readonly seed: number
  /** A failure is made smaller and told as a story. */
  readonly isTold: boolean
}

interface Job extends SeedOrder {
  /** Its place among the reports. */
  readonly order: number
}

export class SeedPool {
  readonly #plan: RunPlan
  readonly #jobs: number

  constructor(plan: RunPlan, jobs: number) {
    this.#plan = plan
    this.#jobs = jobs
  }

  /**
   * Runs what `nextSeed` gives until it gives undefined and all have ended. `onReport` gets them in the order in which
   * they were given out, whichever thread was faster.
   */
  async run(nextSeed: () => number | undefined, onReport: (report: SeedReport) => void): Promise<void> {
    const waiting = new Map<number, SeedReport>()
    let given = 0
    let told = 0
    let stories = 0
    const next = (): Job | undefined => {
      const seed = nextSeed()
      return seed === undefined ? undefined : { order: given++, seed, isTold: stories < storiesMax }
    }
    const done = (order: number, report: SeedReport): void => {
      if (report.story !== undefined) stories++
      waiting.set(order, report)
      for (let ready = waiting.get(told); ready !== undefined; ready = waiting.get(told)) {
        waiting.delete(told++)
        onReport(ready)
      }
    }
    await Promise.all(Array.from({ length: this.#jobs }, () => this.#work(next, done)))
  }

  async #work(next: () => Job | undefined, done: (order: number, report: SeedReport) => void): Promise<void> {
    let worker: Worker | undefined
    for (let job = next(); job !== undefined; job = next()) {
      worker ??= new Worker(new URL('./worker.ts', import.meta.url), { workerData: this.#plan })
      const report = await runOn(worker, { seed: job.seed, isTold: job.isTold }).catch((error: unknown) => {
        worker?.terminate().catch(() => undefined)
        worker = undefined
        return brokenOff(job?.seed ?? 0, this.#plan, error)
      })
      done(job.order, report)
    }
    await worker?.terminate()
  }
}

function runOn(worker: Worker, order: SeedOrder): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      clearTimeout(timeout)
      worker.off('message', onMessage).off('error', onError)
      act()
    }
    const onMessage = (report: SeedReport): void => settle(() => resolve(report))
    const onError = (error: unknown): void => settle(() => reject(error))
    const timeout = setTimeout(
      () => onError(new Error(`no end within ${seedMsMax / 60_000} minutes`)),
      seedMsMax,
    )
    worker.on('message', onMessage).on('error', onError)
    worker.postMessage(order)
  })
}
