// The stories of the state machine: one claim a file. What the commands mean is in `commands` below.
import assert from 'node:assert/strict'
import { type CaseHandler, runTestdata } from '../../testing/testdata.ts'
import { concatBytes, isQuorateError, printableBytes, SeededRandom } from '../base/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend, type Pair } from '../store/index.ts'
import {
  type Applied,
  type CompareResult,
  type CompareTarget,
  type ConsistentCore,
  type ConsistentCoreOptions,
  checkOperation,
  createConsistentCore,
  decodeCommand,
  defaultOperationLimits,
  encodeCommand,
  type KeyValue,
  type Operation,
  type OperationResult,
  type RangeOperation,
  type RangeResult,
  type Refusal,
  type SessionStamp,
  type SortOrder,
  type SortTarget,
  type TransactionOperation,
  type WatchOutput,
  type WatchStream,
  type WriteCommand,
} from './index.ts'

runTestdata('src/consistent-core/testdata', createHandler)

interface Replica {
  backend: MemoryBackend
  core: ConsistentCore
}

const sessionLimits = { answersMax: 3, answerBytesMax: 200, bytesPerSessionMax: 600, bytesMax: 1000 }
const watchLimits = { tailBytesMax: 2000, pendingRevisionsMax: 4, watchersPerStreamMax: 4 }

