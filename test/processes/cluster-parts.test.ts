// The parts of the benchmarks that measure three nodes, small: that they run, and that they notice what they count.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import { keepBusy, measureCatchUp, Terms } from '../../bench/cluster-parts.ts'
import { leaderOf } from '../../bench/parts.ts'
import { GrpcClient } from '../support/grpc-client.ts'
import { messagesOf } from '../support/keys.ts'
import { startCluster } from '../support/servers.ts'

const command = `${process.execPath} ${join(import.meta.dirname, '../../src/cli/main.ts')}`
const shape = { keyCount: 2_000, warmUpMs: 100 }

test('a follower that was left behind is measured until it has caught up', async () => {
  const sizes = { ...shape, behindMib: 3, connections: 2, streams: 4, countedMs: 300 }
  const sample = await measureCatchUp(command, sizes)
  assert.ok((sample.behindMib ?? 0) >= 3 && (sample.behindMib ?? 0) < 100)
  assert.ok((sample.caughtUpSeconds ?? 0) > 0 && (sample.putsPerSecondMeanwhile ?? 0) > 0)
  assert.ok((sample.slowestSecondPutsPerSecond ?? 0) <= (sample.putsPerSecondMeanwhile ?? 0) * 1.5)
  assert.equal(sample.errors, 0)
})

test('three nodes are kept busy in every way, and an election is counted', async (t) => {
  const cluster = await startCluster(command, { label: 'bench-test', size: 3 })
  t.after(() => cluster.stop())
  const sample = await keepBusy(cluster, { ...shape, compactEveryMs: 200, ms: 1_000 })
  const done = ['putsPerSecond', 'deletes', 'ranges', 'leases', 'compactions', 'snapshots', 'events']
  for (const name of done) assert.ok((sample[name] ?? 0) > 0, name)
  assert.deepEqual([sample.errors, sample.statusUnanswered], [0, 0])
  const terms = new Terms(cluster.nodes)
  t.after(() => terms.close())
  await terms.sample()
  const leader = new GrpcClient((await leaderOf(cluster)).endpoint)
  const { leader: leaderId } = await leader.must('status', {})
  const members = messagesOf((await leader.must('memberList', {})).members)
  await leader.must('moveLeader', { targetID: members.find(({ ID }) => ID !== leaderId)?.ID ?? 0 })
  leader.close()
  await terms.sample()
  assert.deepEqual([terms.elections, terms.leaderChanges], [1, 1])
})
