import type { SimulationOptions } from './options.ts'
import type { StartServer } from './server-seam.ts'
import { type SimulationResult, simulate } from './simulation.ts'

/**
 * Makes a failing run smaller: takes away kinds of faults, nodes, time and load one after the other and keeps each
 * change under which the run still breaks the promise it broke first. Returns the smallest run found; it costs one run
 * a try. No try begins after `eventsMax` events of tries: a bound of work, so that the same run is found everywhere.
 */
export async function reduceRun(
  failing: SimulationResult,
  startServer: StartServer,
  eventsMax: number = Number.POSITIVE_INFINITY,
): Promise<SimulationResult> {
  const promise = failing.violations[0]?.promise
  let smallest = failing
  let events = 0
  const refused = new Set<string>()
  for (let hasShrunk = true; hasShrunk; ) {
    hasShrunk = false
    for (const options of smallerOptions(smallest.options)) {
      const text = JSON.stringify(options)
      if (refused.has(text)) continue
      if (events >= eventsMax) return smallest
      const result = await simulate(failing.seed, startServer, options)
      events += result.events
      if (!result.violations.some((violation) => violation.promise === promise)) {
        refused.add(text)
        continue
      }
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
  if (options.faults.length > 0) smaller.push({ ...options, faults: [] })
  if (options.faults.length > 1) {
    for (const kind of options.faults) smaller.push({ ...options, faults: [kind] })
    for (const kind of options.faults) {
      smaller.push({ ...options, faults: options.faults.filter((other) => other !== kind) })
    }
  }
  if (options.maybe.length > 0) smaller.push({ ...options, maybe: [] })
  if (options.nodes > 1) smaller.push({ ...options, nodes: 1 })
  if (options.chaosMs > 500) smaller.push({ ...options, chaosMs: Math.ceil(options.chaosMs / 2) })
  for (const [name, value] of Object.entries(options)) {
    if (value === true) smaller.push({ ...options, [name]: false })
  }
  if (options.clients > 1) {
    smaller.push({ ...options, clients: 1 })
    smaller.push({ ...options, clients: options.clients - 1 })
  }
  if (options.keys > 1) smaller.push({ ...options, keys: 1 })
  if (options.chaosMs > 500) smaller.push({ ...options, chaosMs: Math.ceil(0.8 * options.chaosMs) })
  return smaller
}
