import {
  compareIds,
  formatId,
  isQuorateError,
  type NodeId,
  noNode,
  QuorateError,
  SeededRandom,
} from '../base/index.ts'
import {
  type Address,
  type Disk,
  type Entropy,
  type Logger,
  type Maybe,
  type Network,
  never,
  randomU32,
  randomU64,
  type Time,
} from '../io/index.ts'
import type { Configuration, RaftView } from '../raft/index.ts'
import { openSnapshotStore } from '../snapshot/index.ts'
import type { StoreBackend } from '../store/index.ts'
import { openWriteAheadLog, type WriteAheadLog } from '../write-ahead-log/index.ts'
import type { CallOptions, Group, GroupMarks, GroupQueues } from './contract.ts'
import { clearMark, hasMark, setMark } from './directory-marks.ts'
import { ReplicatedGroup } from './group.ts'
import type { Hello, RefusalReason, WhoAmI, YouAre } from './handshake.ts'
import { type Identity, readIdentity, writeIdentity } from './identity.ts'
import { askWhoIAm } from './join.ts'
import { KnownDirectories } from './known-directories.ts'
import {
  clusterIdOf,
  configurationOf,
  type Directory,
  decodeDirectory,
  encodeDirectory,
  type MemberRecord,
  memberIdOf,
} from './members.ts'
import { find, findByUrls, findPeer } from './membership.ts'
import type { GroupLimits } from './options.ts'
import { PeerChannel } from './peer-channel.ts'
import type { PeerMessage } from './peer-codec.ts'
import { listenForPeers, type PeerListener } from './peer-listener.ts'
import { parseAddress } from './peer-url.ts'
import { type AppliedPlace, recoverGroup } from './recovery.ts'
import type { SnapshotSource, StateMachine } from './state-machine.ts'

/** One member as the start of the cluster is configured. */
export interface InitialMember {
  readonly name: string
  readonly peerUrls: readonly string[]
}

export interface NodeOptions<Result> {
  readonly disk: Disk
  readonly network: Network
  readonly time: Time
  readonly entropy: Entropy
  readonly logger: Logger
  /** Default: never. */
  readonly maybe?: Maybe
  readonly dataDirectory: string
  readonly name: string
  /** This member's peer URLs, as the others know them. */
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  /** Where to listen for peers; undefined for a single node that nobody joins. */
  readonly listenPeerAddress: Address | undefined
  readonly initialCluster: readonly InitialMember[]
  readonly initialToken: string
  /** existing: this node was added to a running cluster and asks it who it is. */
  readonly initialState: 'new' | 'existing'
  /** Dial these addresses instead of the peer URLs: by member name. A proxy can stand between. */
  readonly dialAddresses: ReadonlyMap<string, Address>
  readonly limits: GroupLimits
  readonly segmentBytesMax: number
  /** `isVouchedFor`: it was closed in order and not opened since. Otherwise nothing in it may be trusted unread. */
  openBackend(directory: string, isVouchedFor: boolean): Promise<StoreBackend>
  createMachine(backend: StoreBackend): StateMachine<Result>
  /**
   * The node failed for good and takes part in nothing any more; `error` says why. Its store stays open for readers
   * that are under way: the host ends them and then calls `stop`.
   */
  failed(error: unknown): void
}

const groupNumber = 0
const joinTimeoutMs = 30_000
const publishTimeoutMs = 5_000
const publishRetryMs = 500
const messageBytesMax = 64 * 1024 * 1024
const callersMax = 64
const channelQueueBytesMax = 64 * 1024 * 1024

/** A member of a cluster (or a cluster of one): its log, its group, its connections to the others. */
export interface QuorateNode<Result> {
  readonly group: Group<Result>
  /** What consensus is at, live, for whoever checks its rules from outside. */
  readonly raft: RaftView
  /** A part of the group's status, which is dearer to make. */
  readonly marks: GroupMarks
  /** Another part of it: the queues that turn away what would pass their bound. */
  readonly queues: GroupQueues
  readonly log: WriteAheadLog
  readonly name: string
  /** Where peers really reach this node; undefined when it does not listen. */
  readonly peerAddress: Address | undefined
  /** A consistent cut of the state, as soon as no other is open. Its `done` must be called. */
  openSnapshot(): Promise<SnapshotSource>
  /**
   * Resolves when the member list has this member's data directory: from then on its loss is noticed. Errors:
   * `revision-wait-timeout`, `stopped`.
   */
  published(options: CallOptions): Promise<void>
  stop(): Promise<void>
}

