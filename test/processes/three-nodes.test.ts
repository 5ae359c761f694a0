// Three real processes: what clients see while nodes are killed, paused and come back.
import assert from 'node:assert/strict'
import test from 'node:test'
import { bytes, bytesOf, messageOf, messagesOf, numberOf, prefixRange, revisionOf } from '../support/keys.ts'
import { eventually, growLog, type ProcessNode, planCluster, smallFiles } from './harness.ts'
import { Writers } from './writers.ts'

/** Longer than any machine sleeps: who waits this long waits for what does not come. */
const answerMs = 30_000

test('kill -9 of a follower and of the leader while clients write through all three', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 12)
  await writers.more(100)
  for (const who of ['follower', 'leader'] as const) {
    const leader = await cluster.leader()
    const victim = who === 'leader' ? leader : (await cluster.followers())[0]
    assert.ok(victim !== undefined)
    const watcher = cluster.live.find((node) => node !== victim)
    assert.ok(watcher !== undefined)
    writers.longestGapMs = 0
    await victim.end('SIGKILL')
    await writers.more(200)
    t.diagnostic(`${who} killed: nobody could write for ${Math.round(writers.longestGapMs)} ms`)
    assert.equal(victim.program.exit?.signal, 'SIGKILL', 'writing goes on without it')
    await victim.startReady()
    await writers.more(50)
  }
  await writers.stop()
  await cluster.agree()
  for (const node of cluster.nodes) await writers.check(node)
})

test('SIGTERM of the leader hands the leadership over while clients write: there is no campaign', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 12)
  await writers.more(100)
  const leader = await cluster.leader()
  const others = await cluster.followers()
  const campaigns = (): number =>
    others.reduce((sum, { program }) => sum + program.stderr.split('"role":"pre-candidate"').length - 1, 0)
  const before = campaigns()
  writers.longestGapMs = 0
  assert.equal((await leader.end('SIGTERM')).code, 0)
  await writers.more(200)
  t.diagnostic(`nobody could write for ${Math.round(writers.longestGapMs)} ms`)
  assert.match(leader.program.stderr, /"event":"leadership-handed-over"/)
  const successors = others.filter(({ program }) => program.stderr.includes('was asked to take over'))
  assert.equal(successors.length, 1)
  assert.equal(campaigns(), before)
  await writers.stop()
  await cluster.agree()
  for (const node of others) await writers.check(node)
})

test('a node that was down catches up by a snapshot when the log went on without it', async (t) => {
  const cluster = await planCluster(t, 3, smallFiles)
  await cluster.start()
  const writers = new Writers(t, cluster.nodes, 24)
  await writers.more(50)
  const [victim] = await cluster.followers()
  assert.ok(victim !== undefined)
  await victim.end('SIGKILL')
  const leader = await cluster.leader()
  const { lastIndex } = (await leader.status()).group
  await growLog(leader, async () => {
    const all = await Promise.all(cluster.live.map((node) => node.status()))
    return all.every(({ group }) => group.lowWaterMark > lastIndex + 50)
  })
  // The others still hold the newest part of the log in memory; after a restart only what is on disk counts.
  await Promise.all(cluster.live.map((node) => node.end('SIGKILL')))
  await cluster.start()
  await victim.program.printed('"event":"snapshot-installed"')
  await writers.more(50)
  await writers.stop()
  await cluster.agree()
  await writers.check(victim)
  // What it installed is also what it starts from.
  await victim.end('SIGKILL')
  await victim.startReady()
  await cluster.agree()
  await writers.check(victim)
})

test('a watch goes on from its revision on another node, and a lease has its full time after a leader kill', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  const [other] = await cluster.followers()
  assert.ok(other !== undefined)
  // Long beside all that happens here, however slow the machine: only what is left of it counts.
  const ttlSeconds = 120
  await other.must('leaseGrant', { TTL: ttlSeconds, ID: 5n })
  await other.must('put', { key: bytes('leased'), value: bytes('x'), lease: 5n })
  const start = revisionOf(await other.must('range', prefixRange('leased'))) + 1
  const seen: { key: string; revision: number }[] = []
  const onLeader = await openWatch(leader, start)
  const onOther = await openWatch(other, start)
  const writers = new Writers(t, [other], 4)
  await writers.more(60)
  await collect(onLeader, seen, 30)
  await leader.end('SIGKILL')
  const killedMs = performance.now()
  await eventually('the end of its stream', () => (onLeader.ended === undefined ? undefined : true))
  const resumed = await openWatch(other, (seen.at(-1)?.revision ?? 0) + 1)
  await writers.more(60)
  await writers.stop()
  const end = revisionOf(await other.must('range', prefixRange('none')))
  await collectUntil(resumed, seen, end)
  const whole: { key: string; revision: number }[] = []
  await collectUntil(onOther, whole, end)
  assert.deepEqual(seen, whole, 'the stream that was resumed saw what the one that lived saw')
  assert.deepEqual(
    whole.map((event) => event.revision),
    whole.map((_, i) => start + i),
    'every revision once',
  )

  const left = await eventually('the time left', async () => {
    const answer = await other.call('leaseTimeToLive', { ID: 5n }, 2_000)
    return answer.code === 0 ? numberOf(answer.message.TTL) : undefined
  })
  const sinceKillS = (performance.now() - killedMs) / 1_000
  assert.ok(left <= ttlSeconds && left >= ttlSeconds - Math.ceil(sinceKillS) - 1, `${left} s left`)
  assert.equal(messagesOf((await other.must('range', prefixRange('leased'))).kvs).length, 1)
})

