import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError, SeededRandom } from '../base/index.ts'
import { type ConsistentCore, createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger, type Time } from '../io/index.ts'
import { createEntry, type Entry, entryKind, type SnapshotMark } from '../raft/index.ts'
import { createSimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore, type SnapshotStore } from '../snapshot/index.ts'
import { createMemoryBackend, createStore, type StoreBackend } from '../store/index.ts'
import { openWriteAheadLog, type WriteAheadLog } from '../write-ahead-log/index.ts'
import { type AppliedPlace, type Recovered, recoverGroup } from './recovery.ts'

const bootstrap = { voters: [1n, 2n, 3n], outgoing: [], learners: [], context: emptyBytes }
const time: Time = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  startTimer: () => ({ cancel: () => undefined }),
  yieldTurn: () => Promise.resolve(),
  yieldBulkTurn: () => Promise.resolve(),
}

const newBackend = (): StoreBackend =>
  createMemoryBackend({
    random: new SeededRandom(1),
    schedule: async (finish) => finish(),
  })

/** A state after `count` entries without a command, the last of `term`. */
async function stateAt(backend: StoreBackend, count: number, term: number): Promise<ConsistentCore> {
  const core = createConsistentCore({ store: createStore(backend) })
  for (let index = 1; index <= count; index++) core.applyNothing({ index, term })
  const taken = core.takeBatch()
  assert.ok(taken)
  await backend.commit(taken.batch)
  core.flushed()
  return core
}

async function saveSnapshot(
  snapshots: SnapshotStore,
  index: number,
  term: number,
  configurationIndex = 0,
): Promise<SnapshotMark> {
  const mark = { end: { index, term, chain: 4711 }, configuration: bootstrap, configurationIndex }
  const source = (await stateAt(newBackend(), index, term)).openSnapshot()
  await snapshots.save(mark, () => source.next())
  return mark
}

/** A log with `count` entries of term 1, of which the first `released` are gone, in the data directory of one node. */
async function createDirectory(count: number, released = 0) {
  const disk = createSimulatedDisk({ random: new SeededRandom(1) })
  const common = { disk, time, logger: silentLogger, clusterId: 7n }
  const openLog = (): Promise<WriteAheadLog> =>
    openWriteAheadLog({
      ...common,
      directory: '/wal',
      nodeId: 1n,
      segmentBytesMax: 65_536,
      entryBytesMax: 1024,
    })
  const log = await openLog()
  const entries: Entry[] = []
  for (let index = 1; index <= count; index++) {
    const previousChain = entries.at(-1)?.chain ?? 0
    entries.push(
      createEntry({ group: 0, index, term: 1, kind: entryKind.noop, payload: emptyBytes, previousChain }),
    )
  }
  await log.write({
    group: 0,
    hardState: { term: 1, vote: 2n, commit: 0 },
    truncateAfter: undefined,
    entries,
  })
  const last = entries[released - 1]
  if (last !== undefined) await log.release(0, { index: last.index, term: last.term, chain: last.chain })
  await log.close()
  const snapshots = await openSnapshotStore({ ...common, directory: '/snapshots', group: 0 })
  const recover = async (
    backend: StoreBackend,
    isStateLost = false,
    discarded: AppliedPlace | undefined = undefined,
  ): Promise<Recovered<unknown> & { log: WriteAheadLog }> => {
    const opened = await openLog()
    const recovered = await recoverGroup({
      group: 0,
      log: opened,
      snapshots,
      backend,
      logger: silentLogger,
      limits: { flushOperations: 100, flushBytes: 1024 * 1024 },
      isStateLost,
      discarded,
      bootstrap,
      yieldTurn: () => Promise.resolve(),
      createMachine: (store) => createConsistentCore({ store: createStore(store) }),
    })
    return { ...recovered, log: opened }
  }
  return { disk, snapshots, entries, recover }
}

test('a store that fits into the log is taken as it is', async () => {
  const { entries, recover } = await createDirectory(5)
  const backend = newBackend()
  await stateAt(backend, 3, 1)
  const { applied, machine, restore } = await recover(backend)
  assert.deepEqual([applied.index, applied.chain, machine.appliedIndex], [3, entries[2]?.chain, 3])
  assert.deepEqual([restore.applied, restore.end.index, restore.recent[0]?.index], [3, 5, 3])
})

test('a store whose rows cannot be read is emptied, and the state made again', async () => {
  const { recover } = await createDirectory(5)
  const backend = newBackend()
  await stateAt(backend, 3, 1)
  const [meta] = backend.range('meta', {})
  assert.ok(meta)
  // Its first counter is larger than any number.
  const value = Uint8Array.from(meta.value).fill(0xff, 2, 10)
  await backend.commit([{ table: 'meta', changes: [{ key: meta.key, value }] }])
  const { applied, machine } = await recover(backend)
  assert.deepEqual([applied.index, machine.appliedIndex], [0, 0])
  assert.deepEqual([...backend.range('meta', {})], [])
})

test('a store that is ahead of the log, or of another history, has what was committed: the log is refused', async () => {
  for (const [index, term] of [
    [9, 1],
    [3, 2],
  ] as const) {
    const { recover } = await createDirectory(5)
    const backend = newBackend()
    await stateAt(backend, index, term)
    await assert.rejects(recover(backend), (error) => isQuorateError(error, 'data-damaged'))
  }
})

