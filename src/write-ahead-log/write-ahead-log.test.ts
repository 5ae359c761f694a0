import assert from 'node:assert/strict'
import test from 'node:test'
import { isQuorateError, QuorateError, SeededRandom } from '../base/index.ts'
import type { Disk, DiskFile } from '../io/index.ts'
import { entryKind } from '../raft/index.ts'
import { recordKind } from './record.ts'
import {
  createDisk,
  directory,
  endOf,
  entriesAfter,
  logStart,
  open,
  powerCut,
  readAll,
  segmentPaths,
  Writer,
} from './testing/harness.ts'

const tiny = { segmentBytesMax: 1024 }
const isFull = (error: unknown): boolean => isQuorateError(error, 'disk-full')

test('the record kinds of entries are those of raft', () => {
  const { noop, command, configuration } = recordKind
  assert.deepEqual({ noop, command, configuration }, entryKind)
})

test('64 writers at once need far fewer durable writes than they make writes', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), { segmentBytesMax: 1024 * 1024 })
  const groups = Array.from({ length: 64 }, (_, group) => new Writer(log, group))
  for (const writer of groups) await writer.append(0)
  const before = log.gauges.durableWrites
  const diskWrites = disk.countOf('write')
  const order: number[] = []
  await Promise.all(
    groups.map(async (writer, i) => {
      for (let round = 0; round < 20; round++) {
        await writer.append(1)
        if (round === 0) order.push(i)
      }
    }),
  )
  const writes = log.gauges.durableWrites - before
  assert.ok(writes <= 40, `${writes} durable writes for 1280 writes`)
  assert.equal(log.gauges.durableWrites - before, disk.countOf('write') - diskWrites, 'each batch is one hop')
  assert.deepEqual(
    order,
    [...order].sort((left, right) => left - right),
    'resolved in the order of the calls',
  )
  assert.equal(log.gauges.recordsWritten, 1280)
  assert.equal(log.gauges.queuedBytes, 0)
})

test('what waits is counted', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  const done = Promise.all([writer.append(2), writer.append(1)])
  assert.equal(log.gauges.queuedBytes, 3 * 68)
  await done
  assert.equal(log.gauges.queuedBytes, 0)
})

test('tiny segments: 10^5 entries, names in order, reads across three boundaries exact', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), { segmentBytesMax: 8192 })
  const writer = new Writer(log)
  const random = new SeededRandom(3)
  while (writer.end.index < 100_000)
    await writer.append(random.between(1, 40), { size: random.between(0, 60) })
  const paths = segmentPaths(disk)
  assert.equal(paths.length, log.gauges.segments)
  const bytes = writer.entries.reduce((sum, { payload }) => sum + payload.length + 48, 0)
  assert.ok(paths.length >= bytes / 8192 && paths.length < (1.5 * bytes) / 8192, `${paths.length} files`)
  assert.deepEqual(
    paths.map((path) => path.slice(directory.length + 1)),
    paths.map((_, i) => `${(i + 1).toString(16).padStart(16, '0')}.wal`),
  )
  const check = async (from: typeof log): Promise<void> => {
    for (let i = 0; i < 50; i++) {
      const first = random.between(1, 99_000)
      const end = first + random.between(500, 1000)
      const { previous, entries } = await from.read(0, first, end, 10_000_000)
      assert.deepEqual(entries, writer.entries.slice(first - 1, end - 1))
      assert.deepEqual(previous, endOf(writer.entries.slice(0, first - 1)))
    }
  }
  await check(log)
  powerCut(disk)
  const reopened = await open(disk.mount(), { segmentBytesMax: 8192 })
  assert.deepEqual(reopened.recovered[0]?.end, writer.end)
  await check(reopened)
})

