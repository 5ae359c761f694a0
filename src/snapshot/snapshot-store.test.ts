import assert from 'node:assert/strict'
import test from 'node:test'
import { concatBytes, crc32c, hexFromBytes, isQuorateError, SeededRandom, utf8Encode } from '../base/index.ts'
import { type Disk, type Logger, silentLogger, type Time } from '../io/index.ts'
import type { SnapshotMark } from '../raft/index.ts'
import { createSimulatedDisk, diskOperations, type SimulatedDisk } from '../simulator/disk.ts'
import { openSnapshotStore, type SnapshotFile, type SnapshotReceiver, type SnapshotStore } from './index.ts'

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
console.log(`snapshot store: SEED=${seed}`)

const directory = 'data/snapshots'

function createTime(): Time & { now: number } {
  const time = {
    now: 1000,
    monotonicMs: () => time.now,
    wallMs: () => time.now,
    startTimer: () => ({ cancel: () => undefined }),
    yieldTurn: () => assert.fail('snapshots share the turns of large work'),
    yieldBulkTurn: () => Promise.resolve(),
  }
  return time
}

function open(
  disk: Disk,
  changes: { time?: Time; logger?: Logger; clusterId?: bigint; group?: number } = {},
): Promise<SnapshotStore> {
  const { time = createTime(), logger = silentLogger, clusterId = 0xc1n, group = 0 } = changes
  return openSnapshotStore({ disk, time, logger, directory, clusterId, group })
}

function createDisk(): SimulatedDisk {
  return createSimulatedDisk({ random: new SeededRandom(seed) })
}

function markAt(index: number): SnapshotMark {
  return {
    end: { index, term: 3, chain: (index * 0x9e3779b9) >>> 0 },
    configuration: { voters: [1n, 2n, 3n], outgoing: [], learners: [4n], context: utf8Encode('names') },
    configurationIndex: index - 1,
  }
}

/** Chunks of many sizes, an empty one and one larger than any buffer among them; they tell their snapshot apart. */
function chunksOf(index: number): Uint8Array[] {
  const sizes = [1, 0, 700, 65536, 3, 300_000, 511, 20_000]
  return sizes.map((size, i) =>
    Uint8Array.from({ length: size }, (_, at) => (index * 7 + i * 31 + at * (index + 1)) & 0xff),
  )
}

function save(
  store: SnapshotStore,
  index: number,
  chunks: readonly Uint8Array[] = chunksOf(index),
): Promise<SnapshotFile> {
  const rest = [...chunks]
  return store.save(markAt(index), () => rest.shift())
}

async function contentOf(store: SnapshotStore, file: SnapshotFile): Promise<string[]> {
  const checksums: string[] = []
  await store.load(file, (chunk) => {
    checksums.push(`${chunk.length}:${crc32c(chunk)}`)
  })
  return checksums
}

function expectedContent(index: number): string[] {
  return chunksOf(index).map((chunk) => `${chunk.length}:${crc32c(chunk)}`)
}

function indexes(store: SnapshotStore): number[] {
  return store.list().map((file) => file.mark.end.index)
}

/** The reasons of what a store says is damaged or left over. */
function reasonsTold(): Logger & { reasons: unknown[] } {
  const reasons: unknown[] = []
  return {
    reasons,
    log: (_level, event, fields) => void (event === 'snapshot-listed' || reasons.push(fields?.reason)),
  }
}

async function replaceFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  await disk.remove(path)
  const file = await disk.open(path, { create: true })
  await file.write(0, [bytes])
  await file.close()
}

/** Feeds `bytes` from where the receiver stands to `end`. */
async function feed(receiver: SnapshotReceiver, bytes: Uint8Array, end = bytes.length): Promise<void> {
  while (receiver.receivedBytes < end) {
    const position = receiver.receivedBytes
    await receiver.write(position, bytes.slice(position, Math.min(position + 50_000, end)))
  }
}

async function bytesOf(store: SnapshotStore, file: SnapshotFile): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for (let position = 0; position < file.sizeBytes; position += 65_536) {
    parts.push(await store.readPart(file, position, 65_536))
  }
  return concatBytes(parts)
}

