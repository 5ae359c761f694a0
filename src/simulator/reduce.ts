import type { SimulationOptions } from './options.ts'
import type { StartServer } from './server-seam.ts'
import { type SimulationResult, simulate } from './simulation.ts'

/**
 * Makes a failing run smaller: takes away kinds of faults, clients, time and load one after the other and keeps each
 * change under which the run still breaks the same promise first. Returns the smallest run found; it costs one run a
 * try.
 */
export async function reduceRun(
  failing: SimulationResult,
  startServer: StartServer,
): Promise<SimulationResult> {
  const promise = failing.violations[0]?.promise
  let smallest = failing
  for (let hasShrunk = true; hasShrunk; ) {
    hasShrunk = false
    for (const options of smallerOptions(smallest.options)) {
      const result = await simulate(failing.seed, startServer, options)
      if (result.violations[0]?.promise !== promise) continue
      smallest = result
      hasShrunk = true
      break
    }
  }
  return smallest
}

/** Every single step down from `options`, the largest first. */
function smallerOptions(options: SimulationOptions): SimulationOptions[] {
  const smaller: SimulationOptions[] = []
  if (options.faults.length > 1) smaller.push({ ...options, faults: [] })
  for (const kind of options.faults) {
    smaller.push({ ...options, faults: options.faults.filter((other) => other !== kind) })
  }
  if (options.nodes > 1) smaller.push({ ...options, nodes: 1 })
  if (options.chaosMs > 500) smaller.push({ ...options, chaosMs: Math.ceil(options.chaosMs / 2) })
  if (options.clients > 1) smaller.push({ ...options, clients: options.clients - 1 })
  if (options.keys > 1) smaller.push({ ...options, keys: 1 })
  if (options.members) smaller.push({ ...options, members: false })
  if (options.leases) smaller.push({ ...options, leases: false })
  if (options.compaction) smaller.push({ ...options, compaction: false })
  return smaller
}
