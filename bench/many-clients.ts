// What many clients, or one greedy one, do to a node and to each other. Each part measures one side once, on one node of
// its own; every answer is checked by the load (bench/load).
import { setTimeout as sleep } from 'node:timers/promises'
import { methods } from '../test/support/etcd-messages.ts'
import { GrpcClient } from '../test/support/grpc-client.ts'
import { messagesOf, numberOf } from '../test/support/keys.ts'
import { encode } from '../test/support/protobuf.ts'
import { type ServerNode, startCluster } from '../test/support/servers.ts'
import { Generator, targetOf } from './generator.ts'
import type { ProbeReport } from './load/probe.ts'
import { loadKeys } from './load/requests.ts'
import { fill, onlyNode } from './parts.ts'

export type Sample = { [metric: string]: number }

/** Sizes and times of the parts; the tests take smaller ones. */
export interface ManyClientsSizes {
  readonly rangeKeys: number
  readonly connections: number
  readonly watchesPerConnection: number
  readonly leases: number
  readonly leaseTtlSeconds: number
  readonly idleConnections: number
  readonly countedMs: number
  readonly settleMs: number
}

export const manyClientsSizes: ManyClientsSizes = {
  rangeKeys: 10_000,
  connections: 100,
  watchesPerConnection: 10,
  leases: 10_000,
  leaseTtlSeconds: 15,
  idleConnections: 1_000,
  countedMs: 5_000,
  settleMs: 5_000,
}

const warmUpMs = 1_000
const bigRange = { valueBytes: 1_024, connections: 2 }
const valueBytes = 256
/** Slow beside what a node can do: two requests every 5 ms at most, so that the probe measures the others. */
const probesPerSecond = 200
/** Milliseconds: longer than any measurement. */
export const loadUntilStopped = 3_600_000

/** The whole of many large keys, again and again by two clients; meanwhile the small gets of another. */
export async function measureBigRange(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-range', async (node) => {
    await fill(node.endpoint, sizes.rangeKeys, bigRange.valueBytes)
    const expectedBytes = await sizeOfAll(node.endpoint, sizes.rangeKeys, bigRange.valueBytes)
    const load = new Generator('load', {
      ...targetOf(node),
      ...{ operation: 'range-all', connections: bigRange.connections, streams: 1, keyCount: 1, seed: 1 },
      ...{ valueBytes: 0, warmUpMs, countedMs: loadUntilStopped },
    })
    await load.begun
    const probe = await probeFor(node, sizes.countedMs, false)
    const { answers, answerBytes, statuses, ...report } = await load.stop()
    requireOnlySuccess(statuses)
    if (answerBytes !== answers * expectedBytes) {
      throw new Error(`${answers} answers of ${answerBytes / answers} bytes, ${expectedBytes} expected`)
    }
    const { requestsPerSecond, p50Ms, p99Ms, serverBusy, generatorBusy } = report
    return {
      ...{ requestsPerSecond, bytesPerSecond: Math.round(requestsPerSecond * expectedBytes), p50Ms, p99Ms },
      ...{ serverMsPerRequest: (serverBusy * 1_000) / requestsPerSecond, generatorBusy },
      ...probeSample(probe),
    }
  })
}

/** Events of one prefix to all its watchers, as fast as they come: a put waits until all have seen the one 16 before. */
export async function measureWatchers(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-watchers', async (node) => {
    const watchers = new Generator('watchers', {
      ...watchersPlan(node, sizes),
      ...{ putsPerSecond: 0, undeliveredMax: 16 },
    })
    const report = await watchers.report()
    return {
      eventsPerSecond: report.eventsPerSecond,
      sendToEventP50Ms: report.sendToEvent.p50Ms,
      sendToEventP99Ms: report.sendToEvent.p99Ms,
      serverMicrosecondsPerEvent: (report.serverBusy * 1e6) / report.eventsPerSecond,
      generatorBusy: report.generatorBusy,
    }
  })
}

/** Ten puts a second to all watchers, while readers of single keys keep the node as busy as they can. */
export async function measureWatchDelay(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-watch-delay', async (node) => {
    const keyCount = 1_000
    const readers = new Generator('load', {
      ...targetOf(node),
      ...{ operation: 'range', connections: sizes.connections, streams: 10, keyCount, seed: 1 },
      ...{ valueBytes: 0, warmUpMs, countedMs: loadUntilStopped },
    })
    await readers.begun
    const watchers = new Generator('watchers', {
      ...watchersPlan(node, sizes),
      ...{ putsPerSecond: 10, undeliveredMax: 1_000 },
    })
    const report = await watchers.report()
    const { statuses, requestsPerSecond } = await readers.stop()
    requireOnlySuccess(statuses)
    return {
      answerToEventP50Ms: report.answerToEvent.p50Ms,
      answerToEventP99Ms: report.answerToEvent.p99Ms,
      sendToEventP50Ms: report.sendToEvent.p50Ms,
      sendToEventP99Ms: report.sendToEvent.p99Ms,
      readsPerSecond: requestsPerSecond,
      generatorBusy: report.generatorBusy,
    }
  })
}

