// A thread of the pool: runs the seeds it is sent, one after the other.
import { parentPort, workerData } from 'node:worker_threads'
import type { RunPlan } from './plan.ts'
import type { SeedOrder } from './pool.ts'
import { brokenOff, runSeed } from './run-seed.ts'

const plan = workerData as RunPlan

parentPort?.on('message', ({ seed, isTold }: SeedOrder) => {
  runSeed(seed, plan, isTold)
    .catch((error: unknown) => brokenOff(seed, plan, error))
    .then((report) => parentPort?.postMessage(report), console.error)
})
