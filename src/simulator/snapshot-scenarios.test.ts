// Followers that need snapshots again and again: what the rows on snapshots in docs/mutants.md ask for, and no room can show.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { Story } from './testing/story.ts'

const firstSeed = Number(process.env.SIMULATION_SEED ?? 300)

for (let seed = firstSeed; seed < firstSeed + 3; seed++) {
  test(`isolated and healed again and again while a snapshot is installed slowly, seed ${seed}: one state, nothing lost`, async () => {
    const random = new SeededRandom(seed)
    const story = new Story(seed, { tuning: { segmentBytesMax: 4_096, snapshotEntries: 5 } })
    const { scheduler } = story
    const { network } = story.cluster
    const leader = await story.leader()
    await story.putUntilAnswered(story.cluster.nodes, 'up')
    const victim = present(story.others(leader)[0], 'there is a follower')
    const others = story.cluster.nodes.filter((node) => node !== victim)
    victim.machine.disk.setLatency((operation) => (operation === 'write' ? 250 : 1))
    let isOver = false
    const load = async (): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        const calls = others.map((node) => story.beginPut(node, `${i}`))
        const [result] = await Promise.all([...calls, scheduler.wait(random.between(2, 20))])
        // A state that stays small is worth a snapshot soon.
        if (i % 10 !== 9 || result?.kind !== 'answered') continue
        await story.begin(leader, { kind: 'compact', revision: result.answer.revision })
      }
    }
    const loaded = load()
    for (let round = 0; round < 12; round++) {
      network.partition(
        [victim.name],
        others.map(({ name }) => name),
        'both',
      )
      await scheduler.run(random.between(200, 700))
      network.heal()
      await scheduler.run(random.pick([50, 150, 400, 1_000]))
    }
    isOver = true
    await scheduler.complete(loaded)
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
