// Three nodes, real clients that write, and `kill -9` at a random node every few seconds, the leader included.
//   node test/clients/kill-test.ts --command bin/quorate --seconds 60
// At the end every acknowledged write must be on every node at its revision, every unknown outcome at most once, and
// writing must have gone on.
import { setTimeout as sleep } from 'node:timers/promises'
import { Etcd3 } from 'etcd3'
import { SeededRandom } from '../../src/base/index.ts'
import { Arguments } from '../support/arguments.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { bytes, bytesOf, messageOf, messagesOf, numberOf, prefixRange, revisionOf } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import { pidListeningAt } from '../support/processes.ts'
import { planCluster, ServerCluster, ServerNode, splitCommand, waitReady } from '../support/servers.ts'
import {
  type Attempt,
  findViolations,
  type HistoryEvent,
  longestGapMs,
  type NodeHistory,
} from './kill-check.ts'

const usage = `node test/clients/kill-test.ts [--command bin/quorate] [--supervisor "bin/quorate cluster" --endpoints a,b,c]
  --command      started three times with etcd's flags; this script restarts what it killed (default bin/quorate)
  --supervisor   starts three nodes and restarts them itself; nodes are found by the ports of --endpoints
  --seconds 60 --interval 4   how long, and seconds from a node's return to the next kill
  --writers 8    half of them npm etcd3, half the raw client
  --gap-max 10   fail when no write was acknowledged for more seconds than this
  --seed S       of the choice of nodes and moments`

const requestDeadlineMs = 4_000
/** Of the raw client: short, so that the gap that is measured is the servers' and not a client's patience. */
const impatientDeadlineMs = 500
const returnDeadlineMs = 60_000
const readDeadlineMs = 30_000
const prefix = `/kill-${process.pid}-${Date.now()}/`
const endKey = `${prefix}~end`

/** What a run needs of the nodes, however they are started and restarted. */
type Nodes = {
  endpoints: string[]
  kill(endpoint: string): Promise<void>
  /** Resolves when the node is started again; not when it serves. */
  restart(endpoint: string): Promise<void>
  stop(keepData: boolean): Promise<void>
  whereLogsAre: string
}

async function main(): Promise<number> {
  const options = new Arguments(usage)
  const command = options.text('command', 'bin/quorate')
  const supervisor = options.maybe('supervisor')
  const endpoints = options.list('endpoints', '')
  const seconds = options.number('seconds', 60)
  const intervalSeconds = options.number('interval', 4)
  const writers = options.number('writers', 8)
  const gapMaxMs = options.number('gap-max', 10) * 1_000
  const seed = options.number('seed', Date.now() % 1_000_000)
  options.refuseUnknown()
  if (supervisor !== undefined && endpoints.length === 0) options.fail('--supervisor needs --endpoints')
  console.log(`seed ${seed}`)
  const nodes =
    supervisor === undefined ? await ownNodes(command) : await supervisedNodes(supervisor, endpoints)
  let good = false
  try {
    const run = new KillRun(nodes, new SeededRandom(seed))
    good = await run.run({ seconds, intervalSeconds, writers, gapMaxMs })
  } finally {
    if (!good) console.error(`logs and data: ${nodes.whereLogsAre}`)
    await nodes.stop(!good)
  }
  return good ? 0 : 1
}

async function ownNodes(command: string): Promise<Nodes> {
  const cluster = await planCluster(command, { label: 'kill-test', size: 3 })
  cluster.start()
  await cluster.ready()
  const nodeAt = (endpoint: string): ServerNode => {
    const node = cluster.nodes.find((other) => other.endpoint === endpoint)
    if (node === undefined) throw new Error(`no node at ${endpoint}`)
    return node
  }
  return {
    endpoints: cluster.endpoints,
    kill: (endpoint) => nodeAt(endpoint).end('SIGKILL'),
    restart: async (endpoint) => nodeAt(endpoint).start(),
    stop: (keepData) => cluster.stop(keepData),
    whereLogsAre: cluster.directory,
  }
}

