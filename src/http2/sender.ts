import { type HeaderList, HpackEncoder } from '../hpack/index.ts'
import { ConnectionFault, StreamFault } from './faults.ts'
import { frameBytesMax, http2Error, initialWindowBytes, windowBytesMax } from './frame.ts'
import { OutgoingFrames } from './outgoing-frames.ts'
import type { ServerStream } from './stream.ts'

/** So much may wait between here and the network; the rest waits in its streams. */
const outputBytesMax = 256 * 1024

export interface SenderEvents {
  /** There is something to take, or more waits. */
  output(): void
  /** The last frame of an answer is on its way. */
  localEnded(stream: ServerStream): void
}

/** What a connection needs once there is something to answer. */
interface Answers {
  readonly encoder: HpackEncoder
  /** Open streams with bytes to send and a window for them, in turn. */
  readonly queue: Set<ServerStream>
  /** Those that have only their end to send. */
  readonly ending: Set<ServerStream>
}

/**
 * The way of answers: windows and network decide when a stream's bytes leave. What fits leaves at once, in the order of
 * the calls; what does not waits in its stream, and the streams take turns, a frame each.
 */
export class Sender {
  readonly output: OutgoingFrames = new OutgoingFrames()
  readonly #events: SenderEvents
  #made: Answers | undefined
  /** Bytes that wait in all streams. */
  #pendingBytes = 0
  #window = initialWindowBytes
  #streamWindowBytes = initialWindowBytes
  #isBlocked = false
  #dataFrameCount = 0

  constructor(events: SenderEvents) {
    this.#events = events
  }

  /** The window that a new stream begins with. */
  get streamWindowBytes(): number {
    return this.#streamWindowBytes
  }

  allowTable(bytes: number): void {
    this.#answers.encoder.allowTable(bytes)
  }

  /** The network takes no more for now. */
  block(): void {
    this.#isBlocked = true
  }

  unblock(): void {
    this.#isBlocked = false
    this.pump()
  }

  headers(stream: ServerStream, headers: HeaderList, isConstant: boolean, isEnd: boolean): void {
    const { encoder } = this.#answers
    const block = isConstant ? encoder.encodeConstant(headers) : encoder.encode(headers)
    this.output.headers(stream.id, block, isEnd)
    if (isEnd) this.#events.localEnded(stream)
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** DATA frames that were sent so far. */
  get dataFrameCount(): number {
    return this.#dataFrameCount
  }

  /** The stream has so many bytes more to send than before, or its end. */
  pending(stream: ServerStream, bytes: number): void {
    this.#pendingBytes += bytes
    const { queue, ending } = this.#answers
    if (!queue.has(stream) && !ending.has(stream)) {
      this.#write(stream, Number.POSITIVE_INFINITY)
      this.#enqueue(stream)
    }
    if (this.output.size > 0 || stream.pendingBytes > 0) this.#events.output()
  }

  /** Sends what windows and network allow. */
  pump(): void {
    if (this.#made !== undefined) {
      // An end needs no window.
      this.#takeTurns(this.#made.ending, () => this.#mayWrite)
      // Whoever has a turn sends or leaves the queue, so this ends; and behind a closed window it does not begin: a client
      // could make it go round for every frame.
      this.#takeTurns(this.#made.queue, () => this.#mayWrite && this.#window > 0)
    }
    if (this.output.size > 0) this.#events.output()
  }

  /** The stream has closed: what it had to send goes with it. */
  forget(stream: ServerStream): void {
    this.#made?.queue.delete(stream)
    this.#made?.ending.delete(stream)
    this.#pendingBytes -= stream.pendingBytes
  }

  /** Section 6.9.1. */
  grow(increment: number): void {
    if (increment === 0) throw new ConnectionFault(http2Error.protocolError, 'a window grows by nothing')
    this.#window += increment
    if (this.#window > windowBytesMax) throw beyondWindow()
    this.pump()
  }

  growStream(stream: ServerStream, increment: number): void {
    if (increment === 0) throw new StreamFault(http2Error.protocolError, stream, 'a window grows by nothing')
    stream.sendWindow += increment
    if (stream.sendWindow > windowBytesMax) {
      throw new StreamFault(http2Error.flowControlError, stream, 'a window beyond 2^31 - 1')
    }
    this.#enqueue(stream)
    this.pump()
  }

  /** The peer's INITIAL_WINDOW_SIZE moves all windows, below zero even (section 6.9.2). */
  moveStreamWindows(bytes: number, streams: Iterable<ServerStream>): void {
    const difference = bytes - this.#streamWindowBytes
    this.#streamWindowBytes = bytes
    for (const stream of streams) {
      stream.sendWindow += difference
      if (stream.sendWindow > windowBytesMax) throw beyondWindow()
      this.#enqueue(stream)
    }
  }

  #takeTurns(queue: Set<ServerStream>, mayGoOn: () => boolean): void {
    while (mayGoOn()) {
      const { value: stream } = queue.values().next()
      if (stream === undefined) return
      queue.delete(stream)
      this.#write(stream, 1)
      this.#enqueue(stream)
      stream.drained()
    }
  }

  get #answers(): Answers {
    this.#made ??= { encoder: new HpackEncoder(), queue: new Set(), ending: new Set() }
    return this.#made
  }

  get #mayWrite(): boolean {
    return !this.#isBlocked && this.output.size < outputBytesMax
  }

  #enqueue(stream: ServerStream): void {
    if (stream.isClosed) return
    const canSend = stream.pendingBytes > 0 && stream.sendWindow > 0
    const canEnd = stream.pendingBytes === 0 && stream.ending !== undefined && !stream.isLocalEnded
    if (canSend) this.#answers.queue.add(stream)
    else if (canEnd) this.#answers.ending.add(stream)
  }

  #write(stream: ServerStream, frameCountMax: number): void {
    if (stream.isClosed || !this.#mayWrite) return
    for (let count = 0; count < frameCountMax && stream.pendingBytes > 0; count++) {
      const room = Math.min(stream.sendWindow, this.#window, frameBytesMax)
      if (room <= 0 || !this.#mayWrite) return
      const piece = stream.takePending(room)
      this.#pendingBytes -= piece.length
      stream.sendWindow -= piece.length
      this.#window -= piece.length
      this.output.data(stream.id, piece, false)
      this.#dataFrameCount++
    }
    const { ending } = stream
    if (ending === undefined || stream.pendingBytes > 0 || stream.isLocalEnded) return
    this.headers(stream, ending.trailers, ending.isConstant, true)
  }
}

function beyondWindow(): ConnectionFault {
  return new ConnectionFault(http2Error.flowControlError, 'a window beyond 2^31 - 1')
}
