import { assert, ByteWriter, formatId, isQuorateError, QuorateError } from '../base/index.ts'
import type { DiskFile } from '../io/index.ts'
import type { SnapshotMark } from '../raft/index.ts'
import type { SnapshotFile, SnapshotReceiver, SnapshotStore, SnapshotStoreOptions } from './contract.ts'
import {
  describeMark,
  encodeChunk,
  encodeHeader,
  encodeTrailer,
  isRefusal,
  type ParsedName,
  parseName,
  receivingName,
  runningStart,
  type SnapshotHeader,
  savingName,
  snapshotName,
} from './format.ts'
import { createReceiver } from './receiver.ts'
import { type Damage, readEnds, scan } from './scan.ts'

/** Work of one turn of the loop. A chunk a turn, and a busy leader would write 6 MB a second. */
const turnMsMax = 1
/** Chunks gather up to this before they are written. */
const writeBytes = 1024 * 1024
/** Synced at least this often, so that the log's syncs never wait for a whole snapshot to reach the disk. */
const syncEveryBytes = 8 * 1024 * 1024
/** A transfer may pause this long between two parts and still finds its file. */
const readPauseMs = 60_000

/**
 * Opens the snapshots of one group, creating the directory. Errors: those of the disk; `data-wrong-cluster` when a
 * file is of another cluster; `format-unsupported` when one is of a later version of this program.
 */
export async function openSnapshotStore(options: SnapshotStoreOptions): Promise<SnapshotStore> {
  const { disk, directory, group } = options
  await disk.makeDirectory(directory)
  const files: SnapshotFile[] = []
  for (const name of await disk.list(directory)) {
    const parsed = parseName(name)
    if (parsed === undefined || parsed.kind !== 'snapshot' || parsed.group !== group) continue
    const file = await examine(options, name, parsed)
    if (file !== undefined) files.push(file)
  }
  return new FileStore(options, files.sort(newestFirst))
}

/** The snapshot under this name; undefined, with a line in the log, when it is damaged. */
async function examine(
  options: SnapshotStoreOptions,
  name: string,
  parsed: ParsedName,
): Promise<SnapshotFile | undefined> {
  const path = `${options.directory}/${name}`
  const file = await options.disk.open(path, { create: false })
  try {
    const header = await readEnds(file)
    if (isRefusal(header)) {
      if (header.isUnsupported)
        throw new QuorateError('format-unsupported', `snapshot ${path}: ${header.reason}`)
      options.logger.log('error', 'snapshot-damaged', { path, reason: header.reason })
      return undefined
    }
    const { clusterId, group, mark } = header
    if (clusterId !== options.clusterId) {
      const text = `snapshot ${path} is of cluster ${formatId(clusterId)}, not ${formatId(options.clusterId)}`
      throw new QuorateError('data-wrong-cluster', text)
    }
    if (group !== parsed.group || mark.end.index !== parsed.index || mark.end.term !== parsed.term) {
      options.logger.log('error', 'snapshot-damaged', {
        path,
        reason: 'it is stored under the name of another one',
      })
      return undefined
    }
    return { mark, path, sizeBytes: await file.size() }
  } finally {
    await file.close()
  }
}

class FileStore implements SnapshotStore {
  readonly #options: SnapshotStoreOptions
  #files: SnapshotFile[]
  /** Paths that are being saved or received. */
  readonly #active = new Set<string>()
  readonly #reads = new Map<string, { count: number; lastMs: number }>()

  constructor(options: SnapshotStoreOptions, files: SnapshotFile[]) {
    this.#options = options
    this.#files = files
  }

  list(): readonly SnapshotFile[] {
    return this.#files
  }

  async save(mark: SnapshotMark, next: () => Uint8Array | undefined): Promise<SnapshotFile> {
    const present = this.#find(mark)
    if (present !== undefined) return present
    const { disk, group } = this.#options
    const path = this.#path(savingName(group, mark))
    this.#begin(path)
    try {
      await disk.remove(path)
      const file = await disk.open(path, { create: true })
      try {
        await this.#writeAll(file, mark, next)
        await file.sync()
      } finally {
        await file.close()
      }
      return await this.#publish(path, mark)
    } catch (error) {
      await this.#discard(path)
      throw error
    } finally {
      this.#active.delete(path)
    }
  }

  forget(file: SnapshotFile): void {
    this.#files = this.#files.filter((other) => other !== file)
    this.#reads.delete(file.path)
  }

