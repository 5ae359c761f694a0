// Several replicas of one log: digests, snapshots cut while the state changes, stores that were damaged.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, QuorateError, SeededRandom, utf8Encode } from '../base/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend, type Store } from '../store/index.ts'
import {
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type SessionStamp,
  type WriteCommand,
} from './index.ts'
import { metaKey } from './meta-row.ts'

interface Replica {
  readonly backend: MemoryBackend
  readonly core: ConsistentCore
}

function createReplica(): Replica {
  const schedule = (finishWork: () => void): Promise<void> => {
    finishWork()
    return Promise.resolve()
  }
  const backend = createMemoryBackend({ schedule, random: new SeededRandom(1) })
  return { backend, core: createConsistentCore({ store: createStore(backend) }) }
}

function put(key: string, value: string, lease = 0n): WriteCommand {
  const flags = { previous: false, ignoreValue: false, ignoreLease: false }
  return { kind: 'put', key: utf8Encode(key), value: utf8Encode(value), lease, ...flags }
}

function apply(core: ConsistentCore, payload: Uint8Array): void {
  core.apply({ index: core.appliedIndex + 1, term: 1, timeMs: 0, payload })
}

function flush({ core, backend }: Replica): void {
  const taken = core.takeBatch()
  if (taken === undefined) return
  backend.commit(taken.batch).catch(assert.fail)
  core.flushed()
}

function finish<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

test('a snapshot is a cut though everything changes while it is read', () => {
  const main = createReplica()
  const log: Uint8Array[] = []
  const run = (write: WriteCommand, session?: SessionStamp): void => {
    const payload = encodeCommand({ session, write })
    log.push(payload)
    apply(main.core, payload)
  }
  for (let id = 1n; id <= 1500n; id++) run({ kind: 'leaseGrant', id, ttlSeconds: 1000 })
  for (let i = 0; i < 600; i++) {
    const session = { session: BigInt(1 + (i % 700)), request: 1, answeredBelow: 0 }
    run(put(`key${i}`, 'x'.repeat(300), BigInt(1 + i)), session)
  }
  for (let i = 0; i < 600; i++) run(put(`key${i}`, 'y'.repeat(300)))
  const cut = { index: main.core.appliedIndex, digest: main.core.digest, revision: main.core.revision }
  const source = main.core.openSnapshot()
  const chunks: Uint8Array[] = []
  // Rows on both sides of where the reader stands, in each table that changes in place, and the oldest versions.
  for (let round = 0; ; round++) {
    const chunk = source.next()
    if (chunk === undefined) break
    assert.ok(chunk.length > 0 && chunk.length <= 65_536)
    chunks.push(chunk)
    for (const id of [BigInt(1 + round), BigInt(750 + round), BigInt(1500 - round)]) {
      run({ kind: 'leaseRevoke', id, expired: true })
      run({ kind: 'leaseGrant', id, ttlSeconds: 7 })
      run({ kind: 'leaseCheckpoint', leases: [{ id: id + 40n, remainingSeconds: 3 }] })
      run(put('later', 'z', id + 40n), { session: id + 40n, request: 2, answeredBelow: 2 })
    }
    run({ kind: 'compact', revision: main.core.revision })
    for (let step = 0; step < 20; step++) main.core.maintain()
  }
  source.done()
  assert.ok(chunks.length > 8, 'the state fills several chunks')

  const other = createReplica()
  const sink = other.core.beginRestore()
  for (const chunk of chunks) {
    sink.write(chunk)
    flush(other)
  }
  sink.finish()
  const { appliedIndex, digest, revision } = other.core
  assert.deepEqual({ index: appliedIndex, digest, revision }, cut)
  assert.equal(finish(other.core.verify()), true)
  const fresh = createReplica()
  for (const payload of log.slice(0, cut.index)) apply(fresh.core, payload)
  for (const id of fresh.core.leaseIds()) assert.deepEqual(other.core.lease(id, 0), fresh.core.lease(id, 0))
  assert.deepEqual(other.core.counts, fresh.core.counts)
  assert.deepEqual(finish(other.core.hash(0)), finish(fresh.core.hash(0)))
  for (const payload of log.slice(cut.index)) apply(other.core, payload)
  assert.equal(other.core.digest, main.core.digest)
  assert.deepEqual(finish(other.core.hash(0)), finish(main.core.hash(0)))
})

