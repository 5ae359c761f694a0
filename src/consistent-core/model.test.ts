// Random commands against a naive model that holds every version in a list. SEED=n repeats one run.
import assert from 'node:assert/strict'
import test from 'node:test'
import { LineTaker } from '../../testing/line-taker.ts'
import { bytesFromLatin1, latin1FromBytes, present, SeededRandom } from '../base/index.ts'
import { createMemoryBackend, createStore, type MemoryBackend } from '../store/index.ts'
import {
  type Command,
  type Compare,
  type ConsistentCore,
  createConsistentCore,
  decodeCommand,
  encodeCommand,
  type KeyInterval,
  type Operation,
  type PutOperation,
  type RangeOperation,
  type TransactionOperation,
  type WatchEvent,
  type WatchOutput,
  type WatchStream,
} from './index.ts'

// ---- the model -----------------------------------------------------------------------------------------------------

interface Version {
  readonly key: string
  /** Undefined: a tombstone. */
  readonly value: string | undefined
  readonly create: number
  readonly mod: number
  readonly version: number
  readonly lease: bigint
}

class Model {
  versions: Version[] = []
  revision = 1
  compacted = -1
  leases = new Map<bigint, number>()
  answers = new Map<bigint, Map<number, string>>()
  answeredBelow = new Map<bigint, number>()

