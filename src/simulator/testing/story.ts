// A cluster of the real node in simulated machines, told step by step: what a directed test does to it and asks of it.
import assert from 'node:assert/strict'
import { present, SeededRandom } from '../../base/index.ts'
import type { MaybePlace } from '../../io/index.ts'
import { type CallResult, ClientPaths } from '../client.ts'
import { type ClusterNode, SimulatedCluster } from '../cluster.ts'
import type { ModelRequest } from '../kv-model.ts'
import { drawOptions } from '../options.ts'
import { startQuorate, storeOf } from '../quorate-server.ts'
import { Scheduler } from '../scheduler.ts'
import type { ListedMember, RequestStamp, ServerRequest, ServerTuning } from '../server-seam.ts'

export const electionMs = 500
/** What a row of `revisions` has behind the value. */
const predecessorBytes = 12

export class Story {
  readonly scheduler: Scheduler = new Scheduler()
  readonly cluster: SimulatedCluster
  readonly paths: ClientPaths
  /** The data directory of each node, as it was last started. */
  readonly #data = new Map<string, object>()
  #batches = 0

  /** Three nodes with files and snapshots of a few kilobytes, where `change` does not say otherwise. */
  constructor(
    seed: number,
    change: {
      nodes?: number
      members?: boolean
      healsMajority?: boolean
      maybe?: readonly MaybePlace[]
      tuning?: Partial<ServerTuning>
    } = {},
  ) {
    const random = new SeededRandom(seed)
    const drawn = drawOptions(seed)
    const tuning = {
      heartbeatMs: 50,
      electionMs,
      segmentBytesMax: 4_096,
      snapshotEntries: 5,
      appendBytesMax: 65_536,
      inflightMax: 64,
      windowBytesMax: 256,
      flushOperations: 4_000,
      flushIntervalMs: 50,
      queueMax: 16_384,
      uncommittedBytesMax: 1_048_576,
      leaseCheckpointMs: 300_000,
      ...change.tuning,
    }
    const options = {
      ...drawn,
      nodes: change.nodes ?? 3,
      members: change.members ?? false,
      networkDelayMs: 0.5,
      healsMajority: change.healsMajority ?? false,
      maybe: change.maybe ?? [],
      tuning,
    }
    this.cluster = new SimulatedCluster({
      scheduler: this.scheduler,
      random,
      options,
      startServer: (setup) => {
        this.#data.set(setup.name, setup.data)
        return startQuorate(setup)
      },
    })
    this.paths = new ClientPaths(this.cluster, random.fork())
    this.cluster.startAll()
  }

  async leader(): Promise<ClusterNode> {
    await this.until(() => this.cluster.leader !== undefined)
    return present(this.cluster.leader, 'somebody leads')
  }

  others(node: ClusterNode): ClusterNode[] {
    return this.cluster.nodes.filter((other) => other !== node)
  }

  async until(condition: () => boolean, withinMs = 20_000): Promise<void> {
    const start = this.scheduler.now
    assert.ok(await this.scheduler.runUntil(condition, start + withinMs), 'what was waited for did not come')
  }

  /** Not awaited: the node may be paused, or about to die. */
  begin(node: ClusterNode, request: ServerRequest): Promise<CallResult> {
    return this.paths.call(present(node.life, `${node.name} runs`), request)
  }

  async put(node: ClusterNode, value: string, stamp?: RequestStamp): Promise<CallResult> {
    const request = { kind: 'put', key: 'k', value, lease: 0n } as const
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    const life = present(node.life, `${node.name} runs`)
    return this.scheduler.complete(this.paths.call(life, stamp === undefined ? wire : { ...wire, stamp }))
  }

  /** Not awaited: the node may be paused, or about to die. */
  beginPut(node: ClusterNode, value: string): Promise<CallResult> {
    const request = { kind: 'put', key: 'k', value, lease: 0n } as const
    return this.paths.call(present(node.life, 'it runs'), {
      kind: 'keyValue',
      request,
      isSerializable: false,
      atRevision: 0,
    })
  }

  beginGet(node: ClusterNode): Promise<CallResult> {
    const request = { kind: 'range', key: 'k', end: '', limit: 0 } as const
    return this.paths.call(present(node.life, 'it runs'), {
      kind: 'keyValue',
      request,
      isSerializable: false,
      atRevision: 0,
    })
  }

