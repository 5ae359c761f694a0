// What three nodes do when one of them comes back from far behind, and when everything happens at once for a long time.
// Each part measures one side once, on three nodes of its own with default timers.
import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcClient } from '../test/support/grpc-client.ts'
import { revisionOf } from '../test/support/keys.ts'
import { processorMs } from '../test/support/processes.ts'
import type { Message } from '../test/support/protobuf.ts'
import { type ServerCluster, type ServerNode, splitCommand, startCluster } from '../test/support/servers.ts'
import { Generator, targetOf } from './generator.ts'
import type { ProbeReport } from './load/probe.ts'
import { loadKey } from './load/requests.ts'
import { loadUntilStopped, requireOnlySuccess, type Sample } from './many-clients.ts'
import { fill, leaderOf } from './parts.ts'

interface LoadShape {
  readonly connections: number
  readonly streams: number
  readonly keyCount: number
  readonly warmUpMs: number
}

/** With the shape of the load that goes on meanwhile. */
export interface CatchUpSizes extends LoadShape {
  /** Written while the follower is gone. */
  readonly behindMib: number
  readonly countedMs: number
}

export interface StabilitySizes {
  readonly keyCount: number
  readonly warmUpMs: number
  readonly compactEveryMs: number
  readonly ms: number
}

const valueBytes = 256
/** As large as one frame of the load can carry; 1 GiB are 69,905 puts of it. */
const bigValueBytes = 15 * 1024
const pollMs = 100
const askDeadlineMs = 5_000
const hashDeadlineMs = 60_000
/** A follower has caught up when it has what the leader had so long before. */
const caughtUpLagMs = 1_000
const catchUpDeadlineMs = 180_000
const probesPerSecond = 50
const sampleEveryMs = 1_000
const progressEveryMs = 30_000
const mebibyte = 1024 * 1024

/**
 * One follower of three is ended with `kill -9`, and started again when the others have taken so much more. A load of puts goes
 * on before and meanwhile. In the end leader and follower must hold the same.
 */
export async function measureCatchUp(command: string, sizes: CatchUpSizes): Promise<Sample> {
  return await withThree(command, 'bench-catch-up', async (cluster) => {
    const leader = await leaderOf(cluster)
    const follower = cluster.nodes.find((node) => node !== leader) as ServerNode
    const ofAll = await putsOn(leader, sizes, sizes.countedMs).report()
    requireOnlySuccess(ofAll.statuses)
    const terms = new Terms(cluster.nodes)
    await terms.sample()
    await follower.end('SIGKILL')
    const behindBytes = await writeBigValues(leader, sizes)
    const load = putsOn(leader, sizes, loadUntilStopped)
    await load.begun
    const without = await watchLeader(leader, () => sleep(sizes.countedMs))
    follower.start()
    const startMs = performance.now()
    let missing = 0
    const withFollower = await watchLeader(leader, async (history) => {
      missing = await caughtUp(follower, history)
    })
    const seconds = (performance.now() - startMs) / 1_000
    const { statuses, generatorBusy } = await load.stop()
    await terms.sample()
    terms.close()
    await requireSame(leader, follower)
    return {
      behindMib: behindBytes / mebibyte,
      caughtUpSeconds: missing === 0 ? seconds : Number.POSITIVE_INFINITY,
      revisionsMissing: missing,
      putsPerSecondOfThree: ofAll.requestsPerSecond,
      putsPerSecondWithout: without.putsPerSecond,
      putsPerSecondMeanwhile: withFollower.putsPerSecond,
      shareKept: withFollower.putsPerSecond / without.putsPerSecond,
      shareOfThree: withFollower.putsPerSecond / ofAll.requestsPerSecond,
      slowestSecondPutsPerSecond: withFollower.slowestSecondPutsPerSecond,
      leaderBusyWithout: without.busy,
      leaderBusyMeanwhile: withFollower.busy,
      otherPutsP99MsWithout: without.probe.puts.p99Ms,
      otherPutsP99Ms: withFollower.probe.puts.p99Ms,
      otherPutsGapMs: withFollower.probe.puts.gapMaxMs,
      otherLateMaxMs: withFollower.probe.lateMaxMs,
      errors: errorsOf(statuses) + errorsOf(without.probe.statuses) + errorsOf(withFollower.probe.statuses),
      elections: terms.elections,
      generatorBusy,
    }
  })
}

/** A million keys on three nodes, and everything at once for as long as it takes. */
export async function measureStability(command: string, sizes: StabilitySizes): Promise<Sample> {
  return await withThree(command, 'bench-stability', (cluster) => keepBusy(cluster, sizes))
}

/**
 * Puts, small requests by the clock and all kinds of other requests at the leader; every second each node is asked for its
 * term. Refusals are counted and not an end: an election may bring some.
 */
