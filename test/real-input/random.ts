// Random request sequences over a small key space, asked of both servers. Small on purpose: keys are created, deleted
// and created again, ranges overlap, revisions fall before and after compactions, leases share keys.
//
// Watches are judged twice: side against side, and against the history that a reference watch over all keys collects
// from the first revision on, so that two servers that are silent in the same way do not agree by accident.
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SeededRandom } from '../../src/base/index.ts'
import type { MethodName } from '../support/etcd-messages.ts'
import { allKeys, bytesOf, messageOf, numberOf, prefixEnd } from '../support/keys.ts'
import type { Message } from '../support/protobuf.ts'
import { type Canonical, short } from './normalise.ts'
import { type Pair, showRequest } from './pair.ts'
import { Progress } from './progress.ts'
import { type PairedWatch, type WatchedEvent, WatchStreamPair } from './watching.ts'

const operationsPerSequence = 120
const shownLast = 20
const shownLineMax = 500
const watchesMax = 6
const keySpace = ['a', 'a\0', 'aa', 'ab', 'b', 'b\xff', 'b\xff\xff', 'c', '\xff', '\xff\xff', 'k/1', 'k/2']
const leaseIds = [11n, 12n, 13n]
/** How often a put keeps the value, and how often the lease, of the key it changes. */
const keepChance = 0.08
const leaseTtlSeconds = 1_000

export type RandomReport = { sequences: number; operations: number; events: number; failedSeeds: number[] }

export async function runRandom(pair: Pair, count: number, seed: number): Promise<RandomReport> {
  const report: RandomReport = { sequences: 0, operations: 0, events: 0, failedSeeds: [] }
  const progress = new Progress(`random from seed ${seed}`, count)
  for (let i = 0; i < count; i++) {
    const sequence = new Sequence(pair, seed + i)
    try {
      await sequence.run()
    } catch (error) {
      showTrace(sequence.trace, seed + i)
      throw error
    }
    report.sequences++
    report.operations += sequence.trace.length
    report.events += sequence.events
    progress.update(i + 1)
    if (!sequence.failed) continue
    report.failedSeeds.push(seed + i)
    showTrace(sequence.trace, seed + i)
    if (!(await sameRevision(pair))) {
      console.log('  revisions part from here on: stopped')
      break
    }
  }
  progress.finish(report.sequences)
  return report
}

function showTrace(trace: readonly string[], seed: number): void {
  const path = join(tmpdir(), `random-sequence-${seed}.txt`)
  const lines = trace.map((line, i) => `${String(i + 1).padStart(3)} ${line}`)
  writeFileSync(path, `${lines.join('\n')}\n`)
  console.log(
    `\nSEQUENCE of seed ${seed}: its last request shows the difference; all ${trace.length} in ${path}`,
  )
  for (const line of lines.slice(-shownLast)) console.log(`  ${line.slice(0, shownLineMax)}`)
  console.log(`  again: --random 1 --seed ${seed}`)
}

async function sameRevision(pair: Pair): Promise<boolean> {
  const request = { ...allKeys, count_only: true }
  const [a, b] = await Promise.all([
    pair.a.client.must('range', request),
    pair.b.client.must('range', request),
  ])
  return messageOf(a.header).revision === messageOf(b.header).revision
}

class Sequence {
  /** What was asked, in words, for the reader of a difference. */
  readonly trace: string[] = []
  failed = false
  events = 0
  readonly #pair: Pair
  readonly #random: SeededRandom
  #revision = 0
  #baseRevision = 0
  #compacted = 0
  #deletesInTransaction = true
  #reference: WatchStreamPair | undefined
  #history: PairedWatch | undefined
  #streams: WatchStreamPair[] = []
  #watches: { stream: WatchStreamPair; watch: PairedWatch }[] = []

  constructor(pair: Pair, seed: number) {
    this.#pair = pair
    this.#random = new SeededRandom(seed)
  }

