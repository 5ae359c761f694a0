// Directed stories of the real node: states that random faults reach now and then, reached on purpose.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { ask, roomy } from './testing/asking.ts'
import { electionMs, Story } from './testing/story.ts'

test('a leader cut off from the others: its client soon hears that nobody knows, and what it took is never seen', async () => {
  const story = new Story(1)
  const old = await story.leader()
  await story.putUntilAnswered([old], 'before')
  const rest = story.others(old)
  story.cluster.network.partition(
    [old.name],
    rest.map(({ name }) => name),
    'both',
  )
  const startedAt = story.scheduler.now
  const lost = await story.put(old, 'lost')
  assert.equal(lost.kind, 'unknown')
  assert.ok(story.scheduler.now - startedAt < 3 * electionMs, `it took ${story.scheduler.now - startedAt} ms`)
  assert.equal(await story.get(old, true), 'before')
  await story.putUntilAnswered(rest, 'after')
  assert.notEqual(await story.get(old), 'before', 'a strong read on the old side answers nothing old')
  story.cluster.network.heal()
  await story.putUntilAnswered([old], 'healed')
  for (const node of story.cluster.nodes) assert.equal(await story.get(node), 'healed')
  assert.ok(story.mark('log-truncated') > 0)
  story.assertSound()
})

test('a request in flight through a follower is answered when the leader dies, long before its deadline', async () => {
  const story = new Story(2)
  const leader = await story.leader()
  await story.putUntilAnswered([leader], 'before')
  const [follower] = story.others(leader)
  assert.ok(follower)
  await story.putUntilAnswered([follower], 'through the follower')
  for (const name of story.others(leader).map((node) => node.name))
    story.cluster.network.clog(leader.name, name, 60_000)
  const startedAt = story.scheduler.now
  const result = await story.put(follower, 'in flight')
  assert.notEqual(result.kind, 'answered')
  assert.ok(story.scheduler.now - startedAt < 5 * electionMs, `it took ${story.scheduler.now - startedAt} ms`)
  story.assertSound()
})

test('a paused leader with requests in its socket claims no success that is not one, and says nothing old', async () => {
  const story = new Story(3)
  const old = await story.leader()
  await story.putUntilAnswered([old], 'before')
  old.machine.pause()
  const waiting = Promise.all([story.beginPut(old, 'stale'), story.beginGet(old)])
  await story.putUntilAnswered(story.others(old), 'after')
  old.machine.resume()
  const [write, read] = await story.scheduler.complete(waiting)
  // What it takes up only once it has heard of the new leader goes there, and may well happen: then it is the newest.
  const newest = write.kind === 'answered' ? 'stale' : 'after'
  assert.equal(await story.get(present(story.others(old)[0], 'there are others')), newest)
  if (read.kind === 'answered' && read.answer.result?.kind === 'range') {
    assert.ok(['after', newest].includes(read.answer.result.pairs[0]?.value ?? 'none'))
  }
  story.assertSound()
})

test('a leader whose process dies is replaced at once, by whoever finds first that nothing runs there', async () => {
  const tookMs: number[] = []
  for (let seed = 100; seed < 120; seed++) {
    const story = new Story(seed)
    const old = await story.leader()
    await story.putUntilAnswered([old], 'before')
    const [follower] = story.others(old)
    void story.beginPut(old, 'on its way')
    void story.beginPut(present(follower, 'there are others'), 'on its way through a follower')
    await story.scheduler.run(seed % 7)
    const killedAt = story.scheduler.now
    story.cluster.kill(old)
    await story.until(() => story.cluster.leader !== undefined)
    tookMs.push(story.scheduler.now - killedAt)
    await story.putUntilAnswered(story.others(old), 'after')
    assert.ok(story.mark('pre-candidate: found its leader down') > 0)
    story.cluster.restart(old)
    await story.untilEqual()
    assert.equal(await story.get(old), 'after')
    story.assertSound()
  }
  assert.ok(
    tookMs.every((ms) => ms < electionMs / 3),
    `it took ${tookMs} ms`,
  )
})

test('a leader whose connections are all reset leads on', async () => {
  for (let seed = 120; seed < 130; seed++) {
    const story = new Story(seed)
    const leader = await story.leader()
    await story.putUntilAnswered([leader], 'before')
    const elections = story.mark('candidate: won the pre-vote')
    for (let round = 0; round < 20; round++) {
      for (const { name } of story.others(leader)) story.cluster.network.cutConnections(leader.name, name)
      await story.scheduler.run(electionMs / 2)
    }
    assert.equal(story.cluster.leader, leader)
    assert.equal(story.mark('candidate: won the pre-vote'), elections)
    story.assertSound()
  }
})

