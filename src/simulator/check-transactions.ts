/**
 * Anomalies of transactions, found as Elle finds them (Kingsbury and Alvaro 2020; Adya 1999 for the names): every call is
 * a transaction that read and wrote versions of keys; what one must have seen of another is an edge; a cycle of edges is
 * an anomaly, named by its edges. Nothing here takes the revision of an answer for the serial order: only the versions
 * of one key are ordered, by the revision at which each was written.
 *
 * Edges from S to T: `ww` T wrote the version after that of S; `wr` T read what S wrote; `rw` T wrote the version after
 * the one that S read; `process` one server answered S before the same client called T there; `realtime` S was answered
 * before T was called. Serializable reads are free of `realtime`, reads at an older revision of both. An unknown outcome
 * has no end; it takes part by what others saw of it.
 *
 * Names: `G0` only ww; `G1a` a read of a write that failed or was never made; `G1b` a read of a value that its own
 * transaction replaced; `G1c` ww and wr; `G-single` one rw; `G2` several. With `-process` or `-realtime`: only by such
 * edges. `internal`: a transaction does not see what it wrote itself. `version`: one write has two revisions.
 *
 * Values of puts must be unique in the history. What is left open is never called an anomaly: a missing key that was
 * deleted before may be of several versions, and gives no edge. Only where a put kept the value
 * that was there, writers are known by the revision they were answered. Cost: linear in the calls and the pairs and absent keys
 * they read, but for sorting; and where cycles are, the edges of their knot for each edge of it.
 */
import { present } from '../base/index.ts'
import { saysItChanged } from './check-kv.ts'
import { type Edge, Graph } from './cycles.ts'
import { describeCall, type RecordedCall, type Violation } from './history.ts'
import { isInSpan, type RevisionRecord } from './kv-model.ts'
import { type PutState, stepsOfCall, type TransactionSteps } from './transaction-steps.ts'

export interface TransactionHistory {
  readonly calls: readonly RecordedCall[]
  /** What watchers saw, as far as it is known: it tells when keys were deleted. */
  readonly log: readonly RevisionRecord[]
}

type EdgeKind = 'ww' | 'wr' | 'rw' | 'process' | 'realtime'

interface Version {
  readonly revision: number
  /** The transaction that wrote it. */
  readonly writer: number
  readonly isDeletion: boolean
  /** The version after it. */
  next?: Version
}

/** In the order of their weight: the first that a knot of cycles has gives it its name. */
const cycleNames: readonly { name: string; first: EdgeKind; others: readonly EdgeKind[] }[] = [
  { name: 'G0', first: 'ww', others: ['ww'] },
  { name: 'G1c', first: 'wr', others: ['ww', 'wr'] },
  { name: 'G-single', first: 'rw', others: ['ww', 'wr'] },
  { name: 'G2', first: 'rw', others: ['ww', 'wr', 'rw'] },
]
const extensions: readonly { suffix: string; kinds: readonly EdgeKind[] }[] = [
  { suffix: '', kinds: [] },
  { suffix: '-process', kinds: ['process'] },
  { suffix: '-realtime', kinds: ['process', 'realtime'] },
]

export function checkTransactions(history: TransactionHistory): Violation[] {
  const checker = new TransactionChecker(history)
  return checker.check()
}

interface Transaction {
  readonly call: RecordedCall
  readonly node: number
  readonly steps: TransactionSteps
}

interface Write {
  readonly transaction: Transaction
  readonly state: PutState
  /** Where somebody saw it. */
  revision: number | undefined
}

class TransactionChecker {
  readonly #log: readonly RevisionRecord[]
  readonly #graph = new Graph<EdgeKind>()
  /** By node; undefined: a moment between calls. Only a fault needs the text. */
  readonly #names: ((() => string) | undefined)[] = []
  readonly #transactions: readonly Transaction[]
  /** What an unrecorded client or the end of a lease wrote, by revision. */
  readonly #strangers = new Map<number, number>()
  /** By key and value. */
  readonly #writes = new Map<string, Write>()
  /** By key and revision. */
  readonly #versions = new Map<string, Map<number, Version>>()
  readonly #deletedKeys = new Set<string>()
  /** Keys that may have one value in several versions. */
  readonly #keptKeys = new Set<string>()
  readonly #writersByRevision = new Map<number, number>()
  /** By key, in order. */
  readonly #orders = new Map<string, Version[]>()
  readonly #violations: Violation[] = []

