// Several laboratories at a time: histories and scenarios mostly wait. Each has a process of its own, so that the judging
// of one does not hold up the clients of another.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { EpisodeSetup } from './episode.ts'
import type { ScenarioSetup } from './scenarios.ts'
import type { Result } from './session.ts'

export type Task =
  | { readonly kind: 'history'; readonly setup: EpisodeSetup }
  | { readonly kind: 'scenario'; readonly setup: ScenarioSetup }

/** Runs all of them in their order, so many at a time, and tells each result as it comes. */
export async function runTasks(
  tasks: readonly Task[],
  jobs: number,
  onResult: (result: Result) => void,
): Promise<void> {
  const waiting = [...tasks]
  const work = async (): Promise<void> => {
    const worker = fork(new URL('./worker.ts', import.meta.url), { serialization: 'advanced' })
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      onResult(await ask(worker, task))
    }
    worker.disconnect()
    await once(worker, 'exit')
  }
  await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, work))
}

async function ask(worker: ChildProcess, task: Task): Promise<Result> {
  const over = new AbortController()
  const ended = async (): Promise<never> => {
    const [code] = await once(worker, 'exit', over)
    const name = task.kind === 'history' ? `seed ${task.setup.seed}` : task.setup.name
    throw new Error(`the process of ${name} of ${task.setup.system} ended with ${code}`)
  }
  worker.send(task)
  try {
    const [result] = await Promise.race([once(worker, 'message', over), ended()])
    return result as Result
  } finally {
    over.abort()
  }
}
