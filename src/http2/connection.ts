import { assert, concatBytes, emptyBytes, utf8Encode } from '../base/index.ts'
import type { HeaderList } from '../hpack/index.ts'
import { ConnectionFault, StreamFault } from './faults.ts'
import {
  clientPreface,
  frameBytesMax,
  frameFlag,
  frameType,
  type Http2ErrorCode,
  http2Error,
  initialWindowBytes,
  readU16,
  readU31,
  readU32,
  settingId,
  windowBytesMax,
} from './frame.ts'
import { FrameReader } from './frame-reader.ts'
import { type HeaderBlock, HeaderBlocks } from './header-blocks.ts'
import { type Http2Limits, hastyResetCount, TokenBucket } from './limits.ts'
import { OutgoingFrames, settingsAck } from './outgoing-frames.ts'
import { contentLength, requestProblem, trailersProblem } from './request-headers.ts'
import { Sender } from './sender.ts'
import { ServerStream, type StreamOwner } from './stream.ts'

/** What the transport of a connection hears. Calls come in the turn of what caused them, and must not throw. */
export interface ConnectionListener {
  /**
   * A request begins; its body follows at the stream's listener, `onEnd` included. `headers` are often the very object
   * of an earlier request with the same fields, so that what is read from them can be remembered.
   */
  onRequest(stream: ServerStream, headers: HeaderList): void
  /** There is something to `take`, or more waits in the streams. Called often: flush once a turn. */
  onOutput(): void
  /** Nothing more is received: send what there is to take, then close. With code 0 in good order. */
  onEnd(code: Http2ErrorCode, text: string): void
}

/** Streams that this side has reset and whose late frames mean nothing. */
const forgottenCountMax = 1_024
/** To move the windows of so many streams counts as one more frame that carries nothing. */
const movedStreamsPerFrame = 16

/** What a connection needs once a request has begun: most of its memory, and those that never ask do without. */
interface Requests {
  readonly blocks: HeaderBlocks
  readonly owner: StreamOwner
  readonly streams: Map<number, ServerStream>
  readonly forgotten: Set<number>
  readonly resets: TokenBucket
  /** What was found about lists that come again. */
  readonly problems: WeakMap<HeaderList, string | false>
}

/**
 * The server's end of one HTTP/2 connection: bytes in, requests out; answers in, bytes out. Pure: time is told with what
 * is received, and sockets are the transport's.
 */
export class ServerConnection {
  readonly #limits: Http2Limits
  readonly #listener: ConnectionListener
  readonly #reader = new FrameReader()
  readonly #sender: Sender
  readonly #patience: number
  readonly #idleFrames: TokenBucket
  #made: Requests | undefined
  #prefaceBytes = 0
  #hasSettings = false
  #lastStreamId = 0
  /** Received and not granted again. */
  #ungrantedBytes = 0
  #nowMs = 0
  /** Newest stream before the slice of frames that is read. */
  #readAfterStreamId = 0
  /** How many DATA frames had been sent when the last PING came. */
  #pingedAtCount = 0
  /** No further requests. */
  #isGoing = false
  #isOver = false