  at(revision: number): Version[] {
    const newest = new Map<string, Version>()
    for (const one of this.versions) if (one.mod <= revision) newest.set(one.key, one)
    return [...newest.values()]
      .filter((one) => one.value !== undefined)
      .sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  apply(command: Command): string {
    const { session: stamp, write } = command
    if (stamp === undefined) return this.perform(write)
    if (!this.leases.has(stamp.session)) return this.answer({ refused: 'session-expired' })
    const below = Math.max(this.answeredBelow.get(stamp.session) ?? 0, stamp.answeredBelow)
    const kept = this.answers.get(stamp.session) ?? new Map<number, string>()
    // A session exists from its first answer on; only then is the window remembered.
    if (this.answers.has(stamp.session)) this.answeredBelow.set(stamp.session, below)
    if (stamp.request < below) return this.answer({ refused: 'request-number-too-old' })
    const before = kept.get(stamp.request)
    if (before !== undefined) return before
    const answer = this.perform(write)
    if (this.leases.has(stamp.session)) {
      this.answers.set(stamp.session, kept.set(stamp.request, answer))
      this.answeredBelow.set(stamp.session, below)
    }
    return answer
  }

  answer(result: unknown): string {
    return plain({ revision: this.revision, result })
  }

  perform(write: Command['write']): string {
    switch (write.kind) {
      case 'compact': {
        if (write.revision <= this.compacted) return this.answer({ refused: 'revision-compacted' })
        if (write.revision > this.revision) return this.answer({ refused: 'revision-future' })
        this.compacted = write.revision
        return this.answer({ kind: 'done' })
      }
      case 'leaseGrant':
        if (this.leases.has(write.id)) return this.answer({ refused: 'lease-exists' })
        this.leases.set(write.id, Math.max(2, write.ttlSeconds))
        return this.answer({ kind: 'leaseGrant', id: write.id, ttlSeconds: Math.max(2, write.ttlSeconds) })
      case 'leaseRevoke': {
        if (!this.leases.delete(write.id)) return this.answer({ refused: 'lease-not-found' })
        this.answers.delete(write.id)
        this.answeredBelow.delete(write.id)
        const doomed = this.at(this.revision).filter((one) => one.lease === write.id)
        if (doomed.length > 0) this.revision++
        for (const { key } of doomed) this.versions.push(tombstone(key, this.revision))
        return this.answer({ kind: 'done' })
      }
      case 'leaseCheckpoint':
        return this.answer({ kind: 'done' })
      default:
        return this.performKeys(write)
    }
  }

  performKeys(write: Operation): string {
    const draft = new Draft(this)
    let result: unknown
    try {
      if (write.kind === 'transaction') {
        const path: boolean[] = []
        if (hasDuplicates(write)) throw new Refused('duplicate-key')
        draft.choose(write, path)
        for (const kind of ['put', 'range'] as const) draft.check(kind, write, path.values())
        result = draft.transaction(write, path.values())
      } else {
        if (write.kind === 'put') {
          draft.checkLease(write)
          draft.checkKept(write)
        }
        result = draft.operation(write, [].values())
      }
    } catch (error) {
      if (error instanceof Refused) return this.answer({ refused: error.code })
      throw error
    }
    if (draft.changes.length > 0) this.revision++
    this.versions.push(...draft.changes)
    return this.answer(result)
  }
}

class Refused extends Error {
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}

class Draft {
  readonly model: Model
  readonly before: Version[]
  changes: Version[] = []
  /** Looked at so far. */
  deletes: KeyInterval[] = []
  constructor(model: Model) {
    this.model = model
    this.before = model.at(model.revision)
  }
  get revision(): number {
    return this.model.revision + (this.changes.length > 0 ? 1 : 0)
  }
  live(): Version[] {
    const now = new Map(this.before.map((one) => [one.key, one]))
    for (const one of this.changes) now.set(one.key, one)
    return [...now.values()].filter((one) => one.value !== undefined).sort((a, b) => (a.key < b.key ? -1 : 1))
  }
  choose(transaction: TransactionOperation, path: boolean[]): void {
    const succeeded = transaction.compare.every((compare) => {
      const found = this.before.filter((one) => isWithin(compare, one.key))
      return found.length === 0
        ? compareOne(compare, undefined)
        : found.every((one) => compareOne(compare, one))
    })
    path.push(succeeded)
    for (const inner of succeeded ? transaction.success : transaction.failure) {
      if (inner.kind === 'transaction') this.choose(inner, path)
    }
  }
  /** As etcd does: all puts of the path, then all its ranges. Of a put in a transaction the key first, of one alone the lease. */
  check(kind: 'put' | 'range', transaction: TransactionOperation, path: Iterator<boolean>): void {
    for (const inner of path.next().value === true ? transaction.success : transaction.failure) {
      if (inner.kind === 'transaction') this.check(kind, inner, path)
      else if (inner.kind === 'deleteRange') this.deletes.push(inner)
      else if (inner.kind !== kind) continue
      else if (inner.kind === 'put') {
        this.checkKept(inner)
        this.checkLease(inner)
      } else if (inner.kind === 'range') this.checkRevision(inner)
    }
  }
  checkKept(put: PutOperation): void {
    const key = latin1FromBytes(put.key)
    const isThere =
      this.before.some((one) => one.key === key) && !this.deletes.some((one) => isWithin(one, key))
    if (put.ignoreValue && !isThere) throw new Refused('key-not-found')
  }
  checkLease(put: PutOperation): void {
    if (put.lease !== 0n && !this.model.leases.has(put.lease)) throw new Refused('lease-not-found')
  }
  checkRevision({ revision }: RangeOperation): void {
    if (revision > this.model.revision) throw new Refused('revision-future')
    if (revision > 0 && revision < this.model.compacted) throw new Refused('revision-compacted')
  }
  transaction(transaction: TransactionOperation, path: Iterator<boolean>): unknown {
    const succeeded = path.next().value === true
    const results = (succeeded ? transaction.success : transaction.failure).map((inner) =>
      this.operation(inner, path),
    )
    return { kind: 'transaction', succeeded, results, revision: this.revision }
  }
  operation(operation: Operation, path: Iterator<boolean>): unknown {
    const mod = this.model.revision + 1
    switch (operation.kind) {
      case 'transaction':
        return this.transaction(operation, path)
      case 'range': {
        const found = operation.revision > 0 ? this.model.at(operation.revision) : this.live()
        return { ...rangeOver(found, operation), revision: this.revision }
      }
      case 'put': {
        const key = latin1FromBytes(operation.key)
        const old = this.live().find((one) => one.key === key)
        const value = operation.ignoreValue
          ? present(old?.value, 'checked')
          : latin1FromBytes(operation.value)
        const create = old?.create ?? mod
        this.changes.push({
          key,
          value,
          create,
          mod,
          version: (old?.version ?? 0) + 1,
          lease: operation.lease,
        })
        return {
          kind: 'put',
          previous: operation.previous ? pairOf(old) : undefined,
          revision: this.revision,
        }
      }
      case 'deleteRange': {
        const doomed = this.live().filter((one) => isWithin(operation, one.key))
        this.changes.push(...doomed.map((one) => tombstone(one.key, mod)))
        const previous = operation.previous ? doomed.map(pairOf) : []
        return { kind: 'deleteRange', deleted: doomed.length, previous, revision: this.revision }
      }
    }
  }
}

function tombstone(key: string, mod: number): Version {
  return { key, value: undefined, create: 0, mod, version: 0, lease: 0n }
}

function pairOf(one: Version | undefined): unknown {
  if (one === undefined) return undefined
  const { key, value = '', create, mod, version, lease } = one
  return { key, value, createRevision: create, modRevision: mod, version, lease }
}

function rangeOver(live: Version[], operation: RangeOperation): object {
  const inRange = live.filter((one) => isWithin(operation, one.key))
  const limit = operation.limit > 0 ? operation.limit : Infinity
  let found = inRange.filter((one) => operation.modRevisionMin === 0 || one.mod >= operation.modRevisionMin)
  if (operation.sortOrder !== 'none') {
    found.sort((a, b) => (operation.sortOrder === 'descend' ? -1 : 1) * (a.mod - b.mod))
  }
  const more = !operation.countOnly && found.length > limit
  found = operation.countOnly ? [] : found.slice(0, limit)
  const pairs = found.map((one) => pairOf(operation.keysOnly ? { ...one, value: '' } : one))
  return { kind: 'range', pairs, count: inRange.length, more }
}

function isWithin(interval: KeyInterval, key: string): boolean {
  const first = latin1FromBytes(interval.key)
  const end = latin1FromBytes(interval.rangeEnd)
  return end === '' ? key === first : key >= first && (end === '\0' || key < end)
}

function compareOne(compare: Compare, one: Version | undefined): boolean {
  if (compare.target === 'value') {
    if (one?.value === undefined) return false
    const right = latin1FromBytes(compare.value)
    return compare.result === 'equal' ? one.value === right : one.value > right
  }
  const left = (compare.target === 'mod' ? one?.mod : one?.version) ?? 0
  return compare.result === 'equal' ? left === compare.number : left > compare.number
}

/**
 * The rule read plainly: within a branch no key is put twice, and none is put that the same or a nested level deletes.
 * A delete without an end does not count, as in etcd.
 */
function hasDuplicates(transaction: TransactionOperation): boolean {
  const look = (operations: readonly Operation[]): { puts: string[]; deletes: KeyInterval[] } | undefined => {
    const deletes: KeyInterval[] = operations.filter((one) => one.kind === 'deleteRange')
    const puts: string[] = []
    const isDeleted = (key: string): boolean =>
      deletes.some((one) => one.rangeEnd[0] !== 0 && isWithin(one, key))
    for (const nested of operations.filter((one) => one.kind === 'transaction')) {
      const success = look(nested.success)
      const failure = look(nested.failure)
      if (success === undefined || failure === undefined) return undefined
      const both = [...new Set([...success.puts, ...failure.puts])]
      if (both.some((key) => puts.includes(key) || isDeleted(key))) return undefined
      puts.push(...both)
      deletes.push(...success.deletes, ...failure.deletes)
    }
    for (const put of operations.filter((one) => one.kind === 'put')) {
      const key = latin1FromBytes(put.key)
      if (puts.includes(key) || isDeleted(key)) return undefined
      puts.push(key)
    }
    return { puts, deletes }
  }
  return look(transaction.success) === undefined || look(transaction.failure) === undefined
}

/** Values as text that can be compared: bytes and bigints as strings, refusals by code, fields in one order. */
function plain(value: unknown): string {
  return JSON.stringify(value ?? null, (_, one: unknown) => {
    if (one instanceof Uint8Array) return latin1FromBytes(one)
    if (typeof one === 'bigint') return one.toString()
    if (typeof one !== 'object' || one === null || Array.isArray(one)) return one
    if ('kind' in one && one.kind === 'refused' && 'code' in one) return { refused: one.code }
    return Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
  }).replaceAll(long, '<long>')
}

// ---- random commands -----------------------------------------------------------------------------------------------

const long = 'k'.repeat(1950)
const keys = ['a', 'a\0', 'ab', 'b', 'b\xff', 'c', long, `${long}x`, `${long}x${long}`, `${long}\0`]

function randomInterval(random: SeededRandom): KeyInterval {
  const key = bytesFromLatin1(random.pick(keys))
  const end = random.pick(['', '', '\0', ...keys])
  return { key, rangeEnd: bytesFromLatin1(end) }
}

function randomRange(random: SeededRandom, revision: number): RangeOperation {
  return {
    kind: 'range',
    ...randomInterval(random),
    limit: random.between(-1, 4),
    revision,
    sortOrder: random.pick(['none', 'none', 'ascend', 'descend']),
    sortTarget: 'mod',
    keysOnly: random.chance(0.2),
    countOnly: random.chance(0.1),
    modRevisionMin: random.chance(0.2) ? random.between(1, 20) : 0,
    modRevisionMax: 0,
    createRevisionMin: 0,
    createRevisionMax: 0,
  }
}

function withSortTarget(range: RangeOperation): RangeOperation {
  return range.sortOrder === 'none' ? { ...range, sortTarget: 'key' } : range
}

function randomPut(random: SeededRandom): PutOperation {
  const ignoreValue = random.chance(0.1)
  return {
    kind: 'put',
    key: bytesFromLatin1(random.pick(keys)),
    value: bytesFromLatin1(ignoreValue ? '' : `v${random.between(0, 1000)}`),
    lease: random.chance(0.3) ? BigInt(random.between(1, 5)) : 0n,
    previous: random.chance(0.3),
    ignoreValue,
    ignoreLease: false,
  }
}

function randomOperation(random: SeededRandom, model: Model, depth: number): Operation {
  const draw = random.unit()
  if (draw < 0.4) return randomPut(random)
  if (draw < 0.65) return { kind: 'deleteRange', ...randomInterval(random), previous: random.chance(0.5) }
  if (draw < 0.85 || depth > 2) {
    const revision = random.chance(0.7)
      ? 0
      : random.between(Math.max(1, model.revision - 9), model.revision + 1)
    return withSortTarget(randomRange(random, revision))
  }
  return randomTransaction(random, model, depth + 1)
}

/** An operation that is refused: where a transaction has two of them, which one tells why depends on the order of the checks. */
function randomFault(random: SeededRandom, model: Model): Operation {
  const put = { ...randomPut(random), value: new Uint8Array(0), lease: 7n, ignoreValue: random.chance(0.5) }
  const revision = random.pick([model.revision + 1, model.compacted - 1])
  return random.pick([put, withSortTarget(randomRange(random, revision))])
}

function randomTransaction(random: SeededRandom, model: Model, depth: number): TransactionOperation {
  const operations = (): Operation[] =>
    random.chance(0.1)
      ? [randomFault(random, model), randomFault(random, model)]
      : Array.from({ length: random.between(0, 3) }, () => randomOperation(random, model, depth))
  const compare = Array.from({ length: random.between(0, 3) }, (): Compare => {
    const target = random.pick(['version', 'mod', 'value'] as const)
    const result = random.pick(['equal', 'greater'] as const)
    const value = bytesFromLatin1(target === 'value' ? `v${random.between(0, 1000)}` : '')
    const number = target === 'value' ? 0 : random.between(-1, 6)
    return { ...randomInterval(random), target, result, value, number, lease: 0n }
  })
  return { kind: 'transaction', compare, success: operations(), failure: operations() }
}

function randomCommand(random: SeededRandom, model: Model): Command {
  const session = random.chance(0.25)
    ? {
        session: BigInt(random.between(1, 6)),
        request: random.between(0, 12),
        answeredBelow: random.between(0, 5),
      }
    : undefined
  const draw = random.unit()
  const id = BigInt(random.between(1, 6))
  if (draw < 0.5) return { session, write: randomPut(random) }
  if (draw < 0.6) {
    return {
      session,
      write: { kind: 'deleteRange', ...randomInterval(random), previous: random.chance(0.3) },
    }
  }
  if (draw < 0.8) return { session, write: randomTransaction(random, model, 0) }
  if (draw < 0.83) {
    return { session, write: { kind: 'compact', revision: model.revision - random.between(-1, 12) } }
  }
  if (draw < 0.93) return { session, write: { kind: 'leaseGrant', id, ttlSeconds: random.between(0, 90) } }
  if (draw < 0.96) {
    return {
      session,
      write: { kind: 'leaseCheckpoint', leases: [{ id, remainingSeconds: random.between(0, 9) }] },
    }
  }
  return { session, write: { kind: 'leaseRevoke', id, expired: random.chance(0.5) } }
}

// ---- a replica, its watchers, and the run --------------------------------------------------------------------------

interface Follower {
  readonly stream: WatchStream
  readonly interval: KeyInterval
  readonly start: number
  readonly fragment: boolean
  events: WatchEvent[]
  lastOutput: WatchOutput | undefined
  isCompacted: boolean
}

const rangeCacheLimits = { bytesMax: 16_384, runWork: 18, rangeWorkMin: 0 }
const watchLimits = { tailBytesMax: 400, pendingRevisionsMax: 3, watchersPerStreamMax: 10 }

class Run {
  readonly random: SeededRandom
  readonly readsRandom: SeededRandom
  readonly model = new Model()
  readonly log: Uint8Array[] = []
  backend: MemoryBackend
  core: ConsistentCore
  followers: Follower[] = []
  digests: number[] = [0]
  revisions: number[] = [1]
  /** Runs that came out of the cache. */
  runCount = 0

