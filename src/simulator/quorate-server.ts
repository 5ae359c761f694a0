import { isQuorateError, present, QuorateError, SeededRandom } from '../base/index.ts'
import {
  type Applied,
  type ConsistentCore,
  createConsistentCore,
  decodeCommand,
  defaultRangeCacheLimits,
  defaultWatchLimits,
} from '../consistent-core/index.ts'
import { createEtcdServices, defaultEtcdOptions, type MaintenanceHooks } from '../etcd/index.ts'
import { type Logger, sleep, type Time } from '../io/index.ts'
import { defaultGroupLimits, type Member, openNode, parseAddress, type QuorateNode } from '../node/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend, type StoreReader } from '../store/index.ts'
import { EtcdClient } from './etcd-client.ts'
import { urlOf } from './messages.ts'
import type {
  CallTerms,
  KeepAliveListener,
  ListedMember,
  ServerAnswer,
  ServerKeepAliveStream,
  ServerRequest,
  ServerSetup,
  ServerWatchStream,
  SimulatedServer,
  StartServer,
  WatchListener,
} from './server-seam.ts'

/**
 * The real node under the simulator: the rooms of production, from the etcd services down, on simulated disk, network
 * and time. Only the transport is missing: a client of the API calls the services in the same process.
 */

/** For whoever asks without terms of its own. */
const defaultTerms: CallTerms = { timeoutMs: 4_000, onCancel: () => undefined }
/** Small enough that some writes are too large, and that watches which catch up are told in parts. */
const requestBytesMax = 8_192
const progressNotifyIntervalMs = 300
const leaseTtlSecondsMin = 1
/** A client that does not read for a moment is behind at once, and what it missed may be compacted before it reads. */
const tightWatchLimits = { tailBytesMax: 2_048, pendingRevisionsMax: 4, watchersPerStreamMax: 1_000 }
/** Small ranges leave runs of two keys. */
const tightRangeCacheLimits = { bytesMax: 16_384, runWork: 18, rangeWorkMin: 0 }

/** How long calls that are under way may take to end before a server does. */
const drainMs = 200

/** What a store holds durably goes with its data directory from one life to the next. */
const stores = new WeakMap<object, StoreOfMachine>()

export const startQuorate: StartServer = (setup) => {
  const store = stores.get(setup.data) ?? new StoreOfMachine(setup.seed)
  stores.set(setup.data, store)
  return start(setup, store)
}

/**
 * The durable store in a data directory, for whoever rots it: what a read of it returns is what it holds, and changing
 * those bytes changes it behind the program's back.
 */
export function storeOf(data: ServerSetup['data']): StoreReader {
  return present(stores.get(data)?.backend, 'a program has run in this directory')
}

/** The store of one machine: durable as the machine is, its commits as slow as a disk. */
class StoreOfMachine {
  readonly #random: SeededRandom
  #world: ServerSetup['world'] | undefined
  #backend: MemoryBackend | undefined
  /** What became of the last commit. */
  #failure: QuorateError | undefined

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  get backend(): MemoryBackend | undefined {
    return this.#backend
  }

