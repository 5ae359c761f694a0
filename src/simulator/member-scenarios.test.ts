// Directed stories about members of the real node: each once went wrong under a seed, or could.
import assert from 'node:assert/strict'
import test from 'node:test'
import { present, SeededRandom } from '../base/index.ts'
import type { ClusterNode } from './cluster.ts'
import { Operator } from './operator.ts'
import type { ListedMember, MembersRequest, ServerMember } from './server-seam.ts'
import { electionMs, Story } from './testing/story.ts'

/** A story in which members change, told by what an operator does. */
class MemberStory extends Story {
  constructor(seed: number, nodes = 3) {
    // A log that is read in small steps, and never replaced by a snapshot.
    super(seed, {
      nodes,
      members: true,
      tuning: { snapshotEntries: 1_000, appendBytesMax: 64, inflightMax: 1 },
    })
  }

  /** The answer of whoever answers first. */
  async ask(nodes: readonly ClusterNode[], request: MembersRequest): Promise<readonly ListedMember[]> {
    for (let i = 0; i < 200; i++) {
      const { life } = present(nodes[i % nodes.length], 'there is a node')
      const result = life && (await this.scheduler.complete(this.paths.call(life, request)))
      if (result?.kind === 'answered') return present(result.answer.members, 'members are listed')
      await this.scheduler.run(50)
    }
    assert.fail(`${request.kind} was never answered`)
  }

  async listedAs(asked: ClusterNode, name: string): Promise<ListedMember | undefined> {
    const members = await this.ask([asked], { kind: 'memberList' })
    return members.find(({ host }) => host === name)
  }

  async idOf(asked: ClusterNode, node: ClusterNode): Promise<bigint> {
    return present(await this.listedAs(asked, node.name), `${node.name} is a member`).id
  }

  async remove(asked: ClusterNode, node: ClusterNode): Promise<void> {
    const id = await this.idOf(asked, node)
    present(node.seat, 'it is a member').isRemoved = true
    await this.ask([asked], { kind: 'memberRemove', id })
  }

  /** Adds this machine as a voter and starts it; resolves when it votes. */
  async join(asked: ClusterNode, node: ClusterNode): Promise<void> {
    const peer = peerOf(node)
    const members = await this.ask([asked], { kind: 'memberAdd', peer, isLearner: false })
    const added = present(
      members.find(({ host }) => host === node.name),
      'it was added',
    )
    const others = members.filter(({ host }) => host !== node.name)
    this.cluster.join(
      node,
      added.id,
      others.map(({ host, port }) => ({ name: host, host, port })),
    )
    for (let i = 0; i < 100; i++) {
      if ((await this.listedAs(asked, node.name))?.isLearner === false) return
      await this.scheduler.run(100)
    }
    assert.fail(`${node.name} never became a voter`)
  }

  /** From now on this member is not needed for a majority, and has everything a second later than the others. */
  async lag(node: ClusterNode): Promise<void> {
    const leader = await this.leader()
    await this.join(leader, present(this.cluster.nodes[3], 'there is a spare machine'))
    await this.allAgree(this.cluster.wholeNodes)
    node.machine.disk.setLatency(() => 1_000)
  }

  async allAgree(nodes: readonly ClusterNode[]): Promise<void> {
    const texts = (): Set<string> =>
      new Set(
        nodes.map(({ life }) => {
          const status = life?.server?.status()
          return `${status?.appliedIndex} ${status?.digest}`
        }),
      )
    await this.until(() => texts().size === 1 && nodes.every(({ life }) => life?.server !== undefined))
  }
}

function peerOf(node: ClusterNode, port = 2380): ServerMember {
  return { name: node.name, host: node.name, port }
}

test('a leader is removed, and then the next one: each hands over at once and ends, the last one goes on alone', async () => {
  const story = new MemberStory(20)
  let left = [...story.cluster.nodes.slice(0, 3)]
  await story.putUntilAnswered(left, 'three')
  while (left.length > 1) {
    const leader = await story.leader()
    const { term } = present(leader.life?.server, 'it runs').status()
    const askedAt = story.scheduler.now
    await story.remove(leader, leader)
    left = left.filter((node) => node !== leader)
    await story.putUntilAnswered(left, `without ${leader.name}`)
    assert.ok(story.scheduler.now - askedAt < electionMs, `it took ${story.scheduler.now - askedAt} ms`)
    const next = await story.leader()
    assert.equal(present(next.life?.server, 'it runs').status().term, term + 1)
    await story.until(() => leader.seat === undefined)
  }
  assert.equal(story.mark('removed-ended'), 2)
  story.assertSound()
})

