import assert from 'node:assert/strict'
import test from 'node:test'
import { never, type Time } from '../io/index.ts'
import { type Entry, entryKind, type LogEnd } from '../raft/index.ts'
import { Applier } from './applier.ts'
import { encodeEnvelope } from './envelope.ts'

const incarnation = { high: 1, low: 2 }
const endAt = (index: number): LogEnd => ({ index, term: 1, chain: index })

/** An applier whose state machine only counts, over a log that is committed and durable up to where `commit` was called. */
class Bench {
  readonly applier: Applier<string>
  /** What was done, in order. */
  readonly told: string[] = []
  appliedIndex = 0
  pendingOperations = 0
  bytesOfOne = 0
  raftIndex = 0
  hasInstall = false
  nowMs = 0
  msOfALook = 0
  #lastIndex = 0

  constructor() {
    const bench = this
    this.applier = new Applier<string>({
      raft: {
        get appliedIndex() {
          return bench.raftIndex
        },
        get durableIndex() {
          return bench.#lastIndex
        },
        applied: (index) => {
          this.raftIndex = index
          this.told.push(`raft ${index}`)
        },
      },
      time: { monotonicMs: () => this.#look() } as unknown as Time,
      limits: { pendingOperationsMax: 3, pendingBytesMax: 100 },
      maybe: never,
      machine: {
        get appliedIndex() {
          return bench.appliedIndex
        },
        get pending() {
          const { pendingOperations: operations, bytesOfOne } = bench
          return { operations, bytes: operations * bytesOfOne }
        },
        apply: ({ index }) => {
          this.#moveTo(index)
          this.pendingOperations++
          return `result ${index}`
        },
        applyNothing: ({ index }) => this.#moveTo(index),
      },
      members: { apply: ({ index }) => this.told.push(`members ${index}`) },
      proposals: { applied: ({ sequence }, result) => this.told.push(`answer ${sequence}: ${result}`) },
      storage: {
        get hasInstall() {
          return bench.hasInstall
        },
      },
      appliedEnd: endAt(0),
      applied: ({ index }) => this.told.push(`applied ${index}`),
    })
  }

  commit(...kinds: Entry['kind'][]): void {
    for (const kind of kinds) {
      this.#lastIndex++
      const index = this.#lastIndex
      const payload = payloadOf(kind, index)
      this.applier.committed({ index, term: 1, chain: index, kind, payload, payloadChecksum: 0 })
    }
  }

  #moveTo(index: number): void {
    assert.equal(index, this.appliedIndex + 1)
    this.appliedIndex = index
  }

  #look(): number {
    this.nowMs += this.msOfALook
    return this.nowMs
  }
}

function payloadOf(kind: Entry['kind'], index: number): Uint8Array {
  const command = new Uint8Array(0)
  if (kind !== entryKind.command) return command
  return encodeEnvelope({ timeMs: 0, incarnation, sequence: index * 10, command })
}

test('what is committed becomes state in order, each by its kind, and consensus hears of it once a slice', () => {
  const bench = new Bench()
  assert.equal(bench.applier.applySlice(), false)
  bench.commit(entryKind.noop, entryKind.command, entryKind.configuration)
  assert.equal(bench.applier.hasWork, true)
  assert.equal(bench.applier.applySlice(), true)
  assert.deepEqual(bench.told, [
    'applied 1',
    'answer 20: result 2',
    'applied 2',
    'members 3',
    'applied 3',
    'raft 3',
  ])
  assert.deepEqual(bench.applier.appliedEnd, endAt(3))
  assert.deepEqual([bench.applier.hasWork, bench.applier.applySlice()], [false, false])
})

test('a store that has not taken enough holds it up, and what waits has no work until then', () => {
  const bench = new Bench()
  bench.commit(...new Array<Entry['kind']>(5).fill(entryKind.command))
  bench.applier.applySlice()
  assert.deepEqual([bench.appliedIndex, bench.applier.hasWork, bench.applier.applySlice()], [3, false, false])
  bench.pendingOperations = 1
  assert.equal(bench.applier.hasWork, true)
  bench.applier.applySlice()
  assert.equal(bench.appliedIndex, 5)
})

test('few entries that are large hold it up as well', () => {
  const bench = new Bench()
  bench.bytesOfOne = 50
  bench.commit(...new Array<Entry['kind']>(5).fill(entryKind.command))
  bench.applier.applySlice()
  assert.deepEqual([bench.appliedIndex, bench.applier.hasWork], [2, false])
})

test('a slice that takes long ends, and the next goes on behind it', () => {
  const bench = new Bench()
  bench.msOfALook = 2
  bench.commit(...new Array<Entry['kind']>(100).fill(entryKind.noop))
  assert.equal(bench.applier.applySlice(), true)
  const first = bench.appliedIndex
  assert.ok(first > 0 && first < 100, String(first))
  assert.equal(bench.applier.hasWork, true)
  while (bench.applier.applySlice()) assert.equal(bench.raftIndex, bench.appliedIndex)
  assert.equal(bench.appliedIndex, 100)
})

test('a snapshot takes the place of what it holds, and what is behind it is applied', () => {
  const bench = new Bench()
  bench.commit(entryKind.noop, entryKind.noop, entryKind.noop)
  bench.hasInstall = true
  bench.appliedIndex = 2
  bench.applier.replaced(endAt(2))
  assert.deepEqual(bench.applier.appliedEnd, endAt(2))
  bench.applier.applySlice()
  assert.deepEqual(bench.told, ['applied 3', 'raft 3'])
})

test('without a state nothing waits any more, and where the state stood is still known', () => {
  const bench = new Bench()
  bench.commit(entryKind.noop)
  bench.applier.applySlice()
  bench.commit(entryKind.noop)
  bench.applier.stateLost()
  assert.deepEqual([bench.applier.hasWork, bench.applier.appliedEnd], [false, endAt(1)])
})

test('a state that is elsewhere than consensus has it is not applied to, unless a snapshot is about to replace it', () => {
  const bench = new Bench()
  bench.commit(entryKind.noop)
  bench.raftIndex = 1
  assert.throws(() => bench.applier.applySlice(), /where consensus knows it to be/)
  bench.hasInstall = true
  assert.equal(bench.applier.applySlice(), true)
  bench.appliedIndex = 0
  assert.throws(() => bench.applier.applySlice(), /at its place in the log/)
})
