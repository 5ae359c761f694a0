import assert from 'node:assert/strict'
import test from 'node:test'
import { crc32c, isQuorateError, SeededRandom } from '../base/index.ts'
import type { SimulatedDisk } from '../simulator/disk.ts'
import { openWriteAheadLog, type WriteAheadLog } from './index.ts'
import {
  createDisk,
  directory,
  endOf,
  entriesAfter,
  firstHeaderBytes,
  logStart,
  newestSegment,
  open,
  overwrite,
  powerCut,
  recordBytes,
  segmentPaths,
  Writer,
} from './testing/harness.ts'

const hardStatePath = `${directory}/hard-state`

async function written(
  disk: SimulatedDisk,
  batches: readonly number[],
  options: Parameters<typeof open>[1] = {},
): Promise<{ writer: Writer; log: WriteAheadLog }> {
  const log = await open(disk.mount(), options)
  const writer = new Writer(log)
  for (const count of batches) await writer.append(count)
  return { writer, log }
}

async function refusal(
  disk: SimulatedDisk,
  code: Parameters<typeof isQuorateError>[1],
  text: RegExp,
): Promise<void> {
  await assert.rejects(open(disk.mount()), (error) => {
    assert.ok(isQuorateError(error, code ?? 'data-damaged'), String(error))
    assert.match(error.message, text)
    return true
  })
  assert.equal(disk.openFiles, 0, 'nothing stays open after a refusal')
}

test('a flipped byte in a record before the last batch is rot: the open names file and bytes', async () => {
  for (let offset = 0; offset < recordBytes; offset++) {
    const disk = createDisk(offset)
    await written(disk, [3, 1])
    powerCut(disk)
    const first = firstHeaderBytes + recordBytes
    const path = newestSegment(disk)
    disk.rot(path, { first: first + offset, end: first + offset + 1 })
    await refusal(
      disk,
      'data-damaged',
      new RegExp(`${path}, bytes \\[${first}, ${first + recordBytes}\\).*backup`),
    )
  }
})

test('a flipped byte in the last batch is a tail: cut, and remembered', async () => {
  const disk = createDisk()
  const { writer } = await written(disk, [3, 4])
  powerCut(disk)
  const at = firstHeaderBytes + 5 * recordBytes
  disk.rot(newestSegment(disk), { first: at, end: at + 1 })
  const [group] = (await open(disk.mount())).recovered
  assert.deepEqual(group?.end, endOf(writer.entries.slice(0, 5)))
  assert.ok((group?.cutEnd ?? 0) >= 7)
})

test('a flipped byte in the last batch is rot once the hard state carries a later mark', async () => {
  for (const later of ['close', 'vote'] as const) {
    const disk = createDisk()
    const { log } = await written(disk, [3, 4])
    if (later === 'close') await log.close()
    else {
      const hardState = { term: 2, vote: 3n, commit: 0 }
      await log.write({ group: 0, hardState, truncateAfter: undefined, entries: [] })
    }
    powerCut(disk)
    const at = firstHeaderBytes + 5 * recordBytes
    disk.rot(newestSegment(disk), { first: at, end: at + 1 })
    await refusal(disk, 'data-damaged', /durable/)
  }
})

test("a neighbour's mark speaks for all groups: rot in one is not taken for a tail because another wrote last", async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const [one, other] = [new Writer(log, 1), new Writer(log, 2)]
  await Promise.all([one.append(3), other.append(3)])
  await other.append(1)
  powerCut(disk)
  disk.rot(newestSegment(disk), { first: firstHeaderBytes + 10, end: firstHeaderBytes + 11 })
  await refusal(disk, 'data-damaged', /durable/)
})

test('damage anywhere in the content of a closed segment is rot', async () => {
  const options = { segmentBytesMax: 1024 }
  const size = firstHeaderBytes + 14 * recordBytes
  const random = new SeededRandom(7)
  for (let run = 0; run < 60; run++) {
    const disk = createDisk(run)
    const { log } = await written(disk, new Array(30).fill(1), options)
    assert.ok(log.gauges.segments >= 2)
    powerCut(disk)
    const [path = ''] = segmentPaths(disk)
    const at = random.between(0, size)
    disk.rot(path, { first: at, end: at + 1 })
    await refusal(disk, 'data-damaged', new RegExp(path))
  }
})

