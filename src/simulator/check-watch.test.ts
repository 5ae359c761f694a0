import assert from 'node:assert/strict'
import test from 'node:test'
import { checkWatches, type RecordedWatch, type ToldEvent, type WatchMessage } from './check-watch.ts'
import { KvModel, type ModelRequest, type RevisionRecord } from './kv-model.ts'

const log: RevisionRecord[] = []
const told: ToldEvent[] = []
{
  const model = new KvModel()
  const put = (key: string, value: string) => ({ kind: 'put', key, value, lease: 0n }) as const
  const requests: ModelRequest[] = [
    put('a', '1'),
    put('b', '1'),
    { kind: 'transaction', compare: [], success: [put('a', '2'), put('b', '2')], failure: [] },
    { kind: 'delete', key: 'a', end: '' },
    put('x', '1'),
    put('a', '3'),
  ]
  for (const request of requests) {
    const { events } = model.evaluate(request)
    const revision = model.revision + 1
    for (const event of events) {
      told.push({ event, revision, previous: model.get(event.kind === 'put' ? event.pair.key : event.key) })
    }
    model.apply({ revision, events })
    log.push({ revision, events })
  }
}

const everything = {
  key: 'a',
  end: '\0',
  startRevision: 2,
  previous: true,
  noPut: false,
  noDelete: false,
  fragment: false,
}

/** One answer a revision. */
function answers(events: readonly ToldEvent[]): WatchMessage[] {
  const messages: WatchMessage[] = []
  for (const revision of new Set(events.map((one) => one.revision))) {
    const same = events.filter((one) => one.revision === revision)
    messages.push({ kind: 'events', revision, events: same, fragment: false })
  }
  return messages
}

function check(watch: Partial<RecordedWatch> & { messages: WatchMessage[] }): string[] {
  const base = { name: 'w', request: everything, createdRevision: 7, completeThrough: 7 }
  return checkWatches(log, [{ ...base, ...watch }]).map((violation) => violation.promise)
}

const progress = (revision: number): WatchMessage => ({ kind: 'progress', revision })

test('a complete stream is accepted: one answer a revision, or all in one', () => {
  assert.deepEqual(check({ messages: answers(told) }), [])
  assert.deepEqual(check({ messages: [{ kind: 'events', revision: 7, events: told, fragment: false }] }), [])
  assert.deepEqual(
    check({ messages: [...answers(told.slice(0, 2)), progress(3), ...answers(told.slice(2))] }),
    [],
  )
})

test('every single changed, missing or repeated event is rejected', () => {
  for (const [i, one] of told.entries()) {
    const others: [string, ToldEvent[]][] = [
      ['missing', told.toSpliced(i, 1)],
      ['repeated', told.toSpliced(i, 0, one)],
      [
        'other previous',
        told.toSpliced(i, 1, {
          ...one,
          previous:
            one.previous === undefined
              ? told[0]?.event.kind === 'put'
                ? told[0].event.pair
                : undefined
              : undefined,
        }),
      ],
    ]
    if (one.event.kind === 'put') {
      const { pair } = one.event
      const replace = (change: object): ToldEvent[] =>
        told.toSpliced(i, 1, { ...one, event: { kind: 'put', pair: { ...pair, ...change } } })
      others.push(
        ['value', replace({ value: 'z' })],
        ['created', replace({ createRevision: 1 })],
        ['version', replace({ version: 9 })],
      )
    }
    for (const [what, events] of others) {
      const verdict = check({ messages: [{ kind: 'events', revision: 7, events, fragment: false }] })
      assert.equal(verdict.length, 1, `${what} at ${i}`)
    }
  }
})

test('ordered, unique, reliable, atomic are told apart', () => {
  const [first, second, third, fourth] = told as [ToldEvent, ToldEvent, ToldEvent, ToldEvent]
  const one = (...events: ToldEvent[]): WatchMessage => ({
    kind: 'events',
    revision: 7,
    events,
    fragment: false,
  })
  assert.deepEqual(check({ messages: [one(first, second, first)] }), ['watch: ordered'])
  assert.deepEqual(check({ messages: [one(first, first)] }), ['watch: unique'])
  assert.deepEqual(check({ messages: [one(second)] }), ['watch: reliable'])
  assert.deepEqual(check({ messages: [one(first, second, third), one(fourth)] }), ['watch: atomic'])
  assert.deepEqual(check({ messages: answers(told.slice(0, 3)).slice(0, 2) }), ['watch: reliable'])
  assert.deepEqual(check({ messages: answers(told.slice(0, 2)), completeThrough: 0 }), [])
})

test('fragments may split a revision when they were asked for, and must go on with it', () => {
  const [first, second, third, fourth] = told as [ToldEvent, ToldEvent, ToldEvent, ToldEvent]
  const part = (fragment: boolean, ...events: ToldEvent[]): WatchMessage => ({
    kind: 'events',
    revision: 7,
    events,
    fragment,
  })
  const messages = [part(true, first, second, third), part(false, fourth), ...answers(told.slice(4))]
  assert.deepEqual(check({ messages, request: { ...everything, fragment: true } }), [])
  assert.deepEqual(check({ messages }), ['watch: atomic'])
})

test('bookmarks: everything before is told, nothing of it comes later', () => {
  assert.deepEqual(check({ messages: [progress(3)] }), ['watch: bookmarkable'])
  assert.deepEqual(check({ messages: [...answers(told), progress(7)] }), [])
  assert.deepEqual(check({ messages: [progress(1), ...answers(told)] }), [])
})

test('resumable: the start revision and the creation revision decide what comes first', () => {
  const from = (revision: number) => told.filter((one) => one.revision >= revision)
  const resumed = { ...everything, startRevision: 5 }
  assert.deepEqual(check({ messages: answers(from(5)), request: resumed }), [])
  assert.deepEqual(check({ messages: answers(from(6)), request: resumed }), ['watch: reliable'])
  assert.deepEqual(check({ messages: answers(from(4)), request: resumed }), ['watch: true'])
  const fromNow = { ...everything, startRevision: 0 }
  assert.deepEqual(check({ messages: answers(from(5)), request: fromNow, createdRevision: 4 }), [])
})

test('filters, spans and previous values', () => {
  const noPrevious = (events: ToldEvent[]) => events.map((one) => ({ ...one, previous: undefined }))
  const onlyA = told.filter((one) => (one.event.kind === 'put' ? one.event.pair.key : one.event.key) === 'a')
  const request = { ...everything, end: '', previous: false }
  assert.deepEqual(check({ messages: answers(noPrevious(onlyA)), request }), [])
  assert.deepEqual(check({ messages: answers(onlyA), request }), ['watch: true'])
  const puts = noPrevious(onlyA.filter((one) => one.event.kind === 'put'))
  assert.deepEqual(check({ messages: answers(puts), request: { ...request, noDelete: true } }), [])
  assert.deepEqual(check({ messages: answers(puts), request }), ['watch: reliable'])
  assert.deepEqual(check({ messages: [], request: { ...request, noPut: true, noDelete: true } }), [])
})

test('a watch may only be ended by a compaction of what it still had to tell', () => {
  const compacted = (compactRevision: number): WatchMessage => ({ kind: 'compacted', compactRevision })
  assert.deepEqual(check({ messages: [compacted(4)], completeThrough: 0 }), [])
  assert.deepEqual(check({ messages: [...answers(told), compacted(4)], completeThrough: 0 }), [
    'watch: compacted',
  ])
})