  constructor(seed: number) {
    this.random = new SeededRandom(seed)
    this.readsRandom = new SeededRandom(seed + 1)
    this.backend = createMemoryBackend({ schedule: runNow, random: this.random.fork() })
    this.core = createConsistentCore({ store: createStore(this.backend), watchLimits, rangeCacheLimits })
  }

  step(): void {
    const { random } = this
    const draw = random.unit()
    if (draw < 0.62) {
      this.command()
      this.everything()
    } else if (draw < 0.7) this.range()
    else if (draw < 0.74) this.watch()
    else if (draw < 0.86) this.pull()
    else if (draw < 0.92) this.core.maintain()
    else if (draw < 0.97) flush(this.core, this.backend)
    else if (draw < 0.98) this.crash()
    else if (draw < 0.99) this.snapshot()
    else this.install()
  }

  command(core = this.core): void {
    const command = randomCommand(this.random, this.model)
    const payload = encodeCommand(command)
    assert.equal(plain(decodeCommand(payload)), plain(command))
    const answer = core.apply(entry(this.log.length + 1, payload))
    this.log.push(payload)
    this.digests.push(core.digest)
    this.revisions.push(core.revision)
    assert.equal(plain(answer), this.model.apply(command), `command ${this.log.length}`)
    assert.equal(core.revision, this.model.revision)
  }