  async get(node: ClusterNode, isSerializable = false, key = 'k'): Promise<string> {
    const request = { kind: 'range', key, end: '', limit: 0 } as const
    const wire = { kind: 'keyValue', request, isSerializable, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    if (result.kind !== 'answered') return result.code
    const found = result.answer.result
    return found?.kind === 'range' ? (found.pairs[0]?.value ?? 'none') : 'no range'
  }

  /** Whoever answers first. */
  async putUntilAnswered(nodes: readonly ClusterNode[], value: string): Promise<void> {
    await this.#untilAnswered(nodes, { kind: 'put', key: 'k', value, lease: 0n })
  }

  /** A new version of the key with the value that each member has. */
  async touchUntilAnswered(nodes: readonly ClusterNode[]): Promise<void> {
    await this.#untilAnswered(nodes, { kind: 'put', key: 'k', value: '', lease: 0n, ignoreValue: true })
  }

  async #untilAnswered(nodes: readonly ClusterNode[], request: ModelRequest): Promise<void> {
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    for (let i = 0; i < 200; i++) {
      const { life } = present(nodes[i % nodes.length], 'there is a node')
      if (life?.server !== undefined) {
        const result = await this.scheduler.complete(this.paths.call(life, wire))
        if (result.kind === 'answered') return
      }
      await this.scheduler.run(50)
    }
    assert.fail(`a ${request.kind} was never answered`)
  }

  async change(node: ClusterNode, request: ModelRequest): Promise<void> {
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    assert.equal(result.kind, 'answered')
  }

  /** Puts of keys of their own, until `count` are answered; whoever leads. Returns those, with their values. */
  async putMany(name: string, count: number): Promise<Map<string, string>> {
    const answered = new Map<string, string>()
    const batch = ++this.#batches
    for (let round = 0; answered.size < count; round++) {
      assert.ok(round < 200, `${answered.size} of ${count} puts were answered`)
      const lives = this.cluster.serving
      const calls = Array.from({ length: 64 }, async (_, i) => {
        const key = `${name} ${batch}.${round}.${i}`
        const request = { kind: 'put', key, value: `${i}`, lease: 0n } as const
        const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
        const life = present(lives[i % lives.length], 'somebody serves')
        if ((await this.paths.call(life, wire)).kind === 'answered') answered.set(key, `${i}`)
      })
      await this.scheduler.complete(Promise.all(calls))
    }
    return answered
  }

  /** What one member alone has: every key that begins with `name`. */
  async has(node: ClusterNode, name: string): Promise<Map<string, string>> {
    const request = { kind: 'range', key: `${name} `, end: `${name}!`, limit: 0 } as const
    const wire = { kind: 'keyValue', request, isSerializable: true, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    const found = result.kind === 'answered' ? result.answer.result : undefined
    assert.ok(found?.kind === 'range', `${node.name} answers`)
    return new Map(found.pairs.map(({ key, value }) => [key, value]))
  }

  /** Flips a bit of the newest value with a `!` at its end in the store of a member, behind its back: no write shows it. */
  rot(node: ClusterNode, bit = 0x40): void {
    const store = storeOf(this.#dataOf(node.name))
    const rows = [...store.range('revisions', {})].filter(
      ({ value }) => value.at(-1 - predecessorBytes) === 0x21,
    )
    const row = present(rows.at(-1), 'the store has the row').value
    const at = row.length - 1 - predecessorBytes
    row[at] = (row[at] ?? 0) ^ bit
  }

  #dataOf(name: string): object {
    return present(this.#data.get(name), `${name} was started`)
  }

  /** Until all have applied the same and have the same digest; then for long enough that the stores have it too. */
  async untilEqual(): Promise<void> {
    const facts = (): Set<string> =>
      new Set(
        this.cluster.nodes.map(({ life }) => {
          const status = life?.server?.status()
          return `${status?.appliedIndex} ${status?.digest}`
        }),
      )
    await this.until(() => facts().size === 1)
    await this.scheduler.run(1_000)
    const rows = this.cluster.nodes.map(({ name }) => [...storeOf(this.#dataOf(name)).range('revisions', {})])
    for (const other of rows) assert.deepEqual(other, rows[0], 'the stores hold the same versions')
  }

  /** The cluster saw a replica that differed, and nothing else that is wrong; from here on nothing may be. */
  forgiveDifference(): void {
    const { violations } = this.cluster.checker
    assert.ok(violations.length > 0, 'the rot was seen from outside')
    for (const { promise } of violations.splice(0)) assert.equal(promise, 'equal digest at equal index')
  }

  appliedIndex(node: ClusterNode): number {
    return present(node.life?.server, 'it runs').status().appliedIndex
  }

  /** The members that this node has applied. */
  applied(node: ClusterNode): readonly ListedMember[] | undefined {
    return present(node.life?.server, 'it runs').status().members
  }

  /** All nodes serve, have applied the same, and have the same state. */
  isAgreed(): boolean {
    const all = this.cluster.serving.map(({ server }) => present(server, 'it serves').status())
    const states = new Set(all.map(({ appliedIndex, digest }) => `${appliedIndex} ${digest}`))
    return all.length === this.cluster.nodes.length && states.size === 1
  }

  mark(name: string): number {
    return this.cluster.marks.get(name) ?? 0
  }

  assertSound(): void {
    assert.deepEqual([...this.cluster.violations, ...this.cluster.checker.violations], [])
    assert.deepEqual(
      this.cluster.nodes.flatMap(({ machine }) => machine.disk.misuse),
      [],
    )
  }
}