function createHandler(): CaseHandler {
  let main = createReplica()
  let follower = createReplica()
  const log: Uint8Array[] = []
  const streams = new Map<string, { stream: WatchStream; ready: number }>()
  const hashes: number[] = []
  const paused = new Map<string, Generator<void, unknown, void>>()
  let held: readonly Uint8Array[] = []
  let restoring: ReturnType<ConsistentCore['beginRestore']> | undefined

  const propose = (replica: Replica, payload: Uint8Array): Applied => {
    log.push(payload)
    const { appliedIndex } = replica.core
    return replica.core.apply({ index: appliedIndex + 1, term: 1, timeMs: 0, payload })
  }
  const write = (command: WriteCommand, session: SessionStamp | undefined): string =>
    describeApplied(propose(main, encodeCommand({ session, write: command })))
  const streamOf = (name: string | undefined): { stream: WatchStream; ready: number } => {
    const found = streams.get(name ?? '')
    assert.ok(found, `stream ${name} is open`)
    return found
  }

  const commands: Record<string, (words: Words) => string> = {
    // Writes; as=session/request/answeredBelow stamps them.
    put: (words) => write(parsePut(words), stampOf(words)),
    delete: (words) => write(parseDelete(words), stampOf(words)),
    txn: (words) => write(parseTransaction(words), stampOf(words)),
    compact: (words) => write({ kind: 'compact', revision: Number(words.at(0)) }, stampOf(words)),
    grant: (words) =>
      write({ kind: 'leaseGrant', id: BigInt(words.at(0)), ttlSeconds: Number(words.at(1)) }, stampOf(words)),
    revoke: (words) =>
      write({ kind: 'leaseRevoke', id: BigInt(words.at(0)), expired: false }, stampOf(words)),
    // Puts many keys k000, k001, ... in one transaction.
    fill: (words) => {
      const puts = Array.from({ length: Number(words.at(0)) }, (_, i): Operation => {
        const key = bytesOf(`k${String(i).padStart(3, '0')}`)
        return { ...parsePut(new Words([''])), key, value: bytesOf(words.at(1)) }
      })
      const transaction = { kind: 'transaction' as const, compare: [], success: puts, failure: [] }
      propose(main, encodeCommand({ session: undefined, write: transaction }))
      return `revision ${main.core.revision}`
    },
    check: (words) => {
      const refusal = checkOperation(parseOperation(words.expression()), defaultOperationLimits)
      return refusal === undefined ? 'in order' : describeRefusal(refusal)
    },
    // Reads. `begin` starts a range and stops at its first pause, `end` reads the rest.
    get: (words) => describeRange(finish(main.core.range(parseRange(words)))),
    'read-txn': (words) => {
      const result = finish(main.core.readTransaction(parseTransaction(words)))
      return result.kind === 'refused' ? describeRefusal(result) : describeResult(result).join('\n')
    },
    begin: (words) => {
      const range = main.core.range(parseRange(words.without(0)))
      const step = range.next()
      paused.set(words.at(0), range)
      return step.done === true ? 'done at once' : 'paused'
    },
    end: (words) => {
      const range = paused.get(words.at(0)) as Generator<void, RangeResult | Refusal, void>
      return describeRange(finish(range), true)
    },
    hash: (words) => {
      const result = finish(main.core.hash(Number(words.at(0, '0'))))
      if ('kind' in result) return describeRefusal(result)
      if (!hashes.includes(result.hash)) hashes.push(result.hash)
      const name = String.fromCharCode(65 + hashes.indexOf(result.hash))
      return `hash ${name} at ${result.hashRevision} compacted at ${result.compactRevision}`
    },
    // Leases, with the leader's clock.
    'leader-start': (words) => quiet(() => main.core.leader.start(Number(words.at(0)))),
    'leader-stop': () => quiet(() => main.core.leader.stop()),
    suspend: () => quiet(() => main.core.leader.suspend()),
    tick: (words) => {
      const proposed = main.core.leader.tick(Number(words.at(0)))
      const text = proposed.map((payload) => describeCommand(decodeCommand(payload).write))
      if (words.flag('hold')) {
        held = [...held, ...proposed]
        return text.join('\n')
      }
      for (const payload of proposed) text.push(describeApplied(propose(main, payload)))
      return text.join('\n')
    },
    'apply-held': () => {
      const proposed = held
      held = []
      return proposed.map((payload) => describeApplied(propose(main, payload))).join('\n')
    },
    'refuse-held': () =>
      quiet(() => {
        for (const payload of held) main.core.leader.refused(payload)
        held = []
      }),
    renew: (words) => `ttl ${main.core.renewLease(BigInt(words.at(0)), Number(words.at(1)))}`,
    checkpointed: (words) => (main.core.isCheckpointed(BigInt(words.at(0))) ? 'yes' : 'no'),
    'take-back': (words) =>
      write(
        { kind: 'leaseCheckpoint', leases: [{ id: BigInt(words.at(0)), remainingSeconds: 0 }] },
        undefined,
      ),
    lease: (words) => {
      const lease = main.core.lease(BigInt(words.at(0)), 0)
      if (lease === undefined) return 'unknown'
      const keys = lease.keys.map(textOf).join(' ')
      return `granted ${lease.grantedSeconds} remaining ${lease.remainingSeconds ?? '?'} keys [${keys}]`
    },
    counts: () => {
      const { leases, sessions, watchers } = main.core.counts
      return `leases ${leases} sessions ${sessions} watchers ${watchers}`
    },
    // Watching. `read` pulls until the stream is drained; `ready` says how often it called since.
    open: (words) => {
      const entry = { ready: 0, stream: undefined as unknown as WatchStream }
      const replica = words.flag('follower') ? follower : main
      entry.stream = replica.core.openWatchStream(() => {
        entry.ready++
      })
      streams.set(words.at(0), entry)
      return ''
    },
    watch: (words) => {
      const [name, key, end] = [words.at(0), bytesOf(words.at(1)), bytesOf(words.at(2, ''))]
      const request = {
        key,
        rangeEnd: end,
        startRevision: words.number('start'),
        watchId: words.number('id'),
        previous: words.flag('prev'),
        noPut: words.flag('no-put'),
        noDelete: words.flag('no-delete'),
        progressNotify: words.flag('notify'),
        fragment: words.flag('fragment'),
      }
      streamOf(name).stream.create(request)
      return ''
    },
    cancel: (words) => quiet(() => streamOf(words.at(0)).stream.cancel(Number(words.at(1)))),
    progress: (words) => quiet(() => streamOf(words.at(0)).stream.requestProgress()),
    notify: (words) => quiet(() => streamOf(words.at(0)).stream.notifyProgress()),
    close: (words) => quiet(() => streamOf(words.at(0)).stream.close()),
    read: (words) => {
      const lines: string[] = []
      const { stream } = streamOf(words.at(0))
      const limit = words.number('limit') || Infinity
      while (lines.length < limit) {
        const output = stream.next(words.number('bytes') || 1_000_000)
        if (output === undefined) break
        lines.push(describeOutput(output))
      }
      return lines.join('\n')
    },
    ready: (words) => {
      const entry = streamOf(words.at(0))
      const { ready } = entry
      entry.ready = 0
      return `called ${ready}`
    },
    // The store: background work, loss, snapshots.
    maintain: (words) => {
      const steps = words.number('steps') || Infinity
      for (let step = 0; step < steps && main.core.maintain(); step++);
      return `finished ${main.core.compactionFinishedRevision}`
    },
    rows: () => {
      const store = createStore(main.backend)
      const count = (table: 'links' | 'history' | 'revisions' | 'leases' | 'sessions'): number =>
        [...store.range(table, {})].length
      flush(main)
      return (['links', 'history', 'revisions', 'leases', 'sessions'] as const)
        .map((table) => `${table} ${count(table)}`)
        .join(' ')
    },
    flush: () => {
      flush(main)
      return `durable up to ${main.core.appliedIndex}`
    },
    // Loses what was not flushed, opens what was and applies the log from there.
    crash: () => {
      const before = main.core.digest
      main = openReplica(main.backend.crash())
      const opened = main.core.appliedIndex
      const isWhole = finish(main.core.verify())
      finish(main.core.load())
      for (const payload of log.slice(opened)) {
        main.core.apply({ index: main.core.appliedIndex + 1, term: 1, timeMs: 0, payload })
      }
      return `opened at ${opened} ${isWhole ? 'whole' : 'damaged'} digest ${main.core.digest === before ? 'equal' : 'differs'}`
    },
    // Removes one row behind the back of the state machine.
    damage: (words) => {
      flush(main)
      const table = words.at(0) as 'links'
      const [row] = [...main.backend.range(table, {})] as [Pair]
      commit(main, [{ table, changes: [{ key: row.key, value: undefined }] }])
      return ''
    },
    // The follower takes a snapshot of the main replica; `swap` goes on with it.
    install: (words) => {
      const source = main.core.openSnapshot()
      const chunks: Uint8Array[] = []
      for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) {
        chunks.push(chunk)
        if (words.flag('interleaved')) propose(main, encodeCommand(writeBetween))
      }
      source.done()
      const cut = source.appliedIndex
      clear(follower)
      const sink = follower.core.beginRestore()
      // In small pieces, whose memory is used again.
      const piece = new Uint8Array(10)
      for (const chunk of chunks) {
        for (let at = 0; at < chunk.length; at += piece.length) {
          const bytes = chunk.subarray(at, at + piece.length)
          piece.set(bytes)
          sink.write(piece.subarray(0, bytes.length))
        }
      }
      sink.finish()
      for (const payload of log.slice(cut)) {
        follower.core.apply({ index: follower.core.appliedIndex + 1, term: 1, timeMs: 0, payload })
      }
      const isEqual = follower.core.digest === main.core.digest
      return `installed at ${cut} revision ${follower.core.revision} digest ${isEqual ? 'equal' : 'differs'}`
    },
    // The same in two steps: what comes between them meets a state that is being replaced.
    'install-begin': () => {
      restoring = follower.core.beginRestore()
      return ''
    },
    'install-end': () => {
      assert.ok(restoring, 'an install has begun')
      clear(follower)
      const source = main.core.openSnapshot()
      for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) restoring.write(chunk)
      source.done()
      restoring.finish()
      return `installed at ${source.appliedIndex} revision ${follower.core.revision}`
    },
    swap: () =>
      quiet(() => {
        const other = main
        main = follower
        follower = other
      }),
  }

  return ({ name, args }) => {
    const command = commands[name]
    assert.ok(command, `there is no command ${name}`)
    try {
      return command(new Words(args))
    } catch (error) {
      if (isQuorateError(error)) return `error ${error.code}`
      throw error
    }
  }
}

