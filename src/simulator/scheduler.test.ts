import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { Scheduler } from './scheduler.ts'

test('events happen in the order of time, then of their making; cancelled ones do not', async () => {
  const scheduler = new Scheduler()
  const seen: string[] = []
  scheduler.at(5, () => seen.push(`late at ${scheduler.now}`))
  scheduler.at(1, () => seen.push('first'))
  scheduler.at(1, () => seen.push('second'))
  scheduler.cancel(scheduler.at(2, () => seen.push('never')))
  scheduler.at(3, () => scheduler.after(1, () => seen.push(`nested at ${scheduler.now}`)))
  await scheduler.run(10)
  assert.deepEqual(seen, ['first', 'second', 'nested at 4', 'late at 5'])
  assert.equal(scheduler.now, 10)
})

test('what an event makes for its own moment comes behind what was to come then already', async () => {
  const scheduler = new Scheduler()
  const seen: string[] = []
  const note = (name: string) => () => void seen.push(name)
  scheduler.at(1, () => {
    seen.push('first')
    scheduler.after(0, () => {
      seen.push('third')
      scheduler.after(0, note('sixth'))
      scheduler.at(0.5, note('seventh'))
    })
    scheduler.cancel(scheduler.after(0, note('never')))
    scheduler.after(0, note('fourth'))
    scheduler.after(0, note('fifth'))
  })
  scheduler.at(1, note('second'))
  scheduler.at(2, note('last'))
  assert.equal(await scheduler.runUntil(() => seen.length === 4, 10), true)
  await scheduler.run(1)
  assert.deepEqual(seen, ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'last'])
})

test('a random load leaves the heap sorted', async () => {
  const random = new SeededRandom(3)
  const scheduler = new Scheduler()
  const times: number[] = []
  for (let i = 0; i < 500; i++) scheduler.at(random.between(0, 100), () => times.push(scheduler.now))
  await scheduler.run(100)
  assert.deepEqual(
    times,
    times.toSorted((left, right) => left - right),
  )
  assert.equal(times.length, 500)
})

test('three interleaved async functions give one order', async () => {
  const run = async (seed: number): Promise<string> => {
    const random = new SeededRandom(seed)
    const scheduler = new Scheduler()
    let order = ''
    const work = async (name: string): Promise<void> => {
      for (let round = 0; round < 20; round++) {
        await scheduler.wait(random.between(0, 3))
        order += name
        await undefined
        await scheduler.wait(0)
        order += name.toUpperCase()
      }
    }
    await scheduler.complete(Promise.all([work('a'), work('b'), work('c')]))
    return `${order} ${scheduler.digest}`
  }
  const orders = new Set<string>()
  for (let i = 0; i < 200; i++) orders.add(await run(5))
  assert.equal(orders.size, 1)
  assert.notEqual(await run(6), [...orders][0])
})

test('an event and the awaits that follow from it are one step', async () => {
  const scheduler = new Scheduler()
  const seen: string[] = []
  const deep = async (depth: number): Promise<void> => {
    if (depth > 0) await deep(depth - 1)
  }
  void scheduler.wait(1).then(async () => {
    await deep(1000)
    seen.push('chain')
  })
  scheduler.at(1, () => seen.push('next event'))
  await scheduler.run(2)
  assert.deepEqual(seen, ['chain', 'next event'])
})

test('complete gives the outcome, and fails when the promise does not settle in time', async () => {
  const scheduler = new Scheduler()
  assert.equal(await scheduler.complete(scheduler.wait(5).then(() => 'x')), 'x')
  await assert.rejects(
    scheduler.complete(scheduler.wait(1).then(() => Promise.reject(new Error('no')))),
    /no/,
  )
  await assert.rejects(scheduler.complete(new Promise(() => undefined), 100), /did not settle within 100/)
})

test('what an event throws ends the run; what is noted changes the digest', async () => {
  const scheduler = new Scheduler()
  const before = scheduler.digest
  scheduler.note(1)
  assert.notEqual(scheduler.digest, before)
  scheduler.at(1, () => {
    throw new Error('broken invariant')
  })
  await assert.rejects(scheduler.run(2), /broken invariant/)
})