test('one joins when nobody of the first members is left: the lists in the log it reads do not have its leader', async () => {
  const story = new MemberStory(21)
  const [a, b, c, d, e] = story.cluster.nodes as [
    ClusterNode,
    ClusterNode,
    ClusterNode,
    ClusterNode,
    ClusterNode,
  ]
  await story.putUntilAnswered([a], 'first')
  await story.join(a, d)
  for (const gone of [a, b, c]) await story.remove(d, gone)
  await story.putUntilAnswered([d], 'alone')
  await story.join(d, e)
  await story.allAgree([d, e])
  assert.equal(story.mark('snapshot-installed'), 0, 'it read the log, not a snapshot')
  assert.equal(await story.get(e), 'alone')
  story.assertSound()
})

test('a member is listed as a voter once its vote counts alone: until then nobody of before can be spared', async () => {
  const story = new MemberStory(29)
  const leader = await story.leader()
  const [gone, needed] = story.others(leader).filter(({ seat }) => seat !== undefined)
  const fresh = present(story.cluster.nodes[3], 'there is a spare machine')
  assert.ok(gone && needed)
  const listed = (): string | undefined =>
    story
      .applied(leader)
      ?.map(({ host, isLearner, isBecomingVoter }) => {
        const role = isBecomingVoter ? ' is to vote' : ' learns'
        return isLearner ? host + role : host
      })
      .sort()
      .join(', ')
  const joints = (): number => story.mark('joint configuration')
  const rest = [leader.name, needed.name].sort().join(', ')
  const id = await story.idOf(leader, gone)
  present(gone.seat, 'it is a member').isRemoved = true
  const removal = story.begin(leader, { kind: 'memberRemove', id })
  await story.until(() => joints() === 1)
  assert.equal(listed(), 'n1, n2, n3')
  await story.scheduler.complete(removal)
  assert.equal(listed(), rest)

  await story.ask([leader], { kind: 'memberAdd', peer: peerOf(fresh), isLearner: false })
  const added = present(await story.listedAs(leader, fresh.name), 'it was added')
  story.cluster.join(fresh, added.id, [peerOf(leader), peerOf(needed)])
  const before = joints()
  await story.until(() => joints() > before)
  assert.equal(listed(), `${rest}, n4 is to vote`)
  await story.until(() => listed() === `${rest}, n4`)
  story.assertSound()
})

test('an address changes where both voters are needed: the change is committed over the old one', async () => {
  const story = new MemberStory(22)
  const leader = await story.leader()
  const [gone, moved] = story.others(leader).filter(({ seat }) => seat !== undefined)
  assert.ok(gone && moved)
  await story.remove(leader, gone)
  const id = await story.idOf(leader, moved)
  moved.machine.disk.setLatency(() => 100)
  const request = { kind: 'memberUpdate', id, peer: peerOf(moved, 2381) } as const
  const asked = story.paths.call(present(leader.life, 'it runs'), request)
  // The leader has the change in its log and not committed, and has to find the other one again for that.
  await story.scheduler.run(50)
  story.cluster.network.cutConnections(leader.name, moved.name)
  assert.equal((await story.scheduler.complete(asked)).kind, 'answered')
  present(moved.seat, 'it is a member').port = 2381
  // Both lose power: what they then know of each other comes from their logs.
  for (const node of [leader, moved]) story.cluster.crash(node)
  for (const node of [leader, moved]) story.cluster.start(node)
  await story.putUntilAnswered([leader, moved], 'moved')
  await story.allAgree([leader, moved])
  story.assertSound()
})