  /** A range at any readable revision; the model's answer is taken when it begins. */
  range(): void {
    const { random, model } = this
    const lowest = Math.max(1, model.compacted)
    const revision = random.between(lowest, model.revision + 1)
    const range = withSortTarget(randomRange(random, revision))
    const expected = plain(rangeOver(model.at(revision), range))
    assert.equal(plain(finish(this.core.range(range))), expected)
    this.taken(range, expected)
  }

  /** All keys as they are now, a part of them out of the cache. */
  everything(): void {
    const { model, readsRandom: random } = this
    const range: RangeOperation = {
      ...randomRange(random, random.pick([0, model.revision])),
      ...{ key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), sortOrder: 'none', sortTarget: 'key' },
      ...{ keysOnly: false, countOnly: false, modRevisionMin: 0 },
    }
    this.taken(range, plain(rangeOver(model.at(model.revision), range)))
  }

  taken(range: RangeOperation, expected: string): void {
    const taker = new LineTaker(plain)
    const result = finish(this.core.range(range, taker))
    assert.ok(result.kind === 'range')
    assert.equal(result.pairs.length, 0, 'what was taken is in no result')
    const pairs = taker.lines.map((line): unknown => JSON.parse(line))
    assert.equal(plain({ ...result, pairs }), expected, 'taken one by one')
    this.runCount += taker.runCount
  }

