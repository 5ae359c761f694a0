import {
  bytesFromLatin1,
  emptyBytes,
  latin1FromBytes,
  present,
  QuorateError,
  SeededRandom,
} from '../base/index.ts'
import {
  type Applied,
  type Compare,
  type ConsistentCore,
  createConsistentCore,
  encodeCommand,
  type KeyValue,
  type Operation,
  type OperationResult,
  type WatchOutput,
  type WriteCommand,
} from '../consistent-core/index.ts'
import { sleep, type Time } from '../io/index.ts'
import { defaultGroupLimits, type Member, openNode, parseAddress, type QuorateNode } from '../node/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend, type StoreReader } from '../store/index.ts'
import type { WatchRequest } from './check-watch.ts'
import type { ModelCompare, ModelPair, ModelRequest, ModelResult, SimpleResult } from './kv-model.ts'
import type {
  ListedMember,
  MembersRequest,
  RequestStamp,
  ServerAnswer,
  ServerMember,
  ServerRequest,
  ServerSetup,
  ServerWatchMessage,
  SimulatedServer,
  StartServer,
} from './server-seam.ts'

/** The real node under the simulator: the rooms of production on simulated disk, network and time. */
/** Shorter than the patience of the clients: they hear what the server says. */
const callTimeoutMs = 4_000
const revisionTimeoutMs = 1_000
const watchBytesMax = 4_096
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
  #world: ServerSetup['world'] | undefined
  #backend: MemoryBackend | undefined

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
      await disk.syncDirectory(directory)
      finish()
    }
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
      core = createConsistentCore({ store: createStore(backend), leaseTtlSecondsMin, leaseCheckpointMs })
      return setup.version === core.commandVersion ? core : buildOf(core, setup.version)
    },
    failed: (error) => failed(error),
  })
  if (core === undefined) throw new QuorateError('stopped', 'the node was opened without a state machine')
  return new QuorateUnderSimulation(node, core, world.time, stopped)
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
  readonly #time: Time
  readonly #watches = new Set<() => void>()
  /** Ranges that read the store between turns. */
  #reading = 0

  constructor(node: QuorateNode<Applied>, core: ConsistentCore, time: Time, stopped: Promise<unknown>) {
    this.#node = node
    this.#core = core
    this.#time = time
    this.stopped = stopped
    // A renewal is the leader's matter: whoever is asked hands it on, as the etcd door does.
    node.group.setQuestionHandler(async (question) => {
      const id = new DataView(question.buffer, question.byteOffset, 8).getBigUint64(0, true)
      return new Uint8Array([(await this.#renewHere(id)) > 0 ? 1 : 0])
    })
  }

  async execute(request: ServerRequest): Promise<ServerAnswer> {
    switch (request.kind) {
      case 'memberList':
      case 'memberAdd':
      case 'memberRemove':
      case 'memberPromote':
      case 'memberUpdate':
      case 'transferLeadership':
        return this.#members(request)
      case 'keyValue':
        return this.#keyValue(request)
      case 'compact':
        return this.#write({ kind: 'compact', revision: request.revision })
      case 'leaseGrant':
        return this.#write({ kind: 'leaseGrant', id: request.id, ttlSeconds: request.ttlSeconds })
      case 'leaseRevoke':
        return this.#write({ kind: 'leaseRevoke', id: request.id, expired: false })
      case 'leaseRenew':
        return this.#renew(request.id)
    }
  }

  watch(request: WatchRequest, onMessage: (message: ServerWatchMessage) => void): { cancel(): void } {
    let isDue = false
    let isOver = false
    const pull = (): void => {
      isDue = false
      while (!isOver) {
        const output = stream.next(watchBytesMax)
        if (output === undefined) return
        const message = watchMessageOf(output)
        onMessage(message)
        if (message.kind === 'ended') isOver = true
      }
    }
    const schedule = (): void => {
      if (isDue || isOver) return
      isDue = true
      this.#time.startTimer(0, pull)
    }
    const stream = this.#core.openWatchStream(schedule)
    try {
      stream.create({
        key: bytesFromLatin1(request.key),
        rangeEnd: bytesFromLatin1(request.end),
        startRevision: request.startRevision,
        watchId: 0,
        previous: request.previous,
        noPut: request.noPut,
        noDelete: request.noDelete,
        progressNotify: false,
        fragment: request.fragment,
      })
    } catch (error) {
      stream.close()
      throw error
    }
    stream.requestProgress()
    schedule()
    const cancel = (): void => {
      if (!this.#watches.delete(cancel)) return
      isOver = true
      stream.close()
    }
    this.#watches.add(cancel)
    return { cancel }
  }

  status(): ReturnType<SimulatedServer['status']> {
    const { group } = this.#node
    const { role, term, commitIndex, appliedIndex, lastIndex, digest, configurationIndex } = group.status()
    // One that joins begins with the members it was told, which are newer than what it has applied.
    const members = configurationIndex === 0 ? undefined : group.members().map(listed)
    const isLeader = role === 'leader'
    return { isLeader, term, commitIndex, appliedIndex, lastIndex, digest, commitChain: undefined, members }
  }

  /** As the server around a node does it: the streams end, calls that read are waited for, then the node. */
  async stop(): Promise<void> {
    for (const end of this.#watches) end()
    while (this.#reading > 0) await this.#time.yieldTurn()
    await this.#node.stop()
  }

  async #members(request: MembersRequest): Promise<ServerAnswer> {
    const { group } = this.#node
    const options = { timeoutMs: callTimeoutMs }
    const answer = (members: readonly Member[]): ServerAnswer => {
      return { revision: this.#core.revision, result: undefined, members: members.map(listed) }
    }
    switch (request.kind) {
      case 'memberList':
        await group.readBarrier(options)
        return answer(group.members())
      case 'memberAdd': {
        const { added, members } = await group.addMember([urlOf(request.peer)], request.isLearner, options)
        return { ...answer(members), added: added.id }
      }
      case 'memberRemove':
        return answer(await group.removeMember(request.id, options))
      case 'memberPromote':
        return answer(await group.promoteMember(request.id, options))
      case 'memberUpdate':
        return answer(await group.updateMember(request.id, [urlOf(request.peer)], options))
      case 'transferLeadership':
        await group.transferLeadership(request.to, options)
        return answer(group.members())
    }
  }

  async #keyValue(call: Extract<ServerRequest, { kind: 'keyValue' }>): Promise<ServerAnswer> {
    const { request } = call
    if (request.kind !== 'range')
      return this.#write(operationOf(request) as Exclude<Operation, { kind: 'range' }>, call.stamp)
    const { leastRevision = 0 } = call
    if (leastRevision > 0) {
      await this.#node.group.waitApplied(() => this.#core.revision >= leastRevision, {
        timeoutMs: revisionTimeoutMs,
      })
    }
    if (!call.isSerializable) await this.#node.group.readBarrier({ timeoutMs: callTimeoutMs })
    const operation = operationOf(request, call.atRevision)
    if (operation.kind !== 'range') throw new QuorateError('invalid-argument', 'this is no range')
    const { revision } = this.#core
    const slices = this.#core.range(operation)
    this.#reading++
    try {
      for (;;) {
        const { done, value } = slices.next()
        if (done !== true) await this.#time.yieldTurn()
        else if (value.kind === 'refused') throw new QuorateError(value.code, value.detail)
        else
          return { revision, result: { kind: 'range', pairs: value.pairs.map(pairOf), count: value.count } }
      }
    } finally {
      this.#reading--
    }
  }

  async #write(write: WriteCommand, stamp?: RequestStamp): Promise<ServerAnswer> {
    const command = encodeCommand({ session: stamp, write })
    const { result: applied } = await this.#node.group.propose(command, { timeoutMs: callTimeoutMs })
    const { result, revision } = applied
    if (result.kind === 'refused') throw new QuorateError(result.code, result.detail)
    if (result.kind === 'put' || result.kind === 'deleteRange' || result.kind === 'transaction') {
      return { revision, result: resultOf(result) }
    }
    return { revision, result: undefined }
  }

  async #renew(id: bigint): Promise<ServerAnswer> {
    const question = new Uint8Array(8)
    new DataView(question.buffer).setBigUint64(0, id, true)
    const answer = await this.#node.group.askLeader(question, { timeoutMs: callTimeoutMs })
    if (answer[0] !== 1) throw new QuorateError('lease-not-found', 'the lease is gone')
    return { revision: this.#core.revision, result: undefined }
  }

  async #renewHere(id: bigint): Promise<number> {
    await this.#node.group.confirmLeadership({ timeoutMs: callTimeoutMs })
    return this.#core.renewLease(id, this.#time.monotonicMs())
  }
}