export async function keepBusy(cluster: ServerCluster, sizes: StabilitySizes): Promise<Sample> {
  const leader = await leaderOf(cluster)
  const { keyCount, ms, warmUpMs, compactEveryMs } = sizes
  await fill(leader.endpoint, keyCount)
  const terms = new Terms(cluster.nodes)
  await terms.sample()
  const load = putsOn(leader, { keyCount, warmUpMs, connections: 10, streams: 5 }, loadUntilStopped)
  const churn = new Generator('churn', { ...targetOf(leader), keyCount, seed: 2, compactEveryMs })
  const probe = new Generator('probe', { ...targetOf(leader), perSecond: probesPerSecond, puts: true })
  const generators = [load, churn, probe]
  await Promise.all(generators.map((generator) => generator.begun))
  const startMs = performance.now()
  let toldMs = startMs
  while (performance.now() - startMs < ms && generators.every((generator) => generator.isRunning)) {
    await sleep(sampleEveryMs)
    await terms.sample()
    if (performance.now() - toldMs < progressEveryMs) continue
    toldMs += progressEveryMs
    console.error(`${Math.round((toldMs - startMs) / 1_000)} of ${ms / 1_000} s: ${terms.describe()}`)
  }
  const probed = await probe.stop()
  const { refused, ...churned } = await churn.stop()
  const loaded = await load.stop()
  await terms.sample()
  terms.close()
  for (const [callAndStatus, count] of Object.entries(refused)) console.error(`${count} of ${callAndStatus}`)
  const refusals = Object.values(refused).reduce((sum, count) => sum + count, 0)
  const { generatorBusy, ...counts } = churned
  return {
    elections: terms.elections,
    leaderChanges: terms.leaderChanges,
    statusUnanswered: terms.unanswered,
    errors: refusals + errorsOf(loaded.statuses) + errorsOf(probed.statuses),
    putsPerSecond: loaded.requestsPerSecond,
    ...counts,
    otherPutsP99Ms: probed.puts.p99Ms,
    otherPutsGapMs: probed.puts.gapMaxMs,
    otherGetsP99Ms: probed.gets.p99Ms,
    otherLateMaxMs: probed.lateMaxMs,
    residentBytes: leader.residentBytes(),
    generatorBusy: generatorBusy + loaded.generatorBusy,
  }
}

async function withThree(
  command: string,
  label: string,
  measure: (cluster: ServerCluster) => Promise<Sample>,
): Promise<Sample> {
  const cluster = await startCluster(command, { label, size: 3, extraFlags: quotaFlags(command) })
  try {
    return await measure(cluster)
  } finally {
    Generator.killAll()
    await cluster.stop()
  }
}

/** etcd refuses writes beyond 2 GiB unless it is told; a server without such a quota is told nothing. */
function quotaFlags(command: string): string[] {
  const [file = '', ...args] = splitCommand(command)
  const { stdout } = spawnSync(file, [...args, '--help'], { encoding: 'utf8' })
  return stdout.includes('--quota-backend-bytes') ? [`--quota-backend-bytes=${8 * 1024 * mebibyte}`] : []
}

function putsOn(node: ServerNode, shape: LoadShape, countedMs: number): Generator<'load'> {
  const { keyCount, connections, streams, warmUpMs } = shape
  const plan = { keyCount, connections, streams, warmUpMs, countedMs, valueBytes, seed: 1 }
  return new Generator('load', { ...targetOf(node), ...plan, operation: 'put' })
}

/** Bytes of values that were written. Few requests under way: what waits is not to be what is measured. */
async function writeBigValues(leader: ServerNode, { behindMib, keyCount }: CatchUpSizes): Promise<number> {
  const wanted = Math.ceil((behindMib * mebibyte) / bigValueBytes)
  const client = new NodeClient(leader)
  const before = await client.revision()
  const shape = { operation: 'put', connections: 20, streams: 5, keyCount, seed: 2 } as const
  const load = new Generator('load', {
    ...{ ...targetOf(leader), ...shape, valueBytes: bigValueBytes, warmUpMs: 0, countedMs: loadUntilStopped },
  })
  await load.begun
  while (load.isRunning && (await client.revision()) - before < wanted) await sleep(pollMs)
  const { statuses } = await load.stop()
  requireOnlySuccess(statuses)
  client.close()
  return (statuses[0] ?? 0) * bigValueBytes
}

interface Moment {
  readonly ms: number
  readonly revision: number
}

interface Watched {
  readonly putsPerSecond: number
  readonly slowestSecondPutsPerSecond: number
  /** Processors that the leader took. */
  readonly busy: number
  readonly probe: ProbeReport
}

/** The leader's revision again and again, and small puts of another client, until `until` is done with what it is told. */
async function watchLeader(
  leader: ServerNode,
  until: (history: readonly Moment[]) => Promise<unknown>,
): Promise<Watched> {
  const probe = new Generator('probe', { ...targetOf(leader), perSecond: probesPerSecond, puts: true })
  await probe.begun
  const client = new NodeClient(leader)
  const history: Moment[] = []
  const pid = leader.servingPid()
  const before = processorMs(pid)
  let isOver = false
  const polling = (async () => {
    for (;;) {
      const isLast = isOver
      history.push({ revision: await client.revision(), ms: performance.now() })
      if (isLast) return
      await sleep(pollMs)
    }
  })()
  try {
    await Promise.race([until(history), polling])
  } finally {
    isOver = true
  }
  await polling
  client.close()
  const [first, last] = [history[0] as Moment, history.at(-1) as Moment]
  return {
    putsPerSecond: rateOf(first, last),
    slowestSecondPutsPerSecond: slowestSecondOf(history),
    busy: (processorMs(pid) - before) / (last.ms - first.ms),
    probe: await probe.stop(),
  }
}