/**
 * Opens the data directory (or makes it), recovers, listens for peers and starts the group. The caller holds the
 * directory's lock. Errors: the data codes, `address-in-use`, `handshake-refused`, `no-leader` (nobody to join).
 */
export async function openNode<Result>(options: NodeOptions<Result>): Promise<QuorateNode<Result>> {
  const identity = await establishIdentity(options)
  const running = new RunningNode(options, identity)
  await running.open()
  return running
}

async function establishIdentity<Result>(options: NodeOptions<Result>): Promise<Identity> {
  const { disk, dataDirectory } = options
  await disk.makeDirectory(dataDirectory)
  const found = await readIdentity(disk, dataDirectory)
  if (found !== undefined) {
    checkIdentity(options, found)
    return found
  }
  const identity = options.initialState === 'existing' ? await joinedIdentity(options) : newIdentity(options)
  await writeIdentity(disk, dataDirectory, identity)
  return identity
}

/**
 * A directory that was made for another member or another token is not this node's, whatever the flags say. As in etcd
 * the other members of --initial-cluster count only on the first start: they may have changed since.
 */
function checkIdentity<Result>(options: NodeOptions<Result>, found: Identity): void {
  if (found.isJoined || options.initialState === 'existing') return
  const wanted = newIdentity(options)
  if (wanted.nodeId === found.nodeId) return
  throw new QuorateError(
    'data-wrong-cluster',
    `${options.dataDirectory} belongs to member ${formatId(found.nodeId)} of cluster ${formatId(found.clusterId)}; the ` +
      `flags name member ${formatId(wanted.nodeId)} of cluster ${formatId(wanted.clusterId)}. Use the data directory or ` +
      'the --initial-cluster and --initial-cluster-token that belong together.',
  )
}

function newIdentity<Result>(options: NodeOptions<Result>): Identity {
  const { initialCluster, initialToken, name, entropy } = options
  const members: MemberRecord[] = initialCluster
    .map((member) => ({
      id: memberIdOf(member.peerUrls, initialToken),
      directoryId: 0n,
      name: '',
      peerUrls: [...member.peerUrls],
      clientUrls: [],
      commandVersion: 0,
      isLearner: false,
      promoteWhenReady: false,
    }))
    .sort((left, right) => compareIds(left.id, right.id))
  const self = initialCluster.find((member) => member.name === name)
  if (self === undefined) {
    throw new QuorateError('flag-invalid', `--initial-cluster does not name this member, "${name}"`)
  }
  return {
    clusterId: clusterIdOf(
      members.map((member) => member.id),
      initialToken,
    ),
    nodeId: memberIdOf(self.peerUrls, initialToken),
    directoryId: randomU64(entropy) || 1n,
    isReady: false,
    isJoined: false,
    directory: encodeDirectory({ members, leaving: [], removed: [], clusterVersion: 1 }),
  }
}

async function joinedIdentity<Result>(options: NodeOptions<Result>): Promise<Identity> {
  const { network, time, entropy, peerUrls, initialCluster, name, dialAddresses } = options
  const addresses = initialCluster
    .filter((member) => member.name !== name)
    .map((member) => dialAddresses.get(member.name) ?? parseAddress(member.peerUrls[0] ?? ''))
  const { clusterId, nodeId, directory } = await askWhoIAm({
    network,
    time,
    addresses,
    peerUrls,
    timeoutMs: joinTimeoutMs,
  })
  const directoryId = randomU64(entropy) || 1n
  return { clusterId, nodeId, directoryId, isReady: false, isJoined: true, directory: directory.slice() }
}

class RunningNode<Result> implements QuorateNode<Result> {
  readonly #options: NodeOptions<Result>
  readonly #identity: Identity
  readonly #random: SeededRandom
  readonly #channels = new Map<NodeId, PeerChannel>()
  readonly #known = new KnownDirectories()
  /** Who said hello, and where it is reached; newest last. */
  readonly #callers = new Map<NodeId, Address>()
  #directory: Directory
  #listener: PeerListener | undefined
  #log: WriteAheadLog | undefined
  #backend: StoreBackend | undefined
  #group: ReplicatedGroup<Result> | undefined
  #isOpen = false
  #isStopped = false
  #hasFailed = false
  #failure: unknown
  #stopping: Promise<void> | undefined

