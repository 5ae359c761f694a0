import { QuorateError } from '../base/index.ts'
import type { Disk, DiskFile, OpenOptions } from '../io/index.ts'

/**
 * A disk in memory, for a node that keeps nothing when its process ends: every operation is done when its promise
 * resolves, nothing ever fails, nothing survives. Names are paths; a directory exists once it was made.
 */
export function createMemoryDisk(): Disk {
  const files = new Map<string, MemoryContent>()
  const directories = new Set<string>()
  return {
    async open(path: string, options: OpenOptions): Promise<DiskFile> {
      let content = files.get(path)
      if (options.create) {
        if (content !== undefined) throw new QuorateError('file-exists', `${path} exists already`)
        content = { bytes: new Uint8Array(0), size: 0 }
        files.set(path, content)
      }
      if (content === undefined) throw new QuorateError('file-not-found', `there is no file ${path}`)
      return openFile(path, content)
    },
    async list(directory: string): Promise<string[]> {
      const names = new Set<string>()
      for (const path of [...files.keys(), ...directories]) {
        if (path.startsWith(`${directory}/`))
          names.add(path.slice(directory.length + 1).split('/')[0] as string)
      }
      return [...names].sort()
    },
    async exists(path: string): Promise<boolean> {
      return files.has(path) || directories.has(path)
    },
    async makeDirectory(path: string): Promise<void> {
      directories.add(path)
    },
    async rename(from: string, to: string): Promise<void> {
      const content = files.get(from)
      if (content === undefined) throw new QuorateError('file-not-found', `there is no file ${from}`)
      files.delete(from)
      files.set(to, content)
    },
    async remove(path: string): Promise<void> {
      files.delete(path)
    },
    async removeTree(path: string): Promise<void> {
      directories.delete(path)
      for (const name of [...files.keys()]) if (name.startsWith(`${path}/`)) files.delete(name)
      for (const name of [...directories]) if (name.startsWith(`${path}/`)) directories.delete(name)
    },
    async syncDirectory(): Promise<void> {},
    async freeBytes(): Promise<number> {
      return Number.MAX_SAFE_INTEGER
    },
  }
}

interface MemoryContent {
  bytes: Uint8Array
  size: number
}

function openFile(path: string, content: MemoryContent): DiskFile {
  const reserve = (size: number): void => {
    if (size > content.bytes.length) {
      const larger = new Uint8Array(Math.max(size, content.bytes.length * 2))
      larger.set(content.bytes.subarray(0, content.size))
      content.bytes = larger
    }
    if (size > content.size) content.size = size
  }
  return {
    path,
    async size(): Promise<number> {
      return content.size
    },
    async read(position: number, target: Uint8Array): Promise<number> {
      const count = Math.max(0, Math.min(target.length, content.size - position))
      target.set(content.bytes.subarray(position, position + count))
      return count
    },
    async write(position: number, parts: readonly Uint8Array[]): Promise<void> {
      let at = position
      for (const part of parts) {
        reserve(at + part.length)
        content.bytes.set(part, at)
        at += part.length
      }
    },
    async sync(): Promise<void> {},
    async truncate(size: number): Promise<void> {
      if (size < content.size) content.bytes.fill(0, size, content.size)
      reserve(size)
      content.size = size
    },
    async preallocate(size: number): Promise<void> {
      reserve(size)
    },
    async close(): Promise<void> {},
  }
}
