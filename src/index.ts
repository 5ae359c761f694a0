/**
 * Quorate inside a Node program: the same node that the executable runs, on disk or in memory, listening or not.
 *
 * ```ts
 * import { openQuorate } from 'quorate'
 *
 * const quorate = await openQuorate({ directory: './data' })
 * await quorate.put('greeting', 'hello')
 * console.log(quorate.clientUrl, (await quorate.get('greeting'))?.value)
 * await quorate.close()
 * ```
 */
import { copyBytes, type LeaseId, QuorateError, SeededRandom, utf8Encode } from './base/index.ts'
import type {
  Applied,
  KeyValue,
  Operation,
  RangeOperation,
  Refusal,
  TransactionOperation,
  TransactionResult,
  WatchEvent,
  WatchOutput,
  WriteCommand,
} from './consistent-core/index.ts'
import { checkOperation, defaultOperationLimits, encodeCommand } from './consistent-core/index.ts'
import { type Logger, randomU64, silentLogger } from './io/index.ts'
import { createMemoryDisk, createNodeEntropy } from './io-node/index.ts'
import {
  configFromFlags,
  type FlagName,
  parseFlags,
  realWorld,
  type Server,
  type ServerConfig,
  type ServerStatus,
  type ServerWorld,
  startServer,
} from './server/index.ts'
import { createMemoryBackend } from './store/index.ts'

export type { ErrorCode } from './base/index.ts'
export { isQuorateError, QuorateError } from './base/index.ts'
export type {
  Compare,
  KeyValue,
  Operation,
  TransactionOperation,
  TransactionResult,
  WatchEvent,
} from './consistent-core/index.ts'
export type { Logger } from './io/index.ts'
export type { FlagName, ServerStatus } from './server/index.ts'

export interface QuorateOptions {
  /** Where everything is kept. Without it the node lives in memory and is gone with its process. */
  readonly directory?: string
  /** Where etcd clients can connect: "host:port", port 0 for a free one; false for nowhere. Default "127.0.0.1:0". */
  readonly listen?: string | false
  /** Flags of the executable, without dashes: `{ 'initial-cluster': ... }`. Without peers a cluster of one. */
  readonly flags?: Readonly<Partial<Record<FlagName, string>>>
  /** Takes the log lines; the default takes none. */
  readonly logger?: Logger
  /** The node failed for good and has stopped. It never ends its host. */
  readonly onFailed?: (error: unknown) => void
}

/** Text stands for its UTF-8 bytes. */
export type Key = string | Uint8Array

export interface WatchOptions {
  /** Every key that begins with `key`. */
  readonly prefix?: boolean
  /** First revision to hear of; default: what comes next. */
  readonly fromRevision?: number
  /** Tell the value before each change as well. */
  readonly previous?: boolean
}

/** An open node. Every refusal is a QuorateError with a code. */
export interface Quorate {
  /** Where etcd clients connect; undefined when it does not listen. */
  readonly clientUrl: string | undefined
  put(key: Key, value: Key, options?: { lease?: LeaseId }): Promise<{ revision: number }>
  get(key: Key): Promise<KeyValue | undefined>
  list(prefix: Key, options?: { limit?: number }): Promise<readonly KeyValue[]>
  delete(key: Key): Promise<{ deleted: number; revision: number }>
  transaction(operation: Omit<TransactionOperation, 'kind'>): Promise<TransactionResult>
  grantLease(ttlSeconds: number): Promise<LeaseId>
  revokeLease(id: LeaseId): Promise<void>
  /** Events in order, without gaps, until the loop is left. Error `revision-compacted`: start from a newer one. */
  watch(key: Key, options?: WatchOptions): AsyncIterableIterator<WatchEvent>
  status(): ServerStatus
  close(): Promise<void>
}

const callTimeoutMs = 7_000
const watchBytesMax = 1024 * 1024

/** Opens a node and resolves when it serves. Errors: those of a start of the executable. */
export async function openQuorate(options: QuorateOptions = {}): Promise<Quorate> {
  const config = configOf(options)
  const failed = (error: unknown): void => options.onFailed?.(error)
  const server = await startServer(config, { failed }, worldOf(options, config))
  return new EmbeddedNode(server)
}

function configOf(options: QuorateOptions): ServerConfig {
  const { directory = 'memory', listen = '127.0.0.1:0', flags = {} } = options
  const args = Object.entries({ 'listen-peer-urls': '', ...flags, 'data-dir': directory }).flatMap(
    ([name, value]) => [`--${name}`, value],
  )
  const config = configFromFlags(
    parseFlags([...args, '--listen-client-urls', `http://${listen || '127.0.0.1:0'}`], {}),
  )
  return listen === false ? { ...config, clientAddresses: [] } : config
}

function worldOf(options: QuorateOptions, config: ServerConfig): ServerWorld {
  const logger = options.logger ?? silentLogger
  const real = { ...realWorld(config), logger }
  if (options.directory !== undefined) return real
  const schedule = (finish: () => void): Promise<void> => Promise.resolve().then(finish)
  return {
    ...real,
    disk: createMemoryDisk(),
    lock: async () => ({ release: () => Promise.resolve() }),
    openBackend: async () => createMemoryBackend({ schedule, random: new SeededRandom(0) }),
  }
}

class EmbeddedNode implements Quorate {
  readonly #server: Server

  constructor(server: Server) {
    this.#server = server
  }

  get clientUrl(): string | undefined {
    const address = this.#server.clientAddresses[0]
    return address === undefined ? undefined : `http://${address.host}:${address.port}`
  }

