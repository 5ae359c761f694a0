// Fuzzes two real processes over their sockets, client port and peer port:
//   npm run fuzz:sockets -- [--minutes 1] [--seed N] [--totals]
// A good client works all the time beside it: it must be served within its deadline, find everything it wrote, and see no
// change of leader; no process ends, keeps the connections or the memory. Exit code 1 when one of that is not so.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { compareIds, concatBytes, isQuorateError, SeededRandom } from '../../src/base/index.ts'
import { encodeHello, encodeWhoAmI } from '../../src/node/handshake.ts'
import { clusterIdOf, memberIdOf } from '../../src/node/members.ts'
import { decodePeerMessage } from '../../src/node/peer-codec.ts'
import { frameClass, framesOf } from '../../src/node/peer-frame.ts'
import { countRun } from '../../testing/totals.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { bytes } from '../support/keys.ts'
import { freePorts } from '../support/ports.ts'
import { ServerNode, waitReady } from '../support/servers.ts'
import { mutateConversation } from './http2-frames.ts'
import { mutate } from './mutate.ts'
import { peerMessageSeeds } from './peer-targets.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    totals: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const program = join(import.meta.dirname, '../../src/cli/main.ts')
const token = 'fuzz'
const probeDeadlineMs = 20_000
const stateDeadlineMs = 5_000
/** Connections at a time; each sends one conversation and is looked at for a moment. */
const batchSize = 16
const lookMs = 40
/** What a process may have grown by, in the end. */
const growthBytesMax = 300 * 1024 * 1024
const quietDeadlineMs = 60_000

interface Place {
  readonly name: string
  readonly client: string
  readonly peer: string
}

class Fuzzing {
  readonly #random: SeededRandom
  readonly #nodes: readonly ServerNode[]
  readonly #places: readonly Place[]
  readonly #good: GrpcClient
  readonly findings: string[] = []
  conversations = 0
  probes = 0

  constructor(seed: number, nodes: readonly ServerNode[], places: readonly Place[]) {
    this.#random = new SeededRandom(seed)
    this.#nodes = nodes
    this.#places = places
    this.#good = new GrpcClient(nodes[0]?.endpoint ?? '')
  }

  async run(endsAt: number): Promise<void> {
    const recorded = await recordConversation(this.#nodes[0]?.endpoint ?? '')
    // The first connections cost what all later ones share.
    await this.#batch(recorded)
    const before = this.#nodes.map((node) => this.#footprint(node))
    const term = await this.#term()
    while (performance.now() < endsAt && this.findings.length === 0) {
      await this.#batch(recorded)
      await this.#probe()
    }
    if (this.findings.length > 0) return
    if ((await this.#term()) !== term) this.findings.push(`the term changed from ${term}`)
    await this.#checkContent()
    for (const [i, node] of this.#nodes.entries()) await this.#checkQuiet(node, before[i])
    this.#good.close()
  }

  async #batch(recorded: Uint8Array): Promise<void> {
    const random = this.#random
    await Promise.all(
      Array.from({ length: batchSize }, () => {
        const place = random.pick(this.#places.slice(0, this.#nodes.length))
        this.conversations++
        if (random.chance(0.25)) return converse(place.peer, this.#drawPeerBytes(place), random)
        return converse(place.client, mutateConversation(random, recorded), random)
      }),
    )
  }

  /**
   * A member whose process is not ours: third of the cluster, with the right hello. What it says after that cannot be
   * read; what can be is believed, as raft believes its members.
   */
  #drawPeerBytes(to: Place): Uint8Array {
    const random = this.#random
    const idOf = ({ peer }: Place): bigint => memberIdOf([`http://${peer}`], token)
    const stranger = this.#places.at(-1) as Place
    const hello = {
      clusterId: clusterIdOf(this.#places.map(idOf).sort(compareIds), token),
      from: idOf(stranger),
      to: idOf(to),
      directoryId: 77n,
      peerUrls: [`http://${stranger.peer}`],
    }
    const frame = (payload: Uint8Array): Uint8Array =>
      concatBytes(
        framesOf({ frameClass: random.pick([frameClass.control, frameClass.bulk]), group: 0, payload }),
      )
    if (random.chance(0.3)) {
      const first = random.pick([encodeHello(hello), encodeWhoAmI({ peerUrls: hello.peerUrls })])
      return random.chance(0.5)
        ? frame(mutate(random, first, first))
        : mutate(random, frame(first), frame(first))
    }
    const messages: Uint8Array[] = []
    while (messages.length < 3) {
      const message = mutate(random, random.pick(peerMessageSeeds), random.pick(peerMessageSeeds))
      if (!isReadable(message)) messages.push(frame(message))
    }
    return concatBytes([frame(encodeHello(hello)), ...messages])
  }

  async #probe(): Promise<void> {
    this.probes++
    const fresh = new GrpcClient(this.#nodes[this.probes % this.#nodes.length]?.endpoint ?? '')
    try {
      const written = await this.#good.call('put', goodPut(this.probes), probeDeadlineMs)
      const read = await fresh.call('range', { key: bytes(goodKey(this.probes)) }, probeDeadlineMs)
      if (written.code !== 0)
        await this.#failWithState(`a put of the good client: ${written.code} ${written.text}`)
      if (read.code !== 0) await this.#failWithState(`a read by a new client: ${read.code} ${read.text}`)
      else if (Number(read.message.count) !== 1) this.#fail('a key that was acknowledged is not there')
    } finally {
      fresh.close()
    }
  }

  /** What each node says of itself to a new client, beside what went wrong. */
  async #failWithState(what: string): Promise<void> {
    const states = await Promise.all(
      this.#nodes.map(async ({ name, endpoint }) => {
        const client = new GrpcClient(endpoint)
        const { code, text, message } = await client.call('status', {}, stateDeadlineMs)
        client.close()
        const said =
          code === 0 ? `leader ${message.leader} term ${message.raft_term} index ${message.raft_index}` : text
        return `${name}: ${said}`
      }),
    )
    this.#fail(`${what}; ${states.join('; ')}`)
  }

  #fail(what: string): void {
    const logs = this.#nodes.map((node) => `--- ${node.name}\n${node.lastLogLines(8)}`).join('\n')
    this.findings.push(`${what}, after ${this.conversations} conversations\n${logs}`)
  }

  async #term(): Promise<string> {
    const { message } = await this.#good.call('status', {}, probeDeadlineMs)
    return String(message.raft_term)
  }

