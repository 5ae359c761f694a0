// Acceptance of the patterns under nodes that die again and again: what docs/compatibility/patterns.md claims of it.
import assert from 'node:assert/strict'
import test from 'node:test'
import { latin1FromBytes, present, SeededRandom } from '../base/index.ts'
import type { CallResult } from './client.ts'
import type { ClusterNode } from './cluster.ts'
import type { ModelPair } from './kv-model.ts'
import type { RequestStamp, ServerRequest } from './server-seam.ts'
import { ask, asked, pairsOf, rangeOf, roomy, untilAnswered } from './testing/asking.ts'
import { electionMs, Story } from './testing/story.ts'

/** A split vote and then a leader, and who came back is heard: each election begins within two election timeouts. */
const failoverMsMax = 5 * electionMs

const put = (key: string, value: string, lease = 0n): ServerRequest =>
  asked({ kind: 'put', key, value, lease })

/**
 * The longest time without a leader before each of `rounds` kills was made good. Whoever died is started again, and the next
 * one dies once it has what the others have: until then a member whose last write was torn may hold back the vote that is
 * needed (decision 0026), and two at once are more than the bound promises.
 */
async function killLeaders(story: Story, rounds: number, pauseMs: () => number): Promise<number> {
  let longestMs = 0
  for (let round = 0; round < rounds; round++) {
    const leader = await story.leader()
    await story.scheduler.run(pauseMs())
    // A leader may have changed by itself meanwhile; then that one is meant.
    const victim = story.cluster.leader ?? leader
    story.cluster.kill(victim)
    const killedAt = story.scheduler.now
    await story.until(() => story.cluster.leader !== undefined)
    longestMs = Math.max(longestMs, story.scheduler.now - killedAt)
    story.cluster.start(victim)
    const lastIndex = (await story.leader()).life?.server?.status().lastIndex ?? 0
    await story.until(() => (victim.life?.server?.status().appliedIndex ?? 0) >= lastIndex)
    story.assertSound()
  }
  return longestMs
}

test('LF-1: the leader dies 50 times under load: a new one within the bound, nothing acknowledged is lost', async () => {
  const story = new Story(113, { tuning: { ...roomy, snapshotEntries: 500 } })
  const random = new SeededRandom(113)
  await story.leader()
  await story.putUntilAnswered(story.cluster.nodes, 'up')
  // So slow that candidates meet on the way: votes are split now and then.
  story.cluster.network.setDelay({ least: 2, typical: 6 })
  const acknowledged: string[] = []
  const doubtful: string[] = []
  let isOver = false
  const writer = async (number: number): Promise<void> => {
    for (let i = 0; !isOver; i++) {
      const key = `w${number} ${i}`
      const life = story.paths.pickServer()
      const result = life && (await story.paths.call(life, put(key, 'v')))
      if (result?.kind === 'answered') acknowledged.push(key)
      if (result?.kind === 'unknown') doubtful.push(key)
      await story.scheduler.wait(40)
    }
  }
  const writers = Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)))
  writers.catch(assert.fail)
  const longestMs = await killLeaders(story, 50, () => random.between(50, 300))
  isOver = true
  await story.scheduler.complete(writers)
  assert.ok(longestMs < failoverMsMax, `${longestMs} ms without a leader`)
  const kept = new Set(pairsOf(await ask(story, asked(rangeOf('w', 'x')))).map(({ key }) => key))
  assert.deepEqual(
    acknowledged.filter((key) => !kept.has(key)),
    [],
  )
  for (const key of [...acknowledged, ...doubtful]) kept.delete(key)
  assert.deepEqual([...kept], [], 'what was refused is not there')
  assert.ok(acknowledged.length > 300 && doubtful.length > 0, `${acknowledged.length}, ${doubtful.length}`)
  await story.until(() => story.isAgreed())
  story.assertSound()
})

/** Adds one to what it read, if nobody else did meanwhile. */
function increment(key: string, pair: ModelPair | undefined): Extract<ServerRequest, { kind: 'keyValue' }> {
  const operand = pair?.modRevision ?? 0
  return asked({
    kind: 'transaction',
    compare: [{ key, end: '', target: 'mod', result: 'equal', operand }],
    success: [{ kind: 'put', key, value: `${Number(pair?.value ?? 0) + 1}`, lease: 0n }],
    failure: [],
  })
}

function isDone(result: CallResult): boolean {
  if (result.kind !== 'answered') return false
  return result.answer.result?.kind === 'transaction' && result.answer.result.succeeded
}

