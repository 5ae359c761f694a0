import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  mkdir,
  open,
  read,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  unlink,
  write,
  writev,
} from 'node:fs'
import { dirname } from 'node:path'
import { assert, QuorateError } from '../base/index.ts'
import type { Disk, DiskFile, OpenOptions } from '../io/index.ts'

/** Zeros are written in pieces of this size, so that a write of the log waits for one piece and not for a segment. */
const preallocatePieceBytes = 1024 * 1024
const zeros = new Uint8Array(preallocatePieceBytes)

/**
 * Linux makes a write with O_DSYNC durable in the same system call. Elsewhere (macOS answers before the medium has it)
 * a durable write is a write and then fdatasync, which libuv turns into the call that really waits.
 */
const dsyncFlag = process.platform === 'linux' ? constants.O_DSYNC : 0

type Callback<T> = (error: NodeJS.ErrnoException | null, value: T) => void

/** The real disk. */
export function createNodeDisk(): Disk {
  return {
    open: openFile,
    async list(directory) {
      const names = await call<string[]>('list', directory, (done) => readdir(directory, done))
      return names.sort()
    },
    exists,
    makeDirectory,
    rename: (from, to) => call('rename', from, (done) => rename(from, to, done as () => void)),
    async remove(path) {
      try {
        await call('remove', path, (done) => unlink(path, done as () => void))
      } catch (error) {
        if (!(error instanceof QuorateError && error.code === 'file-not-found')) throw error
      }
    },
    removeTree: (path) =>
      call('remove', path, (done) => rm(path, { recursive: true, force: true }, done as () => void)),
    syncDirectory,
    async freeBytes(path) {
      const found = await call<{ bavail: number; bsize: number }>('statfs', path, (done) =>
        statfs(path, done),
      )
      return found.bavail * found.bsize
    },
  }
}

async function openFile(path: string, options: OpenOptions): Promise<DiskFile> {
  const durableWrites = options.durableWrites ?? false
  const flags =
    constants.O_RDWR |
    (options.create ? constants.O_CREAT | constants.O_EXCL : 0) |
    (durableWrites ? dsyncFlag : 0)
  const descriptor = await call<number>('open', path, (done) => open(path, flags, 0o600, done))
  return new NodeDiskFile(path, descriptor, durableWrites && dsyncFlag === 0)
}

async function exists(path: string): Promise<boolean> {
  try {
    await call('stat', path, (done) => stat(path, done))
    return true
  } catch (error) {
    if (error instanceof QuorateError && error.code === 'file-not-found') return false
    throw error
  }
}

async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = path; !(await exists(at)); at = dirname(at)) missing.push(at)
  for (const directory of missing.reverse()) {
    try {
      await call('make directory', directory, (done) => mkdir(directory, 0o700, done as () => void))
    } catch (error) {
      // Somebody else made it meanwhile; what it is will show when it is used.
      if (!(error instanceof QuorateError && error.code === 'file-exists')) throw error
    }
    await syncDirectory(dirname(directory))
  }
}

async function syncDirectory(path: string): Promise<void> {
  const descriptor = await call<number>('open', path, (done) =>
    open(path, constants.O_RDONLY | constants.O_DIRECTORY, done),
  )
  try {
    await call('sync', path, (done) => fsync(descriptor, done as () => void))
  } finally {
    await call('close', path, (done) => close(descriptor, done as () => void))
  }
}

/**
 * Callbacks of node:fs and not fs/promises: one promise a call instead of several, on the road of every write.
 * A descriptor is a number that the system gives out again, so `close` waits for the operations under way, and
 * nothing starts after it.
 */
class NodeDiskFile implements DiskFile {
  readonly path: string
  readonly #descriptor: number
  readonly #syncAfterWrite: boolean
  #operations = 0
  #isClosed = false
  #onIdle: (() => void) | undefined

  constructor(path: string, descriptor: number, syncAfterWrite: boolean) {
    this.path = path
    this.#descriptor = descriptor
    this.#syncAfterWrite = syncAfterWrite
  }

  async size(): Promise<number> {
    const found = await this.#run<{ size: number }>('stat', (done) => fstat(this.#descriptor, done))
    return found.size
  }

  async read(position: number, target: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      const count = await this.#run<number>('read', (done) =>
        read(this.#descriptor, target, filled, target.length - filled, position + filled, done),
      )
      if (count === 0) break
      filled += count
    }
    return filled
  }

  async write(position: number, parts: readonly Uint8Array[]): Promise<void> {
    let rest = parts.filter((part) => part.length > 0)
    let at = position
    while (rest.length > 0) {
      const count = await this.#writeOnce(at, rest)
      if (count === 0) throw new QuorateError('disk-failed', `write ${this.path}: no byte was taken`)
      at += count
      rest = dropBytes(rest, count)
    }
    if (this.#syncAfterWrite) await this.sync()
  }

  sync(): Promise<void> {
    return this.#run('sync', (done) => fdatasync(this.#descriptor, done as () => void))
  }

  truncate(size: number): Promise<void> {
    return this.#run('truncate', (done) => ftruncate(this.#descriptor, size, done as () => void))
  }

  async preallocate(size: number): Promise<void> {
    for (let at = await this.size(); at < size; at += preallocatePieceBytes) {
      await this.write(at, [zeros.subarray(0, Math.min(preallocatePieceBytes, size - at))])
    }
    // fsync and not fdatasync: the point is that size and block map need not be written again later.
    await this.#run('sync', (done) => fsync(this.#descriptor, done as () => void))
  }

  async close(): Promise<void> {
    assert(!this.#isClosed, 'a file is closed once')
    this.#isClosed = true
    if (this.#operations > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    await call('close', this.path, (done) => close(this.#descriptor, done as () => void))
  }

  #writeOnce(position: number, parts: readonly Uint8Array[]): Promise<number> {
    const [first] = parts as [Uint8Array]
    return this.#run<number>('write', (done) => {
      if (parts.length === 1) write(this.#descriptor, first, 0, first.length, position, done)
      else writev(this.#descriptor, parts, position, done)
    })
  }

  #run<T>(action: string, start: (done: Callback<T>) => void): Promise<T> {
    assert(!this.#isClosed, 'a closed file is not used')
    this.#operations++
    return new Promise((resolve, reject) => {
      start((error, value) => {
        this.#operations--
        if (error) reject(diskError(action, this.path, error))
        else resolve(value)
        if (this.#operations === 0) this.#onIdle?.()
      })
    })
  }
}

/** What is left of `parts` when the first `count` bytes are gone: how a short write goes on. */
export function dropBytes(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = count
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length
    else {
      rest.push(skip === 0 ? part : part.subarray(skip))
      skip = 0
    }
  }
  return rest
}

function call<T>(action: string, path: string, start: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(diskError(action, path, error))
      else resolve(value)
    })
  })
}

function diskError(action: string, path: string, cause: NodeJS.ErrnoException): QuorateError {
  const text = `${action} ${path}: ${cause.message}`
  switch (cause.code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new QuorateError('disk-full', text, { cause })
    case 'ENOENT':
      return new QuorateError('file-not-found', text, { cause })
    case 'EEXIST':
      return new QuorateError('file-exists', text, { cause })
    default:
      return new QuorateError('disk-failed', text, { cause })
  }
}
