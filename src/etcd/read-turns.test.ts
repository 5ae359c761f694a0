import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualTime, plainCall, settle } from '../../testing/etcd-door.ts'
import { isQuorateError, QuorateError } from '../base/index.ts'
import type { GrpcUnaryCall, UnaryAnswer } from '../grpc/index.ts'
import { ReadTurns } from './read-turns.ts'

/** Turns that the test gives. */
class SteppedTime extends ManualTime {
  #next: (() => void) | undefined

  override yieldTurn(): never {
    return assert.fail('large reads share the turns of large work')
  }

  override yieldBulkTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#next = resolve
    })
  }

  get hasNext(): boolean {
    return this.#next !== undefined
  }

  async step(): Promise<void> {
    const next = this.#next
    this.#next = undefined
    next?.()
    await settle()
  }
}

const timeoutMs = 5_000
const large = new Uint8Array(64 * 1024)
const small = new Uint8Array(100)

class Reads {
  readonly time = new SteppedTime()
  readonly turns = new ReadTurns(this.time)
  readonly begun: number[] = []
  readonly ended: unknown[] = []

  ask(
    id: number,
    answer: UnaryAnswer | Promise<UnaryAnswer>,
    call: GrpcUnaryCall = plainCall(),
    ready?: Promise<void>,
  ): void {
    const read = (): UnaryAnswer | Promise<UnaryAnswer> => {
      this.begun.push(id)
      return answer
    }
    const found = this.turns.run(call, timeoutMs, ready, read)
    Promise.resolve(found).then(
      () => this.ended.push(id),
      (error) => this.ended.push(`${id} ${isQuorateError(error) ? error.code : error.message}`),
    )
  }
}

interface CallBehind extends GrpcUnaryCall {
  readonly callbacks: readonly (() => void)[]
  /** Its client has taken what came before. */
  enter(): void
}

function callBehind(): CallBehind {
  const callbacks: (() => void)[] = []
  return {
    ...plainCall(),
    hasRoom: false,
    callbacks,
    onRoom: (callback) => void callbacks.push(callback),
    enter() {
      Object.assign(this, { hasRoom: true })
      for (const callback of callbacks.splice(0)) callback()
    },
  }
}

test('a turn reads so many bytes; the others have theirs in the order in which they came', async () => {
  const reads = new Reads()
  for (let id = 1; id <= 5; id++) reads.ask(id, large)
  reads.ask(6, small)
  assert.deepEqual(reads.begun, [1, 2])
  await reads.time.step()
  assert.deepEqual(reads.begun, [1, 2, 3, 4])
  await reads.time.step()
  assert.deepEqual(reads.begun, [1, 2, 3, 4, 5, 6])
  assert.deepEqual(reads.ended, [1, 2, 3, 4, 5, 6])
  await reads.time.step()
  assert.equal(reads.time.hasNext, false, 'it rests')
  reads.ask(7, large)
  assert.deepEqual(reads.begun.at(-1), 7)
})

test('small reads never wait for each other, and ask for no turn', () => {
  const reads = new Reads()
  for (let id = 0; id < 1_000; id++) reads.ask(id, small)
  assert.equal(reads.begun.length, 1_000)
  assert.equal(reads.time.hasNext, false)
})

test('what goes on over turns begins one a turn and is bounded by count; an end makes room', async () => {
  const reads = new Reads()
  const ends = Array.from({ length: 18 }, () => Promise.withResolvers<Uint8Array>())
  for (const [id, { promise }] of ends.entries()) reads.ask(id, promise)
  for (let begun = 1; begun <= 16; begun++) {
    assert.equal(reads.begun.length, begun)
    await reads.time.step()
  }
  assert.equal(reads.begun.length, 16)
  ends[3]?.resolve(small)
  await settle()
  await reads.time.step()
  assert.equal(reads.begun.length, 17)
})

test('a turn has one slice of all that goes on, and begins what waits all the same', async () => {
  const reads = new Reads()
  const slices: string[] = []
  const sliced = async (name: string): Promise<Uint8Array> => {
    for (let slice = 2; slice <= 3; slice++) {
      await reads.turns.yieldTurn()
      slices.push(`${name}${slice}`)
    }
    return small
  }
  reads.ask(1, sliced('a'))
  reads.ask(2, sliced('b'))
  for (const [told, begun] of [
    [['a2'], [1, 2]],
    [
      ['a2', 'b2'],
      [1, 2],
    ],
    [
      ['a2', 'b2', 'a3'],
      [1, 2],
    ],
    [
      ['a2', 'b2', 'a3', 'b3'],
      [1, 2],
    ],
  ]) {
    await reads.time.step()
    assert.deepEqual([slices, reads.begun], [told, begun])
  }
  await reads.time.step()
  assert.equal(reads.time.hasNext, false, 'it rests')
})

