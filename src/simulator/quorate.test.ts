// The real node under the simulator: seeds that failed before, then a minute of others, one node and three, with members
// that stay and with members that change, each twice.
// SIMULATION_SEED sets the first of the others. One seed again: npm run simulate -- --from SEED --seeds 1
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test, { type TestContext } from 'node:test'
import { drawOptions, type SimulationOptions } from './options.ts'
import { startQuorate } from './quorate-server.ts'
import { describeRun, type SimulationResult, simulateTwice } from './simulation.ts'

const firstSeed = Number(process.env.SIMULATION_SEED ?? 1_000)

async function passes(t: TestContext, seed: number, options: SimulationOptions): Promise<SimulationResult> {
  const result = await simulateTwice(seed, startQuorate, options)
  t.diagnostic(describeRun(result))
  assert.deepEqual(result.violations, [], `${describeRun(result)}\n${JSON.stringify(options)}`)
  return result
}

/** Shorter than drawn, so that a minute holds many seeds. */
function shortened(seed: number, change: Partial<SimulationOptions>): SimulationOptions {
  const drawn = drawOptions(seed)
  const faultEveryMs = Math.min(drawn.faultEveryMs, 700)
  return {
    ...drawn,
    faultEveryMs,
    chaosMs: 4_000,
    thinkMs: Math.max(drawn.thinkMs, 30),
    members: false,
    ...change,
  }
}

for (const line of readFileSync(new URL('./seeds.txt', import.meta.url), 'utf8').split('\n')) {
  const [, seed, change, finding] = /^(\d+) (\{.*\}) \S+ (.*)$/.exec(line) ?? []
  if (seed === undefined || change === undefined) continue
  test(`seed ${seed}, which once found: ${finding}`, async (t) => {
    const options = { ...drawOptions(Number(seed)), ...(JSON.parse(change) as Partial<SimulationOptions>) }
    await passes(t, Number(seed), options)
  })
}

for (const { nodes, seeds } of [
  { nodes: 1, seeds: 10 },
  { nodes: 3, seeds: 14 },
]) {
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    test(`nodes: ${nodes}, seed ${seed}: every promise is kept, and the run repeats`, async (t) => {
      const rot = nodes > 1 && drawOptions(seed).rot
      const { calls } = await passes(t, seed, shortened(seed, { nodes, rot }))
      assert.ok(calls.answered > 10, 'the cluster served')
    })
  }
}

let changesOfMembers = 0
for (let seed = firstSeed; seed < firstSeed + 6; seed++) {
  test(`members change, seed ${seed}: every promise is kept, and the run repeats`, async (t) => {
    const { calls, changes } = await passes(t, seed, shortened(seed, { nodes: 3, rot: false, members: true }))
    assert.ok(calls.answered > 10, 'the cluster served')
    changesOfMembers += changes.size
  })
}

test('members changed in these seeds', () => {
  assert.ok(changesOfMembers > 0)
})
