import { assert, concatBytes, crc32c, present, type SeededRandom } from '../base/index.ts'
import type { Connection, ConnectionHandlers } from '../io/index.ts'
import type { NetworkFaults } from './network.ts'
import type { SimulatedProcess } from './process.ts'
import type { Scheduler } from './scheduler.ts'

/** One direction between two hosts. */
export interface Link {
  readonly isBlocked: boolean
  drawDelay(): number
}

export interface ConnectionWorld {
  readonly scheduler: Scheduler
  readonly random: SeededRandom
  readonly faults: () => NetworkFaults
  /** Whether the machine of that name answers at all. */
  readonly hasPower: (host: string) => boolean
  /** Both sides are through with it. */
  readonly onDone: (endpoint: Endpoint) => void
}

export interface Side {
  readonly host: string
  readonly process: SimulatedProcess
  /** From this side to the other. */
  readonly link: Link
  /** How the other side calls this one in its logs. */
  readonly label: string
}

/** Bytes under way towards one side before its sender is asked to stop. */
const bufferedBytesMax = 64 * 1024

interface Chunk {
  bytes: Uint8Array
  readonly checksum: number
  readonly length: number
  arriveAt: number
}

export function openConnection(world: ConnectionWorld, near: Side, far: Side): readonly [Endpoint, Endpoint] {
  const first = new Endpoint(world, near, far)
  const second = new Endpoint(world, far, near)
  first.join(second)
  second.join(first)
  return [first, second]
}

/** One end of a connection and what it has sent that the other end has not taken yet. */
export class Endpoint {
  readonly connection: Connection
  readonly host: string
  readonly remoteHost: string
  readonly #world: ConnectionWorld
  readonly #side: Side
  #peer: Endpoint | undefined
  /** open, ended (nothing more to send), closed (the program was told), gone (the program is dead). */
  #state: 'open' | 'ended' | 'closed' | 'gone' = 'open'
  /** The network lost it: what is written goes nowhere. */
  #isSevered = false
  #outgoing: Chunk[] = []
  /** The end of the stream, which travels behind the bytes. */
  #marker: { readonly reason: string; arriveAt: number } | undefined
  #bufferedBytes = 0
  #wasFull = false
  #handlers: ConnectionHandlers | undefined
  #isReadingPaused = false
  #closeReason: string | undefined