async function supervisedNodes(command: string, endpoints: string[]): Promise<Nodes> {
  const [port = 0] = await freePorts(1)
  const planned = await planCluster('true', { label: 'kill-test', size: 1 })
  const node = new ServerNode(
    'supervisor',
    `127.0.0.1:${port}`,
    `${planned.directory}/supervisor`,
    splitCommand(command),
  )
  const supervisor = new ServerCluster([node], planned.directory)
  supervisor.start()
  try {
    await Promise.all(endpoints.map((endpoint) => waitReady(endpoint, returnDeadlineMs, node)))
  } catch (error) {
    await supervisor.stop(true)
    throw error
  }
  return {
    endpoints,
    kill: async (endpoint) => {
      const pid = pidListeningAt(endpoint)
      if (pid === undefined) throw new Error(`nobody listens at ${endpoint}`)
      if (pid === node.pid) throw new Error('the supervisor itself listens there: it would be killed')
      process.kill(pid, 'SIGKILL')
    },
    restart: async () => undefined,
    stop: (keepData) => supervisor.stop(keepData),
    whereLogsAre: planned.directory,
  }
}

type RunOptions = { seconds: number; intervalSeconds: number; writers: number; gapMaxMs: number }
type Kill = { endpoint: string; wasLeader: boolean; at: number; backAfterMs: number }

class KillRun {
  readonly #nodes: Nodes
  readonly #random: SeededRandom
  readonly #attempts: Attempt[] = []
  readonly #kills: Kill[] = []
  #stopped = false

  constructor(nodes: Nodes, random: SeededRandom) {
    this.#nodes = nodes
    this.#random = random
  }

  async run({ seconds, intervalSeconds, writers, gapMaxMs }: RunOptions): Promise<boolean> {
    const startedAt = performance.now()
    const writing = Array.from({ length: writers }, (_, i) =>
      i % 2 === 0 ? this.#writeRaw(i) : this.#writeEtcd3(i),
    )
    while (performance.now() - startedAt < seconds * 1_000) {
      await sleep(intervalSeconds * 1_000 * (0.5 + this.#random.unit()))
      await this.#killOne()
    }
    const endedAt = performance.now()
    this.#stopped = true
    await Promise.all(writing)
    const end = await writeEnd(this.#nodes.endpoints[0] ?? '')
    const histories = await Promise.all(this.#nodes.endpoints.map((endpoint) => readHistory(endpoint, end)))
    const violations = findViolations(this.#attempts, histories)
    const gapMs = longestGapMs(this.#attempts, startedAt, endedAt)
    if (this.#kills.length === 0) violations.push('no node was killed')
    if (gapMs > gapMaxMs) violations.push(`no write was acknowledged for ${Math.round(gapMs)} ms`)
    this.#report(histories, gapMs)
    for (const violation of violations) console.log(`VIOLATION ${violation}`)
    console.log(
      violations.length === 0
        ? 'every acknowledged write is on every node'
        : `${violations.length} violations`,
    )
    return violations.length === 0
  }

  #report(histories: readonly NodeHistory[], gapMs: number): void {
    const acknowledged = this.#attempts.filter((attempt) => attempt.revision !== undefined)
    const present = new Set(histories[0]?.events.map((event) => event.key))
    const unknown = this.#attempts.filter((attempt) => attempt.revision === undefined)
    const happened = unknown.filter((attempt) => present.has(attempt.key)).length
    const leaders = this.#kills.filter((kill) => kill.wasLeader)
    console.log(
      `${acknowledged.length} writes acknowledged, ${unknown.length} unknown (${happened} of them happened)`,
    )
    console.log(
      `${this.#kills.length} kills, ${leaders.length} of the leader; longest gap ${Math.round(gapMs)} ms`,
    )
    const gaps = leaders.map((kill) => this.#nextWriteMs(kill.at)).sort((a, b) => a - b)
    if (gaps.length > 0) {
      const median = gaps[Math.floor(gaps.length / 2)] ?? 0
      console.log(`leader kill to the next acknowledged write: median ${Math.round(median)} ms`)
    }
    const back = this.#kills.map((kill) => kill.backAfterMs)
    console.log(`restarted nodes served again after at most ${Math.round(Math.max(0, ...back))} ms`)
  }

  /** From `at` until a write that began after it was acknowledged. */
  #nextWriteMs(at: number): number {
    let first = Number.POSITIVE_INFINITY
    for (const { startedAt, endedAt, revision } of this.#attempts) {
      if (revision !== undefined && startedAt >= at) first = Math.min(first, endedAt)
    }
    return first - at
  }

  async #killOne(): Promise<void> {
    const leader = await findLeader(this.#nodes.endpoints)
    const endpoint =
      leader !== undefined && this.#random.chance(0.4) ? leader : this.#random.pick(this.#nodes.endpoints)
    const at = performance.now()
    await this.#nodes.kill(endpoint)
    await sleep(this.#random.between(50, 1_500))
    await this.#nodes.restart(endpoint)
    await waitReady(endpoint, returnDeadlineMs)
    const kill = { endpoint, wasLeader: endpoint === leader, at, backAfterMs: performance.now() - at }
    this.#kills.push(kill)
    const written = this.#attempts.length
    console.error(
      `killed ${endpoint}${kill.wasLeader ? ' (leader)' : ''}, back after ${Math.round(kill.backAfterMs)} ms, ${written} writes`,
    )
  }

  async #writeRaw(writer: number): Promise<void> {
    const { endpoints } = this.#nodes
    let turn = writer
    let client = new GrpcClient(endpoints[turn % endpoints.length] ?? '')
    await this.#write(writer, async (key, value) => {
      const answer = await client.call('put', { key: bytes(key), value: bytes(value) }, impatientDeadlineMs)
      if (answer.code === 0) return revisionOf(answer.message)
      client.close()
      client = new GrpcClient(endpoints[++turn % endpoints.length] ?? '')
      return undefined
    })
    client.close()
  }

  /**
   * This client repeats a call that failed as unavailable, writes too, up to three times. So it writes as its users
   * must: only if the key is not there yet.
   */
  async #writeEtcd3(writer: number): Promise<void> {
    const client = new Etcd3({
      hosts: this.#nodes.endpoints.map((endpoint) => `http://${endpoint}`),
      defaultCallOptions: () => ({ deadline: Date.now() + requestDeadlineMs }),
    })
    await this.#write(writer, async (key, value) => {
      try {
        const put = client.put(key).value(value)
        const { succeeded, header } = await client.if(key, 'Create', '==', 0).then(put).commit()
        return succeeded ? Number(header.revision) : undefined
      } catch {
        return undefined
      }
    })
    client.close()
  }

  /** Each attempt has a key of its own and is made once: so a key written twice is the server's doing. */
  async #write(
    writer: number,
    put: (key: string, value: string) => Promise<number | undefined>,
  ): Promise<void> {
    for (let number = 0; !this.#stopped; number++) {
      const key = `${prefix}${writer}/${number}`
      const startedAt = performance.now()
      const revision = await put(key, String(number))
      this.#attempts.push({ key, startedAt, endedAt: performance.now(), revision })
      // After a failure not at once again: the next node may be the one that is down.
      if (revision === undefined) await sleep(20)
    }
  }
}

