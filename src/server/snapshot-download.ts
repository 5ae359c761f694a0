import { randomBytes } from 'node:crypto'
import type { SnapshotDownload } from '../etcd/index.ts'
import type { Disk, Time } from '../io/index.ts'
import type { SnapshotSource } from '../node/index.ts'

const blockBytes = 512
const sliceBytes = 1024 * 1024

/**
 * A snapshot for a client (`etcdctl snapshot save`): the cut goes to a file first, so that a slow client holds a file and
 * not the state. Shape: "QRTSAVE1", then each chunk as u32 length and bytes, then zeros up to a multiple of 512 bytes,
 * which etcd's clients insist on. The file is gone once the download is closed.
 */
export async function openDownload(options: {
  disk: Disk
  time: Time
  directory: string
  cut(): Promise<SnapshotSource>
}): Promise<SnapshotDownload> {
  const { disk, time, directory, cut } = options
  const path = `${directory}/download-${randomBytes(8).toString('hex')}.tmp`
  // First the cut, which may be refused: no file is made then.
  const source = await cut()
  const file = await disk.open(path, { create: true }).catch((error: unknown) => {
    source.done()
    throw error
  })
  let size = 0
  try {
    let parts: Uint8Array[] = [new TextEncoder().encode('QRTSAVE1')]
    let partsBytes = 8
    const write = async (): Promise<void> => {
      await file.write(size, parts)
      size += partsBytes
      parts = []
      partsBytes = 0
      await time.yieldBulkTurn()
    }
    for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) {
      const length = new Uint8Array(4)
      new DataView(length.buffer).setUint32(0, chunk.length, true)
      parts.push(length, chunk)
      partsBytes += 4 + chunk.length
      if (partsBytes >= sliceBytes) await write()
    }
    const padding = (blockBytes - ((size + partsBytes) % blockBytes)) % blockBytes
    parts.push(new Uint8Array(padding))
    partsBytes += padding
    await write()
  } catch (error) {
    await file.close()
    await disk.remove(path)
    throw error
  } finally {
    source.done()
  }
  return {
    sizeBytes: size,
    async read(position, count) {
      const bytes = new Uint8Array(count)
      await file.read(position, bytes)
      return bytes
    },
    close() {
      file
        .close()
        .then(() => disk.remove(path))
        .catch(() => undefined)
    },
  }
}