  async put(key: Key, value: Key, options: { lease?: LeaseId } = {}): Promise<{ revision: number }> {
    const { revision } = await this.#write({
      kind: 'put',
      key: bytesOf(key),
      value: bytesOf(value),
      lease: options.lease ?? 0n,
      previous: false,
      ignoreValue: false,
      ignoreLease: false,
    })
    return { revision }
  }

  async get(key: Key): Promise<KeyValue | undefined> {
    const pairs = await this.#range({ key: bytesOf(key), rangeEnd: new Uint8Array(0), limit: 1 })
    return pairs[0]
  }

  list(prefix: Key, options: { limit?: number } = {}): Promise<readonly KeyValue[]> {
    return this.#range({ ...prefixInterval(bytesOf(prefix)), limit: options.limit ?? 0 })
  }

  async delete(key: Key): Promise<{ deleted: number; revision: number }> {
    const { result, revision } = await this.#write({
      kind: 'deleteRange',
      key: bytesOf(key),
      rangeEnd: new Uint8Array(0),
      previous: false,
    })
    return { deleted: result.kind === 'deleteRange' ? result.deleted : 0, revision }
  }

  async transaction(operation: Omit<TransactionOperation, 'kind'>): Promise<TransactionResult> {
    const { result } = await this.#write({ kind: 'transaction', ...operation })
    if (result.kind !== 'transaction') throw new QuorateError('invalid-argument', 'this was no transaction')
    return result
  }

  async grantLease(ttlSeconds: number): Promise<LeaseId> {
    const id = BigInt.asUintN(62, randomU64(createNodeEntropy())) + 1n
    await this.#write({ kind: 'leaseGrant', id, ttlSeconds })
    return id
  }

  async revokeLease(id: LeaseId): Promise<void> {
    await this.#write({ kind: 'leaseRevoke', id, expired: false })
  }

  async *watch(key: Key, options: WatchOptions = {}): AsyncIterableIterator<WatchEvent> {
    let wake: () => void = () => undefined
    const stream = this.#server.core.openWatchStream(() => wake())
    const bytes = bytesOf(key)
    try {
      stream.create({
        ...(options.prefix === true ? prefixInterval(bytes) : { key: bytes, rangeEnd: new Uint8Array(0) }),
        startRevision: options.fromRevision ?? 0,
        watchId: 0,
        previous: options.previous ?? false,
        noPut: false,
        noDelete: false,
        progressNotify: false,
        fragment: false,
      })
      for (;;) {
        const ready = new Promise<void>((resolve) => {
          wake = resolve
        })
        const output = stream.next(watchBytesMax)
        if (output === undefined) await ready
        else yield* eventsOf(output)
      }
    } finally {
      stream.close()
    }
  }

  status(): ServerStatus {
    return this.#server.status()
  }

  close(): Promise<void> {
    return this.#server.stop()
  }

  async #write(write: WriteCommand): Promise<Applied> {
    const { node } = this.#server
    const refusal = isOperation(write) ? checkOperation(write, defaultOperationLimits) : undefined
    if (refusal !== undefined) throw errorOf(refusal)
    const { result } = await node.group.propose(encodeCommand({ session: undefined, write }), {
      timeoutMs: callTimeoutMs,
    })
    if (result.result.kind === 'refused') throw errorOf(result.result)
    return result
  }

  async #range(request: Pick<RangeOperation, 'key' | 'rangeEnd' | 'limit'>): Promise<readonly KeyValue[]> {
    const { core, node } = this.#server
    await node.group.readBarrier({ timeoutMs: callTimeoutMs })
    const slices = core.range({
      kind: 'range',
      ...request,
      revision: 0,
      sortOrder: 'none',
      sortTarget: 'key',
      keysOnly: false,
      countOnly: false,
      modRevisionMin: 0,
      modRevisionMax: 0,
      createRevisionMin: 0,
      createRevisionMax: 0,
    })
    for (;;) {
      const { done, value } = slices.next()
      if (done !== true) await new Promise((resolve) => setImmediate(resolve))
      else if (value.kind === 'refused') throw errorOf(value)
      else return value.pairs
    }
  }
}

function* eventsOf(output: WatchOutput): Generator<WatchEvent> {
  if (output.kind === 'events') yield* output.events
  else if (output.kind === 'compacted') {
    const text = `the history up to revision ${output.compactRevision} was compacted`
    throw new QuorateError('revision-compacted', text)
  } else if (output.kind === 'createRefused' || output.kind === 'canceled') {
    throw new QuorateError('invalid-argument', output.reason)
  }
}

function isOperation(write: WriteCommand): write is Exclude<Operation, RangeOperation> {
  return write.kind === 'put' || write.kind === 'deleteRange' || write.kind === 'transaction'
}

function errorOf(refusal: Refusal): QuorateError {
  return new QuorateError(refusal.code, refusal.detail)
}

function bytesOf(key: Key): Uint8Array {
  return typeof key === 'string' ? utf8Encode(key) : key
}

/** [prefix, the first key after everything that begins with it); an empty prefix is everything. */
function prefixInterval(prefix: Uint8Array): { key: Uint8Array; rangeEnd: Uint8Array } {
  const everything = new Uint8Array([0])
  const last = prefix.findLastIndex((byte) => byte < 0xff)
  if (prefix.length === 0) return { key: everything, rangeEnd: everything }
  if (last < 0) return { key: prefix, rangeEnd: everything }
  const rangeEnd = copyBytes(prefix.subarray(0, last + 1))
  rangeEnd[last] = (rangeEnd[last] as number) + 1
  return { key: prefix, rangeEnd }
}
