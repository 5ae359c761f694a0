import { formatId, type NodeId, present, QuorateError, RingQueue, type SeededRandom } from '../base/index.ts'
import {
  type Address,
  type Connection,
  type Logger,
  type Maybe,
  type Network,
  never,
  type Time,
  type Timer,
} from '../io/index.ts'
import { decodeHelloAnswer, encodeHello, type Hello, type RefusalReason } from './handshake.ts'
import { classOf, encodePeerMessage, type PeerMessage } from './peer-codec.ts'
import { FrameReader, frameClass, framesOf } from './peer-frame.ts'

/**
 * The one socket on which this node speaks to one peer. It stays up: a lost connection is dialled again with back-off.
 * Control frames go before bulk frames. What cannot be queued is dropped and reported by `send`: raft repeats what
 * matters. A message belongs to one connection only, so nothing of an old connection can follow on a new one.
 */
export interface PeerChannelOptions {
  readonly network: Network
  readonly time: Time
  readonly logger: Logger
  /** Default: never. */
  readonly maybe?: Maybe
  readonly random: SeededRandom
  readonly peer: NodeId
  /** Where the peer may be found, at least one: they are tried in turn. */
  addresses(): readonly Address[]
  hello(): Omit<Hello, 'to'>
  readonly connectTimeoutMs: number
  /** A ping goes out this often; a peer silent for four times as long is cut off. */
  readonly pingIntervalMs: number
  readonly queueBytesMax: number
  /** Whether the peer may speak out of this data directory. */
  admits(directoryId: bigint): boolean
  onOpen(): void
  onLost(reason: string): void
  /** There was no connection, and an attempt at one did not get so far that the peer can be spoken to. */
  onDialFailed(): void
  /** The peer refused this node for good. */
  onRefused(reason: RefusalReason, text: string): void
}

const queueFramesMax = 65_536
const backoffMsMin = 50
const backoffMsMax = 2_000
const helloAnswerBytesMax = 64 * 1024

export class PeerChannel {
  readonly #options: PeerChannelOptions
  readonly #maybe: Maybe
  #control = new RingQueue<Uint8Array>(queueFramesMax)
  #bulk = new RingQueue<Uint8Array>(queueFramesMax)
  #queuedBytes = 0
  #connection: Connection | undefined
  #isOpen = false
  #isBlocked = false
  #isClosed = false
  #backoffMs = backoffMsMin
  #dialCount = 0
  #retry: Timer | undefined
  #pinger: Timer | undefined
  #lastSignMs = 0