test('a renewal whose question or answer was lost with its connection is answered, long before its deadline', async () => {
  const story = new Story(300, { tuning: roomy })
  const leader = await story.leader()
  const [follower] = story.others(leader)
  assert.ok(follower)
  await ask(story, { kind: 'leaseGrant', id: 7n, ttlSeconds: 100 })
  const tookMs: number[] = []
  for (let round = 0; round < 40; round++) {
    await story.scheduler.run(2 * electionMs)
    const askedAt = story.scheduler.now
    const renewal = story.begin(follower, { kind: 'leaseRenew', id: 7n })
    await story.scheduler.run(round / 10)
    story.cluster.network.cutConnections(leader.name, follower.name)
    assert.equal((await story.scheduler.complete(renewal)).kind, 'answered')
    tookMs.push(story.scheduler.now - askedAt)
  }
  assert.equal(story.cluster.leader, leader)
  assert.ok(tookMs.filter((ms) => ms > 50).length > 10, `lost were few: it took ${tookMs} ms`)
  assert.ok(
    tookMs.every((ms) => ms < electionMs),
    `it took ${tookMs} ms`,
  )
  story.assertSound()
})

test('a leader that is stopped in order hands over before it ends', async () => {
  for (let seed = 130; seed < 135; seed++) {
    const story = new Story(seed)
    const old = await story.leader()
    await story.putUntilAnswered([old], 'before')
    const elections = story.mark('candidate: won the pre-vote')
    const stoppedAt = story.scheduler.now
    const ended = story.cluster.stop(old)
    await story.until(() => story.cluster.leader !== undefined)
    const tookMs = story.scheduler.now - stoppedAt
    assert.ok(tookMs < electionMs / 3, `it took ${tookMs} ms`)
    await story.putUntilAnswered(story.others(old), 'after')
    await story.scheduler.complete(ended)
    assert.equal(story.mark('leadership-handed-over'), 1)
    assert.equal(story.mark('candidate: was asked to take over'), 1)
    assert.equal(story.mark('candidate: won the pre-vote'), elections)
    story.assertSound()
  }
})

for (const isForEver of [false, true]) {
  const after = isForEver ? 'only after a reset' : 'later'
  test(`a leader whose disk hangs hands over, writes go on, and it comes back ${after}`, async () => {
    const story = new Story(isForEver ? 21 : 20)
    const old = await story.leader()
    await story.putUntilAnswered([old], 'before')
    old.machine.disk.hang()
    const hungAt = story.scheduler.now
    const held = story.beginPut(old, 'held')
    await story.until(() => story.cluster.leader !== undefined && story.cluster.leader !== old)
    const tookMs = story.scheduler.now - hungAt
    assert.ok(tookMs < 2 * electionMs, `it took ${tookMs} ms`)
    await story.putUntilAnswered(story.others(old), 'meanwhile')
    assert.equal(await story.get(present(story.others(old)[0], 'there are others')), 'meanwhile')
    assert.notEqual(await story.get(old), 'before', 'a strong read at the hung member says nothing old')
    assert.notEqual((await story.scheduler.complete(held)).kind, 'answered')
    if (isForEver) story.cluster.crash(old)
    old.machine.disk.resume()
    story.cluster.restart(old)
    await story.untilEqual()
    assert.equal(await story.get(old), 'meanwhile')
    assert.ok(story.mark('disk-hung') > 0 && (isForEver || story.mark('disk-answers') > 0))
    story.assertSound()
  })
}

test('all disks are as slow as each other: nobody hands over, and what was slow is answered', async () => {
  const story = new Story(22)
  const leader = await story.leader()
  await story.putUntilAnswered([leader], 'before')
  for (const { machine } of story.cluster.nodes) {
    machine.disk.setLatency((_operation, _bytes, isDurable) => (isDurable ? 3 * electionMs : 0.05))
  }
  assert.equal((await story.put(leader, 'slow')).kind, 'answered')
  assert.equal(story.cluster.leader, leader)
  story.assertSound()
})

test('a leader whose disk is full hands over: writes go on, nothing is lost, and it comes back', async () => {
  const story = new Story(4)
  const old = await story.leader()
  await story.putUntilAnswered([old], 'before')
  old.machine.disk.setFaults({ bytesMax: old.machine.disk.usedBytes })
  for (let i = 0; i < 100 && story.mark('disk-full') === 0; i++) {
    await story.putUntilAnswered(story.cluster.nodes, `filling ${i} ${'x'.repeat(500)}`)
  }
  assert.ok(story.mark('disk-full') > 0)
  await story.until(() => story.cluster.leader !== undefined && story.cluster.leader !== old)
  await story.putUntilAnswered(story.others(old), 'elsewhere')
  old.machine.disk.setFaults({})
  await story.until(() => story.mark('disk-has-space') > 0)
  await story.until(
    () => new Set(story.cluster.serving.map(({ server }) => server?.status().digest)).size === 1,
  )
  assert.equal(await story.get(old, true), 'elsewhere')
  story.assertSound()
})

