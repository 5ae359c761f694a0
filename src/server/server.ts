import { createHash } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { assert, isQuorateError, QuorateError } from '../base/index.ts'
import {
  type Applied,
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
} from '../consistent-core/index.ts'
import { createEtcdServices, defaultEtcdOptions, type EtcdDependencies } from '../etcd/index.ts'
import { createHealthServices, HealthState } from '../grpc/index.ts'
import { createGrpcServer, defaultLimits, type GrpcServer } from '../grpc-node/index.ts'
import type { Address, Disk, Entropy, Logger, Network, Time } from '../io/index.ts'
import {
  createJsonLogger,
  createNodeDisk,
  createNodeEntropy,
  createNodeNetwork,
  createNodeTime,
  type DirectoryLock,
  lockDirectory,
  openLmdbStore,
} from '../io-node/index.ts'
import { defaultGroupLimits, openNode, type QuorateNode } from '../node/index.ts'
import { createStore, type StoreBackend } from '../store/index.ts'
import { AutoCompaction } from './auto-compaction.ts'
import type { ServerConfig } from './config.ts'
import { openDownload } from './snapshot-download.ts'
import type { ServerStatus } from './status.ts'
import { createHttpHandler, type HttpHandler, listenHttp } from './status-http.ts'
import { etcdVersion } from './version.ts'

/** The world a server runs in. The defaults are the real one; an embedded node in memory brings another disk. */
export interface ServerWorld {
  readonly disk: Disk
  readonly network: Network
  readonly time: Time
  readonly entropy: Entropy
  readonly logger: Logger
  lock(directory: string): Promise<DirectoryLock>
  openBackend(directory: string, isVouchedFor: boolean): Promise<StoreBackend>
}

export interface ServerEvents {
  /** The node failed for good and has stopped. */
  failed(error: unknown): void
}

/** A running server. */
export interface Server {
  /** Where clients really connect. */
  readonly clientAddresses: readonly Address[]
  readonly node: QuorateNode<Applied>
  readonly core: ConsistentCore
  status(): ServerStatus
  stop(): Promise<void>
}

const healthReadTimeoutMs = 2_000
const readyTimeoutMs = 10_000

export function realWorld(config: Pick<ServerConfig, 'logLevel'>): ServerWorld {
  const logger = createJsonLogger(process.stderr, config.logLevel)
  return {
    disk: createNodeDisk(),
    network: createNodeNetwork({ logger }),
    time: createNodeTime(),
    entropy: createNodeEntropy(),
    logger,
    lock: lockDirectory,
    openBackend: (directory, isVouchedFor) => openLmdbStore(directory, { isVouchedFor }),
  }
}

/**
 * Opens the node, waits until it can serve (or for ten seconds: then it listens all the same and answers what it can),
 * and listens for clients. What fails the node before that is thrown, not told to `events`. Errors: those of `openNode`,
 * `data-locked`, `address-in-use`.
 */
export async function startServer(
  config: ServerConfig,
  events: ServerEvents,
  world: ServerWorld = realWorld(config),
): Promise<Server> {
  await world.disk.makeDirectory(config.dataDirectory)
  const lock = await world.lock(config.dataDirectory)
  const parts: Stoppable[] = [{ stop: () => lock.release() }]
  let report: (error: unknown) => void = () => undefined
  const failure = new Promise<unknown>((resolve) => {
    report = resolve
  })
  try {
    const server = await open(config, { failed: report }, world, parts)
    failure.then(
      (error) => events.failed(error),
      () => undefined,
    )
    return server
  } catch (error) {
    await stopAll(parts)
    // A node that failed while this waited for it: here it is only known to have stopped, and why comes once it is closed.
    throw isQuorateError(error, 'stopped') ? await failure : error
  }
}

interface Stoppable {
  stop(): Promise<void>
}

async function stopAll(parts: Stoppable[]): Promise<void> {
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) await part.stop()
}

