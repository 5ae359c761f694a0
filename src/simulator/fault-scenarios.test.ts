// What the cluster of the simulator does to its members, one fault at a time: that it strikes, and what follows.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { Ambush } from './ambush.ts'
import { Story } from './testing/story.ts'

test('a lost write is noticed at the next start, and the others have what it held', async () => {
  let noticed = 0
  for (let seed = 1; seed <= 4; seed++) {
    const story = new Story(200 + seed, { tuning: { segmentBytesMax: 65_536, snapshotEntries: 10_000 } })
    const leader = await story.leader()
    const victim = present(story.others(leader)[0], 'there are others')
    await story.putUntilAnswered([leader], 'before')
    story.cluster.stray(victim, 'lost', new SeededRandom(seed))
    const answered = await story.putMany('w', 200)
    assert.equal(story.mark('write-lost'), 1)
    story.cluster.crash(victim)
    story.cluster.restart(victim)
    await story.scheduler.run(5_000)
    noticed += story.mark('damage-noticed')
    const whole = victim.isLost ? story.others(victim) : [...story.cluster.nodes]
    await story.putUntilAnswered(whole, 'after')
    await story.scheduler.run(5_000)
    for (const node of whole) {
      const found = await story.has(node, 'w')
      for (const [key, value] of answered) assert.equal(found.get(key), value, `${node.name} has ${key}`)
    }
    story.assertSound()
  }
  assert.ok(noticed > 0, 'some of the lost writes were in the log')
})

test('an old copy of a disk is started once that is harmless, and is brought up to date', async () => {
  const story = new Story(210)
  const leader = await story.leader()
  const follower = present(story.others(leader)[0], 'there are others')
  await story.putUntilAnswered([leader], 'before')
  story.cluster.kill(follower)
  const copy = follower.machine.disk.copy()
  story.cluster.restart(follower)
  const answered = await story.putMany('w', 100)
  // While another member is away nobody knows whether it has what this one acknowledged.
  const other = present(
    story.others(leader).find((node) => node !== follower),
    'there is a third',
  )
  story.cluster.kill(other)
  story.cluster.startFromCopy(follower, copy)
  await story.scheduler.run(2_000)
  assert.equal(story.mark('old-copy-started'), 0)
  story.cluster.restart(other)
  await story.until(() => story.mark('old-copy-started') === 1)
  await story.untilEqual()
  const found = await story.has(follower, 'w')
  for (const [key, value] of answered) assert.equal(found.get(key), value)
  story.assertSound()
})

test('members are upgraded one after the other, and the cluster version rises once all are', async () => {
  const story = new Story(220)
  await story.putUntilAnswered(story.cluster.nodes, 'before')
  const upgraded = story.cluster.upgrade(() => false)
  await story.until(() => story.mark('upgraded') === 1)
  await story.putUntilAnswered(story.cluster.nodes, 'mixed')
  assert.equal(story.mark('cluster version raised'), 0)
  await story.scheduler.complete(upgraded)
  await story.until(() => story.mark('cluster version raised') === 3)
  assert.ok(story.mark('stopped-in-order') > 0)
  await story.untilEqual()
  story.assertSound()
})

test('a place does the rare thing only where it is switched on, and nowhere once the cluster is healed', async () => {
  const story = new Story(230, { maybe: ['log-batch-cut', 'message-twice'] })
  await story.leader()
  await story.putMany('w', 200)
  const fired = [...story.cluster.marks.keys()].filter((name) => name.startsWith('maybe ')).sort()
  assert.deepEqual(fired, ['maybe log-batch-cut', 'maybe message-twice'])
  story.cluster.heal()
  const before = story.mark('maybe log-batch-cut')
  await story.putMany('w', 200)
  assert.equal(story.mark('maybe log-batch-cut'), before)
  await story.untilEqual()
  story.assertSound()
})

test('a majority is healed and serves, whatever becomes of the others', async () => {
  const ways = new Set<string>()
  for (let seed = 240; seed < 256; seed++) {
    const story = new Story(seed, { nodes: 5, healsMajority: true })
    await story.leader()
    story.cluster.heal()
    const left = story.cluster.nodes.filter(({ isLeftOut }) => isLeftOut)
    assert.ok(left.length === 1 || left.length === 2)
    for (const name of story.cluster.marks.keys()) if (name.startsWith('left out: ')) ways.add(name)
    for (const node of story.cluster.wholeNodes) await story.putUntilAnswered([node], `through ${node.name}`)
    story.assertSound()
  }
  assert.deepEqual([...ways].sort(), [
    'left out: cut off',
    'left out: dead',
    'left out: hung',
    'left out: paused',
  ])
})

test('an ambush strikes leaders, holds a minority but where it crashes a majority, and lets go in the end', async () => {
  let elections = 0
  let truncations = 0
  for (let seed = 1; seed <= 6; seed++) {
    const story = new Story(260 + seed, { tuning: { appendBytesMax: 1, inflightMax: 1 } })
    const { cluster, scheduler } = story
    await story.putUntilAnswered(cluster.nodes, 'before')
    const electionsBefore = story.mark('leader: won the election')
    const ambush = new Ambush(cluster, new SeededRandom(seed), () => false)
    for (let i = 0; i < 100; i++) {
      const [life] = cluster.serving
      if (life !== undefined) void story.beginPut(life.node, `${i}`)
      await scheduler.run(50)
      const held = cluster.nodes.filter(({ life, machine }) => life === undefined || machine.isPaused)
      if (story.mark('ambush: crashMajority') === 0) assert.ok(held.length <= 1, `${held.length} are held`)
    }
    ambush.end()
    await story.until(() => cluster.serving.length === cluster.nodes.length)
    for (const node of cluster.nodes) await story.putUntilAnswered([node], 'after')
    await story.untilEqual()
    story.assertSound()
    elections += story.mark('leader: won the election') - electionsBefore
    truncations += story.mark('log-truncated')
  }
  assert.ok(elections > 8, `${elections} elections`)
  assert.ok(truncations > 2, `${truncations} times a log was cut`)
})
