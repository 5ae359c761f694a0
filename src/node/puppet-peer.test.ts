// Peers that a test plays: a real node behind its real sockets hears frames that no peer of ours would send.
import assert from 'node:assert/strict'
import test from 'node:test'
import { initialToken, LoneNode, peerUrlOf } from '../../testing/lone-node.ts'
import { compareIds, type NodeId, utf8Encode } from '../base/index.ts'
import { silentLogger } from '../io/index.ts'
import { createEntry, type Entry, entryKind, type LogEnd } from '../raft/index.ts'
import { createSimulatedTime, MachineClock, SimulatedProcess } from '../simulator/index.ts'
import { encodeHello } from './handshake.ts'
import { clusterIdOf, memberIdOf } from './members.ts'
import { encodePeerMessage, type PeerMessage } from './peer-codec.ts'
import { frameClass, framesOf } from './peer-frame.ts'
import { listenForPeers } from './peer-listener.ts'

const names = ['n1', 'n2', 'n3']
const idOf = (name: string): NodeId => memberIdOf([peerUrlOf(name)], initialToken)
const clusterId = clusterIdOf(names.map(idOf).sort(compareIds), initialToken)

/** Member `name` of the cluster: sends what it is told to, and keeps what it hears from n1. */
class Puppet {
  readonly heard: PeerMessage[] = []
  readonly id: NodeId
  readonly #lone: LoneNode
  #write: (frame: Uint8Array) => void = () => assert.fail('not connected')

  private constructor(lone: LoneNode, name: string) {
    this.#lone = lone
    this.id = idOf(name)
  }

  static async join(lone: LoneNode, name: string): Promise<Puppet> {
    const puppet = new Puppet(lone, name)
    const { scheduler, random } = lone
    const process = new SimulatedProcess(scheduler)
    const network = lone.network.attach(name, process)
    const clock = new MachineClock(scheduler, { monotonicStartMs: 0, wallStartMs: 0 })
    await listenForPeers({
      network,
      time: createSimulatedTime({ clock, process, random: random.fork() }),
      logger: silentLogger,
      address: { host: name, port: 2380 },
      clusterId,
      nodeId: puppet.id,
      directoryId: puppet.id,
      messageBytesMax: 1_048_576,
      helloTimeoutMs: 5_000,
      idleTimeoutMs: 60_000,
      judge: () => undefined,
      onWelcome: () => undefined,
      onLeft: () => undefined,
      identify: async () => undefined,
      onMessage: (_from, _group, message) => puppet.heard.push(message),
    })
    const connection = await scheduler.complete(network.connect({ host: 'n1', port: 2380 }, 500))
    connection.setHandlers({
      onData: () => undefined,
      onDrain: () => undefined,
      onClose: (reason) => assert.fail(`n1 closed the connection: ${reason}`),
    })
    puppet.#write = (frame) => connection.write(frame)
    const to = idOf('n1')
    puppet.send(
      framesOf({
        frameClass: frameClass.control,
        group: 0,
        payload: encodeHello({
          clusterId,
          from: puppet.id,
          to,
          directoryId: puppet.id,
          peerUrls: [peerUrlOf(name)],
        }),
      }),
    )
    await scheduler.run(200)
    return puppet
  }

  send(frames: readonly Uint8Array[]): void {
    for (const frame of frames) this.#write(frame)
  }

  /** The frames of an append of `entries` behind `previous`, as the leader of `term` sends them. */
  append(term: number, previous: LogEnd, entries: readonly Entry[]): Uint8Array[] {
    const route = { from: this.id, to: idOf('n1') }
    const message = { kind: 'appendRequest', ...route, term, previous, entries, commit: 0 } as const
    return framesOf({ frameClass: frameClass.bulk, group: 0, payload: encodePeerMessage(message) })
  }

  /** What n1 said about appends since the last call. */
  async answers(): Promise<{ term: number; accepted: boolean; index: number }[]> {
    await this.#lone.scheduler.run(50)
    return this.heard
      .splice(0)
      .flatMap((message) =>
        message.kind === 'appendResponse'
          ? [{ term: message.term, accepted: message.accepted, index: message.index }]
          : [],
      )
  }
}

const start: LogEnd = { index: 0, term: 0, chain: 0 }

function entryAfter(previous: LogEnd, term: number, text: string): Entry {
  return createEntry({
    group: 0,
    index: previous.index + 1,
    term,
    kind: entryKind.command,
    payload: utf8Encode(text),
    previousChain: previous.chain,
  })
}

test('a frame of an old term comes again over its socket: refused with the present term, the log is unchanged', async () => {
  const lone = await LoneNode.open(1, { peers: ['n2', 'n3'] })
  const old = await Puppet.join(lone, 'n2')
  const present = await Puppet.join(lone, 'n3')
  const log = async (): Promise<unknown> => {
    const { term, leader, lastIndex, durableIndex, commitIndex } = lone.node.group.status()
    const { entries } = await lone.scheduler.complete(lone.node.log.read(0, 1, lastIndex + 1, 1_000_000))
    const chains = entries.map(({ index, term: born, chain }) => `${index}/${born} ${chain}`)
    return { term, leader, lastIndex, durableIndex, commitIndex, chains }
  }
  const first = entryAfter(start, 5, 'first')
  const lost = entryAfter(first, 5, 'lost')
  const early = old.append(5, start, [first])
  const late = old.append(5, first, [lost])
  old.send(early)
  assert.deepEqual(await old.answers(), [{ term: 5, accepted: true, index: 1 }])
  present.send(present.append(6, first, [entryAfter(first, 6, 'second')]))
  assert.deepEqual(await present.answers(), [{ term: 6, accepted: true, index: 2 }])
  const before = await log()
  // Each of them fits the log that n1 has: only the term speaks against it.
  for (const frames of [early, late, old.append(5, start, [])]) {
    old.send(frames)
    const [answer, ...more] = await old.answers()
    assert.deepEqual([answer?.term, answer?.accepted, more], [6, false, []])
    assert.deepEqual(await log(), before)
  }
  present.send(present.append(6, start, []))
  assert.equal((await present.answers())[0]?.accepted, true, 'the leader of the present term goes on')
})