  /** Empty when the directory is new: whoever removes it removes what the store held. */
  async open(world: ServerSetup['world'], directory: string): Promise<MemoryBackend> {
    const { disk } = world
    if (!(await disk.exists(directory))) {
      this.#backend?.crash()
      this.#backend = undefined
      await disk.makeDirectory(directory)
    }
    this.#world = world
    const schedule = async (finish: () => void): Promise<void> => {
      // A commit syncs its file: it fails, waits and hangs as the disk does.
      const { disk, time } = present(this.#world, 'it was opened')
      await sleep(time, this.#random.between(1, 20))
      this.#failure = await disk.syncDirectory(directory).then(() => undefined, failureOf)
      finish()
    }
    const options = { schedule, random: this.#random.fork(), fault: () => this.#failure }
    this.#backend = this.#backend?.crash() ?? createMemoryBackend(options)
    return this.#backend
  }
}

function failureOf(error: unknown): QuorateError {
  if (!isQuorateError(error)) throw error
  return error
}

async function start(setup: ServerSetup, store: StoreOfMachine): Promise<SimulatedServer> {
  const { world, tuning, members, name, self } = setup
  let core: ConsistentCore | undefined
  let failed: (error: unknown) => void = () => undefined
  const stopped = new Promise<unknown>((resolve) => {
    failed = resolve
  })
  const node = await openNode<Applied>({
    ...world,
    logger: setup.logger,
    dataDirectory: setup.dataDirectory,
    name,
    peerUrls: [urlOf(self)],
    clientUrls: [],
    listenPeerAddress: { host: self.host, port: self.port },
    initialCluster: members.map((member) => ({ name: member.name, peerUrls: [urlOf(member)] })),
    initialToken: 'simulation',
    initialState: setup.isJoining ? 'existing' : 'new',
    dialAddresses: new Map(),
    limits: {
      ...defaultGroupLimits,
      tickMs: tuning.heartbeatMs,
      electionTicks: Math.max(2, Math.round(tuning.electionMs / tuning.heartbeatMs)),
      appendBytesMax: tuning.appendBytesMax,
      inflightMax: tuning.inflightMax,
      windowBytesMax: tuning.windowBytesMax,
      snapshotCount: tuning.snapshotEntries,
      snapshotLogBytesMin: 0,
      // A run with small numbers writes snapshots more often than their size would have it.
      snapshotLogShare: tuning.snapshotEntries > 20 ? 1 : 1 / 8,
      flushOperations: tuning.flushOperations,
      flushIntervalMs: tuning.flushIntervalMs,
      updateQueueMax: tuning.queueMax,
      waitingMax: tuning.queueMax,
      readersMax: tuning.queueMax,
      // Less than a message of each peer could be full for ever.
      inboxMax: Math.max(16, tuning.queueMax),
      questionsMax: tuning.queueMax,
      uncommittedBytesMax: tuning.uncommittedBytesMax,
    },
    segmentBytesMax: tuning.segmentBytesMax,
    openBackend: (directory) => store.open(world, directory),
    createMachine: (backend) => {
      const { leaseCheckpointMs } = tuning
      core = createConsistentCore({
        store: createStore(backend),
        leaseTtlSecondsMin,
        leaseCheckpointMs,
        watchLimits: setup.seed % 2 === 0 ? defaultWatchLimits : tightWatchLimits,
        rangeCacheLimits: setup.seed % 3 === 0 ? defaultRangeCacheLimits : tightRangeCacheLimits,
      })
      noteDuties(core, setup.logger)
      return setup.version === core.commandVersion ? core : buildOf(core, setup.version)
    },
    failed: (error) => failed(error),
  })
  if (core === undefined) throw new QuorateError('stopped', 'the node was opened without a state machine')
  return new QuorateUnderSimulation(node, core, setup, stopped)
}

/** Tells what the leader of the leases proposes by itself: nobody else hears of it. */
function noteDuties({ leader }: ConsistentCore, logger: Logger): void {
  const tick = leader.tick.bind(leader)
  leader.tick = (nowMs) => {
    const commands = tick(nowMs)
    for (const command of commands) {
      const { kind } = decodeCommand(command).write
      logger.log('debug', kind === 'leaseCheckpoint' ? 'lease-checkpoint' : 'lease-expired')
    }
    return commands
  }
}

/** What a later build would be: the same rules, and more of them. */
function buildOf(core: ConsistentCore, commandVersion: number): ConsistentCore {
  return new Proxy(core, {
    get: (target, key) => {
      if (key === 'commandVersion') return commandVersion
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

class QuorateUnderSimulation implements SimulatedServer {
  readonly stopped: Promise<unknown>
  readonly #node: QuorateNode<Applied>
  readonly #core: ConsistentCore
  readonly #client: EtcdClient
  readonly #time: Time
  /** Cancel the calls that are under way. */
  readonly #calls = new Set<() => void>()
  readonly #streams = new Set<{ close(): void }>()
  #listed: { readonly index: number; readonly members: readonly ListedMember[] } | undefined

  constructor(
    node: QuorateNode<Applied>,
    core: ConsistentCore,
    { world, tuning, logger }: ServerSetup,
    stopped: Promise<unknown>,
  ) {
    const { time, entropy } = world
    this.#node = node
    this.#core = core
    this.#time = time
    this.stopped = stopped
    const services = createEtcdServices({
      group: node.group,
      core,
      time,
      entropy,
      logger,
      maintenance: maintenanceOf(node, core),
      options: {
        ...defaultEtcdOptions,
        requestBytesMax,
        electionTimeoutMs: tuning.electionMs,
        progressNotifyIntervalMs,
      },
    })
    this.#client = new EtcdClient(services, (callback) => laterIn(time, callback))
  }

  async execute(request: ServerRequest, terms: CallTerms = defaultTerms): Promise<ServerAnswer> {
    let cancelNow = (): void => undefined
    const cancel = (): void => cancelNow()
    this.#calls.add(cancel)
    const onCancel = (act: () => void): void => {
      cancelNow = act
      terms.onCancel(act)
    }
    const call = this.#client.execute(request, { ...terms, onCancel })
    const answer = await call.finally(() => this.#calls.delete(cancel))
    const { members } = answer
    return members === undefined ? answer : { ...answer, members: members.map((one) => this.#withRole(one)) }
  }

  openWatches(listener: WatchListener): ServerWatchStream {
    const stream = this.#client.openWatches(listener)
    this.#streams.add(stream)
    return stream
  }

  openKeepAlive(listener: KeepAliveListener): ServerKeepAliveStream {
    const stream = this.#client.openKeepAlive(listener)
    this.#streams.add(stream)
    return stream
  }

  get raft(): NonNullable<SimulatedServer['raft']> {
    return this.#node.raft
  }

  status(): ReturnType<SimulatedServer['status']> {
    const { role, term, commitIndex, lastIndex } = this.#node.raft
    const { configurationIndex, lowWaterMark, durableAppliedIndex } = this.#node.marks
    const { appliedIndex, digest } = this.#core
    // One that joins begins with the members it was told, which are newer than what it has applied.
    const members = configurationIndex === 0 ? undefined : this.#listedAt(configurationIndex)
    const isLeader = role === 'leader'
    const hasState = configurationIndex > 0 && appliedIndex > 0
    const marks = hasState ? { logBegin: lowWaterMark, durablyApplied: durableAppliedIndex } : undefined
    const chain = { commitChain: undefined }
    const { queues } = this.#node
    return { isLeader, term, commitIndex, appliedIndex, lastIndex, digest, ...chain, members, marks, queues }
  }

  /** As the server around a node does it: streams end, calls have a little time, then the node stops. */
  async stop(): Promise<void> {
    for (const stream of this.#streams) stream.close()
    const deadlineMs = this.#time.monotonicMs() + drainMs
    while (this.#calls.size > 0 && this.#time.monotonicMs() < deadlineMs) await sleep(this.#time, 10)
    for (const cancel of this.#calls) cancel()
    await sleep(this.#time, 10)
    await this.#node.stop()
  }

  /** The members as of the configuration at this index, which stay the same: the status is asked for very often. */
  #listedAt(index: number): readonly ListedMember[] {
    if (this.#listed?.index !== index) {
      this.#listed = { index, members: this.#node.group.members().map(memberOf) }
    }
    return this.#listed.members
  }

  /** The operator must know who votes already; etcd's messages show who was added as a voter as one from the start. */
  #withRole(shown: ListedMember): ListedMember {
    const member = this.#node.group.members().find(({ id }) => id === shown.id)
    return member === undefined ? shown : { ...shown, ...rolesOf(member) }
  }
}

function maintenanceOf(node: QuorateNode<Applied>, core: ConsistentCore): MaintenanceHooks {
  return {
    sizes: () => ({ total: 0, inUse: 0, quota: 0 }),
    alarms: () => [],
    defragment: () => undefined,
    compacted: (timeoutMs) =>
      node.group.waitApplied(() => core.compactionFinishedRevision >= core.compactRevision, { timeoutMs }),
    openSnapshot: () => Promise.reject(new QuorateError('unimplemented', 'nobody downloads snapshots here')),
    createSha256: () => {
      throw new QuorateError('unimplemented', 'nobody downloads snapshots here')
    },
  }
}

function laterIn(time: Time, callback: () => void): void {
  time.startTimer(0, callback)
}

function memberOf(member: Member): ListedMember {
  const { id, name, peerUrls } = member
  const { host, port } = parseAddress(peerUrls[0] ?? '')
  return { id, host, port, ...rolesOf(member), isPublished: name !== '' }
}

function rolesOf({
  isLearner,
  promoteWhenReady,
}: Member): Pick<ListedMember, 'isLearner' | 'isBecomingVoter'> {
  return { isLearner, isBecomingVoter: promoteWhenReady }
}
