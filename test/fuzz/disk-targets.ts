import { crc32c, type ErrorCode, SeededRandom, utf8Encode } from '../../src/base/index.ts'
import { type Disk, silentLogger } from '../../src/io/index.ts'
import { encodeIdentity, readIdentity } from '../../src/node/identity.ts'
import type { Entry, SnapshotMark } from '../../src/raft/index.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  type SegmentHeader,
  segmentHeaderSize,
} from '../../src/segmented-log/segment-header.ts'
import { createSimulatedDisk } from '../../src/simulator/index.ts'
import {
  decodeHeader,
  decodeTrailer,
  encodeHeader,
  encodeTrailer,
  headerFixedSize,
  headerSizeOf,
  isRefusal,
  type Refusal,
  type SnapshotHeader,
  type SnapshotTrailer,
  trailerSize,
} from '../../src/snapshot/format.ts'
import { openSnapshotStore, type SnapshotStore } from '../../src/snapshot/index.ts'
import { decodeGroupTable } from '../../src/write-ahead-log/group-log.ts'
import { HardStateFile } from '../../src/write-ahead-log/hard-state-file.ts'
import {
  createTestTime,
  directory as logDirectory,
  open as openLog,
  readAll,
  Writer,
} from '../../src/write-ahead-log/testing/harness.ts'
import type { FuzzTarget } from './target.ts'

type Files = ReadonlyMap<string, Uint8Array>

const damage: readonly ErrorCode[] = [
  'data-damaged',
  'format-unsupported',
  'data-wrong-cluster',
  'frame-malformed',
]
const ids = { clusterId: 0xc1n, nodeId: 0x0an }

/** Everything that is read from a disk. Built once: a log and a snapshot as the program writes them. */
export async function diskTargets(): Promise<FuzzTarget[]> {
  return [
    segmentHeader,
    groupTable,
    await hardState(),
    identity,
    await wholeLog(),
    snapshotHeader,
    snapshotTrailer,
    ...(await snapshots()),
  ]
}

/** A disk on which these files are durable. */
async function diskWith(files: Files): Promise<Disk> {
  const disk = createSimulatedDisk({ random: new SeededRandom(1) }).mount()
  for (const [path, bytes] of files) {
    const folder = path.slice(0, path.lastIndexOf('/'))
    await disk.makeDirectory(folder)
    const file = await disk.open(path, { create: true })
    if (bytes.length > 0) await file.write(0, [bytes])
    await file.sync()
    await file.close()
    await disk.syncDirectory(folder)
  }
  return disk
}

async function filesOf(disk: Disk, paths: readonly string[]): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>()
  for (const path of paths) {
    const file = await disk.open(path, { create: false })
    const bytes = new Uint8Array(await file.size())
    await file.read(0, bytes)
    await file.close()
    files.set(path, bytes)
  }
  return files
}

/** The last four bytes become the checksum of all before. */
function sealEnd(input: Uint8Array): Uint8Array {
  if (input.length < 4) return input
  const sealed = input.slice()
  const at = sealed.length - 4
  new DataView(sealed.buffer).setUint32(at, crc32c(sealed, 0, 0, at), true)
  return sealed
}

const segmentHeader: FuzzTarget = {
  name: 'log.segment-header',
  seeds: [new Uint8Array(0), utf8Encode('a preamble')].map(
    (preamble) =>
      encodeSegmentHeader({ ...ids, sequence: 3, previousChecksum: 4, previousEnd: 5, preamble }).bytes,
  ),
  read: (input) => {
    const size = segmentHeaderSize(input.subarray(0, 16))
    return size === undefined || size > input.length
      ? undefined
      : decodeSegmentHeader(input.subarray(0, size))?.header
  },
  write: (header: SegmentHeader) => encodeSegmentHeader(header).bytes,
  refusals: damage,
  seal: sealEnd,
}

const groupTable: FuzzTarget = {
  name: 'log.group-table',
  seeds: [0, 1, 3].map((count) => {
    const bytes = new Uint8Array(4 + 44 * count).fill(1)
    new DataView(bytes.buffer).setUint32(0, count, true)
    return bytes
  }),
  read: decodeGroupTable,
  refusals: damage,
}

async function hardState(): Promise<FuzzTarget> {
  const path = '/data/hard-state'
  const disk = await diskWith(new Map([['/data/other', new Uint8Array(0)]]))
  const { file } = await HardStateFile.open(disk, path, { ...ids, create: true })
  for (const group of [0, 1]) {
    const hardState = { term: 3, vote: 1n, commit: 7 }
    await file.save([{ group, hardState, syncedThrough: { sequence: 1, position: 2 }, cutEnd: 9 }])
  }
  await file.close()
  const seeds = [...(await filesOf(disk, [path])).values()]
  return {
    name: 'log.hard-state',
    seeds,
    read: async (input) => {
      const opened = await HardStateFile.open(await diskWith(new Map([[path, input]])), path, {
        ...ids,
        create: false,
      })
      await opened.file.close()
      return opened.states
    },
    refusals: damage,
    seal: (input) => {
      const sealed = input.slice()
      const view = new DataView(sealed.buffer)
      for (let at = 0; at + 512 <= sealed.length; at += 512) {
        view.setUint32(at + 508, crc32c(sealed, 0, at, at + 508), true)
      }
      return sealed
    },
  }
}

const identity: FuzzTarget = {
  name: 'node.identity',
  seeds: [true, false].map((isReady) =>
    encodeIdentity({
      ...ids,
      directoryId: 5n,
      isReady,
      isJoined: !isReady,
      directory: utf8Encode('members'),
    }),
  ),
  read: async (input) => readIdentity(await diskWith(new Map([['/data/identity', input]])), '/data'),
  write: encodeIdentity,
  refusals: damage,
  seal: sealEnd,
}

