import { isQuorateError, type NodeId } from '../base/index.ts'
import type { Logger, Maybe, Time } from '../io/index.ts'
import type { LogEnd, SnapshotMark } from '../raft/index.ts'
import type { SnapshotFile, SnapshotReceiver, SnapshotStore } from '../snapshot/index.ts'
import type { NodeMessage } from './node-message-codec.ts'

/**
 * Moves snapshot files between nodes. The receiver pulls part after part with a small window, which is its
 * back-pressure; what already arrived survives a lost connection and a restart, and the pull goes on from there.
 */
export interface SnapshotTransferOptions {
  readonly time: Time
  readonly logger: Logger
  readonly maybe: Maybe
  readonly snapshots: SnapshotStore
  send(to: NodeId, message: NodeMessage): boolean
  /** A snapshot is whole and checked on this node. */
  received(file: SnapshotFile): void
  /** What became of a snapshot that was announced to a peer: told once. */
  sent(to: NodeId, result: 'delivered' | 'failed', end: LogEnd): void
  failed(error: unknown): void
}

const partBytesMax = 256 * 1024
/** As much may be under way as a leader sends in a few appends: a busy one answers late. */
const windowParts = 16
const stalledMs = 1_000
/** A peer that asks for nothing for so long has given up. */
const abandonedMs = 10_000
/** So long the log waits for a peer to install what it was sent and to catch up: a slower one needs the next snapshot. */
const catchUpMs = 60_000

interface PartRequest {
  readonly end: LogEnd
  readonly position: number
  readonly bytesMax: number
}

interface Pull {
  readonly from: NodeId
  readonly mark: SnapshotMark
  receiver: SnapshotReceiver | undefined
  /** Asked for up to here. */
  askedBytes: number
  sizeBytes: number | undefined
  lastProgressMs: number
  isOver: boolean
}

export class SnapshotTransfer {
  readonly #options: SnapshotTransferOptions
  #pull: Pull | undefined
  /** What is written to the disk, of all pulls one after the other: the next one may be of the same file. */
  #writing: Promise<void> = Promise.resolve()
  /** Announced to peers and not finished. */
  readonly #offers = new Map<NodeId, { readonly end: LogEnd; lastAskedMs: number }>()

  /** The last answer to each peer. */
  readonly #answers = new Map<NodeId, Promise<void>>()
  /** What each peer was sent to the last byte. */
  readonly #delivered = new Map<NodeId, LogEnd>()
  /** Those that install what they were sent, or go on behind it. */
  readonly #catchingUp = new Map<NodeId, { readonly end: LogEnd; readonly sinceMs: number }>()

  constructor(options: SnapshotTransferOptions) {
    this.#options = options
  }

  /**
   * Whether the log behind the newest snapshot, which ends at `index`, is still needed: one is on its way to some peer, or
   * may be, or a peer that was sent one has not come past `index`. Over for a peer that has come past a later one.
   * `matchOf`: how far a peer is known to be; undefined where that is no matter.
   */
  needsLog(index: number, matchOf: (peer: NodeId) => number | undefined): boolean {
    const nowMs = this.#options.time.monotonicMs()
    let isNeeded = this.#offers.size > 0
    for (const [peer, { end, sinceMs }] of this.#catchingUp) {
      const isPast = (matchOf(peer) ?? index) >= index
      if (!isPast && nowMs - sinceMs < catchUpMs) isNeeded = true
      else if (!isPast || index > end.index) this.#catchingUp.delete(peer)
    }
    return isNeeded
  }

  /**
   * Begins to pull what the leader announced, unless just that is being pulled already. Anything else ends here: the
   * leader before may be gone for good, and of one leader the newest announcement counts.
   */
  begin(from: NodeId, mark: SnapshotMark): void {
    const current = this.#pull
    if (current?.from === from && isSameEnd(current.mark.end, mark.end)) return
    if (current !== undefined) this.#abandon(current)
    this.#options.logger.log('info', 'snapshot-receiving', { from, index: mark.end.index })
    const pull: Pull = {
      from,
      mark,
      receiver: undefined,
      askedBytes: 0,
      sizeBytes: undefined,
      lastProgressMs: this.#options.time.monotonicMs(),
      isOver: false,
    }
    this.#pull = pull
    this.#ask(pull, 0, 1)
  }

  isReceivingFrom(peer: NodeId): boolean {
    return this.#pull?.from === peer
  }

  /** The sender's side: a snapshot was announced to `to`, which will ask for its parts. */
  offer(to: NodeId, end: LogEnd): void {
    this.#offers.set(to, { end, lastAskedMs: this.#options.time.monotonicMs() })
    const before = this.#delivered.get(to)
    if (before !== undefined && isSameEnd(before, end)) this.#doubt(to, end)
  }

