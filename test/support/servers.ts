// Starts and ends real server processes that take etcd's flags: etcd itself, or Quorate.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcClient } from './grpc-client.ts'
import { allKeys } from './keys.ts'
import { freePorts } from './ports.ts'
import { killTree, pidListeningAt, residentBytes } from './processes.ts'

const readyDeadlineMs = 60_000
const stopDeadlineMs = 15_000

/** One node: its process may come and go, its ports and its directory stay. */
export class ServerNode {
  readonly name: string
  readonly endpoint: string
  readonly directory: string
  readonly logPath: string
  readonly #command: readonly string[]
  #process: ChildProcess | undefined

  constructor(name: string, endpoint: string, directory: string, command: readonly string[]) {
    this.name = name
    this.endpoint = endpoint
    this.directory = directory
    this.logPath = `${directory}.log`
    this.#command = command
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Whether the process ended without `end`. */
  get endedByItself(): boolean {
    const child = this.#process
    return child !== undefined && (child.exitCode !== null || child.signalCode !== null)
  }

  start(): void {
    const [file = '', ...args] = this.#command
    const log = openSync(this.logPath, 'a')
    const child = spawn(file, args, { stdio: ['ignore', log, log] })
    closeSync(log)
    child.on('error', (error) => console.error(`${this.name}: ${error.message}`))
    this.#process = child
    runningProcesses.add(child)
    child.on('exit', () => runningProcesses.delete(child))
  }

  /** Sends the signal and waits until the process is gone. SIGKILL goes to all it started, at once. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const { pid } = child
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    if (signal === 'SIGKILL') killTree(pid)
    else child.kill(signal)
    const forced = setTimeout(() => killTree(pid), stopDeadlineMs)
    await gone
    clearTimeout(forced)
  }

  /** The process that serves; the one that was started may be its launcher. */
  servingPid(): number {
    const pid = pidListeningAt(this.endpoint)
    if (pid === undefined) throw new Error(`no process listens at ${this.endpoint}`)
    return pid
  }

  /** Resident memory in bytes of the process that serves, from the kernel. */
  residentBytes(): number {
    return residentBytes(this.servingPid())
  }

  lastLogLines(count: number): string {
    return readFileSync(this.logPath, 'utf8').split('\n').slice(-count).join('\n')
  }
}

export class ServerCluster {
  readonly nodes: readonly ServerNode[]
  readonly directory: string

  constructor(nodes: readonly ServerNode[], directory: string) {
    this.nodes = nodes
    this.directory = directory
  }

  get endpoints(): string[] {
    return this.nodes.map((node) => node.endpoint)
  }

  start(): void {
    for (const node of this.nodes) node.start()
  }

  async ready(): Promise<void> {
    await Promise.all(this.nodes.map((node) => waitReady(node.endpoint, readyDeadlineMs, node)))
  }

  /** Stops every node; the directories and logs go with it unless they are to be looked at. */
  async stop(keepData = false): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end('SIGTERM')))
    if (!keepData) rmSync(this.directory, { recursive: true, force: true })
  }
}

export type ClusterOptions = {
  label: string
  size: number
  extraFlags?: readonly string[]
  /** Where the nodes live; default: ports of loopback. */
  places?: readonly NodePlace[]
}

/** host:port for clients and peers, and what stands before the command to start it there. */
export type NodePlace = { client: string; peer: string; launcher: readonly string[] }

/** `command` is what the flags are appended to, such as `etcd` or `bin/quorate`. Nothing is started yet. */
export async function planCluster(command: string, options: ClusterOptions): Promise<ServerCluster> {
  const directory = mkdtempSync(join(tmpdir(), `${options.label}-`))
  mkdirSync(directory, { recursive: true })
  const places = options.places ?? (await placesAt('127.0.0.1', options.size))
  const plans = places.map(({ client, peer, launcher }, i) => ({
    name: `n${i + 1}`,
    client,
    peer: `http://${peer}`,
    launcher,
  }))
  const initialCluster = plans.map((plan) => `${plan.name}=${plan.peer}`).join(',')
  const nodes = plans.map((plan) => {
    const dataDirectory = join(directory, plan.name)
    const flags = [
      `--name=${plan.name}`,
      `--data-dir=${dataDirectory}`,
      `--listen-client-urls=http://${plan.client}`,
      `--advertise-client-urls=http://${plan.client}`,
      `--listen-peer-urls=${plan.peer}`,
      `--initial-advertise-peer-urls=${plan.peer}`,
      `--initial-cluster=${initialCluster}`,
      `--initial-cluster-token=${options.label}`,
      '--initial-cluster-state=new',
      ...(options.extraFlags ?? []),
    ]
    return new ServerNode(plan.name, plan.client, dataDirectory, [
      ...plan.launcher,
      ...splitCommand(command),
      ...flags,
    ])
  })
  return new ServerCluster(nodes, directory)
}

/** Places for nodes at an address of this machine. */
export async function placesAt(host: string, count: number): Promise<NodePlace[]> {
  const ports = await freePorts(count * 2)
  return Array.from({ length: count }, (_, i) => ({
    client: `${host}:${ports[2 * i] ?? 0}`,
    peer: `${host}:${ports[2 * i + 1] ?? 0}`,
    launcher: [],
  }))
}

export async function startCluster(command: string, options: ClusterOptions): Promise<ServerCluster> {
  const cluster = await planCluster(command, options)
  cluster.start()
  try {
    await cluster.ready()
  } catch (error) {
    const logs = cluster.nodes.map((node) => `--- ${node.name}\n${node.lastLogLines(15)}`).join('\n')
    await cluster.stop()
    throw new Error(`${command} did not become ready: ${String(error)}\n${logs}`)
  }
  return cluster
}

/** Until the endpoint answers a linearizable read: then it has a leader and has caught up. */
export async function waitReady(endpoint: string, deadlineMs: number, node?: ServerNode): Promise<void> {
  const until = performance.now() + deadlineMs
  let last = 'no answer'
  while (performance.now() < until) {
    if (node !== undefined && node.pid === undefined) throw new Error(`${node.name} has ended`)
    const client = new GrpcClient(endpoint)
    try {
      const answer = await client.call('range', { ...allKeys, count_only: true }, 2_000)
      if (answer.code === 0) return
      last = answer.text
    } finally {
      client.close()
    }
    await sleep(50)
  }
  throw new Error(`${endpoint} is not ready after ${deadlineMs} ms: ${last}`)
}

export function splitCommand(command: string): string[] {
  return command.split(/\s+/).filter((word) => word !== '')
}

// Whatever ends this script ends the servers it started; each by its own process.
const runningProcesses = new Set<ChildProcess>()
process.on('exit', () => {
  for (const { pid } of runningProcesses) if (pid !== undefined) killTree(pid)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    console.error(`ended by ${signal}`)
    process.exit(130)
  })
}
