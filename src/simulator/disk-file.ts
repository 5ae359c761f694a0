import {
  assert,
  concatBytes,
  crc32c,
  equalBytes,
  isQuorateError,
  QuorateError,
  type SeededRandom,
} from '../base/index.ts'
import type { DiskFile, OpenOptions } from '../io/index.ts'
import type { DiskOperation } from './disk.ts'
import type { FileNode } from './disk-nodes.ts'

/** A process as the disk sees it; its operations resolve only while it lives. */
export interface DiskProcess {
  isAlive: boolean
  openFiles: number
  deliver: (callback: () => void) => void
}

/** One operation on its way: what it is called, and what it does once its time has come. */
export interface DiskAction<T> {
  readonly operation: DiskOperation
  readonly path: string
  readonly bytes?: number
  readonly isDurable?: boolean
  readonly effect: () => T
  /** The effect when the process or the power ends meanwhile; default: `effect`, its error dropped. */
  readonly interrupted?: () => void
  /** What a failure leaves behind. */
  readonly failed?: () => void
}

/** What a file needs of its disk. */
export interface DiskFileWorld {
  readonly random: SeededRandom
  readonly misuse: string[]
  perform<T>(process: DiskProcess, action: DiskAction<T>): Promise<T>
  freeBytes(): number
  /** A write to `file` has taken effect in the cache. */
  written(file: FileNode): void
  /** Mixes a number into the digest of the run. */
  note(value: number): void
}

/** A handle on `file`, opened by `process`. */
export function openDiskFile(
  world: DiskFileWorld,
  process: DiskProcess,
  file: FileNode,
  options: OpenOptions & { readonly path: string },
): DiskFile {
  const { path } = options
  const isDurable = options.durableWrites === true
  const writing = new Set<{ first: number; end: number }>()
  let isClosed = false
  let hasFailed = false
  process.openFiles++

  const run = <T>(action: Omit<DiskAction<T>, 'path'>): Promise<T> => {
    assert(!isClosed || !process.isAlive, `${path} is used after close`)
    if (hasFailed && (action.operation === 'write' || action.operation === 'sync')) {
      world.misuse.push(`${action.operation} of ${path} after a failure`)
    }
    return world.perform(process, { ...action, path }).catch((error: unknown) => {
      if (isQuorateError(error, 'disk-failed')) hasFailed = true
      throw error
    })
  }
  const grow = (size: number): void => {
    const added = size - file.cache.size
    if (added > 0 && added > world.freeBytes()) {
      throw new QuorateError('disk-full', `no space for ${added} more bytes in ${path}`)
    }
  }

  return {
    path,
    size: () => run({ operation: 'size', effect: () => file.cache.size }),
    read: (position, target) =>
      run({
        operation: 'read',
        bytes: target.length,
        effect: () => file.cache.read(position, target),
        interrupted: () => undefined,
      }),
    write: async (position, parts) => {
      const bytes = concatBytes(parts)
      const range = { first: position, end: position + bytes.length }
      for (const other of writing) {
        const overlaps = range.first < other.end && other.first < range.end
        assert(!overlaps, `two writes at once to the same bytes of ${path}`)
      }
      world.note(crc32c(bytes, position >>> 0))
      const writePart = (length: number): void => {
        if (length === 0) return
        file.write(position, bytes.subarray(0, length))
        world.written(file)
      }
      const someLength = (): number => world.random.between(0, bytes.length + 1)
      writing.add(range)
      try {
        await run({
          operation: 'write',
          bytes: bytes.length,
          isDurable,
          effect: () => {
            assert(equalBytes(bytes, concatBytes(parts)), `bytes changed while they were written to ${path}`)
            try {
              grow(range.end)
            } catch (error) {
              // The system writes what fits, then refuses the rest.
              writePart(Math.min(bytes.length, Math.max(0, file.cache.size + world.freeBytes() - position)))
              throw error
            }
            writePart(bytes.length)
            if (isDurable) file.flush(file.changeEnd)
          },
          interrupted: () => writePart(world.random.chance(0.7) ? bytes.length : someLength()),
          failed: () => {
            writePart(someLength())
            if (isDurable) file.loseDirty(file.changeEnd, world.random)
          },
        })
      } finally {
        writing.delete(range)
      }
    },
    sync: () => {
      const end = file.changeEnd
      return run({
        operation: 'sync',
        effect: () => file.flush(end),
        failed: () => file.loseDirty(end, world.random),
      })
    },
    truncate: (size) =>
      run({
        operation: 'truncate',
        effect: () => {
          grow(size)
          file.resize(size)
        },
      }),
    preallocate: (size) =>
      run({
        operation: 'preallocate',
        bytes: size,
        effect: () => {
          grow(size)
          if (size > file.cache.size) file.resize(size)
          file.flush(file.changeEnd)
        },
        interrupted: () => {
          if (size > file.cache.size) file.resize(size)
        },
      }),
    close: async () => {
      if (isClosed) return
      const closing = run({ operation: 'close', effect: () => undefined })
      isClosed = true
      process.openFiles--
      await closing
    },
  }
}
