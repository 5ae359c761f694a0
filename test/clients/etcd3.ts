// The npm package etcd3, unmodified, as its users use it: namespaces, ranges, transactions, watchers that reconnect,
// leases that keep themselves alive, locks, elections.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Etcd3, EtcdLeaseInvalidError, EtcdLockFailedError, type Namespace, type Watcher } from 'etcd3'
import { CuttableProxy } from '../support/proxy.ts'
import { type Claim, proveAll, type Report } from './report.ts'

const claimDeadlineMs = 30_000

/** Proves every claim against the endpoints. */
export async function proveEtcd3(endpoints: string[]): Promise<Report> {
  const client = new Etcd3({ hosts: endpoints.map((endpoint) => `http://${endpoint}`) })
  let number = 0
  const claim = (name: string, prove: (space: Namespace) => Promise<void>): Claim => ({
    name: `etcd3 ${name} (${endpoints.join(',')})`,
    prove: () => prove(client.namespace(`etcd3-${process.pid}-${Date.now()}-${number++}/`)),
  })
  const [first = ''] = endpoints
  try {
    return await proveAll(
      [
        claim('values of every type', proveValues),
        claim('ranges: prefix, limit, sort, keys, count', proveRanges),
        claim('namespaces do not see each other', proveNamespaces),
        claim('deletes', proveDeletes),
        claim('history and compaction errors', proveHistory),
        claim('transactions: if, then, else', proveTransactions),
        claim('software transactional memory under conflict', proveSoftwareTransactions),
        claim('watchers: put, delete, previous values, filters', proveWatchers),
        claim('many watchers on one stream', proveManyWatchers),
        claim('a watcher that loses its connection misses nothing', () => proveReconnect(first)),
        claim('leases: attached keys, revoke', proveLease),
        claim('leases stay alive and end when let go', proveKeepAlive),
        claim('locks exclude', proveLocks),
        claim('elections: one leader, observed, handed over', proveElection),
      ],
      claimDeadlineMs,
    )
  } finally {
    client.close()
  }
}

async function proveValues(space: Namespace): Promise<void> {
  await space.put('text').value('héllo')
  await space.put('number').value(42)
  await space.put('bytes').value(Buffer.from([0, 255, 128]))
  await space.put('json').value(JSON.stringify({ a: [1] }))
  assert.equal(await space.get('text').string(), 'héllo')
  assert.equal(await space.get('number').number(), 42)
  assert.deepEqual(await space.get('bytes').buffer(), Buffer.from([0, 255, 128]))
  assert.deepEqual(await space.get('json').json(), { a: [1] })
  assert.equal(await space.get('nothing'), null)
  assert.equal(await space.get('text').exists(), true)
  const previous = await space.put('text').value('new').getPrevious()
  assert.equal(previous.value.toString(), 'héllo')
  await space.put('text').touch()
  const [kv] = (await space.get('text').exec()).kvs
  assert.equal(kv?.value.toString(), 'new')
  assert.equal(kv?.version, '3')
}

async function proveRanges(space: Namespace): Promise<void> {
  for (const [key, value] of Object.entries({ 'r/a': 3, 'r/b': 1, 'r/c': 2, s: 9 }))
    await space.put(key).value(value)
  assert.deepEqual(await space.getAll().prefix('r/').numbers(), { 'r/a': 3, 'r/b': 1, 'r/c': 2 })
  assert.deepEqual(await space.getAll().prefix('r/').limit(2).keys(), ['r/a', 'r/b'])
  assert.deepEqual(await space.getAll().prefix('r/').sort('Key', 'Descend').keys(), ['r/c', 'r/b', 'r/a'])
  assert.deepEqual(await space.getAll().prefix('r/').sort('Value', 'Ascend').keys(), ['r/b', 'r/c', 'r/a'])
  assert.equal(await space.getAll().prefix('r/').count(), 3)
  assert.deepEqual(await space.getAll().inRange({ start: 'r/b', end: 's' }).keys(), ['r/b', 'r/c'])
  assert.equal(await space.getAll().all().count(), 4)
  assert.deepEqual(await space.getAll().prefix('r/').serializable(true).keys(), ['r/a', 'r/b', 'r/c'])
  const { more, count } = await space.getAll().prefix('r/').limit(1).exec()
  assert.deepEqual([more, count], [true, '3'])
}

async function proveNamespaces(space: Namespace): Promise<void> {
  const [left, right] = [space.namespace('left/'), space.namespace('right/')]
  await left.put('k').value('l')
  await right.put('k').value('r')
  assert.deepEqual(await left.getAll().strings(), { k: 'l' })
  await right.delete().all()
  assert.equal(await left.get('k'), 'l')
  assert.deepEqual(await space.getAll().strings(), { 'left/k': 'l' })
}