test('what was saved is listed newest first, survives a power cut, and comes back chunk for chunk', async () => {
  const disk = createDisk()
  const store = await open(disk)
  for (const index of [10, 300, 20]) await save(store, index)
  assert.deepEqual(indexes(store), [300, 20, 10])
  disk.crash('nothing')
  const again = await open(disk)
  assert.deepEqual(indexes(again), [300, 20, 10])
  for (const file of again.list()) {
    assert.deepEqual(file.mark, markAt(file.mark.end.index))
    assert.deepEqual(await contentOf(again, file), expectedContent(file.mark.end.index))
  }
  assert.equal(disk.openFiles, 0)
})

test('whoever writes a snapshot lets others have their turn once a millisecond has gone', async () => {
  const disk = createDisk()
  const time = createTime()
  let turns = 0
  const counting: Time = {
    ...time,
    monotonicMs: () => time.now,
    yieldBulkTurn: () => {
      turns++
      return time.yieldBulkTurn()
    },
  }
  const store = await open(disk.mount(), { time: counting })
  turns = 0
  let left = 12
  await store.save(markAt(1), () => {
    time.now += 0.5
    return left-- > 0 ? new Uint8Array(100) : undefined
  })
  assert.equal(turns, 6)
})

test('whoever reads a snapshot lets others have their turn after each chunk', async () => {
  let turns = 0
  const time: Time = { ...createTime(), yieldBulkTurn: async () => void turns++ }
  const store = await open(createDisk(), { time })
  const file = await save(store, 1)
  turns = 0
  await store.load(file, () => undefined)
  assert.equal(turns, chunksOf(1).length)
})

test('a snapshot may be empty, and one that is here already is not written again', async () => {
  const disk = createDisk()
  const store = await open(disk)
  const file = await save(store, 5, [])
  assert.deepEqual(await contentOf(store, file), [])
  const before = disk.countOf('write')
  assert.equal(await save(store, 5), file)
  assert.equal(disk.countOf('write'), before)
})

/** Saves, prunes, receives, and takes up what it had received; `tell` hears of the newest snapshot that is promised. */
async function liveThrough(disk: Disk, source: Uint8Array, tell: (index: number) => void): Promise<void> {
  const store = await open(disk)
  for (const index of [10, 20]) {
    await save(store, index)
    tell(index)
    await store.prune(index === 20 ? 2 : 1)
  }
  const half = source.length >> 1
  const first = await store.beginReceive(markAt(40), source.length)
  await feed(first, source, half)
  await first.abandon()
  const receiver = await store.beginReceive(markAt(40), source.length)
  await feed(receiver, source)
  await receiver.finish()
  tell(40)
  await store.prune(1)
}

/** What is on the disk is whole, the newest of it was promised or is newer, and the next snapshot can be saved. */
async function checkLeft(disk: SimulatedDisk, promised: number, where: string): Promise<void> {
  const time = createTime()
  const store = await open(disk, { time })
  for (const file of store.list()) {
    assert.deepEqual(await contentOf(store, file), expectedContent(file.mark.end.index), where)
  }
  const newest = indexes(store)[0] ?? 0
  assert.ok(newest >= promised, `${promised} was promised, ${newest} is the newest: ${where}`)
  await save(store, 50, [])
  time.now += 60_000
  await store.prune(1)
  assert.equal((await disk.list(directory)).length, 1, where)
  assert.deepEqual(disk.misuse, [], where)
}

async function sourceOf(index: number): Promise<Uint8Array> {
  const store = await open(createDisk())
  return await bytesOf(store, await save(store, index))
}

test('a power cut at every disk operation: what is listed is whole, and old and new are never both gone', async () => {
  const source = await sourceOf(40)
  let cuts = 0
  for (const survival of ['chance', 'nothing'] as const) {
    for (let k = 1; ; k++) {
      const disk = createSimulatedDisk({ random: new SeededRandom(seed + k) })
      let promised = 0
      disk.haltAt(k)
      const running = liveThrough(disk.mount(), source, (index) => {
        promised = index
      })
      const outcome = await Promise.race([running.then(() => 'done'), disk.halted])
      disk.crash(survival)
      await checkLeft(disk, promised, `seed ${seed}, cut at operation ${k}, ${survival}`)
      if (outcome === 'done') break
      cuts++
    }
  }
  assert.ok(cuts > 60, `only ${cuts} cuts`)
})

