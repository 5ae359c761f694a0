// How many times faster than real time the simulation is: a fixed load, no faults, one thread.
import { drawOptions, type SimulationOptions, simulate, startQuorate } from '../../src/simulator/index.ts'

const warmUpMs = 2 * 60_000
const measuredMs = 15 * 60_000
/** Two clients with this pause make 20 operations a second. */
const thinkMs = 97

/** Three nodes as they are by default in production. */
function speedOptions(chaosMs: number): SimulationOptions {
  return {
    ...drawOptions(1),
    nodes: 3,
    clients: 2,
    keys: 8,
    faults: [],
    chaosMs,
    healMs: 60_000,
    thinkMs,
    leases: false,
    compaction: true,
    extensions: false,
    rot: false,
    members: false,
    networkDelayMs: 0.5,
    healsMajority: false,
    maybe: [],
    tuning: {
      heartbeatMs: 100,
      electionMs: 1_000,
      segmentBytesMax: 64 * 1024 * 1024,
      snapshotEntries: 10_000,
      appendBytesMax: 1024 * 1024,
      inflightMax: 64,
      windowBytesMax: 32 * 1024 * 1024,
      flushOperations: 4_000,
      flushIntervalMs: 100,
      queueMax: 16_384,
      uncommittedBytesMax: 128 * 1024 * 1024,
      leaseCheckpointMs: 300_000,
    },
  }
}

export async function measureSpeed(): Promise<string> {
  await simulate(1, startQuorate, speedOptions(warmUpMs))
  const realStart = performance.now()
  const cpuStart = process.cpuUsage()
  const result = await simulate(1, startQuorate, speedOptions(measuredMs))
  const realMs = performance.now() - realStart
  const { user, system } = process.cpuUsage(cpuStart)
  const cpuMs = (user + system) / 1_000
  const { answered, failed, unknown } = result.calls
  const operations = (1_000 * (answered + failed + unknown)) / result.virtualMs
  const { violations, virtualMs, events } = result
  return [
    `simulated hours ${(virtualMs / 3_600_000).toFixed(2)}`,
    `operations a second ${operations.toFixed(1)}`,
    `events ${events}`,
    `violations ${violations.length}`,
    `ratio to real time ${(virtualMs / realMs).toFixed(0)}x`,
    `to processor time ${(virtualMs / cpuMs).toFixed(0)}x`,
    `${((1_000 * cpuMs) / events).toFixed(1)} us an event`,
  ].join('  ')
}