test('a read gives at least one entry, then up to the bytes, and names what is not there', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  await writer.append(20)
  assert.equal((await log.read(0, 4, 21, 0)).entries.length, 1)
  assert.equal((await log.read(0, 4, 21, 68 * 5)).entries.length, 5)
  assert.equal((await log.read(0, 4, 8, 100_000)).entries.length, 4)
  assert.equal(
    (await log.read(0, 18, 90, 100_000)).entries.length,
    3,
    'what is not durable yet is not there yet',
  )
  for (const [group, first, end] of [
    [0, 21, 22],
    [0, 5, 5],
    [9, 1, 2],
  ] as const) {
    await assert.rejects(log.read(group, first, end, 10), (error) =>
      isQuorateError(error, 'log-index-out-of-range'),
    )
  }
  await log.release(0, endOf(writer.entries.slice(0, 7)))
  await assert.rejects(log.read(0, 7, 9, 10), (error) => isQuorateError(error, 'log-released'))
  assert.deepEqual((await log.read(0, 8, 9, 10)).previous, endOf(writer.entries.slice(0, 7)))
})

test('a read from far back takes few reads of the disk, however the log was written', async () => {
  const disk = createDisk().mount()
  let reads = 0
  const counting: Disk = {
    ...disk,
    open: async (path, options) => {
      const file = await disk.open(path, options)
      const read: DiskFile['read'] = (position, target) => {
        reads++
        return file.read(position, target)
      }
      return { ...file, read }
    },
  }
  const log = await open(counting, { segmentBytesMax: 4 * 1024 * 1024 })
  const writer = new Writer(log)
  for (let i = 0; i < 150; i++) await writer.append(10, { size: 1_000 })
  reads = 0
  const { entries } = await log.read(0, 200, 1_500, 1024 * 1024)
  assert.deepEqual(entries, writer.entries.slice(199, 199 + entries.length))
  assert.ok(entries.length > 900 && reads <= 4, `${reads} reads for ${entries.length} entries`)
})

test('an entry larger than a segment gets a segment of its own size', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const writer = new Writer(log)
  await writer.append(2)
  await writer.append(1, { size: 300_000 })
  await writer.append(2)
  assert.equal(log.gauges.segments, 3)
  powerCut(disk)
  const reopened = await open(disk.mount(), tiny)
  assert.deepEqual(await readAll(reopened, 0, 1, 5), writer.entries)
})

test('a cut that reaches two segments back holds after a restart', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const writer = new Writer(log)
  for (let i = 0; i < 45; i++) await writer.append(1)
  assert.equal(log.gauges.segments, 4)
  await writer.write(3, 17, { term: 2 })
  assert.deepEqual(await readAll(log, 0, 1, 20), writer.entries)
  await writer.write(0, 18)
  await writer.append(30)
  assert.deepEqual(await readAll(log, 0, 1, 48), writer.entries)
  disk.crash('nothing')
  const reopened = await open(disk.mount(), tiny)
  assert.deepEqual(reopened.recovered[0]?.end, writer.end)
  assert.deepEqual(await readAll(reopened, 0, 1, 48), writer.entries)
})

test('killed again and again while it rolls, it has no gap and no empty or doubled index', async () => {
  const disk = createDisk()
  const random = new SeededRandom(11)
  let known = logStart
  let rolls = 0
  for (let life = 0; life < 60; life++) {
    const mounted = disk.mount()
    let acknowledged = 0
    const work = async (): Promise<void> => {
      const log = await open(mounted, tiny)
      const end = log.recovered[0]?.end ?? logStart
      assert.ok(end.index >= known.index)
      await readAll(log, 0, 1, end.index)
      known = end
      disk.haltAt(disk.operationCount + random.between(1, 25))
      for (let i = 0; i < 200; i++) {
        const segments = log.gauges.segments
        const entries = entriesAfter(known, 3)
        const hardState = { term: 1, vote: 0n, commit: 0 }
        await log.write({ group: 0, hardState, truncateAfter: undefined, entries })
        known = endOf(entries)
        acknowledged++
        rolls += log.gauges.segments - segments
      }
    }
    assert.equal(await Promise.race([work(), disk.halted]), 'halted', `${acknowledged} writes`)
    if (life % 2 === 0) disk.kill()
    else disk.crash()
  }
  assert.ok(rolls > 20, `${rolls} rolls`)
})