test('an error of every disk operation is told to whoever asked, and what was promised is there', async () => {
  const source = await sourceOf(40)
  let errors = 0
  for (const operation of diskOperations) {
    for (let nth = 1; ; nth++) {
      const where = `seed ${seed}, error of ${operation} ${nth}`
      const disk = createSimulatedDisk({ random: new SeededRandom(seed + nth) })
      let promised = 0
      disk.failNext({ operation, nth })
      const running = liveThrough(disk.mount(), source, (index) => {
        promised = index
      })
      const outcome = await running.then(
        () => 'none',
        (error: unknown) => (isQuorateError(error) ? error.code : String(error)),
      )
      if (disk.countOf(operation) < nth) break
      errors++
      assert.equal(outcome, 'disk-failed', where)
      disk.clearFaults()
      disk.crash('nothing')
      await checkLeft(disk, promised, where)
    }
  }
  assert.ok(errors > 50, `only ${errors} operations to fail`)
})

test('every damaged byte is found, and named by its range', async () => {
  const random = new SeededRandom(seed)
  const disk = createDisk()
  const { path, sizeBytes } = await save(await open(disk), 7)
  for (let round = 0; round < 60; round++) {
    const at =
      round < 20 ? round * 5 : round < 40 ? sizeBytes - 1 - (round - 20) : random.between(0, sizeBytes)
    const copy = createSimulatedDisk({ random: new SeededRandom(seed + round) })
    const store = await open(copy)
    const file = await save(store, 7)
    copy.rot(path, { first: at, end: at + 1 })
    await assert.rejects(contentOf(store, file), (error) => {
      assert.ok(isQuorateError(error, 'data-damaged'))
      const [, first, end] = /bytes \[(\d+), (\d+)\)/.exec(error.message) ?? []
      assert.ok(Number(first) <= at && at < Number(end), `byte ${at} of ${sizeBytes}: ${error.message}`)
      return true
    })
    assert.deepEqual(store.list(), [], 'it is not offered again')
    assert.deepEqual(copy.openFiles, 0)
  }
})

test('a file cut to any length, or with bytes behind its end, is not listed', async () => {
  const disk = createDisk()
  const { path, sizeBytes } = await save(await open(disk), 7)
  for (const size of [sizeBytes + 1, sizeBytes - 1, sizeBytes - 28, 70_000, 120, 60, 0]) {
    const file = await disk.open(path, { create: false })
    await file.truncate(size)
    await file.close()
    assert.deepEqual((await open(disk)).list(), [], `${size} of ${sizeBytes} bytes`)
  }
  // The same mark can be saved over it.
  const store = await open(disk)
  await save(store, 7)
  assert.deepEqual(await contentOf(store, store.list()[0] as SnapshotFile), expectedContent(7))
})

// Where the parts of the snapshot of `markAt` and `chunksOf` begin; see docs/formats/snapshot.md.
const at = { headerSize: 12, contextSize: 64, firstVoter: 68, headerChecksum: 105, firstChunk: 109 }

/** The bytes with a number put in, little-endian, and the checksum of the header or the trailer made to fit. */
function forge(bytes: Uint8Array, part: 'header' | 'trailer', place: number, value: bigint): Uint8Array {
  const forged = bytes.slice()
  const view = new DataView(forged.buffer)
  if (part === 'header') {
    view.setUint32(place, Number(value), true)
    view.setUint32(at.headerChecksum, crc32c(forged, 0, 0, at.headerChecksum), true)
  } else {
    const trailer = bytes.length - 28
    view.setBigUint64(trailer + place, value, true)
    view.setUint32(bytes.length - 4, crc32c(forged, 0, trailer, bytes.length - 4), true)
  }
  return forged
}

function withByte(bytes: Uint8Array, place: number): Uint8Array {
  return bytes.map((byte, i) => (i === place ? byte ^ 0x40 : byte))
}

