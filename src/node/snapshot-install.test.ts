// An install among others, from the first file to the last note: where everything stands, and in which order it came there.
import assert from 'node:assert/strict'
import test from 'node:test'
import { emptyBytes, isQuorateError, present, SeededRandom } from '../base/index.ts'
import { type Applied, createConsistentCore } from '../consistent-core/index.ts'
import { silentLogger, type Time } from '../io/index.ts'
import type { InstallOperation, LogEnd, SnapshotMark } from '../raft/index.ts'
import { createSimulatedDisk } from '../simulator/index.ts'
import { openSnapshotStore, type SnapshotStore } from '../snapshot/index.ts'
import { createMemoryBackend, createStore, type StoreBackend } from '../store/index.ts'
import { defaultGroupLimits } from './options.ts'
import { SnapshotInstall, type SnapshotInstallOptions } from './snapshot-install.ts'

const time: Time = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  startTimer: () => ({ cancel: () => undefined }),
  yieldTurn: () => Promise.resolve(),
  yieldBulkTurn: () => Promise.resolve(),
}
const newBackend = (): StoreBackend =>
  createMemoryBackend({ random: new SeededRandom(1), schedule: async (finish) => finish() })

/** Where a state that is opened from this store stands; undefined: half of one. */
function placeOf(backend: StoreBackend): number | undefined {
  try {
    return createConsistentCore({ store: createStore(backend) }).appliedIndex
  } catch (error) {
    if (isQuorateError(error, 'data-damaged')) return undefined
    throw error
  }
}

async function stateAt(backend: StoreBackend, count: number) {
  const core = createConsistentCore({ store: createStore(backend) })
  for (let index = 1; index <= count; index++) core.applyNothing({ index, term: 1 })
  await backend.commit(present(core.takeBatch(), 'something was applied').batch)
  core.flushed()
  return core
}

function markAt(index: number): SnapshotMark {
  const configuration = { voters: [BigInt(index)], outgoing: [], learners: [], context: emptyBytes }
  return { end: { index, term: 1, chain: index }, configuration, configurationIndex: index - 1 }
}

async function openSnapshots(indexes: readonly number[]): Promise<SnapshotStore> {
  const disk = createSimulatedDisk({ random: new SeededRandom(1) })
  const common = { disk, time, logger: silentLogger, clusterId: 7n, group: 0 }
  const snapshots = await openSnapshotStore({ ...common, directory: '/snapshots' })
  for (const index of indexes) {
    const source = (await stateAt(newBackend(), index)).openSnapshot()
    await snapshots.save(markAt(index), () => source.next())
  }
  return snapshots
}

/** An install of one of some snapshots into a replica that stands at index 3; `told` is what the others heard, in order. */
async function createInstall(random: SeededRandom) {
  const indexes = [4, 6, 9, 13, 20].filter(() => random.chance(0.6))
  if (indexes.length === 0) indexes.push(5)
  const snapshots = await openSnapshots(indexes)
  const index = random.pick(indexes)
  const awaited = new Set(indexes.filter(() => random.chance(0.3)))
  const keepsLog = random.chance(0.4)
  const isStopped = random.chance(0.2)
  const backend = newBackend()
  const machine = await stateAt(backend, 3)
  const told: string[] = []
  const tell = (text: string): void => {
    const place = placeOf(backend)
    told.push(`${text}, store at ${place}${install.isInstalling ? '' : ', not installing'}`)
  }
  const endText = ({ index: at, chain }: LogEnd): string => `${at} ${chain}`
  const options = {
    group: 0,
    logger: silentLogger,
    limits: defaultGroupLimits,
    snapshots,
    backend,
    machine,
    log: { reset: async (_group: number, end: LogEnd) => tell(`log at ${endText(end)}`) },
    members: {
      replace: (at: number, { voters }: SnapshotMark['configuration']) => tell(`members of ${at}: ${voters}`),
    },
    flusher: { settle: async () => tell('settled'), replaced: (at: number) => tell(`durable ${at}`) },
    writer: { installed: (at: number, keeps: boolean) => tell(`snapshot ${at} ${keeps}`) },
    comparison: { stateReplaced: () => tell('compared anew') },
    repair: {
      isLost: keepsLog,
      marked: async () => tell('marked'),
      finish: async () => tell('repaired'),
    },
    replaced: (end: LogEnd) => tell(`state at ${endText(end)}`),
    isAwaited: (at: number) => awaited.has(at),
    isStopped: () => isStopped,
  } as unknown as SnapshotInstallOptions<Applied>
  const install = new SnapshotInstall<Applied>(options)
  const { end } = markAt(index)
  const hardState = { term: 1, vote: 0n, commit: index }
  const part = { snapshot: markAt(index), end, hardState: keepsLog ? undefined : hardState }
  const operation: InstallOperation = { kind: 'install', sequence: 1, keepsLog, ...part }
  return { install, operation, machine, snapshots, backend, told, awaited, indexes, isStopped }
}

test('an install: the state is durable, then everything stands at its mark, whatever other snapshots are there', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const parts = await createInstall(new SeededRandom(seed))
    const { install, operation, machine, snapshots, backend, told, indexes, awaited } = parts
    const { index } = operation.end
    const before = ['marked, store at 3', 'settled, store at 3']
    if (parts.isStopped) {
      await assert.rejects(install.install(operation), (error) => isQuorateError(error, 'stopped'))
      // Half a state is no state: nobody is told that there is one.
      assert.deepEqual([told, placeOf(backend) === index], [before, false], `seed ${seed}`)
      continue
    }
    await install.install(operation)
    const all = [
      ...(operation.keepsLog ? [] : [`log at ${index} ${index}`]),
      `state at ${index} ${index}`,
      `members of ${index - 1}: ${index}`,
      `snapshot ${index} ${operation.keepsLog}`,
      `durable ${index}`,
      'compared anew',
      ...(operation.keepsLog ? ['repaired'] : []),
    ]
    assert.deepEqual(told, [...before, ...all.map((text) => `${text}, store at ${index}`)], `seed ${seed}`)
    assert.deepEqual([machine.appliedIndex, placeOf(backend), install.isInstalling], [index, index, false])
    const kept = indexes.toReversed().filter((at, slot) => slot < 2 || awaited.has(at) || at === index)
    const listed = snapshots.list().map(({ mark }) => mark.end.index)
    assert.deepEqual(listed, kept, `seed ${seed}: of ${indexes}, ${[...awaited]} are awaited`)
  }
})