  watch(): void {
    const { random, model } = this
    const interval = randomInterval(random)
    if (
      latin1FromBytes(interval.rangeEnd) > '\0' &&
      latin1FromBytes(interval.key) >= latin1FromBytes(interval.rangeEnd)
    ) {
      return
    }
    const start = random.between(Math.max(2, model.compacted), model.revision + 4)
    const fragment = random.chance(0.5)
    const stream = this.core.openWatchStream(() => undefined)
    stream.create({
      ...interval,
      startRevision: start,
      watchId: 0,
      previous: true,
      noPut: false,
      noDelete: false,
      progressNotify: true,
      fragment,
    })
    this.followers.push({
      stream,
      interval,
      start,
      fragment,
      events: [],
      lastOutput: undefined,
      isCompacted: false,
    })
    if (this.followers.length > 12) this.close(present(this.followers.shift(), 'there are followers'))
  }

  pull(): void {
    if (this.followers.length === 0) return
    const follower = this.random.pick(this.followers)
    if (this.random.chance(0.3)) follower.stream.requestProgress()
    if (this.random.chance(0.3)) follower.stream.notifyProgress()
    for (let left = this.random.between(1, 6); left > 0; left--) this.next(follower)
  }

  next(follower: Follower): boolean {
    const output = follower.stream.next(this.random.between(1, 600))
    if (output === undefined) return false
    const { events, start } = follower
    if (output.kind === 'events') {
      const last = follower.lastOutput
      if (last?.kind === 'events' && !last.fragment) {
        const lastRevision = last.events.at(-1)?.pair.modRevision ?? 0
        assert.ok((output.events[0]?.pair.modRevision ?? 0) > lastRevision, 'a revision is told at once')
      }
      events.push(...output.events)
    } else if (output.kind === 'progress') {
      const until = this.expected(follower).filter((one) => one.mod <= output.revision)
      assert.equal(events.length, until.length, 'progress is not ahead of events')
      assert.ok(output.revision >= start)
    } else if (output.kind === 'compacted') {
      follower.isCompacted = true
      assert.ok((events.at(-1)?.pair.modRevision ?? start - 1) < this.model.compacted)
    }
    follower.lastOutput = output
    return true
  }

