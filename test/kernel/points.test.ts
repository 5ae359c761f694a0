import assert from 'node:assert/strict'
import test from 'node:test'
import { choosePoints, nextPlace } from './points.ts'

interface Point {
  readonly name: string
  readonly call: string
}

const all: readonly Point[] = [
  ...Array.from({ length: 50 }, (_, i) => ({
    name: `life:${i}:kill`,
    call: 'pwritev wal/0000000000000001.wal',
  })),
  { name: 'life:50:kill', call: 'rename snapshots/0000000000000001.snapshot' },
  { name: 'life:50:fail', call: 'rename snapshots/0000000000000001.snapshot' },
]
const options = {
  seconds: 1,
  jobs: 1,
  isComplete: false,
  isVerbose: false,
  point: undefined,
  call: undefined,
}
const choose = (seed: number, from: number): ReturnType<typeof choosePoints<Point>> =>
  choosePoints(all, { ...options, seed, from }, ({ name }) => name)
const namesOf = (chosen: ReturnType<typeof choose>): string[] => chosen.map(({ point }) => point.name)

test('the first points of a run are of every kind', () => {
  for (const seed of [1, 2, 3]) {
    const names = namesOf(choose(seed, 0)).slice(0, 3)
    assert.ok(names.includes('life:50:kill') && names.includes('life:50:fail'), names.join(' '))
  }
  assert.notDeepEqual(namesOf(choose(1, 0)), namesOf(choose(2, 0)))
})

test('runs that go on where the one before ended meet every point once, and then begin again', () => {
  const met: string[] = []
  let from = 0
  for (const taken of [20, 20, all.length - 40]) {
    const chosen = choose(0, from)
    assert.equal(chosen.length, all.length)
    met.push(...namesOf(chosen).slice(0, taken))
    from = nextPlace(chosen, taken)
  }
  assert.deepEqual([...met].sort(), all.map(({ name }) => name).sort())
  assert.deepEqual(namesOf(choose(0, from)), namesOf(choose(0, 0)))
})

test('points are asked for by the beginning of their name and by their call', () => {
  const found = choosePoints(
    all,
    { ...options, seed: 1, from: 0, point: 'life:50', call: '^rename' },
    ({ name }) => name,
  )
  assert.deepEqual(namesOf(found).sort(), ['life:50:fail', 'life:50:kill'])
})
