import assert from 'node:assert/strict'
import test from 'node:test'
import { SeededRandom } from '../base/index.ts'
import { createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger } from '../io/index.ts'
import { createMemoryDisk, createNodeEntropy, createNodeNetwork, createNodeTime } from '../io-node/index.ts'
import { createMemoryBackend, createStore } from '../store/index.ts'
import { openNode } from './node.ts'
import { defaultGroupLimits } from './options.ts'

test('the only voter leads, and answers a read that was there before, without waiting for a tick', async () => {
  const time = createNodeTime()
  const peerUrls = ['http://127.0.0.1:1']
  const node = await openNode({
    disk: createMemoryDisk(),
    network: createNodeNetwork({ logger: silentLogger }),
    // No timer ever fires.
    time: { ...time, startTimer: () => ({ cancel: () => undefined }) },
    entropy: createNodeEntropy(),
    logger: silentLogger,
    dataDirectory: '/data',
    name: 'n1',
    peerUrls,
    clientUrls: [],
    listenPeerAddress: undefined,
    initialCluster: [{ name: 'n1', peerUrls }],
    initialToken: 'start',
    initialState: 'new',
    dialAddresses: new Map(),
    limits: defaultGroupLimits,
    segmentBytesMax: 65_536,
    openBackend: async () =>
      createMemoryBackend({ random: new SeededRandom(1), schedule: async (finish) => finish() }),
    createMachine: (backend) => createConsistentCore({ store: createStore(backend) }),
    failed: (error) => assert.fail(String(error)),
  })
  assert.ok(!node.group.isSettledLeader)
  let isAnswered = false
  const read = node.group.readBarrier({ timeoutMs: 60_000 }).then(() => {
    isAnswered = true
  })
  for (let turn = 0; turn < 1_000 && !isAnswered; turn++) await time.yieldTurn()
  assert.ok(isAnswered)
  assert.ok(node.group.isSettledLeader)
  await read
  await node.stop()
})