test('a change asked of a server that lags is answered with the list that has it, not with one of before', async () => {
  const story = new MemberStory(23)
  const leader = await story.leader()
  const [late, other] = story.others(leader).filter(({ seat }) => seat !== undefined)
  assert.ok(late && other)
  await story.lag(late)
  const old = await story.idOf(leader, other)
  await story.remove(leader, other)
  assert.equal(story.applied(late)?.find(({ id }) => id === old)?.host, other.name, 'it lags')
  const added = await story.ask([late], { kind: 'memberAdd', peer: peerOf(other), isLearner: true })
  assert.deepEqual(
    added.filter(({ host }) => host === other.name).map(({ id }) => id === old),
    [false],
  )
  story.assertSound()
})

test('a removal asked of a server that does not have the member yet is answered when it has happened', async () => {
  const story = new MemberStory(27)
  const leader = await story.leader()
  const [late] = story.others(leader).filter(({ seat }) => seat !== undefined)
  const fresh = present(story.cluster.nodes[4], 'there is a spare machine')
  assert.ok(late)
  await story.lag(late)
  await story.ask([leader], { kind: 'memberAdd', peer: peerOf(fresh), isLearner: true })
  const { id } = present(
    story.applied(leader)?.find(({ host }) => host === fresh.name),
    'it was added',
  )
  leader.machine.disk.setLatency(() => 200)
  await story.ask([late], { kind: 'memberRemove', id })
  assert.ok(story.applied(leader)?.every((member) => member.id !== id))
  story.assertSound()
})

test('one that joins under the address of a removed member is told who it is by the list of now', async () => {
  const story = new MemberStory(24)
  const leader = await story.leader()
  const [late, other] = story.others(leader).filter(({ seat }) => seat !== undefined)
  assert.ok(late && other)
  await story.lag(late)
  await story.remove(leader, other)
  const members = await story.ask([leader], { kind: 'memberAdd', peer: peerOf(other), isLearner: false })
  const { id } = present(
    members.find(({ host }) => host === other.name),
    'it was added',
  )
  story.cluster.join(other, id, [peerOf(late)])
  await story.until(() => other.life?.server !== undefined)
  late.machine.disk.clearFaults()
  await story.allAgree([leader, late, other])
  story.assertSound()
})

test('a member that lost its disk is refused under its old identity, also before anything was committed', async () => {
  const story = new MemberStory(25)
  const [, , victim] = story.cluster.nodes
  assert.ok(victim)
  await story.until(() => story.mark('peer-connected') === 6)
  assert.equal(story.mark('member-published'), 0)
  story.cluster.wipe(victim)
  story.cluster.start(victim)
  await story.until(() => victim.seat?.wipe === 'refused')
  await story.putUntilAnswered(story.cluster.nodes.slice(0, 2), 'without it')
  story.assertSound()
})

test('a member that lost its disk is refused by one that has its directory in the log and not applied yet', async () => {
  const story = new MemberStory(28)
  const leader = await story.leader()
  const [victim, other] = story.others(leader).filter(({ seat }) => seat !== undefined)
  assert.ok(victim && other)
  await story.until(() => story.mark('member-published') === 3)
  // Power fails everywhere at once; the two that come back have no majority beside the one that forgot.
  for (const node of [leader, victim, other]) story.cluster.crash(node)
  story.cluster.wipe(victim)
  for (const node of [victim, other]) story.cluster.start(node)
  await story.until(() => victim.seat?.wipe === 'refused')
  assert.equal(story.cluster.leader, undefined)
  story.cluster.start(leader)
  await story.putUntilAnswered([leader, other], 'without it')
  story.assertSound()
})

test('a member that lost its disk is refused, replaced under its address, and has all again', async () => {
  const story = new MemberStory(26)
  const leader = await story.leader()
  const [victim, other] = story.others(leader).filter(({ seat }) => seat !== undefined)
  assert.ok(victim && other)
  await story.putUntilAnswered([victim], 'kept')
  await story.until(() => story.mark('member-published') === 3)
  await story.allAgree([leader, victim, other])
  story.cluster.wipe(victim)
  story.cluster.start(victim)
  await story.until(() => victim.seat?.wipe === 'refused')
  await story.remove(leader, victim)
  await story.join(leader, victim)
  await story.allAgree([leader, victim, other])
  assert.equal(await story.get(victim, true), 'kept')
  story.assertSound()
})