test('each damage has its words: when the store opens, and when a file that was listed is loaded', async () => {
  const source = await open(createDisk())
  const whole = await bytesOf(source, await save(source, 7))
  const size = whole.length
  const tooLarge = whole.slice()
  new DataView(tooLarge.buffer).setUint32(at.firstChunk, 0x7fff_ffff, true)
  // What was done to the file | what opening says (undefined: it looks at the two ends only) | what loading says
  const damages: readonly [Uint8Array, string | undefined, string][] = [
    [whole.slice(0, 10), 'it is shorter than a header', 'the header is cut short'],
    [whole.slice(0, 70), 'it is shorter than header and trailer', 'the header is cut short'],
    [withByte(whole, 0), 'it does not begin as a snapshot', 'the header is another one'],
    [
      withByte(whole, at.headerSize + 3),
      'it states a header of 1073741933 bytes',
      'the header is another one',
    ],
    [withByte(whole, at.firstVoter), 'the checksum of its header is wrong', 'the header is another one'],
    [
      forge(whole, 'header', at.contextSize, 9n),
      'its header cannot be read: 9 bytes wanted, 5 left',
      'the header is another one',
    ],
    [whole.slice(0, 838), 'it does not end with a trailer', 'it is cut short'],
    [whole.slice(0, 70_000), 'it does not end with a trailer', 'a chunk is cut short'],
    [tooLarge, undefined, 'a chunk of 2147483647 bytes is too large'],
    [withByte(whole, 70_000), undefined, 'the checksum of a chunk is wrong'],
    [whole.slice(0, size - 10), 'it does not end with a trailer', 'the trailer is cut short'],
    [withByte(whole, size - 1), 'it does not end with a trailer', 'the trailer is damaged'],
    [forge(whole, 'trailer', 4, 2n ** 60n), 'its trailer cannot be read', 'the trailer is damaged'],
    [
      forge(whole, 'trailer', 4, 7n),
      `its trailer states ${size - 8} bytes, it has ${size}`,
      'the trailer belongs to other chunks',
    ],
    [
      concatBytes([whole, whole.slice(size - 28)]),
      `its trailer states ${size} bytes, it has ${size + 28}`,
      'there are bytes after the end',
    ],
  ]
  for (const [bytes, whenOpened, whenLoaded] of damages) {
    const disk = createDisk()
    const store = await open(disk)
    const file = await save(store, 7)
    await replaceFile(disk, file.path, bytes)
    const logger = reasonsTold()
    assert.deepEqual(
      (await open(disk, { logger })).list().length,
      whenOpened === undefined ? 1 : 0,
      whenLoaded,
    )
    assert.deepEqual(logger.reasons, whenOpened === undefined ? [] : [whenOpened])
    await assert.rejects(contentOf(store, file), (error) => {
      assert.ok(isQuorateError(error, 'data-damaged'))
      return error.message.endsWith(`: ${whenLoaded}`) || assert.fail(`${error.message}, not: ${whenLoaded}`)
    })
    assert.equal(disk.openFiles, 0)
  }
})

test('a file under the name of another snapshot is not listed; names that are not ours are left alone', async () => {
  const disk = createDisk()
  const { path } = await save(await open(disk), 7)
  const other = path.replace('07-', '08-')
  await disk.rename(path, other)
  await replaceFile(disk, `${directory}/lost+found`, Uint8Array.of(1))
  const logger = reasonsTold()
  const store = await open(disk, { logger })
  assert.deepEqual(store.list(), [])
  assert.deepEqual(logger.reasons, ['it is stored under the name of another one'])
  await save(store, 9)
  await store.prune(1)
  assert.deepEqual((await disk.list(directory)).length, 2)
})

test('a file that shrinks while it is read is damaged, in a load and in a part', async () => {
  const disk = createDisk()
  const store = await open(disk)
  const shrink = async ({ path }: SnapshotFile): Promise<void> => {
    const file = await disk.open(path, { create: false })
    await file.truncate(100_000)
    await file.close()
  }
  const loaded = await save(store, 7)
  await assert.rejects(
    store.load(loaded, () => shrink(loaded)),
    (error) => isQuorateError(error, 'data-damaged') && error.message.endsWith(': a chunk is cut short'),
  )
  const sent = await save(store, 8)
  await shrink(sent)
  await assert.rejects(
    store.readPart(sent, 90_000, 20_000),
    (error) => isQuorateError(error, 'data-damaged') && error.message.endsWith('): it is cut short'),
  )
  assert.deepEqual(store.list(), [])
  assert.equal(disk.openFiles, 0)
})