  expected(follower: Follower): Version[] {
    return this.model.versions.filter(
      (one) => one.mod >= follower.start && isWithin(follower.interval, one.key),
    )
  }

  /** Reads to the end and compares with the model's history. */
  close(follower: Follower): void {
    for (;;) {
      while (this.next(follower));
      if (!this.core.maintain() && !this.next(follower)) break
    }
    const expected = this.expected(follower)
    if (!follower.isCompacted) assert.equal(follower.events.length, expected.length, 'nothing is missing')
    follower.events.forEach((event, i) => {
      const one = present(expected[i], 'nothing is told that did not happen')
      assert.equal(event.kind, one.value === undefined ? 'delete' : 'put')
      assert.equal(plain(event.pair), plain(pairOf(one)))
      const isCreated = event.kind === 'put' && one.create === one.mod
      const before = this.model.at(one.mod - 1).find((older) => older.key === one.key)
      const previous = isCreated ? undefined : pairOf(before)
      assert.equal(plain(event.previous), plain(previous), 'the value before the revision')
    })
    follower.stream.close()
  }

  crash(): void {
    for (const follower of this.followers) this.close(follower)
    this.followers = []
    this.backend = this.backend.crash()
    this.core = createConsistentCore({ store: createStore(this.backend), watchLimits, rangeCacheLimits })
    finish(this.core.load())
    this.checkReplica(this.core)
    this.replay(this.core)
  }