test('a founder that lost its disk founds another cluster: no client is sent there until it has its place again', async () => {
  const story = new MemberStory(31, 1)
  const { cluster } = story
  const [founder, ...others] = cluster.nodes
  assert.ok(founder && others.length === 2)
  await story.putUntilAnswered([founder], 'kept')
  for (const node of others) await story.join(founder, node)
  await story.until(() => story.mark('member-published') === 3)
  await story.allAgree(cluster.nodes)
  // Cut off, it is refused by nobody: it serves the cluster that it founds until the network is healed.
  const names = others.map(({ name }) => name)
  cluster.network.partition([founder.name], names, 'both')
  cluster.wipe(founder)
  cluster.start(founder)
  const leads = ({ life }: ClusterNode): boolean => life?.server?.status().isLeader === true
  await story.until(() => leads(founder) && others.some(leads))
  const servingNames = (): string[] => cluster.serving.map(({ node }) => node.name)
  assert.deepEqual(servingNames(), names)
  assert.notEqual(cluster.leader, founder)
  const answered = await story.putMany('meanwhile', 20)
  assert.equal(founder.seat?.wipe, 'wiped', 'it serves all the time')

  cluster.network.heal()
  await story.until(() => {
    assert.ok(!servingNames().includes(founder.name), 'clients are not sent to it')
    return founder.seat?.wipe === 'refused'
  })
  assert.equal(founder.life, undefined)
  const leader = await story.leader()
  await story.remove(leader, founder)
  await story.join(leader, founder)
  await story.allAgree(cluster.nodes)
  assert.deepEqual(servingNames(), [founder.name, ...names])
  assert.equal(await story.get(founder, true), 'kept')
  const found = await story.has(founder, 'meanwhile')
  for (const [key, value] of answered) assert.equal(found.get(key), value, `${key} was acknowledged`)
  story.assertSound()
})

test('a machine comes back again and again under its address: each time it is somebody new, and has all', async () => {
  const story = new MemberStory(19)
  const leader = await story.leader()
  const machine = present(story.others(leader)[0], 'there are others')
  const keeper = present(story.others(leader)[1], 'there is a third')
  const seen = new Set<bigint>()
  for (let round = 0; round < 3; round++) {
    const answered = await story.putMany(`round ${round}`, 20)
    const asked = round % 2 === 0 ? leader : keeper
    const id = await story.idOf(asked, machine)
    assert.ok(!seen.has(id), `round ${round}: nobody has been ${id} before`)
    seen.add(id)
    await story.remove(asked, machine)
    // Its clock says nothing about who is new: neither that of a server that was asked.
    asked.machine.clock.jumpWall(round === 0 ? -3_600_000 : 7_200_000)
    await story.join(asked, machine)
    await story.allAgree(story.cluster.wholeNodes)
    const found = await story.has(machine, `round ${round}`)
    for (const [key, value] of answered) assert.equal(found.get(key), value, `${key} was acknowledged`)
  }
  story.assertSound()
})

test('an operator ends a member that waits to be told who it is before another is added under its address', async () => {
  const story = new MemberStory(30)
  const { cluster, paths, scheduler } = story
  const leader = await story.leader()
  await story.putUntilAnswered([leader], 'kept')
  const fresh = present(cluster.nodes[3], 'there is a spare machine')
  const others = story.others(fresh).map(({ name }) => name)
  cluster.network.partition([fresh.name], others, 'both')
  await story.ask([leader], { kind: 'memberAdd', peer: peerOf(fresh), isLearner: false })
  const first = await story.idOf(leader, fresh)
  cluster.join(fresh, first, [peerOf(leader)])
  await scheduler.run(1_000)
  await story.remove(leader, fresh)

  const operator = new Operator({ cluster, paths, random: new SeededRandom(30) })
  await scheduler.complete(operator.add(fresh, false))
  cluster.network.heal()
  // Whatever waits there has the time to ask, and to take the place.
  await scheduler.run(5_000)
  await scheduler.complete(operator.settle(scheduler.now + 20_000), 30_000)
  assert.equal(story.mark('node-failed: data-wiped'), 0)
  await story.allAgree(cluster.wholeNodes)
  assert.deepEqual(operator.violations, [])
  assert.notEqual(await story.idOf(leader, fresh), first)
  assert.equal((await story.listedAs(leader, fresh.name))?.isLearner, false)
  story.assertSound()
})
