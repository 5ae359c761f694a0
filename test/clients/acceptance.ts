// The unmodified clients against a running server:
//   QUORATE_ENDPOINTS=127.0.0.1:2379,... node --test test/clients/acceptance.ts
// All endpoints together, and each alone: a client that knows one node only must get the same service.
import assert from 'node:assert/strict'
import test from 'node:test'
import { proveEtcd3 } from './etcd3.ts'
import { proveEtcdctl } from './etcdctl.ts'
import type { Report } from './report.ts'

const endpoints = (process.env.QUORATE_ENDPOINTS ?? '').split(',').filter((endpoint) => endpoint !== '')
const only = process.env.QUORATE_CLIENTS ?? 'etcdctl,etcd3'

test('QUORATE_ENDPOINTS names the server', () => {
  assert.ok(endpoints.length > 0, 'QUORATE_ENDPOINTS is not set: nothing can be proven')
})

const clients: Record<string, (endpoints: string[]) => Promise<Report>> = {
  etcdctl: proveEtcdctl,
  etcd3: proveEtcd3,
}
const groups = endpoints.length > 1 ? [endpoints, ...endpoints.map((endpoint) => [endpoint])] : [endpoints]

for (const name of only.split(',')) {
  for (const group of endpoints.length > 0 ? groups : []) {
    test(`${name} on ${group.join(',')}`, async (t) => {
      const prove = clients[name]
      assert.ok(prove !== undefined, `no client is called ${name}`)
      const report = await prove(group)
      t.diagnostic(`${report.passed.length} claims hold`)
      for (const { claim, detail } of report.failures) console.error(`\nFAILED ${claim}\n${detail}`)
      assert.deepEqual(
        report.failures.map((failure) => failure.claim),
        [],
      )
      assert.ok(report.passed.length > 0, 'nothing was proven')
    })
  }
}
