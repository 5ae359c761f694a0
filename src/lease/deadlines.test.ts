import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { LeaseDeadlines, LeaseTable } from './index.ts'

function create(count: number, ttlSeconds: number): { table: LeaseTable; deadlines: LeaseDeadlines } {
  const table = new LeaseTable()
  const deadlines = new LeaseDeadlines({ table, revokesPerSecondMax: 1000, checkpointIntervalMs: 300_000 })
  for (let id = 1n; id <= BigInt(count); id++) table.add({ id, ttlSeconds, remainingSeconds: 0 })
  return { table, deadlines }
}

test('a mass expiry is spread: at most a thousand revokes a second, and in the end all', () => {
  const { table, deadlines } = create(5000, 10)
  deadlines.start(0)
  const revoked: number[] = []
  let total = 0
  for (let nowMs = 100; total < 5000; nowMs += 100) {
    const { revokes } = deadlines.take(nowMs)
    assert.ok(nowMs >= 10_000 || revokes.length === 0, 'none is early')
    assert.ok(revokes.length <= 125, `${revokes.length} revokes in one call`)
    total += revokes.length
    revoked.push(revokes.length)
    for (const id of revokes) {
      table.remove(id)
      deadlines.removed(id)
    }
    assert.ok(nowMs < 20_000, 'all are revoked in time')
  }
  for (let i = 0; i + 10 <= revoked.length; i++) {
    const inSecond = revoked.slice(i, i + 10).reduce((sum, one) => sum + one, 0)
    assert.ok(inSecond <= 1125, `${inSecond} revokes in a second`)
  }
})

test('no lease ends before its time, and none lives on', () => {
  const random = new SeededRandom(7)
  const { table, deadlines } = create(200, 10)
  const due = new Map<bigint, number>()
  deadlines.start(0)
  for (const { id } of table.values()) due.set(id, 10_000)
  for (let nowMs = 0; nowMs < 60_000; nowMs += 50) {
    for (let i = 0; i < 3; i++) {
      const id = BigInt(random.between(1, 400))
      if (!table.has(id) && nowMs < 40_000) {
        const lease = { id, ttlSeconds: random.between(2, 20), remainingSeconds: 0 }
        table.add(lease)
        deadlines.granted(lease)
        due.set(id, nowMs + lease.ttlSeconds * 1000)
      } else if (nowMs < 40_000) {
        const ttlSeconds = deadlines.renew(id, nowMs) ?? 0
        if (ttlSeconds > 0) due.set(id, nowMs + ttlSeconds * 1000)
      }
    }
    for (const id of deadlines.take(nowMs).revokes) {
      const expected = due.get(id) as number
      assert.ok(nowMs >= expected, `lease ${id} is due at ${expected}, not at ${nowMs}`)
      assert.ok(nowMs <= expected + 100, `lease ${id} was due at ${expected}, it is ${nowMs}`)
      table.remove(id)
      deadlines.removed(id)
      due.delete(id)
    }
  }
  assert.equal(table.size, 0)
})

test('a lease that is granted again under its old id gets its own time', () => {
  const { table, deadlines } = create(1, 10)
  deadlines.start(0)
  table.remove(1n)
  deadlines.removed(1n)
  const again = { id: 1n, ttlSeconds: 60, remainingSeconds: 0 }
  table.add(again)
  deadlines.granted(again)
  assert.deepEqual(deadlines.take(1).revokes, [])
  assert.deepEqual(deadlines.take(10_500).revokes, [])
  assert.deepEqual(deadlines.take(60_001).revokes, [1n])
})

test('checkpoints come every five minutes, for long leases only', () => {
  const { deadlines } = create(1, 1000)
  deadlines.start(0)
  const seen: [number, number][] = []
  for (let nowMs = 0; nowMs < 1_000_000; nowMs += 10_000) {
    const { checkpoints } = deadlines.take(nowMs)
    for (const { remainingSeconds } of checkpoints) seen.push([nowMs, remainingSeconds])
  }
  assert.deepEqual(seen, [
    [300_000, 700],
    [600_000, 400],
    [900_000, 100],
  ])
  const short = create(1, 300).deadlines
  short.start(0)
  for (let nowMs = 0; nowMs < 300_000; nowMs += 10_000) assert.deepEqual(short.take(nowMs).checkpoints, [])
})

test('leaders change every half of the time: each change costs a long lease one checkpoint interval at the most', () => {
  const ttlSeconds = 7_200
  const { table } = create(1, ttlSeconds)
  const reignMs = (ttlSeconds * 1000) / 2 - 1
  let nowMs = 0
  let changes = 0
  for (; table.size > 0; changes++) {
    const deadlines = new LeaseDeadlines({ table, revokesPerSecondMax: 1000, checkpointIntervalMs: 300_000 })
    deadlines.start(nowMs)
    const endMs = nowMs + reignMs
    for (; nowMs < endMs && table.size > 0; nowMs += 500) {
      const { revokes, checkpoints } = deadlines.take(nowMs)
      for (const { id, remainingSeconds } of checkpoints) {
        const record = { id, ttlSeconds, remainingSeconds }
        table.replace(record)
        deadlines.checkpointed(record)
      }
      for (const id of revokes) table.remove(id)
    }
    assert.ok(nowMs <= ttlSeconds * 1000 + changes * 300_000 + 1_000, `after ${nowMs} ms it is there`)
  }
  assert.ok(nowMs >= ttlSeconds * 1000, `it was ended after ${nowMs} ms`)
  assert.ok(changes > 2, `${changes} leaders`)
})
