import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError, SeededRandom } from '../base/index.ts'
import { encodeConfiguration, entryKind } from '../raft/index.ts'
import {
  createDisk,
  endOf,
  entriesAfter,
  firstHeaderBytes,
  logStart,
  newestSegment,
  open,
  overwrite,
  powerCut,
  readAll,
  recordBytes,
  Writer,
} from './testing/harness.ts'

test('a batch of 100 records with a hole is a tail: cut at the hole, with what is valid behind it', async () => {
  const disk = createDisk()
  const writer = new Writer(await open(disk.mount()))
  await writer.append(5)
  await writer.append(100)
  powerCut(disk)
  const hole = firstHeaderBytes + (5 + 33) * recordBytes
  await overwrite(disk, newestSegment(disk), hole, new Uint8Array(2 * recordBytes))

  const { recovered } = await open(disk.mount())
  powerCut(disk)
  const log = await open(disk.mount())
  const [group] = log.recovered
  assert.deepEqual(recovered, log.recovered, 'the next open remembers the cut, and does not make it larger')
  assert.deepEqual(group?.end, endOf(writer.entries.slice(0, 38)))
  assert.equal(
    group?.cutEnd,
    105 + 3,
    'the highest index behind the hole, and as many as the hole could hold',
  )
  assert.deepEqual(await readAll(log, 0, 1, 38), writer.entries.slice(0, 38))

  // Were the records behind the hole still there, entry 41 would follow on entry 40 again.
  const again = entriesAfter(endOf(writer.entries.slice(0, 38)), 2, { term: 2, size: 20 })
  const hardState = { term: 2, vote: 1n, commit: 0 }
  await log.write({ group: 0, hardState, truncateAfter: undefined, entries: again })
  powerCut(disk)
  const reopened = await open(disk.mount())
  assert.deepEqual(reopened.recovered[0]?.end, endOf(again))
  assert.deepEqual(await readAll(reopened, 0, 39, 40), again)
})

test('power loss of all three nodes: what a majority had acknowledged, a majority still has', async () => {
  let cuts = 0
  for (let seed = 1; seed <= 40; seed++) {
    const random = new SeededRandom(seed)
    const nodes = await Promise.all(
      [1, 2, 3].map(async (id) => {
        const disk = createDisk(seed * 10 + id)
        disk.haltAt(random.between(25, 45))
        return { disk, acknowledged: 0, writer: new Writer(await open(disk.mount())) }
      }),
    )
    for (const node of nodes) {
      const work = async (): Promise<void> => {
        for (let i = 0; i < 30; i++) {
          await node.writer.append(30)
          node.acknowledged = node.writer.end.index
        }
      }
      await Promise.race([work(), node.disk.halted])
      node.disk.crash()
    }
    const ends = await Promise.all(
      nodes.map(async ({ disk, acknowledged, writer }) => {
        const log = await open(disk.mount())
        const { end, cutEnd } = log.recovered[0] ?? { end: logStart, cutEnd: undefined }
        assert.ok(end.index >= acknowledged, `seed ${seed}: ${acknowledged} acknowledged, ${end.index} found`)
        assert.deepEqual(end, endOf(writer.entries.slice(0, end.index)))
        if (end.index % 30 !== 0) {
          assert.ok((cutEnd ?? 0) >= Math.ceil(end.index / 30) * 30, 'a batch that is not whole was cut')
          cuts++
        }
        return end.index
      }),
    )
    const acknowledged = nodes.map((node) => node.acknowledged).sort((left, right) => left - right)
    const committed = acknowledged[1] ?? 0
    assert.ok(ends.filter((end) => end >= committed).length >= 2)
  }
  assert.ok(cuts > 3, `only ${cuts} batches were torn`)
})

