/**
 * Faults that wait for their moment. Drawn at random times, a fault rarely falls between the append of a leader and its
 * commit, or between a vote and the write that keeps it; an ambush looks at the nodes after every event and strikes right
 * there. It holds no more nodes down or cut off than a majority can do without, and lets the first one go for the next:
 * leaders follow each other, each with entries that only it has (figure 8 of the raft paper). Or it takes the power
 * from a majority at once.
 */
import type { SeededRandom } from '../base/index.ts'
import type { RaftView } from '../raft/index.ts'
import type { ClusterNode, SimulatedCluster } from './cluster.ts'

/** What a node has just done. */
const moments = [
  'led',
  'voted',
  'appended',
  'reconfigured',
  'stored',
  'committed',
  'truncated',
  'installed',
] as const
type Moment = (typeof moments)[number]

/** What happens to it then. */
export const strikes = ['crash', 'kill', 'pause', 'cutOff', 'mute', 'deafen', 'crashMajority'] as const
type Strike = (typeof strikes)[number]

type Seen = Pick<RaftView, 'role' | 'vote' | 'lastIndex' | 'durableIndex' | 'commitIndex' | 'configuration'>

interface Plan {
  readonly moments: readonly Moment[]
  readonly strikes: readonly Strike[]
  /** Undefined: whoever it is. */
  readonly victim: ClusterNode | 'leader' | undefined
  /** Any node is hit, not the one that moved. */
  readonly hitsAny: boolean
  /** Of a strike, at a moment that was waited for. */
  readonly chance: number
  /** Longest time from the moment to the strike. */
  readonly delayMs: number
  /** Longest time until a node is let go. */
  readonly holdMs: number
}

interface Held {
  readonly node: ClusterNode
  release(): void
}

export class Ambush {
  readonly #cluster: SimulatedCluster
  readonly #random: SeededRandom
  readonly #isOver: () => boolean
  readonly #plan: Plan
  readonly #seen = new Map<ClusterNode, { life: number; raft: Seen }>()
  /** The longest held first. */
  #held: Held[] = []
  readonly #moved = (node: ClusterNode, raft: RaftView): void => this.#look(node, raft)