test('the same for the last record of a closed segment when it was lost as a whole', async () => {
  const disk = createDisk()
  await written(disk, new Array(30).fill(1), { segmentBytesMax: 1024 })
  powerCut(disk)
  const [path = ''] = segmentPaths(disk)
  await overwrite(disk, path, firstHeaderBytes + 13 * recordBytes, new Uint8Array(recordBytes))
  await refusal(disk, 'data-damaged', /closed segment/)
})

test('a missing segment is noticed: the first, one in the middle, the newest', async () => {
  for (const which of [0, 1, 2]) {
    const disk = createDisk()
    const { log } = await written(disk, new Array(30).fill(1), { segmentBytesMax: 1024 })
    assert.equal(log.gauges.segments, 3)
    await log.close()
    await disk.remove(segmentPaths(disk)[which] ?? '')
    await disk.syncDirectory(directory)
    await refusal(disk, 'data-damaged', /missing/)
  }
})

test('an emptied directory is not taken for a new one while the votes are there, nor without them', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [3])
  await log.close()
  const segment = newestSegment(disk)
  const votes = disk.durableBytes(hardStatePath) ?? new Uint8Array(0)
  await disk.remove(hardStatePath)
  await refusal(disk, 'data-damaged', /hard-state.*missing/)
  const file = await disk.open(hardStatePath, { create: true, durableWrites: true })
  await file.write(0, [votes])
  await file.close()
  await disk.remove(segment)
  await refusal(disk, 'data-damaged', /segments/)
})

test('a segment of another log, or under the name of another, is noticed', async () => {
  const disk = createDisk()
  await written(disk, new Array(30).fill(1), { segmentBytesMax: 1024 })
  const [first = '', second = ''] = segmentPaths(disk)
  powerCut(disk)
  const other = createDisk(2)
  const log = await open(other.mount(), { segmentBytesMax: 1024 })
  const writer = new Writer(log)
  for (let i = 0; i < 30; i++) await writer.append(1, { size: 21 })
  await overwrite(disk, second, 0, other.durableBytes(second) ?? new Uint8Array(0))
  await refusal(disk, 'data-damaged', new RegExp(`${first}|${second}`))
  await overwrite(disk, second, 0, disk.durableBytes(first) ?? new Uint8Array(0))
  await refusal(disk, 'data-damaged', /name of another/)
})

test('the directory of another cluster or node is refused by name', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [3])
  await log.close()
  for (const foreign of [{ clusterId: 0xc2n }, { nodeId: 0x0bn }]) {
    await assert.rejects(open(disk.mount(), foreign), (error) => {
      assert.ok(isQuorateError(error, 'data-wrong-cluster'))
      assert.match(error.message, /00000000000000c1/)
      return true
    })
  }
  // A log that never took a hard state says it in its segment.
  const fresh = createDisk()
  await (await open(fresh.mount())).close()
  await assert.rejects(open(fresh.mount(), { nodeId: 9n }), (error) =>
    isQuorateError(error, 'data-wrong-cluster'),
  )
})

test('one copy of a hard state may rot, both may not', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [3])
  await log.write({
    group: 0,
    hardState: { term: 7, vote: 5n, commit: 0 },
    truncateAfter: undefined,
    entries: [],
  })
  await log.close()
  for (const copy of [0, 512]) {
    disk.rot(hardStatePath, { first: copy + 45, end: copy + 46 })
    const again = await open(disk.mount())
    assert.deepEqual(again.recovered[0]?.hardState, { term: 7, vote: 5n, commit: 0 })
    await again.close()
  }
  disk.rot(hardStatePath, { first: 40, end: 41 })
  disk.rot(hardStatePath, { first: 512 + 40, end: 512 + 41 })
  await refusal(disk, 'data-damaged', /both copies/)
})