async function proveDeletes(space: Namespace): Promise<void> {
  for (const key of ['a', 'd/1', 'd/2', 'e']) await space.put(key).value(key)
  assert.equal((await space.delete().key('a')).deleted, '1')
  assert.equal((await space.delete().key('a')).deleted, '0')
  const previous = await space.delete().prefix('d/').getPrevious()
  assert.deepEqual(previous.map((kv) => kv.value.toString()).sort(), ['d/1', 'd/2'])
  assert.equal((await space.delete().all()).deleted, '1')
}

async function proveHistory(space: Namespace): Promise<void> {
  const { header } = await space.put('k').value('1')
  await space.put('k').value('2')
  assert.equal(await space.get('k').revision(header.revision).string(), '1')
  const future = Number(header.revision) + 1_000_000
  await assert.rejects(space.get('k').revision(future).string(), /required revision is a future revision/)
  const second = (await space.get('k').exec()).header.revision
  await space.kv.compact({ revision: second })
  await assert.rejects(
    space.get('k').revision(header.revision).string(),
    /required revision has been compacted/,
  )
  assert.equal(await space.get('k').revision(second).string(), '2')
}

async function proveTransactions(space: Namespace): Promise<void> {
  const create = (value: string): Promise<{ succeeded: boolean }> =>
    space.if('k', 'Create', '==', 0).then(space.put('k').value(value)).else(space.get('k')).commit()
  assert.equal((await create('first')).succeeded, true)
  const second = await space
    .if('k', 'Create', '==', 0)
    .then(space.put('k').value('second'))
    .else(space.get('k'))
    .commit()
  assert.equal(second.succeeded, false)
  assert.equal(second.responses[0]?.response_range?.kvs[0]?.value.toString(), 'first')
  const third = await space
    .if('k', 'Value', '==', 'first')
    .and('k', 'Version', '==', 1)
    .and('k', 'Lease', '==', 0)
    .then(
      space.put('k').value('third'),
      space.put('other').value('x'),
      space.delete().key('nothing'),
      space.get('k'),
    )
    .commit()
  assert.equal(third.succeeded, true)
  assert.equal(third.responses.length, 4)
  assert.equal(third.responses[3]?.response_range?.kvs[0]?.value.toString(), 'third')
  const twice = space
    .if('k', 'Version', '>', 0)
    .then(space.put('k').value('a'), space.put('k').value('b'))
    .commit()
  await assert.rejects(twice, /duplicate key given in txn request/)
}

async function proveSoftwareTransactions(space: Namespace): Promise<void> {
  await space.put('n').value(0)
  const workers = 5
  const rounds = 4
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let i = 0; i < rounds; i++) {
        await space.stm({ retries: 1_000 }).transact(async (transaction) => {
          const value = await transaction.get('n').number()
          await transaction.put('n').value((value ?? 0) + 1)
        })
      }
    }),
  )
  assert.equal(await space.get('n').number(), workers * rounds)
}

type Seen = { kind: 'put' | 'delete'; key: string; value: string; previous: string | undefined }

/** Collects what a watcher delivers; `reach` waits for a number of events. */
class Collector {
  readonly seen: Seen[] = []
  #wake: () => void = () => undefined

  constructor(watcher: Watcher) {
    watcher.on('put', (kv, previous) => this.#add('put', kv, previous))
    watcher.on('delete', (kv, previous) => this.#add('delete', kv, previous))
    watcher.on('error', (error) => {
      throw error
    })
  }

  async reach(count: number): Promise<Seen[]> {
    while (this.seen.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.seen
  }

  #add(
    kind: Seen['kind'],
    kv: { key: Buffer; value: Buffer },
    previous: { value: Buffer } | undefined,
  ): void {
    this.seen.push({
      kind,
      key: kv.key.toString(),
      value: kv.value.toString(),
      previous: previous?.value.toString(),
    })
    this.#wake()
  }
}

async function proveWatchers(space: Namespace): Promise<void> {
  const { header } = await space.put('w/a').value('0')
  const all = await space.watch().prefix('w/').withPreviousKV().create()
  const deletes = await space.watch().prefix('w/').only('delete').create()
  const past = await space.watch().key('w/a').startRevision(header.revision).create()
  const collectors = [new Collector(all), new Collector(deletes), new Collector(past)] as const
  await space.put('w/a').value('1')
  await space.put('elsewhere').value('1')
  await space.delete().key('w/a')
  assert.deepEqual(await collectors[0].reach(2), [
    { kind: 'put', key: 'w/a', value: '1', previous: '0' },
    { kind: 'delete', key: 'w/a', value: '', previous: '1' },
  ])
  assert.deepEqual(
    (await collectors[1].reach(1)).map(({ kind, key }) => [kind, key]),
    [['delete', 'w/a']],
  )
  assert.deepEqual(
    (await collectors[2].reach(3)).map(({ kind, value }) => [kind, value]),
    [
      ['put', '0'],
      ['put', '1'],
      ['delete', ''],
    ],
  )
  // After its cancellation a watcher is silent while the others go on.
  await all.cancel()
  await space.put('w/b').value('1')
  await space.delete().key('w/b')
  await collectors[1].reach(2)
  assert.equal(collectors[0].seen.length, 2)
  await deletes.cancel()
  await past.cancel()
}

async function proveManyWatchers(space: Namespace): Promise<void> {
  const count = 40
  const watchers = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      space
        .watch()
        .key(`m/${i % 8}`)
        .create(),
    ),
  )
  const collectors = watchers.map((watcher) => new Collector(watcher))
  for (let i = 0; i < 8; i++) await space.put(`m/${i}`).value(i)
  for (const [i, collector] of collectors.entries()) {
    const [seen] = await collector.reach(1)
    assert.deepEqual([seen?.key, seen?.value], [`m/${i % 8}`, `${i % 8}`])
  }
  await Promise.all(watchers.map((watcher) => watcher.cancel()))
}

