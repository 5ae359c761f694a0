// What a run of the simulator recorded is accepted; with one value, revision or event of it changed, wherever it is, it
// is refused. And what the checkers cost grows as the history does.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { checkKv } from './check-kv.ts'
import { checkTransactions } from './check-transactions.ts'
import { checkWatches, type RecordedWatch, type ToldEvent, type WatchMessage } from './check-watch.ts'
import type { CallOutcome } from './history.ts'
import {
  KvModel,
  type ModelEvent,
  type ModelPair,
  type ModelResult,
  type RevisionRecord,
} from './kv-model.ts'
import { drawOptions } from './options.ts'
import { startQuorate } from './quorate-server.ts'
import { checkHistory, simulate } from './simulation.ts'
import { drawHistory } from './testing/draw-history.ts'

const seed = 1_000
const options = {
  ...drawOptions(seed),
  nodes: 3,
  clients: 3,
  thinkMs: 40,
  chaosMs: 1_200,
  members: false,
  rot: false,
}
const run = await simulate(seed, startQuorate, options)
const { history } = run

test('what was recorded is accepted', () => {
  assert.deepEqual(run.violations, [])
  assert.deepEqual(checkHistory(history), [])
  assert.ok(history.calls.length > 60 && history.log.length > 30 && history.watches.length > 2)
})

type Answered = CallOutcome & { readonly kind: 'answered' }

function changedResults(result: ModelResult): ModelResult[] {
  switch (result.kind) {
    case 'range': {
      const pairs = result.pairs.flatMap((pair, i) =>
        changedPairs(pair).map((one) => result.pairs.with(i, one)),
      )
      const shorter = result.pairs.map((_, i) => result.pairs.toSpliced(i, 1))
      return [
        { ...result, count: result.count + 1 },
        ...[...pairs, ...shorter].map((list) => ({ ...result, pairs: list })),
      ]
    }
    case 'delete':
      return [{ ...result, deleted: result.deleted + 1 }]
    case 'transaction':
      return [
        { ...result, succeeded: !result.succeeded },
        ...result.results.flatMap((step, i) =>
          changedResults(step).map((one) => ({ ...result, results: result.results.with(i, one) })),
        ),
      ]
    case 'put':
      return [{ kind: 'delete', deleted: 1 }]
    default:
      return []
  }
}

function changedPairs(pair: ModelPair): ModelPair[] {
  return [
    { ...pair, value: `${pair.value}?` },
    { ...pair, key: `${pair.key}?` },
    { ...pair, version: pair.version + 1 },
    { ...pair, modRevision: pair.modRevision - 1 },
    { ...pair, createRevision: pair.createRevision - 1 },
    { ...pair, lease: pair.lease + 1n },
  ]
}

test('each answer with one part of it changed is refused', (t) => {
  let count = 0
  for (const [i, call] of history.calls.entries()) {
    if (call.outcome.kind !== 'answered') continue
    const { outcome } = call
    const outcomes: Answered[] = changedResults(outcome.result).map((result) => ({ ...outcome, result }))
    outcomes.push({ ...outcome, revision: history.log.length + 2 }, { ...outcome, revision: 0 })
    for (const one of outcomes) {
      const calls = history.calls.with(i, { ...call, outcome: one })
      assert.notDeepEqual(checkKv({ ...history, calls }), [], `${i}: ${JSON.stringify(one, textOf)}`)
      count++
    }
  }
  t.diagnostic(`${count} changes`)
  assert.ok(count > 200)
})

function textOf(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}

function changedEvents(event: ModelEvent): ModelEvent[] {
  if (event.kind === 'delete') return [{ ...event, key: `${event.key}?` }]
  return [
    { kind: 'delete', key: event.pair.key },
    ...changedPairs(event.pair).map((pair): ModelEvent => ({ kind: 'put', pair })),
  ]
}

test('each record of the log with one event changed, left out or repeated is refused', (t) => {
  let count = 0
  for (const [i, record] of history.log.entries()) {
    const lists = record.events.flatMap((event, place) => [
      ...changedEvents(event).map((one) => record.events.with(place, one)),
      record.events.toSpliced(place, 1),
      record.events.toSpliced(place, 0, event),
    ])
    for (const events of lists) {
      const log = history.log.with(i, { ...record, events })
      assert.notDeepEqual(checkKv({ ...history, log }), [], `revision ${record.revision}`)
      count++
    }
  }
  t.diagnostic(`${count} changes`)
  assert.ok(count > 200)
})

