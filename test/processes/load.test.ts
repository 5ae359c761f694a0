// The load of the benchmarks: what it counts, what it sends, and that its answers are those of the server.
import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { Generator } from '../../bench/generator.ts'
import { noControl } from '../../bench/load/control.ts'
import { FieldReader } from '../../bench/load/fields.ts'
import { runIdleWatches } from '../../bench/load/idle-watches.ts'
import { LatencyHistogram } from '../../bench/load/latency.ts'
import { runExpiry, runKeepAlives } from '../../bench/load/leases.ts'
import type { Target } from '../../bench/load/meter.ts'
import { loadKey, operationNames } from '../../bench/load/requests.ts'
import { type LoadPlan, LoadRun } from '../../bench/load/run.ts'
import { runWatchers, type WatchersPlan } from '../../bench/load/watchers.ts'
import { methods } from '../support/etcd-messages.ts'
import { messagesOf, prefixRange, revisionOf } from '../support/keys.ts'
import { encode } from '../support/protobuf.ts'
import { type ProcessNode, planCluster } from './harness.ts'

test('a percentile is the duration that so many do not exceed, to within a 32nd', () => {
  const histogram = new LatencyHistogram()
  assert.ok(Number.isNaN(histogram.percentileMs(0.5)))
  for (let ms = 1; ms <= 10_000; ms++) histogram.add(ms)
  assert.equal(histogram.count, 10_000)
  for (const share of [0.001, 0.5, 0.99, 0.999, 1]) {
    const exact = share * 10_000
    const found = histogram.percentileMs(share)
    assert.ok(found >= exact && found <= exact * (1 + 1 / 32) + 0.001, `${share}: ${found}`)
  }
})

test('every operation is answered by a node, and writes what it says', async (t) => {
  const { node, target } = await startNode(t)
  const common = { connections: 3, streams: 4, warmUpMs: 50, countedMs: 400, seed: 1 }
  const plan: Omit<LoadPlan, 'operation'> = { ...target, ...common, keyCount: 5, valueBytes: 32 }
  for (const operation of operationNames) {
    const before = revisionOf(await node.must('range', { key: loadKey(0) }))
    const { statuses, answers, answerBytes } = await new LoadRun({ ...plan, operation }).run()
    const after = revisionOf(await node.must('range', { key: loadKey(0) }))
    const answered = statuses[0] ?? 0
    assert.deepEqual(Object.keys(statuses), ['0'])
    assert.ok(answers > 0 && answers <= answered && answerBytes >= answers)
    assert.equal(after - before, operation === 'put' || operation === 'txn' ? answered : 0, operation)
  }
  const { kvs } = await node.must('range', prefixRange('/bench/'))
  assert.equal(messagesOf(kvs).length, 5, 'all keys were drawn')
})

test('a request that does not fit into a frame is refused, and a server that is gone ends the load', async (t) => {
  const node = (await planCluster(t, 1)).node(0)
  const [host = '', port = ''] = node.endpoint.split(':')
  const plan: LoadPlan = {
    ...{ host, port: Number(port), operation: 'put', connections: 1, streams: 1, keyCount: 1, seed: 1 },
    ...{ valueBytes: 20_000, warmUpMs: 0, countedMs: 200 },
  }
  await assert.rejects(new LoadRun(plan).run(), /over 16384 bytes/)
  await assert.rejects(new LoadRun({ ...plan, valueBytes: 8 }).run(), /ECONNREFUSED/)
})

test('fields are read where they lie, and a message that is cut short is an error', () => {
  const { response } = methods.leaseKeepAlive
  const bytes = encode({ header: { revision: 300 }, ID: 2 ** 52 + 1, TTL: 7 }, response)
  const fields = new FieldReader().reset(bytes, 0, bytes.length)
  const found: number[][] = []
  while (fields.next()) found.push([fields.number, fields.value, fields.end - fields.at])
  assert.deepEqual(found, [
    [1, 0, 3],
    [2, 2 ** 52 + 1, 3],
    [3, 7, 3],
  ])
  for (const end of [1, 3, 6]) {
    const cut = new FieldReader().reset(bytes.slice(0, end), 0, end)
    assert.throws(() => {
      while (cut.next());
    }, /cut short/)
  }
})

