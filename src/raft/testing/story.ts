import { assert, type NodeId, present, utf8Encode } from '../../base/index.ts'
import { createEntry } from '../chain.ts'
import { encodeConfiguration } from '../configuration.ts'
import type { ProposeResult } from '../contract.ts'
import type { Configuration, Entry, Message } from '../types.ts'
import {
  Cluster,
  defaultTestOptions,
  describeConfiguration,
  describeEntry,
  describeMessage,
  type TestNode,
  type TestOptions,
} from './cluster.ts'
import { voterSet } from './disk.ts'
import { Invariants } from './invariants.ts'
import { type Passed, passTime } from './time.ts'

/**
 * The commands of the case files. Each prints one line an event: `story` lines (roles, entries applied, reads,
 * configurations) always, `detail` lines (messages, disk) for commands that move single things.
 *
 *   cluster <ids> [option=value ...]     nodes 1..n, or the ids given as 1,2,3; then `spare=4,5` are outside
 *   log <id> <terms> [term=<t>]          gives a node that never ran a log with entries of these terms
 *   tick <id|all> [count]                campaign <id>            stabilize        settle (without messages)
 *   pass <id> <what>                     time passes: election, candidacy, lease, heartbeat, quorum, retry
 *   deliver [a->b] [count]               drop [a->b] [count]      double a->b      messages
 *   receive <message as it was printed>  arrives once more, or at last, whatever became of it before
 *   cut a->b ...                         isolate <id>             heal
 *   storage <id> hold|release|one        crash <id>               start <id> [recent=<n>] [lose=<n>]
 *   propose <id> <text ...>              read <id> <number>       change <id> voters=1,2 [learners=3] [context=x]
 *   transfer <id> <to>                   resign <id>              compact <id>     unreachable <id> <peer>
 *   disconnected <id> <peer>             down <id> <peer>         (its connections ended; nor is there a new one)
 *   damage <id> <index>                  status                   entries <id>     progress <id>
 *   lose <id>  (its state)               give <leader> <id>       (a snapshot of the leader's state)
 */
export class Story {
  #options: TestOptions = defaultTestOptions
  #lines: string[] = []
  #level: 'story' | 'detail' = 'story'
  #cluster: Cluster | undefined
  #invariants = new Invariants(defaultTestOptions.inflightMax)
  readonly #cuts = new Set<string>()
  readonly #held = new Set<NodeId>()

  run(name: string, args: readonly string[]): string {
    const command = this.#commands[name]
    assert(command !== undefined, `a case file knows no command ${name}`)
    this.#lines = []
    this.#level = name === 'stabilize' ? 'story' : 'detail'
    command(args)
    return this.#lines.join('\n')
  }

