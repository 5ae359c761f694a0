// One real node with a real core on a simulated machine. Its peers, if it has any, are for the test to play.
import assert from 'node:assert/strict'
import { present, SeededRandom } from '../src/base/index.ts'
import {
  type Applied,
  type ConsistentCore,
  createConsistentCore,
  type WatchLimits,
} from '../src/consistent-core/index.ts'
import { silentLogger } from '../src/io/index.ts'
import { defaultGroupLimits, type GroupLimits, openNode, type QuorateNode } from '../src/node/index.ts'
import { type MachineWorld, Scheduler, SimulatedMachine, SimulatedNetwork } from '../src/simulator/index.ts'
import { createMemoryBackend, createStore } from '../src/store/index.ts'

export const initialToken = 'test'
export const peerUrlOf = (host: string): string => `http://${host}:2380`

export class LoneNode {
  readonly scheduler: Scheduler = new Scheduler()
  readonly random: SeededRandom
  readonly network: SimulatedNetwork
  readonly machine: SimulatedMachine
  readonly world: MachineWorld
  #core: ConsistentCore | undefined
  #node: QuorateNode<Applied> | undefined

  private constructor(seed: number) {
    this.random = new SeededRandom(seed)
    this.network = new SimulatedNetwork({ scheduler: this.scheduler, random: this.random.fork() })
    this.machine = new SimulatedMachine({
      name: 'n1',
      scheduler: this.scheduler,
      network: this.network,
      random: this.random.fork(),
    })
    this.world = this.machine.boot()
  }

  /** Member n1 of n1 and `peers`, open; alone it leads soon. */
  static async open(
    seed: number,
    change: { peers?: readonly string[]; limits?: Partial<GroupLimits>; watchLimits?: WatchLimits } = {},
  ): Promise<LoneNode> {
    const lone = new LoneNode(seed)
    await lone.#open(change)
    return lone
  }

  get core(): ConsistentCore {
    return present(this.#core, 'it is open')
  }

  get node(): QuorateNode<Applied> {
    return present(this.#node, 'it is open')
  }

  async #open(change: NonNullable<Parameters<typeof LoneNode.open>[1]>): Promise<void> {
    const { peers = [], limits, watchLimits } = change
    const opening = openNode<Applied>({
      ...this.world,
      logger: silentLogger,
      dataDirectory: '/data',
      name: 'n1',
      peerUrls: [peerUrlOf('n1')],
      clientUrls: [],
      listenPeerAddress: { host: 'n1', port: 2380 },
      initialCluster: ['n1', ...peers].map((name) => ({ name, peerUrls: [peerUrlOf(name)] })),
      initialToken,
      initialState: 'new',
      dialAddresses: new Map(),
      limits: { ...defaultGroupLimits, ...limits },
      segmentBytesMax: 1_048_576,
      openBackend: async () =>
        createMemoryBackend({ random: this.random.fork(), schedule: async (finish) => finish() }),
      createMachine: (backend) => {
        const store = createStore(backend)
        this.#core = createConsistentCore(watchLimits === undefined ? { store } : { store, watchLimits })
        return this.#core
      },
      failed: (error) => assert.fail(String(error)),
    })
    this.#node = await this.scheduler.complete(opening)
    const { group } = this.node
    if (peers.length > 0) return
    assert.ok(await this.scheduler.runUntil(() => group.isSettledLeader, this.scheduler.now + 10_000))
  }
}
