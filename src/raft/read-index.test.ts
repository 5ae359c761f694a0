import assert from 'node:assert/strict'
import test from 'node:test'
import { present } from '../base/index.ts'
import { Cluster, defaultTestOptions } from './testing/cluster.ts'
import { voterSet } from './testing/disk.ts'
import { Invariants } from './testing/invariants.ts'

test('readers that wait are bounded: the one too many is told at once', () => {
  const cluster = new Cluster(
    defaultTestOptions,
    1,
    new Invariants(defaultTestOptions.inflightMax),
    () => undefined,
  )
  cluster.add(1n, voterSet(1n, 2n, 3n))
  cluster.add(2n, voterSet(1n, 2n, 3n))
  const node = cluster.node(2n)
  const heartbeat = { kind: 'heartbeat', from: 1n, to: 2n, term: 1, commit: 0, round: 1 } as const
  node.raft.step({ ...heartbeat, context: new Uint8Array(0) })
  for (let request = 1; request <= 65_537; request++) node.raft.readIndex(request)
  assert.deepEqual(node.raft.ready().readFailures, [65_537])
})

test('a number of an earlier life of a follower is never used again', () => {
  const numbers = new Set<number>()
  for (let seed = 1; seed <= 20; seed++) {
    const invariants = new Invariants(defaultTestOptions.inflightMax)
    const cluster = new Cluster(defaultTestOptions, seed, invariants, () => undefined)
    cluster.add(2n, voterSet(1n, 2n))
    const { raft } = cluster.node(2n)
    const heartbeat = { kind: 'heartbeat', from: 1n, to: 2n, term: 1, commit: 0, round: 1 } as const
    raft.step({ ...heartbeat, context: new Uint8Array(0) })
    raft.readIndex(1)
    const operation = present(raft.ready().storage[0], 'the term is written down')
    for (const message of raft.storageCompleted(operation.sequence)) {
      if (message.kind === 'readIndexRequest') numbers.add(message.request)
    }
  }
  assert.equal(numbers.size, 20)
})
