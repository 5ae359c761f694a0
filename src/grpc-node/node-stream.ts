import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { CallStream } from '../grpc-http2/index.ts'
import { type HeaderList, noHeaders } from '../hpack/index.ts'
import { type Http2ErrorCode, http2Error, type StreamListener } from '../http2/index.ts'

/** A date helps no gRPC client. */
const answerOptions = { waitForTrailers: true, sendDate: false }
const trailersOnlyOptions = { endStream: true, sendDate: false }

/** A stream of node:http2 as a call sees it. */
export class NodeStream implements CallStream {
  readonly #stream: ServerHttp2Stream
  readonly #onFault: (error: unknown) => void
  #listener: StreamListener | undefined
  #trailers: HeaderList = noHeaders

  /** `onFault`: what was to be sent cannot be; the stream is reset. */
  constructor(stream: ServerHttp2Stream, onFault: (error: unknown) => void) {
    this.#stream = stream
    this.#onFault = onFault
    // Resets and protocol errors of one stream; its close tells the call.
    stream.on('error', () => undefined)
  }

  set listener(listener: StreamListener) {
    const stream = this.#stream
    this.#listener = listener
    stream.on('data', (bytes: Buffer) => listener.onData(bytes))
    stream.on('end', () => listener.onEnd())
    stream.on('drain', () => listener.onDrain())
    stream.on('close', () => {
      const code = stream.rstCode as Http2ErrorCode
      listener.onClose(code === http2Error.noError ? undefined : code)
    })
    // A client that resets without an error closes a paused stream only when it is read to its end. Not within this
    // event: node:http2 tells it before it submits the reset. A stream that is gone by then stays open for nghttp2,
    // which asks for its waiting data without end (empty DATA frames, until the memory is full) as soon as another
    // stream of the connection sends.
    stream.on('aborted', () => process.nextTick(() => stream.destroy()))
  }

  get isRemoteEnded(): boolean {
    return this.#stream.readableEnded
  }

  get hasHeaders(): boolean {
    return this.#stream.headersSent
  }

  get pendingBytes(): number {
    return this.#stream.writableLength
  }

  sendHeaders(headers: HeaderList, _isConstant: boolean, isEnd: boolean): void {
    this.#send((stream) => {
      if (!isEnd) stream.on('wantTrailers', () => this.#sendTrailers())
      stream.respond(objectOf(headers), isEnd ? trailersOnlyOptions : answerOptions)
      if (isEnd) this.#endLocal()
    })
  }

  write(bytes: Uint8Array): void {
    this.#send((stream) => stream.write(bytes))
  }

  end(trailers: HeaderList): void {
    this.#trailers = trailers
    this.#send((stream) => stream.end())
  }

  reset(code: Http2ErrorCode): void {
    if (this.#isOpen) this.#stream.close(code)
  }

  hold(): void {
    this.#stream.pause()
  }

  release(): void {
    this.#stream.resume()
  }

  get #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed
  }

  #sendTrailers(): void {
    this.#send((stream) => {
      stream.sendTrailers(objectOf(this.#trailers))
      this.#endLocal()
    })
  }

  #endLocal(): void {
    if (this.isRemoteEnded) return
    // The end of a request that nobody reads would never be heard.
    this.#stream.resume()
    this.#listener?.onLocalEnd()
  }

  #send(run: (stream: ServerHttp2Stream) => void): void {
    if (!this.#isOpen) return
    try {
      run(this.#stream)
    } catch (error) {
      this.#onFault(error)
      this.reset(http2Error.internalError)
    }
  }
}

function objectOf({ fields }: HeaderList): OutgoingHttpHeaders {
  const object: OutgoingHttpHeaders = {}
  for (let i = 0; i < fields.length; i += 2) object[fields[i] as string] = fields[i + 1]
  return object
}