test('a power cut at any moment of a truncation shows the log before or after it, never a mixture', async () => {
  const ends = new Set<string>()
  for (let k = 1; ; k++) {
    const disk = createDisk(k)
    const writer = new Writer(await open(disk.mount()))
    await writer.append(12)
    const old = writer.end
    disk.haltAt(disk.operationCount + k)
    const outcome = await Promise.race([writer.write(3, 5, { term: 2 }), disk.halted])
    const isDone = outcome !== 'halted'
    disk.crash(isDone ? 'nothing' : 'chance')
    const log = await open(disk.mount())
    const { end } = log.recovered[0] ?? { end: logStart }
    const possible = [
      endOf(writer.entries.slice(0, 5)),
      ...writer.entries.slice(5).map((entry) => endOf([entry])),
    ]
    if (isDone) assert.deepEqual(end, writer.end, 'acknowledged: the cut stays')
    else assert.ok([old, ...possible].some((mark) => mark.chain === end.chain && mark.index === end.index))
    ends.add(`${end.index}/${end.term}`)
    await readAll(log, 0, 1, end.index)
    if (isDone) break
  }
  assert.ok(ends.has('12/1') && ends.has('8/2'), 'both outcomes were seen')
})

test('after a failed sync and a restart the cache is not believed: what is shown is durable', async () => {
  let wasOnlyInCache = 0
  for (let seed = 1; seed <= 40; seed++) {
    const disk = createDisk(seed)
    await (await open(disk.mount())).close()
    const log = await open(disk.mount())
    const writer = new Writer(log)
    await writer.append(10)
    disk.failNext({ operation: 'write', path: '.wal' })
    await assert.rejects(writer.append(40), (error) => isQuorateError(error, 'disk-failed'))
    await assert.rejects(writer.append(1), (error) => isQuorateError(error, 'disk-failed'))
    await assert.rejects(log.read(0, 1, 2, 100), (error) => isQuorateError(error, 'disk-failed'))
    await log.close()
    assert.deepEqual(disk.misuse, [])

    disk.kill()
    const restarted = await open(disk.mount())
    const shown = restarted.recovered[0]?.end ?? logStart
    assert.ok(shown.index >= 10)
    disk.crash('nothing')
    const recovered = await open(disk.mount())
    assert.deepEqual(recovered.recovered[0]?.end, shown)
    if (shown.index > 10) wasOnlyInCache++
  }
  assert.ok(wasOnlyInCache > 5, 'some entries of the failed write were in the cache')
})

test('a crash while a tail is cut does not make the node forget that it was cut', async () => {
  // Whether something is left of the batch that says how far it reached, or nothing.
  for (const kept of [10, 5]) {
    for (let k = 1; ; k++) {
      const disk = createDisk(k)
      const writer = new Writer(await open(disk.mount()))
      await writer.append(5)
      await writer.append(20)
      powerCut(disk)
      const hole = firstHeaderBytes + kept * recordBytes
      await overwrite(disk, newestSegment(disk), hole, new Uint8Array(recordBytes))
      disk.haltAt(disk.operationCount + k)
      const outcome = await Promise.race([open(disk.mount()), disk.halted])
      disk.crash('everything')
      const log = await open(disk.mount())
      assert.deepEqual(log.recovered[0]?.end, endOf(writer.entries.slice(0, kept)))
      assert.ok((log.recovered[0]?.cutEnd ?? 0) >= 25, `forgotten after a cut at operation ${k}`)
      if (outcome !== 'halted') break
    }
  }
})

