import { assert } from '../base/index.ts'
import type { HeaderList } from '../hpack/index.ts'
import { StreamFault } from './faults.ts'
import { type Http2ErrorCode, http2Error } from './frame.ts'

/** What the owner of a stream hears. Calls come in the turn of `receive` or `pump`, and must not throw. */
export interface StreamListener {
  /** The bytes are a view on what was received: whoever keeps a few of them copies. */
  onData(bytes: Uint8Array): void
  /** The client sends no more; it may still read. */
  onEnd(): void
  /** All that was written has left, after `write` had answered false. */
  onDrain(): void
  /** The last frame of the answer has left, and the client has not ended its request. */
  onLocalEnd(): void
  /** Once, last. With a code: one side reset it, or the connection went away (`cancel`). */
  onClose(code: Http2ErrorCode | undefined): void
}

/** What a stream asks of its connection. */
export interface StreamOwner {
  headers(stream: ServerStream, headers: HeaderList, isConstant: boolean, isEnd: boolean): void
  /** There are so many bytes more to send than before, or the end. */
  pending(stream: ServerStream, bytes: number): void
  reset(stream: ServerStream, code: Http2ErrorCode): void
  /** The client may send so many bytes more. */
  grant(stream: ServerStream, bytes: number): void
}

/** Trailers that wait for the data before them. */
interface Ending {
  readonly trailers: HeaderList
  readonly isConstant: boolean
}

/** One request and its answer. What is called after its end changes nothing. */
export class ServerStream {
  readonly id: number
  readonly #owner: StreamOwner
  #listener: StreamListener | undefined
  /** Answer: bytes that wait for a window or the network, and what comes after them. */
  #pending: Uint8Array[] = []
  #pendingFirst = 0
  #pendingBytes = 0
  #ending: Ending | undefined
  #hasHeaders = false
  #wantsDrain = false
  #receiveWindow: number
  /** Received and not granted again. */
  #ungrantedBytes = 0
  #isHeld = false
  #isRemoteEnded = false
  #isLocalEnded = false
  #isClosed = false
  /** What may be sent; below zero when the peer made it smaller. */
  sendWindow: number
  /** What `content-length` still promises; undefined: it was not said. */
  expectedBytes: number | undefined

  constructor(id: number, owner: StreamOwner, sendWindow: number, receiveWindow: number) {
    this.id = id
    this.#owner = owner
    this.sendWindow = sendWindow
    this.#receiveWindow = receiveWindow
  }

  /** Set in the turn in which the request came. */
  set listener(listener: StreamListener) {
    this.#listener = listener
  }

  get isRemoteEnded(): boolean {
    return this.#isRemoteEnded
  }

  get isLocalEnded(): boolean {
    return this.#isLocalEnded
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get hasHeaders(): boolean {
    return this.#hasHeaders
  }

  /** Bytes of the answer that have not left. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** `isConstant`: the same object each time, so that it can be named by its index. */
  sendHeaders(headers: HeaderList, isConstant: boolean, isEnd: boolean): void {
    if (this.#isClosed) return
    assert(!this.#hasHeaders, 'an answer has headers once')
    this.#hasHeaders = true
    this.#owner.headers(this, headers, isConstant, isEnd)
  }

  /** The bytes must not be changed later. False: some wait; `onDrain` tells when they have left. */
  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#ending !== undefined) return true
    assert(this.#hasHeaders, 'an answer begins with its headers')
    if (bytes.length > 0) {
      this.#pending.push(bytes)
      this.#pendingBytes += bytes.length
      this.#owner.pending(this, bytes.length)
    }
    this.#wantsDrain = this.#pendingBytes > 0
    return !this.#wantsDrain
  }

  end(trailers: HeaderList, isConstant: boolean): void {
    if (this.#isClosed || this.#ending !== undefined) return
    assert(this.#hasHeaders, 'an answer begins with its headers')
    this.#ending = { trailers, isConstant }
    this.#owner.pending(this, 0)
  }

  reset(code: Http2ErrorCode): void {
    if (!this.#isClosed) this.#owner.reset(this, code)
  }

  /** While held, the client is granted no more bytes; those that are under way still come. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#grantIfDue()
  }

  // ---- for the connection -------------------------------------------------------------------------------------

  get ending(): Ending | undefined {
    return this.#ending
  }

  /** Takes at most so many pending bytes, from one piece. */
  takePending(bytesMax: number): Uint8Array {
    const piece = this.#pending[this.#pendingFirst]
    assert(piece !== undefined, 'there is something to take')
    const taken = piece.length <= bytesMax ? piece : piece.subarray(0, bytesMax)
    if (taken === piece) {
      this.#pending[this.#pendingFirst++] = taken.subarray(0, 0)
      if (this.#pendingFirst === this.#pending.length) {
        this.#pending = []
        this.#pendingFirst = 0
      }
    } else {
      this.#pending[this.#pendingFirst] = piece.subarray(bytesMax)
    }
    this.#pendingBytes -= taken.length
    return taken
  }

  /** `frameBytes`: with the padding, which counts for the window. */
  receive(bytes: Uint8Array, frameBytes: number): void {
    if (frameBytes > this.#receiveWindow) {
      throw new StreamFault(http2Error.flowControlError, this, 'more than the stream was granted')
    }
    this.#receiveWindow -= frameBytes
    this.#ungrantedBytes += frameBytes
    if (this.expectedBytes !== undefined) {
      this.expectedBytes -= bytes.length
      if (this.expectedBytes < 0)
        throw new StreamFault(http2Error.protocolError, this, 'more than its length')
    }
    if (bytes.length > 0) this.#listener?.onData(bytes)
    this.#grantIfDue()
  }

  endRemote(): void {
    if (this.expectedBytes !== undefined && this.expectedBytes > 0) {
      throw new StreamFault(http2Error.protocolError, this, 'less than its length')
    }
    this.#isRemoteEnded = true
    this.#listener?.onEnd()
  }

  endLocal(): void {
    this.#isLocalEnded = true
    if (!this.#isRemoteEnded) this.#listener?.onLocalEnd()
  }

  drained(): void {
    if (!this.#wantsDrain || this.#pendingBytes > 0) return
    this.#wantsDrain = false
    this.#listener?.onDrain()
  }

  close(code: Http2ErrorCode | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#pending = []
    this.#pendingFirst = 0
    this.#pendingBytes = 0
    this.#listener?.onClose(code)
  }

  #grantIfDue(): void {
    if (this.#isHeld || this.#isRemoteEnded || this.#isClosed) return
    // Half of it is used: few grants, and a client that sends without a pause never waits for one.
    if (this.#ungrantedBytes === 0 || this.#ungrantedBytes < this.#receiveWindow) return
    const bytes = this.#ungrantedBytes
    this.#ungrantedBytes = 0
    this.#receiveWindow += bytes
    this.#owner.grant(this, bytes)
  }
}