  async run(): Promise<void> {
    await this.#begin()
    try {
      for (let i = 0; i < operationsPerSequence && !this.failed; i++) await this.#operation()
      if (!this.failed) await this.#settleWatches()
    } finally {
      this.#reference?.close()
      for (const stream of this.#streams) stream.close()
    }
  }

  /**
   * A store of one key, compacted at its revision, without leases, and the reference watch. The one key makes the
   * compacted revision a put: see `#startsAtLostDelete`.
   */
  async #begin(): Promise<void> {
    await this.#ask('deleteRange', allKeys)
    for (const ID of leaseIds) await this.#ask('leaseRevoke', { ID })
    await this.#ask('put', { key: this.#key(), value: Buffer.from('first') })
    this.#baseRevision = this.#revision
    await this.#ask('compact', { revision: this.#revision })
    this.#compacted = this.#revision
    this.trace.length = 0
    this.#reference = new WatchStreamPair(this.#pair)
    const request = { ...allKeys, start_revision: this.#revision, prev_kv: true }
    this.#history = await this.#reference.create(request, false)
    this.#streams = [new WatchStreamPair(this.#pair), new WatchStreamPair(this.#pair)]
  }

  async #operation(): Promise<void> {
    const random = this.#random
    const roll = random.unit()
    if (roll < 0.26) return await this.#ask('put', this.#put(0.06))
    if (roll < 0.34) return await this.#ask('deleteRange', this.#deleteRange())
    if (roll < 0.56) return await this.#ask('range', this.#range())
    if (roll < 0.78) return await this.#ask('txn', this.#wholeTransaction())
    if (roll < 0.85) return await this.#lease()
    if (roll < 0.88) return await this.#compact()
    if (roll < 0.94) return await this.#createWatch()
    if (roll < 0.96) return await this.#cancelWatch()
    if (roll < 0.97) return await this.#progress()
    await this.#settleWatches()
  }

  async #ask(name: MethodName, request: Message): Promise<void> {
    this.trace.push(`${name} ${short(showRequest(request), 100_000)}`)
    const before = this.#pair.differences
    const answer = await this.#pair.call(name, request)
    if (this.#pair.differences > before) this.failed = true
    this.#revision = Math.max(this.#revision, numberOf(messageOf(answer.message.header).revision))
    if (name === 'compact' && answer.code === 0)
      this.#compacted = Math.max(this.#compacted, numberOf(request.revision))
  }

  #key(): Uint8Array {
    return Buffer.from(this.#random.pick(keySpace), 'latin1')
  }

  #span(): { key: Uint8Array; range_end?: Uint8Array } {
    const key = this.#key()
    const roll = this.#random.unit()
    if (roll < 0.35) return { key }
    if (roll < 0.55) return { key, range_end: this.#key() }
    if (roll < 0.75) return { key, range_end: prefixEnd(key) }
    if (roll < 0.85) return { key, range_end: Buffer.from([0]) }
    if (roll < 0.9) return { key: Buffer.from('k/'), range_end: Buffer.from('k0') }
    return allKeys
  }

