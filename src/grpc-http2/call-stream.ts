import type { HeaderList } from '../hpack/index.ts'
import type { Http2ErrorCode, StreamListener } from '../http2/index.ts'

/**
 * What a call needs of the stream that carries it, whoever speaks HTTP/2. A `ServerStream` of http2 is one as it is; what
 * its methods and the listener promise holds for every other.
 */
export interface CallStream {
  /** Set in the turn in which the request came. */
  set listener(listener: StreamListener)
  readonly isRemoteEnded: boolean
  readonly hasHeaders: boolean
  /** Bytes of the answer that have not left. */
  readonly pendingBytes: number
  /** `isConstant`: the same object each time, so that it can be named by its index. */
  sendHeaders(headers: HeaderList, isConstant: boolean, isEnd: boolean): void
  /** The bytes must not be changed later. `onDrain` tells when they have left, if they had to wait. */
  write(bytes: Uint8Array): void
  end(trailers: HeaderList, isConstant: boolean): void
  reset(code: Http2ErrorCode): void
  /** While held, the client is granted no more bytes; those that are under way may still come. */
  hold(): void
  release(): void
}