test('a cut end is remembered until the commit index has passed it', async () => {
  const disk = createDisk()
  const writer = new Writer(await open(disk.mount()))
  await writer.append(5)
  powerCut(disk)
  await overwrite(disk, newestSegment(disk), firstHeaderBytes + 3 * recordBytes, new Uint8Array(recordBytes))
  const log = await open(disk.mount())
  const cutEnd = log.recovered[0]?.cutEnd ?? 0
  assert.equal(cutEnd, 7)
  const kept = endOf(writer.entries.slice(0, 3))
  const entries = entriesAfter(kept, 10)
  const commitTo = (commit: number) => ({ term: 1, vote: 1n, commit })
  await log.write({ group: 0, hardState: commitTo(6), truncateAfter: undefined, entries })
  powerCut(disk)
  const second = await open(disk.mount())
  assert.equal(second.recovered[0]?.cutEnd, cutEnd)
  await second.write({ group: 0, hardState: commitTo(7), truncateAfter: undefined, entries: [] })
  powerCut(disk)
  assert.equal((await open(disk.mount())).recovered[0]?.cutEnd, undefined)
})

test('a torn last record goes alone, whichever byte it was torn at', async () => {
  for (const how of ['zeros', 'cut']) {
    for (let offset = 0; offset < recordBytes; offset++) {
      const disk = createDisk()
      const writer = new Writer(await open(disk.mount()))
      await writer.append(3)
      await writer.append(1)
      powerCut(disk)
      const position = firstHeaderBytes + 3 * recordBytes + offset
      if (how === 'zeros') {
        await overwrite(disk, newestSegment(disk), position, new Uint8Array(recordBytes - offset))
      } else {
        const file = await disk.open(newestSegment(disk), { create: false })
        await file.truncate(position)
        await file.sync()
        await file.close()
      }
      const log = await open(disk.mount())
      const [group] = log.recovered
      assert.deepEqual(group?.end, endOf(writer.entries.slice(0, 3)), `${how} at ${offset}`)
      // A record that left no byte at all left no trace; an acknowledged one does not vanish so on an honest disk.
      assert.equal(group?.cutEnd !== undefined, offset > 0, `${how} at ${offset}`)
      assert.deepEqual(await readAll(log, 0, 1, 3), writer.entries.slice(0, 3))
      await log.write({
        group: 0,
        hardState: undefined,
        truncateAfter: undefined,
        entries: writer.entries.slice(3),
      })
      assert.deepEqual(await readAll(log, 0, 1, 4), writer.entries)
      await log.close()
    }
  }
})

test('what is open after an orderly close is not doubted', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const writer = new Writer(log)
  await writer.append(5)
  await log.write({
    group: 0,
    hardState: { term: 1, vote: 1n, commit: 4 },
    truncateAfter: undefined,
    entries: [],
  })
  await log.close()
  disk.crash('nothing')
  const reopened = await open(disk.mount())
  assert.deepEqual(reopened.recovered, [
    {
      group: 0,
      hardState: { term: 1, vote: 1n, commit: 4 },
      base: logStart,
      end: writer.end,
      cutEnd: undefined,
      configurations: [],
    },
  ])
  await reopened.close()
  assert.equal(disk.openFiles, 0)
})

test('configurations above the base come back decoded, and a cut takes them along', async () => {
  const disk = createDisk()
  const log = await open(disk.mount())
  const configuration = (voters: bigint[]) => ({ voters, outgoing: [], learners: [], context: emptyBytes })
  let last = logStart
  const append = async (voters: bigint[], truncateAfter?: number): Promise<void> => {
    const hardState = { term: 1, vote: 0n, commit: 0 }
    const payload = encodeConfiguration(configuration(voters))
    const [entry] = entriesAfter(last, 1, { kind: entryKind.configuration, payload })
    assert.ok(entry !== undefined)
    last = endOf([entry])
    await log.write({ group: 0, hardState, truncateAfter, entries: [entry] })
  }
  await append([1n])
  const first = last
  await append([1n, 2n])
  const second = last
  await append([1n, 2n, 3n])
  last = second
  await append([1n, 2n, 4n], 2)
  await log.release(0, first)
  disk.crash('nothing')
  const { recovered } = await open(disk.mount())
  assert.deepEqual(recovered[0]?.configurations, [
    { index: 2, configuration: configuration([1n, 2n]) },
    { index: 3, configuration: configuration([1n, 2n, 4n]) },
  ])
})