  constructor({ calls, log }: TransactionHistory) {
    this.#log = log
    this.#transactions = calls.map((call) => {
      return { call, node: this.#addNode(() => describeCall(call)), steps: stepsOfCall(call) }
    })
    for (const transaction of this.#transactions) {
      for (const key of transaction.steps.keeps) this.#keptKeys.add(key)
      for (const { key, value, state } of transaction.steps.puts) {
        this.#writes.set(nameOf(key, value), { transaction, state, revision: undefined })
      }
    }
  }

  check(): Violation[] {
    this.#findVersions()
    this.#orderVersions()
    for (const transaction of this.#transactions) this.#linkReads(transaction)
    const isTimed = ({ call }: Transaction): boolean => !call.isSerializable && call.atRevision === 0
    this.#linkTime('realtime', this.#transactions.filter(isTimed))
    for (const session of this.#sessions()) this.#linkTime('process', session)
    for (const knot of this.#graph.knots()) this.#nameCycle(knot)
    return this.#violations
  }

  #addNode(name?: () => string): number {
    this.#names.push(name)
    return this.#graph.addNode()
  }

  #report(name: string, facts: string): void {
    this.#violations.push({ promise: `transactions: ${name}`, facts })
  }

  /** What was read tells revisions best, then the log, then the answer of the writer. */
  #findVersions(): void {
    for (const { call, node, steps } of this.#transactions) {
      const { outcome } = call
      if (outcome.kind !== 'answered' || !saysItChanged(outcome.result)) continue
      this.#writersByRevision.set(outcome.revision, node)
      for (const key of steps.keeps) {
        this.#addVersion(key, { revision: outcome.revision, writer: node, isDeletion: false })
      }
    }
    for (const { call, steps } of this.#transactions) {
      for (const fault of steps.faults) this.#report('internal', `${describeCall(call)} ${fault}`)
      for (const { key, revision, value } of steps.reads) {
        if (value === undefined) continue
        this.#judgeRead(call, key, value)
        if (revision !== undefined) this.#see(key, value, revision, () => describeCall(call))
      }
    }
    for (const { revision, events } of this.#log) {
      for (const event of events) {
        if (event.kind === 'put')
          this.#see(event.pair.key, event.pair.value, revision, () => 'those who watched')
      }
    }
    const deleters = new Map<number, Transaction>()
    for (const transaction of this.#transactions) {
      const { call, node, steps } = transaction
      if (call.outcome.kind !== 'answered') continue
      const { revision } = call.outcome
      for (const { key, value, state } of steps.puts) {
        if (state === 'written') this.#see(key, value, revision, () => 'the client that wrote it')
      }
      if (steps.deletions.length > 0) deleters.set(revision, transaction)
      for (const { key, end } of steps.deletions) {
        if (end === '') this.#addVersion(key, { revision, writer: node, isDeletion: true })
      }
    }
    for (const { revision, events } of this.#log) {
      for (const event of events) {
        if (event.kind === 'put') continue
        const writer = deleters.get(revision)?.node ?? this.#stranger(revision)
        this.#addVersion(event.key, { revision, writer, isDeletion: true })
      }
    }
  }

  #judgeRead(call: RecordedCall, key: string, value: string): void {
    const write = this.#writes.get(nameOf(key, value))
    if (write === undefined || write.state === 'written') return
    const facts = `${describeCall(call)} read ${key}=${value} of ${describeCall(write.transaction.call)}`
    if (write.state === 'replaced') this.#report('G1b', `${facts}, which replaced it at once`)
    else this.#report('G1a', `${facts}, which did not happen`)
  }

  /** Somebody says that this value was written at this revision. */
  #see(key: string, value: string, revision: number, seenBy: () => string): void {
    if (this.#keptKeys.has(key)) {
      const writer = this.#writersByRevision.get(revision) ?? this.#stranger(revision)
      this.#addVersion(key, { revision, writer, isDeletion: false })
      return
    }
    const write = this.#writes.get(nameOf(key, value))
    if (write?.revision !== undefined) {
      if (write.revision === revision) return
      const facts = `${key}=${value} has revision ${write.revision}, but ${revision} for ${seenBy()}`
      this.#report('version', facts)
      return
    }
    if (write !== undefined) write.revision = revision
    const writer = write?.transaction.node ?? this.#stranger(revision)
    this.#addVersion(key, { revision, writer, isDeletion: false })
  }

  #addVersion(key: string, version: Version): void {
    const versions = this.#versions.get(key) ?? new Map<number, Version>()
    this.#versions.set(key, versions)
    const other = versions.get(version.revision)
    if (other === undefined) versions.set(version.revision, version)
    else if (other.writer !== version.writer) {
      const names = [other.writer, version.writer].map((node) => this.#names[node]?.())
      this.#report('version', `${key} at ${version.revision} is of ${names.join(' and of ')}`)
    }
    if (version.isDeletion) this.#deletedKeys.add(key)
  }

  #stranger(revision: number): number {
    const node = this.#strangers.get(revision) ?? this.#addNode(() => `whoever wrote revision ${revision}`)
    this.#strangers.set(revision, node)
    return node
  }

  #orderVersions(): void {
    for (const [key, versions] of this.#versions) {
      const order = [...versions.values()].sort((left, right) => left.revision - right.revision)
      this.#orders.set(key, order)
      for (const [i, version] of order.entries()) {
        const next = order[i + 1]
        if (next === undefined) continue
        version.next = next
        this.#link('ww', version.writer, next.writer, `${key} at ${version.revision}, then ${next.revision}`)
      }
    }
  }

  #link(kind: EdgeKind, from: number, to: number, label: string): void {
    if (from !== to) this.#graph.addEdge({ kind, from, to, label, cost: 1 })
  }

  #linkReads({ node, steps }: Transaction): void {
    for (const { key, revision, value } of steps.reads) {
      const isKnown = value !== undefined && !this.#keptKeys.has(key)
      const written = isKnown ? this.#writes.get(nameOf(key, value))?.revision : undefined
      const version = this.#versions.get(key)?.get(revision ?? written ?? 0)
      if (version === undefined) continue
      this.#link('wr', version.writer, node, `${key} at ${version.revision}`)
      const { next } = version
      if (next !== undefined)
        this.#link('rw', node, next.writer, `${key} at ${version.revision}, then ${next.revision}`)
    }
    for (const { span, present: seen } of steps.absences) {
      const keys = span.end === '' ? [span.key] : this.#orders.keys()
      for (const key of keys) {
        if (seen.has(key) || !isInSpan(key, span)) continue
        const [first] = this.#orders.get(key) ?? []
        // Missing from the beginning on, or since one of the deletions: only without them there is no doubt.
        if (first === undefined || this.#deletedKeys.has(key)) continue
        this.#link('rw', node, first.writer, `${key} missing, then ${first.revision}`)
      }
    }
  }

  /** Calls of one client to one life of a server; only serializable reads have need of it. */
  #sessions(): Transaction[][] {
    const sessions = new Map<string, Transaction[]>()
    for (const transaction of this.#transactions) {
      const { call } = transaction
      if (call.atRevision !== 0) continue
      const name = `${call.client} ${call.server}`
      const session = sessions.get(name) ?? []
      session.push(transaction)
      sessions.set(name, session)
    }
    return [...sessions.values()].filter((session) => session.some(({ call }) => call.isSerializable))
  }

  /**
   * From each answered call to all that were called after its return. Moments stand between them, one a return, so that
   * the edges are as many as the calls.
   */
  #linkTime(kind: 'process' | 'realtime', transactions: readonly Transaction[]): void {
    const returns: { node: number; returnedAt: number; moment: number }[] = []
    for (const { call, node } of transactions) {
      if (call.outcome.kind !== 'answered') continue
      returns.push({ node, returnedAt: call.outcome.returnedAt, moment: this.#addNode() })
    }
    returns.sort((left, right) => left.returnedAt - right.returnedAt)
    for (const [i, { node, moment }] of returns.entries()) {
      this.#graph.addEdge({ kind, from: node, to: moment, label: 'answered before', cost: 1 })
      const next = returns[i + 1]
      if (next !== undefined) this.#graph.addEdge({ kind, from: moment, to: next.moment, label: '', cost: 0 })
    }
    let passed = 0
    for (const { call, node } of transactions.toSorted(
      (left, right) => left.call.calledAt - right.call.calledAt,
    )) {
      while ((returns[passed]?.returnedAt ?? Number.POSITIVE_INFINITY) < call.calledAt) passed++
      const last = returns[passed - 1]
      if (last !== undefined) this.#graph.addEdge({ kind, from: last.moment, to: node, label: '', cost: 0 })
    }
  }

  #nameCycle(knot: readonly number[]): void {
    for (const { suffix, kinds } of extensions) {
      for (const { name, first, others } of cycleNames) {
        const cycle = this.#graph.smallestCycle(knot, first, new Set([...others, ...kinds]))
        if (cycle === undefined) continue
        this.#report(`${name}${suffix}`, this.#describeCycle(cycle))
        return
      }
    }
  }

  /** `T1 -rw k at 2, then 3-> T2 -realtime answered before-> T1; T1 is call 5 ...; T2 is call 6 ...` */
  #describeCycle(cycle: readonly Edge<EdgeKind>[]): string {
    const names = new Map<number, string>()
    const shortNameOf = (node: number): string => {
      const name = names.get(node) ?? `T${names.size + 1}`
      names.set(node, name)
      return name
    }
    let path = shortNameOf(present(cycle[0], 'a cycle has edges').from)
    let label = ''
    for (const edge of cycle) {
      if (edge.cost === 1) label = `${edge.kind} ${edge.label}`
      if (this.#names[edge.to] !== undefined) path += ` -${label}-> ${shortNameOf(edge.to)}`
    }
    const calls = [...names].map(([node, name]) => `${name} is ${this.#names[node]?.()}`)
    return `${path}; ${calls.join('; ')}`
  }
}

function nameOf(key: string, value: string): string {
  return `${key.length} ${key}${value}`
}