function urlOf(peer: ServerMember): string {
  return `http://${peer.host}:${peer.port}`
}

function listed(member: Member): ListedMember {
  const { id, name, peerUrls, isLearner, promoteWhenReady } = member
  const { host, port } = parseAddress(peerUrls[0] ?? '')
  return { id, host, port, isLearner, isBecomingVoter: promoteWhenReady, isPublished: name !== '' }
}

function operationOf(request: ModelRequest, atRevision = 0): Operation {
  switch (request.kind) {
    case 'range':
      return {
        kind: 'range',
        ...intervalOf(request),
        limit: request.limit,
        revision: atRevision,
        sortOrder: 'none',
        sortTarget: 'key',
        keysOnly: false,
        countOnly: false,
        modRevisionMin: 0,
        modRevisionMax: 0,
        createRevisionMin: 0,
        createRevisionMax: 0,
      }
    case 'put':
      return {
        kind: 'put',
        key: bytesFromLatin1(request.key),
        value: bytesFromLatin1(request.value),
        lease: request.lease,
        previous: false,
        ignoreValue: false,
        ignoreLease: false,
      }
    case 'delete':
      return { kind: 'deleteRange', ...intervalOf(request), previous: false }
    case 'transaction':
      return {
        kind: 'transaction',
        compare: request.compare.map(compareOf),
        success: request.success.map((operation) => operationOf(operation)),
        failure: request.failure.map((operation) => operationOf(operation)),
      }
  }
}