  /**
   * `patience`: the share of what a client may do at once that it begins with, for one of whom something is known. The rest is
   * earned, as what was spent is.
   */
  constructor(limits: Http2Limits, listener: ConnectionListener, patience = 1) {
    assert(limits.streamWindowBytes >= initialWindowBytes, 'a window begins at 65,535 and only grows')
    assert(limits.connectionWindowBytes >= initialWindowBytes, 'a window begins at 65,535 and only grows')
    this.#limits = limits
    this.#listener = listener
    this.#patience = patience
    this.#sender = new Sender({
      output: () => this.#listener.onOutput(),
      localEnded: (stream) => this.#localEnded(stream),
    })
    this.#idleFrames = new TokenBucket(limits.idleFrameCountBurst, limits.idleFrameCountPerSecond, patience)
    this.#sender.output.constant(greetingOf(limits))
  }

  get openStreamCount(): number {
    return this.#made?.streams.size ?? 0
  }

  /** Of the newest request; 0: there was none. */
  get lastStreamId(): number {
    return this.#lastStreamId
  }

  /** The client has said what HTTP/2 begins with. */
  get isEstablished(): boolean {
    return this.#hasSettings
  }

  /** Bytes that wait to be taken. */
  get outputBytes(): number {
    return this.#sender.output.size
  }

  /** Bytes that were received and not read. */
  get unreadBytes(): number {
    return this.#reader.unreadBytes
  }

  /** Bytes of answers that wait in the streams. */
  get pendingBytes(): number {
    return this.#sender.pendingBytes
  }

  /** Everything that has to be sent, in order. Call `pump` when the network takes more after it. */
  take(): readonly Uint8Array[] {
    return this.#sender.output.take()
  }

  pump(): void {
    if (!this.#isOver) this.#sender.pump()
  }

  /** The network takes no more for now: what is written waits in the streams. */
  block(): void {
    this.#sender.block()
  }

  unblock(): void {
    this.#sender.unblock()
  }

  /** Eight bytes of the caller's choice. The answer is a sign of life and tells nothing more. */
  ping(payload: Uint8Array): void {
    assert(payload.length === 8, 'a ping has eight bytes')
    if (this.#isOver) return
    this.#sender.output.ping(payload, false)
    this.#listener.onOutput()
  }

  /** Takes no further requests, and ends when those under way are done. */
  close(): void {
    if (this.#isGoing || this.#isOver) return
    this.#isGoing = true
    this.#sender.output.goAway(this.#lastStreamId, http2Error.noError, emptyBytes)
    this.#listener.onOutput()
    this.#endIfDone()
  }

  /** The network is gone. */
  lost(): void {
    this.#isOver = true
    this.#closeStreams()
  }

  /**
   * Bytes from the network; `nowMs` never goes back. True: so many frames were read, and more may wait for `goOn`. Until
   * that has answered false the bytes must not be changed.
   */
  receive(bytes: Uint8Array, nowMs: number, frameCountMax: number = Number.POSITIVE_INFINITY): boolean {
    return !this.#isOver && this.#read(bytes, nowMs, frameCountMax)
  }

  /** Reads on in what was received; as `receive`. */
  goOn(nowMs: number, frameCountMax: number): boolean {
    return !this.#isOver && this.#read(undefined, nowMs, frameCountMax)
  }

  #read(bytes: Uint8Array | undefined, nowMs: number, frameCountMax: number): boolean {
    this.#nowMs = nowMs
    this.#readAfterStreamId = this.#lastStreamId
    let mayBeMore = false
    try {
      if (bytes !== undefined) this.#reader.push(this.#takePreface(bytes))
      mayBeMore = this.#frames(frameCountMax)
    } catch (error) {
      if (!(error instanceof ConnectionFault)) throw error
      this.#fail(error)
    }
    if (this.outputBytes > 0) this.#listener.onOutput()
    return mayBeMore && !this.#isOver
  }

  #takePreface(bytes: Uint8Array): Uint8Array {
    const count = Math.min(clientPreface.length - this.#prefaceBytes, bytes.length)
    for (let i = 0; i < count; i++) {
      if (bytes[i] !== clientPreface[this.#prefaceBytes + i]) {
        throw new ConnectionFault(http2Error.protocolError, 'the connection does not begin as HTTP/2')
      }
    }
    this.#prefaceBytes += count
    return count === 0 ? bytes : bytes.subarray(count)
  }

  #frames(countMax: number): boolean {
    for (let count = 0; count < countMax; count++) {
      if (this.#isOver || !this.#reader.next()) return false
      this.#guardedFrame()
    }
    return true
  }

  #guardedFrame(): void {
    try {
      this.#frame()
    } catch (error) {
      if (!(error instanceof StreamFault)) throw error
      this.#spendReset()
      this.#reset(error.stream, error.code)
    }
  }

  #frame(): void {
    const { type, flags, streamId } = this.#reader
    if (!this.#hasSettings && (type !== frameType.settings || (flags & frameFlag.ack) !== 0)) {
      throw new ConnectionFault(http2Error.protocolError, 'the first frame is not SETTINGS')
    }
    if (this.#made?.blocks.isGathering === true && type !== frameType.continuation) {
      throw new ConnectionFault(http2Error.protocolError, 'a header block is interrupted by another frame')
    }
    switch (type) {
      case frameType.data:
        this.#onData(streamId)
        break
      case frameType.headers:
        this.#onHeaders(streamId)
        break
      case frameType.priority:
        this.#onPriority(streamId)
        break
      case frameType.rstStream:
        this.#onRstStream(streamId)
        break
      case frameType.settings:
        this.#onSettings(streamId)
        break
      case frameType.pushPromise:
        throw new ConnectionFault(http2Error.protocolError, 'a client sends no PUSH_PROMISE')
      case frameType.ping:
        this.#onPing(streamId)
        break
      case frameType.goAway:
        this.#onGoAway(streamId)
        break
      case frameType.windowUpdate:
        this.#onWindowUpdate(streamId)
        break
      case frameType.continuation:
        this.#onContinuation(streamId)
        break
      default:
        // Of a type that does not exist yet: nothing to do with it (section 5.5), but not for ever.
        this.#spendIdleFrame()
    }
  }

  get #requests(): Requests {
    this.#made ??= {
      blocks: new HeaderBlocks(this.#limits.headerBytesMax),
      streams: new Map(),
      forgotten: new Set(),
      resets: this.#newResets(),
      problems: new WeakMap(),
      owner: {
        headers: (stream, headers, isConstant, isEnd) =>
          this.#sendHeaders(stream, headers, isConstant, isEnd),
        pending: (stream, bytes) => this.#sender.pending(stream, bytes),
        reset: (stream, code) => this.#reset(stream, code),
        grant: (stream, bytes) => this.#grantStream(stream, bytes),
      },
    }
    return this.#made
  }

  #newResets(): TokenBucket {
    const { resetCountBurst, resetCountPerSecond } = this.#limits
    const resets = new TokenBucket(resetCountBurst, resetCountPerSecond, this.#patience)
    // Patience is earned from now on, and not from the first reset.
    resets.take(this.#nowMs, 0)
    return resets
  }

  // ---- requests -----------------------------------------------------------------------------------------------

  #onHeaders(streamId: number): void {
    const payload = this.#unpadded()
    const { flags } = this.#reader
    const hasPriority = (flags & frameFlag.priority) !== 0
    if (hasPriority && payload.length < 5) {
      throw new ConnectionFault(http2Error.frameSizeError, 'HEADERS without its priority')
    }
    if (streamId % 2 === 0) {
      throw new ConnectionFault(http2Error.protocolError, `a client opens no stream ${streamId}`)
    }
    const part = hasPriority ? payload.subarray(5) : payload
    const isEnd = (flags & frameFlag.endStream) !== 0
    const isWhole = (flags & frameFlag.endHeaders) !== 0
    this.#takeBlock(this.#requests.blocks.begin(streamId, part, isEnd, isWhole))
  }

  #onContinuation(streamId: number): void {
    const { payload, flags } = this.#reader
    this.#takeBlock(this.#requests.blocks.continue(streamId, payload, (flags & frameFlag.endHeaders) !== 0))
  }

  #takeBlock(block: HeaderBlock | undefined): void {
    if (block === undefined) return
    if (block.streamId > this.#lastStreamId) this.#startStream(block)
    else this.#endWithTrailers(block)
  }

  #startStream({ streamId, headers, isEnd }: HeaderBlock): void {
    // After GOAWAY the client knows that nobody looks at it, and may send it elsewhere.
    if (this.#isGoing) return
    this.#lastStreamId = streamId
    const refusal = this.#refusal(headers)
    if (refusal !== undefined) {
      this.#spendReset()
      this.#sender.output.rstStream(streamId, refusal)
      this.#forget(streamId)
      return
    }
    const { streamWindowBytes } = this.#limits
    const { owner, streams } = this.#requests
    const stream = new ServerStream(streamId, owner, this.#sender.streamWindowBytes, streamWindowBytes)
    stream.expectedBytes = contentLength(headers)
    streams.set(streamId, stream)
    this.#listener.onRequest(stream, headers)
    if (isEnd) this.#endRemote(stream)
  }

  #refusal(headers: HeaderList): Http2ErrorCode | undefined {
    const { streams, problems } = this.#requests
    if (streams.size >= this.#limits.streamCountMax) return http2Error.refusedStream
    if (headers.isTooLarge) return http2Error.enhanceYourCalm
    if (this.#sender.pendingBytes > this.#limits.pendingBytesMax) return http2Error.enhanceYourCalm
    let problem = problems.get(headers)
    if (problem === undefined) {
      problem = requestProblem(headers) ?? false
      problems.set(headers, problem)
    }
    return problem === false ? undefined : http2Error.protocolError
  }

  #endWithTrailers({ streamId, headers, isEnd }: HeaderBlock): void {
    const stream = this.#receiving(streamId)
    if (stream === undefined) return
    const problem = headers.isTooLarge ? 'trailers that are too large' : trailersProblem(headers)
    if (problem !== undefined) throw new StreamFault(http2Error.protocolError, stream, problem)
    if (!isEnd) throw new StreamFault(http2Error.protocolError, stream, 'headers in the middle of a request')
    this.#endRemote(stream)
  }

  #onData(streamId: number): void {
    if (streamId === 0) throw new ConnectionFault(http2Error.protocolError, 'DATA on no stream')
    const frameBytes = this.#reader.payload.length
    this.#countReceived(frameBytes)
    const payload = this.#unpadded()
    const isEnd = (this.#reader.flags & frameFlag.endStream) !== 0
    const stream = this.#receiving(streamId)
    if (stream === undefined) return
    if (payload.length === 0 && !isEnd) this.#spendIdleFrame()
    stream.receive(payload, frameBytes)
    if (isEnd) this.#endRemote(stream)
  }

  #endRemote(stream: ServerStream): void {
    if (stream.isClosed) return
    stream.endRemote()
    if (stream.isLocalEnded) this.#finish(stream, undefined)
  }

  /** The stream when it is open in that direction; undefined: it was reset, and this came too late (section 5.1). */
  #receiving(streamId: number): ServerStream | undefined {
    const stream = this.#made?.streams.get(streamId)
    if (stream !== undefined) {
      if (stream.isRemoteEnded) throw new StreamFault(http2Error.streamClosed, stream, 'more after the end')
      return stream
    }
    if (this.#made?.forgotten.has(streamId) === true) return undefined
    this.#checkOpened(streamId)
    if (streamId > this.#lastStreamId) return undefined
    throw new ConnectionFault(http2Error.streamClosed, `stream ${streamId} is closed`)
  }

  #checkOpened(streamId: number): void {
    if (streamId <= this.#lastStreamId || this.#isGoing) return
    throw new ConnectionFault(http2Error.protocolError, `stream ${streamId} was not opened`)
  }

  #onRstStream(streamId: number): void {
    const { payload } = this.#reader
    if (payload.length !== 4)
      throw new ConnectionFault(http2Error.frameSizeError, 'RST_STREAM has four bytes')
    if (streamId === 0) throw new ConnectionFault(http2Error.protocolError, 'RST_STREAM of no stream')
    this.#checkOpened(streamId)
    this.#spendReset(streamId > this.#readAfterStreamId ? hastyResetCount : 1)
    const stream = this.#made?.streams.get(streamId)
    if (stream !== undefined) this.#finish(stream, toErrorCode(readU32(payload, 0)))
  }

  /** Section 6.1. */
  #unpadded(): Uint8Array {
    const { payload, flags } = this.#reader
    if ((flags & frameFlag.padded) === 0) return payload
    const padding = payload[0]
    if (padding === undefined) {
      throw new ConnectionFault(http2Error.frameSizeError, 'a padded frame without its padding')
    }
    if (padding >= payload.length) {
      throw new ConnectionFault(http2Error.protocolError, 'more padding than payload')
    }
    return payload.subarray(1, payload.length - padding)
  }

  // ---- the connection -----------------------------------------------------------------------------------------

  #onPriority(streamId: number): void {
    if (streamId === 0) throw new ConnectionFault(http2Error.protocolError, 'PRIORITY of no stream')
    if (this.#reader.payload.length !== 5) {
      throw new ConnectionFault(http2Error.frameSizeError, 'PRIORITY has five bytes')
    }
    this.#spendIdleFrame()
  }

  #onSettings(streamId: number): void {
    const { payload, flags } = this.#reader
    if (streamId !== 0) throw new ConnectionFault(http2Error.protocolError, 'SETTINGS of a stream')
    if ((flags & frameFlag.ack) !== 0) {
      if (payload.length === 0) return
      throw new ConnectionFault(http2Error.frameSizeError, 'SETTINGS with ack and more')
    }
    if (payload.length % 6 !== 0) throw new ConnectionFault(http2Error.frameSizeError, 'half a setting')
    this.#spendIdleFrame()
    this.#hasSettings = true
    let windowBytes: number | undefined
    for (let at = 0; at < payload.length; at += 6) {
      const [id, value] = [readU16(payload, at), readU32(payload, at + 2)]
      if (id === settingId.initialWindowSize) windowBytes = value
      this.#setting(id, value)
    }
    if (windowBytes !== undefined) this.#moveWindows(windowBytes)
    this.#sender.output.constant(settingsAck)
    this.#sender.pump()
  }

  /** Once a frame, however often it says so, and paid for by what it costs. */
  #moveWindows(bytes: number): void {
    this.#spendIdleFrame(Math.floor(this.openStreamCount / movedStreamsPerFrame))
    this.#sender.moveStreamWindows(bytes, this.#made?.streams.values() ?? [])
  }

  #setting(id: number, value: number): void {
    switch (id) {
      case settingId.headerTableSize:
        this.#sender.allowTable(value)
        break
      case settingId.enablePush:
        if (value > 1) throw new ConnectionFault(http2Error.protocolError, `ENABLE_PUSH is ${value}`)
        break
      case settingId.initialWindowSize:
        if (value > windowBytesMax) {
          throw new ConnectionFault(http2Error.flowControlError, 'a window beyond 2^31 - 1')
        }
        break
      case settingId.maxFrameSize:
        // Larger frames than before would only let one answer keep the others waiting: checked and not used.
        if (value < frameBytesMax || value > 0xff_ffff) {
          throw new ConnectionFault(http2Error.protocolError, `MAX_FRAME_SIZE is ${value}`)
        }
        break
      default:
    }
  }

  #onPing(streamId: number): void {
    const { payload, flags } = this.#reader
    if (streamId !== 0) throw new ConnectionFault(http2Error.protocolError, 'PING of a stream')
    if (payload.length !== 8) throw new ConnectionFault(http2Error.frameSizeError, 'PING has eight bytes')
    if ((flags & frameFlag.ack) !== 0) return
    // Go's client measures its way with one ping behind the data that came. The data has paid for it.
    const { dataFrameCount } = this.#sender
    if (dataFrameCount === this.#pingedAtCount) this.#spendIdleFrame()
    this.#pingedAtCount = dataFrameCount
    this.#sender.output.ping(payload, true)
  }

  #onGoAway(streamId: number): void {
    if (streamId !== 0) throw new ConnectionFault(http2Error.protocolError, 'GOAWAY of a stream')
    if (this.#reader.payload.length < 8) {
      throw new ConnectionFault(http2Error.frameSizeError, 'GOAWAY is too short')
    }
    this.close()
  }

  #onWindowUpdate(streamId: number): void {
    const { payload } = this.#reader
    if (payload.length !== 4) {
      throw new ConnectionFault(http2Error.frameSizeError, 'WINDOW_UPDATE has four bytes')
    }
    const increment = readU31(payload, 0)
    if (streamId === 0) {
      this.#sender.grow(increment)
      return
    }
    const stream = this.#made?.streams.get(streamId)
    if (stream === undefined) this.#checkOpened(streamId)
    else this.#sender.growStream(stream, increment)
  }

  // ---- answers ------------------------------------------------------------------------------------------------

  #sendHeaders(stream: ServerStream, headers: HeaderList, isConstant: boolean, isEnd: boolean): void {
    this.#sender.headers(stream, headers, isConstant, isEnd)
    this.#listener.onOutput()
  }

  #localEnded(stream: ServerStream): void {
    stream.endLocal()
    if (stream.isRemoteEnded) this.#finish(stream, undefined)
  }

  #grantStream(stream: ServerStream, bytes: number): void {
    this.#sender.output.windowUpdate(stream.id, bytes)
    this.#listener.onOutput()
  }

  /**
   * What comes counts for the connection whatever becomes of its stream (section 6.9). Half of the window is always open,
   * which is more than a frame: nobody can overdraw it, and what is kept is bounded by the windows of the streams.
   */
  #countReceived(bytes: number): void {
    this.#ungrantedBytes += bytes
    if (this.#ungrantedBytes < this.#limits.connectionWindowBytes / 2) return
    this.#sender.output.windowUpdate(0, this.#ungrantedBytes)
    this.#ungrantedBytes = 0
  }

  // ---- ends ---------------------------------------------------------------------------------------------------

  #reset(stream: ServerStream, code: Http2ErrorCode): void {
    this.#sender.output.rstStream(stream.id, code)
    this.#forget(stream.id)
    this.#finish(stream, code)
    this.#listener.onOutput()
  }

  #forget(streamId: number): void {
    const { forgotten } = this.#requests
    forgotten.add(streamId)
    if (forgotten.size <= forgottenCountMax) return
    for (const oldest of forgotten) {
      forgotten.delete(oldest)
      return
    }
  }

  #finish(stream: ServerStream, code: Http2ErrorCode | undefined): void {
    const { streams, resets } = this.#requests
    streams.delete(stream.id)
    // Whoever waits for most of what it asks for, as clients that ask twice to be fast do, is no flood.
    if (code === undefined) resets.give(hastyResetCount)
    this.#sender.forget(stream)
    stream.close(code)
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (!this.#isGoing || this.#isOver || this.openStreamCount > 0) return
    this.#isOver = true
    this.#listener.onEnd(http2Error.noError, '')
  }

  #spendReset(count = 1): void {
    if (this.#requests.resets.take(this.#nowMs, count)) return
    throw new ConnectionFault(http2Error.enhanceYourCalm, 'too many streams were reset')
  }

  #spendIdleFrame(count = 1): void {
    if (this.#idleFrames.take(this.#nowMs, count)) return
    throw new ConnectionFault(http2Error.enhanceYourCalm, 'too many frames that carry nothing')
  }

  #fail({ code, message }: ConnectionFault): void {
    this.#isOver = true
    this.#sender.output.goAway(this.#lastStreamId, code, utf8Encode(message))
    this.#closeStreams()
    this.#listener.onEnd(code, message)
  }

  #closeStreams(): void {
    const streams = this.#made?.streams
    const open = [...(streams?.values() ?? [])]
    streams?.clear()
    for (const stream of open) stream.close(http2Error.cancel)
  }
}

/** Of all connections with the same limits the same bytes. */
const greetings = new WeakMap<Http2Limits, Uint8Array>()

function greetingOf(limits: Http2Limits): Uint8Array {
  let greeting = greetings.get(limits)
  if (greeting !== undefined) return greeting
  const { streamCountMax, streamWindowBytes, connectionWindowBytes, headerBytesMax } = limits
  const frames = new OutgoingFrames()
  frames.settings([
    [settingId.maxConcurrentStreams, streamCountMax],
    [settingId.initialWindowSize, streamWindowBytes],
    [settingId.maxHeaderListSize, headerBytesMax],
  ])
  const more = connectionWindowBytes - initialWindowBytes
  if (more > 0) frames.windowUpdate(0, more)
  greeting = concatBytes(frames.take())
  greetings.set(limits, greeting)
  return greeting
}

const errorCodes: ReadonlySet<number> = new Set(Object.values(http2Error))

/** A code that is not known says no more than that it ended (section 7). */
function toErrorCode(code: number): Http2ErrorCode {
  return errorCodes.has(code) ? (code as Http2ErrorCode) : http2Error.internalError
}
