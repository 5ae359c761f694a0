import assert from 'node:assert/strict'
import test from 'node:test'
import type { Time } from '../io/index.ts'
import { Duties } from './duties.ts'

/** A leader's duties that write down what they are told. */
class Bench {
  readonly told: string[] = []
  readonly duties: Duties
  appliedIndex = 7
  isSettled = true
  confirm: (isConfirmed: boolean) => void = () => assert.fail('no round was asked for')

  constructor() {
    const time: Pick<Time, 'monotonicMs' | 'wallMs'> = { monotonicMs: () => 1_000, wallMs: () => 0 }
    const leader = {
      start: () => this.told.push('start'),
      stop: () => this.told.push('stop'),
      suspend: () => this.told.push('suspend'),
      tick: () => [],
      refused: () => undefined,
    }
    this.duties = new Duties({
      raft: { lastIndex: 7 } as never,
      time: time as Time,
      machine: Object.defineProperty({ leader }, 'appliedIndex', { get: () => this.appliedIndex }) as never,
      isSettledLeader: () => this.isSettled,
      propose: () => undefined,
      confirmLeadership: (ended) => {
        this.confirm = ended
      },
    })
  }

  tick(wasPaused = false): void {
    this.duties.tick(1_000, wasPaused)
  }
}

test('duties begin when the leadership is settled and what the log held then is applied', () => {
  const bench = new Bench()
  bench.isSettled = false
  bench.tick()
  bench.isSettled = true
  bench.appliedIndex = 6
  bench.tick()
  assert.deepEqual(bench.told, [])
  bench.appliedIndex = 7
  bench.tick()
  assert.deepEqual(bench.told, ['start'])
})

test('after a pause they rest until a round that began afterwards has proved the leadership', () => {
  const bench = new Bench()
  bench.tick()
  bench.tick(true)
  bench.tick()
  assert.deepEqual(bench.told, ['start', 'suspend'])
  bench.confirm(false)
  bench.tick()
  assert.deepEqual(bench.told, ['start', 'suspend'])
  bench.confirm(true)
  bench.tick()
  assert.deepEqual(bench.told, ['start', 'suspend', 'start'])
})

test('a leader that is deposed while its duties rest ends them: its old clocks answer nobody when it leads again', () => {
  const bench = new Bench()
  bench.tick()
  bench.tick(true)
  bench.duties.deposed()
  assert.deepEqual(bench.told, ['start', 'suspend', 'stop'])
})