test('several groups share the journal: each reads its own, each cut is its own', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), { segmentBytesMax: 4096 })
  const random = new SeededRandom(5)
  const writers = [0, 3, 4, 0xffff_fffe].map((group) => new Writer(log, group))
  for (let round = 0; round < 150; round++) {
    await Promise.all(
      writers.map((writer) => {
        if (!random.chance(0.1)) return writer.append(random.between(0, 4), { size: random.between(0, 50) })
        return writer.write(1, random.between(0, writer.end.index + 1), { term: writer.term + 1 })
      }),
    )
  }
  powerCut(disk)
  const reopened = await open(disk.mount(), { segmentBytesMax: 4096 })
  assert.deepEqual(
    reopened.recovered.map(({ group, end, hardState }) => ({ group, end, term: hardState.term })),
    writers.map(({ group, end, term }) => ({ group, end, term })),
  )
  for (const { group, entries, end } of writers) {
    assert.deepEqual(await readAll(reopened, group, 1, end.index), entries)
  }
})

test('released segments go, oldest first, once every group has passed them', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const [one, other] = [new Writer(log, 1), new Writer(log, 2)]
  await other.append(1)
  for (let i = 0; i < 60; i++) await one.append(1)
  const before = log.gauges.segments
  await log.release(1, endOf(one.entries.slice(0, 50)))
  assert.equal(log.gauges.segments, before, 'the other group still needs the first segment')
  await log.release(2, other.end)
  assert.ok(log.gauges.segments <= 2, `${log.gauges.segments} segments are left`)
  await log.close()
  assert.equal(segmentPaths(disk).length, log.gauges.segments)
  disk.crash('nothing')
  const reopened = await open(disk.mount(), tiny)
  assert.deepEqual(
    reopened.recovered.map(({ base, end }) => [base, end]),
    [
      [endOf(one.entries.slice(0, 50)), one.end],
      [other.end, other.end],
    ],
  )
  assert.deepEqual(await readAll(reopened, 1, 51, 60), one.entries.slice(50))
  const next = entriesAfter(other.end, 3, { group: 2 })
  await reopened.write({ group: 2, hardState: undefined, truncateAfter: undefined, entries: next })
  assert.deepEqual(await readAll(reopened, 2, 2, 4), next)
})

test('a log that is released as it grows stays within a bound', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), { segmentBytesMax: 4096 })
  const writer = new Writer(log)
  let most = 0
  for (let i = 0; i < 300; i++) {
    await writer.append(10)
    await log.release(0, writer.end)
    writer.entries = []
    writer.end = { ...writer.end }
    most = Math.max(most, log.gauges.bytes)
    const after = entriesAfter(writer.end, 1)
    await log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries: after })
    writer.end = endOf(after)
  }
  assert.ok(most <= 3 * 4096, `${most} bytes`)
  await log.close()
  assert.ok(disk.paths('durable').length <= 4)
})

test('after a reset the log is empty and goes on behind its base', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const writer = new Writer(log)
  for (let i = 0; i < 40; i++) await writer.append(1)
  const base = { index: 100, term: 5, chain: 77 }
  const entries = entriesAfter(base, 2)
  await Promise.all([
    writer.append(1),
    log.reset(0, base, { term: 5, vote: 0n, commit: 100 }),
    log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries }),
  ])
  assert.equal(log.gauges.segments, 1, 'nothing of the old log is kept')
  const check = async (from: typeof log): Promise<void> => {
    assert.deepEqual(await from.read(0, 101, 103, 1000), { previous: base, entries })
    await assert.rejects(from.read(0, 100, 102, 1000), (error) => isQuorateError(error, 'log-released'))
  }
  await check(log)
  disk.crash('nothing')
  const reopened = await open(disk.mount(), tiny)
  const { hardState, base: found, end } = reopened.recovered[0] ?? {}
  assert.deepEqual(
    { hardState, found, end },
    {
      hardState: { term: 5, vote: 0n, commit: 100 },
      found: base,
      end: endOf(entries),
    },
  )
  await check(reopened)
})