test('the newest is damaged: it leaves the list, the older one is next, and pruning spares it', async () => {
  const disk = createDisk()
  const store = await open(disk)
  await save(store, 10)
  const newest = await save(store, 20)
  disk.rot(newest.path, { first: 70_000, end: 70_001 })
  await assert.rejects(contentOf(store, newest), (error) => isQuorateError(error, 'data-damaged'))
  assert.deepEqual(indexes(store), [10])
  await store.prune(1)
  const [older] = store.list()
  assert.ok(older !== undefined)
  assert.deepEqual(await contentOf(store, older), expectedContent(10))
})

test('files of another cluster or of a later format are refused, those of another group are not ours', async () => {
  const disk = createDisk()
  const { path } = await save(await open(disk), 7)
  await assert.rejects(open(disk, { clusterId: 0xc2n }), (error) =>
    isQuorateError(error, 'data-wrong-cluster'),
  )
  const other = await open(disk, { group: 1 })
  assert.deepEqual(other.list(), [])
  await other.prune(1)
  assert.deepEqual(indexes(await open(disk)), [7])
  const file = await disk.open(path, { create: false })
  await file.write(8, [Uint8Array.of(2)])
  await file.close()
  await assert.rejects(open(disk), (error) => isQuorateError(error, 'format-unsupported'))
})

test('a transfer makes the same file, and goes on where the checksums prove it stands', async () => {
  const source = await open(createDisk())
  const sent = await save(source, 50)
  const bytes = await bytesOf(source, sent)
  for (let round = 0; round < 8; round++) {
    const random = new SeededRandom(seed + round)
    const disk = createSimulatedDisk({ random })
    const before = await open(disk.mount())
    const receiver = await before.beginReceive(markAt(50), bytes.length)
    assert.equal(receiver.receivedBytes, 0)
    const came = random.between(0, bytes.length)
    await feed(receiver, bytes, came)
    disk.crash()
    const store = await open(disk)
    const resumed = await store.beginReceive(markAt(50), bytes.length)
    assert.ok(resumed.receivedBytes <= came, `${resumed.receivedBytes} of ${came}`)
    await feed(resumed, bytes)
    const file = await resumed.finish()
    assert.deepEqual(await contentOf(store, file), expectedContent(50))
    assert.equal(hexFromBytes(await bytesOf(store, file)), hexFromBytes(bytes))
  }
})

test('an attempt given up goes on after its last whole chunk, only with the same mark and size', async () => {
  const source = await open(createDisk())
  const bytes = await bytesOf(source, await save(source, 50))
  const store = await open(createDisk())
  const first = await store.beginReceive(markAt(50), bytes.length)
  await feed(first, bytes, 100_000)
  await first.abandon()
  await first.abandon()
  const other = await store.beginReceive(markAt(50), bytes.length + 1)
  assert.equal(other.receivedBytes, 0)
  await other.abandon()
  const again = await store.beginReceive(markAt(50), bytes.length)
  // Header 68 + 4 ids + context + checksum, then the chunks of 1, 0, 700, 65536 and 3 bytes.
  assert.equal(again.receivedBytes, 68 + 32 + 5 + 4 + 5 * 8 + 1 + 700 + 65536 + 3)
  await assert.rejects(again.write(0, bytes.slice(0, 10)), (error) =>
    isQuorateError(error, 'invalid-argument'),
  )
  await assert.rejects(again.finish(), (error) => isQuorateError(error, 'invalid-argument'))
  const tooMuch = new Uint8Array(bytes.length)
  await assert.rejects(again.write(again.receivedBytes, tooMuch), (error) =>
    isQuorateError(error, 'invalid-argument'),
  )
  await feed(again, bytes)
  assert.deepEqual(await contentOf(store, await again.finish()), expectedContent(50))
  // It is here now: a further attempt has nothing to send.
  const done = await store.beginReceive(markAt(50), bytes.length)
  assert.equal(done.receivedBytes, bytes.length)
  assert.deepEqual((await done.finish()).mark, markAt(50))
  await assert.rejects(done.write(0, bytes), (error) => isQuorateError(error, 'invalid-argument'))
  await done.abandon()
})

test('what is here already is checked before it counts; when it is damaged the next attempt brings it again', async () => {
  const disk = createDisk()
  const store = await open(disk)
  const { path, sizeBytes } = await save(store, 50)
  disk.rot(path, { first: 70_000, end: 70_001 })
  const present = await store.beginReceive(markAt(50), sizeBytes)
  await assert.rejects(present.finish(), (error) => isQuorateError(error, 'data-damaged'))
  assert.deepEqual(await disk.list(directory), [])
  assert.equal((await store.beginReceive(markAt(50), sizeBytes)).receivedBytes, 0)
})

