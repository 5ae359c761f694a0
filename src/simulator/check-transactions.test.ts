import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { checkTransactions } from './check-transactions.ts'
import type { CallOutcome, RecordedCall } from './history.ts'
import type { ModelPair, RevisionRecord, SimpleRequest, SimpleResult } from './kv-model.ts'
import { drawHistory } from './testing/draw-history.ts'

/**
 * One transaction a line: "c1 [0,5] @3: w x=a; r y=b@2; r z=-; d x" writes x, reads y as it was written at revision 2,
 * finds no z and deletes x; its answer has revision 3. "@?" is an unknown outcome, "@!" a failure, "else" before a step
 * puts it into the branch not taken, and "at n1:" instead of "@3:" is a serializable read there.
 */
function parse(...lines: string[]): RecordedCall[] {
  return lines.map((line, i) => {
    const [, client = '', from, to, revision = '', member, text = ''] =
      /^(\w+) \[(\d+),(\d+)\] (?:@(\S+)|at (\w+)): (.*)$/.exec(line) ?? assert.fail(line)
    const success: SimpleRequest[] = []
    const failure: SimpleRequest[] = []
    const results: SimpleResult[] = []
    for (const step of text.split('; ')) {
      const [, other, kind, key = '', value = '', modRevision] =
        /^(else )?([wrd]) (\w+)(?:=([\w-]+)(?:@(\d+))?)?$/.exec(step) ?? assert.fail(step)
      const list = other === undefined ? success : failure
      if (kind === 'w') list.push({ kind: 'put', key, value, lease: 0n })
      else if (kind === 'd') list.push({ kind: 'delete', key, end: '' })
      else list.push({ kind: 'range', key, end: '', limit: 0 })
      if (other !== undefined) continue
      const pair: ModelPair = {
        key,
        value,
        createRevision: 2,
        modRevision: Number(modRevision),
        version: 1,
        lease: 0n,
      }
      const pairs = value === '-' ? [] : [pair]
      if (kind === 'w') results.push({ kind: 'put' })
      else if (kind === 'd') results.push({ kind: 'delete', deleted: 1 })
      else results.push({ kind: 'range', pairs, count: pairs.length })
    }
    const result = { kind: 'transaction', succeeded: true, results } as const
    const outcome: CallOutcome =
      revision === '?' || revision === '!'
        ? { kind: revision === '?' ? 'unknown' : 'failed' }
        : { kind: 'answered', returnedAt: Number(to), revision: Number(revision ?? 0), result }
    const [read] = success
    const isSerializable = member !== undefined
    return {
      id: i + 1,
      client,
      server: member ?? 'n1',
      request: isSerializable ? present(read, line) : { kind: 'transaction', compare: [], success, failure },
      isSerializable,
      atRevision: 0,
      calledAt: Number(from),
      outcome:
        isSerializable && outcome.kind === 'answered'
          ? { ...outcome, result: present(results[0], line) }
          : outcome,
    }
  })
}

function verdicts(lines: readonly string[], log: RevisionRecord[] = []): string[] {
  return checkTransactions({ calls: parse(...lines), log }).map(({ promise }) => promise)
}

const anomalies: [string, string[]][] = [
  // x: T1 then T2; y: T2 then T1.
  [
    'G0',
    [
      'a [0,9] @?: w x=1; w y=1',
      'b [0,9] @?: w x=2; w y=2',
      'c [0,9] @9: r x=1@2; r y=2@4',
      'd [0,9] @9: r x=2@3; r y=1@5',
    ],
  ],
  ['G1a', ['a [0,1] @!: w x=1', 'b [2,3] @2: r x=1@2']],
  ['G1a', ['a [0,1] @2: w y=1; else w x=1', 'b [2,3] @3: r x=1@3']],
  ['G1b', ['a [0,9] @2: w x=1; w x=2', 'b [0,9] @2: r x=1@2']],
  ['G1c', ['a [0,9] @2: w x=1; r y=1@3', 'b [0,9] @3: w y=1; r x=1@2']],
  ['G-single', ['a [0,9] @2: w x=1; w y=1', 'b [0,9] @3: w x=2; w y=2', 'c [0,9] @3: r x=1@2; r y=2@3']],
  ['G2', ['a [0,9] @2: r x=-; w y=1', 'b [0,9] @3: r y=-; w x=1']],
  ['G0-realtime', ['a [0,1] @3: w x=1', 'b [2,3] @2: w x=2']],
  ['G1c-realtime', ['a [0,1] @2: r x=1@2', 'b [2,3] @2: w x=1']],
  ['G-single-realtime', ['a [0,1] @2: w x=1', 'a [2,3] @3: w x=2', 'b [4,5] @2: r x=1@2']],
  [
    'G2-realtime',
    ['a [0,9] @9: r x=-; r y=1@3', 'b [0,1] @2: w x=1', 'c [2,5] @9: r y=-', 'd [1,9] @3: w y=1'],
  ],
  [
    'G-single-process',
    ['a [0,9] @2: w x=1', 'a [0,9] @3: w x=2', 'b [1,2] at n2: r x=2@3', 'b [3,4] at n2: r x=1@2'],
  ],
  ['internal', ['a [0,1] @2: w x=1; r x=2@1']],
  ['version', ['a [0,9] @2: w x=1', 'b [0,9] @3: r x=1@3']],
]
for (const [name, lines] of anomalies) {
  test(`named ${name}: ${lines.join(' | ')}`, () =>
    assert.ok(verdicts(lines).includes(`transactions: ${name}`), verdicts(lines).join()))
}

