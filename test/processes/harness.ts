// Real processes of the program, each with its own ports and data directory, for tests that kill, pause and restart
// them. Nothing here waits for a time to pass: every wait is for a line, an exit or a condition, with a deadline.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MethodName } from '../support/etcd-messages.ts'
import { type Answer, GrpcClient } from '../support/grpc-client.ts'
import { bytes } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import type { Message } from '../support/protobuf.ts'

/** QUORATE_TREE: the processes run the sources of another tree; the sweeps show with it that they can fail. */
const program = (): string =>
  join(process.env.QUORATE_TREE ?? join(import.meta.dirname, '../..'), 'src/cli/main.ts')
const readyDeadlineMs = 60_000
const exitDeadlineMs = 20_000
const conditionDeadlineMs = 30_000
const pollMs = 20

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface HttpAnswer {
  readonly code: number
  readonly type: string
  readonly text: string
}

/** The program with some arguments: what it prints, and how it ends. */
export class Program {
  readonly #child: ChildProcess
  readonly #wakers = new Set<() => void>()
  #exit: Exit | undefined
  stdout = ''
  stderr = ''

  /** Its channel to this process ends with this process, and that ends a node: no test leaves one behind. */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ) {
    const [file = '', ...rest] = [...wrapper, process.execPath, program(), ...args]
    this.#child = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...cleanEnvironment(), ...environment },
    })
    running.add(this.#child)
    for (const name of ['stdout', 'stderr'] as const) {
      this.#child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this[name] += text
        this.#wake()
      })
    }
    // 'close' and not 'exit': everything it printed has been read.
    this.#child.on('close', (code, signal) => {
      running.delete(this.#child)
      this.#exit = { code, signal }
      this.#wake()
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get exit(): Exit | undefined {
    return this.#exit
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Until it printed `text`, on whichever stream. */
  async printed(text: string | RegExp, deadlineMs: number = readyDeadlineMs): Promise<void> {
    const has = (): boolean => (this.stdout + this.stderr).search(text) >= 0
    await this.#until(`print ${text}`, () => has() || this.#exit !== undefined, deadlineMs)
    assert.ok(
      has(),
      `the program ended (${JSON.stringify(this.#exit)}) before it printed ${text}:\n${this.stderr}`,
    )
  }

  async ended(deadlineMs: number = exitDeadlineMs): Promise<Exit> {
    await this.#until('end', () => this.#exit !== undefined, deadlineMs)
    return this.#exit ?? { code: null, signal: null }
  }

  async #until(what: string, isReached: () => boolean, deadlineMs: number): Promise<void> {
    const untilMs = performance.now() + deadlineMs
    while (!isReached()) {
      const leftMs = untilMs - performance.now()
      if (leftMs <= 0)
        throw new Error(`it did not ${what} within ${deadlineMs} ms:\n${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        const waker = (): void => {
          clearTimeout(timer)
          this.#wakers.delete(waker)
          resolve()
        }
        this.#wakers.add(waker)
      })
    }
  }

  #wake(): void {
    for (const waker of this.#wakers) waker()
  }
}

/** One member: its process may come and go, its ports and its directory stay. */
export class ProcessNode {
  readonly name: string
  readonly directory: string
  readonly clientPort: number
  readonly metricsPort: number
  peerPort: number
  /** Added behind the flags that every node has. */
  flags: readonly string[]
  environment: Readonly<Record<string, string>> = {}
  /** A command that runs the program as its own process, with its arguments. */
  wrapper: readonly string[] = []
  #program: Program | undefined
  #client: GrpcClient | undefined

  constructor(name: string, directory: string, ports: readonly number[], flags: readonly string[] = []) {
    const [clientPort = 0, peerPort = 0, metricsPort = 0] = ports
    this.name = name
    this.directory = directory
    this.clientPort = clientPort
    this.peerPort = peerPort
    this.metricsPort = metricsPort
    this.flags = flags
  }

  get endpoint(): string {
    return `127.0.0.1:${this.clientPort}`
  }

  get peerUrl(): string {
    return `http://127.0.0.1:${this.peerPort}`
  }

  get isRunning(): boolean {
    return this.#program !== undefined && this.#program.exit === undefined
  }

  get program(): Program {
    assert.ok(this.#program !== undefined, `${this.name} was never started`)
    return this.#program
  }

  get pid(): number {
    return this.program.pid
  }

  get arguments(): string[] {
    return [
      ...['--name', this.name],
      ...['--data-dir', this.directory],
      ...['--listen-client-urls', `http://${this.endpoint}`],
      ...['--listen-peer-urls', this.peerUrl],
      ...['--listen-metrics-urls', `http://127.0.0.1:${this.metricsPort}`],
      ...this.flags,
    ]
  }

  start(): void {
    this.#program = new Program(this.arguments, this.environment, this.wrapper)
  }

  ready(): Promise<void> {
    return this.program.printed('ready to serve client requests')
  }

  async startReady(): Promise<void> {
    this.start()
    await this.ready()
  }

  ended(deadlineMs?: number): Promise<Exit> {
    return this.program.ended(deadlineMs)
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<Exit> {
    this.program.send(signal)
    return await this.program.ended()
  }

  /** A connection that is made anew when the one before was lost. */
  get client(): GrpcClient {
    if (this.#client?.usable !== true) {
      this.#client?.close()
      this.#client = new GrpcClient(this.endpoint)
    }
    return this.#client
  }

  call(name: MethodName, request: Message, deadlineMs = 10_000): Promise<Answer> {
    return this.client.call(name, request, deadlineMs)
  }

  /** The answer of a call that must succeed in the end; only for calls that may be repeated. */
  async must(name: MethodName, request: Message): Promise<Message> {
    return await eventually(`${name} at ${this.name}`, async () => {
      const answer = await this.call(name, request, 3_000)
      if (answer.code === 0) return answer.message
      throw new Error(`code ${answer.code} ${answer.text}`)
    })
  }

  async http(path: string, port: number = this.metricsPort, method = 'GET'): Promise<HttpAnswer> {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      signal: AbortSignal.timeout(5_000),
    })
    const type = answer.headers.get('content-type') ?? ''
    return { code: answer.status, type, text: await answer.text() }
  }

  async status(): Promise<NodeStatus> {
    return JSON.parse((await this.http('/status')).text)
  }

  close(): void {
    this.#client?.close()
    if (this.#program?.exit === undefined) this.#program?.send('SIGKILL')
  }
}

/** What the tests read of /status. */
export interface NodeStatus {
  readonly name: string
  readonly clusterId: string
  readonly memberId: string
  readonly version: string
  readonly group: {
    readonly role: string
    readonly term: number
    readonly leader: string
    readonly isLearner: boolean
    readonly lastIndex: number
    readonly appliedIndex: number
    readonly durableAppliedIndex: number
    readonly lowWaterMark: number
    readonly digest: number
    readonly peers: Readonly<Record<string, { readonly silentTicks: number }>>
    readonly problems: readonly string[]
  }
  readonly core: { readonly revision: number; readonly leases: number; readonly watchers: number }
}

/** Members of one cluster, and what is asked of all of them. */
export class ProcessCluster {
  readonly nodes: ProcessNode[]
  readonly directory: string

  constructor(nodes: ProcessNode[], directory: string) {
    this.nodes = nodes
    this.directory = directory
  }

  async start(): Promise<void> {
    for (const node of this.nodes) node.start()
    await Promise.all(this.nodes.map((node) => node.ready()))
  }

  node(index: number): ProcessNode {
    const node = this.nodes[index]
    assert.ok(node !== undefined, `there is no node ${index}`)
    return node
  }

  get live(): ProcessNode[] {
    return this.nodes.filter((node) => node.isRunning)
  }

  /** The node that leads and says so itself. */
  async leader(): Promise<ProcessNode> {
    return await eventually('a leader', async () => {
      for (const node of this.live) {
        const status = await node.status().catch(() => undefined)
        if (status?.group.role === 'leader') return node
      }
      return undefined
    })
  }

  async followers(): Promise<ProcessNode[]> {
    const leader = await this.leader()
    return this.live.filter((node) => node !== leader)
  }

  /** Until all that run have applied the same and their states have the same digest. */
  async agree(): Promise<NodeStatus[]> {
    return await eventually('the same state on all nodes', async () => {
      const all = await Promise.all(this.live.map((node) => node.status()))
      const facts = new Set(
        all.map(({ group, core }) => `${group.appliedIndex} ${group.digest} ${core.revision}`),
      )
      if (facts.size === 1) return all
      throw new Error([...facts].join(' | '))
    })
  }
}

/** A data directory and ports that go with the test. */
export async function planCluster(
  t: Pick<TestContext, 'after'>,
  size: number,
  flags: readonly string[] = [],
): Promise<ProcessCluster> {
  const directory = temporaryDirectory(t)
  const ports = await freePorts(3 * size)
  const nodes = Array.from(
    { length: size },
    (_, i) => new ProcessNode(`n${i + 1}`, join(directory, `n${i + 1}`), ports.slice(3 * i, 3 * i + 3)),
  )
  const initialCluster = nodes.map((node) => `${node.name}=${node.peerUrl}`).join(',')
  for (const node of nodes) node.flags = ['--initial-cluster', initialCluster, ...flags]
  const cluster = new ProcessCluster(nodes, directory)
  t.after(() => {
    for (const node of cluster.nodes) node.close()
  })
  return cluster
}

/** Small segments and early snapshots, so that a few hundred writes are many files. */
export const smallFiles: readonly string[] = [
  ...['--wal-segment-bytes', '65536'],
  ...['--snapshot-count', '50', '--snapshot-log-bytes', '20000'],
]

/** Transactions whose condition never holds: the log grows and the state does not, so snapshots become due. */
export async function growLog(node: ProcessNode, until: () => Promise<boolean>): Promise<void> {
  const key = bytes('never')
  const put = { request_put: { key, value: new Uint8Array(16_000) } }
  const request = { compare: [{ key, target: 0, result: 0, version: 99 }], success: [put] }
  await eventually('a log that outgrew the state', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => node.call('txn', request, 5_000)))
    const refused = answers.find((answer) => answer.code !== 0)
    if (refused !== undefined) throw new Error(refused.text)
    return (await until()) ? true : undefined
  })
}