  async #checkContent(): Promise<void> {
    const { message } = await this.#good.call(
      'range',
      { key: bytes('good/'), range_end: bytes('good0'), count_only: true },
      probeDeadlineMs,
    )
    if (Number(message.count) !== this.probes) this.#fail(`${message.count} of ${this.probes} keys are there`)
  }

  #footprint(node: ServerNode): { files: number; resident: number } {
    const files = readdirSync(`/proc/${node.pid}/fd`).length
    return { files, resident: node.residentBytes() }
  }

  /** Connections and memory go back to what they were. */
  async #checkQuiet(
    node: ServerNode,
    before: { files: number; resident: number } | undefined,
  ): Promise<void> {
    if (before === undefined) return
    const until = performance.now() + quietDeadlineMs
    let now = this.#footprint(node)
    while (now.files > before.files + 8 && performance.now() < until) {
      await sleep(200)
      now = this.#footprint(node)
    }
    if (now.files > before.files + 8)
      this.#fail(`${node.name} holds ${now.files} files, before ${before.files}`)
    const grown = now.resident - before.resident
    console.log(
      `${node.name}: ${now.files} files (${before.files}), memory ${(grown / 2 ** 20).toFixed(0)} MiB more`,
    )
    if (grown > growthBytesMax) this.#fail(`${node.name} has grown by ${grown >> 20} MiB`)
  }
}

function isReadable(message: Uint8Array): boolean {
  try {
    decodePeerMessage(message, { from: 1n, to: 2n })
    return true
  } catch (error) {
    if (!isQuorateError(error)) throw error
    return false
  }
}

function goodKey(number: number): string {
  return `good/${String(number).padStart(8, '0')}`
}

function goodPut(number: number): { key: Uint8Array; value: Uint8Array } {
  return { key: bytes(goodKey(number)), value: bytes('x'.repeat(100)) }
}

/** Sends all of it in a few pieces, waits a moment, and goes: in order, with a reset, or not at all for a while. */
function converse(endpoint: string, input: Uint8Array, random: SeededRandom): Promise<void> {
  const [host = '', port = ''] = endpoint.split(':')
  return new Promise((resolve) => {
    const socket: Socket = connect({ host, port: Number(port) })
    const ending = random.pick(['end', 'destroy', 'reset'] as const)
    const leave = (): void => {
      if (ending === 'end') socket.end()
      if (ending === 'reset') socket.resetAndDestroy()
      else setTimeout(() => socket.destroy(), lookMs)
      resolve()
    }
    socket.on('error', () => undefined)
    socket.on('data', () => undefined)
    socket.on('connect', () => {
      const middle = random.between(0, input.length + 1)
      socket.write(input.subarray(0, middle))
      socket.write(input.subarray(middle))
      setTimeout(leave, lookMs)
    })
    socket.on('close', () => resolve())
  })
}

