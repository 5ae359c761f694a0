// Real members that come and go while the cluster serves.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { formatId } from '../../src/base/index.ts'
import { grpcCode } from '../support/grpc-client.ts'
import { messageOf, messagesOf } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import type { Message } from '../support/protobuf.ts'
import { eventually, type ProcessCluster, ProcessNode, planCluster } from './harness.ts'
import { Writers } from './writers.ts'

test('a learner joins, catches up and is promoted; a voter joins as one and is promoted by itself; both leave', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const [first] = cluster.nodes
  assert.ok(first !== undefined)
  const writers = new Writers(t, cluster.nodes, 6)
  await writers.more(100)

  const learner = await plannedMember(cluster, 'n4')
  const learnerId = await add(first, learner, true)
  assert.deepEqual(await refusal(first, 'memberAdd', { peerURLs: [learner.peerUrl], isLearner: true }), [
    9,
    'etcdserver: Peer URLs already exists',
  ])
  assert.deepEqual(await refusal(first, 'memberAdd', { peerURLs: ['http://127.0.0.1:1'], isLearner: true }), [
    9,
    'etcdserver: too many learner members in cluster',
  ])
  assert.deepEqual(await refusal(first, 'memberPromote', { ID: learnerId }), [
    9,
    'etcdserver: can only promote a learner member which is in sync with leader',
  ])
  await learner.startReady()
  assert.equal((await learner.status()).group.isLearner, true)
  const promoted = await eventually('a learner that is ready', async () => {
    const answer = await first.call('memberPromote', { ID: learnerId })
    if (answer.code !== 0) throw new Error(answer.text)
    return answer.message
  })
  assert.equal(memberWith(promoted, learnerId)?.isLearner, undefined)
  assert.deepEqual(await refusal(first, 'memberPromote', { ID: learnerId }), [
    9,
    'etcdserver: can only promote a learner member',
  ])

  const voter = await plannedMember(cluster, 'n5')
  const voterId = await add(first, voter, false)
  await voter.startReady()
  await eventually('a fifth voter', async () => ((await voter.status()).group.isLearner ? undefined : true))

  for (const [id, node] of [
    [voterId, voter],
    [learnerId, learner],
  ] as const) {
    const removedMs = performance.now()
    await mustChange(first, 'memberRemove', { ID: id })
    assert.deepEqual(await node.ended(), { code: 5, signal: null }, node.program.stderr)
    t.diagnostic(`${node.name} ended ${Math.round(performance.now() - removedMs)} ms after it was removed`)
    assert.match(node.program.stderr, /^quorate: this member was removed from the cluster/m)
  }
  learner.start()
  assert.equal((await learner.ended()).code, 5, 'a removed member stays removed')
  assert.deepEqual(await refusal(first, 'memberRemove', { ID: learnerId }), [
    5,
    'etcdserver: member not found',
  ])
  await writers.more(50)
  await writers.stop()
  await cluster.agree()
  for (const node of cluster.live) await writers.check(node)
})

test('the leader can be removed, leadership can be moved, and refusals are in the words of etcd', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  const [follower, third] = await cluster.followers()
  assert.ok(follower !== undefined && third !== undefined)
  const ids = new Map(await Promise.all(cluster.nodes.map(async (node) => [node, await idOf(node)] as const)))
  const target = ids.get(follower) ?? 0n
  assert.deepEqual(await refusal(follower, 'moveLeader', { targetID: target }), [9, 'etcdserver: not leader'])
  assert.deepEqual(await refusal(leader, 'moveLeader', { targetID: 99n }), [
    9,
    'etcdserver: bad leader transferee',
  ])
  assert.equal((await leader.call('moveLeader', { targetID: target })).code, 0)
  assert.equal(await cluster.leader(), follower)
  assert.deepEqual(await refusal(third, 'memberAdd', { peerURLs: ['127.0.0.1:1'] }), [
    3,
    'etcdserver: given member URLs are invalid',
  ])
  assert.deepEqual(await refusal(third, 'memberRemove', { ID: 99n }), [5, 'etcdserver: member not found'])

  const writers = new Writers(t, [leader, third], 4)
  await writers.more(20)
  const removedMs = performance.now()
  await mustChange(third, 'memberRemove', { ID: target })
  assert.deepEqual(await follower.ended(), { code: 5, signal: null }, follower.program.stderr)
  t.diagnostic(`the leader ended ${Math.round(performance.now() - removedMs)} ms after it was removed`)
  await writers.more(20)
  await writers.stop()
})

