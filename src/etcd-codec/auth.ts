// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { type ResponseHeader, readResponseHeader, writeResponseHeader } from './common.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/** AuthStatusResponse { header ResponseHeader=1, enabled bool=2, authRevision count=3 } */
export interface AuthStatusResponse {
  readonly header: ResponseHeader | undefined
  readonly enabled: boolean
  readonly authRevision: number
}

export function decodeAuthStatusResponse(bytes: Uint8Array): AuthStatusResponse {
  return readAuthStatusResponse(new MessageReader(bytes))
}
const fieldsOfAuthStatusResponse: readonly number[] = [1, 2, 3]
export function readAuthStatusResponse(reader: MessageReader): AuthStatusResponse {
  let header: ResponseHeader | undefined
  let enabled: boolean = false
  let authRevision: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      case 0x10:
        enabled = reader.bool()
        break
      case 0x18:
        authRevision = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfAuthStatusResponse)
    }
  }
  return { header, enabled, authRevision }
}

export function encodeAuthStatusResponse(message: AuthStatusResponse): Uint8Array {
  writer.begin()
  writeAuthStatusResponse(writer, message)
  return writer.finish()
}
export function writeAuthStatusResponse(to: MessageWriter, message: AuthStatusResponse): void {
  to.count(0x18, message.authRevision)
  to.bool(0x10, message.enabled)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