async function open(
  config: ServerConfig,
  events: ServerEvents,
  world: ServerWorld,
  parts: Stoppable[],
): Promise<Server> {
  const { time, logger } = world
  let core: ConsistentCore | undefined
  let store: StoreBackend | undefined
  const node = await openNode<Applied>({
    ...world,
    dataDirectory: config.dataDirectory,
    name: config.name,
    peerUrls: config.peerUrls,
    clientUrls: config.advertisedClientUrls,
    listenPeerAddress: config.peerAddress,
    initialCluster: config.initialCluster,
    initialToken: config.initialToken,
    initialState: config.initialState,
    dialAddresses: config.dialAddresses,
    limits: {
      ...defaultGroupLimits,
      tickMs: config.heartbeatMs,
      electionTicks: Math.round(config.electionMs / config.heartbeatMs),
      snapshotCount: config.snapshotCount,
      snapshotLogBytesMin: config.snapshotLogBytesMin,
      learnersMax: config.learnersMax,
    },
    segmentBytesMax: config.segmentBytesMax,
    openBackend: world.openBackend,
    createMachine: (backend) => {
      store = backend
      core = createConsistentCore({ store: createStore(backend) })
      return core
    },
    failed: (error) => {
      stopAll(parts).then(
        () => events.failed(error),
        () => events.failed(error),
      )
    },
  })
  parts.push(node)
  assert(core !== undefined && store !== undefined, 'an open node has a state machine')
  const opened = core
  const backend = store
  const lag = monitorEventLoopDelay({ resolution: 10 })
  lag.enable()
  const startedMs = time.monotonicMs()
  const status = (): ServerStatus => {
    const { rss, heapUsed } = process.memoryUsage()
    const loopLagMs = { p50: lag.percentile(50) / 1e6, p99: lag.percentile(99) / 1e6, max: lag.max / 1e6 }
    lag.reset()
    return {
      name: config.name,
      clusterId: node.group.clusterId,
      memberId: node.group.nodeId,
      version: etcdVersion,
      group: node.group.status(),
      log: node.log.gauges,
      store: backend.sizeBytes(),
      core: { revision: opened.revision, compactRevision: opened.compactRevision, ...opened.counts },
      loopLagMs,
      memory: { residentBytes: rss, heapUsedBytes: heapUsed },
      uptimeSeconds: (time.monotonicMs() - startedMs) / 1_000,
    }
  }
  const canRead = (): Promise<boolean> =>
    node.group.readBarrier({ timeoutMs: healthReadTimeoutMs }).then(
      () => true,
      () => false,
    )
  const source = { status, canRead }
  for (const address of config.metricsAddresses) {
    const server = await listenHttp(createHttpHandler(source, true), address)
    parts.push({
      stop: () =>
        new Promise((resolve) => {
          server.close(() => resolve())
          server.closeAllConnections()
        }),
    })
  }
  parts.push(startAutoCompaction(config, world, node, opened))
  await waitToServe(node, time).catch((error: unknown) => {
    if (!isQuorateError(error, 'no-leader', 'timeout', 'leader-changed', 'revision-wait-timeout')) throw error
    logger.log('warn', 'serving-without-leader', { cause: error.message })
  })
  const grpc = clientServer(config, world, { node, core: opened, backend }, createHttpHandler(source, false))
  const clientAddresses: Address[] = []
  for (const wanted of config.clientAddresses) {
    const listener = await grpc.listen(wanted)
    parts.push({ stop: () => listener.close() })
    clientAddresses.push(listener.address)
  }
  for (const { host, port } of clientAddresses) {
    logger.log('info', 'serving', { host, port })
  }
  return { clientAddresses, node, core: opened, status, stop: () => stopAll(parts) }
}

/** Up to date, and known to the cluster with its data directory: what this member acknowledges now it cannot lose unnoticed. */
async function waitToServe(node: QuorateNode<Applied>, time: Time): Promise<void> {
  const deadlineMs = time.monotonicMs() + readyTimeoutMs
  await node.group.readBarrier({ timeoutMs: deadlineMs - time.monotonicMs() })
  await node.published({ timeoutMs: deadlineMs - time.monotonicMs() })
}

function clientServer(
  config: ServerConfig,
  world: ServerWorld,
  member: OpenMember,
  http: HttpHandler,
): GrpcServer {
  const services = new Map([
    ...createEtcdServices(etcdDependencies(config, world, member)),
    ...createHealthServices(new HealthState()),
  ])
  const messageBytesMax = config.requestBytesMax + 512 * 1024
  return createGrpcServer({
    services,
    http2Library: config.http2Library,
    time: world.time,
    logger: world.logger,
    limits: { messageBytesMax, gatheredBytesMax: Math.max(defaultLimits.gatheredBytesMax, messageBytesMax) },
    onHttp1Request: http,
  })
}

/** The parts of an open node that the door needs. */
interface OpenMember {
  readonly node: QuorateNode<Applied>
  readonly core: ConsistentCore
  readonly backend: StoreBackend
}

function etcdDependencies(
  config: ServerConfig,
  { disk, time, entropy, logger }: ServerWorld,
  { node, core, backend }: OpenMember,
): EtcdDependencies {
  return {
    group: node.group,
    core,
    time,
    entropy,
    logger,
    maintenance: {
      sizes: () => {
        const { total, used } = backend.sizeBytes()
        return { total, inUse: used, quota: 0 }
      },
      alarms: () => [],
      // The store reuses its free pages; there is nothing to give back that would be worth a pause.
      defragment: () => undefined,
      compacted: (timeoutMs) =>
        node.group.waitApplied(() => core.compactionFinishedRevision >= core.compactRevision, { timeoutMs }),
      openSnapshot: () =>
        openDownload({ disk, time, directory: config.dataDirectory, cut: () => node.openSnapshot() }),
      createSha256: () => {
        const hash = createHash('sha256')
        return { update: (bytes) => hash.update(bytes), digest: () => hash.digest() }
      },
    },
    options: {
      ...defaultEtcdOptions,
      version: etcdVersion,
      storageVersion: `${etcdVersion.split('.').slice(0, 2).join('.')}.0`,
      requestBytesMax: config.requestBytesMax,
      transactionOperationsMax: config.transactionOperationsMax,
      electionTimeoutMs: config.electionMs,
      progressNotifyIntervalMs: config.progressNotifyMs,
    },
  }
}

function startAutoCompaction(
  config: ServerConfig,
  { time, logger }: ServerWorld,
  node: QuorateNode<Applied>,
  core: ConsistentCore,
): Stoppable {
  const compaction = new AutoCompaction({
    policy: config.compaction,
    time,
    logger,
    isLeader: () => node.group.isSettledLeader,
    revision: () => core.revision,
    compactRevision: () => core.compactRevision,
    compact: async (revision) => {
      const command = encodeCommand({ session: undefined, write: { kind: 'compact', revision } })
      const { result } = await node.group.propose(command, { timeoutMs: 5_000 })
      if (result.result.kind === 'refused') throw new QuorateError(result.result.code, result.result.detail)
    },
  })
  return {
    stop: () => {
      compaction.stop()
      return Promise.resolve()
    },
  }
}
