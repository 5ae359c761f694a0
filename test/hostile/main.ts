// Attacks a server while good clients work beside it, one attack after the other. `--help` says how.
import { Generator } from '../../bench/generator.ts'
import { median } from '../../bench/median.ts'
import { Arguments } from '../support/arguments.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { Laboratory } from '../support/laboratory.ts'
import { missingTools } from '../support/missing.ts'
import { placesAt, type ServerCluster, type ServerNode, startCluster } from '../support/servers.ts'
import { type AttackName, attackNames } from './attacks.ts'
import {
  fillBigKeys,
  type HostileSizes,
  mebibytes,
  type Needs,
  residentBytesCap,
  type Watched,
  watch,
} from './run.ts'

const usage = `npm run hostile -- [options]
  --ms 12000        of each attack
  --attacks a,b     of: ${attackNames.join(', ')}
  --rounds 1        of all of them
  --scale 1         of the number of hostile clients
  --nice 19         of the attackers' process: they have machines of their own in the world, and here only what server and
                    good clients leave of the processors. 0: they take as much as these
  --loopback        attackers on the same network as everybody else, with buffers of megabytes; needs no root
  --nodes 1         or 3: then the leader is attacked
  --server "..."    what is started instead of this tree's program
  --elsewhere       each attack is first made on another server of the same command while good clients are watched here: what it
                    costs whoever shares the machine, attacked or not
The attackers have a network namespace of their own, and so an address and buffers of their own: of what one of them sends,
64 KiB wait on its side, as only the server's side is to be measured. That needs root and iproute2.
Good clients are alone for as long before each attack, because the speed of a shared machine changes between minutes. At the
end it prints the medians of all over the rounds.
Prints for good clients alone and beside each attack: gets and puts (count, p99, longest), new clients and the longest any of
them waited, and the largest resident memory; what server and good clients needed of the processors, and how long their first
threads, the loops of Node, were ready and had none; the longest delay of the server's loop; what the attack came to, as it was
sent and as the server read it; and how the attackers' connections ended. Exit code 1 when a promise did not hold: a good
client was refused, cut or not answered; the server ended, changed its term, let a flood go on or ended it with another code
than HTTP/2 has for it, or held more than ${mebibytes(residentBytesCap)} MiB.
Times are told and not judged: the machine is shared.`

const options = new Arguments(usage)
const names = options.list('attacks', attackNames.join(','))
const attacks = attackNames.filter((name) => names.includes(name))
if (attacks.length !== names.length) options.fail('an attack that is not known')
const given = {
  attackMs: options.number('ms', 12_000),
  scale: Number(options.text('scale', '1')),
  nice: options.number('nice', 19),
}
const rounds = options.number('rounds', 1)
const nodes = options.number('nodes', 1)
const isElsewhere = options.flag('elsewhere')
const isLoopback = options.flag('loopback')
const server = options.text('server', `${process.execPath} src/cli/main.ts`)
options.refuseUnknown()
const missing = isLoopback ? [] : missingTools(['ip'])
if (missing.length > 0) options.fail(`missing here: ${missing.join(', ')}; --loopback does without`)

/** What an attacker keeps on its side of what it sends. */
const attackerBufferBytes = 65_536

/** What good clients saw in one round of an attack. */
interface Seen {
  readonly attack: AttackName
  readonly alone: Watched
  readonly elsewhere: Watched | undefined
  readonly beside: Watched
}

