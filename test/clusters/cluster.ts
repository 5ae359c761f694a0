// Three real nodes of one system in a laboratory, with the faults that a process can suffer.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcClient } from '../support/grpc-client.ts'
import { messageOf } from '../support/keys.ts'
import { type Laboratory, linksAround } from '../support/laboratory.ts'
import { planCluster, type ServerCluster, type ServerNode, waitReady } from '../support/servers.ts'
import { fakeTimeEnvironment } from './fake-time.ts'

export type System = 'quorate' | 'etcd'

export interface ClusterSettings {
  readonly system: System
  /** Of the sources of Quorate. */
  readonly tree: string
  readonly heartbeatMs: number
  readonly electionMs: number
  readonly snapshotCount: number
  /** Which clocks follow the nodes' files; undefined: the real ones. Quorate only. */
  readonly fakeClocks: 'wall' | 'all' | undefined
}

export const defaultSettings: Omit<ClusterSettings, 'system' | 'tree'> = {
  heartbeatMs: 100,
  electionMs: 1_000,
  snapshotCount: 10_000,
  fakeClocks: undefined,
}

const readyDeadlineMs = 60_000
const busyLoop = new URL('busy-loop.ts', import.meta.url).href
const compileCache = join(tmpdir(), 'quorate-test-compile-cache')
const statusDeadlineMs = 500
/** As busy-loop.ts has it. */
const busyMs = 4_000

/** One node's place in the cluster; its processes come and go. */
export class Seat {
  readonly place: number
  readonly server: ServerNode
  readonly clockFile: string
  lives = 0
  isDown = true
  isPaused = false

  constructor(place: number, server: ServerNode, clockFile: string) {
    this.place = place
    this.server = server
    this.clockFile = clockFile
  }

  get name(): string {
    return this.server.name
  }

  /** A name for this life: what a server answers may not go back within one. */
  get life(): string {
    return `${this.name}.${this.lives}`
  }
}

export interface SeatStatus {
  readonly seat: Seat
  readonly isLeader: boolean
  readonly term: number
  readonly memberId: bigint
  readonly appliedIndex: number
}

export class Cluster {
  readonly settings: ClusterSettings
  readonly seats: readonly Seat[]
  readonly laboratory: Laboratory
  readonly #servers: ServerCluster

  constructor(settings: ClusterSettings, laboratory: Laboratory, servers: ServerCluster) {
    this.settings = settings
    this.laboratory = laboratory
    this.#servers = servers
    abandoned.add(servers.directory)
    this.seats = servers.nodes.map((node, place) => new Seat(place, node, clockFileOf(laboratory, place)))
    for (const seat of this.seats) this.setClock(seat, '+0')
  }

  get directory(): string {
    return this.#servers.directory
  }

  others(seat: Seat): Seat[] {
    return this.seats.filter((other) => other !== seat)
  }

  async ready(): Promise<void> {
    await Promise.all(this.seats.map((seat) => waitReady(seat.server.endpoint, readyDeadlineMs, seat.server)))
  }

  start(seat: Seat): void {
    if (!seat.isDown) return
    seat.isDown = false
    seat.isPaused = false
    seat.lives++
    seat.server.start()
  }

  async kill(seat: Seat): Promise<void> {
    seat.isDown = true
    await seat.server.end('SIGKILL')
  }

  /** Asks it to stop, and waits until it has. */
  async terminate(seat: Seat): Promise<void> {
    seat.isDown = true
    await seat.server.end('SIGTERM')
  }

  pause(seat: Seat): void {
    if (!seat.isDown) seat.isPaused = signal(seat, 'SIGSTOP')
  }

  resume(seat: Seat): void {
    if (seat.isPaused) signal(seat, 'SIGCONT')
    seat.isPaused = false
  }

  /** Paused until the returned function is called. */
  hang(seat: Seat): () => void {
    this.pause(seat)
    return () => this.resume(seat)
  }

