import assert from 'node:assert/strict'
import test from 'node:test'
import { QuorateError } from '../base/index.ts'
import type { Time } from '../io/index.ts'
import type { StoreBackend } from '../store/index.ts'
import type { StateMachine } from './state-machine.ts'
import { StoreFlusher } from './store-flusher.ts'

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A state machine of which only the batches count, and a store whose commits the test ends by hand. */
function createParts() {
  let nowMs = 0
  let appliedIndex = 10
  let operations = 0
  let isOut = false
  const timers: (() => void)[] = []
  const commits: { resolve: () => void; reject: (error: Error) => void }[] = []
  const failures: unknown[] = []
  let bytesOfOne = 0
  const time: Time = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    startTimer: (_delayMs, callback) => {
      timers.push(callback)
      return { cancel: () => undefined }
    },
    yieldTurn: () => Promise.resolve(),
    yieldBulkTurn: () => Promise.resolve(),
  }
  const machine = {
    get appliedIndex() {
      return appliedIndex
    },
    get pending() {
      return { operations, bytes: operations * bytesOfOne }
    },
    takeBatch: () => {
      if (operations === 0 || isOut) return undefined
      isOut = true
      operations = 0
      return { batch: [], appliedIndex }
    },
    flushed: () => {
      isOut = false
    },
  } as unknown as StateMachine<unknown>
  const backend = {
    commit: () => new Promise<void>((resolve, reject) => commits.push({ resolve, reject })),
  } as unknown as StoreBackend
  const flusher = new StoreFlusher({
    machine,
    backend,
    time,
    limits: { flushOperations: 5, flushBytes: 1_000, flushIntervalMs: 100 },
    flushed: () => undefined,
    failed: (error) => failures.push(error),
  })
  return {
    flusher,
    commits,
    failures,
    timers,
    apply: (count: number, bytesOfEach = 0) => {
      operations += count
      bytesOfOne = bytesOfEach
      appliedIndex += count
    },
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

test('a commit begins when enough gathered or enough time passed, and one at a time', async () => {
  const { flusher, commits, apply, pass } = createParts()
  apply(4)
  flusher.poll()
  assert.equal(commits.length, 0)
  apply(1)
  flusher.poll()
  assert.equal(commits.length, 1)
  apply(9)
  pass(1_000)
  flusher.poll()
  assert.equal(commits.length, 1)
  commits[0]?.resolve()
  await settled()
  flusher.poll()
  assert.equal(commits.length, 2)
})

test('a commit begins when enough bytes gathered, however few hold them', () => {
  const { flusher, commits, apply } = createParts()
  apply(3, 333)
  flusher.poll()
  assert.equal(commits.length, 0)
  apply(1, 333)
  flusher.poll()
  assert.equal(commits.length, 1)
})

test('the durable index is what the last commit that ended contained', async () => {
  const { flusher, commits, apply } = createParts()
  assert.equal(flusher.durableIndex, 10)
  apply(5)
  flusher.poll()
  apply(3)
  assert.equal(flusher.durableIndex, 10)
  commits[0]?.resolve()
  await settled()
  assert.equal(flusher.durableIndex, 15)
})

test('a full disk is tried again and loses nothing; any other failure is told and final', async () => {
  const { flusher, commits, failures, timers, apply } = createParts()
  apply(5)
  flusher.poll()
  commits[0]?.reject(new QuorateError('disk-full', 'full'))
  await settled()
  assert.deepEqual([flusher.isDiskFull, flusher.durableIndex, failures.length], [true, 10, 0])
  timers[0]?.()
  await settled()
  commits[1]?.resolve()
  await settled()
  assert.deepEqual([flusher.isDiskFull, flusher.durableIndex], [false, 15])
  apply(5)
  flusher.poll()
  commits[2]?.reject(new QuorateError('disk-failed', 'input/output error'))
  await settled()
  assert.equal(failures.length, 1)
  assert.equal(commits.length, 3)
  assert.equal(flusher.durableIndex, 15)
})

test('a stop carries over what gathered, and does not wait for a full disk', async () => {
  const first = createParts()
  first.apply(2)
  const drained = first.flusher.drain()
  await settled()
  first.commits[0]?.resolve()
  await drained
  assert.equal(first.flusher.durableIndex, 12)

  const second = createParts()
  second.apply(5)
  second.flusher.poll()
  second.commits[0]?.reject(new QuorateError('disk-full', 'full'))
  await settled()
  const ended = second.flusher.drain()
  second.timers[0]?.()
  await settled()
  second.commits[1]?.reject(new QuorateError('disk-full', 'full'))
  await ended
  assert.equal(second.flusher.durableIndex, 10)
})