const writeBetween = {
  session: undefined,
  write: { kind: 'leaseGrant' as const, id: 99n, ttlSeconds: 60 },
}

function createReplica(): Replica {
  return openReplica(createMemoryBackend({ schedule: runNow, random: new SeededRandom(1) }))
}

/** A commit ends within the call. */
function runNow(finishWork: () => void): Promise<void> {
  finishWork()
  return Promise.resolve()
}

function openReplica(backend: MemoryBackend): Replica {
  const options: ConsistentCoreOptions = { store: createStore(backend), sessionLimits, watchLimits }
  return { backend, core: createConsistentCore(options) }
}

function commit(replica: Replica, batch: Parameters<MemoryBackend['commit']>[0]): void {
  replica.backend.commit(batch).catch(assert.fail)
}

function flush(replica: Replica): void {
  const taken = replica.core.takeBatch()
  if (taken === undefined) return
  commit(replica, taken.batch)
  replica.core.flushed()
}

function clear(replica: Replica): void {
  replica.backend.clear().catch(assert.fail)
}

function quiet(action: () => void): string {
  action()
  return ''
}

function finish<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

// ---- notation: words, and expressions in brackets ------------------------------------------------------------------

type Expression = string | Expression[]

class Words {
  readonly #words: readonly string[]

  constructor(words: readonly string[]) {
    this.#words = words
  }

  /** The words that are no option. */
  at(position: number, otherwise?: string): string {
    const word = this.#words.filter((one) => !isOption(one))[position] ?? otherwise
    assert.ok(word !== undefined, `word ${position} is missing`)
    return word
  }

