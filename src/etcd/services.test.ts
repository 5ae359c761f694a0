// What the stories cannot show: bounds, back-pressure, slices, deadlines, bytes of a snapshot.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { openTestCore } from '../../testing/etcd-core.ts'
import { type Door, openDoor, plainCall, settle } from '../../testing/etcd-door.ts'
import { decodeToText, encodeText } from '../../testing/etcd-text.ts'
import { ByteWriter, bytesFromHex, hexFromBytes, isQuorateError, utf8Decode } from '../base/index.ts'
import type { ConsistentCoreReads, RangeResult } from '../consistent-core/index.ts'
import {
  decodeLeaseGrantResponse,
  decodeRangeResponse,
  decodeSnapshotResponse,
  decodeWatchResponse,
} from '../etcd-codec/index.ts'
import { type UnaryAnswer, wholeAnswer } from '../grpc/index.ts'
import { createEtcdServices, type EtcdOptions } from './index.ts'

const rangePath = '/etcdserverpb.KV/Range'
const putPath = '/etcdserverpb.KV/Put'
const txnPath = '/etcdserverpb.KV/Txn'
const watchPath = '/etcdserverpb.Watch/Watch'
const grantPath = '/etcdserverpb.Lease/LeaseGrant'
const timeToLivePath = '/etcdserverpb.Lease/LeaseTimeToLive'
const keepAlivePath = '/etcdserverpb.Lease/LeaseKeepAlive'
const snapshotPath = '/etcdserverpb.Maintenance/Snapshot'

function open(options: Partial<EtcdOptions> = {}): Door {
  return openDoor(openTestCore(), options)
}

async function put(door: Door, key: string, value: string): Promise<void> {
  const { error } = await door.call(putPath, encodeText('PutRequest', `{key: ${key}, value: ${value}}`))
  assert.equal(error, undefined)
}

const watchAll = encodeText(
  'WatchRequest',
  "{createRequest: {key: '\\x00', rangeEnd: '\\x00', startRevision: 1}}",
)

/** As the service gives it: whole, or in pieces. */
async function range(door: Door, request: Uint8Array): Promise<UnaryAnswer> {
  const method = door.services.get(rangePath)
  assert.ok(method?.kind === 'unary')
  return await method.handle(request, plainCall())
}

test('a watcher that does not read holds up nobody and loses nothing', async () => {
  const door = open()
  const slow = door.open(watchPath)
  const quick = door.open(watchPath)
  slow.room = 1
  slow.write(watchAll)
  quick.write(watchAll)
  await settle()
  for (let i = 1; i <= 200; i++) {
    await put(door, 'k', `v${i}`)
    await settle()
  }
  assert.equal(slow.bufferedBytes, 1)
  assert.equal(slow.isReading, false)
  const modRevisionsOf = (messages: Uint8Array[]): number[] =>
    messages.flatMap((message) =>
      decodeWatchResponse(message).events.map((event) => event.kv?.modRevision ?? 0),
    )
  const all = Array.from({ length: 200 }, (_, index) => index + 2)
  assert.deepEqual(modRevisionsOf(quick.read()), all)
  const seen: number[] = []
  while (slow.bufferedBytes > 0) {
    seen.push(...modRevisionsOf(slow.read()))
    await settle()
  }
  assert.deepEqual(seen, all)
  assert.equal(slow.isReading, true)
})

test('watchers over the limit are refused one by one, and there is room again after a cancel', async () => {
  const door = open({ watchersPerStreamMax: 2 })
  const stream = door.open(watchPath)
  const texts = async (): Promise<string[]> => {
    await settle()
    return stream.read().map((message) => decodeToText('WatchResponse', message))
  }
  const create = encodeText('WatchRequest', '{createRequest: {key: a}}')
  for (let i = 0; i < 3; i++) stream.write(create)
  assert.deepEqual(await texts(), [
    '{header: H1, created: true}',
    '{header: H1, watchId: 1, created: true}',
    "{header: H1, watchId: -1, created: true, canceled: true, cancelReason: 'etcdserver: too many requests'}",
  ])
  stream.write(encodeText('WatchRequest', '{cancelRequest: {watchId: 0}}'))
  assert.deepEqual(await texts(), ['{header: H1, canceled: true}'])
  stream.write(create)
  assert.deepEqual(await texts(), ['{header: H1, watchId: 2, created: true}'])
})

