import assert from 'node:assert/strict'
import test from 'node:test'
import { checkWatches, type RecordedWatch, type ToldEvent, type WatchMessage } from './check-watch.ts'
import { KvModel, type ModelPair, type ModelRequest, type RevisionRecord } from './kv-model.ts'

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

type Told = [ToldEvent, ToldEvent, ToldEvent, ToldEvent, ToldEvent, ToldEvent, ToldEvent]
const [first, second, third, fourth, fifth, sixth] = told as Told
const answer = (...events: ToldEvent[]): WatchMessage => ({
  kind: 'events',
  revision: 7,
  events,
  fragment: false,
})
const changed = (one: ToldEvent, change: Partial<ModelPair>): ToldEvent => {
  assert.ok(one.event.kind === 'put')
  return { ...one, event: { kind: 'put', pair: { ...one.event.pair, ...change } } }
}
const onlyKey = { ...everything, end: '' }

/** Each stream breaks exactly one guarantee. */
const broken: [promise: string, story: string, Partial<RecordedWatch> & { messages: WatchMessage[] }][] = [
  ['filter', 'a key outside of the span', { messages: [answer(first, second)], request: onlyKey }],
  [
    'filter',
    'a deletion that was not asked for',
    { messages: [answer(fifth)], request: { ...everything, noDelete: true, startRevision: 5 } },
  ],
  [
    'filter',
    'a put that was not asked for',
    { messages: [answer(first)], request: { ...everything, noPut: true } },
  ],
  ['ordered', 'an event after a later one', { messages: [answer(first, second, first)] }],
  [
    'ordered',
    'an event ahead of its header',
    { messages: [{ kind: 'events', revision: 1, events: [first], fragment: false }] },
  ],
  ['unique', 'an event twice in a row', { messages: [answer(first, first)] }],
  ['unique', 'an event twice in its revision', { messages: [answer(first, second, third, third, fourth)] }],
  ['atomic', 'a revision over two answers', { messages: [answer(first, second, third), answer(fourth)] }],
  [
    'atomic',
    'a fragment that another revision follows',
    {
      messages: [{ ...answer(first, second, third), fragment: true } as WatchMessage, answer(fifth)],
      request: { ...everything, fragment: true },
    },
  ],
  ['reliable', 'an event left out', { messages: [answer(first), answer(third, fourth)] }],
  ['reliable', 'the second half of a revision first', { messages: [answer(first, second, fourth, third)] }],
  ['reliable', 'the last events never come', { messages: [answer(first, second)] }],
  ['reliable', 'an answer without events', { messages: [answer()] }],
  ['resumable', 'the first event left out', { messages: [answer(second)] }],
  [
    'resumable',
    'a start that was compacted is not refused, but begins later',
    { messages: [answer(fifth, sixth)] },
  ],
  ['resumable', 'nothing comes at all', { messages: [] }],
  ['bookmarkable', 'a mark before an event', { messages: [answer(first), progress(3)] }],
  [
    'bookmarkable',
    'an event after its mark',
    { messages: [answer(first), answer(second), progress(3), answer(second)] },
  ],
  [
    'previous value',
    'missing',
    { messages: [answer(first, second, { ...third, previous: undefined }, fourth)] },
  ],
  [
    'previous value',
    'not asked for',
    { messages: [answer(first, second, third, fourth)], request: { ...everything, previous: false } },
  ],
  ['previous value', 'of a key that is new', { messages: [answer({ ...first, previous: pairOf(second) })] }],
  [
    'created or modified',
    'a new key said to be older',
    { messages: [answer(changed(first, { createRevision: 1, version: 2 }))] },
  ],
  [
    'created or modified',
    'a changed key said to be new',
    { messages: [answer(first, second, changed(third, { createRevision: 4, version: 1 }), fourth)] },
  ],
  ['true', 'a value that never was', { messages: [answer(changed(first, { value: 'z' }))] }],
  [
    'true',
    'a deletion instead of a put',
    { messages: [answer({ ...first, event: { kind: 'delete', key: 'a' } })] },
  ],
  [
    'future',
    'an old event after a start to come',
    { messages: [answer(fourth)], request: { ...everything, startRevision: 9 } },
  ],
  [
    'future',
    'a mark before a start to come',
    { messages: [progress(7)], request: { ...everything, startRevision: 9 } },
  ],
  [
    'compacted',
    'nothing of it was left to tell',
    { messages: [...answers(told), { kind: 'compacted', compactRevision: 4 }] },
  ],
  [
    'compacted',
    'an event after the end',
    { messages: [{ kind: 'compacted', compactRevision: 4 }, answer(first)] },
  ],
]
for (const [promise, story, watch] of broken) {
  test(`broken: ${promise}: ${story}`, () => assert.deepEqual(check(watch), [`watch: ${promise}`]))
}

function pairOf({ event }: ToldEvent): ModelPair {
  assert.ok(event.kind === 'put')
  return event.pair
}

test('a stream that was cut off, or is over, owes no more', () => {
  assert.deepEqual(check({ messages: answers(told.slice(0, 2)), completeThrough: 0 }), [])
  assert.deepEqual(check({ messages: [{ kind: 'compacted', compactRevision: 4 }] }), [])
  assert.deepEqual(check({ messages: [], request: { ...everything, startRevision: 9 } }), [])
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
})

test('resumable: the start revision and the creation revision decide what comes first', () => {
  const from = (revision: number) => told.filter((one) => one.revision >= revision)
  const resumed = { ...everything, startRevision: 5 }
  assert.deepEqual(check({ messages: answers(from(5)), request: resumed }), [])
  assert.deepEqual(check({ messages: answers(from(6)), request: resumed }), ['watch: resumable'])
  assert.deepEqual(check({ messages: answers(from(4)), request: resumed }), ['watch: future'])
  const fromNow = { ...everything, startRevision: 0 }
  assert.deepEqual(check({ messages: answers(from(5)), request: fromNow, createdRevision: 4 }), [])
})

test('filters, spans and previous values', () => {
  const noPrevious = (events: ToldEvent[]) => events.map((one) => ({ ...one, previous: undefined }))
  const onlyA = told.filter((one) => (one.event.kind === 'put' ? one.event.pair.key : one.event.key) === 'a')
  const request = { ...everything, end: '', previous: false }
  assert.deepEqual(check({ messages: answers(noPrevious(onlyA)), request }), [])
  assert.deepEqual(check({ messages: answers(onlyA), request }), ['watch: previous value'])
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
