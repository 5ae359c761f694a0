import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Generator, targetOf } from '../../bench/generator.ts'
import type { ProbeReport } from '../../bench/load/probe.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { bytes } from '../support/keys.ts'
import { residentBytes } from '../support/processes.ts'
import type { ServerNode } from '../support/servers.ts'
import { type AttackName, type AttackPlan, type AttackReport, bigPrefix } from './attacks.ts'

export interface HostileSizes {
  readonly attackMs: number
  readonly scale: number
  /** Gets and puts a second of the good clients, each. */
  readonly perSecond: number
  readonly bigKeys: number
}

export type AttackReports = Readonly<Partial<Record<AttackName, AttackReport>>>

export interface Watched {
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

/** Good clients alone, or beside attacks: what they saw, and which promises did not hold. */
export async function watch(
  node: ServerNode,
  names: readonly AttackName[],
  sizes: HostileSizes,
): Promise<Watched> {
  const problems: string[] = []
  const before = await termOf(node)
  const target = targetOf(node)
  const good = new Generator('probe', { ...target, perSecond: sizes.perSecond, puts: true })
  await good.begun
  const meanwhile = new Meanwhile(node, target.serverPid)
  const { attackMs: ms, scale } = sizes
  const attacks: AttackReports =
    names.length === 0 ? await sleep(ms, {}) : await runAttacks(names, { ...target, ms, scale })
  const { newClients, newClientMaxMs, residentBytesMax } = await meanwhile.end()
  const probe = await good
    .stop()
    .catch((error: unknown) => void problems.push(`a good client: ${String(error)}`))
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

async function runAttacks(names: readonly AttackName[], plan: AttackPlan): Promise<AttackReports> {
  const path = fileURLToPath(new URL('process.ts', import.meta.url))
  const child = spawn(process.execPath, [path, JSON.stringify(names), JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  process.off('exit', kill)
  if (code !== 0) throw new Error(`the attacks ended with code ${code}`)
  return JSON.parse(out) as AttackReports
}
