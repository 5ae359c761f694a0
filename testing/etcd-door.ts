// The etcd services over one real core and a group of one that a test steers: proposals are applied at once, unless
// the test says what goes wrong. Time stands still until the test moves it.
import { createHash } from 'node:crypto'
import { type ErrorCode, type NodeId, QuorateError, SeededRandom } from '../src/base/index.ts'
import type { Applied, ConsistentCoreReads, LeaderDuties } from '../src/consistent-core/index.ts'
import {
  createEtcdServices,
  defaultEtcdOptions,
  type EtcdDependencies,
  type EtcdOptions,
  type MaintenanceHooks,
} from '../src/etcd/index.ts'
import {
  GrpcError,
  type GrpcMethod,
  type GrpcServices,
  type GrpcStream,
  type GrpcStreamHandlers,
  type GrpcUnaryCall,
  type Metadata,
  noMetadata,
  wholeAnswer,
} from '../src/grpc/index.ts'
import { type Entropy, silentLogger, type Time, type Timer } from '../src/io/index.ts'
import type { CallOptions, Group, GroupStatus, Member, Proposed, StateMachine } from '../src/node/index.ts'

export type TestCore = StateMachine<Applied> & ConsistentCoreReads & { readonly leader: LeaderDuties }

/** Moves only by `advance`; a timer runs in the step that reaches it. */
export class ManualTime implements Time {
  #nowMs = 1000
  #timers: { atMs: number; callback: () => void }[] = []

  monotonicMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  yieldTurn(): Promise<void> {
    return Promise.resolve()
  }

  yieldBulkTurn(): Promise<void> {
    return Promise.resolve()
  }

  get timers(): number {
    return this.#timers.length
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const [next] = this.#timers.filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)
      if (next === undefined) break
      this.#nowMs = next.atMs
      this.#timers = this.#timers.filter((timer) => timer !== next)
      next.callback()
      await settle()
    }
    this.#nowMs = endMs
  }
}

