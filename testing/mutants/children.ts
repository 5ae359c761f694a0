// Programs that run in a copy of the tree, each in a process group of its own, so that what they started ends with them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const running = new Set<number>()
process.on('exit', () => {
  for (const pid of running) endGroup(pid)
})

export interface Ended {
  readonly code: number | null
  readonly isTimeout: boolean
  /** The last of what it said on the error channel. */
  readonly errors: string
}

/** Runs node in `directory`; `take` says after each line whether to go on. At most `secondsMax` between two lines. */
export async function eachLine(
  directory: string,
  options: readonly string[],
  secondsMax: number,
  take: (line: string) => boolean,
): Promise<Ended> {
  const { NODE_TEST_CONTEXT: _, REWRITE: __, SIMULATION_SEED: ___, ...inherited } = process.env
  const env = { ...inherited, NODE_OPTIONS: '--disable-warning=ExperimentalWarning' }
  const child = spawn(process.execPath, options, { cwd: directory, env, detached: true })
  const { pid } = child
  if (pid !== undefined) running.add(pid)
  const closed = once(child, 'close')
  let isTimeout = false
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000)
  })
  const stop = (): void => {
    if (pid !== undefined && child.exitCode === null) endGroup(pid)
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
  if (pid !== undefined) running.delete(pid)
  return { code, isTimeout, errors }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
