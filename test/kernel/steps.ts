// A phase of the life that is stopped just before chosen calls, to be looked at there: as a whole, every thread of it.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Interposer } from './interposer.ts'
import { type Life, phases } from './life.ts'

const pollMs = 2
const stopDeadlineMs = 60_000

export interface Steps {
  readonly life: Life
  readonly interposer: Interposer
  readonly phase: number
  /** The call to stop at next; not beyond the last one: no further stop. */
  next(at: number): number
}

/** `look`: at the call with this number, which has not been made. Throws what the phase throws. */
export async function liveInSteps(
  { life, interposer, phase, next }: Steps,
  look: (at: number) => void,
): Promise<void> {
  let isOver = false
  let looked = 0
  let at = next(0)
  interposer.arm(at, 'stop-before')
  const running = (phases[phase]?.run(life) ?? Promise.resolve()).finally(() => {
    isOver = true
  })
  running.catch(() => undefined)
  while (!isOver) {
    if (interposer.fired <= looked) {
      await sleep(pollMs)
      continue
    }
    looked++
    // The phase may end it at that very moment.
    if (!(await isStopped(life.node.pid))) continue
    look(at)
    // Another thread may have called meanwhile: a number that has passed is never reached.
    at = next(at)
    if (at > 0) at = Math.max(at, interposer.count + 1)
    interposer.arm(at, 'stop-before')
    process.kill(life.node.pid, 'SIGCONT')
  }
  await running
}

/** Once every thread stands still; what the kernel had begun for one is done then. False when it has ended. */
async function isStopped(pid: number): Promise<boolean> {
  const untilMs = performance.now() + stopDeadlineMs
  for (;;) {
    const states = threadsOf(pid).map((thread) => stateOf(`/proc/${pid}/task/${thread}/stat`))
    if (states.every((state) => state === 'gone')) return false
    if (states.every((state) => state === 'T' || state === 'gone')) return true
    if (performance.now() > untilMs) throw new Error(`the process ${pid} does not stop: ${states.join(' ')}`)
    await sleep(pollMs)
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

function stateOf(path: string): string {
  try {
    const stat = readFileSync(path, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
  } catch {
    return 'gone'
  }
}