test('streams over the limit are refused', async () => {
  const door = open({ watchStreamsMax: 1 })
  const first = door.open(watchPath)
  const second = door.open(watchPath)
  assert.ok(typeof second.ending === 'object' && second.ending.message === 'etcdserver: too many requests')
  first.cancel()
  assert.equal(door.open(watchPath).ending, 'open')
})

test('a stream that is gone leaves no timer and no watcher behind', async () => {
  const door = open()
  const stream = door.open(watchPath, new Map([['hasleader', 'true']]))
  stream.write(encodeText('WatchRequest', '{createRequest: {key: a, progressNotify: true}}'))
  await settle()
  assert.equal(door.time.timers, 2)
  assert.equal(door.core.counts.watchers, 1)
  stream.cancel()
  assert.equal(door.time.timers, 0)
  assert.equal(door.core.counts.watchers, 0)
})

test('keep-alives that come together share one round, and reading pauses while many wait', async () => {
  const door = open()
  for (let id = 1; id <= 600; id++)
    await door.call(grantPath, encodeText('LeaseGrantRequest', `{id: ${id}, ttl: 60}`))
  door.group.calls.length = 0
  const stream = door.open(keepAlivePath)
  for (let id = 1; id <= 600; id++) stream.write(encodeText('LeaseKeepAliveRequest', `{id: ${id}}`))
  assert.equal(stream.isReading, false)
  await settle()
  assert.equal(stream.isReading, true)
  assert.deepEqual(door.group.calls, ['confirmLeadership', 'confirmLeadership'])
  const answers = stream.read().map((message) => decodeToText('LeaseKeepAliveResponse', message))
  assert.deepEqual(
    answers,
    Array.from({ length: 600 }, (_, index) => `{header: H1, id: ${index + 1}, ttl: 60}`),
  )
})

test('keep-alives without end on a leader that cannot answer end in a refusal, not in memory', async () => {
  const door = open()
  const stream = door.open(keepAlivePath)
  door.group.failures.set('confirmLeadership', 'not-leader')
  for (let i = 0; i < 2000 && stream.ending === 'open'; i++) {
    stream.write(encodeText('LeaseKeepAliveRequest', '{id: 1}'))
  }
  assert.ok(typeof stream.ending === 'object' && stream.ending.message === 'etcdserver: too many requests')
})

test('a leader that is settled and has not started the clocks of the leases yet does not call them unknown', async () => {
  const door = open()
  await door.call(grantPath, encodeText('LeaseGrantRequest', '{id: 7, ttl: 60}'))
  door.core.leader.stop()
  const asked = [
    door.call(timeToLivePath, encodeText('LeaseTimeToLiveRequest', '{id: 7}')),
    door.call(timeToLivePath, encodeText('LeaseTimeToLiveRequest', '{id: 8}')),
  ]
  const stream = door.open(keepAlivePath)
  stream.write(encodeText('LeaseKeepAliveRequest', '{id: 7}'))
  await settle()
  door.core.leader.start(door.time.monotonicMs())
  await door.time.advance(200)
  const answers = (await Promise.all(asked)).map(({ message = new Uint8Array() }) =>
    decodeToText('LeaseTimeToLiveResponse', message),
  )
  assert.deepEqual(answers, ['{header: H1, id: 7, ttl: 59, grantedTtl: 60}', '{header: H1, id: 8, ttl: -1}'])
  assert.deepEqual(
    stream.read().map((message) => decodeToText('LeaseKeepAliveResponse', message)),
    ['{header: H1, id: 7, ttl: 60}'],
  )
})

test('a random lease id that is taken is drawn again', async () => {
  const request = encodeText('LeaseGrantRequest', '{ttl: 60}')
  const first = decodeLeaseGrantResponse((await open().call(grantPath, request)).message ?? new Uint8Array())
  const door = open()
  const same = encodeText('LeaseGrantRequest', `{id: ${first.id}, ttl: 60}`)
  assert.equal((await door.call(grantPath, same)).error, undefined)
  const second = decodeLeaseGrantResponse((await door.call(grantPath, request)).message ?? new Uint8Array())
  assert.ok(second.id > 0n && second.id !== first.id)
})

