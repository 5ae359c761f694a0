import { type ClusterId, formatId, isQuorateError, type NodeId, QuorateError } from '../base/index.ts'
import type { Address, Connection, Listener, Logger, Network, Time } from '../io/index.ts'
import {
  decodeHello,
  decodeWhoAmI,
  encodeHelloAnswer,
  encodeYouAre,
  type Hello,
  type HelloAnswer,
  type RefusalReason,
  type WhoAmI,
  type YouAre,
} from './handshake.ts'
import { pongFrames } from './peer-channel.ts'
import { decodePeerMessage, type PeerMessage } from './peer-codec.ts'
import { FrameReader, frameClass, framesOf } from './peer-frame.ts'

/** Takes the connections on which peers speak to this node. */
export interface PeerListenerOptions {
  readonly network: Network
  readonly time: Time
  readonly logger: Logger
  readonly address: Address
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  readonly directoryId: bigint
  readonly messageBytesMax: number
  readonly helloTimeoutMs: number
  /** A connection without a message (a ping at least) for this long is closed. */
  readonly idleTimeoutMs: number
  /** Why a peer with a well-formed hello is not welcome, or undefined. */
  judge(hello: Hello): { reason: RefusalReason; text: string } | undefined
  /** This peer is welcome and speaks from now on. */
  onWelcome(hello: Hello): void
  /** A connection on which this peer spoke has ended, from whichever side. */
  onLeft(from: NodeId): void
  /** Who the asker is, or undefined when no member has these peer URLs. Rejects when that cannot be known now. */
  identify(question: WhoAmI): Promise<YouAre | undefined>
  onMessage(from: NodeId, group: number, message: PeerMessage): void
}

const connectionsMax = 256
/** Nobody knows yet who sends this. */
const helloBytesMax = 64 * 1024

export interface PeerListener {
  readonly address: Address
  /** Whether a connection is open on which this peer speaks. */
  hears(from: NodeId): boolean
  close(): Promise<void>
}

export async function listenForPeers(options: PeerListenerOptions): Promise<PeerListener> {
  const incoming = new Set<IncomingPeer>()
  const listener: Listener = await options.network.listen(options.address, (connection) => {
    if (incoming.size >= connectionsMax) {
      options.logger.log('warn', 'peer-connection-refused', {
        remote: connection.remote,
        cause: 'too many connections',
      })
      connection.destroy()
      return
    }
    const peer = new IncomingPeer(options, connection, incoming)
    incoming.add(peer)
  })
  return {
    address: listener.address,
    hears: (from) => [...incoming].some((peer) => peer.from === from),
    async close() {
      await listener.close()
      for (const peer of incoming) peer.close('shutdown')
    },
  }
}

class IncomingPeer {
  readonly #options: PeerListenerOptions
  readonly #connection: Connection
  readonly #all: Set<IncomingPeer>
  readonly #reader: FrameReader
  /** Who speaks here; undefined before the hello. */
  #hello: Hello | undefined
  #lastMs: number
  #isClosed = false
  /** The peer does not read: it gets no more answers for now. */
  #isBlocked = false

  constructor(options: PeerListenerOptions, connection: Connection, all: Set<IncomingPeer>) {
    this.#options = options
    this.#connection = connection
    this.#all = all
    this.#reader = new FrameReader(helloBytesMax)
    this.#lastMs = options.time.monotonicMs()
    connection.setHandlers({
      onData: (bytes) => this.#received(bytes),
      onDrain: () => {
        this.#isBlocked = false
      },
      onClose: () => this.#forget(),
    })
    this.#watchSilence(options.helloTimeoutMs)
  }

  /** Who speaks here; undefined before the hello. */
  get from(): NodeId | undefined {
    return this.#hello?.from
  }