async function findLeader(endpoints: readonly string[]): Promise<string | undefined> {
  for (const endpoint of endpoints) {
    const client = new GrpcClient(endpoint)
    const { code, message } = await client.call('status', {}, 2_000)
    client.close()
    if (code === 0 && messageOf(message.header).member_id === message.leader) return endpoint
  }
  return undefined
}

/** The last write of the run. What comes after it is left out, so that every node is read up to the same point. */
async function writeEnd(endpoint: string): Promise<number> {
  await waitReady(endpoint, returnDeadlineMs)
  const client = new GrpcClient(endpoint)
  try {
    return revisionOf(await client.must('put', { key: bytes(endKey), value: bytes('end') }, readDeadlineMs))
  } finally {
    client.close()
  }
}

/** All that a node's history says of this run's keys up to `end`, by a watch of that node from the first revision. */
async function readHistory(endpoint: string, end: number): Promise<NodeHistory> {
  await waitReady(endpoint, returnDeadlineMs)
  const client = new GrpcClient(endpoint)
  try {
    const stream = client.openStream('watch')
    stream.send({ create_request: { ...prefixRange(prefix), start_revision: 1 } })
    const events: HistoryEvent[] = []
    while ((events.at(-1)?.revision ?? 0) < end) {
      const response = await stream.next(readDeadlineMs)
      if (response === undefined || response.canceled === true) {
        throw new Error(
          `${endpoint}: the history ended after ${events.length} events, before revision ${end}`,
        )
      }
      for (const event of messagesOf(response.events)) {
        const kv = messageOf(event.kv)
        const key = Buffer.from(bytesOf(kv.key)).toString()
        events.push({ key, revision: numberOf(kv.mod_revision), version: numberOf(kv.version) })
      }
    }
    const told = events.filter((event) => event.revision < end)
    // What the watch told is what this node itself holds at that revision.
    const range = { ...prefixRange(prefix), revision: end, serializable: true, keys_only: true }
    const { kvs } = await client.must('range', range, readDeadlineMs)
    const held = messagesOf(kvs).length - 1
    const keys = new Set(told.map((event) => event.key)).size
    if (held !== keys) throw new Error(`${endpoint}: the watch told of ${keys} keys, the store holds ${held}`)
    return { node: endpoint, events: told }
  } finally {
    client.close()
  }
}

process.exit(await main())