test('a store that is ahead because a snapshot was installed is taken up where the snapshot stands', async () => {
  for (const [index, term] of [
    [9, 1],
    [3, 2],
  ] as const) {
    const { snapshots, recover } = await createDirectory(5)
    const mark = await saveSnapshot(snapshots, index, term)
    const backend = newBackend()
    await stateAt(backend, index, term)
    const { applied, machine, restore } = await recover(backend)
    assert.deepEqual([applied, restore.end, machine.appliedIndex], [mark.end, mark.end, index])
  }
})

test('a crash between installed snapshot and reset log: the log begins behind the snapshot', async () => {
  const { snapshots, recover } = await createDirectory(5, 2)
  const mark = await saveSnapshot(snapshots, 8, 1)
  const { applied, machine, restore, log } = await recover(newBackend())
  assert.deepEqual([applied, restore.base, restore.end], [mark.end, mark.end, mark.end])
  assert.equal(machine.appliedIndex, 8)
  await log.close()
})

test('a crash inside an install over a longer log that contradicts it: nothing of that log is left', async () => {
  const { snapshots, recover } = await createDirectory(10, 2)
  const mark = await saveSnapshot(snapshots, 8, 2)
  const first = await recover(newBackend())
  assert.deepEqual([first.restore.base, first.restore.end], [mark.end, mark.end])
  assert.deepEqual(first.restore.hardState, { term: 2, vote: 0n, commit: 2 })
  await first.log.close()
  // And it stays so.
  const backend = newBackend()
  await stateAt(backend, 8, 2)
  const second = await recover(backend)
  assert.deepEqual([second.applied.index, second.restore.end.index, second.restore.hardState.term], [8, 8, 2])
})

test('a damaged newest snapshot: the older one and the log give the state', async () => {
  const { disk, snapshots, entries, recover } = await createDirectory(10, 2)
  const chain = entries[3]?.chain ?? 0
  const source = (await stateAt(newBackend(), 4, 1)).openSnapshot()
  await snapshots.save(
    { end: { index: 4, term: 1, chain }, configuration: bootstrap, configurationIndex: 0 },
    () => source.next(),
  )
  await saveSnapshot(snapshots, 8, 1)
  const path = snapshots.list()[0]?.path ?? ''
  const size = disk.cachedBytes(path)?.length ?? 0
  disk.rot(path, { first: size >> 1, end: (size >> 1) + 1 })
  const { applied, restore } = await recover(newBackend())
  assert.deepEqual([applied.index, restore.end.index], [4, 10])
})

test('no whole snapshot reaches the beginning of the log: refused by name, nothing is made up', async () => {
  const { disk, snapshots, entries, recover } = await createDirectory(10)
  const end = { index: 6, term: 1, chain: entries[5]?.chain ?? 0 }
  const first = await recover(newBackend())
  await first.log.release(0, end)
  await first.log.close()
  const source = (await stateAt(newBackend(), 6, 1)).openSnapshot()
  const file = await snapshots.save({ end, configuration: bootstrap, configurationIndex: 0 }, () =>
    source.next(),
  )
  const size = disk.cachedBytes(file.path)?.length ?? 0
  disk.rot(file.path, { first: size >> 1, end: (size >> 1) + 1 })
  await assert.rejects(recover(newBackend()), (error) => isQuorateError(error, 'data-damaged'))
})

test('only a later snapshot says who the members are: the state is made from that one', async () => {
  for (const [configurationIndex, expected] of [
    [2, 5],
    [5, 5],
    [6, 8],
  ] as const) {
    const { snapshots, recover } = await createDirectory(10, 4)
    await saveSnapshot(snapshots, 8, 1, configurationIndex)
    const backend = newBackend()
    await stateAt(backend, 5, 1)
    const { applied, machine } = await recover(backend)
    assert.deepEqual([applied.index, machine.appliedIndex], [expected, expected])
  }
})

test('a state that is lost: neither store nor snapshot is used, and the log is whole', async () => {
  const { snapshots, entries, recover } = await createDirectory(10, 4)
  const mark = await saveSnapshot(snapshots, 8, 1)
  const backend = newBackend()
  await stateAt(backend, 9, 1)
  const { applied, machine, restore } = await recover(backend, true)
  assert.equal(machine.appliedIndex, 0, 'the machine is empty')
  assert.deepEqual([applied.index, applied.chain], [4, entries[3]?.chain])
  assert.deepEqual([restore.base.index, restore.end.index, restore.applied], [4, 10, 4])
  assert.deepEqual(restore.hardState, { term: 1, vote: 2n, commit: 4 }, 'its vote is not forgotten')
  assert.equal(restore.recent.at(-1)?.index, 10)
  assert.equal(
    snapshots.list()[0]?.mark.end.index,
    mark.end.index,
    'who counts is still read from its header',
  )
})

test('a store that was thrown away still tells how far the log has to reach', async () => {
  for (const isStateLost of [false, true]) {
    const { recover } = await createDirectory(5)
    await assert.rejects(recover(newBackend(), isStateLost, { appliedIndex: 9, appliedTerm: 1 }), (error) =>
      isQuorateError(error, 'data-damaged'),
    )
  }
  const { recover } = await createDirectory(5)
  assert.equal((await recover(newBackend(), false, { appliedIndex: 4, appliedTerm: 1 })).applied.index, 0)
  const lost = await createDirectory(5)
  const ahead = newBackend()
  await stateAt(ahead, 9, 1)
  await assert.rejects(lost.recover(ahead, true), (error) => isQuorateError(error, 'data-damaged'))
})
