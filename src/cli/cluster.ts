import type { ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { QuorateError } from '../base/index.ts'
import { parseFlags } from '../server/index.ts'
import { exitCode, isRestartable } from './exit-codes.ts'

/**
 * Three nodes, three processes, on this machine: what `npm start` runs. A node that dies is started again with back-off;
 * one that refuses to start (damage, a wrong cluster, a bad flag, an address in use) is not, and its reason is shown.
 */
interface Place {
  readonly name: string
  readonly clientUrl: string
  readonly peerUrl: string
  readonly metricsUrl: string | undefined
}

const names: readonly string[] = ['n1', 'n2', 'n3']
const clientUrls: readonly string[] = localUrls(2379, 22379, 32379)
const peerUrls: readonly string[] = localUrls(2380, 22380, 32380)
const backoffMsMin = 200
const backoffMsMax = 10_000
/** A node that ran this long is taken for healthy: its back-off starts anew. */
const healthyMs = 10_000
const logBytesMax = 16 * 1024 * 1024
const stopTimeoutMs = 10_000

export async function runCluster(args: readonly string[]): Promise<void> {
  const dataDirectory = parseFlags(args, process.env)['data-dir']
  const { places, rest } = placesOf(args)
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
  const nodes = places.map((place) => new SupervisedNode(place, places, dataDirectory, rest))
  let isStopping = false
  const stop = (): void => {
    if (isStopping) return
    isStopping = true
    say('stopping ...')
    Promise.all(nodes.map((node) => node.stop())).then(
      () => process.exit(exitCode.ok),
      () => process.exit(exitCode.failed),
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  say(`starting three nodes, data in ${dataDirectory}, logs in ${join(dataDirectory, '*.log')}`)
  for (const node of nodes) node.start()
  await Promise.all(nodes.map((node) => node.ready))
  if (nodes.every((node) => node.isRefused)) process.exit(nodes[0]?.exitCode ?? exitCode.failed)
  if (!isStopping && nodes.some((node) => !node.isRefused)) say(welcome(places))
}

/** Where the three nodes are, and the arguments that are for all of them. */
function placesOf(args: readonly string[]): { places: readonly Place[]; rest: readonly string[] } {
  const rest: string[] = []
  const lists = new Map<string, readonly string[]>()
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    const [, flag = '', value] = /^--?([a-z-]+)(?:=(.*))?$/.exec(arg) ?? []
    if (['name', 'initial-cluster', 'advertise-client-urls', 'initial-advertise-peer-urls'].includes(flag)) {
      throw new QuorateError('flag-invalid', `quorate cluster sets --${flag} itself for its three nodes`)
    }
    if (!flag.startsWith('listen-')) {
      rest.push(arg)
      continue
    }
    const urls = (value ?? args[++i] ?? '').split(',')
    if (urls.length !== names.length) {
      throw new QuorateError('flag-invalid', `--${flag}: quorate cluster takes three URLs, one for each node`)
    }
    lists.set(flag, urls)
  }
  const places = names.map((name, i) => ({
    name,
    clientUrl: (lists.get('listen-client-urls') ?? clientUrls)[i] ?? '',
    peerUrl: (lists.get('listen-peer-urls') ?? peerUrls)[i] ?? '',
    metricsUrl: lists.get('listen-metrics-urls')?.[i],
  }))
  return { places, rest }
}

function localUrls(...ports: readonly number[]): string[] {
  return ports.map((port) => `http://127.0.0.1:${port}`)
}

function welcome(places: readonly Place[]): string {
  const endpoints = places.map((place) => place.clientUrl.replace('http://', '')).join(',')
  return `ready to serve client requests

  etcd API:  ${endpoints}

  Try it with any etcd client, for example Debian's etcd-client:
    export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=${endpoints}
    etcdctl put /services/web/10.0.0.7 '{"port":8080}'
    etcdctl get --prefix /services/
    etcdctl endpoint status -w table

  Kill a node (kill -9) and go on writing: it is started again and catches up. Ctrl-C stops all three.`
}

function say(text: string): void {
  process.stdout.write(`quorate cluster: ${text}\n`)
}

class SupervisedNode {
  readonly #place: Place
  readonly #places: readonly Place[]
  readonly #dataDirectory: string
  readonly #args: readonly string[]
  /** Resolves when the node serves for the first time, or never will. */
  readonly ready: Promise<void>
  #settle: () => void = () => undefined
  #child: ChildProcess | undefined
  #log: number | undefined
  #logBytes = 0
  #lastLines: string[] = []
  #backoffMs = backoffMsMin
  #isStopping = false
  #isReadyShown = false
  isRefused = false
  exitCode: number | undefined

  constructor(place: Place, places: readonly Place[], dataDirectory: string, args: readonly string[]) {
    this.#place = place
    this.#places = places
    this.#dataDirectory = dataDirectory
    this.#args = args
    this.ready = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  start(): void {
    const { name, clientUrl, peerUrl, metricsUrl } = this.#place
    const initialCluster = this.#places.map((place) => `${place.name}=${place.peerUrl}`).join(',')
    const startedMs = performance.now()
    // Not an import: all commands are one file, and a node that starts would wait for a module that it never needs.
    const { spawn } = process.getBuiltinModule('node:child_process')
    const child = spawn(
      process.execPath,
      [
        ...process.execArgv,
        process.argv[1] as string,
        ...this.#args,
        ...['--name', name],
        ...['--data-dir', join(this.#dataDirectory, name)],
        ...['--listen-client-urls', clientUrl],
        ...['--listen-peer-urls', peerUrl],
        ...(metricsUrl === undefined ? [] : ['--listen-metrics-urls', metricsUrl]),
        ...['--initial-cluster', initialCluster],
      ],
      // A group of its own: Ctrl-C reaches the supervisor, which stops the nodes in order. The channel tells a node that
      // its supervisor is gone, however that happened.
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true },
    )
    this.#child = child
    this.#openLog()
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8')
      stream?.on('data', (text: string) => this.#write(text))
    }
    child.on('error', (error) => say(`${name} could not be started: ${error.message}`))
    // Not `exit`: the last words of the node come before `close`.
    child.on('close', (code, signal) => this.#exited(code, signal, performance.now() - startedMs))
    child.once('message', () => this.#serves(child.pid))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise<void>((resolve) => {
      child.on('close', () => resolve())
    })
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await exited
    clearTimeout(killer)
  }

  #exited(code: number | null, signal: NodeJS.Signals | null, ranMs: number): void {
    const { name } = this.#place
    if (this.#isStopping) return
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`
    if (signal === null && !isRestartable(code)) {
      this.isRefused = true
      this.exitCode = code ?? undefined
      say(`${name} ${how} and is not started again: ${this.#lastLines.at(-1) ?? 'see its log'}`)
      this.#settle()
      return
    }
    if (ranMs > healthyMs) this.#backoffMs = backoffMsMin
    say(`${name} ${how}; starting it again in ${this.#backoffMs} ms`)
    setTimeout(() => {
      if (!this.#isStopping) this.start()
    }, this.#backoffMs)
    this.#backoffMs = Math.min(this.#backoffMs * 2, backoffMsMax)
  }

  /** The node itself says so: a port that answers may belong to somebody else. */
  #serves(pid: number | undefined): void {
    const { name, clientUrl } = this.#place
    say(`${name} ${this.#isReadyShown ? 'is back' : 'serves'} on ${clientUrl} (pid ${pid})`)
    this.#isReadyShown = true
    this.#settle()
  }

  #openLog(): void {
    const path = join(this.#dataDirectory, `${this.#place.name}.log`)
    if (this.#log !== undefined) closeSync(this.#log)
    this.#log = openSync(path, 'a', 0o600)
    this.#logBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  }

  #write(text: string): void {
    this.#lastLines = [...this.#lastLines, ...text.split('\n').filter((line) => line !== '')].slice(-5)
    this.#logBytes += text.length
    if (this.#logBytes > logBytesMax) {
      const path = join(this.#dataDirectory, `${this.#place.name}.log`)
      renameSync(path, `${path}.old`)
      this.#openLog()
    }
    try {
      // At once: what is said about a node that ended is in its log by then, and nothing is left behind at the end.
      if (this.#log !== undefined) writeSync(this.#log, text)
    } catch {
      // A full disk is no reason to end the supervisor: the nodes tell of it where they can.
    }
  }
}
