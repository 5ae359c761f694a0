// A cluster of the real node in simulated machines, told step by step: what a directed test does to it and asks of it.
import assert from 'node:assert/strict'
import { present, SeededRandom } from '../../base/index.ts'
import { type CallResult, ClientPaths } from '../client.ts'
import { type ClusterNode, SimulatedCluster } from '../cluster.ts'
import type { ModelRequest } from '../kv-model.ts'
import { drawOptions } from '../options.ts'
import { startQuorate } from '../quorate-server.ts'
import { Scheduler } from '../scheduler.ts'
import type { ListedMember, RequestStamp, ServerRequest, ServerTuning } from '../server-seam.ts'

export const electionMs = 500

export class Story {
  readonly scheduler: Scheduler = new Scheduler()
  readonly cluster: SimulatedCluster
  readonly paths: ClientPaths

  /** Three nodes with files and snapshots of a few kilobytes, where `change` does not say otherwise. */
  constructor(
    seed: number,
    change: { nodes?: number; members?: boolean; tuning?: Partial<ServerTuning> } = {},
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
      ...change.tuning,
    }
    const options = {
      ...drawn,
      nodes: change.nodes ?? 3,
      members: change.members ?? false,
      networkDelayMs: 0.5,
      tuning,
    }
    this.cluster = new SimulatedCluster({
      scheduler: this.scheduler,
      random,
      options,
      startServer: startQuorate,
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
    for (let i = 0; i < 200; i++) {
      const node = present(nodes[i % nodes.length], 'there is a node')
      if (node.life?.server !== undefined && (await this.put(node, value)).kind === 'answered') return
      await this.scheduler.run(50)
    }
    assert.fail(`${value} was never answered`)
  }

  async change(node: ClusterNode, request: ModelRequest): Promise<void> {
    const wire = { kind: 'keyValue', request, isSerializable: false, atRevision: 0 } as const
    const result = await this.scheduler.complete(this.paths.call(present(node.life, 'it runs'), wire))
    assert.equal(result.kind, 'answered')
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
