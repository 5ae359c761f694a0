// What is measured. Each part measures one side once; main.ts calls it for both sides in turn, round after round.
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcClient } from '../test/support/grpc-client.ts'
import { allKeys, bytes, messageOf, numberOf, revisionOf } from '../test/support/keys.ts'
import type { Message } from '../test/support/protobuf.ts'
import {
  planCluster,
  type ServerCluster,
  type ServerNode,
  startCluster,
  waitReady,
} from '../test/support/servers.ts'
import { Generator, targetOf } from './generator.ts'
import { type Load, type LoadResult, runLoad } from './h2load.ts'
import { type KeyOperationName, loadKey, transactionOf } from './load/requests.ts'
import type { LoadReport } from './load/run.ts'

const keySizeBytes = 8
const valueSizeBytes = 256
const idleSettleMs = 5_000
const probeDeadlineMs = 250
const restartDeadlineMs = 300_000
const warmUpMs = 1_000

export type LoadName = '1x1' | '100x1' | '100x10'
export type OperationName = 'put' | 'range linearizable' | 'range serializable' | 'transaction'

export const loads: Readonly<Record<LoadName, Load>> = {
  '1x1': { connections: 1, streams: 1, requests: 4_000 },
  '100x1': { connections: 100, streams: 1, requests: 60_000 },
  '100x10': { connections: 100, streams: 10, requests: 150_000 },
}

const hammeredKey = Buffer.alloc(keySizeBytes, 'k')

export const operations: Readonly<Record<OperationName, Message>> = {
  put: { key: hammeredKey, value: Buffer.alloc(valueSizeBytes, 'v') },
  'range linearizable': { key: hammeredKey },
  'range serializable': { key: hammeredKey, serializable: true },
  transaction: transactionOf({ key: hammeredKey, value: Buffer.alloc(valueSizeBytes, 'v') }),
}

const methodOf: Readonly<Record<OperationName, 'put' | 'range' | 'txn'>> = {
  put: 'put',
  'range linearizable': 'range',
  'range serializable': 'range',
  transaction: 'txn',
}

/** The load against the leader, and the proof that it did what it was to do. */
export async function measureLoad(
  cluster: ServerCluster,
  operation: OperationName,
  load: Load,
): Promise<LoadResult> {
  const endpoint = (await leaderOf(cluster)).endpoint
  const client = new GrpcClient(endpoint)
  try {
    const before = await client.must('put', operations.put)
    const method = methodOf[operation]
    const result = await runLoad(endpoint, method, operations[operation], load)
    const after = await client.must('range', { key: hammeredKey })
    const written = revisionOf(after) - revisionOf(before)
    const expected = method === 'range' ? 0 : load.requests
    if (written !== expected) throw new Error(`${operation}: ${written} revisions, ${expected} expected`)
    if (numberOf(after.count) !== 1) throw new Error('the key is not there')
    return result
  } finally {
    client.close()
  }
}

export type RandomLoadResult = LoadResult & { p999Ms: number; generatorBusy: number }

export type RandomLoad = { connections: number; streams: number; keyCount: number; countedMs: number }

/** The load of `npm run load` against the leader of a cluster that holds the keys, and the proof that puts were done. */
export async function runRandomLoad(
  cluster: ServerCluster,
  operation: KeyOperationName,
  load: RandomLoad,
): Promise<LoadReport> {
  const leader = await leaderOf(cluster)
  const client = new GrpcClient(leader.endpoint)
  try {
    const before = revisionOf(await client.must('range', { key: loadKey(0) }))
    const plan = { ...targetOf(leader), operation, ...load, valueBytes: valueSizeBytes, warmUpMs, seed: 1 }
    const report = await new Generator('load', plan).report()
    const written = revisionOf(await client.must('range', { key: loadKey(0) })) - before
    const { 0: answered = 0, ...others } = report.statuses
    if (Object.keys(others).length > 0) throw new Error(`${operation}: ${JSON.stringify(report.statuses)}`)
    const expected = operation === 'put' || operation === 'txn' ? answered : 0
    if (written !== expected) throw new Error(`${operation}: ${written} revisions, ${expected} expected`)
    return report
  } finally {
    client.close()
  }
}

export async function measureRandomLoad(
  cluster: ServerCluster,
  operation: KeyOperationName,
  load: RandomLoad,
): Promise<RandomLoadResult> {
  const report = await runRandomLoad(cluster, operation, load)
  const { requestsPerSecond, p50Ms, p99Ms, p999Ms, generatorBusy } = report
  return { requestsPerSecond, p50Ms, p99Ms, p999Ms, generatorBusy }
}