  constructor(options: NodeOptions<Result>, identity: Identity) {
    this.#options = options
    this.#identity = identity
    this.#random = new SeededRandom(randomU32(options.entropy))
    this.#directory = decodeDirectory(identity.directory)
  }

  get name(): string {
    return this.#options.name
  }

  get group(): ReplicatedGroup<Result> {
    if (this.#group === undefined) throw new QuorateError('stopped', 'the node is not open')
    return this.#group
  }

  get marks(): GroupMarks {
    return this.group.marks
  }

  get queues(): GroupQueues {
    return this.group.queues
  }

  get raft(): RaftView {
    return this.group.raftView
  }

  get log(): WriteAheadLog {
    if (this.#log === undefined) throw new QuorateError('stopped', 'the node is not open')
    return this.#log
  }

  openSnapshot(): Promise<SnapshotSource> {
    return this.group.openSnapshot()
  }

  published(options: CallOptions): Promise<void> {
    const { nodeId, directoryId } = this.#identity
    const { group } = this
    return group.waitApplied(() => find(group.appliedDirectory, nodeId)?.directoryId === directoryId, options)
  }

  get peerAddress(): Address | undefined {
    return this.#listener?.address
  }

  async open(): Promise<void> {
    try {
      await this.#open()
      this.#isOpen = true
      if (this.#failure !== undefined) throw this.#failure
    } catch (error) {
      await this.stop().catch(() => undefined)
      throw error
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await this.#group?.stop()
    await this.#close()
  }

  async #open(): Promise<void> {
    const { disk, time, logger, dataDirectory, limits, entropy, segmentBytesMax, listenPeerAddress } =
      this.#options
    const { maybe = never } = this.#options
    const { clusterId, nodeId, directoryId, isReady, isJoined } = this.#identity
    const logDirectory = `${dataDirectory}/wal`
    if (isReady && !((await disk.exists(logDirectory)) && (await disk.list(logDirectory)).length > 0)) {
      throw new QuorateError(
        'data-damaged',
        `${logDirectory} is gone or empty, but this member had a log there. It may have voted, so it must not start as ` +
          'new: remove the member and add it again with an empty data directory.',
      )
    }
    const log = await openWriteAheadLog({
      disk,
      time,
      logger,
      maybe,
      directory: logDirectory,
      clusterId,
      nodeId,
      segmentBytesMax,
      entryBytesMax: limits.commandBytesMax + 1024,
    })
    this.#log = log
    if (!isReady) await writeIdentity(disk, dataDirectory, { ...this.#identity, isReady: true })
    const isStateLost = await hasMark(disk, dataDirectory, 'state-lost')
    const snapshots = await openSnapshotStore({
      disk,
      time,
      logger,
      directory: `${dataDirectory}/snapshots`,
      clusterId,
      group: groupNumber,
    })
    const { backend, discarded } = await this.#openStore(isStateLost)
    this.#backend = backend
    const bootstrap = bootstrapConfiguration(this.#directory, isJoined)
    const { machine, restore, applied } = await recoverGroup<Result>({
      group: groupNumber,
      log,
      snapshots,
      backend,
      logger,
      limits,
      isStateLost,
      discarded,
      bootstrap,
      createMachine: (opened) => this.#options.createMachine(opened),
      yieldTurn: () => time.yieldTurn(),
    })
    const group = new ReplicatedGroup<Result>({
      group: groupNumber,
      clusterId,
      nodeId,
      incarnation: { high: randomU32(entropy), low: randomU32(entropy) },
      seed: this.#random.nextU32(),
      time,
      logger,
      maybe,
      limits,
      log,
      snapshots,
      backend,
      machine,
      restore,
      applied,
      isStateLost,
      markStateLost: () => setMark(disk, dataDirectory, 'state-lost'),
      clearStateLost: () => clearMark(disk, dataDirectory, 'state-lost'),
      send: (to, message) => this.#send(to, message),
      directoryChanged: (directory) => {
        if (directory.clusterVersion > machine.commandVersion) {
          this.#fail(tooOldError(directory.clusterVersion, machine.commandVersion))
        } else this.#connect(directory)
      },
      failed: (error) => this.#fail(error),
    })
    this.#group = group
    if (listenPeerAddress !== undefined) {
      const electionMs = limits.tickMs * limits.electionTicks
      this.#listener = await listenForPeers({
        network: this.#options.network,
        time,
        logger,
        address: listenPeerAddress,
        clusterId,
        nodeId,
        directoryId,
        messageBytesMax,
        helloTimeoutMs: 5_000,
        idleTimeoutMs: 10 * electionMs,
        judge: (hello) => this.#judge(hello),
        onWelcome: (hello) => this.#welcomed(hello),
        onLeft: (from) => this.#connectionEnded(from),
        identify: (question) => this.#identify(question),
        onMessage: (from, number, message) => {
          if (number === groupNumber) group.receive(from, message)
        },
      })
    }
    group.start()
    this.#publishLater(0)
    logger.log('info', 'node-open', {
      name: this.#options.name,
      cluster: clusterId,
      member: nodeId,
      applied: applied.index,
      logEnd: restore.end.index,
      term: restore.hardState.term,
    })
  }

  /** The store holds nothing that snapshot and log do not: a damaged one is thrown away and built anew. */
  async #openStore(
    isStateLost: boolean,
  ): Promise<{ backend: StoreBackend; discarded: AppliedPlace | undefined }> {
    const { disk, dataDirectory, logger, openBackend } = this.#options
    const directory = `${dataDirectory}/store`
    const wasClosed = await hasMark(disk, dataDirectory, 'store-closed')
    // Before it is opened: from now on only an orderly end vouches for it.
    if (wasClosed) await clearMark(disk, dataDirectory, 'store-closed')
    let discarded: AppliedPlace | undefined
    try {
      const backend = await openBackend(directory, wasClosed)
      if (wasClosed || isStateLost) return { backend, discarded }
      const found = await this.#verify(backend)
      if (found.damage === undefined) return { backend, discarded }
      discarded = found.place
      await backend.close()
      throw found.damage
    } catch (error) {
      if (!isQuorateError(error, 'data-damaged')) throw error
      logger.log('error', 'store-damaged', { directory, cause: error.message })
      await disk.removeTree(directory)
      return { backend: await openBackend(directory, false), discarded }
    }
  }

  /** Reads all of the store, in slices: every commit has left in it the sum of what it should hold. */
  async #verify(backend: StoreBackend): Promise<{ damage?: QuorateError; place?: AppliedPlace }> {
    const { time, logger } = this.#options
    const startMs = time.monotonicMs()
    const machine = this.#openMachine(backend)
    if (machine === undefined) return {}
    const place = { appliedIndex: machine.appliedIndex, appliedTerm: machine.appliedTerm }
    try {
      const slices = machine.verify()
      let slice = slices.next()
      for (; slice.done !== true; slice = slices.next()) await time.yieldTurn()
      const ms = Math.round(time.monotonicMs() - startMs)
      logger.log('info', 'store-verified', { isWhole: slice.value, ms })
      if (slice.value) return {}
      return {
        damage: new QuorateError('data-damaged', 'the store does not hold what was written to it'),
        place,
      }
    } catch (error) {
      if (!isQuorateError(error, 'data-damaged')) throw error
      return { damage: error, place }
    }
  }

  /** Undefined when a snapshot was being read in: recovery empties such a store, and no damage is to be told. */
  #openMachine(backend: StoreBackend): StateMachine<Result> | undefined {
    try {
      return this.#options.createMachine(backend)
    } catch (error) {
      if (isQuorateError(error, 'data-damaged')) return undefined
      throw error
    }
  }

  // ---- peers --------------------------------------------------------------------------------------------------

  #send(to: NodeId, message: PeerMessage): boolean {
    const channel = this.#channels.get(to)
    if (channel === undefined) return false
    if (channel.send(groupNumber, message)) return true
    if (message.kind === 'appendRequest' || message.kind === 'installSnapshot') this.#group?.peerLost(to)
    return false
  }

