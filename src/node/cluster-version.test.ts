// A cluster of one on a simulated machine, started by builds that understand commands up to different versions.
import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, SeededRandom } from '../base/index.ts'
import { createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger } from '../io/index.ts'
import { SimulatedMachine } from '../simulator/machine.ts'
import { SimulatedNetwork } from '../simulator/network.ts'
import { Scheduler } from '../simulator/scheduler.ts'
import { createMemoryBackend, createStore, type StoreBackend } from '../store/index.ts'
import { openNode, type QuorateNode } from './node.ts'
import { defaultGroupLimits } from './options.ts'
import type { StateMachine } from './state-machine.ts'

class Host {
  readonly #scheduler = new Scheduler()
  readonly #machine: SimulatedMachine

  constructor() {
    const random = new SeededRandom(1)
    const network = new SimulatedNetwork({ scheduler: this.#scheduler, random: random.fork() })
    this.#machine = new SimulatedMachine({ name: 'n1', scheduler: this.#scheduler, network, random })
  }

  /** One life of a build that understands commands up to `commandVersion`: the cluster version it ends with. */
  async run(commandVersion: number): Promise<number> {
    const world = this.#machine.boot()
    const running = this.#scheduler.complete(
      openNode<unknown>({
        ...world,
        logger: silentLogger,
        dataDirectory: '/data',
        name: 'n1',
        peerUrls: ['http://n1:2380'],
        clientUrls: [],
        listenPeerAddress: undefined,
        initialCluster: [{ name: 'n1', peerUrls: ['http://n1:2380'] }],
        initialToken: 'test',
        initialState: 'new',
        dialAddresses: new Map(),
        limits: defaultGroupLimits,
        segmentBytesMax: 65_536,
        openBackend: async () =>
          createMemoryBackend({ random: new SeededRandom(1), schedule: async (finish) => finish() }),
        createMachine: (backend) => machineOf(backend, commandVersion),
        failed: (error) => assert.fail(String(error)),
      }),
    )
    try {
      const node: QuorateNode<unknown> = await running
      await this.#scheduler.run(10_000)
      const { clusterVersion } = node.group.status()
      await this.#scheduler.complete(node.stop())
      return clusterVersion
    } finally {
      this.#machine.kill()
    }
  }
}

function machineOf(backend: StoreBackend, commandVersion: number): StateMachine<unknown> {
  const core = createConsistentCore({ store: createStore(backend) })
  return new Proxy(core, {
    get: (target, key) => {
      if (key === 'commandVersion') return commandVersion
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

test('a newer build raises the cluster version, and then an older one refuses to start and says so', async () => {
  const host = new Host()
  assert.equal(await host.run(1), 1)
  assert.equal(await host.run(2), 2)
  await assert.rejects(host.run(1), (error) => {
    assert.ok(isQuorateError(error, 'format-unsupported'))
    assert.match(error.message, /commands of version 2, this build knows them up to 1/)
    return true
  })
  assert.equal(await host.run(3), 3)
})
