// Runs the standard seeds of the tree it stands in, one JSON line a seed, until one breaks a promise; or one of them
// alone. Started by `checks.ts` in a copy of the tree: seeds.ts COUNT [SEED]
import { drawOptions, simulate, startQuorate } from '../../src/simulator/index.ts'

const [count = 0, only] = process.argv.slice(2).map(Number)
const thinkMsMin = 30

/** One when a seed begins, and one when it has ended. */
export interface SeedReport {
  readonly seed: number
  readonly simulatedMs?: number
  /** The first promise that was broken, with the facts. */
  readonly broken?: { readonly promise: string; readonly facts: string } | undefined
}

function report(line: SeedReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** Without the runs of clients that hardly pause: they take most of the time, and show least of the faults. */
function nextSeed(after: number): number {
  let next = after + 1
  while (drawOptions(next).thinkMs < thinkMsMin) next++
  return next
}

let seed = 0

// What the program under simulation throws where nobody can catch it ends the run, as it would end the process.
process.on('uncaughtException', (error) => {
  const facts = error.stack ?? String(error)
  report({ seed, broken: { promise: 'the program does not crash', facts } })
  process.exit(0)
})

for (let done = 0; done < count; done++) {
  seed = nextSeed(seed)
  if (only !== undefined && seed !== only) continue
  report({ seed })
  const result = await simulate(seed, startQuorate, drawOptions(seed))
  const [broken] = result.violations
  report({ seed, simulatedMs: result.virtualMs, broken })
  if (broken !== undefined) break
}