test('a follower that was away past the log gets a snapshot: equal digest, and a numbered request is still known', async () => {
  const story = new Story(5)
  const leader = await story.leader()
  const [away] = story.others(leader)
  assert.ok(away)
  const granted = story.paths.call(present(leader.life, 'it runs'), {
    kind: 'leaseGrant',
    id: 77n,
    ttlSeconds: 600,
  })
  assert.equal((await story.scheduler.complete(granted)).kind, 'answered')
  await story.change(leader, { kind: 'put', key: 'gone', value: 'v', lease: 0n })
  await story.until(
    () => present(away.life?.server, 'it runs').status().appliedIndex >= story.appliedIndex(leader),
  )
  // Long enough that its store has it, not only its log.
  await story.scheduler.run(1_000)
  story.cluster.crash(away)
  await story.change(leader, { kind: 'delete', key: 'gone', end: '' })
  await story.putUntilAnswered([leader], 'compacted')
  const compact = story.paths.call(present(leader.life, 'it runs'), { kind: 'compact', revision: 4 })
  assert.equal((await story.scheduler.complete(compact)).kind, 'answered')
  const stamp = { session: 77n, request: 1, answeredBelow: 1 }
  const first = await story.put(leader, 'once', stamp)
  assert.equal(first.kind, 'answered')
  for (let i = 0; i < 150; i++) await story.putUntilAnswered([leader], `later ${i} ${'x'.repeat(200)}`)
  assert.equal(story.mark('snapshot-installed'), 0)
  story.cluster.start(away)
  await story.until(() => story.mark('snapshot-installed') > 0 && away.life?.server !== undefined)
  await story.until(
    () => new Set(story.cluster.serving.map(({ server }) => server?.status().digest)).size === 1,
  )
  assert.equal(await story.get(away, true, 'gone'), 'none', 'nothing of the old state is left')
  // Now it leads, and answers from what came with the snapshot.
  for (const other of story.others(away)) other.machine.pause()
  await story.scheduler.run(4 * electionMs)
  for (const other of story.others(away)) other.machine.resume()
  await story.scheduler.run(4 * electionMs)
  const again = await story.put(away, 'once', stamp)
  assert.deepEqual(again, first)
  assert.match(await story.get(away), /^later 149/)
  story.assertSound()
})

test('a failed sync ends the node: the file is left alone, and the next life has all that was acknowledged', async () => {
  const story = new Story(6)
  const leader = await story.leader()
  await story.putUntilAnswered([leader], 'before')
  const { number } = present(leader.life, 'it runs')
  leader.machine.disk.failNext({ operation: 'write', path: '/wal/' })
  await story.put(leader, 'doubtful')
  await story.until(
    () => leader.life !== undefined && leader.life.number > number && leader.life.server !== undefined,
  )
  await story.putUntilAnswered([leader], 'after')
  story.assertSound()
})

test('power fails everywhere while snapshots are written and the log is released: all nodes come back with all', async () => {
  const story = new Story(7)
  const random = new SeededRandom(7)
  for (let round = 0; round < 12; round++) {
    const leader = await story.leader()
    await story.putUntilAnswered(story.cluster.nodes, `round ${round}`)
    const writes = Array.from({ length: 60 }, (_, i) => story.beginPut(leader, `${round} ${i}`))
    Promise.all(writes).catch(assert.fail)
    await story.scheduler.run(random.between(3, 60))
    for (const node of story.cluster.nodes) story.cluster.crash(node)
    story.cluster.startAll()
  }
  await story.putUntilAnswered(story.cluster.nodes, 'last')
  for (const node of story.cluster.nodes) assert.equal(await story.get(node), 'last')
  assert.ok(story.mark('log-released') > 10, `released ${story.mark('log-released')} times`)
  story.assertSound()
})

test('a snapshot whose transfer is cut again and again, and then forgotten, arrives from the same leader', async () => {
  const story = new Story(8)
  const leader = await story.leader()
  const [away] = story.others(leader)
  assert.ok(away)
  story.cluster.crash(away)
  for (let i = 0; i < 60; i++) await story.putUntilAnswered([leader], `${i} ${'x'.repeat(4_000)}`)
  story.cluster.start(away)
  await story.until(() => away.life?.server !== undefined)
  await story.until(() => story.mark('snapshot-receiving') > 0)
  for (let i = 0; i < 10; i++) {
    story.cluster.network.cutConnections(leader.name, away.name)
    await story.scheduler.run(4)
  }
  assert.equal(story.mark('snapshot-installed'), 0)
  // The follower forgets what was announced to it.
  story.cluster.kill(away)
  story.cluster.start(away)
  await story.until(() => away.life?.server !== undefined)
  await story.until(() => story.appliedIndex(away) === story.appliedIndex(leader), 30_000)
  assert.ok(story.mark('snapshot-installed') > 0)
  assert.equal(story.cluster.leader, leader)
  story.assertSound()
})