test('who went away is not read for, and who waited too long is told so', async () => {
  const reads = new Reads()
  const [gone, late] = [plainCall(), plainCall()]
  for (let id = 1; id <= 2; id++) reads.ask(id, large)
  reads.ask(3, large, gone)
  gone.isCancelled = true
  await reads.time.step()
  assert.deepEqual(reads.ended, [1, 2, '3 the client went away'])
  for (let id = 4; id <= 5; id++) reads.ask(id, large)
  reads.ask(6, large, late)
  await reads.time.advance(timeoutMs + 1)
  await reads.time.step()
  assert.deepEqual(reads.begun, [1, 2, 4, 5])
  assert.deepEqual(reads.ended.at(-1), '6 timeout')
})

test('who does not take earlier answers is read for when it has, and keeps nobody waiting meanwhile', async () => {
  const reads = new Reads()
  const behind = callBehind()
  reads.ask(1, large, behind)
  await reads.time.step()
  for (let id = 2; id <= 4; id++) reads.ask(id, large)
  reads.ask(5, large, behind)
  for (let turns = 0; turns < 3; turns++) await reads.time.step()
  assert.deepEqual(reads.begun, [2, 3, 4])
  assert.equal(reads.time.hasNext, false, 'who waits for its client asks for no turn')
  // That time is its own and no reason to refuse it.
  await reads.time.advance(timeoutMs + 1)
  behind.enter()
  await settle()
  await reads.time.step()
  assert.deepEqual(reads.begun, [2, 3, 4, 1, 5])
  assert.deepEqual(reads.ended, [2, 3, 4, 1, 5])
})

test('a read begins when it is ready, behind who waits by then, and is refused as that is', async () => {
  const reads = new Reads()
  const [first, second, third] = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
  assert.ok(first && second && third)
  reads.ask(1, large, plainCall(), first.promise)
  for (let id = 2; id <= 4; id++) reads.ask(id, large)
  reads.ask(5, small, plainCall(), second.promise)
  reads.ask(6, small, plainCall(), third.promise)
  await settle()
  assert.deepEqual(reads.begun, [2, 3])
  first.resolve()
  third.reject(new QuorateError('no-leader', ''))
  await settle()
  assert.deepEqual(
    [reads.begun, reads.ended],
    [
      [2, 3],
      [2, 3, '6 no-leader'],
    ],
  )
  // It has waited for a leader as long as it may for its turn, which is another matter.
  await reads.time.advance(timeoutMs)
  await reads.time.step()
  assert.deepEqual(reads.begun, [2, 3, 4, 1])
  await reads.time.step()
  await reads.time.step()
  second.resolve()
  await settle()
  assert.deepEqual(reads.begun, [2, 3, 4, 1, 5])
})

test('a turn looks at so many of those that wait, though none of them may begin', async () => {
  const reads = new Reads()
  const behind = callBehind()
  for (let id = 0; id < 1_000; id++) reads.ask(id, large, behind)
  const counts: number[] = []
  for (let turns = 0; turns < 4; turns++) {
    await reads.time.step()
    counts.push(behind.callbacks.length)
  }
  assert.deepEqual(counts, [64, 128, 192, 256])
})

test('who waits for room keeps its place in the queue', async () => {
  const reads = new Reads()
  const behind = callBehind()
  reads.ask(0, large, behind)
  await reads.time.step()
  for (let id = 1; id < 10_002; id++) reads.ask(id, large)
  reads.ask(10_002, large)
  await settle()
  assert.deepEqual(reads.ended, [1, 2, '10002 overloaded'])
  behind.enter()
  await settle()
  assert.equal(reads.ended.length, 3)
})

test('a queue that is full refuses', async () => {
  const reads = new Reads()
  for (let id = 0; id < 10_002; id++) reads.ask(id, large)
  reads.ask(10_002, large)
  await settle()
  assert.deepEqual(reads.ended, [0, 1, '10002 overloaded'])
})
