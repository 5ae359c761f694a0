import assert from 'node:assert/strict'
import test from 'node:test'
import { drawOptions } from '../../src/simulator/index.ts'
import type { RunPlan } from '../../testing/simulation/plan.ts'
import { SeedPool } from '../../testing/simulation/pool.ts'
import { changesOf, runSeed, type SeedReport } from '../../testing/simulation/run-seed.ts'
import { Tally } from '../../testing/simulation/tally.ts'

/** Short runs of the fake server. */
const short: RunPlan = {
  server: 'fake',
  change: {
    nodes: 1,
    chaosMs: 500,
    healMs: 20_000,
    faults: [],
    extensions: false,
    members: false,
    rot: false,
  },
  replayEvery: 2,
  reducesWithoutBound: false,
}

async function reportsOf(plan: RunPlan, seeds: readonly number[], jobs: number): Promise<SeedReport[]> {
  const left = [...seeds]
  const reports: SeedReport[] = []
  await new SeedPool(plan, jobs).run(
    () => left.shift(),
    (report) => reports.push(report),
  )
  return reports
}

test('reports come in the order of the seeds and do not depend on how many threads run them', async () => {
  const seeds = [5, 2, 9, 4, 7]
  const reports = await reportsOf(short, seeds, 2)
  assert.deepEqual(
    reports.map(({ seed }) => seed),
    seeds,
  )
  assert.deepEqual(reports, await reportsOf(short, seeds, 1))
  assert.deepEqual(
    reports.map(({ comparison }) => comparison),
    ['none', 'equal', 'none', 'equal', 'none'],
  )
})

test('a seed that fails is told: what was broken, the smaller run, how to run it again', async () => {
  const plan = { ...short, server: 'fake:splitsWatches' }
  const report = await runSeed(2, plan, true)
  assert.match(report.line, /FAILED/)
  const story = report.story ?? ''
  assert.match(story, /^# Seed 2: watch: atomic/)
  assert.match(story, /npm run simulate -- --seed 2 --server fake:splitsWatches --options '\{.*"clients":1/)
  assert.match(story, /\ncheck\n----\nbroken: watch: atomic/)
  const facts = await runSeed(2, plan, false)
  assert.equal(facts.digest, report.digest)
  assert.equal(facts.story?.split('\n').length, 3, 'without a story two lines say what and how')
})

test('a server that differs from run to run is a failure and counted as a differing digest', async () => {
  const tally = new Tally()
  const plan = { ...short, server: 'fake:isNotRepeatable', replayEvery: 1 }
  for (let seed = 1; seed <= 8 && tally.differing === 0; seed++) tally.add(await runSeed(seed, plan, false))
  assert.equal(tally.differing, 1)
  assert.equal(tally.failures, 1)
})

test('a seed whose run throws is a failure with its seed, and the others go on', async () => {
  const plan = { ...short, change: { ...short.change, keys: 0 } }
  const reports = await reportsOf(plan, [1, 2], 1)
  assert.deepEqual(
    reports.map(({ seed, violations }) => [seed, violations[0]?.promise]),
    [
      [1, 'a run ends'],
      [2, 'a run ends'],
    ],
  )
})

test('the summary adds up hours, failures and writes, and the coverage names what was never reached', () => {
  const tally = new Tally()
  const report: SeedReport = {
    seed: 1,
    line: '',
    digest: 1,
    comparison: 'equal',
    violations: [],
    story: undefined,
    virtualMs: 1_800_000,
    acknowledgedWrites: 70,
    watchedEvents: 9,
    faults: new Map([['crash', 2]]),
    marks: new Map([['log-truncated', 3]]),
  }
  tally.add(report)
  tally.add({ ...report, comparison: 'none', violations: [{ promise: 'p', facts: 'f' }] })
  assert.equal(
    tally.summary(36_000),
    'seeds 2  failures 1  differing digests 0 of 1  simulated hours 1.00  ratio to real time 100x  acknowledged writes 140',
  )
  const coverage = tally.coverage()
  assert.equal(coverage[0], 'faults: crash=4')
  assert.equal(coverage[1], 'marks reached: log-truncated=6')
  assert.ok(coverage.some((line) => line.startsWith('mark never reached: snapshot-installed')))
  assert.ok(!coverage.some((line) => line.startsWith('mark never reached: log-truncated')))
})

test('only what differs from what the seed draws is needed to run it again', () => {
  const drawn = drawOptions(3)
  assert.deepEqual(changesOf(3, drawn), {})
  assert.deepEqual(changesOf(3, { ...drawn, clients: 99, faults: [] }), { clients: 99, faults: [] })
})
