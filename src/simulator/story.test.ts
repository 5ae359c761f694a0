import assert from 'node:assert/strict'
import test from 'node:test'
import { startFakeServer } from '../../testing/fake-server.ts'
import type { RecordedCall } from './history.ts'
import { Journal } from './journal.ts'
import type { ModelRequest, ModelResult } from './kv-model.ts'
import { drawOptions } from './options.ts'
import { type SimulationResult, simulate } from './simulation.ts'
import { tellStory } from './story.ts'

const options = {
  ...drawOptions(2),
  nodes: 1,
  clients: 1,
  faults: [],
  chaosMs: 300,
  extensions: false,
  members: false,
  rot: false,
}

function callOf(id: number, calledAt: number, request: ModelRequest, result: ModelResult): RecordedCall {
  const outcome = { kind: 'answered', returnedAt: calledAt + 2, revision: id + 1, result } as const
  return {
    id,
    client: 'c1',
    server: 'n1.1',
    request,
    isSerializable: false,
    atRevision: 0,
    calledAt,
    outcome,
  }
}

const put = (key: string, value: string): ModelRequest => ({ kind: 'put', key, value, lease: 0n })

test('a story has faults, elections, the calls in question and the broken promise, in the order of time', async () => {
  const journal = new Journal()
  journal.server(0, 'n1 starts (life 1)')
  journal.logged(1, 'n1', 'info', 'node-open', { member: 255n })
  journal.logged(2, 'n1', 'info', 'snapshot-saved', { index: 3 })
  journal.logged(5, 'n2', 'info', 'role', {
    role: 'follower',
    term: 1,
    leader: '00000000000000ff',
    cause: 'heard the leader',
  })
  journal.logged(6, 'n2', 'warn', 'log-tail-cut', { from: 7 })
  journal.fault(20, 'crash n1')
  journal.fault(90, 'end of crash n1')
  journal.calls = [
    callOf(1, 10, put('k1', 'c1.1'), { kind: 'put' }),
    callOf(2, 12, put('k2', 'c1.2'), { kind: 'put' }),
    callOf(3, 30, { kind: 'range', key: 'k1', end: '', limit: 0 }, { kind: 'range', pairs: [], count: 0 }),
    callOf(4, 40, put('k1', 'c1.3'), { kind: 'put' }),
  ]
  const pair = {
    key: 'k1',
    value: `c1.1${'x'.repeat(100)}`,
    createRevision: 2,
    modRevision: 2,
    version: 1,
    lease: 0n,
  }
  journal.watch(11, 'scribe.1', {
    kind: 'events',
    revision: 2,
    fragment: false,
    events: [{ event: { kind: 'put', pair }, revision: 2, previous: undefined }],
  })
  const violations = [{ promise: 'reads are not stale', facts: 'call 3 of c1: range k1 has revision 1' }]
  const result = { violations, virtualMs: 100 } as unknown as SimulationResult
  assert.equal(
    tellStory('Seed 7.', result, journal),
    `# Seed 7.

start
----
0.00 n1 starts (life 1)
5.00 n2 follower of n1 at term 1: heard the leader
6.00 n2 log-tail-cut from=7

10.00 c1.1 to n1.1: put k1=c1.1
----
11.00 scribe.1 < at 2: put k1=c1.1+100 c2 m2 v1
12.00 c1.1 < revision 2: put

20.00 crash n1
----

30.00 c1.3 to n1.1: range k1
----
32.00 c1.3 < revision 4: range(0) []

check
----
broken: reads are not stale: call 3 of c1: range k1 has revision 1
`,
  )
})

test('taking notes does not change the run, and a story has a bound', async () => {
  const start = startFakeServer('losesEvents')
  for (let seed = 1; seed <= 6; seed++) {
    const plain = await simulate(seed, start, { ...options, chaosMs: 3_000 })
    const journal = new Journal()
    const noted = await simulate(seed, start, { ...options, chaosMs: 3_000 }, journal)
    assert.equal(noted.digest, plain.digest)
    assert.ok(journal.happenings.length > 0 && journal.told.length > 0 && journal.calls.length > 0)
    const lines = tellStory('title', noted, journal).split('\n')
    assert.ok(lines.length <= 300, `${lines.length} lines`)
    assert.ok(lines.every((line) => line.length <= 450))
  }
})

test('a lease in question is told with its renewals', async () => {
  const start = startFakeServer('hurriesLeases')
  const journal = new Journal()
  const result = await simulate(2, start, { ...options, chaosMs: 3_000, leases: true }, journal)
  assert.match(result.violations[0]?.promise ?? '', /a lease lives/)
  const lease = /lease (\d+)/.exec(result.violations[0]?.facts ?? '')?.[1]
  const story = tellStory('title', result, journal)
  assert.match(story, new RegExp(`\\d grant lease ${lease} ttl=\\d \\(answered\\)`))
  assert.match(story, new RegExp(`delete a${lease}\\.`))
})

test('what was seen to be broken at its moment ends the story there, and the same facts are told once', () => {
  const journal = new Journal()
  journal.fault(5, 'crashAll n1')
  journal.server(9, 'n1 stops by itself: records that were durable are damaged')
  journal.broken(9)
  journal.server(500, 'n1 stops by itself: records that were durable are damaged')
  journal.broken(500)
  const again = { promise: 'a server stops only for a reason', facts: 'n1: damaged\n    at damaged (file)' }
  const violations = [again, again, { promise: 'a healed cluster serves', facts: 'n1 answers no write' }]
  assert.equal(
    tellStory('Seed 8.', { violations, virtualMs: 600 } as unknown as SimulationResult, journal),
    `# Seed 8.

5.00 crashAll n1
----
9.00 n1 stops by itself: records that were durable are damaged

check
----
broken: a server stops only for a reason: n1: damaged
broken: a healed cluster serves: n1 answers no write
`,
  )
})
