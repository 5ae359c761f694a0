// Directed stories of the real node: states that random faults reach now and then, reached on purpose.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import { type CallResult, ClientPaths } from './client.ts'
import { type ClusterNode, SimulatedCluster } from './cluster.ts'
import type { ModelRequest } from './kv-model.ts'
import { drawOptions } from './options.ts'
import { startQuorate, storeOf } from './quorate-server.ts'
import { Scheduler } from './scheduler.ts'
import type { RequestStamp, ServerMember } from './server-seam.ts'

const electionMs = 500

class Story {
  readonly scheduler = new Scheduler()
  readonly cluster: SimulatedCluster
  readonly paths: ClientPaths
  #members: readonly ServerMember[] = []
  #batches = 0

  constructor(seed: number) {
    const random = new SeededRandom(seed)
    const drawn = drawOptions(seed)
    const tuning = {
      heartbeatMs: 50,
      electionMs,
      segmentBytesMax: 4_096,
      snapshotEntries: 5,
      appendBytesMax: 65_536,
      inflightMax: 64,
      windowBytesMax: 256,
    }
    const options = { ...drawn, nodes: 3, networkDelayMs: 0.5, tuning }
    this.cluster = new SimulatedCluster({
      scheduler: this.scheduler,
      random,
      options,
      startServer: (setup) => {
        this.#members = setup.members
        return startQuorate(setup)
      },
    })
    this.paths = new ClientPaths(this.cluster, random.fork())
    this.cluster.startAll()
  }

  async leader(): Promise<ClusterNode> {
    await this.until(() => this.cluster.leader !== undefined)
    return present(this.cluster.leader, 'somebody leads')
  }

  others(node: ClusterNode): ClusterNode[] {
    return this.cluster.nodes.filter((other) => other !== node)
  }

  async until(condition: () => boolean, withinMs = 20_000): Promise<void> {
    const start = this.scheduler.now
    assert.ok(await this.scheduler.runUntil(condition, start + withinMs), 'what was waited for did not come')
  }

  async put(node: ClusterNode, value: string, stamp?: RequestStamp): Promise<CallResult> {
    const request = { kind: 'put', key: 'k', value, lease: 0n } as const
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    const life = present(node.life, `${node.name} runs`)
    return this.scheduler.complete(this.paths.call(life, stamp === undefined ? wire : { ...wire, stamp }))
  }

  /** Not awaited: the node may be paused, or about to die. */
  beginPut(node: ClusterNode, value: string): Promise<CallResult> {
    const request = { kind: 'put', key: 'k', value, lease: 0n } as const
    return this.paths.call(present(node.life, 'it runs'), {
      kind: 'keyValue',
      request,
      isSerializable: false,
      atRevision: 0,
    })
  }

  beginGet(node: ClusterNode): Promise<CallResult> {
    const request = { kind: 'range', key: 'k', end: '', limit: 0 } as const
    return this.paths.call(present(node.life, 'it runs'), {
      kind: 'keyValue',
      request,
      isSerializable: false,
      atRevision: 0,
    })
  }

