import type { SeededRandom } from '../base/index.ts'
import type { CallResult, ClientPaths } from './client.ts'
import { type ClusterNode, peerPort, type SimulatedCluster } from './cluster.ts'
import type { Violation } from './history.ts'
import type { ListedMember, MembersRequest, ServerMember } from './server-seam.ts'

/** Longest pause between two looks at the members. */
const pauseMsMax = 800
/** Peer ports that a member moves between. */
const peerPorts = [peerPort, peerPort + 1]
/** How long a member that has no place any more may take to notice it, once everything is healed. */
const noticeMs = 15_000

/** What the operator does next, one or the other. */
const actions = [
  'add',
  'add',
  'promote',
  'promote',
  'remove',
  'remove',
  'update',
  'transfer',
  'wipe',
  'damage',
] as const
type Action = (typeof actions)[number]
const damageKinds = ['rot', 'lostWrite', 'misdirectedWrite'] as const

/**
 * Changes the members while everything else goes on: one change at a time, through any server, each decided on the list
 * of that moment. An answer that never came is settled by the next list. Now and then a member loses its disk, and comes
 * back under its old identity, which the others must refuse, until it is replaced; or its files are damaged, and it is
 * replaced after a while, whether it noticed or not. The operator keeps the rules that a careful one keeps: one lost or
 * damaged disk at a time, and only where a majority is left without it.
 */
export class Operator {
  readonly violations: Violation[] = []
  /** Changes that were answered, by kind. */
  readonly counts: Map<string, number> = new Map()
  readonly #cluster: SimulatedCluster
  readonly #paths: ClientPaths
  readonly #random: SeededRandom
  /** Removals without an answer: they may still happen. */
  readonly #doubtful = new Set<bigint>()
  /** What was answered, and so holds in every later list. */
  readonly #added = new Set<bigint>()
  readonly #removed = new Set<bigint>()
  readonly #promoted = new Set<bigint>()
  #isStopped = false

  constructor(setup: { cluster: SimulatedCluster; paths: ClientPaths; random: SeededRandom }) {
    this.#cluster = setup.cluster
    this.#paths = setup.paths
    this.#random = setup.random
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Resolves when it was stopped and its last change has ended. */
  async run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#cluster.scheduler.wait(pauseMsMax * this.#random.unit())
      const members = await this.#list()
      this.#followAddresses()
      if (members === undefined || this.#isStopped) continue
      this.#follow(members)
      const spoiled = members.find((member) => this.#isSpoiled(member))
      if (spoiled === undefined) await this.#act(members, this.#random.pick(actions))
      else if (this.#random.chance(0.3)) await this.#remove(spoiled)
    }
  }

  /** After the faults: replaces what was wiped, waits for those that join, and for those that were removed to end. */
  async settle(deadline: number): Promise<void> {
    const { scheduler } = this.#cluster
    const startedAt = scheduler.now
    while (scheduler.now < deadline) {
      const members = await this.#list()
      this.#followAddresses()
      if (members !== undefined) {
        this.#follow(members)
        const spoiled = members.find((member) => this.#isSpoiled(member))
        if (spoiled !== undefined) await this.#replace(spoiled, scheduler.now < startedAt + noticeMs)
        else if (this.#isSettled(members, scheduler.now < startedAt + noticeMs)) return
      }
      await scheduler.wait(200)
    }
    this.#report('members come to rest', 'the cluster is healed, and its members are not what they should be')
  }

  /** Adds a member on this machine; whoever lists the members next starts it. */
  async add(node: ClusterNode, isLearner: boolean): Promise<void> {
    // Whoever does not know yet who it is, or has forgotten it, would be taken for the new member by its address; the operator,
    // who knows nothing of that, would take the disk of a member for an empty one.
    if (node.seat !== undefined && !knowsItself(node)) this.#cluster.retire(node)
    const peer = { name: node.name, host: node.name, port: peerPort }
    const result = await this.#change({ kind: 'memberAdd', peer, isLearner })
    if (result?.kind !== 'answered' || result.answer.added === undefined) return
    this.#added.add(result.answer.added)
    if (this.#removed.has(result.answer.added)) {
      this.#report('a removed member never comes back', `${node.name} was added as ${result.answer.added}`)
    }
  }

  // ---- what the list says ---------------------------------------------------------------------------------------

  /** The members as a server lists them after this call; undefined when it does not answer. */
  async #list(): Promise<readonly ListedMember[] | undefined> {
    const result = await this.#call({ kind: 'memberList' })
    const members = result?.kind === 'answered' ? result.answer.members : undefined
    if (members === undefined) return undefined
    for (const id of this.#added) this.#expect(members, id, 'a member that was added stays')
    for (const id of this.#removed) {
      if (members.some((member) => member.id === id))
        this.#report('a removed member never comes back', `${id}`)
    }
    for (const { id, isLearner } of members) {
      if (isLearner && this.#promoted.has(id)) this.#report('a promoted member stays a voter', `${id}`)
    }
    for (const id of this.#doubtful) {
      if (!members.some((member) => member.id === id)) this.#doubtful.delete(id)
    }
    return members
  }

  #expect(members: readonly ListedMember[], id: bigint, promise: string): void {
    if (!members.some((member) => member.id === id)) this.#report(promise, `${id}`)
  }

  /** Starts who was added. Whoever has not joined yet is told at its next start who is there by now. */
  #follow(members: readonly ListedMember[]): void {
    for (const member of members) {
      const node = this.#nodeOf(member)
      if (node.seat?.memberId === 0n) node.seat.memberId = member.id
      if (node.seat?.memberId !== member.id) this.#cluster.join(node, member.id, peersOf(members, node))
      else if (node.seat.isJoining) node.seat.members = peersOf(members, node)
    }
  }

  /**
   * Moves who has another address, by the newest list that any server has: without the move there may be no majority that
   * could answer a call.
   */
  #followAddresses(): void {
    const statuses = this.#cluster.serving.flatMap(({ server }) =>
      server === undefined ? [] : [server.status()],
    )
    const newest = statuses.reduce((best, one) => (one.appliedIndex > best.appliedIndex ? one : best), {
      appliedIndex: 0,
      members: undefined as readonly ListedMember[] | undefined,
    })
    for (const member of newest.members ?? []) {
      const node = this.#nodeOf(member)
      if (node.seat?.memberId === member.id && node.seat.port !== member.port) this.#move(node, member.port)
    }
  }

  #move(node: ClusterNode, port: number): void {
    if (node.seat === undefined) return
    node.seat.port = port
    if (node.life === undefined) return
    this.#cluster.kill(node)
    this.#cluster.start(node)
  }