test('a wiped member is refused until it is removed and added again', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 6)
  await writers.more(50)
  const [victim] = await cluster.followers()
  const leader = await cluster.leader()
  assert.ok(victim !== undefined)
  const id = await idOf(victim)
  await victim.end('SIGKILL')
  await eventually('a silence that the leader noticed', async () => {
    return ((await leader.status()).group.peers[formatId(id)]?.silentTicks ?? 0) > 10 ? true : undefined
  })
  const tooFew = 'etcdserver: re-configuration failed due to not enough started members'
  assert.deepEqual(
    await refusal(leader, 'memberAdd', { peerURLs: ['http://127.0.0.1:1'] }),
    [9, tooFew],
    'three of four would be needed, two run',
  )
  rmSync(victim.directory, { recursive: true })
  victim.start()
  assert.deepEqual(await victim.ended(), { code: 3, signal: null }, victim.program.stderr)
  assert.match(victim.program.stderr, /"code":"data-wiped"/)
  assert.match(victim.program.stderr, /^quorate: the cluster knows this member with another data directory/m)
  rmSync(victim.directory, { recursive: true })
  await mustChange(leader, 'memberRemove', { ID: id })
  await add(leader, victim, false)
  victim.flags = joining(cluster)
  await victim.startReady()
  assert.notEqual(await idOf(victim), id)
  await eventually('a third voter', async () => ((await victim.status()).group.isLearner ? undefined : true))
  await writers.more(50)
  await writers.stop()
  await cluster.agree()
  await writers.check(victim)
})

test('a member moves to another peer URL, and peers find each other through a proxy that cuts', async (t) => {
  const cluster = await planCluster(t, 3)
  const [one, two, three] = cluster.nodes
  assert.ok(one !== undefined && two !== undefined && three !== undefined)
  const proxy = await startProxy(t, two.peerPort)
  for (const node of [one, three]) node.flags = [...node.flags, '--peer-dial', `n2=127.0.0.1:${proxy.port}`]
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 6)
  await writers.more(30)
  assert.ok(proxy.connections > 0, 'the others dial the proxy')
  for (let round = 0; round < 3; round++) {
    const before = proxy.connections
    proxy.cut()
    await writers.more(30)
    await eventually('new connections', () => (proxy.connections > before ? true : undefined))
  }
  const [port = 0] = await freePorts(1)
  const id = await idOf(three)
  await mustChange(one, 'memberUpdate', { ID: id, peerURLs: [`http://127.0.0.1:${port}`] })
  await three.end('SIGTERM')
  three.peerPort = port
  three.flags = joining(cluster)
  await three.startReady()
  assert.equal(await idOf(three), id, 'it is the same member')
  await writers.more(30)
  await writers.stop()
  await cluster.agree()
  for (const node of cluster.nodes) await writers.check(node)
})

async function plannedMember(cluster: ProcessCluster, name: string): Promise<ProcessNode> {
  const node = new ProcessNode(name, join(cluster.directory, name), await freePorts(3))
  cluster.nodes.push(node)
  node.flags = joining(cluster)
  return node
}

/** The flags with which one that was added starts: where all members are now. */
function joining(cluster: ProcessCluster): string[] {
  const all = cluster.nodes.map((node) => `${node.name}=${node.peerUrl}`).join(',')
  return ['--initial-cluster', all, '--initial-cluster-state', 'existing']
}

/** Adds the member and returns its id. */
async function add(through: ProcessNode, node: ProcessNode, isLearner: boolean): Promise<bigint> {
  const request: Message = { peerURLs: [node.peerUrl], isLearner }
  const answer = await mustChange(through, 'memberAdd', request)
  const { ID } = messageOf(answer.member)
  assert.ok(typeof ID === 'bigint')
  return ID
}

/** A change of the members; refused for now while the one before settles, or too few are known to have started. */
async function mustChange(
  through: ProcessNode,
  name: 'memberAdd' | 'memberRemove' | 'memberUpdate',
  request: Message,
): Promise<Message> {
  return await eventually(name, async () => {
    const answer = await through.call(name, request, 20_000)
    if (answer.code === 0) return answer.message
    throw new Error(`code ${answer.code} ${answer.text}`)
  })
}

function memberWith(list: Message, id: bigint): Message | undefined {
  return messagesOf(list.members).find((member) => member.ID === id)
}

/** How a call is refused for good. A leadership that just moves is no such answer: then it is asked again. */
async function refusal(
  through: ProcessNode,
  name: 'memberAdd' | 'memberRemove' | 'memberPromote' | 'moveLeader',
  request: Message,
): Promise<[number, string]> {
  return await eventually(`a refusal of ${name}`, async () => {
    const { code, text } = await through.call(name, request)
    if (code === grpcCode.unavailable) throw new Error(text)
    return [code, text] as [number, string]
  })
}

async function idOf(node: ProcessNode): Promise<bigint> {
  return BigInt(`0x${(await node.status()).memberId}`)
}

interface Proxy {
  readonly port: number
  readonly connections: number
  cut(): void
}

async function startProxy(t: TestContext, target: number): Promise<Proxy> {
  const open = new Set<Socket>()
  let connections = 0
  const server = createServer((inner) => {
    connections++
    const outer = connect(target, '127.0.0.1')
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      open.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        open.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  const [port = 0] = await freePorts(1)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const socket of open) socket.destroy()
  }
  t.after(() => {
    server.close()
    cut()
  })
  return {
    port,
    get connections() {
      return connections
    },
    cut,
  }
}