/** Everything that can happen without time passing has happened: nothing here waits but on promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

const self: Member = {
  id: 0xa1n,
  name: 'one',
  peerUrls: ['http://127.0.0.1:2380'],
  clientUrls: ['http://127.0.0.1:2379'],
  isLearner: false,
  promoteWhenReady: false,
}

export class TestGroup implements Group<Applied> {
  readonly clusterId = 0xc1n
  readonly nodeId: NodeId = self.id
  term = 2
  leader: NodeId = self.id
  isLearner = false
  /** Every call of the group that is named here is refused with that code. */
  readonly failures: Map<string, ErrorCode> = new Map()
  readonly calls: string[] = []
  lastTimeoutMs = 0
  memberList: Member[] = [self]
  problems: string[] = []
  answerAsLeader: (question: Uint8Array) => Promise<Uint8Array> = () =>
    Promise.reject(new Error('no handler'))
  readonly #core: TestCore
  readonly #time: Time
  #isAsked = false
  #waiting: { isReached: () => boolean; resolve: () => void }[] = []

  constructor(core: TestCore, time: Time) {
    this.#core = core
    this.#time = time
  }

  get isSettledLeader(): boolean {
    return this.leader === this.nodeId || this.#isAsked
  }

  apply(payload: Uint8Array): Proposed<Applied> {
    const index = this.#core.appliedIndex + 1
    const command = { index, term: this.term, timeMs: this.#time.wallMs(), payload }
    const result = this.#core.apply(command)
    this.#waiting = this.#waiting.filter((waiter) => !waiter.isReached() || waiter.resolve())
    return { result, index, term: this.term }
  }

  async propose(payload: Uint8Array, options: CallOptions): Promise<Proposed<Applied>> {
    this.lastTimeoutMs = options.timeoutMs
    this.record('propose')
    return this.apply(payload)
  }

  async readBarrier(): Promise<void> {
    this.record('readBarrier')
  }

  async confirmLeadership(): Promise<void> {
    this.record('confirmLeadership')
    if (!this.isSettledLeader) throw new QuorateError('not-leader', '')
  }

  async waitApplied(isReached: () => boolean): Promise<void> {
    this.record('waitApplied')
    if (isReached()) return
    await new Promise<void>((resolve) => {
      this.#waiting.push({ isReached, resolve })
    })
  }

  async askLeader(question: Uint8Array): Promise<Uint8Array> {
    this.record('askLeader')
    // The leader is another member with the same state: while it answers, this group is its.
    this.#isAsked = true
    try {
      return await this.answerAsLeader(question)
    } finally {
      this.#isAsked = false
    }
  }

  setQuestionHandler(handler: (question: Uint8Array) => Promise<Uint8Array>): void {
    this.answerAsLeader = handler
  }

  members(): readonly Member[] {
    return this.memberList
  }

  async addMember(
    peerUrls: readonly string[],
    isLearner: boolean,
  ): Promise<{ added: Member; members: readonly Member[] }> {
    this.record('addMember')
    const id = BigInt(0xa0 + this.memberList.length + 1)
    // Everyone begins as a learner; one that was added as a voter is promoted later.
    const added = {
      ...self,
      id,
      name: '',
      peerUrls,
      clientUrls: [],
      isLearner: true,
      promoteWhenReady: !isLearner,
    }
    this.memberList.push(added)
    return { added, members: this.memberList }
  }

  async removeMember(id: NodeId): Promise<readonly Member[]> {
    this.record('removeMember')
    this.#member(id)
    this.memberList = this.memberList.filter((member) => member.id !== id)
    return this.memberList
  }

  async updateMember(id: NodeId, peerUrls: readonly string[]): Promise<readonly Member[]> {
    this.record('updateMember')
    return this.#replace({ ...this.#member(id), peerUrls })
  }

  async promoteMember(id: NodeId): Promise<readonly Member[]> {
    this.record('promoteMember')
    return this.#replace({ ...this.#member(id), isLearner: false })
  }

  async transferLeadership(to: NodeId): Promise<void> {
    this.record('transferLeadership')
    if (!this.isSettledLeader) throw new QuorateError('not-leader', '')
    if (!this.memberList.some((member) => member.id === to)) throw new QuorateError('transferee-invalid', '')
    this.leader = to
  }

  status(): GroupStatus {
    const index = this.#core.appliedIndex
    return {
      role: this.isSettledLeader ? 'leader' : 'follower',
      term: this.term,
      leader: this.leader,
      isLearner: this.isLearner,
      firstIndex: 1,
      lastIndex: index,
      durableIndex: index,
      commitIndex: index,
      appliedIndex: index,
      durableAppliedIndex: index,
      lowWaterMark: 0,
      configurationIndex: 0,
      clusterVersion: 1,
      digest: 0,
      peers: new Map(),
      queues: {},
      problems: this.problems,
    }
  }

  /** Notes a call; throws what the test wants of it. */
  record(name: string): void {
    this.calls.push(name)
    const code = this.failures.get(name)
    if (code !== undefined) throw new QuorateError(code, `the test says ${code}`)
  }

  #member(id: NodeId): Member {
    const member = this.memberList.find((one) => one.id === id)
    if (member === undefined) throw new QuorateError('member-not-found', '')
    return member
  }

  #replace(changed: Member): readonly Member[] {
    this.memberList = this.memberList.map((member) => (member.id === changed.id ? changed : member))
    return this.memberList
  }
}

export interface Answer {
  readonly message: Uint8Array | undefined
  readonly error: GrpcError | undefined
}

/** A client's side of one stream. `room` messages fit into its buffer until the test reads. */
export class TestStream implements GrpcStream {
  readonly path: string
  readonly metadata: Metadata
  readonly peer = 'test'
  readonly timeoutMs = undefined
  isCancelled = false
  isReading = true
  room: number = Number.POSITIVE_INFINITY
  ending: 'open' | 'ended' | GrpcError = 'open'
  #received: Uint8Array[] = []
  #handlers: GrpcStreamHandlers | undefined

  constructor(method: GrpcMethod, path: string, metadata: Metadata) {
    this.path = path
    this.metadata = metadata
    if (method.kind !== 'stream') throw new Error(`${path} is no stream`)
    method.handle(this)
  }

  get bufferedBytes(): number {
    return this.#received.length
  }

  write(message: Uint8Array): void {
    this.#handlers?.onMessage(message)
  }