  snapshot(): void {
    const source = this.core.openSnapshot()
    const backend = createMemoryBackend({ schedule: runNow, random: this.random.fork() })
    const core = createConsistentCore({ store: createStore(backend), watchLimits })
    const sink = core.beginRestore()
    for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) {
      assert.ok(chunk.length > 0 && chunk.length <= 65_536)
      const middle = this.random.between(0, chunk.length)
      sink.write(chunk.slice(0, middle))
      sink.write(chunk.slice(middle))
      if (this.random.chance(0.3)) flush(core, backend)
      for (let left = this.random.between(0, 4); left > 0; left--) this.command()
      this.core.maintain()
    }
    source.done()
    sink.finish()
    assert.equal(core.appliedIndex, source.appliedIndex)
    this.checkReplica(core)
    this.replay(core)
  }

  /** A replica that has gone on gives its state: watchers here miss nothing of what lies between. */
  install(): void {
    const backend = createMemoryBackend({ schedule: runNow, random: this.random.fork() })
    const ahead = createConsistentCore({ store: createStore(backend), watchLimits })
    this.replay(ahead)
    for (let left = this.random.between(0, 12); left > 0; left--) this.command(ahead)
    const source = ahead.openSnapshot()
    const sink = this.core.beginRestore()
    this.backend.clear().catch(assert.fail)
    for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) sink.write(chunk)
    source.done()
    sink.finish()
    assert.equal(this.core.appliedIndex, this.log.length)
    this.checkReplica(this.core)
  }

  checkReplica(core: ConsistentCore): void {
    assert.equal(core.revision, this.revisions[core.appliedIndex], 'the revision of that index')
    assert.equal(core.digest, this.digests[core.appliedIndex], 'the digest of that index')
    assert.equal(finish(core.verify()), true, 'the store holds what was written')
  }

  replay(core: ConsistentCore): void {
    for (let index = core.appliedIndex + 1; index <= this.log.length; index++) {
      core.apply(entry(index, this.log[index - 1] as Uint8Array))
      if (this.random.chance(0.1)) core.maintain()
    }
    assert.equal(core.digest, this.core.digest)
    assert.equal(plain(finish(core.hash(0))), plain(finish(this.core.hash(0))))
    assert.deepEqual(core.leaseIds().toSorted(), [...this.model.leases.keys()].toSorted())
    for (const id of core.leaseIds()) {
      const attached = this.model.at(this.model.revision).filter((one) => one.lease === id)
      const expected = attached.map((one) => one.key)
      assert.deepEqual(core.lease(id, 0)?.keys.map(latin1FromBytes).sort(), expected.sort())
    }
  }

  end(): void {
    for (const follower of this.followers) this.close(follower)
    while (this.core.maintain());
    assert.equal(finish(this.core.verify()), true)
    const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
    for (let revision = Math.max(1, this.model.compacted); revision <= this.model.revision; revision++) {
      const range = { ...randomRange(this.random, revision), ...everything }
      assert.equal(
        plain(finish(this.core.range(withSortTarget(range)))),
        plain(rangeOver(this.model.at(revision), withSortTarget(range))),
      )
    }
  }
}

function entry(index: number, payload: Uint8Array): Parameters<ConsistentCore['apply']>[0] {
  return { index, term: 1, timeMs: 0, payload }
}

function runNow(finishWork: () => void): Promise<void> {
  finishWork()
  return Promise.resolve()
}

function flush(core: ConsistentCore, backend: MemoryBackend): void {
  const taken = core.takeBatch()
  if (taken === undefined) return
  backend.commit(taken.batch).catch(assert.fail)
  core.flushed()
}

function finish<T>(steps: Generator<void, T, void>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

const seeds =
  process.env.SEED === undefined ? Array.from({ length: 16 }, (_, i) => 1000 + i) : [Number(process.env.SEED)]

for (const seed of seeds) {
  test(`the state machine behaves as the model, seed ${seed}`, () => {
    const run = new Run(seed)
    for (let step = 0; step < 250; step++) run.step()
    run.end()
    assert.ok(run.log.length > 100, 'the run did something')
    assert.ok(run.runCount > 10, `${run.runCount} runs out of the cache`)
  })
}
