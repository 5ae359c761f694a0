/**
 * A network in memory, under a seed. Each machine is a host; what a host sends to another takes a drawn delay and
 * arrives in order inside one connection, in pieces that need not be the pieces that were written, and in no order
 * across connections.
 *
 * A link is one direction between two hosts. While it is blocked, bytes wait (as TCP sends them again) and go on
 * when it is open again; nobody is told, so deadlines are the program's matter. `partition` blocks both directions
 * or one. A clogged link is slow. `cutConnections` and `cutChance` reset connections: of the bytes under way all, none or
 * some first ones arrive, mostly up to the inside of a frame, so what was delivered may look lost to its sender.
 * `forgetConnections` takes connections away without a word: on both sides, or one side stays half open. When a process
 * dies, its host resets its connections; when a host loses power, nothing leaves it and the other ends stay half open until
 * they send something after it is back. `corruptChance` flips a bit in what arrives.
 */
import { assert, QuorateError, type SeededRandom } from '../base/index.ts'
import type { Address, Connection, Listener, Network } from '../io/index.ts'
import { type Endpoint, type Link, openConnection } from './network-connection.ts'
import type { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

export interface NetworkFaults {
  /** Probability that a write resets its connection. */
  readonly cutChance: number
  /** Probability that bytes arrive with a flipped bit. */
  readonly corruptChance: number
  /** Probability that bytes arrive in two pieces. */
  readonly splitChance: number
}

/** How often a blocked connection attempt is sent again. */
const connectRetryMs = 200
const ephemeralPortFirst = 40_000

interface Host {
  readonly name: string
  /** The running program; undefined while it is dead. */
  process: SimulatedProcess | undefined
  /** Without power nothing is answered; with power but without a program connections are refused. */
  hasPower: boolean
  readonly listeners: Map<number, (connection: Connection) => void>
}

export class SimulatedNetwork {
  readonly #scheduler: Scheduler
  readonly #random: SeededRandom
  readonly #hosts = new Map<string, Host>()
  readonly #links = new Map<string, MutableLink>()
  /** Every end that is open or still has something to send. */
  readonly #endpoints = new Set<Endpoint>()
  #delayMs = { least: 0.1, typical: 0.5 }
  #faults: NetworkFaults = noNetworkFaults
  #ephemeralPort = ephemeralPortFirst

  constructor(options: { scheduler: Scheduler; random: SeededRandom }) {
    this.#scheduler = options.scheduler
    this.#random = options.random
  }

  /** The network as a new program on `name` sees it; whatever ran there before must have ended. */
  attach(name: string, process: SimulatedProcess): Network {
    const host = this.#host(name)
    assert(host.process === undefined, `one program at a time on ${name}`)
    host.process = process
    host.hasPower = true
    this.#kick()
    return {
      listen: (address, onConnection) => this.#listen(host, address, onConnection),
      connect: (address, timeoutMs) => this.#connect(host, process, address, timeoutMs),
    }
  }

  /** The program on `name` ended: the host resets its connections. */
  processDied(name: string): void {
    this.#endProgram(this.#host(name), true)
  }

  /** Power failed on `name`: silence. The next `attach` brings it back. */
  powerFailed(name: string): void {
    const host = this.#host(name)
    host.hasPower = false
    this.#endProgram(host, false)
  }

  #endProgram(host: Host, tellsPeers: boolean): void {
    host.process = undefined
    host.listeners.clear()
    for (const endpoint of [...this.#endpoints]) {
      if (endpoint.host === host.name && !endpoint.isGone) endpoint.abandon(tellsPeers)
    }
  }

  /** Bytes from any of `from` to any of `to` wait until `heal`; with `both`, also the other way. */
  partition(from: readonly string[], to: readonly string[], direction: 'both' | 'one-way'): void {
    for (const source of from) {
      for (const target of to) {
        this.#link(source, target).isBlocked = true
        if (direction === 'both') this.#link(target, source).isBlocked = true
      }
    }
  }

  /** Everything sent from `from` to `to` takes this much longer. */
  clog(from: string, to: string, extraDelayMs: number): void {
    this.#link(from, to).extraDelayMs = extraDelayMs
  }

  /** Bytes from `from` to `to` go again. */
  unblock(from: string, to: string): void {
    this.#link(from, to).isBlocked = false
    this.#kick()
  }

  /** Opens all links and takes their extra delays away. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.isBlocked = false
      link.extraDelayMs = 0
    }
    this.#kick()
  }

  /** Resets every connection between the two hosts, in the middle of what is under way. */
  cutConnections(one: string, other: string): void {
    for (const endpoint of [...this.#endpoints]) {
      if (endpoint.host === one && endpoint.remoteHost === other) endpoint.reset('connection reset')
    }
  }

  /** Something between the two hosts forgets their connections: bytes vanish, and only `told` (none: nobody) hears of it. */
  forgetConnections(one: string, other: string, told?: string): void {
    for (const endpoint of [...this.#endpoints]) {
      if (endpoint.host === one && endpoint.remoteHost === other) endpoint.forget(told)
    }
  }

  /** Whether nothing that `name` ever sent is still under way. */
  isSilent(name: string): boolean {
    return ![...this.#endpoints].some((endpoint) => endpoint.host === name && endpoint.isSending)
  }

  setDelay(delayMs: { least: number; typical: number }): void {
    this.#delayMs = delayMs
  }

  setFaults(faults: Partial<NetworkFaults>): void {
    this.#faults = { ...noNetworkFaults, ...faults }
  }

  #listen(host: Host, address: Address, onConnection: (connection: Connection) => void): Promise<Listener> {
    if (address.host !== host.name) {
      return fail(new QuorateError('address-invalid', `${address.host} is not an address of ${host.name}`))
    }
    const port = address.port === 0 ? this.#ephemeralPort++ : address.port
    if (host.listeners.has(port)) {
      return fail(new QuorateError('address-in-use', `${address.host}:${port} is taken`))
    }
    host.listeners.set(port, onConnection)
    const close = (): Promise<void> => {
      if (host.listeners.get(port) === onConnection) host.listeners.delete(port)
      return Promise.resolve()
    }
    return Promise.resolve({ address: { host: host.name, port }, close })
  }

  #connect(from: Host, process: SimulatedProcess, address: Address, timeoutMs: number): Promise<Connection> {
    const target = `${address.host}:${address.port}`
    return new Promise((resolve, reject) => {
      let isOver = false
      const give = (act: () => void): void => {
        if (isOver) return
        isOver = true
        process.deliver(act)
      }
      const refuse = (why: string): void =>
        give(() => reject(new QuorateError('connect-failed', `no connection to ${target}: ${why}`)))
      this.#scheduler.after(timeoutMs, () => refuse(`no answer within ${timeoutMs} ms`))
      const attempt = (): void => {
        if (isOver || !process.isAlive) return
        const to = this.#hosts.get(address.host)
        if (to === undefined) {
          refuse('unknown host')
          return
        }
        const isReachable =
          to.hasPower &&
          !this.#link(from.name, to.name).isBlocked &&
          !this.#link(to.name, from.name).isBlocked
        if (!isReachable) {
          this.#scheduler.after(connectRetryMs, attempt)
          return
        }
        const onConnection = to.listeners.get(address.port)
        const back = this.#link(to.name, from.name).drawDelay()
        if (onConnection === undefined || to.process === undefined) {
          this.#scheduler.after(back, () => refuse('refused'))
          return
        }
        const [near, far] = this.#open(from, process, to, to.process, target)
        to.process.deliver(() => onConnection(far.connection))
        this.#scheduler.after(back, () => {
          if (isOver || !process.isAlive) near.abandon(true)
          else give(() => resolve(near.connection))
        })
      }
      this.#scheduler.after(this.#link(from.name, address.host).drawDelay(), attempt)
    })
  }

  #open(
    from: Host,
    fromProcess: SimulatedProcess,
    to: Host,
    toProcess: SimulatedProcess,
    target: string,
  ): readonly [Endpoint, Endpoint] {
    const world = {
      scheduler: this.#scheduler,
      random: this.#random,
      faults: () => this.#faults,
      hasPower: (host: string) => this.#host(host).hasPower,
      onDone: (endpoint: Endpoint) => this.#endpoints.delete(endpoint),
    }
    const there = this.#link(from.name, to.name)
    const back = this.#link(to.name, from.name)
    const pair = openConnection(
      world,
      { host: from.name, process: fromProcess, link: there, label: `${from.name}:client` },
      { host: to.name, process: toProcess, link: back, label: target },
    )
    for (const endpoint of pair) this.#endpoints.add(endpoint)
    return pair
  }

  #host(name: string): Host {
    let host = this.#hosts.get(name)
    if (host === undefined) {
      host = { name, process: undefined, hasPower: true, listeners: new Map() }
      this.#hosts.set(name, host)
    }
    return host
  }

  #link(from: string, to: string): MutableLink {
    const key = `${from} ${to}`
    let link = this.#links.get(key)
    if (link === undefined) {
      const created: MutableLink = {
        isBlocked: false,
        extraDelayMs: 0,
        drawDelay: () => {
          // Mostly near the typical delay, now and then several times that.
          const jitter = this.#delayMs.typical * (0.5 + this.#random.unit())
          const burst = this.#random.chance(0.01) ? this.#delayMs.typical * 10 * this.#random.unit() : 0
          return this.#delayMs.least + jitter + burst + created.extraDelayMs
        },
      }
      link = created
      this.#links.set(key, link)
    }
    return link
  }

  /** What waited for a link or a host goes on. */
  #kick(): void {
    for (const endpoint of this.#endpoints) endpoint.kick()
  }
}

interface MutableLink extends Link {
  isBlocked: boolean
  extraDelayMs: number
}

const noNetworkFaults: NetworkFaults = { cutChance: 0, corruptChance: 0, splitChance: 0.05 }

function fail(error: QuorateError): Promise<never> {
  return Promise.reject(error)
}