/** The bytes that a client sends in a conversation with every kind of call. */
async function recordConversation(endpoint: string): Promise<Uint8Array> {
  const [host = '', port = ''] = endpoint.split(':')
  const sent: Uint8Array[] = []
  const proxy = createServer((client) => {
    const server = connect({ host, port: Number(port) })
    client.on('data', (chunk: Uint8Array) => sent.push(chunk))
    for (const socket of [client, server]) socket.on('error', () => undefined)
    client.pipe(server).pipe(client)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = proxy.address()
  if (typeof address !== 'object' || address === null) throw new Error('the recorder has no port')
  const client = new GrpcClient(`127.0.0.1:${address.port}`)
  const key = bytes('recorded')
  await client.must('put', { key, value: bytes('value') })
  await client.must('range', { key, range_end: bytes('z'), limit: 3 })
  const watch = client.openStream('watch')
  watch.send({ create_request: { key, start_revision: 1 } })
  await watch.next(probeDeadlineMs)
  await client.must('txn', {
    compare: [{ key, target: 3, value: bytes('value') }],
    success: [{ request_put: { key, value: bytes('other') } }],
    failure: [{ request_delete_range: { key } }],
  })
  await client.must('leaseGrant', { TTL: 600 })
  await client.must('deleteRange', { key, prev_kv: true })
  watch.close()
  await client.must('status', {})
  client.close()
  await new Promise((resolve) => proxy.close(resolve))
  return concatBytes(sent)
}

async function main(): Promise<void> {
  const seed = Number(values.seed)
  const minutes = Number(values.minutes)
  const directory = mkdtempSync(join(tmpdir(), 'quorate-fuzz-'))
  const ports = await freePorts(6)
  const places: Place[] = ['n1', 'n2', 'n3'].map((name, i) => ({
    name,
    client: `127.0.0.1:${ports[2 * i]}`,
    peer: `127.0.0.1:${ports[2 * i + 1]}`,
  }))
  const initialCluster = places.map(({ name, peer }) => `${name}=http://${peer}`).join(',')
  const nodes = places.slice(0, 2).map(
    ({ name, client, peer }) =>
      new ServerNode(name, client, join(directory, name), [
        process.execPath,
        program,
        `--name=${name}`,
        `--data-dir=${join(directory, name)}`,
        `--listen-client-urls=http://${client}`,
        `--advertise-client-urls=http://${client}`,
        `--listen-peer-urls=http://${peer}`,
        `--initial-advertise-peer-urls=http://${peer}`,
        `--initial-cluster=${initialCluster}`,
        `--initial-cluster-token=${token}`,
        // A machine with other work to do is no reason for an election here.
        '--heartbeat-interval=500',
        '--election-timeout=5000',
      ]),
  )
  const startedAt = performance.now()
  try {
    for (const node of nodes) node.start()
    await Promise.all(nodes.map((node) => waitReady(node.endpoint, 60_000, node)))
    const fuzzing = new Fuzzing(seed, nodes, places)
    await fuzzing.run(performance.now() + minutes * 60_000)
    for (const finding of fuzzing.findings) console.log(`FOUND ${finding}`)
    const { conversations, probes, findings } = fuzzing
    const seconds = (performance.now() - startedAt) / 1000
    if (values.totals) {
      const figures = { conversations, probes, findings: findings.length, realHours: seconds / 3600 }
      countRun('fuzzing over sockets', figures)
    }
    console.log(
      `${conversations} conversations over sockets in ${seconds.toFixed(0)} s, seed ${seed}: ` +
        `${probes} probes of a good client, ${findings.length} findings`,
    )
    if (findings.length > 0) process.exitCode = 1
  } finally {
    await Promise.all(nodes.map((node) => node.end('SIGTERM')))
    rmSync(directory, { recursive: true, force: true })
  }
}

if (values.help)
  console.log('npm run fuzz:sockets -- [--minutes 1] [--seed N] [--totals]: see the head of the file')
else await main()