  #connect(directory: Directory): void {
    this.#directory = directory
    for (const id of directory.removed) this.#callers.delete(id)
    this.#keepChannels()
  }

  /**
   * A node that is far behind reads lists of long ago, in which the leader that sends them is no member yet. It has to
   * answer all the same, or it would never get the entries that bring its list up to date.
   */
  #welcomed(hello: Hello): void {
    this.#channels.get(hello.from)?.peerRuns()
    const { from, peerUrls } = hello
    if (peerUrls.length === 0) return
    this.#callers.delete(from)
    this.#callers.set(from, this.#dialAddress({ name: '', peerUrls }))
    for (const id of this.#callers.keys()) if (this.#callers.size > callersMax) this.#callers.delete(id)
    this.#keepChannels()
  }

  /** One channel to everybody who counts, and to everybody who called. */
  #keepChannels(): void {
    const { members, leaving } = this.#directory
    const wanted = new Set([
      ...members.map(({ id }) => id),
      ...leaving.map(({ id }) => id),
      ...this.#callers.keys(),
    ])
    wanted.delete(this.#identity.nodeId)
    for (const [id, channel] of this.#channels) {
      if (wanted.has(id)) continue
      channel.close()
      this.#channels.delete(id)
    }
    for (const id of wanted) if (!this.#channels.has(id)) this.#channels.set(id, this.#dial(id))
  }

  /** While an address changes, only a commit tells which of the two counts, and a commit may need this very peer. */
  #dialAddresses(id: NodeId): Address[] {
    const records = [
      findPeer(this.#directory, id),
      findPeer(this.#group?.appliedDirectory ?? this.#directory, id),
    ]
    const listed = records.flatMap((member) => (member === undefined ? [] : [this.#dialAddress(member)]))
    const caller = this.#callers.get(id)
    return caller === undefined ? listed : [...listed, caller]
  }

  #dialAddress(member: Pick<MemberRecord, 'name' | 'peerUrls'>): Address {
    const { dialAddresses, initialCluster } = this.#options
    const name =
      member.name !== ''
        ? member.name
        : initialCluster.find((initial) => initial.peerUrls.some((url) => member.peerUrls.includes(url)))
            ?.name
    const override = name === undefined ? undefined : dialAddresses.get(name)
    return override ?? parseAddress(member.peerUrls[0] ?? '')
  }

  #dial(id: NodeId): PeerChannel {
    const { network, time, logger, limits, maybe = never } = this.#options
    const { clusterId, nodeId, directoryId } = this.#identity
    const peer = formatId(id)
    return new PeerChannel({
      network,
      time,
      logger,
      maybe,
      random: this.#random.fork(),
      peer: id,
      addresses: () => this.#dialAddresses(id),
      hello: () => ({ clusterId, from: nodeId, directoryId, peerUrls: this.#ownUrls() }),
      connectTimeoutMs: limits.tickMs * limits.electionTicks,
      pingIntervalMs: (limits.tickMs * limits.electionTicks) / 2,
      queueBytesMax: channelQueueBytesMax,
      admits: (directory) => this.#known.admits(this.#directory, id, directory),
      onOpen: () => logger.log('info', 'peer-connected', { peer }),
      onLost: (reason) => {
        logger.log('info', 'peer-lost', { peer, cause: reason })
        this.#group?.peerLost(id)
        this.#connectionEnded(id)
      },
      onDialFailed: () => {
        if (this.#isDisconnected(id)) this.#group?.peerDown(id)
      },
      onRefused: (reason, text) => this.#refused(peer, reason, text),
    })
  }

  #connectionEnded(id: NodeId): void {
    if (this.#isDisconnected(id)) this.#group?.peerDisconnected(id)
  }

  /** Each of two members dials the other; a process that dies ends both connections, a network often only one. */
  #isDisconnected(id: NodeId): boolean {
    return this.#channels.get(id)?.isOpen !== true && this.#listener?.hears(id) !== true
  }

  #ownUrls(): readonly string[] {
    return find(this.#directory, this.#identity.nodeId)?.peerUrls ?? this.#options.peerUrls
  }

  #refused(peer: string, reason: RefusalReason, text: string): void {
    this.#options.logger.log('error', 'refused-by-peer', { peer, reason, cause: text })
    if (reason === 'wiped') {
      this.#fail(
        new QuorateError(
          'data-wiped',
          `the cluster knows this member with another data directory (${text}). A member that lost its data may have ` +
            'voted: remove it and add it again with an empty data directory.',
        ),
      )
    }
    if (reason === 'removed') {
      this.#fail(
        new QuorateError(
          'member-not-found',
          'this member was removed from the cluster; its data may be deleted',
        ),
      )
    }
  }

  #judge(hello: Hello): { reason: RefusalReason; text: string } | undefined {
    const directory = this.#group?.appliedDirectory ?? this.#directory
    const peer = formatId(hello.from)
    if (directory.removed.includes(hello.from)) {
      return { reason: 'removed', text: `member ${peer} was removed from this cluster` }
    }
    // Here the newest list counts, committed or not: what a member once told of itself is true in any case.
    if (!this.#known.admits(this.#directory, hello.from, hello.directoryId)) {
      return { reason: 'wiped', text: `member ${peer} had another data directory before` }
    }
    return undefined
  }

  /** By the list of now, not the one this node happens to have: the same URLs may have been another member's. */
  async #identify(question: WhoAmI): Promise<YouAre | undefined> {
    const { limits } = this.#options
    await this.group.readBarrier({ timeoutMs: limits.tickMs * limits.electionTicks })
    const directory = this.group.appliedDirectory
    const member = findByUrls(directory, question.peerUrls)
    if (member === undefined) return undefined
    return { clusterId: this.#identity.clusterId, nodeId: member.id, directory: encodeDirectory(directory) }
  }

  // ---- telling the cluster about this member --------------------------------------------------------------------

  #publishLater(delayMs: number): void {
    this.#options.time.startTimer(delayMs, () => {
      if (this.#isStopped) return
      this.#publish().then(
        () => undefined,
        (error: unknown) => {
          if (isQuorateError(error, 'data-wiped')) this.#fail(error)
          else if (isQuorateError(error)) this.#publishLater(publishRetryMs)
          else this.#fail(error)
        },
      )
    })
  }

  async #publish(): Promise<void> {
    const { name, clientUrls } = this.#options
    const { directoryId } = this.#identity
    const { group } = this
    await group.waitApplied(() => group.leader !== noNode, { timeoutMs: publishTimeoutMs })
    await group.publish({ name, clientUrls, directoryId }, { timeoutMs: publishTimeoutMs })
    this.#options.logger.log('info', 'member-published', { name })
  }

  // ---- the end ------------------------------------------------------------------------------------------------

  #fail(error: unknown): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#hasFailed = true
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const code = isQuorateError(error) ? error.code : 'internal'
    this.#options.logger.log('error', 'node-failed', { code, cause: text })
    this.#group?.fail(error)
    this.#disconnect()
    // Whoever still waits for `openNode` hears of it there.
    if (this.#isOpen) this.#options.failed(error)
    else this.#failure = error
  }

  #disconnect(): void {
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }

  async #close(): Promise<void> {
    this.#isStopped = true
    this.#disconnect()
    try {
      await this.#listener?.close()
      await this.#log?.close()
    } finally {
      await this.#backend?.close()
    }
    if (this.#isOpen && !this.#hasFailed) await this.#vouchForStore()
  }

  /** Without this the next start verifies the store: nothing but time is lost. */
  async #vouchForStore(): Promise<void> {
    const { disk, dataDirectory, logger } = this.#options
    try {
      await setMark(disk, dataDirectory, 'store-closed')
    } catch (error) {
      if (!isQuorateError(error)) throw error
      logger.log('warn', 'store-not-marked', { cause: error.message })
    }
  }
}

/** In a cluster that may use newer commands, this build would stop at the first of them. */
function tooOldError(used: number, known: number): QuorateError {
  const text = `the cluster may use commands of version ${used}, this build knows them up to ${known}: start a newer build`
  return new QuorateError('format-unsupported', text)
}

/** A node that joins has no say until the log tells it who counts. */
function bootstrapConfiguration(directory: Directory, isJoined: boolean): Configuration {
  if (!isJoined) return configurationOf(directory)
  return { voters: [], outgoing: [], learners: [], context: encodeDirectory(directory) }
}
