/**
 * A server that is right by being simple, to prove that the simulation accepts what is right, and, with one thing
 * broken, that it finds what is wrong. The first member orders all writes alone, writes each to its log and syncs it
 * before it applies and answers. The others ask it for new entries, answer serializable reads and watches from what
 * they have, and forward the rest. No replication of durability and no election: that is not what it is for.
 */
import {
  concatBytes,
  crc32c,
  type ErrorCode,
  errorCodes,
  isQuorateError,
  present,
  QuorateError,
  utf8Decode,
  utf8Encode,
} from '../src/base/index.ts'
import { type Connection, type DiskFile, sleep } from '../src/io/index.ts'
import {
  isInSpan,
  type KeepAliveListener,
  KvModel,
  type ModelEvent,
  type NodeStatus,
  type ServerAnswer,
  type ServerKeepAliveStream,
  type ServerRequest,
  type ServerSetup,
  type ServerWatchMessage,
  type ServerWatchStream,
  type SimulatedServer,
  type StartServer,
  type ToldEvent,
  type WatchListener,
  type WatchRequest,
} from '../src/simulator/index.ts'

/** What is wrong with a broken one. */
export const fakeDefects = [
  'none',
  /** Answers before the write is durable. */
  'skipsSync',
  /** Answers linearizable reads from what it has. */
  'readsLocally',
  /** Does a write again when the answer of the first member is late. */
  'retriesWrites',
  /** Tells the events of a transaction one by one. */
  'splitsWatches',
  /** Loses an event now and then. */
  'losesEvents',
  /** Expires leases too early. */
  'hurriesLeases',
  /** Goes on after a failed sync. */
  'retriesSync',
  /** Lets the real clock of the host decide something. */
  'isNotRepeatable',
] as const
export type FakeDefect = (typeof fakeDefects)[number]

type Entry =
  | { readonly kind: 'change'; readonly events: readonly ModelEvent[] }
  | { readonly kind: 'compact'; readonly revision: number }
  | { readonly kind: 'leaseGrant'; readonly id: bigint; readonly ttlSeconds: number }
  | { readonly kind: 'leaseEnd'; readonly id: bigint }

const pollEveryMs = 20
const forwardTimeoutMs = 1_000
const leaseTickMs = 100
/** Entries in one answer to a poll. */
const pollEntriesMax = 50

export function startFakeServer(defect: FakeDefect, realClock: () => number = () => 0): StartServer {
  return async (setup) => {
    const server = new FakeServer(setup, defect, realClock)
    await server.start()
    return server
  }
}

interface Watch {
  readonly request: WatchRequest
  readonly onMessage: (message: ServerWatchMessage) => void
  next: number
  isOver: boolean
}

class FakeServer implements SimulatedServer {
  readonly #setup: ServerSetup
  readonly #defect: FakeDefect
  readonly #realClock: () => number
  readonly #isFirst: boolean
  readonly #model = new KvModel()
  readonly #entries: Entry[] = []
  readonly #told: ToldEvent[] = []
  readonly #watches = new Set<Watch>()
  readonly #deadlines = new Map<bigint, number>()
  readonly #ttls = new Map<bigint, number>()
  readonly #stopped = Promise.withResolvers<unknown>()
  /** It has none. */
  readonly raft = undefined
  readonly stopped: Promise<unknown> = this.#stopped.promise
  #compactRevision = 0
  #digest = 0
  #isStopped = false
  /** Writes of the first member happen one after the other. */
  #lastWrite: Promise<unknown> = Promise.resolve()
  #log: DiskFile | undefined
  #logEnd = 0
  #uplink: Uplink | undefined

  constructor(setup: ServerSetup, defect: FakeDefect, realClock: () => number) {
    this.#setup = setup
    this.#defect = defect
    this.#realClock = realClock
    this.#isFirst = setup.name === setup.members[0]?.name
  }