/** One file of a log that was closed in order is changed: it is refused, or nothing is missing or different. */
async function wholeLog(): Promise<FuzzTarget> {
  const disk = createSimulatedDisk({ random: new SeededRandom(1) })
  const options = { segmentBytesMax: 4096 }
  const log = await openLog(disk.mount(), options)
  const writer = new Writer(log)
  for (const count of [3, 1, 20, 5]) await writer.append(count, { size: 100 })
  await writer.write(4, 25, { term: 2 })
  await writer.append(10, { term: 3, size: 3 })
  await log.close()
  const paths = disk.paths('durable').filter((path) => path.startsWith(logDirectory))
  const files = await filesOf(disk.mount(), paths)
  const names = [...files.keys()]
  const written: readonly Entry[] = writer.entries
  return {
    name: 'log.open',
    seeds: names.map((name, i) => Uint8Array.of(i, ...(files.get(name) as Uint8Array))),
    read: async (input) => {
      const changed = names[(input[0] ?? 0) % names.length] as string
      const opened = await openLog(await diskWith(new Map([...files, [changed, input.subarray(1)]])), options)
      const [group] = opened.recovered
      const entries =
        group === undefined ? [] : await readAll(opened, 0, group.base.index + 1, group.end.index)
      await opened.close()
      return { end: group?.end.index, vote: group?.hardState.vote, term: group?.hardState.term, entries }
    },
    refusals: damage,
    judge: ({
      end,
      vote,
      term,
      entries,
    }: {
      end?: number
      vote?: bigint
      term?: number
      entries: Entry[]
    }) => {
      if (end !== writer.end.index) return `ends at ${end}, written were ${writer.end.index}`
      if (vote !== 1n || term !== 3) return `term ${term}, vote ${vote}`
      const differs = entries.find((entry, i) => entry.chain !== written[i]?.chain)
      return differs === undefined ? undefined : `entry ${differs.index} is another`
    },
  }
}

const mark: SnapshotMark = {
  end: { index: 40, term: 3, chain: 77 },
  configuration: { voters: [1n, 2n, 3n], outgoing: [], learners: [4n], context: utf8Encode('names') },
  configurationIndex: 12,
}

const snapshotHeader: FuzzTarget = {
  name: 'snapshot.header',
  seeds: [encodeHeader({ clusterId: ids.clusterId, group: 0, mark })],
  read: (input) => {
    if (input.length < headerFixedSize) return undefined
    const size = headerSizeOf(input.subarray(0, headerFixedSize))
    if (typeof size !== 'number' || size > input.length) return undefined
    const header: SnapshotHeader | Refusal = decodeHeader(input.subarray(0, size))
    return isRefusal(header) ? undefined : header
  },
  write: encodeHeader,
  refusals: damage,
  seal: (input) => {
    if (input.length < headerFixedSize) return input
    const size = headerSizeOf(input.subarray(0, headerFixedSize))
    if (typeof size !== 'number' || size > input.length) return input
    const sealed = input.slice()
    sealed.set(sealEnd(sealed.subarray(0, size)))
    return sealed
  },
}

const snapshotTrailer: FuzzTarget = {
  name: 'snapshot.trailer',
  seeds: [encodeTrailer({ chunks: 3, bytes: 700, running: 9 })],
  read: (input) => {
    if (input.length !== trailerSize) return undefined
    const trailer: SnapshotTrailer | Refusal = decodeTrailer(input)
    return isRefusal(trailer) ? undefined : trailer
  },
  write: encodeTrailer,
  refusals: damage,
  seal: sealEnd,
}

const snapshotDirectory = '/data/snapshots'

function openStore(disk: Disk): Promise<SnapshotStore> {
  return openSnapshotStore({
    disk,
    time: createTestTime(),
    logger: silentLogger,
    directory: snapshotDirectory,
    clusterId: ids.clusterId,
    group: 0,
  })
}

/** A snapshot file that was changed, on the disk and on the way from a peer: not taken, or the same to the last byte. */
async function snapshots(): Promise<FuzzTarget[]> {
  const chunks = [3, 0, 700, 2000].map((size) => new Uint8Array(size).fill(size & 0xff))
  const disk = createSimulatedDisk({ random: new SeededRandom(1) }).mount()
  const store = await openStore(disk)
  const rest = [...chunks]
  const { path, sizeBytes } = await store.save(mark, () => rest.shift())
  const seed = [...(await filesOf(disk, [path])).values()][0] as Uint8Array
  const content = chunks.map((chunk) => chunk.join()).join('|')
  const load = async (opened: SnapshotStore): Promise<string | undefined> => {
    const [file] = opened.list()
    if (file === undefined) return undefined
    const loaded: string[] = []
    await opened.load(file, (chunk) => {
      loaded.push(chunk.join())
    })
    return loaded.join('|')
  }
  const judge = (loaded: string | undefined): string | undefined =>
    loaded === undefined || loaded === content ? undefined : 'loads something that was not saved'
  return [
    {
      name: 'snapshot.load',
      seeds: [seed],
      read: async (input) => load(await openStore(await diskWith(new Map([[path, input]])))),
      refusals: damage,
      judge,
    },
    {
      name: 'snapshot.receive',
      seeds: [seed],
      read: async (input) => {
        const opened = await openStore(await diskWith(new Map()))
        const receiver = await opened.beginReceive(mark, sizeBytes)
        // In two parts, as a transfer does.
        const half = input.length >> 1
        await receiver.write(0, input.subarray(0, half))
        await receiver.write(half, input.subarray(half))
        await receiver.finish()
        return load(opened)
      },
      refusals: [...damage, 'invalid-argument'],
      judge,
    },
  ]
}