test('requests over a limit are refused before the log', async () => {
  const door = open()
  const refusal = async (path: string, request: Uint8Array): Promise<string | undefined> =>
    (await door.call(path, request)).error?.message
  const tooLarge = 'etcdserver: request is too large'
  const tooMany = 'etcdserver: too many operations in txn request'
  assert.equal(await refusal(putPath, encodeText('PutRequest', '{key: a, value: *1572864}')), tooLarge)
  assert.equal(await refusal(putPath, encodeText('PutRequest', '{key: a, value: *1572000}')), undefined)
  const list = (count: number, one: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => one(index)).join(', ')
  const puts = (count: number): string => list(count, (index) => `{requestPut: {key: k${index}}}`)
  const transaction = (text: string): Uint8Array => encodeText('TxnRequest', text)
  assert.equal(await refusal(txnPath, transaction(`{success: [${puts(129)}]}`)), tooMany)
  assert.equal(await refusal(txnPath, transaction(`{failure: [${puts(129)}]}`)), tooMany)
  assert.equal(await refusal(txnPath, transaction(`{compare: [${list(129, () => '{key: a}')}]}`)), tooMany)
  assert.equal(await refusal(txnPath, transaction(`{success: [${puts(128)}]}`)), undefined)
  // What is inside gets what is left: 128 - 100.
  const nested = (count: number): string =>
    `{success: [${list(99, (index) => `{requestPut: {key: a${index}}}`)}, {requestTxn: {success: [${puts(count)}]}}]}`
  assert.equal(await refusal(txnPath, transaction(nested(28))), undefined)
  assert.equal(await refusal(txnPath, transaction(nested(29))), tooMany)
  assert.deepEqual(door.group.calls, ['propose', 'propose', 'propose'])
})

test('a call waits as long as etcd would, or as long as its client does', async () => {
  const door = open({ electionTimeoutMs: 500 })
  await door.call(putPath, encodeText('PutRequest', '{key: a}'))
  assert.equal(door.group.lastTimeoutMs, 6000)
  await door.call(putPath, encodeText('PutRequest', '{key: a}'), undefined, 250)
  assert.equal(door.group.lastTimeoutMs, 250)
})

test('an answer of many slices has every pair once and in order, whatever is written meanwhile', async () => {
  const door = open()
  let turns = 0
  Object.assign(door.time, { yieldBulkTurn: async () => void turns++ })
  const paddedValue = (i: number): string => `value${i}`.padEnd(200, '.')
  for (let i = 0; i < 1_000; i++) await put(door, `key${String(i).padStart(4, '0')}`, paddedValue(i))
  const whole = encodeText('RangeRequest', '{key: key, rangeEnd: kez, serializable: true}')
  const reading = range(door, whole)
  await put(door, 'key0999', 'later')
  const pieces = await reading
  assert.ok(turns >= 2, 'it was read slice by slice')
  assert.ok(Array.isArray(pieces) && pieces.length > 2, 'and its pieces are of a bounded size')
  const answer = decodeRangeResponse(wholeAnswer(pieces))
  assert.equal(answer.header?.revision, 1_001)
  assert.deepEqual([answer.kvs.length, answer.count, answer.more], [1_000, 1_000, false])
  for (const [i, { key, value, modRevision }] of answer.kvs.entries()) {
    const found = [utf8Decode(key), utf8Decode(value), modRevision]
    assert.deepEqual(found, [`key${String(i).padStart(4, '0')}`, paddedValue(i), i + 2])
  }
  const limited = encodeText('RangeRequest', '{key: key, rangeEnd: kez, limit: 700}')
  const first = decodeRangeResponse(wholeAnswer(await range(door, limited)))
  assert.deepEqual([first.kvs.length, first.count, first.more], [700, 1_000, true])
  assert.deepEqual(first.kvs, answer.kvs.slice(0, 700))
})

