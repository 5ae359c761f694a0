// One real process: what it keeps through a kill, how it ends, and what it refuses.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { bytes, bytesOf, messagesOf, prefixRange, revisionOf } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import { planCluster, runToEnd, temporaryDirectory } from './harness.ts'
import { Writers } from './writers.ts'

/** Longer than any machine sleeps: who waits this long waits for what does not come. */
const answerMs = 30_000

test('kill -9 in the middle of writes loses nothing that was acknowledged', async (t) => {
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  await node.must('leaseGrant', { TTL: 600, ID: 77n })
  await node.must('put', { key: bytes('leased'), value: bytes('x'), lease: 77n })
  const writers = new Writers(t, cluster.nodes, 16)
  for (const acknowledged of [200, 400]) {
    await writers.acknowledged(acknowledged)
    await node.end('SIGKILL')
    await node.startReady()
  }
  const goal = writers.acknowledgedCount + 50
  await writers.acknowledged(goal)
  await writers.stop()
  await writers.check(node)
  const leases = await node.must('leaseLeases', {})
  assert.deepEqual(
    messagesOf(leases.leases).map((lease) => lease.ID),
    [77n],
  )
  const before = await node.must('range', prefixRange('leased'))
  await node.end('SIGKILL')
  await node.startReady()
  const after = await node.must('range', prefixRange('leased'))
  assert.deepEqual(after.kvs, before.kvs)
  assert.equal(revisionOf(after), revisionOf(before), 'a restart takes no revision')
})

test('SIGTERM ends the process within seconds with code 0, with streams open and calls under way', async (t) => {
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  const watch = node.client.openStream('watch')
  watch.send({ create_request: { key: bytes('a') } })
  assert.equal((await watch.next(answerMs))?.created, true)
  const writers = new Writers(t, cluster.nodes, 4)
  await writers.acknowledged(20)
  const startMs = performance.now()
  const exit = await node.end('SIGTERM')
  t.diagnostic(`ended after ${Math.round(performance.now() - startMs)} ms`)
  assert.deepEqual(exit, { code: 0, signal: null })
  assert.ok(performance.now() - startMs < 8_000, 'within seconds')
  await node.startReady()
  await writers.stop()
  await writers.check(node)
})

test('what another process uses is refused with code 4: the directory, each of its ports', async (t) => {
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  const [client = 0, peer = 0] = await freePorts(2)
  const same = await runToEnd([
    ...['--data-dir', node.directory],
    ...[
      '--listen-client-urls',
      `http://127.0.0.1:${client}`,
      '--listen-peer-urls',
      `http://127.0.0.1:${peer}`,
    ],
  ])
  assert.equal(same.code, 4)
  assert.match(lastLine(same.stderr), new RegExp(`\\b${node.pid}\\b`), 'the process that has it is named')

  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  for (const [i, flag] of ['listen-client-urls', 'listen-peer-urls', 'listen-metrics-urls'].entries()) {
    const refused = await runToEnd([
      ...['--data-dir', join(temporaryDirectory(t), `d${i}`)],
      ...[
        '--listen-client-urls',
        `http://127.0.0.1:${client}`,
        '--listen-peer-urls',
        `http://127.0.0.1:${peer}`,
      ],
      ...[`--${flag}`, `http://127.0.0.1:${port}`],
    ])
    assert.equal(refused.code, 4, `${flag}: ${refused.stderr}`)
    assert.match(lastLine(refused.stderr), new RegExp(`127\\.0\\.0\\.1:${port}`), flag)
  }
  assert.equal((await node.must('range', prefixRange('x'))).count, undefined, 'the first goes on serving')
})

const badFlags: readonly { args: readonly string[]; environment?: Record<string, string>; says: RegExp }[] = [
  { args: ['--data-dri', 'x'], says: /no flag --data-dri/ },
  { args: ['--snapshot'], says: /no flag --snapshot; did you mean --snapshot-count\?/ },
  { args: ['--cert-file=a'], says: /--cert-file is a flag of etcd that Quorate does not support yet/ },
  { args: ['--quota-backend-bytes', '1'], says: /--quota-backend-bytes is a flag of etcd/ },
  { args: [], environment: { ETCD_CERT_FILE: 'a' }, says: /ETCD_CERT_FILE sets a flag of etcd/ },
  {
    args: [],
    environment: { QUORATE_SNAPSHOT_COUNT: 'many' },
    says: /--snapshot-count: "many" is no whole number/,
  },
  { args: ['--data-dir'], says: /--data-dir needs a value/ },
  { args: ['serve', 'now'], says: /"now" is no flag/ },
  { args: ['sevre'], says: /"sevre" is no flag/ },
  { args: ['--listen-client-urls', 'https://127.0.0.1:1'], says: /TLS is not supported yet/ },
  { args: ['--listen-client-urls', 'http://127.0.0.1'], says: /--listen-client-urls/ },
  { args: ['--listen-peer-urls', 'http://127.0.0.1:99999'], says: /--listen-peer-urls/ },
  { args: ['--peer-dial', 'n2'], says: /--peer-dial: "n2" is not of the form/ },
  { args: ['--peer-dial', 'n2=nowhere'], says: /--peer-dial/ },
  { args: ['--initial-cluster', 'a=http://127.0.0.1:1'], says: /does not name this member/ },
  { args: ['--election-timeout', '100'], says: /at least five times/ },
  { args: ['--initial-cluster-state', 'old'], says: /"old" is none of new, existing/ },
  { args: ['--auto-compaction-retention', 'soon'], says: /no time such as/ },
]