  constructor(options: PeerChannelOptions) {
    this.#options = options
    this.#maybe = options.maybe ?? never
    this.#dial()
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Queues a message. False: the peer is not connected or its queue is full, and the message is dropped. */
  send(group: number, message: PeerMessage): boolean {
    if (this.#isOpen && this.#maybe('peer-reconnect')) this.#lost('it was to break now')
    if (!this.#isOpen) return false
    if (this.#maybe('peer-message-lost')) return true
    const kind = classOf(message)
    const queue = kind === frameClass.control ? this.#control : this.#bulk
    const frames = framesOf({ frameClass: kind, group, payload: encodePeerMessage(message) })
    const overBytes = kind === frameClass.bulk && this.#queuedBytes > this.#options.queueBytesMax
    if (overBytes || queue.size + frames.length > queue.capacity) return false
    for (const frame of frames) {
      queue.push(frame)
      this.#queuedBytes += frame.length
    }
    this.#pump()
    return true
  }

  /** The peer has shown that it runs: a channel that waits to dial it again does so now. Else it is as good as away. */
  peerRuns(): void {
    // An attempt under way may have begun before that and never be answered: then the next one follows without a long pause.
    this.#backoffMs = backoffMsMin
    if (this.#retry === undefined) return
    this.#retry.cancel()
    this.#dial()
  }

  close(): void {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#retry = undefined
    this.#drop('closed')
  }

  #dial(): void {
    this.#retry = undefined
    const { network, addresses, connectTimeoutMs } = this.#options
    const all = addresses()
    const address = present(all[this.#dialCount++ % all.length], 'a peer has an address')
    network.connect(address, connectTimeoutMs).then(
      (connection) => this.#greet(connection),
      (error: unknown) => this.#lost(error instanceof Error ? error.message : String(error)),
    )
  }

  #greet(connection: Connection): void {
    if (this.#isClosed) {
      connection.destroy()
      return
    }
    this.#connection = connection
    const reader = new FrameReader(helloAnswerBytesMax)
    connection.setHandlers({
      onData: (bytes) => this.#guard(connection, () => this.#received(connection, reader, bytes)),
      onDrain: () => {
        this.#isBlocked = false
        this.#pump()
      },
      onClose: (reason) => {
        if (this.#connection === connection) this.#lost(reason)
      },
    })
    const hello = encodeHello({ ...this.#options.hello(), to: this.#options.peer })
    for (const frame of framesOf({ frameClass: frameClass.control, group: 0, payload: hello }))
      connection.write(frame)
    this.#lastSignMs = this.#options.time.monotonicMs()
    this.#schedulePing()
  }

  #guard(connection: Connection, action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!(error instanceof QuorateError)) throw error
      connection.destroy()
      if (this.#connection === connection) this.#lost(error.message)
    }
  }

  #received(connection: Connection, reader: FrameReader, bytes: Uint8Array): void {
    if (this.#connection !== connection) return
    for (const { payload } of reader.push(bytes)) {
      this.#lastSignMs = this.#options.time.monotonicMs()
      if (!this.#isOpen) this.#answered(payload)
    }
  }

  #answered(payload: Uint8Array): void {
    const answer = decodeHelloAnswer(payload)
    if (answer.kind === 'refused') {
      this.#options.onRefused(answer.reason, answer.text)
      throw new QuorateError('handshake-refused', answer.text)
    }
    if (!this.#options.admits(answer.directoryId)) {
      const text = `member ${formatId(this.#options.peer)} answers from another data directory than it had`
      throw new QuorateError('data-wiped', text)
    }
    this.#isOpen = true
    this.#backoffMs = backoffMsMin
    this.#options.onOpen()
  }

  #pump(): void {
    const connection = this.#connection
    if (connection === undefined || !this.#isOpen) return
    while (!this.#isBlocked) {
      const frame = this.#control.shift() ?? this.#bulk.shift()
      if (frame === undefined) return
      this.#queuedBytes -= frame.length
      if (!connection.write(frame)) this.#isBlocked = true
    }
  }

  #schedulePing(): void {
    const { time, pingIntervalMs } = this.#options
    this.#pinger?.cancel()
    this.#pinger = time.startTimer(pingIntervalMs, () => {
      if (time.monotonicMs() - this.#lastSignMs > 4 * pingIntervalMs) this.#lost('no life sign from the peer')
      else {
        this.send(0, { kind: 'ping' })
        this.#schedulePing()
      }
    })
  }

  #lost(reason: string): void {
    const wasOpen = this.#isOpen
    this.#drop(reason)
    if (this.#isClosed) return
    if (!wasOpen) this.#options.onDialFailed()
    const { time, random } = this.#options
    const delayMs = this.#backoffMs * (0.5 + random.unit())
    this.#backoffMs = Math.min(this.#backoffMs * 2, backoffMsMax)
    this.#retry?.cancel()
    this.#retry = time.startTimer(delayMs, () => this.#dial())
  }

  #drop(reason: string): void {
    const wasOpen = this.#isOpen
    this.#pinger?.cancel()
    this.#isOpen = false
    this.#isBlocked = false
    this.#connection?.destroy()
    this.#connection = undefined
    this.#control = new RingQueue(queueFramesMax)
    this.#bulk = new RingQueue(queueFramesMax)
    this.#queuedBytes = 0
    if (wasOpen) this.#options.onLost(reason)
  }
}

/** The answer to a ping: a frame without content beyond its type. */
export const pongFrames: readonly Uint8Array[] = framesOf({
  frameClass: frameClass.control,
  group: 0,
  payload: encodePeerMessage({ kind: 'pong' }),
})
