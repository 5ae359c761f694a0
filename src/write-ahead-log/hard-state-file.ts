import {
  assert,
  ByteReader,
  ByteWriter,
  type ClusterId,
  crc32c,
  formatId,
  type NodeId,
  QuorateError,
} from '../base/index.ts'
import type { Disk, DiskFile } from '../io/index.ts'
import type { HardState } from '../raft/index.ts'
import { damaged } from '../segmented-log/index.ts'

/** "QRHS" in the file. */
const magic = 0x5348_5251
const formatVersion = 1
/** A copy fills one sector, which is written as a whole or not at all. */
const copyBytes = 512
const pairBytes = 2 * copyBytes
const checksumPosition = copyBytes - 4
/** More groups than one node can serve; bounds the memory that a damaged directory entry could ask for. */
const pairCountMax = 1_000_000

/** A place in the journal: everything before it is durable. */
export interface JournalMark {
  readonly sequence: number
  readonly position: number
}

export interface SavedState {
  readonly group: number
  readonly hardState: HardState
  readonly syncedThrough: JournalMark
  readonly cutEnd: number | undefined
}

interface Ids {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
}

interface Pair {
  readonly number: number
  writeSequence: number
  /** The copy to write next, 0 or 1: never the one that was written last, which may be the only whole one. */
  nextCopy: number
}

/**
 * Term and vote of all groups, two copies each in sectors of their own, written alternately. A save is over when both
 * are durable. So at any time one of them is whole: a torn copy was never acknowledged, and a copy that rots later is
 * replaced by its twin, which says the same. A vote is never forgotten.
 */
export class HardStateFile {
  readonly #file: DiskFile
  readonly #ids: Ids
  readonly #pairs = new Map<number, Pair>()
  #pairCount = 0
  readonly #freeNumbers: number[] = []

  private constructor(file: DiskFile, ids: Ids) {
    this.#file = file
    this.#ids = ids
  }