test('a flag that cannot be is refused with code 2 in one clear line', async () => {
  const results = await Promise.all(
    badFlags.map(async (flag) => ({ ...flag, result: await runToEnd(flag.args, flag.environment) })),
  )
  for (const { args, says, result } of results) {
    const what = args.join(' ')
    assert.equal(result.code, 2, `${what}: ${result.stderr}`)
    assert.equal(result.stderr.trimEnd().split('\n').length, 1, `${what}: one line, not\n${result.stderr}`)
    assert.match(result.stderr, says)
    assert.equal(result.stdout, '')
  }
})

test('the data directory of another cluster or member is refused with code 3', async (t) => {
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  await node.end('SIGTERM')
  const token = await runToEnd([...node.arguments, '--initial-cluster-token', 'another'])
  assert.equal(token.code, 3)
  assert.match(lastLine(token.stderr), /belongs to member [0-9a-f]{16} of cluster [0-9a-f]{16}/)
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}`
  const member = await runToEnd([
    ...node.arguments,
    ...['--listen-peer-urls', url, '--initial-cluster', `${node.name}=${url}`],
  ])
  assert.equal(member.code, 3)
  await node.startReady()
})

test('a request over the limit is refused, and the connection goes on', async (t) => {
  const cluster = await planCluster(t, 1, ['--max-request-bytes', '20000'])
  const node = cluster.node(0)
  await node.startReady()
  const put = (size: number): ReturnType<typeof node.call> =>
    node.call('put', { key: bytes('big'), value: new Uint8Array(size) })
  const client = node.client
  assert.equal((await put(15_000)).code, 0)
  const over = await put(30_000)
  assert.deepEqual([over.code, over.text], [3, 'etcdserver: request is too large'])
  const far = await put(4_000_000)
  assert.ok([8, 3].includes(far.code), `code ${far.code} ${far.text}`)
  assert.equal(far.lost, false, 'the server says so itself')
  assert.equal((await put(10)).code, 0)
  assert.equal(node.client, client, 'on the same connection')
  const kvs = messagesOf((await node.must('range', prefixRange('big'))).kvs)
  assert.equal(bytesOf(kvs[0]?.value).length, 10)
})

test('garbage on a port ends that connection and nothing else', async (t) => {
  const cluster = await planCluster(t, 1)
  const node = cluster.node(0)
  await node.startReady()
  const watch = node.client.openStream('watch')
  watch.send({ create_request: { key: bytes('seen') } })
  assert.equal((await watch.next(answerMs))?.created, true)
  const writers = new Writers(t, cluster.nodes, 4)
  for (const port of [node.clientPort, node.peerPort, node.metricsPort]) {
    for (const [what, garbage] of garbageOf(port)) {
      await sendAndAwaitEnd(port, garbage).catch((error: unknown) => {
        assert.fail(`${what} on port ${port}: ${String(error)}`)
      })
    }
  }
  const goal = writers.acknowledgedCount + 50
  await writers.acknowledged(goal)
  await writers.stop()
  assert.equal(writers.refusedCount, 0, 'no other client noticed')
  await node.must('put', { key: bytes('seen'), value: bytes('1') })
  assert.equal(messagesOf((await watch.next(answerMs))?.events).length, 1, 'the stream lives')
  assert.deepEqual((await node.status()).group.problems, [])
  assert.equal(node.program.exit, undefined)
})

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}

function garbageOf(port: number): [string, Uint8Array][] {
  const noise = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7919 + port * 31) & 0xff)
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  return [
    ['noise', noise],
    ['zeros', new Uint8Array(4096)],
    ['the greatest lengths', new Uint8Array(4096).fill(0xff)],
    ['an HTTP/2 preface and noise', Buffer.concat([preface, noise])],
    ['a line that is no HTTP', Buffer.from('HELLO\r\n\r\n'.repeat(400))],
  ]
}

async function sendAndAwaitEnd(port: number, garbage: Uint8Array): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.resume()
  const signal = AbortSignal.timeout(answerMs)
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('close', () => resolve())
    signal.addEventListener('abort', () => {
      socket.destroy()
      reject(new Error('the connection stays open'))
    })
  })
  socket.write(garbage)
  await ended
}