  /** Every byte of this snapshot was sent to the peer, and it asks again: the file here may be damaged. */
  #doubt(to: NodeId, end: LogEnd): void {
    const { snapshots } = this.#options
    this.#delivered.delete(to)
    const file = snapshots.list().find((candidate) => isSameEnd(candidate.mark.end, end))
    if (file === undefined) return
    // A damaged file leaves the list by being read.
    snapshots
      .load(file, () => undefined)
      .catch((error: unknown) => {
        if (isQuorateError(error, 'data-damaged')) this.#close(to, 'failed')
        else this.#options.failed(error)
      })
  }

  /**
   * The sender's side: answers with the bytes asked for, or says that the snapshot is not there any more. All that a peer
   * asks for is read at once and answered in the order in which it asked, as it takes the parts in no other.
   */
  async serve(to: NodeId, request: PartRequest): Promise<void> {
    const answer = this.#answer(to, request, this.#answers.get(to))
    this.#answers.set(to, answer)
    await answer
  }

  async #answer(to: NodeId, request: PartRequest, before: Promise<void> | undefined): Promise<void> {
    const { snapshots, send, time, maybe } = this.#options
    const offer = this.#offers.get(to)
    if (offer !== undefined) offer.lastAskedMs = time.monotonicMs()
    const file = snapshots.list().find((candidate) => isSameEnd(candidate.mark.end, request.end))
    if (file === undefined || request.position > file.sizeBytes || maybe('snapshot-gone')) {
      send(to, { kind: 'snapshotGone', end: request.end })
      this.#close(to, 'failed')
      return
    }
    try {
      const bytesMax = maybe('snapshot-part-short') ? 1 : partBytesMax
      const bytes = await snapshots.readPart(file, request.position, Math.min(request.bytesMax, bytesMax))
      await before
      const { end, position } = request
      send(to, { kind: 'snapshotPart', end, position, sizeBytes: file.sizeBytes, bytes })
      if (position + bytes.length < file.sizeBytes) return
      this.#delivered.set(to, end)
      this.#catchingUp.set(to, { end, sinceMs: this.#options.time.monotonicMs() })
      this.#close(to, 'delivered')
    } catch (error) {
      if (!isQuorateError(error)) throw error
      this.#options.logger.log('warn', 'snapshot-part-unreadable', { path: file.path, cause: error.message })
      send(to, { kind: 'snapshotGone', end: request.end })
      this.#close(to, 'failed')
    }
  }

  part(from: NodeId, part: { end: LogEnd; position: number; sizeBytes: number; bytes: Uint8Array }): void {
    const pull = this.#pull
    if (pull === undefined || pull.from !== from || !isSameEnd(pull.mark.end, part.end)) return
    pull.lastProgressMs = this.#options.time.monotonicMs()
    this.#writing = this.#writing
      .then(() => this.#take(pull, part))
      .catch((error) => this.#broken(pull, error))
  }

  gone(from: NodeId, end: LogEnd): void {
    const pull = this.#pull
    if (pull === undefined || pull.from !== from || !isSameEnd(pull.mark.end, end)) return
    this.#abandon(pull)
  }

  /** The sender's side: what was under way to this peer may be lost, so the snapshot is announced again. */
  peerLost(to: NodeId): void {
    this.#catchingUp.delete(to)
    this.#close(to, 'failed')
  }

  /** Resolves once nothing is written any more; what came stays for a later attempt. */
  async stop(): Promise<void> {
    if (this.#pull !== undefined) this.#abandon(this.#pull)
    await this.#writing
  }

  /** Asks again for what did not come, and gives up peers that do not ask any more. */
  tick(): void {
    const pull = this.#pull
    const { time } = this.#options
    for (const [to, { lastAskedMs }] of this.#offers) {
      if (time.monotonicMs() - lastAskedMs > abandonedMs) this.#close(to, 'failed')
    }
    if (pull === undefined || time.monotonicMs() - pull.lastProgressMs < stalledMs) return
    pull.lastProgressMs = time.monotonicMs()
    const position = pull.receiver?.receivedBytes ?? 0
    pull.askedBytes = position
    this.#ask(pull, position, 1)
  }

  #close(to: NodeId, result: 'delivered' | 'failed'): void {
    const offer = this.#offers.get(to)
    if (offer === undefined) return
    this.#offers.delete(to)
    this.#options.sent(to, result, offer.end)
  }

  async #take(pull: Pull, part: { position: number; sizeBytes: number; bytes: Uint8Array }): Promise<void> {
    if (pull.isOver) return
    if (pull.receiver === undefined) {
      pull.receiver = await this.#options.snapshots.beginReceive(pull.mark, part.sizeBytes)
      pull.sizeBytes = part.sizeBytes
      pull.askedBytes = pull.receiver.receivedBytes
    }
    const { receiver } = pull
    if (part.position === receiver.receivedBytes && part.bytes.length > 0) {
      await receiver.write(part.position, part.bytes)
    }
    if (receiver.receivedBytes >= part.sizeBytes) {
      const file = await receiver.finish()
      const isCurrent = this.#pull === pull
      this.#finish(pull)
      if (isCurrent) this.#options.received(file)
      return
    }
    const windowEnd = receiver.receivedBytes + windowParts * partBytesMax
    while (pull.askedBytes < Math.min(windowEnd, part.sizeBytes)) {
      const position = Math.max(pull.askedBytes, receiver.receivedBytes)
      this.#ask(pull, position, partBytesMax)
      pull.askedBytes = position + partBytesMax
    }
  }

  #ask(pull: Pull, position: number, bytesMax: number): void {
    this.#options.send(pull.from, { kind: 'snapshotRequest', end: pull.mark.end, position, bytesMax })
  }

  /** A part that does not fit or a damaged file ends this pull; the leader announces the snapshot again. */
  async #broken(pull: Pull, error: unknown): Promise<void> {
    this.#finish(pull)
    await this.#release(pull)
    if (isQuorateError(error, 'data-damaged', 'invalid-argument', 'disk-full')) {
      this.#options.logger.log('warn', 'snapshot-receive-failed', { cause: error.message })
    } else this.#options.failed(error)
  }

  /** Ends a pull that is not through. */
  #abandon(pull: Pull): void {
    this.#finish(pull)
    this.#writing = this.#writing.then(() => this.#release(pull))
  }

  async #release(pull: Pull): Promise<void> {
    try {
      await pull.receiver?.abandon()
    } catch (error) {
      this.#options.failed(error)
    }
  }

  #finish(pull: Pull): void {
    pull.isOver = true
    if (this.#pull === pull) this.#pull = undefined
  }
}

function isSameEnd(left: LogEnd, right: LogEnd): boolean {
  return left.index === right.index && left.term === right.term && left.chain === right.chain
}