test('a reset that was lost to rot is known to be lost', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  await writer.append(2)
  await log.reset(0, { index: 1000, term: 1, chain: 5 }, undefined)
  powerCut(disk)
  const at = 52 + 2 * 68
  disk.rot(segmentPaths(disk)[0] ?? '', { first: at + 9, end: at + 10 })
  await assert.rejects(open(disk.mount()), (error) => isQuorateError(error, 'data-damaged'))
})

test('a term and a vote are durable before the entries that came with them', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  await log.write({
    group: 0,
    hardState: { term: 3, vote: 2n, commit: 0 },
    truncateAfter: undefined,
    entries: [],
  })
  let sawVoteFirst = false
  for (let k = 1; ; k++) {
    const other = createDisk(k)
    const opened = await open(other.mount())
    other.haltAt(other.operationCount + k)
    const outcome = await Promise.race([new Writer(opened).append(2, { term: 4 }), other.halted])
    other.crash('everything')
    const { hardState, end } = (await open(other.mount())).recovered[0] ?? { end: logStart }
    if (end.index > 0) assert.equal(hardState?.term, 4)
    if (end.index === 0 && hardState?.term === 4) sawVoteFirst = true
    if (outcome !== 'halted') break
  }
  assert.ok(sawVoteFirst)
  disk.crash('nothing')
  assert.deepEqual((await open(disk.mount())).recovered[0]?.hardState, { term: 3, vote: 2n, commit: 0 })
})

test('a commit index that is ahead of the durable entries is saved only as far as these reach', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const entries = entriesAfter(logStart, 3)
  await log.write({
    group: 0,
    hardState: { term: 1, vote: 0n, commit: 9 },
    truncateAfter: undefined,
    entries,
  })
  await log.close()
  assert.equal((await open(disk.mount())).recovered[0]?.hardState.commit, 3)
})

test('what was released was committed: a recovered commit index is not below the base', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  await writer.append(3)
  await log.release(0, endOf(writer.entries.slice(0, 2)))
  powerCut(disk)
  assert.equal((await open(disk.mount())).recovered[0]?.hardState.commit, 2)
})

test('a full disk at a roll: writes fail by name, reads work, and it goes on once there is space', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const writer = new Writer(log)
  disk.setFaults({ bytesMax: 4096 })
  let acknowledged = logStart
  const refusals: unknown[] = []
  for (let i = 0; i < 60 && refusals.length === 0; i++) {
    await writer.append(1).then(
      () => {
        acknowledged = writer.end
      },
      (error: unknown) => refusals.push(error),
    )
  }
  assert.ok(refusals.every(isFull) && refusals.length === 1)
  const kept = writer.entries.slice(0, acknowledged.index)
  assert.deepEqual(await readAll(log, 0, 1, acknowledged.index), kept)
  const next = entriesAfter(acknowledged, 4)
  const write = (entries: typeof next) =>
    log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries })
  // The second builds on the first: it must not be taken when the first was not.
  const outcomes = await Promise.allSettled([write(next.slice(0, 3)), write(next.slice(3))])
  for (const outcome of outcomes) assert.ok(outcome.status === 'rejected' && isFull(outcome.reason))
  await assert.rejects(write(next.slice(3)), isFull)
  disk.setFaults({})
  await write(next.slice(0, 2))
  await write(next.slice(2))
  assert.deepEqual(await readAll(log, 0, 1, acknowledged.index + 4), [...kept, ...next])
  disk.crash('nothing')
  const reopened = await open(disk.mount(), tiny)
  assert.deepEqual(reopened.recovered[0]?.end, endOf(next))
  assert.deepEqual(await readAll(reopened, 0, 1, acknowledged.index + 4), [...kept, ...next])
})

