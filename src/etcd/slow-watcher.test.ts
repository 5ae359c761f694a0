// A watcher whose socket is full, at the door of a real node: what it costs those who write, and what it is told later.
import assert from 'node:assert/strict'
import test from 'node:test'
import { TestStream } from '../../testing/etcd-door.ts'
import { encodeText } from '../../testing/etcd-text.ts'
import { LoneNode } from '../../testing/lone-node.ts'
import { present, utf8Encode } from '../base/index.ts'
import { encodeCommand } from '../consistent-core/index.ts'
import { decodeWatchResponse } from '../etcd-codec/index.ts'
import { noMetadata } from '../grpc/index.ts'
import { silentLogger } from '../io/index.ts'
import { createEtcdServices, defaultEtcdOptions, type MaintenanceHooks } from './index.ts'

const writers = 8
const putsOfWriter = 150
const total = writers * putsOfWriter
/** Messages that the client's socket takes before it is full. */
const socketRoom = 4
/** Small enough that a watcher is far behind all that is kept for it. */
const watchLimits = { tailBytesMax: 8_192, pendingRevisionsMax: 16, watchersPerStreamMax: 10 }

const notAsked = (): never => assert.fail('nobody asks for maintenance')
const maintenance: MaintenanceHooks = {
  sizes: notAsked,
  alarms: notAsked,
  defragment: notAsked,
  compacted: notAsked,
  openSnapshot: notAsked,
  createSha256: notAsked,
}

function openWatch({ node, core, world }: LoneNode): TestStream {
  const { time, entropy } = world
  const options = defaultEtcdOptions
  const from = { group: node.group, core, time, entropy, logger: silentLogger, maintenance, options }
  const path = '/etcdserverpb.Watch/Watch'
  const method = present(createEtcdServices(from).get(path), 'watches are served')
  const stream = new TestStream(method, path, noMetadata)
  stream.room = socketRoom
  stream.write(encodeText('WatchRequest', "{createRequest: {key: 'k', startRevision: 2}}"))
  return stream
}

/** Milliseconds that each put took, sorted. */
async function write(
  { scheduler, node, world }: LoneNode,
  stream: TestStream | undefined,
): Promise<number[]> {
  const flags = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false }
  const put = { kind: 'put', key: utf8Encode('k'), value: new Uint8Array(500), ...flags } as const
  const tookMs: number[] = []
  const writer = async (): Promise<void> => {
    for (let i = 0; i < putsOfWriter; i++) {
      const startedAt = scheduler.now
      await node.group.propose(encodeCommand({ session: undefined, write: put }), { timeoutMs: 4_000 })
      tookMs.push(scheduler.now - startedAt)
      assert.ok((stream?.bufferedBytes ?? 0) <= socketRoom, `${stream?.bufferedBytes} messages wait`)
      await world.time.yieldTurn()
    }
  }
  await scheduler.complete(Promise.all(Array.from({ length: writers }, writer)))
  return tookMs.sort((left, right) => left - right)
}

test('a watcher that stops reading its socket: writers are as fast as without it, and it catches up later', async () => {
  const alone = await LoneNode.open(1, { watchLimits })
  const without = await write(alone, undefined)
  const lone = await LoneNode.open(1, { watchLimits })
  const stream = openWatch(lone)
  await lone.scheduler.run(10)
  const beside = await write(lone, stream)
  const p99 = (tookMs: readonly number[]): number => tookMs[Math.floor(0.99 * total)] ?? Number.NaN
  assert.ok(
    p99(beside) <= 1.1 * p99(without),
    `p99 ${p99(beside)} ms, ${p99(without)} ms without the watcher`,
  )
  assert.equal(stream.bufferedBytes, socketRoom)
  assert.equal(stream.isReading, false, 'nor are requests read that would have to wait')
  const told: number[] = []
  while (stream.bufferedBytes > 0) {
    for (const message of stream.read())
      told.push(...decodeWatchResponse(message).events.map(({ kv }) => kv?.modRevision ?? 0))
    await lone.scheduler.run(10)
  }
  assert.deepEqual(
    told,
    Array.from({ length: total }, (_, i) => i + 2),
  )
  assert.equal(stream.isReading, true)
  assert.equal(stream.ending, 'open')
})