test('an attempt that cannot be taken up leaves nothing open, and one that holds too much begins anew', async () => {
  const source = await open(createDisk())
  const bytes = await bytesOf(source, await save(source, 50))
  const disk = createDisk()
  const store = await open(disk)
  const first = await store.beginReceive(markAt(50), bytes.length)
  await feed(first, bytes, 100_000)
  await first.abandon()
  disk.failNext({ operation: 'read' })
  await assert.rejects(store.beginReceive(markAt(50), bytes.length), (error) =>
    isQuorateError(error, 'disk-failed'),
  )
  assert.equal(disk.openFiles, 0)
  const [name = ''] = await disk.list(directory)
  const smaller = name.replace(
    /[0-9a-f]{16}\.receiving$/,
    `${(1000).toString(16).padStart(16, '0')}.receiving`,
  )
  await disk.rename(`${directory}/${name}`, `${directory}/${smaller}`)
  assert.equal((await store.beginReceive(markAt(50), 1000)).receivedBytes, 0)
})

test('a sender may go while its part is being written; a large snapshot is synced on its way', async () => {
  const disk = createDisk()
  const store = await open(disk)
  const large = Array.from({ length: 9 }, () => new Uint8Array(1024 * 1024))
  const syncs = disk.countOf('sync')
  const file = await save(store, 50, large)
  assert.equal(disk.countOf('sync') - syncs, 2)
  const bytes = await bytesOf(store, file)
  const target = createDisk()
  const receiver = await (await open(target)).beginReceive(markAt(50), bytes.length)
  await receiver.write(0, bytes.slice(0, 8 * 1024 * 1024))
  assert.equal(target.countOf('sync'), 1)
  const written = receiver.write(receiver.receivedBytes, bytes.slice(receiver.receivedBytes))
  await receiver.abandon()
  await written
  assert.equal(target.openFiles, 0)
})

test('of two snapshots at one index the one of the later term is newer', async () => {
  const store = await open(createDisk())
  for (const term of [4, 3]) {
    const { end, ...rest } = markAt(10)
    await store.save({ ...rest, end: { ...end, term } }, () => undefined)
  }
  assert.deepEqual(
    store.list().map(({ mark }) => mark.end.term),
    [4, 3],
  )
})

test('bytes that are not those of the mark are removed, and the transfer begins again', async () => {
  const source = await open(createDisk())
  const bytes = await bytesOf(source, await save(source, 50))
  const disk = createDisk()
  const store = await open(disk)
  for (const at of [20, 200, 70_000, bytes.length - 1]) {
    const wrong = bytes.slice()
    wrong[at] = (wrong[at] ?? 0) ^ 1
    const receiver = await store.beginReceive(markAt(50), bytes.length)
    assert.equal(receiver.receivedBytes, 0)
    await feed(receiver, wrong)
    await assert.rejects(receiver.finish(), (error) => isQuorateError(error, 'data-damaged'))
    assert.deepEqual(await disk.list(directory), [])
  }
  assert.equal(disk.openFiles, 0)
})

test('pruning spares what is read, or was a minute ago, and what is being written', async () => {
  const disk = createDisk()
  const time = createTime()
  const store = await open(disk, { time })
  const old = await save(store, 10)
  await save(store, 20)
  // A transfer between two parts.
  await store.readPart(old, 0, 1000)
  await store.prune(1)
  assert.deepEqual(indexes(store), [20, 10])
  time.now += 59_000
  await store.prune(1)
  assert.equal((await store.readPart(old, 1000, 1000)).length, 1000)
  // A load that takes long.
  let isPruned = false
  await store.load(old, async () => {
    time.now += 100_000
    await store.prune(1)
    isPruned = true
  })
  assert.ok(isPruned)
  assert.deepEqual(indexes(store), [20, 10])
  const receiver = await store.beginReceive(markAt(15), 1000)
  time.now += 60_000
  await store.prune(1)
  assert.deepEqual(indexes(store), [20])
  assert.equal((await disk.list(directory)).length, 2, 'the snapshot and the file being received')
  await assert.rejects(store.readPart(old, 0, 10), (error) => isQuorateError(error, 'file-not-found'))
  // Given up and older than what is here: of no use.
  await receiver.abandon()
  await store.prune(1)
  assert.equal((await disk.list(directory)).length, 1)
})