  close(cause: string): void {
    if (this.#isClosed) return
    if (cause !== 'shutdown') {
      const peer = this.#hello === undefined ? undefined : formatId(this.#hello.from)
      this.#options.logger.log('warn', 'peer-connection-closed', {
        remote: this.#connection.remote,
        peer,
        cause,
      })
    }
    this.#forget()
    this.#connection.destroy()
  }

  #forget(): void {
    this.#isClosed = true
    if (this.#all.delete(this) && this.#hello !== undefined) this.#options.onLeft(this.#hello.from)
  }

  #watchSilence(timeoutMs: number): void {
    const { time, idleTimeoutMs } = this.#options
    time.startTimer(timeoutMs, () => {
      if (this.#isClosed) return
      const silentMs = time.monotonicMs() - this.#lastMs
      if (this.#hello === undefined) this.close('no hello in time')
      else if (silentMs >= idleTimeoutMs) this.close('silent for too long')
      else this.#watchSilence(idleTimeoutMs - silentMs)
    })
  }

  #received(bytes: Uint8Array): void {
    if (this.#isClosed) return
    try {
      this.#lastMs = this.#options.time.monotonicMs()
      for (const message of this.#reader.push(bytes)) {
        if (this.#isClosed) return
        this.#handle(message.group, message.payload)
      }
    } catch (error) {
      if (!isQuorateError(error)) throw error
      this.close(error.message)
    }
  }

  #handle(group: number, payload: Uint8Array): void {
    if (this.#hello === undefined) {
      const question = decodeWhoAmI(payload)
      if (question === undefined) this.#greet(decodeHello(payload))
      else {
        this.#identify(question).catch((error: unknown) => {
          if (!isQuorateError(error)) throw error
          this.close(error.message)
        })
      }
      return
    }
    const { from } = this.#hello
    const message = decodePeerMessage(payload, { from, to: this.#options.nodeId })
    if (message.kind === 'ping') {
      // It may have been removed since its hello: it dials again, and hears why it is refused.
      const refusal = this.#options.judge(this.#hello)
      if (refusal !== undefined) {
        this.close(refusal.text)
        return
      }
      if (this.#isBlocked) return
      for (const frame of pongFrames) this.#isBlocked = !this.#connection.write(frame)
    } else this.#options.onMessage(from, group, message)
  }

  async #identify(question: WhoAmI): Promise<void> {
    const found = await this.#options.identify(question)
    if (this.#isClosed) return
    const text = `no member was added with the peer URLs ${question.peerUrls.join(',')}`
    this.#say(
      found === undefined
        ? encodeHelloAnswer({ kind: 'refused', reason: 'identity', text })
        : encodeYouAre(found),
    )
    this.#forget()
    this.#connection.end()
  }

  #say(payload: Uint8Array): void {
    for (const frame of framesOf({ frameClass: frameClass.control, group: 0, payload }))
      this.#connection.write(frame)
  }

  #greet(hello: Hello): void {
    const refusal = this.#judge(hello)
    const answer: HelloAnswer =
      refusal === undefined
        ? { kind: 'welcome', directoryId: this.#options.directoryId }
        : { kind: 'refused', ...refusal }
    const payload = encodeHelloAnswer(answer)
    for (const frame of framesOf({ frameClass: frameClass.control, group: 0, payload }))
      this.#connection.write(frame)
    if (refusal !== undefined) {
      this.#options.logger.log('warn', 'peer-refused', {
        peer: formatId(hello.from),
        remote: this.#connection.remote,
        cause: refusal.text,
      })
      this.#forget()
      this.#connection.end()
      return
    }
    this.#hello = hello
    // The newer connection of a peer replaces the older one: nothing that is left there may follow later.
    for (const other of this.#all)
      if (other !== this && other.from === hello.from) other.close('replaced by a newer one')
    this.#options.onWelcome(hello)
    this.#reader.allow(this.#options.messageBytesMax)
  }

  #judge(hello: Hello): { reason: RefusalReason; text: string } | undefined {
    const { clusterId, nodeId } = this.#options
    if (hello.clusterId !== clusterId) {
      const text = `this is cluster ${formatId(clusterId)}, the peer belongs to ${formatId(hello.clusterId)}`
      return { reason: 'cluster', text }
    }
    if (hello.to !== nodeId) {
      return {
        reason: 'identity',
        text: `this is member ${formatId(nodeId)}, the peer looks for ${formatId(hello.to)}`,
      }
    }
    if (hello.from === nodeId) {
      throw new QuorateError('handshake-refused', 'the peer claims to be this member itself')
    }
    return this.#options.judge(hello)
  }
}
