import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import test from 'node:test'
import { createJsonLogger, createNodeEntropy, createNodeTime } from './index.ts'

test('a timer runs once, not before its delay on the clock that callers measure with', async () => {
  const time = createNodeTime()
  for (const delayMs of [0, 0.4, 3.7]) {
    const start = time.monotonicMs()
    let count = 0
    await new Promise<void>((resolve) => {
      time.startTimer(delayMs, () => {
        count++
        resolve()
      })
      assert.equal(count, 0, 'the callback ran inside startTimer')
    })
    assert.ok(time.monotonicMs() - start >= delayMs)
    await time.yieldTurn()
    assert.equal(count, 1)
  }
})

test('a delay beyond what setTimeout takes does not fire at once, and a cancelled timer never', async () => {
  const time = createNodeTime()
  let fired = 0
  const long = time.startTimer(2 ** 40, () => fired++)
  const cancelled = time.startTimer(1, () => fired++)
  cancelled.cancel()
  await new Promise<void>((resolve) => time.startTimer(5, resolve))
  assert.equal(fired, 0)
  long.cancel()
  assert.throws(() => time.startTimer(Number.NaN, () => undefined), /a delay is a number/)
})

test('a timer that the event loop fires too early waits on', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let fired = 0
  createNodeTime().startTimer(60_000, () => fired++)
  // setTimeout says that a minute has passed; the clock that callers measure with does not.
  t.mock.timers.tick(60_000)
  assert.equal(fired, 0)
})

test('a yielded turn lets input and output go first', async () => {
  const time = createNodeTime()
  let turn = 0
  setImmediate(() => turn++)
  await time.yieldTurn()
  assert.equal(turn, 1)
  assert.ok(Math.abs(time.wallMs() - Date.now()) < 60_000)
})

test('entropy fills all of the target', () => {
  const target = new Uint8Array(256)
  createNodeEntropy().fill(target.subarray(0, 128))
  assert.ok(new Set(target.subarray(0, 128)).size > 16)
  assert.deepEqual(new Set(target.subarray(128)), new Set([0]))
})

/** A reader that takes nothing until it is told to. */
function stalledStream() {
  const lines: string[] = []
  let release: (() => void) | undefined
  let isOpen = false
  const stream = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      lines.push(line)
      if (isOpen) done()
      else release = done
    },
  })
  return {
    stream,
    lines,
    open() {
      isOpen = true
      release?.()
    },
  }
}

test('a log line is one JSON object, ids in hexadecimal, levels below the wanted one left out', () => {
  const { stream, lines, open } = stalledStream()
  open()
  const logger = createJsonLogger(stream, 'info')
  logger.log('debug', 'not-wanted')
  logger.log('info', 'started', { id: 255n, count: 3, name: 'a"b\n', missing: undefined, nothing: null })
  assert.equal(lines.length, 1)
  assert.ok(lines[0]?.endsWith('}\n'))
  const { ts, ...rest } = JSON.parse(lines[0] ?? '')
  assert.match(ts, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.deepEqual(rest, {
    level: 'info',
    event: 'started',
    id: '00000000000000ff',
    count: 3,
    name: 'a"b\n',
    nothing: null,
  })
})

test('lines beyond the backlog are dropped, counted, and the count is logged when there is room', async () => {
  const { stream, lines, open } = stalledStream()
  const logger = createJsonLogger(stream, 'info')
  const filler = 'x'.repeat(10_000)
  const total = 300
  for (let i = 0; i < total; i++) logger.log('info', 'event', { i, filler })
  assert.ok(stream.writableLength < 1_200_000, `${stream.writableLength} characters wait`)
  const drained = new Promise((resolve) => stream.once('drain', resolve))
  open()
  await drained
  const events = lines.map((line) => JSON.parse(line))
  const kept = events.filter((line) => line.event === 'event')
  const drops = events.filter((line) => line.event === 'log-lines-dropped')
  assert.ok(kept.length < total)
  assert.deepEqual(
    drops.map((line) => line.count),
    [total - kept.length],
  )
  logger.log('warn', 'after')
  assert.equal(JSON.parse(lines.at(-1) ?? '').event, 'after')
})

test('a log whose reader went away takes nothing down', async () => {
  const { stream } = stalledStream()
  const logger = createJsonLogger(stream, 'info')
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stream.destroy(new Error('EPIPE'))
  await closed
  logger.log('error', 'unheard')
})
