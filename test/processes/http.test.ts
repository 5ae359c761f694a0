// What plain HTTP answers on the client port and on --listen-metrics-urls.
import assert from 'node:assert/strict'
import test from 'node:test'
import { bytes } from '../support/keys.ts'
import { eventually, planCluster } from './harness.ts'

test('version, health, metrics and probes on the client port as on its own; status where it was asked for', async (t) => {
  const cluster = await planCluster(t, 3)
  const [node, ...others] = cluster.nodes
  assert.ok(node !== undefined)
  await cluster.start()
  await node.must('put', { key: bytes('k'), value: bytes('v') })
  for (const port of [node.clientPort, node.metricsPort]) {
    const version = await node.http('/version', port)
    assert.equal(version.type, 'application/json')
    const { etcdserver, etcdcluster } = JSON.parse(version.text)
    assert.match(etcdserver, /^3\.6\.\d+$/)
    assert.equal(etcdcluster, '3.6.0')
    const health = await node.http('/health', port)
    assert.deepEqual([health.code, JSON.parse(health.text)], [200, { health: 'true', reason: '' }])
    assert.equal((await node.http('/nothing', port)).code, 404)
    assert.equal((await node.http('//', port)).code, 400)
    assert.equal((await node.http('/version', port, 'POST')).code, 405)
    for (const path of ['/livez', '/readyz']) assert.equal((await node.http(path, port)).code, 200)
  }
  assert.equal((await node.http('/status', node.clientPort)).code, 404)

  const metrics = await node.http('/metrics', node.clientPort)
  const elsewhere = await node.http('/metrics')
  assert.deepEqual(namesOf(elsewhere.text), namesOf(metrics.text))
  assert.match(metrics.type, /^text\/plain; version=0\.0\.4/)
  const values = new Map<string, number>()
  for (const line of metrics.text.trimEnd().split('\n')) {
    if (line.startsWith('#')) continue
    const [, name = '', value = ''] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? []
    assert.ok(name !== '' && Number.isFinite(Number(value)), `a metric: ${line}`)
    assert.ok(!values.has(name), `${name} once`)
    values.set(name, Number(value))
  }
  const { group, core } = await node.status()
  assert.equal(values.get('etcd_server_has_leader'), 1)
  assert.equal(values.get('etcd_server_is_leader'), group.role === 'leader' ? 1 : 0)
  assert.equal(values.get('etcd_debugging_mvcc_current_revision'), core.revision)
  assert.equal(core.revision, 2)
  assert.ok((values.get('quorate_wal_bytes') ?? 0) > 0, 'the log has a size')
  assert.ok((values.get('etcd_disk_wal_fsync_count') ?? 0) > 0)
  assert.ok((values.get('quorate_queue_bound{queue="update"}') ?? 0) > 0)

  // Without a majority it lives, and is not ready.
  await Promise.all(others.map((other) => other.end('SIGKILL')))
  const unwell = await eventually('a health that says no', async () => {
    const health = await node.http('/health', node.clientPort)
    return health.code === 503 ? health : undefined
  })
  assert.equal(JSON.parse(unwell.text).health, 'false')
  assert.equal((await node.http('/livez')).code, 200)
  assert.equal((await node.http('/readyz')).code, 503)
  assert.equal((await node.http('/health?serializable=true', node.clientPort)).code, 200)
  await eventually('no leader in the metrics', async () => {
    return /^etcd_server_has_leader 0$/m.test((await node.http('/metrics')).text) ? true : undefined
  })
})

function namesOf(metrics: string): string[] {
  return metrics.split('\n').filter((line) => line.startsWith('# TYPE'))
}
