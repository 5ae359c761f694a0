import { concatBytes, Slab } from '../base/index.ts'
import { GrpcError, grpcStatus, type UnaryAnswer } from './seam.ts'

/**
 * The length-prefixed message of gRPC over HTTP/2:
 *
 *   u8 compressed (0 or 1) | u32 length, big-endian | length bytes
 *
 * Messages and DATA frames know nothing of each other: a message may span frames, a frame may hold many messages.
 * Source: grpc/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message". Texts of refusals are those of grpc-go, which clients
 * and dashboards know.
 */
export const messagePrefixBytes = 5

/** A message larger than the client said it would be gathers in a buffer of at first no more than this. */
const firstBufferBytes = 16 * 1024

/** Undoes the compression that `grpc-encoding` names; throws when the result is larger than `bytesMax` or damaged. */
export type Decompress = (bytes: Uint8Array, bytesMax: number) => Uint8Array

export interface MessageLimits {
  readonly messageBytesMax: number
  /** Undefined: the client named no compression. */
  readonly decompress: Decompress | undefined
}

/** The message with its prefix, as bytes of its own. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(messagePrefixBytes + message.length)
  writePrefix(framed, message.length)
  framed.set(message, messagePrefixBytes)
  return framed
}

/** The answer of a unary call in one piece. */
export function wholeAnswer(answer: UnaryAnswer): Uint8Array {
  return answer instanceof Uint8Array ? answer : concatBytes(answer)
}

/** What stands before a message of `length` bytes that is sent as it is. */
export function messagePrefix(length: number): Uint8Array {
  const prefix = new Uint8Array(messagePrefixBytes)
  writePrefix(prefix, length)
  return prefix
}

function writePrefix(bytes: Uint8Array, length: number): void {
  bytes[1] = length >>> 24
  bytes[2] = length >>> 16
  bytes[3] = length >>> 8
  bytes[4] = length
}

/** Requests are let go when their calls end; what a handler keeps for longer it copies. */
const slab = new Slab()

/**
 * The message when `chunk` is exactly one, else undefined: the common case of a unary request, without a decoder.
 * Errors as MessageDecoder.next.
 */
export function wholeMessage(chunk: Uint8Array, limits: MessageLimits): Uint8Array | undefined {
  if (chunk.length < messagePrefixBytes) return undefined
  if (chunk.length !== messagePrefixBytes + lengthAt(chunk, 0)) return undefined
  const length = chunk.length - messagePrefixBytes
  checkLength(length, limits)
  let message = new Uint8Array(chunk.buffer, chunk.byteOffset + messagePrefixBytes, length)
  if (isSmallPart(message)) {
    const copy = slab.take(length)
    copy.set(message)
    message = copy
  }
  return open(chunk[0] as number, message, limits)
}

/**
 * Cuts a stream of chunks into messages: push a chunk, then call next until it answers undefined. What waits inside is
 * never more than twice what was received, whatever length the prefix claims.
 */
export class MessageDecoder {
  readonly #limits: MessageLimits
  readonly #prefix = new Uint8Array(messagePrefixBytes)
  #prefixFilled = 0
  /** The body so far, when it did not come in one piece. */
  #body: Uint8Array | undefined
  #bodyFilled = 0
  #chunk: Uint8Array | undefined
  #position = 0

  constructor(limits: MessageLimits) {
    this.#limits = limits
  }

  /** True when the stream may end here without cutting a message. */
  get isBetweenMessages(): boolean {
    return this.#prefixFilled === 0 && this.#chunk === undefined
  }

  /** What waits: the part of a message that is not whole, and what was not asked for yet. */
  get gatheredBytes(): number {
    const chunkBytes = this.#chunk === undefined ? 0 : this.#chunk.length - this.#position
    return chunkBytes + (this.#body?.length ?? 0)
  }

  /** Lets go of it; afterwards the decoder is of no use. */
  drop(): void {
    this.#body = undefined
    this.#chunk = undefined
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#chunk = chunk
    this.#position = 0
  }

  /**
   * The next whole message, undefined when more bytes are needed. Errors: GrpcError ResourceExhausted (too large),
   * Internal or Unimplemented (compression); afterwards the decoder is of no use.
   */
  next(): Uint8Array | undefined {
    const chunk = this.#chunk
    if (chunk === undefined) return undefined
    if (!this.#takePrefix(chunk)) return this.#finishChunk()
    const length = lengthAt(this.#prefix, 0)
    checkLength(length, this.#limits)
    const bytes = this.#takeBody(chunk, length)
    if (bytes === undefined) return this.#finishChunk()
    this.#prefixFilled = 0
    this.#body = undefined
    this.#bodyFilled = 0
    if (this.#position === chunk.length) this.#chunk = undefined
    return open(this.#prefix[0] as number, bytes, this.#limits)
  }

  #takePrefix(chunk: Uint8Array): boolean {
    while (this.#prefixFilled < messagePrefixBytes && this.#position < chunk.length) {
      this.#prefix[this.#prefixFilled++] = chunk[this.#position++] as number
    }
    return this.#prefixFilled === messagePrefixBytes
  }

  #takeBody(chunk: Uint8Array, length: number): Uint8Array | undefined {
    const available = chunk.length - this.#position
    if (this.#body === undefined && available >= length) {
      this.#position += length
      return ownBytes(new Uint8Array(chunk.buffer, chunk.byteOffset + this.#position - length, length))
    }
    const count = Math.min(available, length - this.#bodyFilled)
    const body = this.#bodyWithRoom(this.#bodyFilled + count, length)
    body.set(chunk.subarray(this.#position, this.#position + count), this.#bodyFilled)
    this.#bodyFilled += count
    this.#position += count
    return this.#bodyFilled === length ? body : undefined
  }

  #bodyWithRoom(size: number, length: number): Uint8Array {
    const body = this.#body
    if (body !== undefined && body.length >= size) return body
    const doubled = Math.max(size, firstBufferBytes, 2 * (body?.length ?? 0))
    const larger = new Uint8Array(Math.min(length, doubled))
    if (body !== undefined) larger.set(body)
    this.#body = larger
    return larger
  }

  #finishChunk(): undefined {
    this.#chunk = undefined
    return undefined
  }
}

function lengthAt(bytes: Uint8Array, start: number): number {
  const [a, b, c, d] = [bytes[start + 1], bytes[start + 2], bytes[start + 3], bytes[start + 4]]
  return (((a as number) << 24) | ((b as number) << 16) | ((c as number) << 8) | (d as number)) >>> 0
}

/** A copy when the view would keep much more memory alive than it shows. */
export function ownBytes(view: Uint8Array): Uint8Array {
  return isSmallPart(view) ? new Uint8Array(view) : view
}

/** As a small message of a large read is. */
function isSmallPart(view: Uint8Array): boolean {
  return view.buffer.byteLength > 2 * view.length
}

function checkLength(length: number, limits: MessageLimits): void {
  if (length <= limits.messageBytesMax) return
  const text = `grpc: received message larger than max (${length} vs. ${limits.messageBytesMax})`
  throw new GrpcError(grpcStatus.resourceExhausted, text)
}

function open(flag: number, bytes: Uint8Array, limits: MessageLimits): Uint8Array {
  if (flag === 0) return bytes
  if (flag !== 1) {
    throw new GrpcError(grpcStatus.internal, `grpc: received unexpected payload format ${flag}`)
  }
  const { decompress, messageBytesMax } = limits
  if (decompress === undefined) {
    const text = 'grpc: compressed flag set with identity or empty encoding'
    throw new GrpcError(grpcStatus.internal, text)
  }
  return decompress(bytes, messageBytesMax)
}
