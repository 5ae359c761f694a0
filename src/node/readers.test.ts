import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { ReaderQueue } from './readers.ts'

const expiry = { code: 'timeout', text: 'late' } as const

function createQueue(bound = 10) {
  const queue = new ReaderQueue(bound)
  const log: string[] = []
  const add = (name: string, options: { deadlineMs?: number; leaderOnly?: boolean } = {}): boolean =>
    queue.add({
      deadlineMs: options.deadlineMs ?? 1_000,
      leaderOnly: options.leaderOnly ?? false,
      resolve: () => log.push(name),
      reject: (error) => log.push(`${name} ${error.code}`),
    })
  return { queue, log, add }
}

test('readers of one turn share a round and are served once its index is applied', () => {
  const { queue, log, add } = createQueue()
  add('a')
  add('b')
  assert.equal(queue.startRound(0), 1)
  assert.equal(queue.startRound(0), undefined)
  queue.confirmed(1, 7)
  queue.applied(6)
  assert.deepEqual(log, [])
  queue.applied(7)
  assert.deepEqual(log, ['a', 'b'])
  assert.equal(queue.size, 0)
})

test('a reader that came after the round began waits for the next one', () => {
  const { queue, log, add } = createQueue()
  add('early')
  queue.startRound(0)
  add('late')
  queue.confirmed(1, 5)
  queue.applied(9)
  assert.deepEqual(log, ['early'])
  assert.equal(queue.startRound(1), 2)
})

test('a round without an answer is asked again under a new number, and its late answer serves nobody', () => {
  const { queue, log, add } = createQueue()
  add('a')
  queue.startRound(0)
  queue.tick(50, 100, expiry)
  assert.equal(queue.startRound(50), undefined)
  queue.tick(101, 100, expiry)
  assert.equal(queue.startRound(101), 2)
  queue.confirmed(1, 3)
  queue.applied(99)
  assert.deepEqual(log, [])
  queue.confirmed(2, 8)
  queue.applied(8)
  assert.deepEqual(log, ['a'])
})

test('a lost leadership: readers ask again, whoever asked for this leader hears of it', () => {
  const { queue, log, add } = createQueue()
  add('reader')
  add('confirmer', { leaderOnly: true })
  queue.startRound(0)
  queue.failed(1)
  assert.deepEqual(log, ['confirmer leader-changed'])
  queue.tick(1, 100, expiry)
  assert.equal(queue.startRound(1), 2)
})

test('a confirmed leadership is told once everything that was committed by then is applied', () => {
  const { queue, log, add } = createQueue()
  add('confirmer', { leaderOnly: true })
  queue.startRound(0)
  queue.confirmed(1, 5)
  queue.applied(4)
  assert.deepEqual(log, [])
  queue.applied(5)
  assert.deepEqual(log, ['confirmer'])
})

test('a deadline ends every kind of wait', () => {
  const { queue, log, add } = createQueue()
  add('applying', { deadlineMs: 10 })
  queue.startRound(0)
  queue.confirmed(1, 5)
  add('in a round', { deadlineMs: 10 })
  queue.startRound(0)
  add('waiting', { deadlineMs: 10 })
  queue.tick(10, 5, expiry)
  assert.deepEqual(log.sort(), ['applying timeout', 'in a round timeout', 'waiting timeout'])
  assert.equal(queue.size, 0)
})

test('the queue is bounded, and the end of the node answers all', () => {
  const { queue, log, add } = createQueue(3)
  add('a')
  queue.startRound(0)
  queue.confirmed(1, 5)
  add('b')
  queue.startRound(0)
  assert.equal(add('c'), true)
  assert.equal(add('d'), false)
  queue.rejectAll('stopped', 'over')
  assert.deepEqual(log.sort(), ['a stopped', 'b stopped', 'c stopped'])
  assert.equal(queue.size, 0)
})

test('whatever happens in whatever order: each reader ends once, and never by an index of a round before it', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed)
    const queue = new ReaderQueue(20)
    const ends = new Map<number, number>()
    /** What was committed when each round began. */
    const rounds: number[] = []
    let came = 0
    let committed = 0
    let applied = 0
    let nowMs = 0
    const end = (reader: number): void => {
      ends.set(reader, (ends.get(reader) ?? 0) + 1)
    }
    const add = (): void => {
      const reader = came
      const least = committed
      const isTaken = queue.add({
        deadlineMs: nowMs + random.between(1, 200),
        leaderOnly: random.chance(0.2),
        resolve: () => {
          assert.ok(applied >= least, `reader ${reader} of seed ${seed} misses what was committed before it`)
          end(reader)
        },
        reject: () => end(reader),
      })
      if (isTaken) came++
    }
    const begin = (): void => {
      if (queue.startRound(nowMs) !== undefined) rounds.push(committed)
    }
    const answer = (): void => {
      const request = random.between(0, rounds.length + 1)
      const index = rounds[request - 1]
      if (index === undefined || random.chance(0.2)) queue.failed(request)
      else queue.confirmed(request, index)
    }
    const apply = (): void => {
      committed += random.between(0, 2)
      applied = Math.min(committed, applied + random.between(0, 3))
      queue.applied(applied)
    }
    const tick = (): void => {
      nowMs += random.between(0, 20)
      queue.tick(nowMs, 30, expiry)
    }
    for (let step = 0; step < 100; step++) random.pick([add, begin, answer, apply, tick])()
    nowMs += 1_000
    for (let times = 0; times < 2; times++) queue.tick(nowMs, 30, expiry)
    assert.equal(queue.size, 0, `seed ${seed}`)
    assert.deepEqual([...ends.values()], Array(came).fill(1), `seed ${seed}`)
  }
})