  async start(): Promise<void> {
    if (!this.#isFirst) {
      this.#run(this.#poll())
      return
    }
    await this.#recover()
    const { network } = this.#setup.world
    const { host, port } = present(this.#setup.members[0], 'there is a first member')
    await network.listen({ host, port }, (connection) => this.#accept(connection))
    this.#run(this.#tickLeases())
  }

  status(): NodeStatus {
    return {
      isLeader: this.#isFirst,
      term: 1,
      commitIndex: this.#entries.length,
      appliedIndex: this.#entries.length,
      digest: this.#digest,
      commitChain: undefined,
      members: undefined,
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#log?.close()
  }

  execute(request: ServerRequest): Promise<ServerAnswer> {
    if (this.#isFirst) return this.#executeHere(request)
    if (request.kind === 'keyValue') {
      const isRead = request.request.kind === 'range'
      const isLocal = request.isSerializable || (isRead && this.#defect === 'readsLocally')
      if (isLocal) return this.#read(request)
    }
    return this.#forward(request)
  }

  openWatches(listener: WatchListener): ServerWatchStream {
    const watches = new Map<number, Watch>()
    return {
      create: (watchId, request) => {
        const onMessage = (message: ServerWatchMessage): void => listener.onMessage(watchId, message)
        const watch = { request, onMessage, next: request.startRevision, isOver: false }
        watches.set(watchId, watch)
        this.#setup.world.time.startTimer(0, () => this.#begin(watch))
      },
      cancel: (watchId) => {
        const watch = watches.get(watchId)
        if (watch !== undefined) this.#end(watch)
        listener.onMessage(watchId, { kind: 'ended', reason: '' })
      },
      requestProgress: () => undefined,
      setReading: () => undefined,
      close: () => {
        for (const watch of watches.values()) this.#end(watch)
      },
    }
  }

  openKeepAlive(listener: KeepAliveListener): ServerKeepAliveStream {
    return {
      renew: (id) => {
        this.execute({ kind: 'leaseRenew', id }).then(
          ({ lease }) => listener.onRenewed(id, lease?.ttlSeconds ?? 0),
          (error: unknown) => {
            ignoreExpected(error)
            if (isQuorateError(error, 'lease-not-found')) listener.onRenewed(id, 0)
            else listener.onEnd('no answer')
          },
        )
      },
      close: () => undefined,
    }
  }

  #end(watch: Watch): void {
    watch.isOver = true
    this.#watches.delete(watch)
  }

  #begin(watch: Watch): void {
    if (watch.isOver) return
    if (watch.next === 0) watch.next = this.#model.revision + 1
    watch.onMessage({ kind: 'created', revision: this.#model.revision })
    if (watch.next <= this.#compactRevision) {
      watch.onMessage({ kind: 'compacted', compactRevision: this.#compactRevision })
      return
    }
    this.#watches.add(watch)
    this.#tell(watch)
    const { revision } = this.#model
    if (revision >= watch.request.startRevision) watch.onMessage({ kind: 'progress', revision })
  }

  // ---- the first member ----

  async #executeHere(request: ServerRequest): Promise<ServerAnswer> {
    if (request.kind === 'keyValue' && request.request.kind === 'range') return this.#read(request)
    const write = this.#lastWrite.then(() => this.#write(request))
    this.#lastWrite = write.catch(() => undefined)
    return write
  }

  async #read(request: ServerRequest & { kind: 'keyValue' }): Promise<ServerAnswer> {
    const { atRevision } = request
    if (atRevision > this.#model.revision)
      throw new QuorateError('revision-future', `${atRevision} is not yet`)
    if (atRevision !== 0 && atRevision < this.#compactRevision) {
      throw new QuorateError('revision-compacted', `${atRevision} is before ${this.#compactRevision}`)
    }
    const model = atRevision === 0 ? this.#model : this.#modelAt(atRevision)
    return { revision: this.#model.revision, result: model.evaluate(request.request).result }
  }

  #modelAt(revision: number): KvModel {
    const model = new KvModel()
    for (const entry of this.#entries) {
      const events =
        entry.kind === 'change' ? entry.events : entry.kind === 'leaseEnd' ? leaseEvents(model, entry.id) : []
      if (events.length > 0 && model.revision < revision)
        model.apply({ revision: model.revision + 1, events })
    }
    return model
  }

  async #write(request: ServerRequest): Promise<ServerAnswer> {
    if (this.#isStopped) throw new QuorateError('stopped', 'the server has stopped')
    switch (request.kind) {
      case 'keyValue': {
        for (const lease of leasesIn(request)) this.#ttlOf(lease)
        const { result, events } = this.#model.evaluate(request.request)
        if (result.kind === 'refused') throw new QuorateError('key-not-found', 'there is nothing to keep')
        if (events.length > 0) await this.#append({ kind: 'change', events })
        return { revision: this.#model.revision, result }
      }
      case 'compact':
        if (request.revision <= this.#compactRevision) {
          throw new QuorateError('revision-compacted', `${request.revision} is compacted already`)
        }
        await this.#append(request)
        break
      case 'leaseGrant':
        if (this.#ttls.has(request.id)) throw new QuorateError('lease-exists', `${request.id} exists`)
        await this.#append(request)
        this.#renew(request.id)
        break
      case 'leaseRevoke':
        this.#ttlOf(request.id)
        await this.#append({ kind: 'leaseEnd', id: request.id })
        break
      case 'leaseRenew': {
        const ttlSeconds = this.#ttlOf(request.id)
        this.#renew(request.id)
        const lease = { ttlSeconds, grantedSeconds: ttlSeconds, keys: [] }
        return { revision: this.#model.revision, result: undefined, lease }
      }
      default:
        throw new QuorateError('unimplemented', 'its members never change')
    }
    return { revision: this.#model.revision, result: undefined }
  }

  #ttlOf(id: bigint): number {
    const ttl = this.#ttls.get(id)
    if (ttl === undefined) throw new QuorateError('lease-not-found', `no lease ${id}`)
    return ttl
  }

  #renew(id: bigint): void {
    const factor = this.#defect === 'hurriesLeases' ? 300 : 1000
    this.#deadlines.set(id, this.#setup.world.time.monotonicMs() + factor * this.#ttlOf(id))
  }

  async #tickLeases(): Promise<void> {
    const { time } = this.#setup.world
    while (!this.#isStopped) {
      await sleep(time, leaseTickMs + (this.#defect === 'isNotRepeatable' ? this.#realClock() : 0))
      for (const [id, deadline] of [...this.#deadlines]) {
        if (deadline > time.monotonicMs()) continue
        await this.#executeHere({ kind: 'leaseRevoke', id }).catch(ignoreExpected)
      }
    }
  }

  async #append(entry: Entry): Promise<void> {
    const file = present(this.#log, 'the log is open')
    const bytes = encodeLine({ index: this.#entries.length + 1, entry })
    try {
      await file.write(this.#logEnd, [bytes])
      if (this.#defect === 'retriesSync') await file.sync().catch(() => file.sync())
      else if (this.#defect !== 'skipsSync') await file.sync()
    } catch (error) {
      if (!isQuorateError(error, 'disk-full')) this.#fail(error)
      throw error
    }
    this.#logEnd += bytes.length
    this.#apply(entry)
  }

  async #recover(): Promise<void> {
    const { disk } = this.#setup.world
    const { dataDirectory } = this.#setup
    const path = `${dataDirectory}/log`
    await disk.makeDirectory(dataDirectory)
    const file = await disk.open(path, { create: !(await disk.exists(path)) })
    await disk.syncDirectory(dataDirectory)
    const bytes = new Uint8Array(await file.size())
    await file.read(0, bytes)
    let end = 0
    const entries: Entry[] = []
    for (const { value, endsAt } of decodeLines(bytes)) {
      const record = value as { index: number; entry: Entry }
      if (record.index !== entries.length + 1) break
      entries.push(record.entry)
      end = endsAt
    }
    await file.truncate(end)
    // The cache may show what the medium does not have: write it again before anybody is told of it.
    await file.write(0, [bytes.slice(0, end)])
    if (this.#defect !== 'skipsSync') await file.sync()
    this.#log = file
    this.#logEnd = end
    for (const entry of entries) this.#apply(entry)
    for (const id of this.#ttls.keys()) this.#renew(id)
  }

  #accept(connection: Connection): void {
    handleLines(connection, (value) => {
      const { id, poll, request } = value as { id: number; poll?: number; request?: ServerRequest }
      const send = (answer: object): void => {
        connection.write(encodeLine({ id, ...answer }))
      }
      if (poll !== undefined) send({ entries: this.#entries.slice(poll, poll + pollEntriesMax) })
      else {
        this.#executeHere(present(request, 'a line asks for something')).then(
          (answer) => send({ answer }),
          (error: unknown) => {
            ignoreExpected(error)
            send({ code: isQuorateError(error) ? error.code : 'stopped' })
          },
        )
      }
    })
  }

  // ---- the others ----

  async #poll(): Promise<void> {
    const { time } = this.#setup.world
    while (!this.#isStopped) {
      await sleep(time, pollEveryMs)
      const answer = await this.#ask({ poll: this.#entries.length }).catch(ignoreExpected)
      for (const entry of (answer?.entries ?? []) as Entry[]) this.#apply(entry)
    }
  }

  async #forward(request: ServerRequest): Promise<ServerAnswer> {
    let answer = await this.#ask({ request }).catch((error: unknown) => {
      if (this.#defect !== 'retriesWrites') throw error
      ignoreExpected(error)
    })
    answer ??= await this.#ask({ request })
    if (answer.code !== undefined) {
      const code = present(
        errorCodes.find((one) => one === answer.code),
        'the code is known',
      ) as ErrorCode
      throw new QuorateError(code, 'said the first member')
    }
    const done = answer.answer as ServerAnswer
    // What one server has answered it also has: its serializable reads never go back.
    for (
      let waited = 0;
      this.#model.revision < done.revision && this.#defect !== 'readsLocally';
      waited += pollEveryMs / 4
    ) {
      if (waited > forwardTimeoutMs)
        throw new QuorateError('timeout', 'the entries of the answer do not come')
      await sleep(this.#setup.world.time, pollEveryMs / 4)
    }
    return done
  }

  async #ask(question: object): Promise<Record<string, unknown>> {
    const { world, members } = this.#setup
    const first = present(members[0], 'there is a first member')
    if (this.#uplink === undefined || this.#uplink.isLost) {
      this.#uplink = new Uplink(
        await world.network.connect({ host: first.host, port: first.port }, forwardTimeoutMs),
      )
    }
    const uplink = this.#uplink
    return new Promise((resolve, reject) => {
      const id = uplink.ask(question, resolve, () => reject(new QuorateError('connection-lost', 'no answer')))
      world.time.startTimer(forwardTimeoutMs, () => uplink.giveUp(id))
    })
  }

  // ---- all ----

  #apply(entry: Entry): void {
    this.#entries.push(entry)
    this.#digest = crc32c(utf8Encode(stringify(entry)), this.#digest)
    switch (entry.kind) {
      case 'change':
        this.#advance(entry.events)
        break
      case 'compact':
        this.#compactRevision = entry.revision
        break
      case 'leaseGrant':
        this.#ttls.set(entry.id, entry.ttlSeconds)
        break
      default:
        this.#ttls.delete(entry.id)
        this.#deadlines.delete(entry.id)
        this.#advance(leaseEvents(this.#model, entry.id))
    }
  }

  #advance(events: readonly ModelEvent[]): void {
    if (events.length === 0) return
    const revision = this.#model.revision + 1
    for (const event of events) {
      const key = event.kind === 'put' ? event.pair.key : event.key
      this.#told.push({ event, revision, previous: this.#model.get(key) })
    }
    this.#model.apply({ revision, events })
    for (const watch of this.#watches) this.#tell(watch)
  }

  #tell(watch: Watch): void {
    const { request, onMessage } = watch
    const fresh = this.#told.slice(this.#told.findLastIndex((one) => one.revision < watch.next) + 1)
    const events = fresh.filter(({ event }) => {
      if (event.kind === 'put') return !request.noPut && isInSpan(event.pair.key, request)
      return !request.noDelete && isInSpan(event.key, request)
    })
    const { revision } = this.#model
    // A watch from the future waits for it.
    watch.next = Math.max(watch.next, revision + 1)
    const told = request.previous ? events : events.map((one) => ({ ...one, previous: undefined }))
    if (this.#defect === 'losesEvents' && revision % 10 === 0) told.shift()
    if (told.length === 0) return
    const groups = this.#defect === 'splitsWatches' ? told.map((one) => [one]) : [told]
    for (const group of groups) onMessage({ kind: 'events', revision, events: group, fragment: false })
  }

  #run(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fail(error))
  }

  #fail(reason: unknown): void {
    this.#isStopped = true
    this.#stopped.resolve(reason)
  }
}

/** A connection to the first member with the questions that wait for an answer. */
class Uplink {
  isLost = false
  readonly #connection: Connection
  readonly #waiting = new Map<
    number,
    { resolve: (answer: Record<string, unknown>) => void; reject: () => void }
  >()
  #lastId = 0

  constructor(connection: Connection) {
    this.#connection = connection
    const onLost = (): void => {
      this.isLost = true
      for (const id of [...this.#waiting.keys()]) this.giveUp(id)
    }
    handleLines(
      connection,
      (value) => {
        const answer = value as Record<string, unknown>
        const waiting = this.#waiting.get(Number(answer.id))
        this.#waiting.delete(Number(answer.id))
        waiting?.resolve(answer)
      },
      onLost,
    )
  }

  ask(question: object, resolve: (answer: Record<string, unknown>) => void, reject: () => void): number {
    const id = ++this.#lastId
    this.#waiting.set(id, { resolve, reject })
    this.#connection.write(encodeLine({ id, ...question }))
    return id
  }

  /** A question without an answer in time: the connection cannot be trusted any more. */
  giveUp(id: number): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.#waiting.delete(id)
    this.isLost = true
    this.#connection.destroy()
    waiting.reject()
  }
}

function leaseEvents(model: KvModel, id: bigint): ModelEvent[] {
  return model.keysOfLease(id).map((key) => ({ kind: 'delete', key }))
}

function leasesIn(request: ServerRequest & { kind: 'keyValue' }): bigint[] {
  const inner = request.request
  // Only puts by themselves have a lease here.
  return inner.kind === 'put' && inner.lease !== 0n ? [inner.lease] : []
}

function ignoreExpected(error: unknown): undefined {
  if (!isQuorateError(error)) throw error
  return undefined
}

// ---- lines: checksum, JSON, line feed ----

function stringify(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'bigint' ? { bigint: String(part) } : part,
  )
}

function parse(text: string): unknown {
  return JSON.parse(text, (_, part: unknown) => {
    const isBigint = typeof part === 'object' && part !== null && 'bigint' in part
    return isBigint ? BigInt(String(part.bigint)) : part
  })
}

function encodeLine(value: unknown): Uint8Array {
  const text = stringify(value)
  return utf8Encode(`${crc32c(utf8Encode(text)).toString(16).padStart(8, '0')} ${text}\n`)
}

/** The valid lines from the start; ends at the first that is not. */
function* decodeLines(bytes: Uint8Array): Generator<{ value: unknown; endsAt: number }> {
  for (let start = 0; ; ) {
    const end = bytes.indexOf(0x0a, start)
    if (end < 0) return
    const line = utf8Decode(bytes.subarray(start, end)) ?? ''
    const text = line.slice(9)
    if (Number.parseInt(line.slice(0, 8), 16) !== crc32c(utf8Encode(text))) return
    start = end + 1
    yield { value: parse(text), endsAt: start }
  }
}

function handleLines(
  connection: Connection,
  onLine: (value: unknown) => void,
  onClose: () => void = () => undefined,
): void {
  let buffered: Uint8Array = new Uint8Array(0)
  connection.setHandlers({
    onData: (bytes) => {
      buffered = concatBytes([buffered, bytes])
      let taken = 0
      for (const { value, endsAt } of decodeLines(buffered)) {
        taken = endsAt
        onLine(value)
      }
      buffered = buffered.slice(taken)
      // A whole line that is not valid was damaged on the way.
      if (buffered.includes(0x0a)) connection.destroy()
    },
    onDrain: () => undefined,
    onClose,
  })
}