test('WAL-4: a counter under repeated kills ends at the acknowledged number, plus at most the unknown ones', async () => {
  const story = new Story(114, { tuning: { segmentBytesMax: 16_384, snapshotEntries: 100 } })
  const random = new SeededRandom(114)
  await story.leader()
  await story.putUntilAnswered(story.cluster.nodes, 'up')
  // Slow enough that every kill meets requests under way.
  for (const { machine } of story.cluster.nodes)
    machine.disk.setLatency((_operation, _bytes, isDurable) => (isDurable ? 10 : 0.03))
  let isOver = false
  const count = { acknowledged: 0, unknown: 0, numbered: 0 }
  const read = async (key: string): Promise<ModelPair | undefined> =>
    pairsOf(await untilAnswered(story, asked(rangeOf(key))))[0]
  const once = async (): Promise<void> => {
    while (!isOver) {
      const pair = await read('counter')
      const life = story.paths.pickServer()
      const result = life && (await story.paths.call(life, increment('counter', pair)))
      if (result?.kind === 'unknown') count.unknown++
      else if (result !== undefined && isDone(result)) count.acknowledged++
      await story.scheduler.wait(20)
    }
  }
  const untilKnown = async (session: bigint): Promise<void> => {
    await untilAnswered(story, { kind: 'leaseGrant', id: session, ttlSeconds: 3_600 })
    for (let request = 1; !isOver; request++) {
      const stamp: RequestStamp = { session, request, answeredBelow: request }
      const wire = { ...increment('numbered', await read('numbered')), stamp }
      // Through two servers, again and again until both have said what became of it.
      const answers = await Promise.all([untilAnswered(story, wire), untilAnswered(story, wire)])
      assert.deepEqual(answers[0], answers[1])
      if (isDone(answers[0])) count.numbered++
      await story.scheduler.wait(20)
    }
  }
  const clients = Promise.all([once(), once(), once(), untilKnown(71n), untilKnown(72n), untilKnown(73n)])
  clients.catch(assert.fail)
  for (let round = 0; round < 40; round++) {
    const leader = await story.leader()
    await story.scheduler.run(random.between(50, 300))
    const one = random.chance(0.5) ? leader : random.pick(story.cluster.nodes)
    const victims = round % 10 === 9 ? story.cluster.nodes : [one]
    for (const node of victims) random.chance(0.5) ? story.cluster.crash(node) : story.cluster.kill(node)
    await story.scheduler.run(random.between(1, 300))
    story.cluster.startAll()
    await story.until(() => story.cluster.serving.length === 3)
  }
  isOver = true
  await story.scheduler.complete(clients)
  for (const node of story.cluster.nodes) {
    const counter = Number(await story.get(node, false, 'counter'))
    const text = `${counter}: ${count.acknowledged} acknowledged, ${count.unknown} unknown`
    assert.ok(counter >= count.acknowledged && counter <= count.acknowledged + count.unknown, text)
    assert.equal(Number(await story.get(node, false, 'numbered')), count.numbered)
  }
  assert.ok(count.acknowledged > 100 && count.unknown > 5 && count.numbered > 100, JSON.stringify(count))
  story.assertSound()
})

for (const nodes of [1, 3]) {
  test(`WAL-3: no success leaves before a majority of ${nodes} has the entry durably`, async () => {
    const story = new Story(115, { nodes, tuning: { ...roomy, segmentBytesMax: 16_384 } })
    const random = new SeededRandom(115)
    const leader = await story.leader()
    await story.putUntilAnswered([leader], 'up')
    for (const { machine } of story.cluster.nodes)
      machine.disk.setLatency((_operation, _bytes, isDurable) => (isDurable ? 1 + 8 * random.unit() : 0.03))
    const holds = ({ machine: { disk } }: ClusterNode, value: string): boolean =>
      disk
        .paths('durable')
        .filter((path) => path.startsWith('/data/wal/'))
        .some((path) => latin1FromBytes(present(disk.durableBytes(path), 'it is durable')).includes(value))
    const few: string[] = []
    let answers = 0
    const writer = async (number: number): Promise<void> => {
      for (let i = 0; i < 6; i++) {
        const value = `<${number}:${i}>`
        const { server } = present(random.pick(story.cluster.nodes).life, 'it runs')
        // Asked at the server itself: this is the moment at which the answer leaves.
        await present(server, 'it serves').execute(put(`key ${number}`, value))
        answers++
        const durable = story.cluster.nodes.filter((node) => holds(node, value))
        if (durable.length <= nodes / 2) few.push(`${value} on ${durable.map(({ name }) => name).join()}`)
        await story.scheduler.wait(3 * random.unit())
      }
    }
    await story.scheduler.complete(Promise.all(Array.from({ length: 32 }, (_, number) => writer(number))))
    assert.deepEqual(few, [])
    assert.equal(answers, 32 * 6)
    story.assertSound()
  })
}

const ttlMs = 4_000
/** From the end of a lease's time to the moment at which its keys are gone: ticks, one entry, its way to all. */
const checkMs = 500

