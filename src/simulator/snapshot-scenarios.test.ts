// Followers that need snapshots again and again: what the rows on snapshots in docs/mutants.md ask for, and no room can show.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import type { ClusterNode } from './cluster.ts'
import { Story } from './testing/story.ts'

const firstSeed = Number(process.env.SIMULATION_SEED ?? 300)

for (let seed = firstSeed; seed < firstSeed + 3; seed++) {
  test(`isolated and healed while snapshots are installed slowly, seed ${seed}: one state, nothing lost`, async () => {
    const random = new SeededRandom(seed)
    const story = new Story(seed, { tuning: { segmentBytesMax: 4_096, snapshotEntries: 5 } })
    const { scheduler } = story
    const { network } = story.cluster
    const leader = await story.leader()
    await story.putUntilAnswered(story.cluster.nodes, 'up')
    const victim = present(story.others(leader)[0], 'there is a follower')
    const others = story.cluster.nodes.filter((node) => node !== victim)
    victim.machine.disk.setLatency((operation) => (operation === 'write' ? 250 : 1))
    const stopLoad = keepLoad(story, random, others, leader)
    for (let round = 0; round < 12; round++) {
      network.partition(
        [victim.name],
        others.map(({ name }) => name),
        'both',
      )
      // A leader that knows it lost does not keep the log for it.
      for (const { name } of others) network.cutConnections(victim.name, name)
      await scheduler.run(random.between(200, 700))
      network.heal()
      await scheduler.run(random.pick([50, 150, 400, 1_000]))
    }
    await stopLoad()
    await story.until(() => story.isAgreed(), 60_000)
    await story.putUntilAnswered([victim], 'afterwards')
    for (const node of story.cluster.nodes) assert.equal(await story.get(node), 'afterwards')
    assert.ok(
      story.mark('snapshot-installed') > 4,
      `${story.mark('snapshot-installed')} snapshots were installed`,
    )
    story.assertSound()
  })
}

for (let seed = firstSeed; seed < firstSeed + 4; seed++) {
  test(`away for a while, and slow, under a load that never rests, seed ${seed}: a few snapshots are enough`, async () => {
    const random = new SeededRandom(seed)
    const appendBytesMax = random.pick([512, 65_536])
    const maybe = random.chance(0.5) ? (['snapshot-part-short'] as const) : []
    const story = new Story(seed, { maybe, tuning: { snapshotEntries: 5, appendBytesMax } })
    const { scheduler } = story
    const leader = await story.leader()
    await story.putMany('w', 200)
    const victim = present(story.others(leader)[0], 'there is a follower')
    story.cluster.kill(victim)
    const stopLoad = keepLoad(story, random, [leader], leader)
    await scheduler.run(2_000)
    const delayMs = random.between(20, 200)
    if (random.chance(0.5)) story.cluster.network.clog(leader.name, victim.name, delayMs)
    else victim.machine.disk.setLatency((operation) => (operation === 'write' ? delayMs : 1))
    const before = story.mark('snapshot-installed')
    story.cluster.start(victim)
    await scheduler.run(4_000)
    const needed = story.appliedIndex(leader)
    await scheduler.run(7_000)
    assert.equal(story.cluster.leader, leader)
    assert.ok(story.appliedIndex(leader) > needed + 50, 'the load went on')
    const installed = story.mark('snapshot-installed') - before
    const facts = `after ${installed} snapshots it is at ${story.appliedIndex(victim)}, and should be past ${needed}`
    assert.ok(installed > 0 && installed <= 3 && story.appliedIndex(victim) >= needed, facts)
    await stopLoad()
    await story.until(() => story.isAgreed(), 60_000)
    story.assertSound()
  })
}

test('stopped in order again and again on the way back: each time it ends, and it has all in the end', async () => {
  const random = new SeededRandom(firstSeed)
  const story = new Story(firstSeed, { tuning: { flushIntervalMs: 0 } })
  const { scheduler, cluster } = story
  const leader = await story.leader()
  const answered = await story.putMany('w', 30)
  const victim = present(story.others(leader)[0], 'there is a follower')
  const stopLoad = keepLoad(story, random, [leader], leader)
  for (let round = 0; round < 12; round++) {
    await scheduler.complete(cluster.stop(victim))
    // Long enough that it needs a snapshot.
    await scheduler.run(600)
    cluster.start(victim)
    victim.machine.disk.setLatency((operation) => (operation === 'syncDirectory' ? 30 : 1))
    await scheduler.run(random.between(50, 350))
  }
  await stopLoad()
  await story.until(() => story.isAgreed(), 60_000)
  const found = await story.has(victim, 'w')
  for (const [key, value] of answered) assert.equal(found.get(key), value, `${key} was acknowledged`)
  story.assertSound()
  const cutShort = story.mark('snapshot-receiving') - story.mark('snapshot-installed')
  assert.ok(cutShort > 1, `${cutShort} of the stops came before a snapshot was installed`)
})

test('a node alone, one of its snapshots rots, its store is lost or not: it starts, and has all that was answered', async () => {
  const ways = new Set<string>()
  for (let seed = firstSeed; seed < firstSeed + 8; seed++) {
    const random = new SeededRandom(seed)
    const story = new Story(seed, { nodes: 1, tuning: { flushIntervalMs: random.pick([50, 1_000]) } })
    const node = await story.leader()
    const { disk } = node.machine
    const answered = await story.putMany('w', random.between(100, 400))
    await story.scheduler.run(random.between(0, 200))
    story.cluster.crash(node)
    const snapshots = disk.paths('cached').filter((path) => path.endsWith('.snapshot'))
    assert.ok(snapshots.length >= 2, `two snapshots are kept: ${snapshots}`)
    const path = random.pick(snapshots)
    const first = random.between(0, present(disk.cachedBytes(path), 'it is there').length)
    disk.rot(path, { first, end: first + 1 })
    const isLost = random.chance(0.7)
    if (isLost) present(node.seat, 'it is a member').data = {}
    ways.add(`${snapshots.indexOf(path) === snapshots.length - 1 ? 'newest' : 'older'} ${isLost}`)
    story.cluster.start(node)
    await story.putUntilAnswered([node], 'after')
    const found = await story.has(node, 'w')
    for (const [key, value] of answered) assert.equal(found.get(key), value, `${key} was acknowledged`)
    story.assertSound()
  }
  assert.ok(ways.size >= 3, [...ways].join(', '))
})

/** Puts through `nodes`, again and again, until the returned function is called; compacts now and then. */
function keepLoad(
  story: Story,
  random: SeededRandom,
  nodes: readonly ClusterNode[],
  leader: ClusterNode,
): () => Promise<void> {
  const { scheduler } = story
  let isOver = false
  const load = async (): Promise<void> => {
    for (let i = 0; !isOver; i++) {
      const calls = nodes.map((node) => story.beginPut(node, `${i}`))
      const [result] = await Promise.all([...calls, scheduler.wait(random.between(2, 20))])
      // A state that stays small is worth a snapshot soon.
      if (i % 10 !== 9 || result?.kind !== 'answered') continue
      await story.begin(leader, { kind: 'compact', revision: result.answer.revision })
    }
  }
  const loaded = load()
  return async () => {
    isOver = true
    await scheduler.complete(loaded)
  }
}
