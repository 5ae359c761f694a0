import assert from 'node:assert/strict'
import test from 'node:test'
import { planOf, seedAfter, seedOfText } from '../../testing/simulation/plan.ts'
import { Arguments } from '../support/arguments.ts'

/** Throws where the command line ends the process. */
class StrictArguments extends Arguments {
  constructor(line: string) {
    super('usage', line === '' ? [] : line.split(' '))
  }

  override fail(problem: string): never {
    throw new Error(problem)
  }
}

const plan = (line: string): ReturnType<typeof planOf> => planOf(new StrictArguments(line))

test('what is to be run is read from the command line', () => {
  const { kind, amount, firstSeed, run } = plan('')
  assert.deepEqual({ kind, amount, firstSeed }, { kind: 'count', amount: 20, firstSeed: 1 })
  assert.deepEqual(run, { server: 'quorate', change: {}, replayEvery: 10, reducesWithoutBound: false })
  assert.deepEqual(
    { ...plan('--minutes 0.5 --from 7 --jobs 3 --replay none'), run: undefined },
    { kind: 'minutes', amount: 0.5, firstSeed: 7, jobs: 3, run: undefined },
  )
  assert.deepEqual(plan('--options {"nodes":1} --replay 5 --server fake:skipsSync --reduce').run, {
    server: 'fake:skipsSync',
    change: { nodes: 1 },
    replayEvery: 5,
    reducesWithoutBound: true,
  })
  assert.equal(plan('--speed').kind, 'speed')
})

test('a single seed is that seed, and runs twice', () => {
  const { kind, amount, firstSeed, run } = plan('--seed 42')
  assert.deepEqual(
    { kind, amount, firstSeed, replay: run.replayEvery },
    { kind: 'one', amount: 1, firstSeed: 42, replay: 1 },
  )
})

test('the first seed of a text is the same each time, another for another text, and seeds go round', () => {
  const { firstSeed } = plan('--seeds 3 --first-seed-of 2b2c1e5')
  assert.equal(firstSeed, seedOfText('2b2c1e5'))
  assert.notEqual(firstSeed, seedOfText('2b2c1e6'))
  assert.equal(seedAfter(2 ** 32 - 2, 3), 1)
})

for (const [line, problem] of [
  ['--seed x', /whole number below/],
  ['--seed -1', /whole number below|unexpected/],
  ['--from 4294967296', /whole number below/],
  ['--minutes 0', /nothing to run/],
  ['--minutes soon', /nothing to run/],
  ['--jobs 0', /at least 1/],
  ['--replay some', /all, none/],
  ['--options [1]', /JSON object/],
  ['--options {"nodes":', /JSON object/],
  ['--options {"node":1}', /not node$/],
  ['--server etcd', /one of quorate/],
  ['--first-seed-of=', /needs a text/],
  ['--first-seed-of --seeds 3', /needs a text/],
  ['--first-seed-of 2b2c1e5 --from 7', /two first seeds/],
  ['--sed 4', /unknown option --sed/],
] as const) {
  test(`refused: ${line}`, () => {
    assert.throws(() => plan(line), { message: problem })
  })
}
