// The reads: every kind of question the API has, asked about the loaded index. Generators, so that thousands of
// requests need no list in memory and the caller sets the pace.
import { SeededRandom } from '../../src/base/index.ts'
import type { MethodName } from '../support/etcd-messages.ts'
import { allKeys, bytes, messagesOf, prefixRange } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import type { Loaded } from './load.ts'
import { keyOf } from './packages.ts'
import type { Pair } from './pair.ts'
import { Progress } from './progress.ts'
import { compareHistory } from './watching.ts'

const packagesAtOnce = 100
const sampleSeed = 20_251_120

type Question = [MethodName, Message]

/**
 * Reads every key at a revision, some packages at a time, and compares each. Resolves with the number of keys. Closed
 * ranges, not pages of one open range: etcd counts all the rest of the range for every page.
 */
export async function compareWholeState(
  pair: Pair,
  names: readonly string[],
  revision: number,
): Promise<number> {
  const starts = names.map((name) => bytes(`/packages/${name}/`)).sort(Buffer.compare)
  const progress = new Progress(
    `compare every package at ${revision === 0 ? 'the end' : revision}`,
    starts.length,
  )
  let key: Uint8Array = bytes('/packages/')
  let count = 0
  for (let i = packagesAtOnce; i < starts.length + packagesAtOnce; i += packagesAtOnce) {
    const range_end = starts[i] ?? prefixRange('/packages/').range_end
    const answer = await pair.call('range', { key, range_end, revision })
    if (answer.code !== 0) throw new Error(`a part was refused: ${answer.text}`)
    count += messagesOf(answer.message.kvs).length
    progress.update(Math.min(i, starts.length))
    key = range_end
  }
  const whole = await pair.call('range', { ...prefixRange('/packages/'), revision, count_only: true })
  if (whole.message.count !== count)
    throw new Error(`${count} keys were read, ${String(whole.message.count)} are there`)
  progress.finish(starts.length)
  return count
}

export async function compareReads(pair: Pair, loaded: Loaded, lastRevision: number): Promise<number> {
  const random = new SeededRandom(sampleSeed)
  const sets: Iterable<Question>[] = [
    singleKeys(loaded, random),
    prefixes(loaded, random),
    sorted(),
    history(loaded, lastRevision, random),
    filters(loaded, lastRevision, random),
    readOnlyTransactions(loaded, random),
    errorCases(lastRevision),
  ]
  const progress = new Progress('compare reads')
  let count = 0
  for (const questions of sets) {
    for (const [name, request] of questions) {
      await pair.call(name, request)
      progress.update(++count)
    }
  }
  progress.finish(count)
  return count
}

function* singleKeys(loaded: Loaded, random: SeededRandom): Generator<Question> {
  for (let i = 0; i < 600; i++) {
    const key = bytes(keyOf(random.pick(loaded.names), random.pick(['Version', 'Package', 'Tag', 'Nothing'])))
    yield ['range', { key, serializable: random.chance(0.3), keys_only: random.chance(0.2) }]
  }
}

function* prefixes(loaded: Loaded, random: SeededRandom): Generator<Question> {
  for (let i = 0; i < 500; i++) {
    const name = random.pick(loaded.names)
    const range = prefixRange(`/packages/${name.slice(0, random.between(3, name.length + 3))}`)
    yield ['range', { ...range, limit: random.pick([0, 1, 2, 17, 100]), keys_only: random.chance(0.3) }]
    yield ['range', { ...range, count_only: true, limit: random.pick([0, 5]) }]
  }
  for (const prefix of ['/', '/packages/', '/packages/lib', '/packages/z', '/packagf', '']) {
    const range = prefix === '' ? allKeys : prefixRange(prefix)
    yield ['range', { ...range, count_only: true }]
    yield ['range', { ...range, limit: 1_000, keys_only: true }]
  }
  // From a key to the end of the store, and ranges that are empty or turned round.
  yield ['range', { key: bytes('/packages/z'), range_end: Buffer.from([0]), limit: 50 }]
  yield ['range', { key: bytes('/packages/b'), range_end: bytes('/packages/a') }]
  yield ['range', { key: bytes('/packages/b'), range_end: bytes('/packages/b') }]
}

function* sorted(): Generator<Question> {
  for (const prefix of ['/packages/a', '/packages/xz', '/packages/python3-a', '/packages/nothing']) {
    for (let sort_target = 0; sort_target <= 4; sort_target++) {
      for (let sort_order = 0; sort_order <= 2; sort_order++) {
        yield ['range', { ...prefixRange(prefix), sort_target, sort_order, limit: 40 }]
      }
    }
  }
  yield ['range', { ...prefixRange('/packages/xz'), sort_target: 4, sort_order: 2, keys_only: true }]
}

