// The planted bugs that only a real kernel shows: a sweep of `npm run kernel` that passes with the sources as they are
// has to fail with the bug in them.
import { join } from 'node:path'
import type { Outcome } from './checks.ts'
import { eachLine } from './children.ts'
import type { Tree } from './tree.ts'

const root = join(import.meta.dirname, '..', '..')
const sweepSecondsMax = 1_200
/** The points that a sweep draws are the same in each run. */
const fixed = ['--seed', '1', '--jobs', '1']
const usageExitCode = 2

/** `sweep`: options of `npm run kernel`. A text: why it cannot be run here. Throws when the sources as they are fail. */
export async function runSweep(tree: Tree, sweep: readonly string[]): Promise<Outcome | string> {
  const startedMs = performance.now()
  const unchanged = await runKernel(sweep)
  if (unchanged.code === usageExitCode) return unchanged.errors.trim()
  if (unchanged.code !== 0)
    throw new Error(`the unchanged tree fails in the kernel sweep: ${unchanged.lines.join('\n')}`)
  const { code, lines } = await runKernel([...sweep, '--tree', tree.directory])
  const isCaught = code === 1
  const check = isCaught ? `npm run kernel -- ${sweep.join(' ')}` : undefined
  return {
    check,
    by: isCaught ? 'kernel' : undefined,
    facts: lines.join('\n'),
    simulatedSeconds: 0,
    realSeconds: (performance.now() - startedMs) / 1000,
    hung: undefined,
    isBroken: false,
    isCaught,
    noticed: { kernel: check },
  }
}

async function runKernel(options: readonly string[]) {
  const lines: string[] = []
  const ended = await eachLine(
    root,
    ['test/kernel/main.ts', ...fixed, ...options],
    sweepSecondsMax,
    (line) => {
      lines.push(line)
      return true
    },
  )
  if (ended.isTimeout) throw new Error(`the kernel sweep did not end within ${sweepSecondsMax} s`)
  return { ...ended, lines }
}
