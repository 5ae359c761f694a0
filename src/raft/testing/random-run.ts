import { assert, type NodeId, present, SeededRandom, utf8Encode } from '../../base/index.ts'
import { isJoint } from '../configuration.ts'
import { Cluster, defaultTestOptions, type TestNode, type TestOptions } from './cluster.ts'
import { voterSet } from './disk.ts'
import { Invariants } from './invariants.ts'

/** What a run did: a run that did nothing proves nothing. */
export interface RunCounts {
  leaders: number
  applied: number
  reads: number
  crashes: number
  changes: number
  snapshots: number
  lostStates: number
}

const allIds: readonly NodeId[] = [1n, 2n, 3n, 4n, 5n]

/**
 * A random schedule: messages are lost, doubled and overtake each other, nodes crash and lose what is not durable,
 * disks are slow, members change. Every step is checked. Then all heals, and the cluster must commit again.
 */
export class RandomRun {
  readonly cluster: Cluster
  readonly counts: RunCounts = {
    leaders: 0,
    applied: 0,
    reads: 0,
    crashes: 0,
    changes: 0,
    snapshots: 0,
    lostStates: 0,
  }
  readonly #random: SeededRandom
  readonly #invariants: Invariants
  /** Nodes that no message reaches or leaves. */
  #isolated = new Set<NodeId>()
  #requests = 0
  #lossChance = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    const options = drawOptions(this.#random)
    this.#invariants = new Invariants(options.inflightMax)
    this.cluster = new Cluster(options, seed, this.#invariants, (_level, text) => this.#noted(text))
    const voters = allIds.slice(0, this.#random.between(1, 6))
    for (const id of allIds) this.cluster.add(id, voterSet(...voters))
  }

  /** `stepCount` random steps. */
  disturb(stepCount: number): void {
    for (let step = 0; step < stepCount; step++) {
      if (step % 100 === 0) this.#changeWeather()
      this.#step()
    }
  }

  /** Everything works again: a leader must be found and must commit, within a bounded number of ticks. */
  heal(): void {
    this.#isolated.clear()
    this.#lossChance = 0
    for (const id of allIds) if (!this.cluster.nodes.has(id)) this.cluster.start(id, 100)
    for (let round = 0; round < 600; round++) {
      this.#settle()
      if (round % 20 === 19 && this.#isWell()) return
      for (const id of allIds) this.#tick(this.cluster.node(id))
      this.#giveState()
    }
    assert(false, 'a healed cluster commits again')
  }

  #isWell(): boolean {
    const leader = this.#leader()
    if (leader === undefined) return false
    const proposed = leader.raft.propose([utf8Encode('healed')])
    if (!proposed.ok) return false
    this.cluster.pump(leader)
    for (let round = 0; round < 20; round++) {
      this.#settle()
      for (const id of allIds) this.#tick(this.cluster.node(id))
      this.#giveState()
    }
    this.#settle()
    if (leader.raft.isSettledLeader === false || leader.raft.commitIndex < proposed.index) return false
    const { configuration } = leader.raft
    if (isJoint(configuration)) return false
    return [...configuration.voters, ...configuration.learners].every(
      (id) => this.cluster.node(id).state.length >= proposed.index,
    )
  }

  #step(): void {
    const choice = this.#random.unit()
    if (choice < 0.55) this.#moveMessage()
    else if (choice < 0.66) this.#tick(this.#anyNode())
    else if (choice < 0.88) this.#completeStorage(this.#anyNode())
    else if (choice < 0.93) this.#propose()
    else if (choice < 0.95) this.#read()
    else if (choice < 0.97) this.#crashOrStart()
    else if (choice < 0.98) this.#change()
    else if (choice < 0.984) this.#transfer()
    else if (choice < 0.99) this.#compact()
    else if (choice < 0.992) this.#loseState()
    else if (choice < 0.994) this.#giveState()
    else this.#flap()
  }

  #moveMessage(): void {
    const { network } = this.cluster
    if (network.length === 0) return
    const slot = this.#random.between(0, Math.min(network.length, 40))
    const message = present(network[slot], 'the slot is in the network')
    const isDoubled = this.#random.chance(this.#lossChance / 2)
    if (!isDoubled) network.splice(slot, 1)
    const isCut = this.#isolated.has(message.from) || this.#isolated.has(message.to)
    if (isCut || this.#random.chance(this.#lossChance)) this.cluster.lose(message)
    else this.cluster.arrive(message)
  }