function* history(loaded: Loaded, lastRevision: number, random: SeededRandom): Generator<Question> {
  for (let i = 0; i < 200; i++) {
    const revision = random.between(loaded.firstRevision, lastRevision + 1)
    const range = prefixRange(`/packages/${random.pick(loaded.names)}/`)
    yield ['range', { ...range, revision }]
    yield [
      'range',
      { ...prefixRange(`/packages/${random.pick(['a', 'b', 'lib', 'py'])}`), revision, limit: 20 },
    ]
    // Every key is counted for this one, by both.
    if (i % 10 === 0) yield ['range', { ...allKeys, revision, count_only: true }]
  }
}

function* filters(loaded: Loaded, lastRevision: number, random: SeededRandom): Generator<Question> {
  for (let i = 0; i < 150; i++) {
    const low = random.between(loaded.firstRevision, lastRevision + 1)
    const high = random.between(low, lastRevision + 1)
    const range = prefixRange(`/packages/${random.pick(loaded.names).slice(0, 2)}`)
    const filter = random.pick<Message>([
      { min_mod_revision: low },
      { max_mod_revision: high },
      { min_create_revision: low },
      { max_create_revision: high },
      { min_mod_revision: low, max_mod_revision: high, min_create_revision: loaded.firstRevision },
    ])
    yield ['range', { ...range, ...filter, limit: random.pick([0, 3, 50]), sort_order: random.pick([0, 2]) }]
    yield ['range', { ...range, ...filter, count_only: true }]
  }
}

function* readOnlyTransactions(loaded: Loaded, random: SeededRandom): Generator<Question> {
  for (let i = 0; i < 150; i++) {
    const name = random.pick(loaded.names)
    const key = bytes(keyOf(name, 'Version'))
    const result = random.between(0, 4)
    const compare = random.pick<Message>([
      { key, target: 0, result, version: random.between(0, 3) },
      { key, target: 1, result, create_revision: loaded.firstRevision },
      { key, target: 2, result, mod_revision: loaded.lastRevision },
      { key, target: 3, result, value: bytes('1') },
      { ...prefixRange(`/packages/${name}/`), target: 0, result, version: 1 },
    ])
    const range = { request_range: prefixRange(`/packages/${name}/`) }
    yield [
      'txn',
      { compare: [compare], success: [range], failure: [{ request_range: { key } }, { request_txn: {} }] },
    ]
  }
}

export function* errorCases(lastRevision: number): Generator<Question> {
  const key = bytes('/packages/zzz-not-there')
  const put = { request_put: { key, value: bytes('x') } }
  yield ['range', {}]
  yield ['range', { key, revision: lastRevision + 1_000 }]
  yield ['range', { key, limit: -1, revision: -1 }]
  yield ['put', { value: bytes('x') }]
  yield ['put', { key, ignore_value: true }]
  yield ['put', { key, ignore_value: true, value: bytes('x') }]
  yield ['put', { key, ignore_lease: true }]
  yield ['put', { key, ignore_lease: true, lease: 5n }]
  yield ['put', { key, lease: 987_654_321n }]
  yield ['put', { key, value: Buffer.alloc(1_600_000, 120) }]
  yield ['deleteRange', {}]
  yield ['deleteRange', { key }]
  yield ['txn', {}]
  yield ['txn', { success: [put, put] }]
  yield ['txn', { success: [put, { request_delete_range: prefixRange('/packages/zzz') }] }]
  yield ['txn', { success: [{}] }]
  yield ['txn', { success: Array.from({ length: 129 }, () => ({ request_range: { key } })) }]
  yield ['txn', { compare: [{ target: 0 }], success: [] }]
  yield ['txn', { success: [{ request_range: { key, revision: lastRevision + 1_000 } }] }]
  yield ['txn', { success: [{ request_put: { key, lease: 987_654_321n } }] }]
  yield ['compact', { revision: lastRevision + 1_000 }]
  yield ['leaseRevoke', { ID: 987_654_321n }]
  yield ['leaseTimeToLive', { ID: 987_654_321n, keys: true }]
  yield ['leaseGrant', { TTL: 9_000_000_001 }]
  yield* twoFaults(lastRevision)
}