  async load(file: SnapshotFile, onChunk: (chunk: Uint8Array) => void | Promise<void>): Promise<void> {
    const { disk, time } = this.#options
    await this.#whileReading(file.path, async () => {
      const opened = await disk.open(file.path, { create: false })
      try {
        const { damage } = await scan(opened, this.#headerOf(file.mark), async (chunk) => {
          await onChunk(chunk)
          await time.yieldBulkTurn()
        })
        if (damage !== undefined) throw this.#damaged(file, damage)
      } finally {
        await opened.close()
      }
    })
  }

  async readPart(file: SnapshotFile, position: number, bytesMax: number): Promise<Uint8Array> {
    assert(position >= 0 && position <= file.sizeBytes && bytesMax > 0, 'a part lies inside its file')
    return await this.#whileReading(file.path, async () => {
      const opened = await this.#options.disk.open(file.path, { create: false })
      try {
        const part = new Uint8Array(Math.min(bytesMax, file.sizeBytes - position))
        const count = await opened.read(position, part)
        if (count === part.length) return part
        throw this.#damaged(file, { first: position + count, end: file.sizeBytes, reason: 'it is cut short' })
      } finally {
        await opened.close()
      }
    })
  }

  async beginReceive(mark: SnapshotMark, sizeBytes: number): Promise<SnapshotReceiver> {
    const { disk, group, time } = this.#options
    const present = this.#find(mark)
    if (present !== undefined) return this.#receiverOfPresent(present, sizeBytes)
    const path = this.#path(receivingName(group, mark, sizeBytes))
    this.#begin(path)
    try {
      return await createReceiver({
        disk,
        time,
        path,
        header: this.#headerOf(mark),
        sizeBytes,
        syncEveryBytes,
        publish: () => this.#publish(path, mark),
        release: () => this.#active.delete(path),
      })
    } catch (error) {
      this.#active.delete(path)
      throw error
    }
  }

  async prune(count: number, isNeeded: (mark: SnapshotMark) => boolean = () => false): Promise<void> {
    assert(count >= 1, 'at least one snapshot is kept')
    const { disk, directory, group } = this.#options
    this.#forgetReads()
    const kept = this.#files.filter((file, slot) => slot < count || isNeeded(file.mark))
    const keep = new Set(kept.map((file) => file.path))
    for (const path of this.#reads.keys()) keep.add(path)
    this.#files = this.#files.filter((file) => keep.has(file.path))
    const newest = this.#files[0]?.mark.end.index ?? 0
    const names = await disk.list(directory)
    const resumable = newestReceiving(names, group, newest)
    let removed = 0
    for (const name of names) {
      const path = this.#path(name)
      const isOurs = parseName(name)?.group === group
      if (!isOurs || name === resumable || keep.has(path) || this.#isInUse(path)) continue
      await disk.remove(path)
      removed++
    }
    if (removed > 0) await disk.syncDirectory(directory)
  }

  // ---- writing ----

  async #writeAll(file: DiskFile, mark: SnapshotMark, next: () => Uint8Array | undefined): Promise<void> {
    const { time } = this.#options
    const header = encodeHeader(this.#headerOf(mark))
    const writer = new ByteWriter(writeBytes + 64 * 1024)
    let turnMs = time.monotonicMs()
    writer.raw(header)
    let running = runningStart(header)
    let position = 0
    let unsynced = 0
    let chunks = 0
    let bytes = 0
    const flush = async (): Promise<void> => {
      await file.write(position, [writer.view()])
      position += writer.size
      unsynced += writer.size
      writer.reset()
      if (unsynced < syncEveryBytes) return
      await file.sync()
      unsynced = 0
    }
    for (let chunk = next(); chunk !== undefined; chunk = next()) {
      running = encodeChunk(writer, chunk, running)
      chunks++
      bytes += chunk.length
      if (writer.size >= writeBytes) await flush()
      if (time.monotonicMs() - turnMs < turnMsMax) continue
      await time.yieldBulkTurn()
      turnMs = time.monotonicMs()
    }
    writer.raw(encodeTrailer({ chunks, bytes, running }))
    await flush()
  }

  /** The content under `path` is synced: makes it a snapshot. */
  async #publish(path: string, mark: SnapshotMark): Promise<SnapshotFile> {
    const { disk, directory, group, logger } = this.#options
    const finalPath = this.#path(snapshotName(group, mark))
    // Until it is on the list it would be nobody's file, and be pruned. (It is there as soon as one of two attempts is through.)
    this.#active.add(finalPath)
    try {
      await disk.rename(path, finalPath)
      await disk.syncDirectory(directory)
      const opened = await disk.open(finalPath, { create: false })
      const sizeBytes = await opened.size()
      await opened.close()
      const file: SnapshotFile = { mark, path: finalPath, sizeBytes }
      this.#files = [...this.#files.filter((other) => other.path !== finalPath), file].sort(newestFirst)
      logger.log('info', 'snapshot-listed', { path: finalPath, index: mark.end.index, bytes: sizeBytes })
      return file
    } finally {
      this.#active.delete(finalPath)
    }
  }

  /** After a failure: gives the space back where that still works. */
  async #discard(path: string): Promise<void> {
    try {
      await this.#options.disk.remove(path)
    } catch (error) {
      if (!isQuorateError(error)) throw error
      this.#options.logger.log('warn', 'snapshot-left-over', { path, reason: error.message })
    }
  }

  /** The snapshot is here already, from an earlier attempt: nothing to send, but it is checked before it counts. */
  #receiverOfPresent(file: SnapshotFile, sizeBytes: number): SnapshotReceiver {
    return {
      receivedBytes: sizeBytes,
      write: () =>
        Promise.reject(new QuorateError('invalid-argument', `all ${sizeBytes} bytes are here already`)),
      finish: async () => {
        try {
          await this.load(file, () => undefined)
        } catch (error) {
          if (isQuorateError(error, 'data-damaged')) await this.#discard(file.path)
          throw error
        }
        return file
      },
      abandon: () => Promise.resolve(),
    }
  }

  // ---- reading ----

  async #whileReading<T>(path: string, read: () => Promise<T>): Promise<T> {
    const entry = this.#reads.get(path) ?? { count: 0, lastMs: 0 }
    this.#reads.set(path, entry)
    entry.count++
    try {
      return await read()
    } finally {
      entry.count--
      entry.lastMs = this.#options.time.monotonicMs()
    }
  }

  /** Drops the entries of files that nobody reads any more. */
  #forgetReads(): void {
    const now = this.#options.time.monotonicMs()
    for (const [path, { count, lastMs }] of this.#reads) {
      if (count === 0 && now - lastMs >= readPauseMs) this.#reads.delete(path)
    }
  }

  /** Takes the file off the list, so that a fallback finds the next one, and says what is wrong. */
  #damaged(file: SnapshotFile, damage: Damage): QuorateError {
    this.#files = this.#files.filter((other) => other.path !== file.path)
    const { first, end, reason } = damage
    this.#options.logger.log('error', 'snapshot-damaged', { path: file.path, reason, first, end })
    const text = `snapshot ${file.path} (${describeMark(file.mark)}) is damaged in bytes [${first}, ${end}): ${reason}`
    return new QuorateError('data-damaged', text)
  }

  // ---- names ----

  #begin(path: string): void {
    assert(!this.#active.has(path), `${path} is being written already`)
    this.#active.add(path)
  }

  /** Asked right before a removal: meanwhile a read, a save or a transfer may have begun, or a rename happened. */
  #isInUse(path: string): boolean {
    return this.#active.has(path) || this.#reads.has(path) || this.#files.some((file) => file.path === path)
  }

  #find(mark: SnapshotMark): SnapshotFile | undefined {
    const path = this.#path(snapshotName(this.#options.group, mark))
    return this.#files.find((file) => file.path === path)
  }

  #headerOf(mark: SnapshotMark): SnapshotHeader {
    return { clusterId: this.#options.clusterId, group: this.#options.group, mark }
  }

  #path(name: string): string {
    return `${this.#options.directory}/${name}`
  }
}

function newestFirst(left: SnapshotFile, right: SnapshotFile): number {
  return right.mark.end.index - left.mark.end.index || right.mark.end.term - left.mark.end.term
}

/** The one file of an interrupted attempt that is worth keeping: the newest, if it is newer than every snapshot. */
function newestReceiving(names: readonly string[], group: number, newestIndex: number): string | undefined {
  return names.findLast((name) => {
    const parsed = parseName(name)
    return parsed?.kind === 'receiving' && parsed.group === group && parsed.index > newestIndex
  })
}
