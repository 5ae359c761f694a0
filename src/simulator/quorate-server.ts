import { present, QuorateError, SeededRandom } from '../base/index.ts'
import { type Applied, type ConsistentCore, createConsistentCore } from '../consistent-core/index.ts'
import { createEtcdServices, defaultEtcdOptions, type MaintenanceHooks } from '../etcd/index.ts'
import type { Time } from '../io/index.ts'
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
  #time: Time | undefined
  #backend: MemoryBackend | undefined

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  get backend(): MemoryBackend | undefined {
    return this.#backend
  }

  /** Empty when the directory is new: whoever removes it removes what the store held. */
  async open({ disk, time }: ServerSetup['world'], directory: string): Promise<MemoryBackend> {
    if (!(await disk.exists(directory))) {
      this.#backend?.crash()
      this.#backend = undefined
      await disk.makeDirectory(directory)
    }
    this.#time = time
    const schedule = (finish: () => void): Promise<void> =>
      new Promise((resolve, reject) => {
        this.#time?.startTimer(this.#random.between(1, 20), () => {
          try {
            finish()
            resolve()
          } catch (error) {
            reject(error)
          }
        })
      })
    this.#backend = this.#backend?.crash() ?? createMemoryBackend({ schedule, random: this.#random.fork() })
    return this.#backend
  }
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
      flushIntervalMs: 50,
    },
    segmentBytesMax: tuning.segmentBytesMax,
    openBackend: (directory) => store.open(world, directory),
    createMachine: (backend) => {
      core = createConsistentCore({ store: createStore(backend), leaseTtlSecondsMin })
      return core
    },
    failed: (error) => failed(error),
  })
  if (core === undefined) throw new QuorateError('stopped', 'the node was opened without a state machine')
  return new QuorateUnderSimulation(node, core, setup, stopped)
}

class QuorateUnderSimulation implements SimulatedServer {
  readonly stopped: Promise<unknown>
  readonly #node: QuorateNode<Applied>
  readonly #client: EtcdClient

  constructor(
    node: QuorateNode<Applied>,
    core: ConsistentCore,
    { world, tuning, logger }: ServerSetup,
    stopped: Promise<unknown>,
  ) {
    const { time, entropy } = world
    this.#node = node
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
    const answer = await this.#client.execute(request, terms)
    const { members } = answer
    return members === undefined ? answer : { ...answer, members: members.map((one) => this.#withRole(one)) }
  }

  openWatches(listener: WatchListener): ServerWatchStream {
    return this.#client.openWatches(listener)
  }

  openKeepAlive(listener: KeepAliveListener): ServerKeepAliveStream {
    return this.#client.openKeepAlive(listener)
  }

  get raft(): NonNullable<SimulatedServer['raft']> {
    return this.#node.raft
  }

  status(): ReturnType<SimulatedServer['status']> {
    const { group } = this.#node
    const { role, term, commitIndex, appliedIndex, digest, configurationIndex } = group.status()
    // One that joins begins with the members it was told, which are newer than what it has applied.
    const members = configurationIndex === 0 ? undefined : group.members().map(memberOf)
    const isLeader = role === 'leader'
    return { isLeader, term, commitIndex, appliedIndex, digest, commitChain: undefined, members }
  }

  stop(): Promise<void> {
    return this.#node.stop()
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