  #value(): Uint8Array {
    if (this.#random.chance(0.05)) return Buffer.alloc(2_000, this.#random.between(97, 123))
    return Buffer.from(this.#random.pick(['', '1', '2', 'x', 'y\0z']))
  }

  /** `faulty`: how often a request that must be refused is made. */
  #put(faulty: number, keep = keepChance): Message {
    const random = this.#random
    const request: Message = { key: this.#key(), value: this.#value(), prev_kv: random.chance(0.3) }
    if (random.chance(0.25)) request.lease = random.pick(leaseIds)
    if (random.chance(keep)) {
      request.ignore_value = true
      if (random.chance(0.8)) request.value = new Uint8Array(0)
    }
    if (random.chance(keep)) {
      request.ignore_lease = true
      if (random.chance(0.8)) request.lease = 0n
    }
    if (random.chance(faulty))
      Object.assign(request, random.pick<Message>([{ key: new Uint8Array(0) }, { lease: 99n }]))
    return request
  }

  #deleteRange(): Message {
    const key = this.#random.chance(0.03) ? { key: new Uint8Array(0) } : this.#span()
    return { ...key, prev_kv: this.#random.chance(0.5) }
  }

  #range(): Message {
    const random = this.#random
    const request: Message = { ...this.#span(), limit: random.pick([0, 0, 1, 2, 5, -1]) }
    if (random.chance(0.4)) request.revision = this.#someRevision()
    if (random.chance(0.3)) {
      request.sort_order = random.between(0, 3)
      request.sort_target = random.between(0, 5)
    }
    if (random.chance(0.01)) request.sort_order = 7
    for (const filter of [
      'min_mod_revision',
      'max_mod_revision',
      'min_create_revision',
      'max_create_revision',
    ]) {
      if (random.chance(0.08)) request[filter] = random.between(this.#baseRevision - 2, this.#revision + 3)
    }
    request.serializable = random.chance(0.2)
    request.keys_only = random.chance(0.15)
    request.count_only = random.chance(0.15)
    if (random.chance(0.02)) request.key = new Uint8Array(0)
    return request
  }

  /**
   * Without what the two are known to judge differently, as that would part the writes beside it: an unknown sort
   * order, which only later versions refuse, and a negative revision, which etcd calls compacted only here.
   */
  #rangeInTransaction(): Message {
    const request = this.#range()
    if (numberOf(request.sort_order) > 2) request.sort_order = 0
    if (numberOf(request.revision) < 0) request.revision = 0
    return request
  }

  /** Mostly of this sequence, sometimes compacted, negative or in the future. */
  #someRevision(): number {
    const random = this.#random
    if (random.chance(0.08)) return this.#revision + random.between(1, 4)
    if (random.chance(0.08)) return random.pick([-1, 0, 1, this.#compacted - 1])
    if (random.chance(0.15)) return this.#compacted
    return random.between(this.#baseRevision, this.#revision + 1)
  }

  /**
   * A put that keeps value or lease of a key which the same transaction has deleted ends the process of etcd (3.4:
   * "unexpected error during txn: key not found"), so a transaction has deletes or such puts, never both.
   */
  #wholeTransaction(): Message {
    this.#deletesInTransaction = this.#random.chance(0.6)
    return this.#transaction(3)
  }

  #transaction(depth: number): Message {
    const random = this.#random
    const compare = Array.from({ length: random.pick([0, 1, 1, 2, 3]) }, () => this.#compare())
    const request: Message = {}
    if (compare.length > 0) request.compare = compare
    request.success = this.#branch(depth)
    request.failure = this.#branch(depth)
    if (random.chance(0.01)) {
      request.success = Array.from({ length: random.pick([128, 129]) }, () => ({
        request_range: { key: this.#key() },
      }))
    }
    return request
  }

  #branch(depth: number): Message[] {
    const operations: Message[] = []
    const taken = new Set<string>()
    for (let i = this.#random.pick([0, 1, 2, 2, 3, 5]); i > 0; i--) {
      const operation = this.#transactionOperation(depth)
      const key = bytesOf(messageOf(operation.request_put).key)
      const name = Buffer.from(key).toString('latin1')
      // A key put twice is refused as a whole; wanted, but not in half of all transactions.
      if (operation.request_put !== undefined && taken.has(name) && !this.#random.chance(0.1)) continue
      if (operation.request_put !== undefined) taken.add(name)
      operations.push(operation)
    }
    return operations
  }

  #transactionOperation(depth: number): Message {
    const random = this.#random
    const roll = random.unit()
    if (roll < 0.005) return {}
    if (roll < 0.45) return { request_put: this.#put(0.005, this.#deletesInTransaction ? 0 : keepChance) }
    if (roll < 0.7) return { request_range: random.chance(0.15) ? this.#rangeInTransaction() : this.#span() }
    if (roll < 0.82 && this.#deletesInTransaction) return { request_delete_range: this.#deleteRange() }
    if (depth <= 1) return { request_range: { key: this.#key() } }
    return { request_txn: this.#transaction(depth - 1) }
  }

  #compare(): Message {
    const random = this.#random
    const target = random.between(0, 5)
    const compare: Message = { result: random.between(0, 4), target, key: this.#key() }
    if (random.chance(0.25)) Object.assign(compare, this.#span())
    if (random.chance(0.02)) compare.key = new Uint8Array(0)
    // Sometimes no operand at all, which stands for zero.
    if (random.chance(0.08)) return compare
    if (target === 0) compare.version = random.between(0, 4)
    if (target === 1) compare.create_revision = random.pick([0, this.#revision, this.#someRevision()])
    if (target === 2) compare.mod_revision = random.pick([0, this.#revision, this.#someRevision()])
    if (target === 3) compare.value = this.#value()
    if (target === 4) compare.lease = random.pick([0n, ...leaseIds])
    return compare
  }

  async #lease(): Promise<void> {
    const random = this.#random
    const ID = random.pick(leaseIds)
    const roll = random.unit()
    if (roll < 0.5) await this.#ask('leaseGrant', { ID, TTL: leaseTtlSeconds })
    else if (roll < 0.7) await this.#ask('leaseRevoke', { ID })
    else if (roll < 0.9) await this.#ask('leaseTimeToLive', { ID, keys: random.chance(0.7) })
    else await this.#ask('leaseLeases', {})
  }

  /** Watches catch up first: whether one that is behind still gets old events is a race in any server. */
  async #compact(): Promise<void> {
    await this.#catchUp()
    const revision = this.#random.chance(0.2)
      ? this.#someRevision()
      : this.#random.between(this.#compacted, this.#revision + 1)
    await this.#ask('compact', { revision })
  }

  /**
   * A watch that started in history has caught up when it delivers an event of the present; silence proves nothing.
   * So each gets one: a change of its own key.
   */
  async #catchUp(): Promise<void> {
    for (const { watch } of this.#watches) {
      if (!watch.behind) continue
      const { key, filters } = watch.request
      await this.#ask('put', { key, value: Buffer.from('catch up') })
      if (Array.isArray(filters) && filters.includes(0)) await this.#ask('deleteRange', { key })
      watch.behind = false
    }
    await this.#settleWatches()
  }

  async #createWatch(): Promise<void> {
    if (this.#watches.length >= watchesMax) return
    const random = this.#random
    const request: Message = { ...this.#span(), prev_kv: random.chance(0.6) }
    if (random.chance(0.6)) request.start_revision = Math.max(this.#someRevision(), 0)
    // With both filters a watch is silent for ever, so it must not have to catch up.
    const filters = request.start_revision === undefined ? [[0], [1], [0, 1]] : [[0], [1]]
    if (random.chance(0.2)) request.filters = random.pick(filters)
    const stream = random.pick(this.#streams)
    const start = numberOf(request.start_revision)
    const isCompacted = start > 0 && start < this.#compacted
    if (random.chance(0.15) && !isCompacted && !stream.hasCompacted) request.watch_id = random.between(1, 4)
    if (random.chance(0.1)) request.fragment = true
    if (this.#startsAtLostDelete(start)) return
    this.trace.push(`watch ${short(showRequest(request))}`)
    const before = this.#pair.differences
    const watch = await stream.create(request, isCompacted)
    if (watch !== undefined) {
      watch.first = start === 0 ? this.#revision + 1 : start
      watch.behind = watch.first <= this.#revision
      this.#watches.push({ stream, watch })
    }
    if (this.#pair.differences > before) this.failed = true
  }

  /**
   * Compaction in etcd 3.4 drops a delete at the compacted revision itself, some time after it answered, so a watch
   * from there sees it or not. Later versions keep it, and so must we; here it cannot be compared.
   */
  #startsAtLostDelete(start: number): boolean {
    if (start !== this.#compacted) return false
    const events = this.#history?.events.a.filter((event) => event.revision === start) ?? []
    return events.length === 0 || events.some((event) => isDelete(event))
  }

  async #cancelWatch(): Promise<void> {
    if (this.#watches.length === 0) return
    await this.#settleWatches()
    const chosen = this.#random.pick(this.#watches)
    this.trace.push(`cancel of ${short(showRequest(chosen.watch.request))}`)
    const before = this.#pair.differences
    await chosen.stream.cancel(chosen.watch)
    this.#watches = this.#watches.filter((other) => other !== chosen)
    if (this.#pair.differences > before) this.failed = true
  }

  async #progress(): Promise<void> {
    await this.#catchUp()
    // Later versions are silent while a watch waits for its start revision, be it the very next one.
    const parked = this.#watches.some(({ watch }) => numberOf(watch.request.start_revision) > this.#revision)
    if (parked || this.#watches.length === 0 || this.failed) return
    const before = this.#pair.differences
    this.trace.push('progress request')
    await this.#random.pick(this.#watches).stream.progress()
    if (this.#pair.differences > before) this.failed = true
  }

  /** Waits until every watch has what the history says it must have, then compares all of it. */
  async #settleWatches(): Promise<void> {
    if (this.failed || this.#history === undefined || this.#reference === undefined) return
    this.trace.push('watches settle')
    const before = this.#pair.differences
    await this.#settleHistory(this.#reference, this.#history)
    for (const { stream, watch } of this.#watches) {
      const expected = this.#history.events.a.filter((event) => isWanted(event, watch))
      await this.#settle(stream, watch, expected)
    }
    if (this.#pair.differences > before) this.failed = true
  }

  async #settleHistory(reference: WatchStreamPair, history: PairedWatch): Promise<void> {
    // Every revision has an event, so the history is whole when its last event has the present revision.
    const lastOf = (label: 'a' | 'b'): number => history.events[label].at(-1)?.revision ?? 0
    while (lastOf('a') < this.#revision || lastOf('b') < this.#revision) {
      const wanted = Math.min(history.events.a.length, history.events.b.length) + 1
      if (!(await reference.deliver(history, wanted))) break
    }
    const length = Math.max(history.events.a.length, history.events.b.length)
    this.#compareEvents(history, length)
  }

  async #settle(stream: WatchStreamPair, watch: PairedWatch, expected: WatchedEvent[]): Promise<void> {
    await stream.deliver(watch, expected.length)
    stream.takeArrived()
    for (const label of ['a', 'b'] as const) {
      const got = watch.events[label].map(withoutPrevious)
      const a = label === 'a' ? got : expected.map(withoutPrevious)
      const b = label === 'b' ? got : expected.map(withoutPrevious)
      this.#pair.compare({ subject: 'watch deadline', request: watch.request, a, b })
    }
    this.#compareEvents(watch, expected.length)
  }

  #compareEvents(watch: PairedWatch, length: number): void {
    const { request, events, faults, compared } = watch
    const part = (list: WatchedEvent[]): Canonical =>
      list.slice(compared, length).map((event) => event.canonical)
    this.#pair.compare({ subject: 'watch events', request, a: part(events.a), b: part(events.b) })
    this.#pair.compare({ subject: 'watch atomicity', request, a: faults.a ?? 'kept', b: faults.b ?? 'kept' })
    this.events += length - compared
    watch.compared = length
  }
}

function isDelete({ canonical }: WatchedEvent): boolean {
  return typeof canonical === 'object' && !Array.isArray(canonical) && canonical.type === 1
}

function withoutPrevious(event: WatchedEvent): Canonical {
  if (typeof event.canonical !== 'object' || Array.isArray(event.canonical)) return event.canonical
  const { prev_kv: _, ...rest } = event.canonical
  return rest
}

function isWanted(event: WatchedEvent, watch: PairedWatch): boolean {
  if (event.revision < watch.first) return false
  const { request } = watch
  const filters = Array.isArray(request.filters) ? request.filters : []
  if (filters.includes(isDelete(event) ? 1 : 0)) return false
  return covers(request, event.key)
}

function covers(request: Message, key: Uint8Array): boolean {
  const first = Buffer.from(bytesOf(request.key))
  const end = Buffer.from(bytesOf(request.range_end))
  if (end.length === 0) return first.equals(key)
  if (first.compare(key) > 0) return false
  return (end.length === 1 && end[0] === 0) || end.compare(key) > 0
}