test('a leader that was paused answers no stale read, and ends no lease that was renewed elsewhere', async (t) => {
  const cluster = await planCluster(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  const [other] = await cluster.followers()
  assert.ok(other !== undefined)
  const ttlSeconds = 12
  const leases = Array.from({ length: 20 }, (_, i) => BigInt(i + 1))
  await Promise.all(leases.map((ID) => leader.must('leaseGrant', { TTL: ttlSeconds, ID })))
  await leader.must('put', { key: bytes('k'), value: bytes('old'), lease: 1n })
  const { memberId } = await leader.status()
  leader.program.send('SIGSTOP')
  t.after(() => leader.program.send('SIGCONT'))
  const stoppedMs = performance.now()
  // Asked while it sleeps: it answers when it wakes, and must not answer from what it knew.
  const asked = Array.from({ length: 20 }, () => leader.call('range', { key: bytes('k') }, 60_000))
  await eventually('a new leader', async () => {
    const { group } = await other.status()
    return ['0000000000000000', memberId].includes(group.leader) ? undefined : true
  })
  await other.must('put', { key: bytes('k'), value: bytes('new'), ignore_lease: true })
  // By the clocks of the one that sleeps all leases are over then.
  while (performance.now() - stoppedMs < 1_000 * (ttlSeconds + 1)) await renew(other, leases)
  leader.program.send('SIGCONT')
  let answered = 0
  for (const answer of await Promise.all(asked)) {
    if (answer.code !== 0) continue
    answered++
    const [kv] = messagesOf(answer.message.kvs)
    assert.equal(Buffer.from(bytesOf(kv?.value)).toString(), 'new', 'no stale read')
  }
  t.diagnostic(`${answered} of ${asked.length} reads were answered, the others refused`)
  await renew(leader, leases)
  const listed = messagesOf((await leader.must('leaseLeases', {})).leases)
  assert.equal(listed.length, leases.length, 'no lease ended')
  await cluster.agree()
})

/** Renews all, on one stream, and waits for the answers. */
async function renew(node: ProcessNode, leases: readonly bigint[]): Promise<void> {
  await eventually('renewed leases', async () => {
    const stream = node.client.openStream('leaseKeepAlive')
    for (const ID of leases) stream.send({ ID })
    for (const ID of leases) {
      const answer = await stream.next(answerMs)
      if (answer === undefined) throw new Error(JSON.stringify(stream.ended))
      assert.equal(answer.ID, ID)
      if (numberOf(answer.TTL) === 0) throw new Error(`lease ${ID} is gone`)
    }
    stream.close()
    return true
  })
}

type Watch = ReturnType<ProcessNode['client']['openStream']>

async function openWatch(node: ProcessNode, start: number): Promise<Watch> {
  const stream = node.client.openStream('watch')
  stream.send({ create_request: { ...prefixRange('w/'), start_revision: start } })
  assert.equal((await stream.next(answerMs))?.created, true)
  return stream
}

async function collect(
  stream: Watch,
  into: { key: string; revision: number }[],
  count: number,
): Promise<void> {
  while (into.length < count) await collectOne(stream, into)
}

async function collectUntil(
  stream: Watch,
  into: { key: string; revision: number }[],
  revision: number,
): Promise<void> {
  while ((into.at(-1)?.revision ?? 0) < revision) await collectOne(stream, into)
}

async function collectOne(stream: Watch, into: { key: string; revision: number }[]): Promise<void> {
  const message = await stream.next(answerMs)
  assert.ok(message !== undefined, `no events in time (${JSON.stringify(stream.ended)})`)
  for (const event of messagesOf(message.events)) {
    const kv = messageOf(event.kv)
    into.push({ key: Buffer.from(bytesOf(kv.key)).toString(), revision: numberOf(kv.mod_revision) })
  }
}