  /** No packet between this node and the others. */
  async isolate(seat: Seat): Promise<void> {
    await this.laboratory.silence(...this.linksAround(seat))
  }

  async rejoin(seat: Seat): Promise<void> {
    await this.laboratory.hear(...this.linksAround(seat))
  }

  /** Every link is whole, every node runs. */
  async healAll(): Promise<void> {
    await this.laboratory.healAll()
    for (const seat of this.seats) {
      this.resume(seat)
      this.start(seat)
    }
  }

  linksAround(seat: Seat): ReturnType<typeof linksAround> {
    return linksAround(
      seat.place,
      this.others(seat).map((other) => other.place),
    )
  }

  /** Its event loop is busy with something else for four seconds; etcd has none, and runs half of that time. */
  async keepBusy(seat: Seat): Promise<void> {
    if (this.settings.system === 'etcd') return await this.strobe(seat, busyMs)
    signal(seat, 'SIGUSR2')
    await sleep(busyMs)
  }

  /** Runs at most half of the time, in steps of 50 ms. */
  async strobe(seat: Seat, durationMs: number): Promise<void> {
    const until = performance.now() + durationMs
    while (performance.now() < until && !seat.isDown) {
      this.pause(seat)
      await sleep(50)
      this.resume(seat)
      await sleep(50)
    }
  }

