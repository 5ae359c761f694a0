// A network of this machine's own: each node in a network namespace, all behind one bridge, so that any link can be cut
// in either direction, with silence or with resets. The test itself stands at the bridge and reaches every node.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { NodePlace } from './servers.ts'

const run = promisify(execFile)
const clientPort = 2379
const peerPort = 2380
/** Names of namespaces and devices begin so, then comes the id of the process that made them. */
const namePrefix = 'qlab'
/** No device has this address: what is sent there is lost without a word. */
const nobodysAddress = '02:00:00:00:00:99'

/** A directed link between two places, by their numbers. */
export type Link = { readonly from: number; readonly to: number }

export class Laboratory {
  readonly places: readonly NodePlace[]
  /** For small files of the experiments; goes with the laboratory. */
  readonly directory: string
  readonly #name = `${namePrefix}${process.pid}`
  readonly #subnet: string
  readonly #silenced = new Map<string, Link>()
  readonly #onExit = (): void => this.close()

  constructor(size: number) {
    sweepOrphans()
    const { pid } = process
    this.#subnet = `10.${64 + (Math.floor(pid / 250) % 64)}.${pid % 250}`
    process.on('exit', this.#onExit)
    this.directory = mkdtempSync(join(tmpdir(), `${namePrefix}-`))
    ip('link', 'add', this.#name, 'type', 'bridge')
    ip('addr', 'add', `${this.outside}/24`, 'dev', this.#name)
    ip('link', 'set', this.#name, 'up')
    this.places = Array.from({ length: size }, (_, i) => this.#addPlace(i))
  }

  /** What starts a command in the namespace of a place; it becomes that command, under the same process id. */
  launcherAt(place: number): string[] {
    return ['ip', 'netns', 'exec', this.#namespace(place)]
  }

  /** The address at which the places reach whoever is in none of them. */
  get outside(): string {
    return `${this.#subnet}.254`
  }

  /** From now on a connection that begins in this place keeps at most so much of what it sends there. */
  limitSendBuffers(place: number, bytesMax: number): void {
    const path = '/proc/sys/net/ipv4/tcp_wmem'
    const least = Math.min(4_096, bytesMax)
    const values = [least, Math.min(16_384, bytesMax), bytesMax]
    ip('netns', 'exec', this.#namespace(place), 'sh', '-c', `echo ${values.join(' ')} > ${path}`)
  }

  addressOf(place: number): string {
    return `${this.#subnet}.${place + 1}`
  }

  /** From now on nothing of the link's traffic arrives, and nobody is told. */
  async silence(...links: readonly Link[]): Promise<void> {
    for (const link of links) {
      this.#silenced.set(`${link.from} ${link.to}`, link)
      const device = ['lladdr', nobodysAddress, 'dev', 'eth0', 'nud', 'permanent']
      await run('ip', [
        ...['-n', this.#namespace(link.from)],
        ...['neigh', 'replace', this.addressOf(link.to), ...device],
      ])
    }
  }

  async hear(...links: readonly Link[]): Promise<void> {
    for (const link of links) {
      if (!this.#silenced.delete(`${link.from} ${link.to}`)) continue
      const neighbour = ['neigh', 'del', this.addressOf(link.to), 'dev', 'eth0']
      await run('ip', ['-n', this.#namespace(link.from), ...neighbour])
    }
  }

  /** Every packet on the link is answered with a reset, until the returned function is called. */
  async reset(link: Link): Promise<() => Promise<void>> {
    const rule = ['INPUT', '-s', this.addressOf(link.from), '-p', 'tcp']
    const answer = ['-j', 'REJECT', '--reject-with', 'tcp-reset']
    const change = (verb: string) =>
      run('ip', [...tables(this.#namespace(link.to)), verb, ...rule, ...answer])
    await change('-A')
    return async () => {
      await change('-D')
    }
  }

  async healAll(): Promise<void> {
    await this.hear(...this.#silenced.values())
  }

  /** The processes inside must have ended. Safe to call twice. */
  close(): void {
    process.off('exit', this.#onExit)
    rmSync(this.directory, { recursive: true, force: true })
    for (const name of namespaces()) if (name.startsWith(`${this.#name}n`)) ip('netns', 'del', name)
    try {
      execFileSync('ip', ['link', 'del', this.#name], { stdio: 'ignore' })
    } catch {
      // It was never made, or is gone.
    }
  }

  #namespace(place: number): string {
    return `${this.#name}n${place + 1}`
  }

  #addPlace(place: number): NodePlace {
    const namespace = this.#namespace(place)
    const outside = `${this.#name}v${place + 1}`
    const address = this.addressOf(place)
    ip('netns', 'add', namespace)
    ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
    ip('link', 'set', outside, 'master', this.#name, 'up')
    ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
    ip('-n', namespace, 'link', 'set', 'eth0', 'up')
    ip('-n', namespace, 'link', 'set', 'lo', 'up')
    return {
      client: `${address}:${clientPort}`,
      peer: `${address}:${peerPort}`,
      launcher: this.launcherAt(place),
    }
  }
}

/** Both directions between one place and each of the others. */
export function linksAround(place: number, others: readonly number[]): Link[] {
  return others.flatMap((other) => [
    { from: place, to: other },
    { from: other, to: place },
  ])
}

function tables(namespace: string): string[] {
  return ['netns', 'exec', namespace, 'iptables-legacy', '-w']
}

function ip(...args: readonly string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

function namespaces(): string[] {
  const text = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return text.split('\n').map((line) => line.split(' ')[0] ?? '')
}

/** A run that was killed outright could not clean up: its namespaces, and what still runs in them. */
function sweepOrphans(): void {
  const orphans = namespaces().filter((name) => {
    const owner = new RegExp(`^${namePrefix}(\\d+)n\\d+$`).exec(name)?.[1]
    return owner !== undefined && !existsSync(`/proc/${owner}`)
  })
  for (const name of orphans) {
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' })
    for (const pid of pids.split('\n').filter((line) => line !== '')) process.kill(Number(pid), 'SIGKILL')
    ip('netns', 'del', name)
  }
  for (const bridge of new Set(orphans.map((name) => name.replace(/n\d+$/, '')))) ip('link', 'del', bridge)
}