/** Every pair of faults in one transaction, in both orders and nested: which of them the answer tells. */
function* twoFaults(lastRevision: number): Generator<Question> {
  const missing = bytes('/packages/zzz-missing')
  const key = bytes('/packages/zzz-not-there')
  const put = (name: string): Message => ({ request_put: { key: bytes(`/packages/zzz-${name}`) } })
  const faults: Message[][] = [
    [{ request_range: { key, revision: lastRevision + 1_000 } }],
    // Compacted, at the end of the run.
    [{ request_range: { key, revision: 1 } }],
    [{ request_put: { key, lease: 987_654_321n } }],
    [{ request_put: { key: missing, ignore_value: true } }],
    [{ request_put: { key: bytes('/packages/zzz-both'), ignore_value: true, lease: 987_654_321n } }],
    [{ request_put: { value: bytes('x') } }],
    [{ request_range: {} }],
    [{ request_put: { key: bytes('/packages/zzz-given'), ignore_value: true, value: bytes('x') } }],
    [put('twice'), put('twice')],
    [{}],
    [{ request_txn: { compare: [{ target: 0 }] } }],
  ]
  yield ['put', { key: missing, ignore_value: true, lease: 987_654_321n }]
  for (const first of faults) {
    for (const second of faults) {
      if (first === second) continue
      yield ['txn', { success: [...first, ...second] }]
      yield ['txn', { success: [{ request_txn: { success: first } }, ...second] }]
      yield ['txn', { success: [...first, { request_txn: { success: second } }] }]
      yield ['txn', { success: first, failure: second }]
    }
  }
}

/** Watches that start in history; each must deliver what happened since, and nothing else. */
export async function compareWatches(pair: Pair, loaded: Loaded): Promise<number> {
  const progress = new Progress('compare watched events')
  let events = 0
  const starts = [
    loaded.firstRevision,
    Math.floor((loaded.firstRevision + loaded.lastRevision) / 2),
    loaded.lastRevision,
  ]
  for (const prefix of ['/packages/', '/packages/lib', '/packages/a']) {
    // The last event of the prefix: a watch is read up to it.
    const end = await pair.write('put', { key: bytes(`${prefix}~end`), value: bytes('end') })
    for (const start_revision of starts) {
      // Not without puts: the mark at the end would not come.
      for (const filters of [[], [1]]) {
        const request = {
          ...prefixRange(prefix),
          start_revision,
          prev_kv: start_revision !== starts[0],
          filters,
        }
        events += await compareHistory(pair, request, end)
        progress.update(events)
      }
    }
  }
  progress.finish(events)
  return events
}

/** Compaction, what it forbids, and what stays. */
export async function compareCompaction(pair: Pair, loaded: Loaded, lastRevision: number): Promise<void> {
  const floor = Math.floor((loaded.lastRevision + lastRevision) / 2)
  await pair.call('compact', { revision: floor, physical: true })
  for (const revision of [1, loaded.firstRevision, floor - 1, floor, floor + 1, lastRevision]) {
    await pair.call('range', { ...prefixRange('/packages/a'), revision, limit: 30 })
    await pair.call('txn', { success: [{ request_range: { ...allKeys, revision, count_only: true } }] })
    await pair.call('compact', { revision: Math.min(revision, floor) })
  }
  await pair.call('range', { ...allKeys, count_only: true })
  const end = await pair.write('put', { key: bytes('/packages/~end'), value: bytes('compacted') })
  await compareHistory(pair, { ...prefixRange('/packages/'), start_revision: floor + 1, prev_kv: true }, end)
}

export async function compareLeases(pair: Pair): Promise<void> {
  const key = bytes('/leases/k')
  await pair.call('leaseGrant', { TTL: 600, ID: 77n })
  await pair.call('leaseGrant', { TTL: 600, ID: 77n })
  await pair.call('leaseGrant', { TTL: 500 })
  await pair.call('put', { key, value: bytes('1'), lease: 77n })
  await pair.call('put', { key: bytes('/leases/l'), value: bytes('2'), lease: 'lease#1' })
  await pair.call('range', { key })
  await pair.call('leaseTimeToLive', { ID: 77n, keys: true })
  await pair.call('leaseTimeToLive', { ID: 'lease#1', keys: true })
  await pair.call('leaseLeases', {})
  await pair.call('put', { key, ignore_value: true, lease: 0n })
  await pair.call('leaseTimeToLive', { ID: 77n, keys: true })
  await pair.call('put', { key, value: bytes('3'), lease: 77n, prev_kv: true })
  await pair.call('leaseRevoke', { ID: 77n })
  await pair.call('range', { key })
  await pair.call('leaseRevoke', { ID: 'lease#1' })
  await pair.call('range', { ...prefixRange('/leases/') })
  await pair.call('leaseRevoke', { ID: 77n })
  await pair.call('leaseLeases', {})
}
