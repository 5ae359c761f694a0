import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Generator, targetOf } from '../../bench/generator.ts'
import type { ProbeReport } from '../../bench/load/probe.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { bytes } from '../support/keys.ts'
import { bytesRead, processorMs, processorWaitMs, residentBytes } from '../support/processes.ts'
import type { ServerNode } from '../support/servers.ts'
import { type AttackName, type AttackPlan, type AttackReport, bigPrefix } from './attacks.ts'

export interface HostileSizes {
  readonly attackMs: number
  readonly scale: number
  /** Niceness of the attackers' process. */
  readonly nice: number
  /** What stands before the command that starts it where it is to be. */
  readonly attackersLauncher: readonly string[]
  /** Gets and puts a second of the good clients, each. */
  readonly perSecond: number
  readonly bigKeys: number
}

export type AttackReports = Readonly<Partial<Record<AttackName, AttackReport>>>

/** What one process needed of the machine, a second. */
export interface Needs {
  /** Processors in use, of all threads. */
  readonly processors: number
  /** Seconds in which its first thread, the loop of a process of Node, was ready to run and did not. */
  readonly waiting: number
  /** Bytes that were read, mostly of sockets. */
  readonly readBytes: number
}

export interface Watched {
  readonly seconds: number
  readonly server: Needs
  /** Of the process of the good clients that were there before. */
  readonly good: Needs
  /** The longest delay of the server's event loop; undefined: it does not tell. */
  readonly loopDelayMaxMs: number | undefined
  /** Good clients that were there before: their requests, and how long these took. */
  readonly probe: ProbeReport | undefined
  /** Good clients that came meanwhile, and the longest time from their connect to their answer. */
  readonly newClients: number
  readonly newClientMaxMs: number
  readonly residentBytesMax: number
  readonly attacks: AttackReports
  readonly problems: readonly string[]
}

/**
 * What the server may hold at most: itself and its store (250 MiB), what waits in all connections together (512 MiB, see
 * `waitingBytesMax`), and as much again that the collector has not got to.
 */
export const residentBytesCap: number = 1_280 * 1024 * 1024

export function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}

const newClientEveryMs = 200
const clientDeadlineMs = 10_000
const sampleEveryMs = 100
const bigValueBytes = 4_096

export async function fillBigKeys(node: ServerNode, count: number): Promise<void> {
  const client = new GrpcClient(node.endpoint)
  for (let i = 0; i < count; i++) {
    await client.must('put', { key: bytes(`${bigPrefix}${i}`), value: Buffer.alloc(bigValueBytes, 'b') })
  }
  client.close()
}

export async function termOf(node: ServerNode): Promise<string> {
  const client = new GrpcClient(node.endpoint)
  const { raft_term, leader } = await client.must('status', {})
  client.close()
  return `term ${raft_term}, leader ${leader}`
}

/** Good clients of `node` alone, or beside attacks on `attacked`: what they saw, and which promises did not hold. */
export async function watch(
  node: ServerNode,
  names: readonly AttackName[],
  sizes: HostileSizes,
  attacked: ServerNode = node,
): Promise<Watched> {
  const problems: string[] = []
  const before = await termOf(node)
  const target = targetOf(node)
  const { attackMs: ms, scale } = sizes
  const attackers =
    names.length === 0 ? undefined : new Attackers(names, { ...targetOf(attacked), ms, scale }, sizes)
  await attackers?.prepared
  const good = new Generator('probe', { ...target, perSecond: sizes.perSecond, puts: true })
  await good.begun
  await loopDelayMaxMs(node)
  const beginMs = performance.now()
  const needs = [target.serverPid, good.pid ?? process.pid].map(watchNeeds)
  const meanwhile = new Meanwhile(node, target.serverPid)
  const attacks: AttackReports = attackers === undefined ? await sleep(ms, {}) : await attackers.run()
  const seconds = (performance.now() - beginMs) / 1_000
  const [server, goodNeeds] = needs.map((end) => end()) as [Needs, Needs]
  const probe = await good
    .stop()
    .catch((error: unknown) => void problems.push(`a good client: ${String(error)}`))
  const delayMaxMs = await loopDelayMaxMs(node)
  const { newClients, newClientMaxMs, residentBytesMax } = await meanwhile.end()
  await attackers?.end()
  for (const [status, count] of Object.entries(probe?.statuses ?? {})) {
    if (status !== '0') problems.push(`${count} answers of status ${status} to good clients`)
  }
  problems.push(...meanwhile.problems, ...Object.values(attacks).flatMap((report) => report.problems))
  if (residentBytesMax > residentBytesCap)
    problems.push(`resident memory of ${mebibytes(residentBytesMax)} MiB`)
  if (node.endedByItself) problems.push('the server ended')
  else {
    const after = await termOf(node)
    if (after !== before) problems.push(`${before} became ${after}`)
  }
  return {
    seconds,
    server,
    good: goodNeeds,
    loopDelayMaxMs: delayMaxMs,
    probe: probe ?? undefined,
    newClients,
    newClientMaxMs,
    residentBytesMax,
    attacks,
    problems,
  }
}

