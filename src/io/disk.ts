/**
 * The disk, as far as a log and a snapshot need it. Two implementations: the real one (io-node) and the
 * simulated one, which keeps a durable and a cache layer and loses the second at a power cut.
 *
 * Contract of durability, on which all recovery stands:
 * - Bytes written are durable once `sync` of that file, or a `write` of a file opened with
 *   `durableWrites`, has resolved. Before that any subset of them, torn at 512 bytes, may survive a power cut.
 * - A created, renamed or removed name is durable once `syncDirectory` of its directory has resolved.
 * - After a failed write or sync the state of the file is unknown. The caller stops; it never retries.
 *
 * Errors of all methods: `disk-failed` (cause kept), `disk-full`, `file-not-found`, `file-exists`.
 * Paths are absolute, or relative to the working directory, with "/" between parts.
 */
export interface Disk {
  /** Opens for reading and writing. `create`: the file must not exist yet, else `file-exists`. */
  open(path: string, options: OpenOptions): Promise<DiskFile>
  /** Names in the directory, sorted, without "." and "..". */
  list(directory: string): Promise<string[]>
  exists(path: string): Promise<boolean>
  /** Creates the directory and its missing parents, mode 0700, and syncs the parents of what it made. */
  makeDirectory(path: string): Promise<void>
  /** Renames within one directory; replaces what stands there. */
  rename(from: string, to: string): Promise<void>
  /** Removes a file. No error when it is already gone. */
  remove(path: string): Promise<void>
  /** Removes a directory and all that is in it. No error when it is already gone. */
  removeTree(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
  /** Bytes that can still be written to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
}

export interface OpenOptions {
  create: boolean
  /** Each write is durable when it resolves (one hop to the disk instead of write and sync). */
  durableWrites?: boolean
}

export interface DiskFile {
  readonly path: string
  size(): Promise<number>
  /** Fills `target` from `position`; resolves with the bytes read, fewer only at the end of the file. */
  read(position: number, target: Uint8Array): Promise<number>
  /** Writes all of `parts` one after the other from `position`; short writes are continued inside. */
  write(position: number, parts: readonly Uint8Array[]): Promise<void>
  /** Makes the content and the size durable (fdatasync). A failure is final. */
  sync(): Promise<void>
  /** Sets the size; bytes that appear are zero. */
  truncate(size: number): Promise<void>
  /** Reserves [0, size) with zeros on the medium so that later writes need no metadata; durable when resolved. */
  preallocate(size: number): Promise<void>
  close(): Promise<void>
}