  async get(node: ClusterNode, isSerializable = false, key = 'k'): Promise<string> {
    const request = { kind: 'range', key, end: '', limit: 0 } as const
    const wire = { kind: 'keyValue', request, isSerializable, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    if (result.kind !== 'answered') return result.code
    const found = result.answer.result
    return found?.kind === 'range' ? (found.pairs[0]?.value ?? 'none') : 'no range'
  }

  /** Whoever answers first. */
  async putUntilAnswered(nodes: readonly ClusterNode[], value: string): Promise<void> {
    for (let i = 0; i < 200; i++) {
      const node = present(nodes[i % nodes.length], 'there is a node')
      if (node.life?.server !== undefined && (await this.put(node, value)).kind === 'answered') return
      await this.scheduler.run(50)
    }
    assert.fail(`${value} was never answered`)
  }

  async change(node: ClusterNode, request: ModelRequest): Promise<void> {
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    assert.equal(result.kind, 'answered')
  }

  /** Puts of keys of their own, until `count` are answered; whoever leads. Returns those, with their values. */
  async putMany(name: string, count: number): Promise<Map<string, string>> {
    const answered = new Map<string, string>()
    const batch = ++this.#batches
    for (let round = 0; answered.size < count; round++) {
      assert.ok(round < 200, `${answered.size} of ${count} puts were answered`)
      const lives = this.cluster.serving
      const calls = Array.from({ length: 64 }, async (_, i) => {
        const key = `${name} ${batch}.${round}.${i}`
        const request = { kind: 'put', key, value: `${i}`, lease: 0n } as const
        const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
        const life = present(lives[i % lives.length], 'somebody serves')
        if ((await this.paths.call(life, wire)).kind === 'answered') answered.set(key, `${i}`)
      })
      await this.scheduler.complete(Promise.all(calls))
    }
    return answered
  }

  /** What one member alone has: every key that begins with `name`. */
  async has(node: ClusterNode, name: string): Promise<Map<string, string>> {
    const request = { kind: 'range', key: `${name} `, end: `${name}!`, limit: 0 } as const
    const wire = { kind: 'keyValue', request, isSerializable: true, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    const found = result.kind === 'answered' ? result.answer.result : undefined
    assert.ok(found?.kind === 'range', `${node.name} answers`)
    return new Map(found.pairs.map(({ key, value }) => [key, value]))
  }

  /** Flips a bit of what the store of a member holds for key `k`, behind its back: no write shows it. */
  rot(node: ClusterNode, what: 'version' | 'value', bit = 0x40): void {
    const store = storeOf(this.#members, node.name)
    const table = what === 'version' ? 'current' : 'revisions'
    const rows = [...store.range(table, {})].filter(({ key, value }) =>
      what === 'version' ? key[0] === 0x6b : value.at(-1) === 0x21,
    )
    const row = present(rows.at(-1), 'the store has the row').value
    const at = row.length - (what === 'version' ? 16 : 1)
    row[at] = (row[at] ?? 0) ^ bit
  }

  /** Until all have applied the same and have the same digest; then for long enough that the stores have it too. */
  async untilEqual(): Promise<void> {
    const facts = (): Set<string> =>
      new Set(
        this.cluster.nodes.map(({ life }) => {
          const status = life?.server?.status()
          return `${status?.appliedIndex} ${status?.digest}`
        }),
      )
    await this.until(() => facts().size === 1)
    await this.scheduler.run(1_000)
    const rows = this.cluster.nodes.map(({ name }) => [
      ...storeOf(this.#members, name).range('revisions', {}),
    ])
    for (const other of rows) assert.deepEqual(other, rows[0], 'the stores hold the same versions')
  }

  /** The cluster saw a replica that differed, and nothing else that is wrong; from here on nothing may be. */
  forgiveDifference(): void {
    const { violations } = this.cluster.checker
    assert.ok(violations.length > 0, 'the rot was seen from outside')
    for (const { promise } of violations.splice(0)) assert.equal(promise, 'equal digest at equal index')
  }

  appliedIndex(node: ClusterNode): number {
    return present(node.life?.server, 'it runs').status().appliedIndex
  }

  mark(name: string): number {
    return this.cluster.marks.get(name) ?? 0
  }

  assertSound(): void {
    assert.deepEqual([...this.cluster.violations, ...this.cluster.checker.violations], [])
    assert.deepEqual(
      this.cluster.nodes.flatMap(({ machine }) => machine.disk.misuse),
      [],
    )
  }
}

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

/** Enough that every run passes an index at which the replicas compare their digests. */
const putsToComparison = 1_100

for (const [seed, whose] of [
  [9, 'follower'],
  [10, 'leader'],
] as const) {
  test(`the store of a ${whose} rots under it: it finds itself in the minority and takes its state from the others`, async () => {
    const story = new Story(seed)
    const leader = await story.leader()
    const rotten = whose === 'leader' ? leader : present(story.others(leader)[0], 'there are others')
    await story.putUntilAnswered([leader], 'before')
    await story.scheduler.run(1_000)
    story.rot(rotten, 'version')
    await story.putUntilAnswered([leader], 'counted from a wrong version')
    const answered = await story.putMany('w', 900)
    // The writes go on all through the repair: its log grows behind the snapshot that becomes its state.
    for (let round = 0; story.mark('state-repaired') === 0; round++) {
      assert.ok(round < 100, 'it is repaired')
      for (const [key, value] of await story.putMany('w', 64)) answered.set(key, value)
    }
    const later = await story.putMany('later', 100)
    await story.untilEqual()
    story.forgiveDifference()
    assert.deepEqual([rotten.lives, story.mark('state-wrong'), story.mark('state-repaired')], [1, 1, 1])
    if (whose === 'leader') assert.notEqual(story.cluster.leader, rotten)
    for (const [name, wanted] of [
      ['w', answered],
      ['later', later],
    ] as const) {
      const found = await story.has(rotten, name)
      for (const [key, value] of wanted) assert.equal(found.get(key), value, `${key} was acknowledged`)
    }
    // And it stays so: past the next comparison, and with the others gone silent it leads.
    await story.putMany('more', putsToComparison)
    for (const other of story.others(rotten)) other.machine.pause()
    await story.scheduler.run(4 * electionMs)
    for (const other of story.others(rotten)) other.machine.resume()
    await story.putUntilAnswered([rotten], 'after')
    await story.untilEqual()
    assert.equal(story.mark('state-wrong'), 1)
    story.assertSound()
  })
}

test('power fails at any moment of the repair: the wrong state never comes back, and no vote or entry is forgotten', async () => {
  const phases = new Set<string>()
  for (let delayMs = 0; delayMs < 60; delayMs += 12) {
    const story = new Story(11 + delayMs)
    const leader = await story.leader()
    const [rotten] = story.others(leader)
    assert.ok(rotten)
    await story.putUntilAnswered([leader], 'before')
    await story.scheduler.run(1_000)
    story.rot(rotten, 'version')
    await story.putUntilAnswered([leader], 'counted from a wrong version')
    const answered = await story.putMany('w', 900)
    for (let round = 0; story.mark('state-wrong') === 0; round++) {
      assert.ok(round < 100, 'it is noticed')
      for (const [key, value] of await story.putMany('w', 1)) answered.set(key, value)
    }
    await story.scheduler.run(delayMs)
    const wasRepaired = story.mark('state-repaired') > 0
    story.cluster.crash(rotten)
    await story.putUntilAnswered(story.others(rotten), 'meanwhile')
    story.cluster.start(rotten)
    await story.until(() => story.mark('state-repaired') > 0 && rotten.life?.server !== undefined)
    await story.untilEqual()
    phases.add(wasRepaired ? 'after' : story.mark('state-missing') > 0 ? 'amid' : 'before the mark')
    story.forgiveDifference()
    assert.equal(await story.get(rotten), 'meanwhile')
    const found = await story.has(rotten, 'w')
    for (const [key, value] of answered) assert.equal(found.get(key), value, `${key} was acknowledged`)
    story.assertSound()
  }
  assert.ok(phases.has('amid'))
})

test('a store that rots while its program is dead is noticed at the start, and built anew', async () => {
  const story = new Story(12)
  const leader = await story.leader()
  const [rotten] = story.others(leader)
  assert.ok(rotten)
  const answered = await story.putMany('w', 100)
  await story.putUntilAnswered([leader], 'right!')
  await story.scheduler.run(1_000)
  story.cluster.kill(rotten)
  story.rot(rotten, 'value')
  story.cluster.start(rotten)
  await story.until(() => rotten.life?.server !== undefined)
  assert.equal(story.mark('store-damaged'), 1)
  await story.untilEqual()
  assert.equal(await story.get(rotten, true), 'right!')
  const found = await story.has(rotten, 'w')
  for (const [key, value] of answered) assert.equal(found.get(key), value)
  story.assertSound()
})

test('a state that differs again although the leader gave it: it ends with a clear error instead of going round', async () => {
  const story = new Story(14)
  const leader = await story.leader()
  const [rotten] = story.others(leader)
  assert.ok(rotten)
  for (const times of [1, 2]) {
    await story.putUntilAnswered([leader], 'right')
    await story.scheduler.run(1_000)
    story.rot(rotten, 'version')
    await story.putUntilAnswered([leader], 'counted from a wrong version')
    for (let round = 0; story.mark('state-repaired') + story.cluster.violations.length < times; round++) {
      assert.ok(round < 100, 'it is noticed')
      await story.putMany('w', 64)
    }
  }
  assert.deepEqual([story.mark('state-wrong'), story.cluster.violations.length], [1, 1])
  assert.match(story.cluster.violations[0]?.facts ?? '', /differs again .* although the leader gave it anew/)
})

test('three states and no majority: all stop with a clear error, and none of them is chosen', async () => {
  const story = new Story(13)
  const leader = await story.leader()
  const [one, other] = story.others(leader)
  assert.ok(one && other)
  await story.putUntilAnswered([leader], 'before')
  await story.scheduler.run(1_000)
  story.rot(one, 'version', 0x40)
  story.rot(other, 'version', 0x20)
  await story.putUntilAnswered([leader], 'counted from three versions')
  await story.putMany('w', 900)
  for (let round = 0; story.mark('states-differ') === 0; round++) {
    assert.ok(round < 10, 'it is noticed')
    await story.putMany('w', 64)
  }
  await story.until(() => story.cluster.violations.length === 3)
  for (const { facts } of story.cluster.violations.slice(0, 3))
    assert.match(facts, /no majority has the same/)
  assert.equal(story.mark('state-wrong'), 0)
})