test('the digest tells any two different outcomes apart, and nothing else', () => {
  const grants: WriteCommand[] = [
    { kind: 'leaseGrant', id: 1n, ttlSeconds: 60 },
    { kind: 'leaseGrant', id: 2n, ttlSeconds: 60 },
    put('a', '1'),
    put('a', '2'),
  ]
  const session = { session: 1n, request: 1, answeredBelow: 0 }
  const lasts: [WriteCommand, SessionStamp?][] = [
    [put('a', '3')],
    [put('a', '4')],
    [put('b', '3')],
    [put('a', '3', 1n)],
    [put('a', '3', 2n)],
    [put('a', '3', 9n)],
    [{ kind: 'deleteRange', key: utf8Encode('a'), rangeEnd: new Uint8Array(0), previous: false }],
    [{ kind: 'deleteRange', key: utf8Encode('z'), rangeEnd: new Uint8Array(0), previous: false }],
    [{ kind: 'compact', revision: 2 }],
    [{ kind: 'compact', revision: 3 }],
    [{ kind: 'leaseGrant', id: 3n, ttlSeconds: 60 }],
    [{ kind: 'leaseGrant', id: 3n, ttlSeconds: 61 }],
    [{ kind: 'leaseGrant', id: 4n, ttlSeconds: 60 }],
    [{ kind: 'leaseRevoke', id: 1n, expired: false }],
    [{ kind: 'leaseRevoke', id: 2n, expired: false }],
    [{ kind: 'leaseCheckpoint', leases: [{ id: 1n, remainingSeconds: 5 }] }],
    [{ kind: 'leaseCheckpoint', leases: [{ id: 1n, remainingSeconds: 6 }] }],
    [{ kind: 'leaseCheckpoint', leases: [{ id: 2n, remainingSeconds: 5 }] }],
    [put('a', '3'), session],
    [put('a', '3'), { ...session, request: 2 }],
    [put('a', '3'), { ...session, session: 2n }],
  ]
  const digests = new Set<number>()
  for (const [write, stamp] of lasts) {
    const busy = createReplica()
    const idle = createReplica()
    for (const one of grants) {
      for (const { core } of [busy, idle]) apply(core, encodeCommand({ session: undefined, write: one }))
      flush(busy)
      while (busy.core.maintain());
    }
    for (const { core } of [busy, idle]) apply(core, encodeCommand({ session: stamp, write }))
    while (busy.core.maintain());
    assert.equal(busy.core.digest, idle.core.digest)
    digests.add(idle.core.digest)
  }
  assert.equal(digests.size, lasts.length)
  const empty = createReplica().core
  empty.applyNothing({ index: 1, term: 1 })
  const other = createReplica().core
  other.applyNothing({ index: 1, term: 2 })
  assert.notEqual(empty.digest, other.digest)
})

test('entries without a command move the applied index, durably', () => {
  const replica = createReplica()
  replica.core.applyNothing({ index: 1, term: 3 })
  flush(replica)
  assert.equal(replica.core.takeBatch(), undefined)
  const opened = createConsistentCore({ store: createStore(replica.backend.crash()) })
  assert.throws(() => opened.applyNothing({ index: 2, term: 3 }), /loaded before/)
  finish(opened.load())
  assert.deepEqual([opened.appliedIndex, opened.appliedTerm, opened.digest], [1, 3, replica.core.digest])
  assert.throws(() => opened.applyNothing({ index: 3, term: 3 }), /in order/)
})

test('a crash while a snapshot is read in leaves a store that says so', () => {
  const main = createReplica()
  apply(main.core, encodeCommand({ session: undefined, write: put('a', 'x'.repeat(100_000)) }))
  const source = main.core.openSnapshot()
  const other = createReplica()
  const sink = other.core.beginRestore()
  sink.write(source.next() ?? new Uint8Array(0))
  assert.throws(() => sink.finish(), { code: 'data-damaged' })
  assert.throws(() => finish(other.core.hash(0)), { code: 'leader-changed' })
  flush(other)
  const backend = other.backend.crash()
  assert.throws(() => createConsistentCore({ store: createStore(backend) }), { code: 'data-damaged' })
})