test('a load in a process of its own, and the probe beside it, end when they are told to', async (t) => {
  const { target } = await startNode(t)
  t.after(() => Generator.killAll())
  const shape = { connections: 2, streams: 2, keyCount: 5, valueBytes: 32, seed: 1 }
  const plan: LoadPlan = { ...target, ...shape, operation: 'put', warmUpMs: 10, countedMs: 3_600_000 }
  const load = new Generator('load', plan)
  await load.begun
  const probe = new Generator('probe', { ...target, perSecond: 200, puts: true })
  await probe.begun
  const { gets, puts, statuses: probed } = await probe.stop()
  assert.deepEqual(Object.keys(probed), ['0'])
  assert.ok(gets.count > 0 && gets.count === puts.count && gets.maxMs >= gets.p50Ms * (31 / 32))
  assert.ok(gets.gapMaxMs > 0 && puts.gapMaxMs >= 1_000 / 200)
  const { statuses, answers } = await load.stop()
  assert.ok(Object.keys(statuses).join() === '0' && answers > 0)
  const failing = new Generator('probe', { ...target, port: 1, perSecond: 1, puts: false })
  await assert.rejects(failing.begun, /ended with code 1/)
  await assert.rejects(failing.report(), /ended with code 1/)
})

test('every watcher tells of every put once, and an event of another writer is an error', async (t) => {
  const { node, target } = await startNode(t)
  const plan: WatchersPlan = {
    ...{ ...target, connections: 3, watchesPerConnection: 2, valueBytes: 32, warmUpMs: 10, countedMs: 300 },
    ...{ putsPerSecond: 0, undeliveredMax: 4 },
  }
  const before = revisionOf(await node.must('range', { key: loadKey(0) }))
  const { puts, events, eventsPerSecond, sendToEvent } = await runWatchers(plan, noControl)
  const { count, ...after } = await node.must('range', { ...prefixRange('/bench/'), count_only: true })
  assert.ok(puts > 0 && events === 6 * puts && eventsPerSecond > 0 && sendToEvent.p50Ms > 0)
  assert.deepEqual([count, revisionOf(after) - before], [puts, puts])
  const startMs = performance.now()
  const paced = await runWatchers({ ...plan, putsPerSecond: 20 }, noControl)
  const putsMax = 1 + (performance.now() - startMs) / 50
  assert.ok(paced.puts > 0 && paced.puts <= putsMax, 'a rate that is asked for is not exceeded')
  let other: Promise<unknown> | undefined
  const begun = (): void => {
    other = node.must('put', { key: loadKey(999_999), value: Buffer.from('other') })
  }
  await assert.rejects(
    runWatchers({ ...plan, countedMs: 60_000 }, { ...noControl, begun }),
    /event of no put/,
  )
  await other
})

test('leases are kept alive, and answers of leases that are gone are an error', async (t) => {
  const { node, target } = await startNode(t)
  const plan = { ...target, leases: 20, connections: 3, ttlSeconds: 300, underWay: 4, warmUpMs: 10 }
  const { keepAlivesPerSecond, p99Ms } = await runKeepAlives({ ...plan, countedMs: 300 }, noControl)
  assert.ok(keepAlivesPerSecond > 0 && p99Ms > 0)
  const { leases } = await node.must('leaseLeases', {})
  assert.equal(messagesOf(leases).length, 20)
  for (const { ID } of messagesOf(leases)) await node.must('leaseRevoke', { ID })
  let revoked: Promise<unknown> | undefined
  const begun = (): void => {
    revoked = node.must('leaseRevoke', { ID: 2n ** 52n })
  }
  await assert.rejects(
    runKeepAlives({ ...plan, countedMs: 60_000 }, { ...noControl, begun }),
    /alive for 0 s/,
  )
  await revoked
})

test('leases that are left alone take their keys along, and a key that goes too early is an error', async (t) => {
  const { node, target } = await startNode(t)
  const plan = { ...target, leases: 20, connections: 3, ttlSeconds: 5 }
  const { goneMs, firstGoneMs } = await runExpiry(plan, noControl)
  assert.ok(goneMs >= 0 && firstGoneMs >= 0)
  let deleted: Promise<unknown> | undefined
  const begun = (): void => {
    deleted = node.must('deleteRange', { key: loadKey(3) })
  }
  await assert.rejects(runExpiry(plan, { ...noControl, begun }), /before its time/)
  await deleted
})

test('every idle watch is alive at the end', async (t) => {
  const { target } = await startNode(t)
  const plan = { ...target, connections: 5, watchesPerConnection: 4 }
  assert.deepEqual(await runIdleWatches(plan, { ...noControl, stop: Promise.resolve() }), { events: 20 })
})

async function startNode(t: TestContext): Promise<{ node: ProcessNode; target: Target }> {
  const node = (await planCluster(t, 1)).node(0)
  await node.startReady()
  const [host = '', port = ''] = node.endpoint.split(':')
  return { node, target: { host, port: Number(port) } }
}
