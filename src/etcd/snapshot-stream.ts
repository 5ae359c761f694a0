import { encodeSnapshotResponse } from '../etcd-codec/index.ts'
import type { GrpcStream, GrpcStreamHandlers } from '../grpc/index.ts'
import type { EtcdDependencies, SnapshotDownload } from './dependencies.ts'

const blobSize = 32 * 1024
/** Clients check that what they saved is a multiple of this, and the checksum behind it. */
const alignment = 512

/**
 * A snapshot as etcd sends it: blobs with the bytes that remain after each, zeros up to a multiple of 512, then the
 * SHA-256 of all of it in a message of its own. As fast as the client reads, one blob in memory.
 */
export function streamSnapshot(
  from: EtcdDependencies,
  stream: GrpcStream,
  fail: (error: unknown) => void,
): Partial<GrpcStreamHandlers> {
  let isStarted = false
  let isClosed = false
  let wakeUp: (() => void) | undefined
  const wake = (): void => {
    wakeUp?.()
    wakeUp = undefined
  }
  const send = async (message: Uint8Array): Promise<void> => {
    if (isClosed || stream.send(message)) return
    await new Promise<void>((resolve) => {
      wakeUp = resolve
    })
  }
  return {
    onMessage() {
      if (isStarted) return
      isStarted = true
      sendAll(from, send, () => isClosed).then(() => {
        if (!isClosed) stream.end()
      }, fail)
    },
    onDrain: wake,
    onClose() {
      isClosed = true
      wake()
    },
  }
}

async function sendAll(
  from: EtcdDependencies,
  send: (message: Uint8Array) => Promise<void>,
  isClosed: () => boolean,
): Promise<void> {
  const download = await from.maintenance.openSnapshot()
  try {
    const sha256 = from.maintenance.createSha256()
    const total = Math.ceil(download.sizeBytes / alignment) * alignment
    for (let position = 0; position < total && !isClosed(); position += blobSize) {
      const blob = await readPadded(download, position, Math.min(blobSize, total - position))
      sha256.update(blob)
      await send(messageOf(from, blob, total - position - blob.length))
    }
    await send(messageOf(from, sha256.digest(), 0))
  } finally {
    download.close()
  }
}

async function readPadded(download: SnapshotDownload, position: number, size: number): Promise<Uint8Array> {
  const present = Math.min(size, download.sizeBytes - position)
  const bytes = await download.read(position, present)
  if (present === size) return bytes
  const padded = new Uint8Array(size)
  padded.set(bytes)
  return padded
}

/** etcd sends no header here. */
function messageOf(from: EtcdDependencies, blob: Uint8Array, remainingBytes: number): Uint8Array {
  return encodeSnapshotResponse({
    header: undefined,
    remainingBytes,
    blob,
    version: from.options.storageVersion,
  })
}