/** Keep-alives of many leases, as many as are answered. */
export async function measureKeepAlives(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-leases', async (node) => {
    const { leases, connections, countedMs } = sizes
    const keepAlives = new Generator('keepAlives', {
      ...targetOf(node),
      ...{ leases, connections, ttlSeconds: 600, underWay: 10, warmUpMs, countedMs },
    })
    const { serverBusy, ...report } = await keepAlives.report()
    const serverMicrosecondsPerKeepAlive = (serverBusy * 1e6) / report.keepAlivesPerSecond
    return { ...report, serverMicrosecondsPerKeepAlive }
  })
}

/** All leases end at the same time; meanwhile the small gets and puts of another client. */
export async function measureExpiry(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-expiry', async (node) => {
    const { leases, connections, leaseTtlSeconds: ttlSeconds } = sizes
    const expiry = new Generator('expiry', { ...targetOf(node), leases, connections, ttlSeconds })
    await expiry.begun
    // The probe begins before the first lease is due.
    await sleep((ttlSeconds - 1) * 1_000)
    const probe = new Generator('probe', { ...targetOf(node), perSecond: probesPerSecond, puts: true })
    await probe.begun
    const { goneMs, firstGoneMs } = await expiry.report()
    return { goneMs, firstGoneMs, ...probeSample(await probe.stop()) }
  })
}

/** Resident memory of a node with connections that have ten watches each, of keys that nobody writes. */
export async function measureConnections(command: string, sizes: ManyClientsSizes): Promise<Sample> {
  return await withNode(command, 'bench-connections', async (node) => {
    const { idleConnections: connections, watchesPerConnection, settleMs } = sizes
    await sleep(settleMs)
    const idleResidentBytes = node.residentBytes()
    const plan = { ...targetOf(node), connections, watchesPerConnection }
    const watches = new Generator('idleWatches', plan)
    await watches.begun
    await sleep(settleMs)
    const residentBytes = node.residentBytes()
    await watches.stop()
    return { residentBytes, bytesPerConnection: (residentBytes - idleResidentBytes) / connections }
  })
}

async function withNode(
  command: string,
  label: string,
  measure: (node: ServerNode) => Promise<Sample>,
): Promise<Sample> {
  const cluster = await startCluster(command, { label, size: 1 })
  try {
    return await measure(onlyNode(cluster))
  } finally {
    Generator.killAll()
    await cluster.stop()
  }
}

async function probeFor(node: ServerNode, ms: number, puts: boolean): Promise<ProbeReport> {
  const probe = new Generator('probe', { ...targetOf(node), perSecond: probesPerSecond, puts })
  await probe.begun
  await sleep(ms)
  return await probe.stop()
}

function probeSample({ gets, puts, statuses, lateMaxMs }: ProbeReport): Sample {
  requireOnlySuccess(statuses)
  const getSample = { otherGetsP99Ms: gets.p99Ms, otherGetsMaxMs: gets.maxMs }
  const putSample = puts.count > 0 ? { otherPutsP99Ms: puts.p99Ms, otherPutsMaxMs: puts.maxMs } : {}
  return { ...getSample, ...putSample, otherLateMaxMs: lateMaxMs }
}

function watchersPlan(node: ServerNode, sizes: ManyClientsSizes) {
  const { connections, watchesPerConnection, countedMs } = sizes
  return { ...targetOf(node), connections, watchesPerConnection, valueBytes, warmUpMs, countedMs }
}

export function requireOnlySuccess(statuses: Readonly<Record<string, number>>): void {
  if (Object.keys(statuses).some((status) => status !== '0')) throw new Error(JSON.stringify(statuses))
}

/** Bytes of the answer to the range of everything, as it is framed, once it has been looked at key by key. */
async function sizeOfAll(endpoint: string, keyCount: number, sizeOfValue: number): Promise<number> {
  const client = new GrpcClient(endpoint)
  const answer = await client.must('range', loadKeys, 60_000)
  client.close()
  const kvs = messagesOf(answer.kvs)
  const isWhole = ({ value }: (typeof kvs)[number]): boolean => (value as Uint8Array).length === sizeOfValue
  if (kvs.length !== keyCount || numberOf(answer.count) !== keyCount || !kvs.every(isWhole)) {
    throw new Error(`${kvs.length} keys, not ${keyCount} of ${sizeOfValue} bytes each`)
  }
  return 5 + encode(answer, methods.range.response).length
}
