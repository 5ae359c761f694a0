import type { Disk, Logger, Time } from '../io/index.ts'
import type { SnapshotMark } from '../raft/index.ts'

/**
 * Snapshot files of one group: written to a temporary name, synced, renamed, the directory synced; only then a
 * snapshot exists. Each chunk carries a checksum, the file a header (format version, cluster, group, mark) and a
 * trailer (chunk count, total bytes, checksum over all), so that a cut or damaged file is never taken for a whole one.
 */
export interface SnapshotStoreOptions {
  readonly disk: Disk
  readonly time: Time
  readonly logger: Logger
  readonly directory: string
  readonly clusterId: bigint
  readonly group: number
}

export interface SnapshotStore {
  /** Whole snapshots, newest first, by header only; a damaged header is left out and logged. */
  list(): readonly SnapshotFile[]
  /**
   * Writes a snapshot from chunks, unless one of that mark is listed; resolves when it is durable and listed. `next`
   * is called between disk writes.
   */
  save(mark: SnapshotMark, next: () => Uint8Array | undefined): Promise<SnapshotFile>
  /** Takes a snapshot off the list, because of what it holds: its file goes with the next `prune`. */
  forget(file: SnapshotFile): void
  /**
   * Feeds every chunk in order; its bytes are there until `onChunk` has resolved. Error `data-damaged` names file and byte range;
   * what was fed must be thrown away.
   */
  load(file: SnapshotFile, onChunk: (chunk: Uint8Array) => void | Promise<void>): Promise<void>
  /** Raw bytes of the file for a transfer: the same bytes make the same file on the other side. */
  readPart(file: SnapshotFile, position: number, bytesMax: number): Promise<Uint8Array>
  /** Takes the raw bytes of a file from a peer. Resumable: `received` says how far an earlier attempt came. */
  beginReceive(mark: SnapshotMark, sizeBytes: number): Promise<SnapshotReceiver>
  /**
   * Keeps the newest `count` whole ones and those that are needed, and removes the rest, and left-over temporary files. A
   * file that is being read, or was within the last minute (a transfer between two parts), stays for a later call.
   */
  prune(count: number, isNeeded?: (mark: SnapshotMark) => boolean): Promise<void>
}

export interface SnapshotFile {
  readonly mark: SnapshotMark
  readonly path: string
  readonly sizeBytes: number
}

export interface SnapshotReceiver {
  readonly receivedBytes: number
  /** In order; a part that does not begin at `receivedBytes` is refused with `invalid-argument`. */
  write(position: number, part: Uint8Array): Promise<void>
  /** Verifies every checksum, syncs and renames. Error `data-damaged`: the file was removed, begin again. */
  finish(): Promise<SnapshotFile>
  /** Keeps what came for a later attempt. */
  abandon(): Promise<void>
}