const keysLeft = async (story: Story): Promise<string[]> =>
  pairsOf(await ask(story, asked(rangeOf('lease ', 'lease!')))).map(({ key }) => key)

async function grant(story: Story, id: bigint, name: string): Promise<void> {
  await ask(story, { kind: 'leaseGrant', id, ttlSeconds: ttlMs / 1_000 })
  await ask(story, put(`lease ${name}`, 'up', id))
}

test('LS-2: leaders die every half TTL: a renewed lease is never lost, another ends a failover and a TTL later', async () => {
  const story = new Story(116, { tuning: roomy })
  const random = new SeededRandom(116)
  await story.leader()
  await story.putUntilAnswered(story.cluster.nodes, 'up')
  await grant(story, 100n, 'left')
  const kept = Array.from({ length: 6 }, (_, i) => i + 1)
  for (const i of kept) await grant(story, BigInt(i), `kept ${i}`)
  const names = kept.map((i) => `lease kept ${i}`)
  let isOver = false
  // Never in step with the failovers: each reign has leases that are renewed late in it, and some not at all.
  const keepAlive = async (i: number): Promise<void> => {
    while (!isOver) {
      await untilAnswered(story, { kind: 'leaseRenew', id: BigInt(i) })
      await story.scheduler.wait(ttlMs * (0.2 + 0.5 * random.unit()))
    }
  }
  const keepers = Promise.all(kept.map(keepAlive))
  keepers.catch(assert.fail)
  for (let round = 0; round < 12; round++) {
    await killLeaders(story, 1, () => ttlMs / 2 - electionMs)
    const left = await keysLeft(story)
    assert.deepEqual(
      names.filter((name) => !left.includes(name)),
      [],
      `lost in round ${round}`,
    )
  }
  const lastFailoverAt = story.scheduler.now
  const isGone = async (): Promise<boolean> => !(await keysLeft(story)).includes('lease left')
  while (!(await isGone())) {
    const lateMs = story.scheduler.now - lastFailoverAt - ttlMs
    assert.ok(lateMs < checkMs, `the other lease is there ${lateMs} ms after its end`)
    await story.scheduler.run(50)
  }
  assert.deepEqual(await keysLeft(story), names)
  isOver = true
  await story.scheduler.complete(keepers)
  story.assertSound()
})

test('LS-2: the leader dies just before the end of the TTL: nothing is lost by it, and it ends in time', async () => {
  for (const beforeMs of [20, 100, 300]) {
    const story = new Story(117, { tuning: roomy })
    await story.leader()
    await story.putUntilAnswered(story.cluster.nodes, 'up')
    const grantedAt = story.scheduler.now
    await grant(story, 1n, 'renewed late')
    await grant(story, 2n, 'left')
    await story.scheduler.run(grantedAt + ttlMs - beforeMs - story.scheduler.now)
    const leader = await story.leader()
    story.cluster.crash(leader)
    await story.until(() => story.cluster.leader !== undefined)
    assert.ok(story.scheduler.now > grantedAt + ttlMs, 'its first time is over')
    await ask(story, { kind: 'leaseRenew', id: 1n })
    assert.deepEqual(await keysLeft(story), ['lease left', 'lease renewed late'])
    const ledAt = story.scheduler.now
    await story.scheduler.run(ttlMs - checkMs)
    await ask(story, { kind: 'leaseRenew', id: 1n })
    assert.deepEqual(await keysLeft(story), ['lease left', 'lease renewed late'])
    await story.scheduler.run(ledAt + ttlMs + checkMs - story.scheduler.now)
    assert.deepEqual(await keysLeft(story), ['lease renewed late'])
    story.assertSound()
  }
})

test('LS-3: the wall clocks jump by an hour, each way: no lease ends early, none late', async () => {
  for (const jumpMs of [3_600_000, -3_600_000]) {
    const story = new Story(118, { tuning: roomy })
    await story.leader()
    await story.putUntilAnswered(story.cluster.nodes, 'up')
    const grantedAt = story.scheduler.now
    const runTo = (sinceGrantMs: number): Promise<void> =>
      story.scheduler.run(grantedAt + sinceGrantMs - story.scheduler.now)
    await grant(story, 1n, 'kept')
    await grant(story, 2n, 'left')
    await runTo(ttlMs / 4)
    for (const { machine } of story.cluster.nodes) machine.clock.jumpWall(jumpMs)
    await runTo(ttlMs / 2)
    await ask(story, { kind: 'leaseRenew', id: 1n })
    await runTo(ttlMs - checkMs)
    assert.deepEqual(await keysLeft(story), ['lease kept', 'lease left'])
    await runTo(ttlMs + checkMs)
    assert.deepEqual(await keysLeft(story), ['lease kept'])
    story.assertSound()
  }
})
