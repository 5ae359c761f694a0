// Runs the standard seeds of the tree it stands in, one JSON line a seed, until one breaks a promise. Started by
// `checks.ts` in a copy of the tree.
import { drawOptions, simulate, startQuorate } from '../../src/simulator/index.ts'

const count = Number(process.argv[2])
const thinkMsMin = 30

export interface SeedReport {
  readonly seed: number
  readonly simulatedMs: number
  readonly cpuMs: number
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
const started = (): number => Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1000)

// What the program under simulation throws where nobody can catch it ends the run, as it would end the process.
process.on('uncaughtException', (error) => {
  const facts = error.stack ?? String(error)
  report({ seed, simulatedMs: 0, cpuMs: started(), broken: { promise: 'the program does not crash', facts } })
  process.exit(0)
})

process.stdout.write('ready\n')
for (let done = 0; done < count; done++) {
  seed = nextSeed(seed)
  const result = await simulate(seed, startQuorate, drawOptions(seed))
  const [broken] = result.violations
  report({ seed, simulatedMs: result.virtualMs, cpuMs: started(), broken })
  if (broken !== undefined) break
}