  #nodeOf(member: ListedMember): ClusterNode {
    const node = this.#cluster.nodes.find(({ name }) => name === member.host)
    if (node === undefined) throw new RangeError(`no machine ${member.host}`)
    return node
  }

  /** Its disk was lost or damaged. */
  #isSpoiled(member: ListedMember): boolean {
    const { seat, isDamaged } = this.#nodeOf(member)
    return seat?.memberId === member.id && (seat.wipe !== 'none' || isDamaged)
  }

  // ---- changes --------------------------------------------------------------------------------------------------

  async #act(members: readonly ListedMember[], action: Action): Promise<void> {
    const voters = members.filter(({ isLearner }) => !isLearner)
    switch (action) {
      case 'add': {
        const free = this.#cluster.nodes.filter(({ name }) => members.every(({ host }) => host !== name))
        if (free.length > 0) await this.add(this.#random.pick(free), this.#random.chance(0.4))
        break
      }
      case 'promote': {
        const learners = members.filter(({ isLearner }) => isLearner)
        if (learners.length > 0) await this.#promote(this.#random.pick(learners))
        break
      }
      case 'remove':
        await this.#remove(this.#pickToRemove(members))
        break
      case 'update': {
        const member = this.#random.pick(members)
        // One that has not found out who it is yet asks by the address it was added with.
        if (!member.isPublished) break
        const port = peerPorts.find((other) => other !== member.port) ?? peerPort
        const peer = { name: member.host, host: member.host, port }
        await this.#change({ kind: 'memberUpdate', id: member.id, peer })
        break
      }
      case 'transfer':
        await this.#change({ kind: 'transferLeadership', to: this.#random.pick(voters).id })
        break
      case 'wipe':
        this.#wipe(members, this.#random.pick(members))
        break
      case 'damage':
        this.#damage(members, this.#random.pick(members))
    }
  }

  /** Leaders, and members that are down, more often than the others. */
  #pickToRemove(members: readonly ListedMember[]): ListedMember {
    const isLeading = (member: ListedMember): boolean => this.#nodeOf(member) === this.#cluster.leader
    const isDown = (member: ListedMember): boolean => this.#nodeOf(member).life === undefined
    const marked = members.filter(this.#random.chance(0.5) ? isLeading : isDown)
    return this.#random.pick(marked.length > 0 ? marked : members)
  }

  async #promote({ id }: ListedMember): Promise<void> {
    const result = await this.#change({ kind: 'memberPromote', id })
    if (result?.kind !== 'answered') return
    this.#promoted.add(id)
    this.#cluster.mark('learner-promoted')
  }

  async #remove(member: ListedMember): Promise<void> {
    const { id } = member
    const { seat } = this.#nodeOf(member)
    if (seat === undefined) return
    // From here on it may end by itself; a refusal says that it is a member as before.
    const wasRemoved = seat.isRemoved
    seat.isRemoved = true
    this.#added.delete(id)
    const result = await this.#change({ kind: 'memberRemove', id })
    if (result?.kind === 'answered') this.#removed.add(id)
    else if (result?.kind === 'unknown') this.#doubtful.add(id)
    else seat.isRemoved = wasRemoved
  }

  /** While it may still notice that it is refused, it is left alone. */
  async #replace(member: ListedMember, mayNotice: boolean): Promise<void> {
    const node = this.#nodeOf(member)
    if (node.life !== undefined && node.seat?.wipe === 'wiped') {
      if (mayNotice) return
      this.#report('a member that lost its data is refused', `${node.name} runs under its old identity`)
    }
    await this.#remove(member)
    const members = await this.#list()
    if (members?.every(({ host }) => host !== node.name)) await this.add(node, false)
  }

  /** Loses a disk, where the others can do without and know whose it was. */
  #wipe(members: readonly ListedMember[], victim: ListedMember): void {
    const node = this.#nodeOf(victim)
    const { seat } = node
    if (seat === undefined || !this.#canSpare(members, victim)) return
    const isKnown = this.#isKnownToAll(members, victim)
    this.#cluster.wipe(node)
    this.#count('wipe')
    if (!isKnown || this.#random.chance(0.3)) return
    if (seat.isJoining) seat.members = peersOf(members, node)
    this.#cluster.scheduler.after(2_000 * this.#random.unit(), () => {
      const isAwaited = node.seat === seat && seat.wipe === 'wiped' && !seat.isRemoved
      if (isAwaited && node.life === undefined) this.#cluster.start(node)
    })
  }

  /** Damages files, where the others can do without. */
  #damage(members: readonly ListedMember[], victim: ListedMember): void {
    const node = this.#nodeOf(victim)
    const kinds = damageKinds.filter((kind) => this.#cluster.options.faults.includes(kind))
    if (kinds.length === 0 || !this.#canSpare(members, victim) || !this.#cluster.mayDamage(node)) return
    const kind = this.#random.pick(kinds)
    this.#count(kind)
    if (kind === 'rot') this.#cluster.rot(node, this.#random)
    else {
      this.#cluster.stray(node, kind === 'lostWrite' ? 'lost' : 'misdirected', this.#random)
      const { seat } = node
      this.#cluster.scheduler.after(2_000 * this.#random.unit(), () => {
        if (node.seat !== seat || this.#isStopped) return
        this.#cluster.crash(node)
        this.#cluster.restart(node)
      })
    }
  }

  /** Whether what was acknowledged is safe and everybody goes on without the disk of this member. */
  #canSpare(members: readonly ListedMember[], victim: ListedMember): boolean {
    const certain = members.filter(({ id, isLearner }) => !isLearner && !this.#doubtful.has(id))
    return certain.length >= 3 && victim.isPublished && !this.#cluster.hasDamage
  }

  /** Whether every other voter has applied what `member` told about itself: only such a one can refuse another disk. */
  #isKnownToAll(members: readonly ListedMember[], member: ListedMember): boolean {
    return members.every((other) => {
      if (other.isLearner || other.id === member.id) return true
      const known = this.#nodeOf(other).life?.server?.status().members
      return known?.some(({ id, isPublished }) => id === member.id && isPublished) === true
    })
  }

  async #change(request: MembersRequest): Promise<CallResult | undefined> {
    const result = await this.#call(request)
    if (result?.kind === 'answered') this.#count(request.kind)
    return result
  }

  async #call(request: MembersRequest): Promise<CallResult | undefined> {
    const { serving, leader } = this.#cluster
    const isForLeader = request.kind === 'transferLeadership'
    const life = isForLeader ? serving.find(({ node }) => node === leader) : this.#paths.pickServer()
    return life && this.#paths.call(life, request)
  }

  // ---- the end --------------------------------------------------------------------------------------------------

  /** Everybody who is to vote votes, and nobody runs who has no place. */
  #isSettled(members: readonly ListedMember[], mayNotice: boolean): boolean {
    if (members.some(({ isBecomingVoter }) => isBecomingVoter)) return false
    const strangers = this.#cluster.nodes.filter(
      ({ name, seat }) => seat !== undefined && members.every(({ host }) => host !== name),
    )
    if (mayNotice && strangers.some((node) => canHear(node, members))) return false
    for (const node of strangers) {
      if (canHear(node, members)) {
        this.#report('a removed member ends', `${node.name} runs, although the members can tell it`)
      }
      this.#cluster.retire(node)
    }
    return true
  }

  #count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  #report(promise: string, facts: string): void {
    this.violations.push({ promise, facts })
  }
}

/** Whether the member on this machine has its id on its disk. Of one that joins nothing tells that before it serves. */
function knowsItself({ seat, life }: ClusterNode): boolean {
  return seat?.wipe === 'none' && (!seat.isJoining || life?.server !== undefined)
}

/** Whether a removed member that runs knows a present one where it is to be found. */
function canHear(node: ClusterNode, members: readonly ListedMember[]): boolean {
  const known = node.life?.server?.status().members ?? []
  return known.some((old) =>
    members.some(({ id, host, port }) => id === old.id && host === old.host && port === old.port),
  )
}

function peersOf(members: readonly ListedMember[], self: ClusterNode): ServerMember[] {
  const others = members.filter(({ host }) => host !== self.name)
  return others.map(({ host, port }) => ({ name: host, host, port }))
}