test('pruning spares a file that has its name and is not on the list yet', async () => {
  const disk = createDisk()
  // A prune comes while the directory is synced, after the rename.
  let prune = (): Promise<void> => Promise.resolve()
  const { syncDirectory } = disk
  disk.syncDirectory = async (path) => {
    await syncDirectory.call(disk, path)
    await prune()
  }
  const store = await open(disk)
  await save(store, 10)
  prune = async () => {
    prune = () => Promise.resolve()
    await store.prune(1)
  }
  await save(store, 20)
  assert.deepEqual(indexes(store), [20, 10])
  assert.deepEqual(await contentOf(store, store.list()[0] as SnapshotFile), expectedContent(20))
})

test('pruning spares what is needed, however many are newer', async () => {
  const disk = createDisk()
  const store = await open(disk)
  for (const index of [10, 20, 30, 40]) await save(store, index)
  await store.prune(2, ({ end }) => end.index === 10)
  assert.deepEqual(indexes(store), [40, 30, 10])
  assert.equal((await disk.list(directory)).length, 3)
  await store.prune(2)
  assert.deepEqual(indexes(store), [40, 30])
})

test('a failed write or sync ends the save, gives the space back, and leaves the older snapshot', async () => {
  for (const operation of ['write', 'sync', 'rename', 'syncDirectory'] as const) {
    const disk = createDisk()
    const store = await open(disk)
    await save(store, 10)
    disk.failNext({ operation })
    await assert.rejects(save(store, 20), (error) => isQuorateError(error, 'disk-failed'), operation)
    assert.deepEqual(indexes(store), [10])
    assert.ok(!(await disk.list(directory)).some((name) => name.endsWith('.saving')), operation)
    assert.equal(disk.openFiles, 0)
    assert.deepEqual(disk.misuse, [])
  }
  const disk = createDisk()
  const logger = reasonsTold()
  const store = await open(disk, { logger })
  await save(store, 10)
  disk.failNext({ operation: 'rename' })
  disk.failNext({ operation: 'remove', nth: 2 })
  await assert.rejects(save(store, 20), (error) => isQuorateError(error, 'disk-failed'))
  assert.equal(logger.reasons.length, 1, 'what could not be removed is told')
  disk.setFaults({ bytesMax: 400_000 })
  await assert.rejects(save(store, 20), (error) => isQuorateError(error, 'disk-full'))
  disk.setFaults({})
  await save(store, 20)
  assert.deepEqual(indexes(store), [20, 10])
  await assert.rejects(
    store.save(markAt(30), () => {
      throw new Error('the state machine failed')
    }),
    /state machine failed/,
  )
  assert.equal((await disk.list(directory)).length, 2)
})

test('the bytes of the format, as docs/formats/snapshot.md shows them', async () => {
  const disk = createDisk()
  const store = await openSnapshotStore({
    disk,
    time: createTime(),
    logger: silentLogger,
    directory,
    clusterId: 0x0102030405060708n,
    group: 0,
  })
  const mark: SnapshotMark = {
    end: { index: 258, term: 3, chain: 0xaabbccdd },
    configuration: { voters: [1n], outgoing: [], learners: [], context: utf8Encode('c') },
    configurationIndex: 1,
  }
  const chunks = [utf8Encode('hello'), utf8Encode('!')]
  const file = await store.save(mark, () => chunks.shift())
  assert.equal(file.path, `${directory}/00000000-0000000000000102-0000000000000003.snapshot`)
  const example = [
    '51554f52534e4150 0100 0000 51000000 0807060504030201 00000000 ddccbbaa',
    '0201000000000000 0300000000000000 0100000000000000 0100 0000 0000 0000 01000000',
    '0100000000000000 63 bfa9f400',
    '05000000 e2034fb1 68656c6c6f',
    '01000000 f8e205dc 21',
    'ffffffff 0200000000000000 0600000000000000 f8e205dc fe318e26',
  ]
  assert.equal(hexFromBytes(await bytesOf(store, file)), example.join('').replaceAll(' ', ''))
})