test('a hard state in the place of another is none, and a group has only one', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [3])
  await log.close()
  const file = await disk.open(hardStatePath, { create: false })
  const pair = new Uint8Array(1024)
  assert.equal(await file.read(0, pair), pair.length)
  await file.close()
  await overwrite(disk, hardStatePath, 1024, pair)
  await refusal(disk, 'data-damaged', /bytes \[1024, 2048\).*both copies/)
  // The number of the place, and the checksum made to fit.
  const view = new DataView(pair.buffer)
  for (const copy of [0, 512]) {
    view.setUint32(copy + 8, 1, true)
    view.setUint32(copy + 508, crc32c(pair, 0, copy, copy + 508), true)
  }
  await overwrite(disk, hardStatePath, 1024, pair)
  await refusal(disk, 'data-damaged', /a group has two pairs of copies/)
})

test('after a crash tore one copy of a hard state, a second crash does not tear the other', async () => {
  for (const torn of [0, 512]) {
    // The open saves both copies: the power fails in the first write, then in the second.
    for (const nth of [1, 2]) {
      const disk = createDisk()
      const { log } = await written(disk, [3])
      const hardState = { term: 7, vote: 5n, commit: 0 }
      await log.write({ group: 0, hardState, truncateAfter: undefined, entries: [] })
      powerCut(disk)
      await overwrite(disk, hardStatePath, torn + 40, new Uint8Array(100).fill(1))
      await openUntilTornWrite(disk, nth)
      powerCut(disk)
      const { recovered } = await open(disk.mount())
      assert.deepEqual(recovered[0]?.hardState, hardState, `copy at ${torn} torn, then write ${nth}`)
    }
  }
})

/** Opens until the nth write to the hard state, of which only the first bytes come through. */
async function openUntilTornWrite(disk: SimulatedDisk, nth: number): Promise<void> {
  const mounted = disk.mount()
  let left = nth
  await new Promise<void>((resolve, reject) => {
    const tearing = {
      ...mounted,
      open: async (path: string, options: Parameters<typeof mounted.open>[1]) => {
        const file = await mounted.open(path, options)
        if (path !== hardStatePath) return file
        const write = async (position: number, parts: readonly Uint8Array[]): Promise<void> => {
          left--
          if (left > 0) return file.write(position, parts)
          await file.write(position, [(parts[0] ?? new Uint8Array(0)).subarray(0, 60)])
          await file.write(position + 60, [new Uint8Array(40).fill(2)])
          resolve()
          return new Promise(() => undefined)
        }
        return { ...file, write }
      },
    }
    open(tearing).then(() => reject(new Error('no write was torn')), reject)
  })
}

test('a format of the future is refused by name, in a segment and in the hard state', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [1])
  await log.close()
  const future = (bytes: Uint8Array, versionAt: number): Uint8Array => {
    const changed = bytes.slice()
    const view = new DataView(changed.buffer)
    view.setUint32(versionAt, 2, true)
    view.setUint32(changed.length - 4, crc32c(changed, 0, 0, changed.length - 4), true)
    return changed
  }
  const header = (disk.durableBytes(newestSegment(disk)) ?? new Uint8Array(0)).slice(0, firstHeaderBytes)
  await overwrite(disk, newestSegment(disk), 0, future(header, 8))
  await refusal(disk, 'format-unsupported', /segment format 2/)
  await overwrite(disk, newestSegment(disk), 0, header)
  const copy = (disk.durableBytes(hardStatePath) ?? new Uint8Array(0)).subarray(0, 512)
  await overwrite(disk, hardStatePath, 0, future(copy, 4))
  await refusal(disk, 'format-unsupported', /hard-state format 2/)
})

