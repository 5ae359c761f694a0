import assert from 'node:assert/strict'
import test from 'node:test'
import { type FakeDefect, startFakeServer } from '../../testing/fake-server.ts'
import { drawOptions, type FaultKind, faultKinds, type SimulationOptions } from './options.ts'
import { reduceRun } from './reduce.ts'
import { describeRun, simulate, simulateTwice } from './simulation.ts'

/** The fakes have one copy of what was acknowledged: no fault may take it. */
const needReplicas: ReadonlySet<FaultKind> = new Set(['rot', 'lostWrite', 'misdirectedWrite', 'oldCopy'])

/** Short runs, so that many seeds fit into a test. */
function shortOptions(seed: number, change: Partial<SimulationOptions> = {}): SimulationOptions {
  const drawn = drawOptions(seed)
  const faults = drawn.faults.filter((kind) => !needReplicas.has(kind))
  return {
    ...drawn,
    faults: faults.length === 0 ? ['crash'] : faults,
    healsMajority: false,
    chaosMs: 3_000,
    faultEveryMs: 300,
    thinkMs: 30,
    extensions: false,
    members: false,
    rot: false,
    ...change,
  }
}

test('a server that is right is accepted under every fault, and every seed repeats', async () => {
  const harmless = faultKinds.filter((kind) => !needReplicas.has(kind))
  const counts = new Map<FaultKind, number>()
  for (let seed = 11; seed <= 26; seed++) {
    const options = shortOptions(seed, { faults: harmless.filter((_, i) => i % 4 === seed % 4) })
    const result = await simulateTwice(seed, startFakeServer('none'), options)
    assert.deepEqual(result.violations, [], describeRun(result))
    assert.ok(result.calls.answered > 20, describeRun(result))
    for (const [kind, count] of result.faults) counts.set(kind, (counts.get(kind) ?? 0) + count)
  }
  assert.deepEqual([...counts.keys()].sort(), harmless.sort(), 'every kind of fault was injected')
})

/** The promises that a broken server breaks, over some seeds. */
async function brokenPromises(defect: FakeDefect, change: Partial<SimulationOptions>): Promise<Set<string>> {
  const promises = new Set<string>()
  for (let seed = 1; seed <= 10 && promises.size === 0; seed++) {
    const result = await simulate(seed, startFakeServer(defect), shortOptions(seed, { nodes: 3, ...change }))
    for (const { promise } of result.violations) promises.add(promise)
  }
  return promises
}

const cases: [FakeDefect, string, Partial<SimulationOptions>][] = [
  ['skipsSync', 'all servers tell the same history', { faults: ['crash'] }],
  ['readsLocally', 'reads are not stale', { faults: [] }],
  ['retriesWrites', 'every revision has a cause', { faults: ['cut', 'flaky'] }],
  ['splitsWatches', 'watch: atomic', { faults: [] }],
  ['losesEvents', 'watch: reliable', { faults: [] }],
  ['hurriesLeases', 'a lease lives', { faults: [], leases: true }],
  ['retriesSync', 'a failed file is left alone', { faults: ['diskError'] }],
]
for (const [defect, promise, change] of cases) {
  test(`a server that ${defect} is caught: ${promise}`, async () => {
    const promises = await brokenPromises(defect, change)
    assert.ok(
      [...promises].some((one) => one.startsWith(promise)),
      [...promises].join('; ') || 'nothing found',
    )
  })
}

test('where a server never serves again nothing else is broken: what the others acknowledged last was told', async () => {
  const fake = startFakeServer('none')
  const start: typeof fake = (setup) => (setup.name === 'n3' ? new Promise(() => undefined) : fake(setup))
  for (let seed = 1; seed <= 5; seed++) {
    const options = shortOptions(seed, { nodes: 3, faults: [], chaosMs: 500, healMs: 2_000 })
    const { violations } = await simulate(seed, start, options)
    assert.deepEqual(
      violations.map(({ promise }) => promise),
      ['a healed cluster serves'],
    )
  }
})

test('a run that does not repeat is caught', async () => {
  let reads = 0
  const start = startFakeServer('isNotRepeatable', () => ++reads % 7)
  const result = await simulateTwice(1, start, shortOptions(1, { nodes: 1, faults: [] }))
  assert.deepEqual(
    result.violations.map(({ promise }) => promise),
    ['a seed repeats'],
  )
})

test('options are drawn from the seed alone', () => {
  assert.deepEqual(drawOptions(5), drawOptions(5))
  const drawn = Array.from({ length: 50 }, (_, seed) => drawOptions(seed))
  assert.ok(drawn.some(({ faults }) => faults.length === 1) && drawn.some(({ nodes }) => nodes === 1))
})

test('a failing run is made smaller while it still breaks the same promise', async () => {
  const start = startFakeServer('splitsWatches')
  const failing = await simulate(2, start, shortOptions(2, { nodes: 3, clients: 4 }))
  assert.equal(failing.violations[0]?.promise, 'watch: atomic')
  const smallest = await reduceRun(failing, start)
  assert.equal(smallest.violations[0]?.promise, 'watch: atomic')
  const { nodes, clients, faults, chaosMs } = smallest.options
  assert.deepEqual({ nodes, clients, faults }, { nodes: 1, clients: 1, faults: [] })
  assert.ok(chaosMs < 2_000, String(chaosMs))
  assert.deepEqual((await simulate(2, start, smallest.options)).digest, smallest.digest)
})

test('a smaller run that throws is no smaller failing run', async () => {
  const fake = startFakeServer('splitsWatches')
  const start: typeof fake = (setup) => {
    if (setup.members.length === 1) throw new Error('this server needs a cluster')
    return fake(setup)
  }
  const failing = await simulate(
    2,
    start,
    shortOptions(2, { nodes: 3, clients: 1, faults: [], chaosMs: 800 }),
  )
  const smallest = await reduceRun(failing, start)
  assert.equal(smallest.options.nodes, 3)
  assert.equal(smallest.violations[0]?.promise, failing.violations[0]?.promise)
})
