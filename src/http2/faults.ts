import { ErrorWithoutStack } from '../base/index.ts'
import type { Http2ErrorCode } from './frame.ts'
import type { ServerStream } from './stream.ts'

/** The peer broke what both ends share: the connection ends (RFC 9113, section 5.4.1). Thrown by a frame's handler. */
export class ConnectionFault extends ErrorWithoutStack {
  override readonly name = 'ConnectionFault'
  readonly code: Http2ErrorCode

  constructor(code: Http2ErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** The peer broke one stream: that one is reset (section 5.4.2). */
export class StreamFault extends ErrorWithoutStack {
  override readonly name = 'StreamFault'
  readonly code: Http2ErrorCode
  readonly stream: ServerStream

  constructor(code: Http2ErrorCode, stream: ServerStream, message: string) {
    super(message)
    this.code = code
    this.stream = stream
  }
}