test('a read finds damage that came after the open, and never gives an altered value', async () => {
  const disk = createDisk()
  const { log } = await written(disk, [10])
  const at = firstHeaderBytes + 4 * recordBytes + 60
  disk.rot(newestSegment(disk), { first: at, end: at + 1 })
  await assert.rejects(log.read(0, 3, 11, 10_000), (error) => isQuorateError(error, 'data-damaged'))
  const { entries } = await log.read(0, 1, 5, 10_000)
  assert.equal(entries.length, 4)
})

test('a record that is copied to another place, or into a payload, is no record', async () => {
  const disk = createDisk()
  const { writer } = await written(disk, [2])
  powerCut(disk)
  const path = newestSegment(disk)
  const record = (disk.durableBytes(path) ?? new Uint8Array(0)).slice(
    firstHeaderBytes + recordBytes,
    firstHeaderBytes + 2 * recordBytes,
  )
  // Its mark lies before it, so the test shows that it is not believed and not that it is harmless.
  await overwrite(disk, path, firstHeaderBytes + 5 * recordBytes, record)
  const log = await open(disk.mount())
  assert.deepEqual(log.recovered[0]?.end, writer.end)
  assert.equal(log.recovered[0]?.cutEnd, writer.end.index + Math.ceil((4 * recordBytes) / 48))
})

test('random damage in the last batch: refused, or cut with a cut end that covers what is gone', async () => {
  let cut = 0
  for (let seed = 1; seed <= 150; seed++) {
    const random = new SeededRandom(seed)
    const disk = createDisk(seed)
    const log = await open(disk.mount())
    const writers = [new Writer(log, 0), new Writer(log, 1)]
    for (let i = 0; i < 3; i++)
      await Promise.all(writers.map((writer) => writer.append(random.between(1, 6))))
    const path = newestSegment(disk)
    const size = (disk.durableBytes(path) ?? new Uint8Array(0)).findLastIndex((byte) => byte !== 0) + 1
    powerCut(disk)
    const first = random.between(firstHeaderBytes, size)
    const bytes = new Uint8Array(Math.min(size - first, random.between(1, 200)))
    if (random.chance(0.5)) for (let i = 0; i < bytes.length; i++) bytes[i] = random.between(0, 256)
    await overwrite(disk, path, first, bytes)
    const reopened = await open(disk.mount()).catch((error: unknown) => {
      assert.ok(isQuorateError(error, 'data-damaged'), String(error))
      return undefined
    })
    if (reopened === undefined) continue
    for (const [i, writer] of writers.entries()) {
      const { end, cutEnd } = reopened.recovered[i] ?? { end: logStart, cutEnd: undefined }
      if (end.index === writer.end.index) continue
      cut++
      assert.ok(
        (cutEnd ?? 0) >= writer.end.index,
        `seed ${seed}: ${writer.end.index} gone, cut end ${cutEnd}`,
      )
    }
  }
  assert.ok(cut > 10, `only ${cut} cuts`)
})

test('a group that is known only from behind the hole has a cut end too', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const hardState = { term: 1, vote: 1n, commit: 0 }
  const write = (group: number) =>
    log.write({ group, hardState, truncateAfter: undefined, entries: entriesAfter(logStart, 3, { group }) })
  await Promise.all([write(1), write(2)])
  powerCut(disk)
  await overwrite(disk, newestSegment(disk), firstHeaderBytes, new Uint8Array(recordBytes))
  await overwrite(disk, hardStatePath, 0, new Uint8Array(2048))
  const { recovered } = await openWriteAheadLog({
    disk: disk.mount(),
    directory,
    clusterId: 0xc1n,
    nodeId: 0x0an,
    segmentBytesMax: 64 * 1024,
    entryBytesMax: 1024,
    time: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      startTimer: () => ({ cancel: () => undefined }),
      yieldTurn: async () => undefined,
      yieldBulkTurn: async () => undefined,
    },
    logger: { log: () => undefined },
  })
  assert.deepEqual(
    recovered.map(({ group, end, cutEnd }) => ({ group, end: end.index, cutEnd })),
    [
      { group: 1, end: 0, cutEnd: 5 },
      { group: 2, end: 0, cutEnd: 5 },
    ],
  )
})
