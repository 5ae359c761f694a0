import { bytesFromLatin1, emptyBytes, latin1FromBytes, QuorateError, SeededRandom } from '../base/index.ts'
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
import type { Time } from '../io/index.ts'
import { defaultGroupLimits, openNode, type QuorateNode } from '../node/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend } from '../store/index.ts'
import type { WatchRequest } from './check-watch.ts'
import type { ModelCompare, ModelPair, ModelRequest, ModelResult, SimpleResult } from './kv-model.ts'
import type {
  RequestStamp,
  ServerAnswer,
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

/** What the stores of a cluster hold durably goes from one life to the next; a cluster is known by its member list. */
const storesOf = new WeakMap<ServerSetup['members'], Map<string, StoreOfMachine>>()

export const startQuorate: StartServer = (setup) => {
  const stores = storesOf.get(setup.members) ?? new Map<string, StoreOfMachine>()
  storesOf.set(setup.members, stores)
  const store = stores.get(setup.name) ?? new StoreOfMachine(setup.seed)
  stores.set(setup.name, store)
  return start(setup, store)
}

/** The store of one machine: durable as the machine is, its commits as slow as a disk. */
class StoreOfMachine {
  readonly #random: SeededRandom
  #time: Time | undefined
  #backend: MemoryBackend | undefined

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  open(time: Time): MemoryBackend {
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
  const { world, tuning, members, name } = setup
  let core: ConsistentCore | undefined
  let failed: (error: unknown) => void = () => undefined
  const stopped = new Promise<unknown>((resolve) => {
    failed = resolve
  })
  const self = members.find((member) => member.name === name)
  const urlOf = (member: { host: string; port: number }): string => `http://${member.host}:${member.port}`
  const node = await openNode<Applied>({
    ...world,
    logger: setup.logger,
    dataDirectory: setup.dataDirectory,
    name,
    peerUrls: self === undefined ? [] : [urlOf(self)],
    clientUrls: [],
    listenPeerAddress: self === undefined ? undefined : { host: self.host, port: self.port },
    initialCluster: members.map((member) => ({ name: member.name, peerUrls: [urlOf(member)] })),
    initialToken: 'simulation',
    initialState: 'new',
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
    openBackend: () => Promise.resolve(store.open(world.time)),
    createMachine: (backend) => {
      core = createConsistentCore({ store: createStore(backend), leaseTtlSecondsMin })
      return core
    },
    failed: (error) => failed(error),
  })
  if (core === undefined) throw new QuorateError('stopped', 'the node was opened without a state machine')
  return new QuorateUnderSimulation(node, core, world.time, stopped)
}

class QuorateUnderSimulation implements SimulatedServer {
  readonly stopped: Promise<unknown>
  readonly #node: QuorateNode<Applied>
  readonly #core: ConsistentCore
  readonly #time: Time

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
    return {
      cancel: () => {
        isOver = true
        stream.close()
      },
    }
  }

  status(): ReturnType<SimulatedServer['status']> {
    const { role, term, commitIndex, appliedIndex, digest } = this.#node.group.status()
    return { isLeader: role === 'leader', term, commitIndex, appliedIndex, digest, commitChain: undefined }
  }

  stop(): Promise<void> {
    return this.#node.stop()
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
    for (;;) {
      const { done, value } = slices.next()
      if (done !== true) await this.#time.yieldTurn()
      else if (value.kind === 'refused') throw new QuorateError(value.code, value.detail)
      else return { revision, result: { kind: 'range', pairs: value.pairs.map(pairOf), count: value.count } }
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