test('the live keys of more records than a slice has are all there after a start', () => {
  const replica = createReplica()
  const run = (write: WriteCommand): void => apply(replica.core, encodeCommand({ session: undefined, write }))
  const keyOf = (number: number): string => `key ${(number * 7_919) % 2_000}`
  for (let number = 0; number < 2_000; number++) run(put(keyOf(number), `${number}`))
  // A value that fills a slice by itself.
  run(put('large', 'x'.repeat(2_000_000)))
  run(put('last', '1'))
  flush(replica)
  const opened = createConsistentCore({ store: createStore(replica.backend.crash()) })
  assert.equal([...opened.load()].length, 5, 'four slices of 512 records, and one behind the large value')
  const operation = {
    kind: 'range',
    key: utf8Encode('a'),
    rangeEnd: Uint8Array.of(0),
    limit: 0,
    revision: 0,
    sortOrder: 'none',
    sortTarget: 'key',
    keysOnly: true,
    countOnly: false,
    modRevisionMin: 0,
    modRevisionMax: 0,
    createRevisionMin: 0,
    createRevisionMax: 0,
  } as const
  const found = finish(opened.range(operation))
  assert.deepEqual(found, finish(replica.core.range(operation)))
  assert.equal(found.kind === 'range' && found.count, 2_002)
})

test('a state of an earlier version is made again, and one of a later is refused', () => {
  const ofVersion = (version: number): Store => {
    const replica = createReplica()
    apply(replica.core, encodeCommand({ session: undefined, write: put('a', '1') }))
    flush(replica)
    const store = createStore(replica.backend.crash())
    store.put(
      'meta',
      metaKey,
      Uint8Array.of(version, ...present(store.get('meta', metaKey), 'a state has its row').subarray(1)),
    )
    return store
  }
  assert.equal(createConsistentCore({ store: ofVersion(3) }).revision, 2)
  for (const version of [1, 2])
    assert.throws(() => createConsistentCore({ store: ofVersion(version) }), { code: 'data-damaged' })
  for (const version of [0, 4])
    assert.throws(() => createConsistentCore({ store: ofVersion(version) }), { code: 'format-unsupported' })
})

test('damaged snapshots are refused by name, whatever byte is wrong', () => {
  const main = createReplica()
  for (const key of ['a', 'b']) apply(main.core, encodeCommand({ session: undefined, write: put(key, '1') }))
  const source = main.core.openSnapshot()
  const whole = source.next() ?? new Uint8Array(0)
  source.done()
  let refused = 0
  for (let at = 0; at < whole.length; at++) {
    const sink = createReplica().core.beginRestore()
    try {
      sink.write(whole.slice(0, at))
      sink.finish()
      assert.fail('a snapshot that is cut is not whole')
    } catch (error) {
      assert.ok(error instanceof QuorateError, String(error))
      refused++
    }
  }
  assert.equal(refused, whole.length)
})

test('sessions that nobody comes back to end: every row of them is gone, with equal digests on all replicas', () => {
  const count = 4_000
  const replicas = [createReplica(), createReplica()]
  const [first] = replicas
  assert.ok(first)
  const runAll = (payload: Uint8Array): void => {
    for (const { core } of replicas) apply(core, payload)
  }
  const rowsOf = ({ backend }: Replica): number =>
    [...backend.range('sessions', {}), ...backend.range('leases', {})].length
  for (let id = 1n; id <= BigInt(count); id++) {
    runAll(encodeCommand({ session: undefined, write: { kind: 'leaseGrant', id, ttlSeconds: 60 } }))
    const session = { session: id, request: 1, answeredBelow: 0 }
    runAll(encodeCommand({ session, write: put(`key${id % 100n}`, 'v') }))
    if (id % 1_000n === 0n) for (const replica of replicas) flush(replica)
  }
  assert.equal(first.core.counts.sessions, count)
  assert.ok(rowsOf(first) >= 2 * count, `${rowsOf(first)} rows`)
  first.core.leader.start(0)
  let nowMs = 0
  for (; first.core.counts.sessions > 0; nowMs += 100) {
    assert.ok(nowMs < 60_000 + count + 2_000, `${first.core.counts.sessions} sessions after ${nowMs} ms`)
    for (const command of first.core.leader.tick(nowMs)) runAll(command)
  }
  assert.ok(nowMs > 60_000, `they were ended after ${nowMs} ms`)
  for (const replica of replicas) {
    flush(replica)
    const { sessions, leases } = replica.core.counts
    assert.deepEqual([sessions, leases, rowsOf(replica)], [0, 0, 0])
    assert.equal(replica.core.digest, first.core.digest)
    assert.equal(finish(replica.core.verify()), true)
  }
})