  #tick(node: TestNode | undefined): void {
    if (node === undefined) return
    node.raft.tick()
    this.cluster.pump(node)
  }

  #completeStorage(node: TestNode | undefined): void {
    if (node === undefined) return
    if (node.reads.length > 0 && this.#random.chance(0.5)) this.cluster.completeRead(node)
    if (node.storage.length > 0) this.cluster.completeStorage(node)
  }

  #propose(): void {
    const leader = this.#leader()
    if (leader === undefined) return
    const payloads = Array.from({ length: this.#random.between(1, 4) }, () =>
      utf8Encode(`v${++this.#requests}`.padEnd(this.#random.between(1, 60), '.')),
    )
    leader.raft.propose(payloads)
    if (this.#random.chance(0.7)) this.cluster.pump(leader)
  }

  #read(): void {
    const node = this.#anyNode()
    if (node === undefined) return
    const request = ++this.#requests
    this.#invariants.readAsked(node, request)
    node.raft.readIndex(request)
    if (this.#random.chance(0.7)) this.cluster.pump(node)
  }

  #crashOrStart(): void {
    const id = this.#random.pick(allIds)
    if (!this.cluster.nodes.has(id)) {
      this.#startAgain(id)
      return
    }
    if (this.#random.chance(0.7)) return
    this.counts.crashes++
    this.cluster.crash(id)
  }

  /** Sometimes the log finds a torn tail: writes that never were acknowledged, but nobody can tell. */
  #startAgain(id: NodeId): void {
    const disk = present(this.cluster.disks.get(id), 'a node has a disk')
    if (this.#random.chance(0.2)) disk.cutEnd = disk.end.index + this.#random.between(1, 4)
    this.cluster.start(id, this.#random.between(0, 20))
  }

  #change(): void {
    const leader = this.#leader()
    if (leader === undefined) return
    const shuffled = [...allIds].sort(() => this.#random.unit() - 0.5)
    const voterCount = this.#random.between(1, 6)
    const voters = shuffled.slice(0, voterCount)
    const learners = shuffled.slice(voterCount, voterCount + this.#random.between(0, 2))
    const context = utf8Encode(String(++this.#requests))
    if (leader.raft.proposeConfiguration({ voters, learners, context }).ok) this.counts.changes++
    this.cluster.pump(leader)
  }

  #transfer(): void {
    const leader = this.#leader()
    if (leader === undefined) return
    if (this.#random.chance(0.3)) leader.raft.resign()
    else leader.raft.transferLeadership(this.#random.pick(allIds))
    this.cluster.pump(leader)
  }

  #compact(): void {
    const node = this.#anyNode()
    if (node !== undefined) this.cluster.compact(node)
  }

  /** Never all of them: somebody has to have what the others lost. */
  #loseState(): void {
    const node = this.#anyNode()
    const isAnyLost = [...this.cluster.nodes.values()].some((one) => one.isStateLost)
    // While a snapshot is on its way to the disk the state is about to be another one anyway.
    const isInstalling = node?.storage.some(({ kind }) => kind === 'install') === true
    if (node === undefined || isAnyLost || isInstalling) return
    this.counts.lostStates++
    this.cluster.loseState(node)
  }

  /** A leader that lost its state has none to give, and hands over. */
  #giveState(): void {
    const leader = this.#leader()
    const lost = [...this.cluster.nodes.values()].find((node) => node.isStateLost)
    if (leader === undefined || lost === undefined) return
    if (leader === lost && leader.raft.configuration.voters.length === 1) {
      // Nobody to ask: it goes on with what its disk has.
      this.cluster.crash(lost.id)
      this.cluster.start(lost.id, 0)
    } else if (leader === lost) {
      leader.raft.resign()
      this.cluster.pump(leader)
    } else if (leader.state.length > 0) this.cluster.giveState(leader, lost.id)
  }

  #flap(): void {
    const id = this.#random.pick(allIds)
    const node = this.cluster.nodes.get(id)
    if (node !== undefined && this.#random.chance(0.5)) {
      this.#losePeer(node, this.#random.pick(allIds))
      this.cluster.pump(node)
    } else if (!this.#isolated.delete(id) && this.#random.chance(0.3)) this.#isolated.add(id)
  }

  /** What a network says need not be so: the peer may be well. */
  #losePeer({ raft }: TestNode, peer: NodeId): void {
    const choice = this.#random.unit()
    if (choice < 0.4) raft.peerUnreachable(peer)
    else if (choice < 0.7) raft.peerDisconnected(peer)
    else raft.peerDown(peer)
  }

  #changeWeather(): void {
    this.#lossChance = this.#random.pick([0, 0, 0.02, 0.2])
    if (this.#random.chance(0.4)) this.#isolated.clear()
  }

  /** Until nothing moves: every operation completes, every message arrives in order. */
  #settle(): void {
    for (let count = 0; ; count++) {
      assert(count < 10_000, 'a cluster comes to rest')
      const busy = [...this.cluster.nodes.values()].find(
        (node) => node.storage.length + node.reads.length > 0,
      )
      const message = busy === undefined ? this.cluster.network.shift() : undefined
      if (message !== undefined) this.cluster.arrive(message)
      else if (busy === undefined) return
      else if (busy.storage.length > 0) this.cluster.completeStorage(busy)
      else this.cluster.completeRead(busy)
    }
  }

  #anyNode(): TestNode | undefined {
    return this.cluster.nodes.get(this.#random.pick(allIds))
  }

  #leader(): TestNode | undefined {
    const leaders = [...this.cluster.nodes.values()].filter((node) => node.raft.role === 'leader')
    return leaders.length === 0 ? undefined : this.#random.pick(leaders)
  }

  #noted(text: string): void {
    if (text.includes(' leader at term')) this.counts.leaders++
    else if (text.includes(' applies ')) this.counts.applied++
    else if (text.includes(' at index ')) this.counts.reads++
    else if (text.includes(' installs ')) this.counts.snapshots++
    else assert(!text.includes('CORRUPTION'), text)
  }
}

/** Small limits, so that every bound is met: single entries an append, a window of a few entries. */
function drawOptions(random: SeededRandom): TestOptions {
  return {
    ...defaultTestOptions,
    electionTicks: random.pick([4, 10]),
    heartbeatTicks: random.pick([1, 3]),
    appendBytesMax: random.pick([1, 300, 4096]),
    inflightMax: random.pick([1, 2, 8]),
    windowBytesMax: random.pick([1, 500, 1 << 20]),
    uncommittedBytesMax: random.pick([200, 1 << 20]),
  }
}