async function proveReconnect(endpoint: string): Promise<void> {
  const proxy = new CuttableProxy(endpoint)
  const behind = new Etcd3({ hosts: `http://${await proxy.listen()}` })
  const direct = new Etcd3({ hosts: `http://${endpoint}` })
  const prefix = `etcd3-reconnect-${process.pid}-${Date.now()}/`
  try {
    const watcher = await behind.namespace(prefix).watch().prefix('').create()
    const collector = new Collector(watcher)
    const values: string[] = []
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 20; i++) {
        const value = `${round}-${i}`
        values.push(value)
        await direct.put(`${prefix}k`).value(value)
        // In the middle of the stream, so that events fall into the gap.
        if (i === 10) proxy.cutAll()
      }
      await collector.reach(values.length)
    }
    assert.deepEqual(
      collector.seen.map((seen) => seen.value),
      values,
    )
    assert.ok(proxy.accepted >= 2, 'the connection was never cut')
    await watcher.cancel()
  } finally {
    behind.close()
    direct.close()
    proxy.close()
  }
}

async function proveLease(space: Namespace): Promise<void> {
  const lease = space.lease(600, { autoKeepAlive: false })
  const id = await lease.grant()
  await lease.put('a').value('1')
  await space.put('b').value('2').lease(id)
  const [kv] = (await space.get('b').exec()).kvs
  assert.equal(kv?.lease, id)
  const remaining = await space.leaseClient.leaseTimeToLive({ ID: id, keys: true })
  assert.equal(remaining.grantedTTL, '600')
  assert.equal(remaining.keys.length, 2)
  assert.equal((await lease.keepaliveOnce()).TTL, '600')
  await space.put('b').value('detached')
  await lease.revoke()
  assert.deepEqual(await space.getAll().strings(), { b: 'detached' })
  await assert.rejects(space.put('c').value('1').lease(id).exec(), EtcdLeaseInvalidError)
}

async function proveKeepAlive(space: Namespace): Promise<void> {
  const lease = space.lease(2)
  await lease.grant()
  await lease.put('alive').value('1')
  const watcher = await space.watch().key('alive').create()
  const collector = new Collector(watcher)
  // Four renewals of a lease of two seconds, sent every third of it: it has outlived its first term.
  for (let i = 0; i < 4; i++) await once(lease, 'keepaliveSucceeded')
  assert.equal(await space.get('alive'), '1')
  assert.equal(collector.seen.length, 0)
  lease.release()
  const [seen] = await collector.reach(1)
  assert.equal(seen?.kind, 'delete')
  assert.equal(await space.get('alive'), null)
  await watcher.cancel()
}

async function proveLocks(space: Namespace): Promise<void> {
  const held = await space.lock('lock').ttl(5).acquire()
  await assert.rejects(space.lock('lock').ttl(5).acquire(), EtcdLockFailedError)
  await held.release()
  let inside = 0
  for (let i = 0; i < 5; i++) {
    await space.lock('lock').do(async () => {
      inside++
      await assert.rejects(space.lock('lock').acquire(), EtcdLockFailedError)
    })
  }
  assert.equal(inside, 5)
}

async function proveElection(space: Namespace): Promise<void> {
  const election = space.election('leader', 5)
  const first = election.campaign('one')
  await once(first, 'elected')
  assert.equal(await election.leader(), 'one')
  const observer = await election.observe()
  const heard: (string | undefined)[] = []
  const changed = new Promise<void>((resolve) => {
    observer.on('change', (value) => {
      heard.push(value)
      if (value === 'two') resolve()
    })
  })
  const second = election.campaign('two')
  await second.getCampaignKey()
  assert.equal(await election.leader(), 'one')
  await first.proclaim('one again')
  assert.equal(await election.leader(), 'one again')
  const elected = once(second, 'elected')
  await first.resign()
  await elected
  await changed
  assert.equal(await election.leader(), 'two')
  assert.equal(heard.at(-1), 'two')
  await second.resign()
  await observer.cancel()
}