function intervalOf(span: { key: string; end: string }): { key: Uint8Array; rangeEnd: Uint8Array } {
  return { key: bytesFromLatin1(span.key), rangeEnd: bytesFromLatin1(span.end) }
}

function compareOf(compare: ModelCompare): Compare {
  const { target, result, operand } = compare
  return {
    ...intervalOf(compare),
    target,
    result,
    number: typeof operand === 'number' ? operand : 0,
    value: typeof operand === 'string' ? bytesFromLatin1(operand) : emptyBytes,
    lease: typeof operand === 'bigint' ? operand : 0n,
  }
}

function pairOf(pair: KeyValue): ModelPair {
  return { ...pair, key: latin1FromBytes(pair.key), value: latin1FromBytes(pair.value) }
}

function resultOf(result: OperationResult): ModelResult {
  if (result.kind !== 'transaction') return simpleResultOf(result)
  return { kind: 'transaction', succeeded: result.succeeded, results: result.results.map(simpleResultOf) }
}

function simpleResultOf(result: OperationResult): SimpleResult {
  switch (result.kind) {
    case 'range':
      return { kind: 'range', pairs: result.pairs.map(pairOf), count: result.count }
    case 'put':
      return { kind: 'put' }
    case 'deleteRange':
      return { kind: 'delete', deleted: result.deleted }
    case 'transaction':
      throw new QuorateError('invalid-argument', 'the simulation sends no nested transactions')
  }
}

function watchMessageOf(output: WatchOutput): ServerWatchMessage {
  switch (output.kind) {
    case 'created':
      return { kind: 'created', revision: output.revision }
    case 'events':
      return {
        kind: 'events',
        revision: output.revision,
        fragment: output.fragment,
        events: output.events.map(({ kind, pair, previous }) => ({
          event: kind === 'put' ? { kind, pair: pairOf(pair) } : { kind, key: latin1FromBytes(pair.key) },
          revision: pair.modRevision,
          previous: previous === undefined ? undefined : pairOf(previous),
        })),
      }
    case 'progress':
      return { kind: 'progress', revision: output.revision }
    case 'compacted':
      return { kind: 'compacted', compactRevision: output.compactRevision }
    case 'createRefused':
    case 'canceled':
      return { kind: 'ended', reason: output.reason }
  }
}