  readonly #commands: Readonly<Record<string, (args: readonly string[]) => void>> = {
    cluster: (args) => this.#create(args),
    log: ([id, ...args]) => this.#giveLog(idOf(id), args),
    tick: ([who, count = '1']) => this.#tick(who, Number(count)),
    campaign: ([id]) => this.#campaign(this.#node(id)),
    pass: ([id, what]) => this.#act(this.#node(id), (node) => passTime(node, what as Passed)),
    receive: (words) => this.#receive(words.join(' ')),
    stabilize: () => this.#stabilize(),
    settle: () => this.#completeAll(),
    deliver: (args) => this.#deliver(args),
    drop: (args) => this.#drop(args),
    double: ([link]) => this.#double(present(link, 'a link is named')),
    messages: () => this.#listMessages(),
    cut: (links) => this.#cut(links),
    isolate: ([id]) => this.#isolate(idOf(id)),
    heal: () => this.#cuts.clear(),
    storage: ([id, how]) => this.#storage(this.#node(id), how),
    crash: ([id]) => this.#whole.crash(idOf(id)),
    start: ([id, ...args]) => this.#start(idOf(id), args),
    propose: ([id, ...texts]) => this.#propose(this.#node(id), texts),
    read: ([id, request]) => this.#read(this.#node(id), Number(request)),
    change: ([id, ...args]) => this.#change(this.#node(id), args),
    transfer: ([id, to]) => this.#answer(this.#node(id), (node) => node.raft.transferLeadership(idOf(to))),
    resign: ([id]) => this.#act(this.#node(id), (node) => node.raft.resign()),
    compact: ([id]) => this.#whole.compact(this.#node(id)),
    unreachable: ([id, peer]) => this.#act(this.#node(id), (node) => node.raft.peerUnreachable(idOf(peer))),
    disconnected: ([id, peer]) => this.#act(this.#node(id), (node) => node.raft.peerDisconnected(idOf(peer))),
    down: ([id, peer]) => this.#act(this.#node(id), (node) => node.raft.peerDown(idOf(peer))),
    lose: ([id]) => this.#act(this.#node(id), (node) => this.#whole.loseState(node)),
    give: ([id, to]) => this.#whole.giveState(this.#node(id), idOf(to)),
    damage: ([id, index]) => this.#damage(idOf(id), Number(index)),
    status: () => this.#statusOfAll(),
    entries: ([id]) => this.#entries(idOf(id)),
    progress: ([id]) => this.#progress(this.#node(id)),
  }

  get #whole(): Cluster {
    return present(this.#cluster, 'a case begins with cluster')
  }

  get #network(): Message[] {
    return this.#whole.network
  }

  get #ids(): NodeId[] {
    return [...this.#whole.disks.keys()]
  }

  #node(id: string | undefined): TestNode {
    return this.#whole.node(idOf(id))
  }

  #say(text: string): void {
    this.#lines.push(text)
  }

  #create([ids = '', ...args]: readonly string[]): void {
    assert(this.#cluster === undefined, 'a case has one cluster')
    const { spare = '', ...options } = namedOf(args)
    const numbers = Object.entries(options).map(([name, value]) => [name, Number(value)])
    this.#options = { ...defaultTestOptions, ...Object.fromEntries(numbers) }
    this.#invariants = new Invariants(this.#options.inflightMax)
    this.#cluster = new Cluster(this.#options, 1, this.#invariants, (level, text) => {
      if (level === 'story' || this.#level === 'detail') this.#say(text)
    })
    const count = Number(ids)
    const voters = ids.includes(',') ? idsOf(ids) : Array.from({ length: count }, (_, i) => BigInt(i + 1))
    for (const id of [...voters, ...idsOf(spare)]) this.#whole.add(id, voterSet(...voters))
  }

  #giveLog(id: NodeId, [terms = '', ...args]: readonly string[]): void {
    const disk = present(this.#whole.disks.get(id), 'a node has a disk')
    this.#whole.crash(id)
    const given = terms === '' ? [] : terms.split(',').map(Number)
    disk.giveLog(this.#options.group, given, Number(namedOf(args).term ?? 0))
    this.#whole.start(id, 1000)
  }

  #act(node: TestNode, action: (node: TestNode) => void): void {
    action(node)
    this.#whole.pump(node)
    this.#completeAll()
  }

  #answer(node: TestNode, action: (node: TestNode) => ProposeResult): void {
    const result = action(node)
    this.#say(result.ok ? `ok at ${result.index}/${result.term}` : `refused: ${result.reason}`)
    this.#act(node, () => undefined)
  }

  #tick(who = 'all', count: number): void {
    const ids = who === 'all' ? this.#ids.filter((id) => this.#whole.nodes.has(id)) : [idOf(who)]
    for (let i = 0; i < count; i++) {
      for (const id of ids) this.#act(this.#whole.node(id), (node) => node.raft.tick())
    }
  }

  /** Ticks one node until it asks for votes. */
  #campaign(node: TestNode): void {
    for (let i = 0; i < 2 * this.#options.electionTicks; i++) {
      this.#act(node, () => node.raft.tick())
      if (node.raft.role !== 'follower') return
    }
    this.#say(`${node.id} does not campaign`)
  }

  #stabilize(): void {
    for (let count = 0; ; count++) {
      assert(count < 10_000, 'a cluster comes to rest')
      this.#completeAll()
      const message = this.#network.shift()
      if (message === undefined) return
      this.#arrive(message)
    }
  }

  #arrive(message: Message): void {
    const isCut = this.#cuts.has(`${message.from}->${message.to}`)
    if (isCut) this.#whole.lose(message)
    else this.#whole.arrive(message)
    this.#completeAll()
  }

  #completeAll(): void {
    for (const node of this.#whole.nodes.values()) {
      while (node.reads.length > 0) this.#whole.completeRead(node)
      while (node.storage.length > 0 && !this.#held.has(node.id)) this.#whole.completeStorage(node)
    }
  }

  #deliver([link = '', count]: readonly string[]): void {
    const chosen = this.#takeMessages(link, count)
    if (chosen.length === 0) this.#say('nothing to deliver')
    for (const message of chosen) this.#arrive(message)
  }

  #drop([link = '', count]: readonly string[]): void {
    const chosen = this.#takeMessages(link, count)
    if (chosen.length === 0) this.#say('nothing to drop')
    for (const message of chosen) this.#whole.lose(message)
  }

  #double(link: string): void {
    const chosen = this.#network.filter((message) => linkOf(message) === link)
    assert(chosen.length > 0, 'there is something to double')
    this.#network.push(...chosen.map((message) => ({ ...message })))
  }

  #receive(text: string): void {
    const sent = this.#whole.sent.findLast((message) => describeMessage(message) === text)
    this.#arrive(present(sent, `such a message was sent: ${text}`))
  }

  /** The first messages of a link, or `last`: the newest one, which overtakes the others. */
  #takeMessages(link: string, count: string | undefined): Message[] {
    const onLink = this.#network.filter((message) => link === '' || linkOf(message) === link)
    const chosen = count === 'last' ? onLink.slice(-1) : onLink.slice(0, Number(count ?? onLink.length))
    this.#whole.network = this.#network.filter((message) => !chosen.includes(message))
    return chosen
  }

  #listMessages(): void {
    for (const message of this.#network) this.#say(describeMessage(message))
  }

  #statusOfAll(): void {
    for (const id of this.#ids) this.#status(id)
  }

  #cut(links: readonly string[]): void {
    for (const link of links) this.#cuts.add(link)
  }

  #isolate(id: NodeId): void {
    for (const other of this.#ids) this.#cuts.add(`${id}->${other}`).add(`${other}->${id}`)
  }

  #storage(node: TestNode, how: string | undefined): void {
    if (how === 'hold') this.#held.add(node.id)
    else if (how === 'one') this.#whole.completeStorage(node)
    else {
      assert(how === 'release', 'storage is held, released or moved by one')
      this.#held.delete(node.id)
      this.#completeAll()
    }
  }

  #start(id: NodeId, args: readonly string[]): void {
    const { recent = '1000', lose } = namedOf(args)
    const disk = present(this.#whole.disks.get(id), 'a node has a disk')
    if (lose !== undefined) {
      disk.cutEnd = disk.end.index
      disk.entries.length -= Number(lose)
    }
    this.#whole.start(id, Number(recent))
    this.#status(id)
  }

  #propose(node: TestNode, texts: readonly string[]): void {
    this.#answer(node, () => node.raft.propose(texts.map(utf8Encode)))
  }

  #read(node: TestNode, request: number): void {
    this.#invariants.readAsked(node, request)
    this.#act(node, () => node.raft.readIndex(request))
  }

  #change(node: TestNode, args: readonly string[]): void {
    const { voters = '', learners = '', context = '' } = namedOf(args)
    const change = { voters: idsOf(voters), learners: idsOf(learners), context: utf8Encode(context) }
    this.#answer(node, () => node.raft.proposeConfiguration(change))
  }

  /** Replaces an entry on the disk of a stopped node by another of the same index and term, and all after it. */
  #damage(id: NodeId, index: number): void {
    const disk = present(this.#whole.disks.get(id), 'a node has a disk')
    assert(!this.#whole.nodes.has(id), 'damage is done to a stopped node')
    this.#invariants.damaged(id)
    let previousChain = disk.entryAt(index - 1)?.chain ?? disk.base.chain
    for (const old of disk.entries.splice(index - 1 - disk.base.index)) {
      const payload = old.index === index ? utf8Encode('rot') : old.payload
      const { term, kind } = old
      const { group } = this.#options
      const entry = createEntry({ group, index: old.index, term, kind, payload, previousChain })
      disk.entries.push(entry)
      previousChain = entry.chain
    }
  }

  #status(id: NodeId): void {
    const node = this.#whole.nodes.get(id)
    if (node === undefined) {
      this.#say(`${id} down`)
      return
    }
    const { role, term, leader, commitIndex, lastIndex, durableIndex } = node.raft
    const marks = `commit ${commitIndex} durable ${durableIndex} last ${lastIndex} applied ${node.state.length}`
    this.#say(`${id} ${role} term ${term} leader ${leader} ${marks}`)
  }

  #entries(id: NodeId): void {
    const { base, entries } = present(this.#whole.disks.get(id), 'a node has a disk')
    const list: readonly Entry[] = entries
    this.#say([`after ${base.index}/${base.term}:`, ...list.map(describeEntry)].join(' '))
  }

  #progress(node: TestNode): void {
    for (const [id, peer] of node.raft.progress()) {
      const learner = peer.isLearner ? ' learner' : ''
      this.#say(
        `${id} ${peer.state} match ${peer.match} next ${peer.next} inflight ${peer.inflight}${learner}`,
      )
    }
    const current: Configuration = node.raft.configuration
    assert(encodeConfiguration(current).length > 0, 'a configuration can be written')
    this.#say(describeConfiguration(current))
  }
}

function linkOf(message: Message): string {
  return `${message.from}->${message.to}`
}

function idOf(text: string | undefined): NodeId {
  return BigInt(present(text, 'a node is named'))
}

function idsOf(text: string): NodeId[] {
  return text === '' ? [] : text.split(',').map(BigInt)
}

function namedOf(args: readonly string[]): Record<string, string> {
  return Object.fromEntries(args.map((arg) => arg.split('=', 2)))
}
