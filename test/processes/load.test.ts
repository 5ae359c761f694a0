// The load of the benchmarks: what it counts, what it sends, and that its answers are those of the server.
import assert from 'node:assert/strict'
import test from 'node:test'
import { LatencyHistogram } from '../../bench/load/latency.ts'
import { loadKey, operationNames } from '../../bench/load/requests.ts'
import { type LoadPlan, LoadRun } from '../../bench/load/run.ts'
import { messagesOf, prefixRange, revisionOf } from '../support/keys.ts'
import { planCluster } from './harness.ts'

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
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  const [host = '', port = ''] = node.endpoint.split(':')
  const common = {
    host,
    port: Number(port),
    connections: 3,
    streams: 4,
    warmUpMs: 50,
    countedMs: 400,
    seed: 1,
  }
  const plan: Omit<LoadPlan, 'operation'> = { ...common, keyCount: 5, valueBytes: 32 }
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
