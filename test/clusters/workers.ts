// Several laboratories at a time: histories mostly wait. Each has a process of its own, so that the judging of one does
// not hold up the clients of another.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { EpisodeSetup } from './episode.ts'
import type { Result } from './session.ts'

/** Runs all histories, so many at a time, and tells each result as it comes. */
export async function runEpisodes(
  setups: readonly EpisodeSetup[],
  jobs: number,
  onResult: (result: Result) => void,
): Promise<void> {
  const waiting = [...setups]
  const work = async (): Promise<void> => {
    const worker = fork(new URL('./worker.ts', import.meta.url), { serialization: 'advanced' })
    for (let setup = waiting.shift(); setup !== undefined; setup = waiting.shift()) {
      onResult(await ask(worker, setup))
    }
    worker.disconnect()
    await once(worker, 'exit')
  }
  await Promise.all(Array.from({ length: Math.min(jobs, setups.length) }, work))
}

async function ask(worker: ChildProcess, setup: EpisodeSetup): Promise<Result> {
  const over = new AbortController()
  const ended = async (): Promise<never> => {
    const [code] = await once(worker, 'exit', over)
    throw new Error(`the process of seed ${setup.seed} of ${setup.system} ended with ${code}`)
  }
  worker.send(setup)
  try {
    const [result] = await Promise.race([once(worker, 'message', over), ended()])
    return result as Result
  } finally {
    over.abort()
  }
}