function rateOf(first: Moment, last: Moment): number {
  return ((last.revision - first.revision) * 1_000) / (last.ms - first.ms)
}

/** Of all stretches of a second and hardly more. Shorter than that: of all of it. */
function slowestSecondOf(history: readonly Moment[]): number {
  const rates = history.flatMap((first) => {
    const end = history.find(({ ms }) => ms >= first.ms + 1_000)
    return end === undefined ? [] : [rateOf(first, end)]
  })
  return rates.length === 0 ? rateOf(history[0] as Moment, history.at(-1) as Moment) : Math.min(...rates)
}

/** Resolves with the revisions that the follower still lacks at the deadline: 0 once it has caught up. */
async function caughtUp(follower: ServerNode, history: readonly Moment[]): Promise<number> {
  const client = new NodeClient(follower)
  const untilMs = performance.now() + catchUpDeadlineMs
  for (;;) {
    const awaited = history.findLast(({ ms }) => ms <= performance.now() - caughtUpLagMs)?.revision
    const revision = await client.revision().catch(() => 0)
    const missing = awaited === undefined ? Number.POSITIVE_INFINITY : Math.max(0, awaited - revision)
    if (missing === 0 || performance.now() > untilMs) {
      client.close()
      return missing
    }
    if (follower.endedByItself) throw new Error(`the follower ended:\n${follower.lastLogLines(20)}`)
    await sleep(pollMs)
  }
}

/** Once no more is written. */
async function requireSame(leader: ServerNode, follower: ServerNode): Promise<void> {
  const clients = [leader, follower].map((node) => new NodeClient(node)) as [NodeClient, NodeClient]
  const [ofLeader, ofFollower] = clients
  const revision = await ofLeader.revision()
  const untilMs = performance.now() + catchUpDeadlineMs
  while ((await ofFollower.revision()) < revision) {
    if (performance.now() > untilMs) throw new Error('the follower does not get to the last revision')
    await sleep(pollMs)
  }
  const [left, right] = await Promise.all(
    clients.map(async (client) => (await client.must('hashKv', { revision }, hashDeadlineMs)).hash),
  )
  for (const client of clients) client.close()
  if (left !== right)
    throw new Error(`at revision ${revision} the leader has hash ${left}, the follower ${right}`)
}

function errorsOf(statuses: Readonly<Record<string, number>>): number {
  const { 0: _, ...others } = statuses
  return Object.values(others).reduce((sum, count) => sum + count, 0)
}

/** Terms and leaders as the nodes tell them. */
export class Terms {
  readonly #clients: readonly NodeClient[]
  #first = 0
  #newest = 0
  #leader: unknown
  #revision = 0
  leaderChanges = 0
  /** Questions that no answer came to in time. */
  unanswered = 0

  constructor(nodes: readonly ServerNode[]) {
    this.#clients = nodes.map((node) => new NodeClient(node))
  }

  /** Terms that began since the first sample: each is an election that somebody asked for. */
  get elections(): number {
    return this.#newest - this.#first
  }

  async sample(): Promise<void> {
    const answers = await Promise.all(
      this.#clients.map((client) => client.must('status', {}).catch(() => undefined)),
    )
    for (const answer of answers) {
      if (answer === undefined) this.unanswered++
      else this.#take(answer)
    }
    if (this.#first === 0) this.#first = this.#newest
  }

  describe(): string {
    return `revision ${this.#revision}, ${this.elections} elections, ${this.unanswered} questions unanswered`
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  #take(answer: Message): void {
    const { raftTerm, leader } = answer
    this.#revision = Math.max(this.#revision, revisionOf(answer))
    const isKnown = leader !== undefined && Number(leader) !== 0
    if (isKnown && Number(raftTerm) >= this.#newest && leader !== this.#leader) {
      if (this.#leader !== undefined) this.leaderChanges++
      this.#leader = leader
    }
    this.#newest = Math.max(this.#newest, Number(raftTerm))
  }
}

/** Calls to one node; a connection that was lost is made anew. */
class NodeClient {
  readonly #node: ServerNode
  #client: GrpcClient

  constructor(node: ServerNode) {
    this.#node = node
    this.#client = new GrpcClient(node.endpoint)
  }

  async must(
    method: 'status' | 'range' | 'hashKv',
    request: Message,
    deadlineMs = askDeadlineMs,
  ): Promise<Message> {
    if (!this.#client.usable) {
      this.#client.close()
      this.#client = new GrpcClient(this.#node.endpoint)
    }
    return await this.#client.must(method, request, deadlineMs)
  }

  /** The newest that the node itself has applied. */
  async revision(): Promise<number> {
    return revisionOf(await this.must('range', { key: loadKey(0), serializable: true }))
  }

  close(): void {
    this.#client.close()
  }
}