  constructor(world: ConnectionWorld, side: Side, remote: Side) {
    this.#world = world
    this.#side = side
    this.host = side.host
    this.remoteHost = remote.host
    const bufferedBytes = (): number => this.#bufferedBytes
    this.connection = {
      remote: remote.label,
      setHandlers: (handlers) => {
        assert(this.#handlers === undefined, 'handlers are set once')
        this.#handlers = handlers
        if (this.#closeReason === undefined) this.#askPeer()
        else this.#tellClosed(this.#closeReason)
      },
      write: (bytes) => this.#write(bytes),
      get bufferedBytes() {
        return bufferedBytes()
      },
      pauseReading: () => {
        this.#isReadingPaused = true
      },
      resumeReading: () => {
        this.#isReadingPaused = false
        this.#askPeer()
      },
      end: () => this.#end(),
      destroy: () => this.#destroy(),
    }
  }

  join(peer: Endpoint): void {
    this.#peer = peer
  }

  get isGone(): boolean {
    return this.#state === 'gone'
  }

  /** The program on this side died. The machine tells the other side, unless it lost power with it. */
  abandon(tellsPeer: boolean): void {
    if (this.#state === 'gone') return
    this.#state = 'gone'
    if (tellsPeer) this.#cutStream('reset by peer')
    else this.#outgoing = []
    this.#finishWhenDone()
  }

  /** The network lost the connection; each side learns of it as far as the links let it. */
  reset(reason: string): void {
    for (const endpoint of [this, this.#other]) {
      endpoint.#isSevered = true
      endpoint.#cutStream(reason)
    }
  }

  /** The network lost the connection and what is under way in it, and only the side on host `told` learns of it. */
  forget(told: string | undefined): void {
    for (const endpoint of [this, this.#other]) {
      endpoint.#isSevered = true
      endpoint.#drop()
    }
    for (const endpoint of [this, this.#other])
      if (endpoint.host === told) endpoint.#close('connection reset')
  }

  get isSending(): boolean {
    return this.#outgoing.length > 0 || this.#marker !== undefined
  }

  /** A link was opened or a machine is back: what waits is sent again. */
  kick(): void {
    if (this.#outgoing.length === 0 && this.#marker === undefined) return
    this.#world.scheduler.after(this.#side.link.drawDelay(), () => this.#transfer())
  }

  get #other(): Endpoint {
    return present(this.#peer, 'both ends are joined')
  }

  #write(bytes: Uint8Array): boolean {
    if (this.#state !== 'open') return false
    if (bytes.length > 0 && !this.#isSevered) {
      const chunk = { bytes, checksum: crc32c(bytes), length: bytes.length, arriveAt: this.#drawArrival() }
      this.#outgoing.push(chunk)
      this.#bufferedBytes += bytes.length
      this.#world.scheduler.at(chunk.arriveAt, () => this.#transfer())
      if (this.#world.random.chance(this.#world.faults().cutChance)) this.reset('connection lost')
    }
    if (this.#bufferedBytes < bufferedBytesMax) return true
    this.#wasFull = true
    return false
  }

  /** Bytes may come before earlier ones; they are handed over in order all the same. */
  #drawArrival(): number {
    return this.#world.scheduler.now + this.#side.link.drawDelay()
  }

  #end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    if (this.#marker === undefined) this.#sendMarker('ended by peer')
  }

  #destroy(): void {
    if (this.#state === 'closed' || this.#state === 'gone') return
    this.#cutStream('reset by peer')
    this.#close('destroyed')
  }

  /** Of what is under way some first bytes still arrive, then the end. */
  #cutStream(reason: string): void {
    const { random } = this.#world
    let left = random.pick([0, this.#bufferedBytes, random.between(0, this.#bufferedBytes + 1)])
    const kept: Chunk[] = []
    for (const chunk of this.#outgoing) {
      if (left === 0) break
      chunk.bytes = chunk.bytes.subarray(0, Math.min(left, chunk.bytes.length))
      left -= chunk.bytes.length
      kept.push(chunk)
    }
    this.#outgoing = kept
    this.#bufferedBytes = kept.reduce((sum, chunk) => sum + chunk.bytes.length, 0)
    if (this.#marker === undefined) this.#sendMarker(reason)
  }

  #sendMarker(reason: string): void {
    this.#marker = { reason, arriveAt: this.#drawArrival() }
    this.#world.scheduler.at(this.#marker.arriveAt, () => this.#transfer())
  }

  #askPeer(): void {
    const peer = this.#other
    this.#world.scheduler.after(0, () => peer.#transfer())
  }

  /** Hands over what has arrived, as far as link and receiver let it. */
  #transfer(): void {
    const peer = this.#other
    const now = this.#world.scheduler.now
    const next = this.#outgoing[0]?.arriveAt ?? this.#marker?.arriveAt
    if (next === undefined || next > now || this.#side.link.isBlocked) return
    if (peer.#state === 'gone') this.#answeredByNobody()
    else if (peer.#state === 'closed') this.#drop()
    else peer.#side.process.deliver(() => peer.#receive())
  }

  /** The other machine does not know the connection any more: it says so, once it has power. */
  #answeredByNobody(): void {
    if (!this.#world.hasPower(this.remoteHost)) return
    this.#drop()
    const process = this.#side.process
    process.after(this.#other.#side.link.drawDelay(), () => this.#close('reset by peer'))
  }

  #drop(): void {
    this.#outgoing = []
    this.#marker = undefined
    this.#bufferedBytes = 0
    this.#finishWhenDone()
  }

  #receive(): void {
    const sender = this.#other
    if (this.#state === 'closed' || this.#handlers === undefined) return
    if (!this.#isReadingPaused) {
      const bytes = sender.#takeArrived()
      if (bytes.length > 0) this.#handlers.onData(bytes)
    }
    const marker = sender.#marker
    const isAtEnd = sender.#outgoing.length === 0 && marker !== undefined
    if (!isAtEnd || marker.arriveAt > this.#world.scheduler.now) return
    sender.#marker = undefined
    if (this.#state === 'open') this.#end()
    this.#close(marker.reason)
    sender.#finishWhenDone()
  }

  #takeArrived(): Uint8Array {
    const { scheduler, random, faults } = this.#world
    const parts: Uint8Array[] = []
    while (this.#outgoing[0] !== undefined && this.#outgoing[0].arriveAt <= scheduler.now) {
      const chunk = this.#outgoing[0]
      if (chunk.bytes.length === chunk.length) {
        assert(crc32c(chunk.bytes) === chunk.checksum, 'bytes changed after they were given to the network')
      }
      if (chunk.bytes.length > 1 && random.chance(faults().splitChance)) {
        const length = random.between(1, chunk.bytes.length)
        parts.push(chunk.bytes.subarray(0, length))
        chunk.bytes = chunk.bytes.subarray(length)
        chunk.arriveAt = scheduler.now + this.#side.link.drawDelay()
        scheduler.at(chunk.arriveAt, () => this.#transfer())
        break
      }
      parts.push(chunk.bytes)
      this.#outgoing.shift()
    }
    // A copy even of a single part: the receiver may keep and change it.
    const bytes = concatBytes(parts)
    if (bytes.length === 0) return bytes
    if (random.chance(faults().corruptChance)) {
      const position = random.between(0, bytes.length)
      bytes[position] = (bytes[position] as number) ^ (1 << random.between(0, 8))
    }
    scheduler.note(crc32c(bytes))
    this.#taken(bytes.length)
    return bytes
  }

  #taken(count: number): void {
    this.#bufferedBytes -= count
    if (!this.#wasFull || this.#bufferedBytes > bufferedBytesMax / 2) return
    this.#wasFull = false
    this.#side.process.after(0, () => {
      if (this.#state === 'open') this.#handlers?.onDrain()
    })
  }

  /** Tells the program, as a turn of its own. */
  #close(reason: string): void {
    if (this.#state === 'closed' || this.#state === 'gone') return
    this.#state = 'closed'
    this.#closeReason = reason
    if (this.#handlers !== undefined) this.#tellClosed(reason)
    this.#finishWhenDone()
  }

  #tellClosed(reason: string): void {
    this.#side.process.after(0, () => this.#handlers?.onClose(reason))
  }

  #finishWhenDone(): void {
    const isOver = this.#state === 'closed' || this.#state === 'gone'
    if (isOver && this.#outgoing.length === 0 && this.#marker === undefined) this.#world.onDone(this)
  }
}