  /** Errors: `data-damaged`, `data-wrong-cluster`, `format-unsupported`, and those of the disk. */
  static async open(
    disk: Disk,
    path: string,
    options: Ids & { create: boolean },
  ): Promise<{ file: HardStateFile; states: SavedState[] }> {
    const diskFile = await disk.open(path, { create: options.create, durableWrites: true })
    const file = new HardStateFile(diskFile, options)
    try {
      return { file, states: await file.#load() }
    } catch (error) {
      await diskFile.close()
      throw error
    }
  }

  /** Durable when resolved. `disk-full`: what was saved before still stands. One call at a time. */
  async save(states: readonly SavedState[]): Promise<void> {
    const copies = states.map((state) => {
      const pair = this.#pairOf(state.group)
      pair.writeSequence++
      return { pair, bytes: encodeCopy(state, this.#ids, pair) }
    })
    for (let round = 0; round < 2; round++) {
      const writes = copies.map(({ pair, bytes }) => this.#writeCopy(pair, bytes))
      // All have ended before an error is reported, so a later save never writes beside an earlier one.
      for (const result of await Promise.allSettled(writes)) {
        if (result.status === 'rejected') throw result.reason
      }
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #writeCopy(pair: Pair, bytes: Uint8Array): Promise<void> {
    await this.#file.write(pair.number * pairBytes + pair.nextCopy * copyBytes, [bytes])
    pair.nextCopy = 1 - pair.nextCopy
  }

  async #load(): Promise<SavedState[]> {
    const size = await this.#file.size()
    this.#pairCount = Math.ceil(size / pairBytes)
    if (this.#pairCount > pairCountMax) throw this.#damaged(0, size, 'the file is too large')
    const bytes = new Uint8Array(this.#pairCount * pairBytes)
    await this.#file.read(0, bytes.subarray(0, size))
    const states: SavedState[] = []
    for (let number = 0; number < this.#pairCount; number++) {
      const newest = this.#newestCopy(bytes, number)
      if (newest === undefined) {
        this.#freeNumbers.push(number)
        continue
      }
      const { state, writeSequence, copy } = newest
      if (this.#pairs.has(state.group)) throw this.#damagedPair(number, 'a group has two pairs of copies')
      this.#pairs.set(state.group, { number, writeSequence, nextCopy: 1 - copy })
      states.push(state)
    }
    return states
  }

  /** Undefined for a pair whose first save was never finished. */
  #newestCopy(
    bytes: Uint8Array,
    number: number,
  ): { state: SavedState; writeSequence: number; copy: number } | undefined {
    const at = number * pairBytes
    const copies = [0, 1].map((copy) => bytes.subarray(at + copy * copyBytes, at + (copy + 1) * copyBytes))
    let newest: { state: SavedState; writeSequence: number; copy: number } | undefined
    for (const [copy, content] of copies.entries()) {
      const decoded = decodeCopy(content, number)
      if (decoded === undefined) continue
      this.#checkIdentity(decoded.ids)
      const { state, writeSequence } = decoded
      if (newest === undefined || writeSequence > newest.writeSequence)
        newest = { state, writeSequence, copy }
    }
    // The second copy is begun when the first is durable: with it untouched, nothing was acknowledged.
    const isUnfinished = copies[1]?.every((byte) => byte === 0)
    if (newest === undefined && !isUnfinished) {
      throw this.#damagedPair(number, 'both copies of a hard state are damaged')
    }
    return newest
  }

  #checkIdentity(ids: Ids): void {
    if (ids.clusterId === this.#ids.clusterId && ids.nodeId === this.#ids.nodeId) return
    throw new QuorateError(
      'data-wrong-cluster',
      `${this.#file.path} belongs to cluster ${formatId(ids.clusterId)}, node ${formatId(ids.nodeId)}; this is cluster ` +
        `${formatId(this.#ids.clusterId)}, node ${formatId(this.#ids.nodeId)}`,
    )
  }

  #pairOf(group: number): Pair {
    const found = this.#pairs.get(group)
    if (found !== undefined) return found
    const pair = { number: this.#freeNumbers.pop() ?? this.#pairCount++, writeSequence: 0, nextCopy: 0 }
    assert(pair.number < pairCountMax, 'the groups of a node have a limit')
    this.#pairs.set(group, pair)
    return pair
  }

  #damagedPair(number: number, what: string): QuorateError {
    return this.#damaged(number * pairBytes, (number + 1) * pairBytes, what)
  }

  #damaged(first: number, end: number, what: string): QuorateError {
    return damaged(this.#file.path, { first, end }, what)
  }
}

/**
 * Shape: u32 magic | u32 version | u32 pair | u32 group | u64 cluster | u64 node | u53 write sequence | u53 term |
 *        u64 vote | u53 commit | u53 mark segment | u32 mark position | u53 cut end, 0: none | zeros | u32 crc32c
 */
function encodeCopy(state: SavedState, ids: Ids, pair: Pair): Uint8Array {
  const writer = new ByteWriter(copyBytes)
  writer.u32(magic)
  writer.u32(formatVersion)
  writer.u32(pair.number)
  writer.u32(state.group)
  writer.u64(ids.clusterId)
  writer.u64(ids.nodeId)
  writer.u53(pair.writeSequence)
  writer.u53(state.hardState.term)
  writer.u64(state.hardState.vote)
  writer.u53(state.hardState.commit)
  writer.u53(state.syncedThrough.sequence)
  writer.u32(state.syncedThrough.position)
  writer.u53(state.cutEnd ?? 0)
  writer.raw(new Uint8Array(checksumPosition - writer.size))
  writer.u32(crc32c(writer.view()))
  return writer.copy()
}

function decodeCopy(
  bytes: Uint8Array,
  pairNumber: number,
): { state: SavedState; ids: Ids; writeSequence: number } | undefined {
  const reader = new ByteReader(bytes)
  if (reader.u32() !== magic) return undefined
  if (new ByteReader(bytes, checksumPosition).u32() !== crc32c(bytes, 0, 0, checksumPosition))
    return undefined
  const version = reader.u32()
  if (version !== formatVersion) {
    throw new QuorateError(
      'format-unsupported',
      `hard-state format ${version} is unknown, this program reads ${formatVersion}`,
    )
  }
  if (reader.u32() !== pairNumber) return undefined
  const group = reader.u32()
  const ids = { clusterId: reader.u64(), nodeId: reader.u64() }
  const writeSequence = reader.u53()
  const hardState = { term: reader.u53(), vote: reader.u64(), commit: reader.u53() }
  const syncedThrough = { sequence: reader.u53(), position: reader.u32() }
  const cutEnd = reader.u53()
  const state = { group, hardState, syncedThrough, cutEnd: cutEnd === 0 ? undefined : cutEnd }
  return { state, ids, writeSequence }
}