  flag(name: string): boolean {
    return this.#words.includes(`-${name}`)
  }

  option(name: string): string | undefined {
    return this.#words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1)
  }

  number(name: string): number {
    return Number(this.option(name) ?? 0)
  }

  without(position: number): Words {
    return new Words(this.#words.filter((_, i) => i !== position))
  }

  expression(): Expression[] {
    return parseExpressions(this.#words.filter((word) => !word.startsWith('as=')).join(' '))
  }
}

const optionNames =
  /^(as|lease|rev|limit|order|target|min-mod|max-mod|min-create|max-create|start|id|bytes|steps)=/

function isOption(word: string): boolean {
  return optionNames.test(word) || /^-[a-z]/.test(word)
}

function parseExpressions(text: string): Expression[] {
  const stack: Expression[][] = [[]]
  for (const token of text.match(/[()]|[^\s()]+/g) ?? []) {
    if (token === '(') stack.push([])
    else if (token === ')') {
      const inner = stack.pop() as Expression[]
      stack[stack.length - 1]?.push(inner)
    } else stack[stack.length - 1]?.push(token)
  }
  assert.equal(stack.length, 1, `brackets match in ${text}`)
  return stack[0] as Expression[]
}

/** \0 and \xNN are bytes, "" is empty, a*1900 repeats, + joins. */
function bytesOf(text: string): Uint8Array {
  if (text === '' || text === '""') return new Uint8Array(0)
  return concatBytes(
    text.split('+').map((part) => {
      const [unit = '', count = '1'] = part.split('*')
      const plain = unit
        .replaceAll('\\0', '\x00')
        .replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
      return Uint8Array.from(plain.repeat(Number(count)), (char) => char.charCodeAt(0))
    }),
  )
}

function textOf(bytes: Uint8Array): string {
  return printableBytes(bytes).replace(
    /(\\x..|.)\1{9,}/g,
    (run: string, unit: string) => `${unit}*${run.length / unit.length}`,
  )
}

function stampOf(words: Words): SessionStamp | undefined {
  const text = words.option('as')
  if (text === undefined) return undefined
  const [session = '', request, answeredBelow = 0] = text.split('/')
  return { session: BigInt(session), request: Number(request), answeredBelow: Number(answeredBelow) }
}

function parsePut(words: Words): Extract<Operation, { kind: 'put' }> {
  return {
    kind: 'put',
    key: bytesOf(words.at(0, '')),
    value: bytesOf(words.at(1, '')),
    lease: BigInt(words.option('lease') ?? 0),
    previous: words.flag('prev'),
    ignoreValue: words.flag('ignore-value'),
    ignoreLease: words.flag('ignore-lease'),
  }
}

function parseDelete(words: Words): Extract<Operation, { kind: 'deleteRange' }> {
  const rangeEnd = bytesOf(words.at(1, ''))
  return { kind: 'deleteRange', key: bytesOf(words.at(0, '')), rangeEnd, previous: words.flag('prev') }
}

function parseRange(words: Words): RangeOperation {
  return {
    kind: 'range',
    key: bytesOf(words.at(0, '')),
    rangeEnd: bytesOf(words.at(1, '')),
    limit: words.number('limit'),
    revision: words.number('rev'),
    sortOrder: (words.option('order') ?? 'none') as SortOrder,
    sortTarget: (words.option('target') ?? 'key') as SortTarget,
    keysOnly: words.flag('keys-only'),
    countOnly: words.flag('count-only'),
    modRevisionMin: words.number('min-mod'),
    modRevisionMax: words.number('max-mod'),
    createRevisionMin: words.number('min-create'),
    createRevisionMax: words.number('max-create'),
  }
}

/** (if (version a = 0) ...) (then (put a 1) (get a) (txn ...) ...) (else ...) */
function parseTransaction(words: Words): TransactionOperation {
  return transactionOf(words.expression())
}

function transactionOf(parts: readonly Expression[]): TransactionOperation {
  const section = (name: string): Expression[] =>
    (parts.find((part) => Array.isArray(part) && part[0] === name) as Expression[] | undefined)?.slice(1) ??
    []
  return {
    kind: 'transaction',
    compare: section('if').map((one) => compareOf(one as string[])),
    success: section('then').map((one) => parseOperation(one as Expression[])),
    failure: section('else').map((one) => parseOperation(one as Expression[])),
  }
}

function compareOf(words: string[]): TransactionOperation['compare'][number] {
  const [target = '', key = '', sign = '', operand = '', end = ''] = words
  const results: Record<string, CompareResult> = {
    '=': 'equal',
    '>': 'greater',
    '<': 'less',
    '!=': 'notEqual',
  }
  return {
    target: target as CompareTarget,
    result: results[sign] as CompareResult,
    key: bytesOf(key),
    rangeEnd: bytesOf(end),
    number: target === 'value' || target === 'lease' ? 0 : Number(operand),
    value: target === 'value' ? bytesOf(operand) : new Uint8Array(0),
    lease: target === 'lease' ? BigInt(operand) : 0n,
  }
}

function parseOperation(expression: readonly Expression[]): Operation {
  const [name, ...rest] = expression.length === 1 && Array.isArray(expression[0]) ? expression[0] : expression
  if (name === 'txn') return transactionOf(rest)
  const words = new Words(rest as string[])
  if (name === 'put') return parsePut(words)
  if (name === 'delete') return parseDelete(words)
  assert.equal(name, 'get')
  return parseRange(words)
}

// ---- notation: answers ---------------------------------------------------------------------------------------------

function describePair(pair: KeyValue): string {
  const lease = pair.lease === 0n ? '' : ` lease=${pair.lease}`
  const { createRevision, modRevision, version } = pair
  const numbers = `create=${createRevision} mod=${modRevision} version=${version}`
  return `${textOf(pair.key)}=${textOf(pair.value)} ${numbers}${lease}`
}

function describeRefusal(refusal: Refusal): string {
  return `refused ${refusal.code}`
}

function describeApplied(applied: Applied): string {
  const { revision, result } = applied
  if (result.kind === 'refused') return `${describeRefusal(result)} at ${revision}`
  if (result.kind === 'leaseGrant') return `granted ${result.id} for ${result.ttlSeconds}s at ${revision}`
  if (result.kind === 'done' || result.kind === 'doneBefore') return `${result.kind} at ${revision}`
  return [`revision ${revision}`, ...describeResult(result)].join('\n')
}

function describeResult(result: OperationResult): string[] {
  switch (result.kind) {
    case 'put':
      return [
        `put at ${result.revision}`,
        ...(result.previous ? [`  was ${describePair(result.previous)}`] : []),
      ]
    case 'deleteRange':
      return [
        `deleted ${result.deleted} at ${result.revision}`,
        ...result.previous.map((pair) => `  was ${describePair(pair)}`),
      ]
    case 'range':
      return [`range at ${result.revision}`, ...describeRange(result).split('\n').map(indent)]
    case 'transaction':
      return [
        `${result.succeeded ? 'then' : 'else'} at ${result.revision}`,
        ...result.results.flatMap(describeResult).map(indent),
      ]
  }
}

function indent(line: string): string {
  return `  ${line}`
}

function describeRange(result: RangeResult | Refusal, isShort = false): string {
  if (result.kind === 'refused') return describeRefusal(result)
  const pairs = isShort ? [`pairs ${result.pairs.length}`] : result.pairs.map(describePair)
  return [...pairs, `count ${result.count}${result.more ? ' more' : ''}`].join('\n')
}

function describeCommand(write: WriteCommand): string {
  if (write.kind === 'leaseRevoke') return `propose revoke ${write.id}`
  assert.equal(write.kind, 'leaseCheckpoint')
  const leases = (write as Extract<WriteCommand, { kind: 'leaseCheckpoint' }>).leases
  return `propose checkpoint ${leases.map((one) => `${one.id}:${one.remainingSeconds}s`).join(' ')}`
}

function describeOutput(output: WatchOutput): string {
  switch (output.kind) {
    case 'created':
      return `#${output.watchId} created at ${output.revision}`
    case 'createRefused':
      return `#${output.watchId} refused: ${output.reason}`
    case 'events': {
      const events = output.events.map((event) => {
        const { kind, pair, previous } = event
        const was = previous === undefined ? '' : ` was ${textOf(previous.value)}@${previous.modRevision}`
        return kind === 'put'
          ? `put ${textOf(pair.key)}=${textOf(pair.value)}@${pair.modRevision}${was}`
          : `delete ${textOf(pair.key)}@${pair.modRevision}${was}`
      })
      return `#${output.watchId} at ${output.revision}${output.fragment ? ' fragment' : ''}: ${events.join(', ')}`
    }
    case 'progress':
      return `#${output.watchId} progress ${output.revision}`
    case 'canceled':
      return `#${output.watchId} canceled ${output.reason}`.trimEnd()
    case 'compacted':
      return `#${output.watchId} compacted at ${output.compactRevision}`
  }
}