/** From the start of the process, on an empty directory, to the first acknowledged write. Milliseconds. */
export async function measureFirstWrite(command: string): Promise<number> {
  const cluster = await planCluster(command, { label: 'bench-first', size: 1 })
  const start = performance.now()
  cluster.start()
  try {
    await firstWrite(cluster.endpoints, start + restartDeadlineMs)
    return performance.now() - start
  } finally {
    await cluster.stop()
  }
}

/** Resident bytes of one node that has started and was left alone. */
export async function measureIdle(command: string): Promise<number> {
  const cluster = await startCluster(command, { label: 'bench-idle', size: 1 })
  try {
    await sleep(idleSettleMs)
    return onlyNode(cluster).residentBytes()
  } finally {
    await cluster.stop()
  }
}

export type LoadedResult = {
  loadSeconds: number
  residentBytes: number
  restartMs: number
  residentAfterRestartBytes: number
}

/** A store of `keyCount` keys of 256 bytes: memory, and the way back after a stop. */
export async function measureLoaded(command: string, keyCount: number): Promise<LoadedResult> {
  const cluster = await startCluster(command, { label: 'bench-loaded', size: 1 })
  try {
    const node = onlyNode(cluster)
    const start = performance.now()
    await fill(node.endpoint, keyCount)
    const loadSeconds = (performance.now() - start) / 1_000
    await sleep(idleSettleMs)
    const residentBytes = node.residentBytes()
    await node.end('SIGTERM')
    const stopped = performance.now()
    node.start()
    await waitReady(node.endpoint, restartDeadlineMs, node)
    const restartMs = performance.now() - stopped
    await requireCount(node.endpoint, keyCount)
    await sleep(idleSettleMs)
    return { loadSeconds, residentBytes, restartMs, residentAfterRestartBytes: node.residentBytes() }
  } finally {
    await cluster.stop()
  }
}

/** From `kill -9` of the leader of three to the next acknowledged write at a survivor. Milliseconds. */
export async function measureLeaderKill(command: string): Promise<number> {
  const cluster = await startCluster(command, { label: 'bench-leader', size: 3 })
  try {
    const leader = await leaderOf(cluster)
    const survivors = cluster.endpoints.filter((endpoint) => endpoint !== leader.endpoint)
    await firstWrite(survivors, performance.now() + 10_000)
    const start = performance.now()
    await leader.end('SIGKILL')
    await firstWrite(survivors, start + 60_000)
    return performance.now() - start
  } finally {
    await cluster.stop()
  }
}

export async function leaderOf(cluster: ServerCluster): Promise<ServerNode> {
  for (const node of cluster.nodes) {
    const client = new GrpcClient(node.endpoint)
    const { header, leader } = await client.must('status', {})
    client.close()
    if (messageOf(header).member_id === leader) return node
  }
  throw new Error('no node leads')
}

/** Tries all endpoints at once, again and again, until one acknowledges. */
async function firstWrite(endpoints: readonly string[], until: number): Promise<void> {
  let clients = endpoints.map((endpoint) => new GrpcClient(endpoint))
  try {
    while (performance.now() < until) {
      const answers = await Promise.all(
        clients.map((client) =>
          client.call('put', { key: bytes('first'), value: bytes('1') }, probeDeadlineMs),
        ),
      )
      if (answers.some((answer) => answer.code === 0)) return
      await sleep(2)
      clients = clients.map((client) => (client.usable ? client : new GrpcClient(client.endpoint)))
    }
  } finally {
    for (const client of clients) client.close()
  }
  throw new Error('no write was acknowledged in time')
}

/** The keys of `loadKey`, from 0 on. */
export async function fill(
  endpoint: string,
  keyCount: number,
  valueBytes: number = valueSizeBytes,
): Promise<void> {
  const putsPerTransaction = 100
  const inFlight = 8
  const client = new GrpcClient(endpoint)
  const value = Buffer.alloc(valueBytes, 'v')
  let next = 0
  const work = async (): Promise<void> => {
    while (next < keyCount) {
      const first = next
      next += putsPerTransaction
      const count = Math.min(putsPerTransaction, keyCount - first)
      const success = Array.from({ length: count }, (_, i) => ({
        request_put: { key: loadKey(first + i), value },
      }))
      await client.must('txn', { success }, 60_000)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  client.close()
  await requireCount(endpoint, keyCount)
}

async function requireCount(endpoint: string, keyCount: number): Promise<void> {
  const client = new GrpcClient(endpoint)
  const { count } = await client.must('range', { ...allKeys, count_only: true }, 60_000)
  client.close()
  if (numberOf(count) !== keyCount) throw new Error(`${numberOf(count)} keys, ${keyCount} expected`)
}

export function onlyNode(cluster: ServerCluster): ServerNode {
  const [node] = cluster.nodes
  if (node === undefined || cluster.nodes.length !== 1) throw new Error('expected one node')
  return node
}