test('each event of each watch changed, left out or repeated is refused', (t) => {
  let count = 0
  for (const watch of history.watches) {
    for (const [i, message] of watch.messages.entries()) {
      if (message.kind !== 'events') continue
      for (const events of changedAnswers(watch, i, message)) {
        const messages = watch.messages.with(i, { ...message, events })
        assert.notDeepEqual(
          checkWatches(history.log, [{ ...watch, messages }]),
          [],
          `${watch.name}, message ${i}`,
        )
        count++
      }
    }
  }
  t.diagnostic(`${count} changes`)
  assert.ok(count > 200)
})

function changedAnswers(
  watch: RecordedWatch,
  place: number,
  message: WatchMessage & { readonly kind: 'events' },
): ToldEvent[][] {
  const { events } = message
  const isLastMessage = place === watch.messages.length - 1
  return events.flatMap((one, i) => {
    const changed = changedEvents(one.event).map((event) => events.with(i, { ...one, event }))
    const later = events.with(i, { ...one, revision: one.revision + 1 })
    const repeated = events.toSpliced(i, 0, one)
    const previous = one.previous === undefined ? [] : [events.with(i, { ...one, previous: undefined })]
    // A stream that was cut off may end before its last event.
    const isOwed = !isLastMessage || i < events.length - 1 || one.revision <= watch.completeThrough
    return [...changed, later, repeated, ...previous, ...(isOwed ? [events.toSpliced(i, 1)] : [])]
  })
}

/** Counts what is read of the things in a list. */
function counted<T extends object>(list: readonly T[], count: () => void): T[] {
  const get = (target: T, name: string | symbol): unknown => {
    count()
    return Reflect.get(target, name)
  }
  return list.map((one) => new Proxy(one, { get }))
}

for (const [name, check] of [
  ['by revision', checkKv],
  ['of transactions', checkTransactions],
] as const) {
  test(`the checker ${name} reads a history of twice the size little more than twice as often`, () => {
    const steps = [400, 800].map((size) => {
      const random = new SeededRandom(size)
      const drawn = drawHistory(random, {
        size,
        drawSpread: () => 3 * random.unit(),
        isMixed: true,
        isUnique: true,
      })
      let reads = 0
      const count = (): void => {
        reads++
      }
      const verdict = check({ ...drawn, calls: counted(drawn.calls, count), log: counted(drawn.log, count) })
      assert.deepEqual(verdict, [])
      return reads
    })
    const [half = 0, whole = 0] = steps
    // Sorting adds a logarithm; a square would be 4.
    assert.ok(whole < 2.6 * half, `${half} and ${whole} reads`)
  })
}

test('the checker of watches reads for each stream what it covers of the log', () => {
  const model = new KvModel()
  const log: RevisionRecord[] = []
  const watches: RecordedWatch[] = []
  for (let revision = 2; revision < 1_002; revision++) {
    const previous = model.get('k')
    const { events } = model.evaluate({ kind: 'put', key: 'k', value: `v${revision}`, lease: 0n })
    const record = { revision, events }
    model.apply(record)
    log.push(record)
    const request = {
      key: 'k',
      end: '',
      startRevision: revision,
      previous: true,
      noPut: false,
      noDelete: false,
      fragment: false,
    }
    const told = [{ event: present(events[0], 'a put'), revision, previous }]
    const messages: WatchMessage[] = [{ kind: 'events', revision, events: told, fragment: false }]
    watches.push({
      name: `w${revision}`,
      request,
      createdRevision: revision,
      messages,
      completeThrough: revision,
    })
  }
  let reads = 0
  const count = (): void => {
    reads++
  }
  const some = log.map((record) => ({ ...record, events: counted(record.events, count) }))
  assert.deepEqual(checkWatches(some, []), [])
  const withoutStreams = reads
  assert.deepEqual(checkWatches(some, watches), [])
  const ofEach = (reads - 2 * withoutStreams) / watches.length
  assert.ok(ofEach > 1 && ofEach < 50, `${ofEach} reads a stream, of a log of ${log.length}`)
})