const correct: [string, string[]][] = [
  ['one after the other', ['a [0,1] @2: w x=1', 'b [2,3] @3: r x=1@2; w x=2', 'c [4,5] @3: r x=2@3']],
  [
    'a read that overlaps the write may miss it',
    ['a [0,1] @2: w x=1', 'b [2,5] @3: w x=2', 'c [3,4] @2: r x=1@2'],
  ],
  ['intervals that touch overlap', ['a [0,1] @2: w x=1', 'b [1,2] @2: r x=-']],
  ['an unknown outcome may come late', ['a [0,1] @?: w x=1', 'b [2,3] @2: r x=-', 'c [4,5] @2: r x=1@2']],
  ['a serializable read may be old', ['a [0,1] @2: w x=1', 'a [2,3] @3: w x=2', 'b [4,5] at n2: r x=1@2']],
  [
    'and older at another server',
    ['a [0,1] @2: w x=1', 'a [2,3] @3: w x=2', 'b [4,5] at n2: r x=2@3', 'b [6,7] at n3: r x=1@2'],
  ],
  [
    'a key that was deleted may be missing',
    ['a [0,1] @2: w x=1', 'a [2,3] @3: d x', 'b [4,5] @3: r x=-', 'a [6,7] @4: w x=2'],
  ],
  ['its own writes are its own', ['a [0,1] @2: w x=1; r x=1@2', 'b [2,3] @3: r x=1@2']],
]
for (const [name, lines] of correct) {
  test(`no anomaly: ${name}`, () => assert.deepEqual(verdicts(lines), []))
}

test('the smallest cycle is told as text', () => {
  const [violation] = checkTransactions({
    calls: parse('a [0,9] @2: r x=-; w y=1', 'b [0,9] @3: r y=-; w x=1', 'c [0,9] @4: w z=1'),
    log: [],
  })
  assert.equal(
    violation?.facts,
    'T1 -rw x missing, then 3-> T2 -rw y missing, then 2-> T1; ' +
      'T1 is call 1 of a to n1 at 0.00: transaction if  then {range x; put y=1} else {}; ' +
      'T2 is call 2 of b to n1 at 0.00: transaction if  then {range y; put x=1} else {}',
  )
})

test('the log of watchers tells of deletions, and of writes nobody was answered', () => {
  const pair = { key: 'x', value: '9', createRevision: 2, modRevision: 2, version: 1, lease: 0n }
  const log: RevisionRecord[] = [
    { revision: 2, events: [{ kind: 'put', pair }] },
    { revision: 3, events: [{ kind: 'delete', key: 'x' }] },
  ]
  assert.deepEqual(verdicts(['a [0,1] @3: r x=-', 'b [2,3] @3: r x=-'], log), [])
  const early = ['a [0,1] @2: r x=9@2; w y=1', 'b [2,3] @2: r y=-']
  assert.deepEqual(verdicts(early, log), ['transactions: G-single-realtime'])
})

test('correct random histories have none; one read of an older state is found', () => {
  let found = 0
  let changed = 0
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed)
    const history = drawHistory(random, {
      size: 60,
      drawSpread: () => 2 * random.unit(),
      isMixed: true,
      isUnique: true,
    })
    assert.deepEqual(checkTransactions(history), [], `seed ${seed}`)
    const place = history.calls.findIndex(({ outcome, request, isSerializable, atRevision }, i) => {
      if (i < 20 || isSerializable || atRevision !== 0 || outcome.kind !== 'answered') return false
      return request.kind === 'range' && outcome.result.kind === 'range' && outcome.result.pairs.length > 0
    })
    const call = history.calls[place]
    if (call === undefined) continue
    changed++
    history.calls[place] = {
      ...call,
      calledAt: 1_000,
      outcome: { ...call.outcome, returnedAt: 1_001 } as CallOutcome,
    }
    if (checkTransactions(history).length > 0) found++
  }
  // The others read keys that nobody wrote again.
  assert.ok(found > changed / 2, `${found} of ${changed}`)
})