  halfClose(): void {
    this.#handlers?.onHalfClose()
  }

  cancel(): void {
    this.isCancelled = true
    this.#close()
  }

  /** Takes what has come; the service may go on. */
  read(): Uint8Array[] {
    const received = this.#received
    this.#received = []
    if (received.length >= this.room && this.ending === 'open') this.#handlers?.onDrain()
    return received
  }

  setHandlers(handlers: GrpcStreamHandlers): void {
    this.#handlers = handlers
    if (this.ending !== 'open') this.#close()
  }

  send(message: Uint8Array): boolean {
    if (this.ending !== 'open') throw new Error('sent behind the end')
    this.#received.push(message)
    return this.#received.length < this.room
  }

  end(): void {
    this.ending = 'ended'
    this.#close()
  }

  fail(error: GrpcError): void {
    this.ending = error
    this.#close()
  }

  pauseReading(): void {
    this.isReading = false
  }

  resumeReading(): void {
    this.isReading = true
  }

  onCancel(): void {}
  setTrailer(): void {}

  #close(): void {
    const handlers = this.#handlers
    this.#handlers = undefined
    handlers?.onClose()
  }
}

/** A call without a deadline, which a test cancels by its field. */
export function plainCall(): GrpcUnaryCall & { isCancelled: boolean } {
  return {
    path: '',
    metadata: noMetadata,
    peer: 'test',
    timeoutMs: undefined,
    isCancelled: false,
    onCancel: () => undefined,
    hasRoom: true,
    onRoom: (callback) => callback(),
    setTrailer: () => undefined,
  }
}

export interface Door {
  readonly time: ManualTime
  readonly group: TestGroup
  readonly core: TestCore
  readonly from: EtcdDependencies
  readonly alarms: { memberId: NodeId; kind: 'noSpace' | 'corrupt' }[]
  readonly services: GrpcServices
  call(path: string, request: Uint8Array, metadata?: Metadata, timeoutMs?: number): Promise<Answer>
  open(path: string, metadata?: Metadata): TestStream
}

export function openDoor(core: TestCore, options: Partial<EtcdOptions> = {}): Door {
  const time = new ManualTime()
  const group = new TestGroup(core, time)
  const random = new SeededRandom(7)
  const entropy: Entropy = {
    fill(target) {
      for (let i = 0; i < target.length; i++) target[i] = random.between(0, 256)
    },
  }
  const alarms: Door['alarms'] = []
  const maintenance: MaintenanceHooks = {
    sizes: () => ({ total: 4096, inUse: 1024, quota: 0 }),
    alarms: () => alarms,
    defragment: () => undefined,
    async compacted() {
      group.record('compacted')
      while (core.maintain()) await Promise.resolve()
    },
    async openSnapshot() {
      const bytes = new Uint8Array(70_000).map((_, index) => index % 251)
      return {
        sizeBytes: bytes.length,
        read: async (position, size) => bytes.slice(position, position + size),
        close: () => group.calls.push('snapshot closed'),
      }
    },
    createSha256() {
      const hash = createHash('sha256')
      return { update: (bytes) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) }
    },
  }
  const from: EtcdDependencies = {
    group,
    core,
    time,
    entropy,
    logger: silentLogger,
    maintenance,
    options: { ...defaultEtcdOptions, ...options },
  }
  core.leader.start(time.monotonicMs())
  const services = createEtcdServices(from)
  const methodOf = (path: string): GrpcMethod => {
    const method = services.get(path)
    if (method === undefined) throw new Error(`no method ${path}`)
    return method
  }
  return {
    time,
    group,
    core,
    from,
    alarms,
    services,
    async call(path, request, metadata = noMetadata, timeoutMs) {
      const method = methodOf(path)
      if (method.kind !== 'unary') throw new Error(`${path} is a stream`)
      const call = { ...plainCall(), path, metadata, timeoutMs }
      try {
        return { message: wholeAnswer(await method.handle(request, call)), error: undefined }
      } catch (error) {
        if (error instanceof GrpcError) return { message: undefined, error }
        throw error
      }
    },
    open: (path, metadata = noMetadata) => new TestStream(methodOf(path), path, metadata),
  }
}
