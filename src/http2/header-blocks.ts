import { concatBytes, copyBytes } from '../base/index.ts'
import { type HeaderList, HpackDecoder, HpackError } from '../hpack/index.ts'
import { ConnectionFault } from './faults.ts'
import { http2Error } from './frame.ts'

/** CONTINUATION frames of one block: enough for the largest one in pieces of a few KiB. */
const continuationCountMax = 16

export interface HeaderBlock {
  readonly streamId: number
  readonly headers: HeaderList
  /** END_STREAM stood on its first frame. */
  readonly isEnd: boolean
}

/** Puts the blocks of a connection together and decodes each, in order (section 4.3). */
export class HeaderBlocks {
  readonly #decoder: HpackDecoder
  readonly #bytesMax: number
  #gathering: { streamId: number; isEnd: boolean; parts: Uint8Array[]; bytes: number } | undefined

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: bytesMax })
  }

  /** Only CONTINUATION may come now. */
  get isGathering(): boolean {
    return this.#gathering !== undefined
  }

  /** Of a HEADERS frame. Undefined: the block goes on in the next frame. */
  begin(streamId: number, part: Uint8Array, isEnd: boolean, isWhole: boolean): HeaderBlock | undefined {
    this.#checkSize(part.length)
    if (isWhole) return { streamId, headers: this.#decode(part), isEnd }
    this.#gathering = { streamId, isEnd, parts: [copyBytes(part)], bytes: part.length }
    return undefined
  }

  continue(streamId: number, part: Uint8Array, isWhole: boolean): HeaderBlock | undefined {
    const gathering = this.#gathering
    if (gathering === undefined || gathering.streamId !== streamId) {
      throw new ConnectionFault(http2Error.protocolError, 'CONTINUATION continues nothing')
    }
    gathering.parts.push(copyBytes(part))
    gathering.bytes += part.length
    this.#checkSize(gathering.bytes)
    if (gathering.parts.length > 1 + continuationCountMax) {
      throw new ConnectionFault(http2Error.enhanceYourCalm, 'a header block in too many frames')
    }
    if (!isWhole) return undefined
    this.#gathering = undefined
    return { streamId, headers: this.#decode(concatBytes(gathering.parts)), isEnd: gathering.isEnd }
  }

  /** A block that is not decoded leaves the tables different: the connection cannot go on. */
  #checkSize(bytes: number): void {
    if (bytes <= this.#bytesMax) return
    throw new ConnectionFault(http2Error.enhanceYourCalm, `a header block beyond ${this.#bytesMax} bytes`)
  }

  #decode(block: Uint8Array): HeaderList {
    try {
      return this.#decoder.decode(block)
    } catch (error) {
      if (!(error instanceof HpackError)) throw error
      throw new ConnectionFault(http2Error.compressionError, error.message)
    }
  }
}