const laboratory = isLoopback ? undefined : new Laboratory(1)
laboratory?.limitSendBuffers(0, attackerBufferBytes)
const sizes: HostileSizes = {
  ...given,
  attackersLauncher: laboratory?.launcherAt(0) ?? [],
  perSecond: 100,
  bigKeys: 256,
}
const cluster = await start('hostile', nodes)
let other: ServerCluster | undefined
const broken = new Set<AttackName>()
const seen: Seen[] = []
try {
  if (isElsewhere) other = await start('hostile-other', 1)
  const node = await leaderOf(cluster.nodes)
  for (const filled of [node, ...(other?.nodes ?? [])]) await fillBigKeys(filled, sizes.bigKeys)
  for (let round = 0; round < rounds; round++) {
    for (const attack of attacks) {
      const alone = await watch(node, [], sizes)
      show('good clients alone', alone)
      const [otherNode] = other?.nodes ?? []
      const elsewhere = otherNode && (await watch(node, [attack], sizes, otherNode))
      if (elsewhere !== undefined) show(`${attack} elsewhere`, { ...elsewhere, attacks: {} })
      const watched = await watch(node, [attack], sizes)
      show(attack, watched)
      seen.push({ attack, alone, elsewhere, beside: watched })
      if ([watched, elsewhere].every((one) => one === undefined || one.problems.length === 0)) continue
      broken.add(attack)
      if (node.endedByItself) throw new Error(`the server ended:\n${node.lastLogLines(20)}`)
    }
  }
  show('good clients alone', await watch(node, [], sizes))
  for (const attack of attacks) console.log(summaryOf(attack))
} finally {
  Generator.killAll()
  await Promise.all([cluster.stop(), other?.stop()])
  laboratory?.close()
}
console.log(broken.size === 0 ? 'every promise held' : `promises broken beside: ${[...broken].join(', ')}`)
process.exit(broken.size === 0 ? 0 : 1)

async function start(label: string, size: number): Promise<ServerCluster> {
  const places = await placesAt(laboratory?.outside ?? '127.0.0.1', size)
  return await startCluster(server, { label, size, places })
}

async function leaderOf(all: readonly ServerNode[]): Promise<ServerNode> {
  for (const node of all) {
    const client = new GrpcClient(node.endpoint)
    const { leader, header } = await client.must('status', {})
    client.close()
    if (leader === (header as { member_id?: unknown }).member_id) return node
  }
  throw new Error('no node leads')
}

function show(name: string, watched: Watched): void {
  const { probe, newClients, newClientMaxMs, residentBytesMax, seconds, server, good } = watched
  const times = (kind: 'gets' | 'puts'): string => {
    const { count = 0, p99Ms = Number.NaN, maxMs = Number.NaN } = probe?.[kind] ?? {}
    return `${count} ${kind} p99 ${p99Ms.toFixed(1)} max ${maxMs.toFixed(0)} ms`
  }
  const late = `(own lateness ${probe?.lateMaxMs.toFixed(0)} ms)`
  const joined = `${newClients} new clients, at most ${newClientMaxMs} ms`
  console.log(
    `${name}: ${times('gets')}; ${times('puts')} ${late}; ${joined}; ${mebibytes(residentBytesMax)} MiB`,
  )
  const delay = watched.loopDelayMaxMs?.toFixed(0) ?? 'unknown'
  console.log(
    `  server ${needsText(server)}, longest delay of its loop ${delay} ms; good clients ${needsText(good)}`,
  )
  for (const { connections, open, ends, acts, unit, bytesSent } of Object.values(watched.attacks)) {
    const perSecond = (count: number): string => (count / seconds).toFixed(0)
    const sent = `${perSecond(acts)} ${unit}, ${perSecond(connections)} connections, ${mib(bytesSent / seconds)}`
    console.log(`  attack, a second: ${sent} sent, ${mib(server.readBytes)} read by the server`)
    console.log(
      `  ${connections} hostile connections, ${open} open at the end, ended ${JSON.stringify(ends)}`,
    )
  }
  for (const problem of watched.problems) console.log(`  BROKEN: ${problem}`)
}

/** The p99 of good clients, medians of all rounds, and how many times that of good clients alone. */
function summaryOf(attack: AttackName): string {
  const rounds = seen.filter((round) => round.attack === attack)
  const p99 = (kind: 'gets' | 'puts'): string => {
    const of = (watched: readonly Watched[]): number =>
      median(watched.map(({ probe }) => probe?.[kind].p99Ms ?? Number.NaN))
    const alone = of(rounds.map((round) => round.alone))
    const times = (ms: number): string => `${ms.toFixed(1)} ms (${(ms / alone).toFixed(1)} times)`
    const there = rounds.flatMap((round) => round.elsewhere ?? [])
    const elsewhere = there.length === 0 ? '' : `, attack elsewhere ${times(of(there))}`
    return `${kind} alone ${alone.toFixed(1)} ms${elsewhere}, beside it ${times(of(rounds.map((round) => round.beside)))}`
  }
  return `p99, ${attack}: ${p99('gets')}; ${p99('puts')}`
}

function needsText({ processors, waiting }: Needs): string {
  return `used ${processors.toFixed(2)} processors and waited for ${waiting.toFixed(2)}`
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
