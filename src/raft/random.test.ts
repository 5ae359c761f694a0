import assert from 'node:assert/strict'
import test from 'node:test'
import { RandomRun, type RunCounts } from './testing/random-run.ts'

const seedCount = Number(process.env.RAFT_SEEDS ?? 300)
const firstSeed = Number(process.env.RAFT_SEED ?? 1)

test(`random schedules keep every invariant and heal: seeds ${firstSeed} to ${firstSeed + seedCount - 1}`, () => {
  const total: RunCounts = {
    leaders: 0,
    applied: 0,
    reads: 0,
    crashes: 0,
    changes: 0,
    snapshots: 0,
    lostStates: 0,
  }
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const run = new RandomRun(seed)
    try {
      run.disturb(4000)
      run.heal()
    } catch (cause) {
      throw new Error(`seed ${seed} broke a rule; again: RAFT_SEED=${seed} RAFT_SEEDS=1`, { cause })
    }
    for (const key of Object.keys(total) as (keyof RunCounts)[]) total[key] += run.counts[key]
  }
  const least = seedCount / 10
  for (const [what, count] of Object.entries(total))
    assert.ok(count > least, `${what} happened ${count} times`)
  if (process.env.RAFT_COUNTS !== undefined) console.log(total)
})