/** Runs the program with arguments that make it end by itself, and returns how. */
export async function runToEnd(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = new Program(args, environment)
  const exit = await child.ended().catch((error: unknown) => {
    child.send('SIGKILL')
    throw error
  })
  return { ...exit, stdout: child.stdout, stderr: child.stderr }
}

/** Asks again and again until there is an answer; what it throws meanwhile is told when the deadline passes. */
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value | undefined> | Value | undefined,
  deadlineMs: number = conditionDeadlineMs,
): Promise<Value> {
  const untilMs = performance.now() + deadlineMs
  let last = 'no answer'
  for (;;) {
    try {
      const value = await ask()
      if (value !== undefined) return value
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() > untilMs) throw new Error(`no ${what} within ${deadlineMs} ms: ${last}`)
    await sleep(pollMs)
  }
}

export function temporaryDirectory(t: Pick<TestContext, 'after'>): string {
  const directory = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  t.after(() => {
    // A process that was just killed may still be writing its last file.
    rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  })
  return directory
}

/** The flags of a test come from the test alone. Translated sources are kept: a node starts in half the time. */
function cleanEnvironment(): Record<string, string | undefined> {
  const own = Object.entries(process.env).filter(([name]) => !/^(QUORATE|ETCD)_|^NODE_/.test(name))
  return { ...Object.fromEntries(own), NODE_COMPILE_CACHE: join(tmpdir(), 'quorate-test-compile-cache') }
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