test('a full disk in the middle of a write: what came through of it never shows once the log went on', async () => {
  for (const failures of [1, 2]) {
    const disk = createDisk()
    const full = { left: 0 }
    const log = await open(fillingDisk(disk.mount(), full))
    const writer = new Writer(log)
    await writer.append(3)
    full.left = failures
    const acknowledged = writer.end
    for (let i = 0; i < failures; i++) {
      const refused = entriesAfter(acknowledged, 10)
      const write = log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries: refused })
      await assert.rejects(write, isFull)
    }
    // One record of the same size: the second refused one would follow on it.
    const next = entriesAfter(acknowledged, 1)
    await log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries: next })
    disk.crash('nothing')
    const reopened = await open(disk.mount())
    assert.deepEqual(reopened.recovered[0]?.end, endOf(next))
    assert.equal(reopened.recovered[0]?.cutEnd, undefined)
  }
})

/** Writes to segments fail for lack of space `left` times, after the disk has taken all of the bytes or half of them. */
function fillingDisk(disk: Disk, full: { left: number }): Disk {
  const wrap = (file: DiskFile): DiskFile => ({
    ...file,
    write: async (position, parts) => {
      if (full.left === 0) return file.write(position, parts)
      full.left--
      const bytes = new Uint8Array(Buffer.concat(parts))
      await file.write(position, [full.left === 0 ? bytes : bytes.subarray(0, bytes.length / 2)])
      throw new QuorateError('disk-full', 'no space left')
    },
  })
  return { ...disk, open: async (path, options) => wrap(await disk.open(path, options)) }
}

test('writes and reads end with a name once the log is closed', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  const last = writer.append(3)
  await Promise.all([log.close(), log.close(), last])
  await assert.rejects(
    log.write({ group: 0, hardState: undefined, truncateAfter: undefined, entries: [] }),
    (error) => isQuorateError(error, 'stopped'),
  )
  await assert.rejects(log.read(0, 1, 2, 1), (error) => isQuorateError(error, 'stopped'))
  assert.equal(disk.openFiles, 0)
  assert.deepEqual((await open(disk.mount())).recovered[0]?.end, writer.end)
})

test('a read that has begun sees the log as it was, whatever is cut or released meanwhile', async () => {
  const disk = createDisk()
  const log = await open(disk.mount(), tiny)
  const writer = new Writer(log)
  for (let i = 0; i < 40; i++) await writer.append(1)
  const old = writer.entries
  const [read] = await Promise.all([log.read(0, 5, 41, 1_000_000), writer.write(2, 30, { term: 2 })])
  assert.deepEqual(read.entries, old.slice(4))
  const outcome = log.read(0, 2, 20, 1_000_000).then(
    ({ entries }) => assert.deepEqual(entries, old.slice(1, 19)),
    (error: unknown) => assert.ok(isQuorateError(error, 'log-released'), String(error)),
  )
  await Promise.all([outcome, log.release(0, endOf(old.slice(0, 29)))])
})

test('what recovery would refuse is refused when it is written', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  await writer.append(3)
  const write = (entries: ReturnType<typeof entriesAfter>, truncateAfter?: number) =>
    log.write({ group: 0, hardState: undefined, truncateAfter, entries })
  const [next] = entriesAfter(writer.end, 1)
  assert.ok(next !== undefined)
  await assert.rejects(write(entriesAfter({ ...writer.end, index: 4 }, 1)), /no gap/)
  await assert.rejects(write(entriesAfter(writer.end, 1, { term: 2 })), /term/)
  await assert.rejects(write([{ ...next, chain: next.chain + 1 }]), /chain/)
  await assert.rejects(write([{ ...next, payloadChecksum: 1 }]), /checksum/)
  await log.release(0, endOf(writer.entries.slice(0, 2)))
  await assert.rejects(write([], 1), /never cut/)
  await write([next])
  assert.deepEqual(await readAll(log, 0, 3, 4), [...writer.entries.slice(2), next])
})