  /** Each write that must be durable takes so much longer, until the returned function is called. */
  async slowDisk(seat: Seat, delayMs: number): Promise<() => void> {
    // Quorate's log is written through: its durable calls are the writes themselves.
    const calls = this.settings.system === 'etcd' ? 'fsync,fdatasync' : 'fsync,fdatasync,pwrite64,pwritev'
    const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:delay_enter=${delayMs * 1_000}`]
    const pid = seat.server.pid ?? 0
    const tracer = spawn('strace', ['-f', '-qq', '-o', '/dev/null', ...inject, '-p', String(pid)], {
      stdio: 'ignore',
    })
    tracers.add(tracer)
    tracer.on('exit', () => tracers.delete(tracer))
    while (tracers.has(tracer) && !isTraced(pid)) await sleep(5)
    return () => {
      tracer.kill('SIGTERM')
    }
  }

  /** `SECONDS` for a jump of the wall clock, or with a rate: `+0 x1.5`. */
  setClock(seat: Seat, words: string): void {
    writeFileSync(seat.clockFile, `${words}\n`)
  }

  async statuses(): Promise<SeatStatus[]> {
    const all = await Promise.all(this.seats.map((seat) => statusOf(seat)))
    return all.filter((status) => status !== undefined)
  }

  /** The one that says so itself, in the newest term. */
  async findLeader(): Promise<SeatStatus | undefined> {
    const leaders = (await this.statuses()).filter((status) => status.isLeader)
    return leaders.sort((left, right) => right.term - left.term)[0]
  }

  async leader(deadlineMs = 30_000): Promise<SeatStatus> {
    const until = performance.now() + deadlineMs
    for (;;) {
      const found = await this.findLeader()
      if (found !== undefined) return found
      if (performance.now() > until) throw new Error(`no leader within ${deadlineMs} ms`)
      await sleep(20)
    }
  }

  /** Nodes that ended though nobody asked them to. */
  get crashed(): Seat[] {
    return this.seats.filter((seat) => !seat.isDown && seat.server.endedByItself)
  }

  /** How often a node's log so far tells of an event, such as `snapshot-installed`. */
  countInLog(seat: Seat, words: string): number {
    return readFileSync(seat.server.logPath, 'utf8').split(words).length - 1
  }

  async stop(keepData: boolean): Promise<void> {
    for (const tracer of tracers) tracer.kill('SIGKILL')
    await Promise.all(this.seats.map((seat) => this.kill(seat)))
    await this.laboratory.healAll()
    abandoned.delete(this.directory)
    if (!keepData) rmSync(this.directory, { recursive: true, force: true })
  }
}

/** Started, and every node answers a linearizable read. */
export async function startCluster(settings: ClusterSettings, laboratory: Laboratory): Promise<Cluster> {
  const servers = await planCluster(commandOf(settings), {
    label: `cluster-${settings.system}`,
    size: laboratory.places.length,
    extraFlags: flagsOf(settings),
    places: laboratory.places.map((place, i) => ({
      ...place,
      launcher: [...place.launcher, 'env', ...environmentOf(settings, clockFileOf(laboratory, i))],
    })),
  })
  const cluster = new Cluster(settings, laboratory, servers)
  for (const seat of cluster.seats) cluster.start(seat)
  try {
    await cluster.ready()
  } catch (error) {
    const logs = servers.nodes.map((node) => `--- ${node.name}\n${node.lastLogLines(15)}`).join('\n')
    await cluster.stop(false)
    throw new Error(`${settings.system} did not become ready: ${String(error)}\n${logs}`)
  }
  return cluster
}

function commandOf({ system, tree }: ClusterSettings): string {
  return system === 'etcd' ? 'etcd' : `${process.execPath} ${join(tree, 'src/cli/main.ts')}`
}

/** Servers that are killed leave no compiled code behind for the next start, which would take thrice as long. */
export function fillCompileCache(tree: string): void {
  execFileSync(process.execPath, [join(tree, 'src/cli/main.ts'), '--version'], {
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    stdio: 'ignore',
  })
}

/** What one of the two does not know, or has another default for, is set so that both do the same. */
function flagsOf(settings: ClusterSettings): string[] {
  const common = [
    `--heartbeat-interval=${settings.heartbeatMs}`,
    `--election-timeout=${settings.electionMs}`,
    `--snapshot-count=${settings.snapshotCount}`,
  ]
  if (settings.system === 'etcd') return [...common, '--pre-vote=true', '--log-level=warn', '--logger=zap']
  const logBytes =
    settings.snapshotCount < 1_000 ? ['--snapshot-log-bytes=20000', '--wal-segment-bytes=65536'] : []
  return [...common, ...logBytes]
}

// What a run that is cut short leaves: the servers themselves are ended by those who start them.
const tracers = new Set<ChildProcess>()
const abandoned = new Set<string>()
process.on('exit', () => {
  for (const tracer of tracers) tracer.kill('SIGKILL')
  for (const directory of abandoned) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})

function environmentOf(settings: ClusterSettings, clockFile: string): string[] {
  if (settings.system === 'etcd') return []
  const common = [`NODE_COMPILE_CACHE=${compileCache}`, `NODE_OPTIONS=--import=${busyLoop}`]
  if (settings.fakeClocks === undefined) return common
  return [...common, ...fakeTimeEnvironment(clockFile, settings.fakeClocks)]
}

function clockFileOf(laboratory: Laboratory, place: number): string {
  return join(laboratory.directory, `n${place + 1}.clock`)
}

function signal(seat: Seat, name: 'SIGSTOP' | 'SIGCONT' | 'SIGUSR2'): boolean {
  const { pid } = seat.server
  if (pid === undefined || seat.server.endedByItself) return false
  try {
    return process.kill(pid, name)
  } catch {
    // It ended just now; that nobody killed it is found in the end.
    return false
  }
}

/** Whether every thread of a process has a tracer. */
function isTraced(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) =>
      /^TracerPid:\s+[1-9]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
    )
  } catch {
    // It, or one of its threads, ended just now.
    return false
  }
}

async function statusOf(seat: Seat): Promise<SeatStatus | undefined> {
  if (seat.isDown || seat.isPaused) return undefined
  const client = new GrpcClient(seat.server.endpoint)
  const { code, message } = await client.call('status', {}, statusDeadlineMs)
  client.close()
  if (code !== 0) return undefined
  const memberId = messageOf(message.header).member_id
  if (typeof memberId !== 'bigint') return undefined
  return {
    seat,
    isLeader: memberId === message.leader,
    memberId,
    term: Number(message.raftTerm ?? 0n),
    appliedIndex: Number(message.raftAppliedIndex ?? 0n),
  }
}
