import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { sleep } from '../io/index.ts'
import { SimulatedMachine } from './machine.ts'
import { SimulatedNetwork } from './network.ts'
import { Scheduler } from './scheduler.ts'

function createMachine() {
  const scheduler = new Scheduler()
  const random = new SeededRandom(1)
  const network = new SimulatedNetwork({ scheduler, random })
  return { scheduler, machine: new SimulatedMachine({ name: 'a', scheduler, network, random }) }
}

test('timers: at least their delay by the local clock, once, unless cancelled', async () => {
  const { scheduler, machine } = createMachine()
  machine.clock.setRate(2)
  const { time } = machine.boot()
  const start = time.monotonicMs()
  const seen: number[] = []
  time.startTimer(100, () => seen.push(time.monotonicMs() - start))
  time.startTimer(50, () => seen.push(-1)).cancel()
  await scheduler.run(49)
  assert.deepEqual(seen, [])
  await scheduler.run(2)
  assert.equal(seen.length, 1)
  assert.ok((seen[0] ?? 0) >= 100 && (seen[0] ?? 0) < 102, String(seen[0]))
})

test('a clock that becomes slower does not fire its timers early', async () => {
  const { scheduler, machine } = createMachine()
  const { time } = machine.boot()
  const start = time.monotonicMs()
  let firedAfter = 0
  time.startTimer(100, () => {
    firedAfter = time.monotonicMs() - start
  })
  machine.clock.setRate(0.5)
  await scheduler.run(300)
  assert.ok(firedAfter >= 100, String(firedAfter))
})

test('the wall clock jumps, the monotonic clock does not, and both outlive the program', async () => {
  const { scheduler, machine } = createMachine()
  const before = machine.boot().time
  const [monotonic, wall] = [before.monotonicMs(), before.wallMs()]
  machine.clock.jumpWall(-5000)
  machine.kill()
  await scheduler.run(10)
  const after = machine.boot().time
  assert.equal(after.monotonicMs(), monotonic + 10)
  assert.equal(after.wallMs(), Math.floor(wall - 4990))
})

test('a paused program stands still and catches up in order; a dead one hears nothing more', async () => {
  const { scheduler, machine } = createMachine()
  const { time, disk } = machine.boot()
  const seen: string[] = []
  const work = async (): Promise<void> => {
    await sleep(time, 10)
    seen.push('timer')
    await disk.makeDirectory('/d')
    seen.push('disk')
    await time.yieldTurn()
    seen.push('turn')
    await sleep(time, 10)
    seen.push('never')
  }
  void work()
  time.startTimer(5, () => seen.push('early'))
  machine.pause()
  await scheduler.run(100)
  assert.deepEqual(seen, [])
  machine.resume()
  await scheduler.run(3)
  assert.deepEqual(seen, ['early', 'timer', 'disk', 'turn'])
  machine.crash()
  await scheduler.run(100)
  assert.deepEqual(seen, ['early', 'timer', 'disk', 'turn'])
})

test('a program was active when something was delivered to it, a paused one when it goes on', async () => {
  const { scheduler, machine } = createMachine()
  assert.equal(machine.takeActivity(), false)
  const { time } = machine.boot()
  const asked = [machine.takeActivity(), machine.takeActivity()]
  time.startTimer(1, () => undefined)
  await scheduler.run(2)
  asked.push(machine.takeActivity(), machine.takeActivity())
  time.startTimer(1, () => undefined)
  machine.pause()
  await scheduler.run(2)
  asked.push(machine.takeActivity())
  machine.resume()
  await scheduler.run(1)
  asked.push(machine.takeActivity())
  assert.deepEqual(asked, [true, false, true, false, false, true])
})

test('what comes while a program catches up waits for its turn', async () => {
  const { scheduler, machine } = createMachine()
  machine.boot()
  const { process } = machine
  const seen: string[] = []
  machine.pause()
  for (const name of ['first', 'second']) process.deliver(() => seen.push(name))
  machine.resume()
  process.after(0, () => seen.push('third'))
  await scheduler.run(1)
  assert.deepEqual(seen, ['first', 'second', 'third'])
})

test('entropy repeats with the seed', () => {
  const draw = (): number[] => {
    const bytes = new Uint8Array(8)
    createMachine().machine.boot().entropy.fill(bytes)
    return [...bytes]
  }
  assert.deepEqual(draw(), draw())
  assert.notDeepEqual(draw(), [0, 0, 0, 0, 0, 0, 0, 0])
})