test('a large range gives others their turn, and its header is of the state it was read from', async () => {
  const door = open()
  let revision = 7
  let turns = 0
  let isFinished = false
  const core = {
    get revision() {
      return revision
    },
    *range(): Generator<void, RangeResult, void> {
      try {
        for (let slice = 0; slice < 5; slice++) yield
        return { kind: 'range', pairs: [], count: 1, more: false }
      } finally {
        isFinished = true
      }
    },
  } as unknown as ConsistentCoreReads
  const time = Object.assign(door.time, {
    async yieldBulkTurn() {
      turns++
      revision++
    },
  })
  const services = createEtcdServices({ ...door.from, core, time })
  const method = services.get(rangePath)
  assert.ok(method?.kind === 'unary')
  const request = encodeText('RangeRequest', '{key: a, serializable: true}')
  const answer = decodeRangeResponse(wholeAnswer(await method.handle(request, plainCall())))
  assert.equal(answer.header?.revision, 7)
  assert.equal(turns, 5)
  // A client that went away: the work ends, and the generator is closed.
  isFinished = false
  await assert.rejects(
    async () => method.handle(request, { ...plainCall(), isCancelled: true }),
    /request canceled/,
  )
  assert.equal(isFinished, true)
  assert.equal(turns, 6)
})

test('a snapshot is blobs, padding and the checksum of all of it', async () => {
  const door = open()
  const stream = door.open(snapshotPath)
  stream.room = 1
  stream.write(new Uint8Array())
  const messages: ReturnType<typeof decodeSnapshotResponse>[] = []
  for (;;) {
    await settle()
    const received = stream.read()
    if (received.length === 0) break
    messages.push(...received.map(decodeSnapshotResponse))
  }
  assert.equal(stream.ending, 'ended')
  assert.deepEqual(
    messages.map((message) => [message.blob.length, message.remainingBytes]),
    [
      [32768, 37376],
      [32768, 4608],
      [4608, 0],
      [32, 0],
    ],
  )
  const hash = createHash('sha256')
  for (const message of messages.slice(0, -1)) hash.update(message.blob)
  assert.deepEqual(messages.at(-1)?.blob, new Uint8Array(hash.digest()))
  assert.equal(messages[2]?.blob.at(-1), 0)
  assert.deepEqual(door.group.calls, ['snapshot closed'])
})

test('a snapshot that nobody waits for any more is closed', async () => {
  const door = open()
  const stream = door.open(snapshotPath)
  stream.room = 1
  stream.write(new Uint8Array())
  await settle()
  stream.cancel()
  await settle()
  assert.deepEqual(door.group.calls, ['snapshot closed'])
})

test('questions to the leader are what docs/formats/lease-question.md says', async () => {
  const door = open()
  await door.call(grantPath, encodeText('LeaseGrantRequest', '{id: 7, ttl: 60}'))
  const answer = async (question: string): Promise<string> =>
    hexFromBytes(await door.group.answerAsLeader(bytesFromHex(question)))
  assert.equal(await answer('01010207000000000000000900000000000000'), '3d00')
  assert.equal(await answer('0102010700000000000000'), '3c')
})

test('a question of another member that makes no sense is refused', async () => {
  const door = open()
  const writer = new ByteWriter()
  writer.u8(2)
  await assert.rejects(door.group.answerAsLeader(writer.copy()), (error) =>
    isQuorateError(error, 'format-unsupported'),
  )
  writer.reset()
  writer.u8(1)
  writer.u8(1)
  writer.varint(3)
  writer.u64(1n)
  await assert.rejects(door.group.answerAsLeader(writer.copy()), (error) =>
    isQuorateError(error, 'frame-malformed'),
  )
})

test('every method of the five services has a path', () => {
  const { services } = open()
  const unary = [...services].filter(([, method]) => method.kind === 'unary').map(([path]) => path)
  const streams = [...services].filter(([, method]) => method.kind === 'stream').map(([path]) => path)
  assert.deepEqual(streams.sort(), [keepAlivePath, snapshotPath, watchPath].sort())
  assert.equal(unary.length + streams.length, 49)
})

test('a member that does not lead says with its refusal that it moved no leadership', async () => {
  const door = open()
  door.group.leader = 0xb2n
  const { error } = await door.call(
    '/etcdserverpb.Maintenance/MoveLeader',
    encodeText('MoveLeaderRequest', '{targetId: 161}'),
  )
  assert.deepEqual(
    [error?.message, error?.trailers.get('quorate-outcome')],
    ['etcdserver: not leader', 'none'],
  )
})