/** New clients, and the memory of the server, until `end`. */
class Meanwhile {
  readonly problems: string[] = []
  readonly #node: ServerNode
  readonly #pid: number
  readonly #loops: Promise<unknown>
  #newClients = 0
  #newClientMaxMs = 0
  #residentBytesMax = 0
  #isOver = false

  constructor(node: ServerNode, pid: number) {
    this.#node = node
    this.#pid = pid
    this.#loops = Promise.all([this.#connect(), this.#sample()])
  }

  async end(): Promise<{ newClients: number; newClientMaxMs: number; residentBytesMax: number }> {
    this.#isOver = true
    await this.#loops
    return {
      newClients: this.#newClients,
      newClientMaxMs: Math.round(this.#newClientMaxMs),
      residentBytesMax: this.#residentBytesMax,
    }
  }

  async #connect(): Promise<void> {
    while (!this.#isOver && !this.#node.endedByItself) {
      const startMs = performance.now()
      const client = new GrpcClient(this.#node.endpoint)
      const { code, text } = await client.call('range', { key: bytes('new') }, clientDeadlineMs)
      client.close()
      this.#newClients++
      this.#newClientMaxMs = Math.max(this.#newClientMaxMs, performance.now() - startMs)
      if (code !== 0 && this.problems.length < 3) this.problems.push(`a new client: code ${code} ${text}`)
      await sleep(newClientEveryMs)
    }
  }

  async #sample(): Promise<void> {
    while (!this.#isOver && !this.#node.endedByItself) {
      this.#residentBytesMax = Math.max(this.#residentBytesMax, residentBytes(this.#pid))
      await sleep(sampleEveryMs)
    }
  }
}

/** Begins now; what it gives ends it. A process that is gone needed nothing that is known. */
function watchNeeds(pid: number): () => Needs {
  const look = (): readonly number[] => {
    try {
      return [performance.now(), processorMs(pid), processorWaitMs(pid), bytesRead(pid)]
    } catch {
      return [Number.NaN, Number.NaN, Number.NaN, Number.NaN]
    }
  }
  const before = look()
  return () => {
    const [ms, processors, waiting, read] = look().map((after, i) => after - (before[i] as number)) as [
      number,
      number,
      number,
      number,
    ]
    return { processors: processors / ms, waiting: waiting / ms, readBytes: (read * 1_000) / ms }
  }
}

/** Since the last look. */
async function loopDelayMaxMs(node: ServerNode): Promise<number | undefined> {
  const text = await fetch(`http://${node.endpoint}/metrics`)
    .then((response) => response.text())
    .catch(() => '')
  const seconds = /^quorate_loop_lag_seconds_max (\S+)$/m.exec(text)?.[1]
  return seconds === undefined ? undefined : Number(seconds) * 1_000
}

/** Attacks that are prepared as soon as this is made, in a process of their own. */
class Attackers {
  /** Resolves when everything is done that comes before the attack. */
  readonly prepared: Promise<void>
  readonly #child: ChildProcess
  readonly #reports: Promise<AttackReports>
  readonly #closed: Promise<unknown>

  constructor(
    names: readonly AttackName[],
    plan: AttackPlan,
    { attackersLauncher, nice }: Pick<HostileSizes, 'attackersLauncher' | 'nice'>,
  ) {
    const path = fileURLToPath(new URL('process.ts', import.meta.url))
    // By a launcher, because a process that sets its own priority sets that of one thread.
    const launcher = [...attackersLauncher, 'nice', '-n', `${nice}`]
    const command = [process.execPath, path, JSON.stringify(names), JSON.stringify(plan)]
    const [file = '', ...args] = [...launcher, ...command]
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child = child
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    const prepared = Promise.withResolvers<void>()
    const reports = Promise.withResolvers<AttackReports>()
    this.prepared = prepared.promise
    let out = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (out.startsWith('prepared\n')) prepared.resolve()
      const [, report, end] = out.split('\n')
      if (end !== undefined) reports.resolve(JSON.parse(report as string) as AttackReports)
    })
    this.#closed = once(child, 'close')
    child.once('close', (code) => {
      process.off('exit', kill)
      reports.reject(new Error(`the attacks ended with code ${code}`))
    })
    this.#reports = reports.promise
    this.#reports.catch((error: unknown) => prepared.reject(error))
  }

  async run(): Promise<AttackReports> {
    this.#child.stdin?.write('go')
    return await this.#reports
  }

  /** Resolves when nothing of it is left. */
  async end(): Promise<void> {
    this.#child.stdin?.end()
    await this.#closed
  }
}
