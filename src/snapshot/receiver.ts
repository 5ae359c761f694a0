import { assert, QuorateError } from '../base/index.ts'
import type { Disk, DiskFile, Time } from '../io/index.ts'
import type { SnapshotFile, SnapshotReceiver } from './contract.ts'
import { describeHeader, type SnapshotHeader } from './format.ts'
import { scan } from './scan.ts'

export interface ReceiverOptions {
  readonly disk: Disk
  readonly time: Time
  readonly path: string
  readonly header: SnapshotHeader
  readonly sizeBytes: number
  /** Synced at least this often. */
  readonly syncEveryBytes: number
  /** Makes the synced file a snapshot. */
  readonly publish: () => Promise<SnapshotFile>
  /** The path is not written to any more. */
  readonly release: () => void
}

/**
 * Takes up what an earlier attempt left, if anything. After a crash the size of a file says nothing about its bytes,
 * so what counts is what its own checksums prove: whole chunks from the start. The rest is cut off.
 */
export async function createReceiver(options: ReceiverOptions): Promise<SnapshotReceiver> {
  const { disk, path, header, sizeBytes } = options
  const isKnown = await disk.exists(path)
  const file = await disk.open(path, { create: !isKnown })
  try {
    let received = 0
    if (isKnown) {
      const { checkedBytes } = await scan(file, header, () => options.time.yieldBulkTurn())
      received = checkedBytes <= sizeBytes ? checkedBytes : 0
      await file.truncate(received)
    }
    return new FileReceiver(options, file, received)
  } catch (error) {
    await file.close()
    throw error
  }
}

class FileReceiver implements SnapshotReceiver {
  readonly #options: ReceiverOptions
  readonly #file: DiskFile
  #received: number
  #unsynced = 0
  #underWay: Promise<unknown> | undefined
  #isOver = false

  constructor(options: ReceiverOptions, file: DiskFile, received: number) {
    this.#options = options
    this.#file = file
    this.#received = received
  }

  get receivedBytes(): number {
    return this.#received
  }

  async write(position: number, part: Uint8Array): Promise<void> {
    const { sizeBytes, syncEveryBytes } = this.#options
    if (position !== this.#received || part.length > sizeBytes - position) {
      const text = `bytes [${position}, ${position + part.length}) do not follow ${this.#received} of ${sizeBytes}`
      throw new QuorateError('invalid-argument', text)
    }
    await this.#exclusively(async () => {
      await this.#file.write(position, [part])
      this.#received += part.length
      this.#unsynced += part.length
      if (this.#unsynced < syncEveryBytes) return
      await this.#file.sync()
      this.#unsynced = 0
    })
  }

  async finish(): Promise<SnapshotFile> {
    const { disk, path, header, sizeBytes, time, publish } = this.#options
    if (this.#received !== sizeBytes) {
      throw new QuorateError('invalid-argument', `${this.#received} of ${sizeBytes} bytes have come`)
    }
    return await this.#exclusively(async () => {
      this.#isOver = true
      try {
        const { damage } = await scan(this.#file, header, () => time.yieldBulkTurn())
        if (damage !== undefined) {
          await this.#file.close()
          await disk.remove(path)
          const { first, end, reason } = damage
          const what = `received ${path} (${describeHeader(header)})`
          throw new QuorateError('data-damaged', `${what} is damaged in bytes [${first}, ${end}): ${reason}`)
        }
        await this.#file.sync()
        await this.#file.close()
        return await publish()
      } finally {
        this.#options.release()
      }
    })
  }

  async abandon(): Promise<void> {
    // The sender may have gone while a part is still being written.
    await this.#underWay?.catch(() => undefined)
    if (this.#isOver) return
    await this.#exclusively(async () => {
      this.#isOver = true
      try {
        await this.#file.close()
      } finally {
        this.#options.release()
      }
    })
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    assert(this.#underWay === undefined, 'a receiver does one thing at a time')
    assert(!this.#isOver, 'a receiver that is finished or abandoned takes nothing more')
    const underWay = work()
    this.#underWay = underWay
    try {
      return await underWay
    } finally {
      this.#underWay = undefined
    }
  }
}