  /** `isOver`: everything was healed, and nothing is to be taken back any more. */
  constructor(cluster: SimulatedCluster, random: SeededRandom, isOver: () => boolean) {
    this.#cluster = cluster
    this.#random = random
    this.#isOver = isOver
    this.#plan = drawPlan(cluster, random)
    cluster.onMoved.add(this.#moved)
  }

  /** Waits no longer, and lets go whom it holds. */
  end(): void {
    this.#cluster.onMoved.delete(this.#moved)
    for (const held of [...this.#held]) held.release()
  }

  #look(node: ClusterNode, raft: RaftView): void {
    const before = this.#seen.get(node)
    const { role, vote, lastIndex, durableIndex, commitIndex, configuration } = raft
    const now = { role, vote, lastIndex, durableIndex, commitIndex, configuration }
    this.#seen.set(node, { life: node.lives, raft: now })
    if (before?.life !== node.lives || this.#isOver()) return
    const { victim, hitsAny, chance, delayMs } = this.#plan
    const isMeant = victim === undefined || victim === node || (victim === 'leader' && role === 'leader')
    if (!isMeant || !this.#plan.moments.some((moment) => isAt(moment, before.raft, raft))) return
    if (!this.#random.chance(chance)) return
    const strike = this.#random.pick(this.#plan.strikes)
    const hit = hitsAny ? this.#random.pick(this.#cluster.nodes) : node
    this.#cluster.scheduler.after(delayMs * this.#random.unit(), () => this.#strike(hit, strike))
  }

  #strike(node: ClusterNode, strike: Strike): void {
    const isHeld = this.#held.some((held) => held.node === node)
    if (this.#isOver() || isHeld || node.life === undefined || node.machine.isPaused) return
    this.#cluster.mark(`ambush: ${strike}`)
    if (strike === 'crashMajority') {
      this.#crashMajority(node)
      return
    }
    const seated = this.#cluster.nodes.filter(({ seat }) => seat !== undefined).length
    const heldMax = Math.floor((seated - 1) / 2)
    if (heldMax > 0 && this.#held.length >= heldMax) this.#held[0]?.release()
    this.#hold(node, this.#act(node, strike))
  }

  #hold(node: ClusterNode, undo: () => void): void {
    const held: Held = {
      node,
      release: () => {
        if (!this.#held.includes(held)) return
        this.#held = this.#held.filter((other) => other !== held)
        if (!this.#isOver()) undo()
      },
    }
    this.#held.push(held)
    this.#cluster.scheduler.after(this.#plan.holdMs * this.#random.unit(), () => held.release())
  }

  #act(node: ClusterNode, strike: Exclude<Strike, 'crashMajority'>): () => void {
    const cluster = this.#cluster
    switch (strike) {
      case 'crash':
        cluster.crash(node)
        return () => cluster.restart(node)
      case 'kill':
        cluster.kill(node)
        return () => cluster.restart(node)
      case 'pause':
        node.machine.pause()
        return () => node.machine.resume()
      default:
        return this.#block(node, strike)
    }
  }

  /** Nobody hears it, it hears nobody, or both. */
  #block({ name }: ClusterNode, how: 'cutOff' | 'mute' | 'deafen'): () => void {
    const { network, nodes } = this.#cluster
    const others = nodes.map((other) => other.name).filter((other) => other !== name)
    if (how !== 'deafen') network.partition([name], others, 'one-way')
    if (how !== 'mute') network.partition(others, [name], 'one-way')
    return () => {
      for (const other of others) {
        network.unblock(name, other)
        network.unblock(other, name)
      }
    }
  }

  /** The node and some others lose power in one moment; each comes back after a while of its own. */
  #crashMajority(node: ClusterNode): void {
    const others = this.#cluster.nodes.filter((other) => other !== node && other.seat !== undefined)
    const count = Math.floor((others.length + 1) / 2)
    const victims = [node]
    while (victims.length <= count) {
      victims.push(this.#random.pick(others.filter((other) => !victims.includes(other))))
    }
    for (const victim of victims) {
      this.#cluster.crash(victim)
      const backMs = this.#plan.holdMs * this.#random.unit()
      this.#cluster.scheduler.after(backMs, () => this.#isOver() || this.#cluster.restart(victim))
    }
  }
}

function drawPlan(cluster: SimulatedCluster, random: SeededRandom): Plan {
  const shape = random.unit()
  if (shape < 0.45) return planOfChase(cluster, random)
  if (shape < 0.6) return planOfInstalls(cluster, random)
  return planOfAnything(cluster, random)
}

/** Leaders follow each other, as above. */
function planOfChase({ options }: SimulatedCluster, random: SeededRandom): Plan {
  return {
    moments: ['led', random.pick(['appended', 'reconfigured', 'stored', 'committed'])],
    strikes: [random.pick(['crash', 'cutOff', 'mute'])],
    victim: 'leader',
    hitsAny: false,
    chance: random.pick([0.2, 0.5]),
    delayMs: random.pick([0, 0.2, 3 * options.networkDelayMs]),
    holdMs: 6 * options.tuning.electionMs,
  }
}

/** Members that were away for long enough to need a snapshot end again in the middle of installing it. */
function planOfInstalls({ options }: SimulatedCluster, random: SeededRandom): Plan {
  return {
    moments: ['installed'],
    strikes: ['crash', 'kill'],
    victim: undefined,
    hitsAny: false,
    chance: 0.7,
    delayMs: random.pick([5, 30]),
    holdMs: options.tuning.electionMs,
  }
}

function planOfAnything({ nodes, options }: SimulatedCluster, random: SeededRandom): Plan {
  const { networkDelayMs, tuning } = options
  return {
    moments: some(moments, random),
    strikes: some(strikes, random),
    victim: random.pick([undefined, 'leader', random.pick(nodes)]),
    hitsAny: random.chance(0.2),
    chance: random.pick([1, 0.3, 0.05]),
    delayMs: random.pick([0, 0.2, networkDelayMs, 3 * networkDelayMs, tuning.electionMs]),
    holdMs: tuning.electionMs * random.pick([0.2, 1.5, 4]),
  }
}

function some<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const drawn = items.filter(() => random.chance(0.3))
  return drawn.length > 0 ? drawn : [random.pick(items)]
}

function isAt(moment: Moment, before: Seen, now: RaftView): boolean {
  switch (moment) {
    case 'led':
      return now.role === 'leader' && before.role !== 'leader'
    case 'voted':
      return now.vote !== before.vote && now.vote !== 0n
    case 'appended':
      return now.lastIndex > before.lastIndex
    case 'reconfigured':
      return now.configuration !== before.configuration
    case 'stored':
      return now.durableIndex > before.durableIndex
    case 'committed':
      return now.commitIndex > before.commitIndex
    case 'truncated':
      return now.lastIndex < before.lastIndex
    case 'installed':
      // Entries that come with their commit are in memory.
      return now.commitIndex > before.lastIndex && now.endAt(before.lastIndex) === undefined
  }
}
