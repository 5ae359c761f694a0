// `quorate cluster`: three nodes under one supervisor, on ports of the test.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { bytes, messagesOf, prefixRange } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import { eventually, ProcessNode, Program, runToEnd, temporaryDirectory } from './harness.ts'

test('three nodes serve, come back when killed, stop together, and keep their data', async (t) => {
  const directory = temporaryDirectory(t)
  const ports = await freePorts(9)
  const nodes = ['n1', 'n2', 'n3'].map(
    (name, i) => new ProcessNode(name, join(directory, name), ports.slice(3 * i, 3 * i + 3)),
  )
  const urls = (port: (node: ProcessNode) => number): string =>
    nodes.map((node) => `http://127.0.0.1:${port(node)}`).join(',')
  const args = [
    ...['cluster', '--data-dir', directory],
    ...['--listen-client-urls', urls((node) => node.clientPort)],
    ...['--listen-peer-urls', urls((node) => node.peerPort)],
    ...['--listen-metrics-urls', urls((node) => node.metricsPort)],
  ]
  const first = start(args)
  t.after(() => first.send('SIGTERM'))
  await first.printed('ready to serve client requests')
  assert.ok(first.stdout.includes(`ETCDCTL_ENDPOINTS=${nodes.map((node) => node.endpoint).join(',')}`))
  const [one, two, three] = nodes
  assert.ok(one !== undefined && two !== undefined && three !== undefined)
  await one.must('put', { key: bytes('k'), value: bytes('1') })

  const killed = pidOf(first, 'n2')
  process.kill(killed, 'SIGKILL')
  await first.printed(/n2 was ended by SIGKILL; starting it again in \d+ ms/)
  await first.printed('n2 is back on')
  assert.notEqual(pidOf(first, 'n2'), killed)
  await two.must('put', { key: bytes('k'), value: bytes('2') })

  const before = ['n1', 'n2', 'n3'].map((name) => pidOf(first, name))
  first.send('SIGINT')
  assert.deepEqual(await first.ended(), { code: 0, signal: null })
  assert.deepEqual(before.filter(isAlive), [], 'no process is left')

  const second = start(args)
  t.after(() => second.send('SIGTERM'))
  await second.printed('ready to serve client requests')
  // Else it is the others that are ready.
  assert.doesNotMatch(second.stdout, /is not started again/)
  const kvs = messagesOf((await three.must('range', prefixRange('k'))).kvs)
  assert.equal(kvs[0]?.version, 2, 'it started on its data')
  const after = ['n1', 'n2', 'n3'].map((name) => pidOf(second, name))
  second.send('SIGKILL')
  await eventually('an end of the nodes', () => (after.some(isAlive) ? undefined : true))
  for (const node of nodes) node.close()
})

test('a node that refuses to start is not started again, and says why; the others serve', async (t) => {
  const directory = temporaryDirectory(t)
  const ports = await freePorts(6)
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const other = new ProcessNode('x', join(directory, 'x'), [ports[0] ?? 0, ...(await freePorts(2))])
  t.after(() => other.close())
  await other.startReady()
  const cluster = start([
    ...['cluster', '--data-dir', directory],
    ...['--listen-client-urls', urls.slice(0, 3).join(',')],
    ...['--listen-peer-urls', urls.slice(3).join(',')],
  ])
  t.after(() => cluster.send('SIGTERM'))
  await cluster.printed(/n1 exited with code 4 and is not started again: .*127\.0\.0\.1:\d+/)
  await cluster.printed('ready to serve client requests')
  assert.doesNotMatch(cluster.stdout, /n1 serves/)
  assert.match(readFileSync(join(directory, 'n1.log'), 'utf8'), /^quorate: .*127\.0\.0\.1:\d+/m)
  cluster.send('SIGINT')
  assert.deepEqual(await cluster.ended(), { code: 0, signal: null })
})

test('what the supervisor sets itself is refused', async () => {
  for (const args of [
    ['--name', 'a'],
    ['--initial-cluster=a=b'],
    ['--listen-client-urls', 'http://127.0.0.1:1'],
  ]) {
    const { code, stderr } = await runToEnd(['cluster', ...args])
    assert.equal(code, 2)
    assert.match(stderr, /quorate cluster/)
    assert.equal(stderr.trimEnd().split('\n').length, 1)
  }
})

function start(args: readonly string[]): Program {
  return new Program(args)
}

/** The process that was announced last for this node. */
function pidOf(supervisor: Program, name: string): number {
  const announced = [...supervisor.stdout.matchAll(/(n\d) (?:serves|is back) on \S+ \(pid (\d+)\)/g)]
  return Number(announced.findLast((match) => match[1] === name)?.[2])
}

function isAlive(pid: number): boolean {
  assert.ok(pid > 0, 'a process that was announced')
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
