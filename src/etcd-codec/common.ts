// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { emptyBytes } from '../base/index.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/** ResponseHeader { clusterId uid=1, memberId uid=2, revision count=3, raftTerm count=4 } */
export interface ResponseHeader {
  readonly clusterId: bigint
  readonly memberId: bigint
  readonly revision: number
  readonly raftTerm: number
}

const fieldsOfResponseHeader: readonly number[] = [1, 2, 3, 4]
export function readResponseHeader(reader: MessageReader): ResponseHeader {
  let clusterId: bigint = 0n
  let memberId: bigint = 0n
  let revision: number = 0
  let raftTerm: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        clusterId = reader.uid()
        break
      case 0x10:
        memberId = reader.uid()
        break
      case 0x18:
        revision = reader.count()
        break
      case 0x20:
        raftTerm = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfResponseHeader)
    }
  }
  return { clusterId, memberId, revision, raftTerm }
}

export function writeResponseHeader(to: MessageWriter, message: ResponseHeader): void {
  to.count(0x20, message.raftTerm)
  to.count(0x18, message.revision)
  to.id(0x10, message.memberId)
  to.id(0x8, message.clusterId)
}

/**
 * KeyValue { key bytes=1, createRevision count=2, modRevision count=3, version count=4, value bytes=5,
 * lease id=6 }
 */
export interface KeyValue {
  readonly key: Uint8Array
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly value: Uint8Array
  readonly lease: bigint
}

const fieldsOfKeyValue: readonly number[] = [1, 2, 3, 4, 5, 6]
export function readKeyValue(reader: MessageReader): KeyValue {
  let key: Uint8Array = emptyBytes
  let createRevision: number = 0
  let modRevision: number = 0
  let version: number = 0
  let value: Uint8Array = emptyBytes
  let lease: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa:
        key = reader.byteString()
        break
      case 0x10:
        createRevision = reader.count()
        break
      case 0x18:
        modRevision = reader.count()
        break
      case 0x20:
        version = reader.count()
        break
      case 0x2a:
        value = reader.byteString()
        break
      case 0x30:
        lease = reader.id()
        break
      default:
        reader.skip(tag, fieldsOfKeyValue)
    }
  }
  return { key, createRevision, modRevision, version, value, lease }
}

export function writeKeyValue(to: MessageWriter, message: KeyValue): void {
  to.id(0x30, message.lease)
  to.byteString(0x2a, message.value)
  to.count(0x20, message.version)
  to.count(0x18, message.modRevision)
  to.count(0x10, message.createRevision)
  to.byteString(0xa, message.key)
}

/**
 * HeaderResponse, LeaseRevokeResponse, CompactionResponse, DefragmentResponse, MoveLeaderResponse {
 * header ResponseHeader=1 }
 */
export interface HeaderResponse {
  readonly header: ResponseHeader | undefined
}

export function decodeHeaderResponse(bytes: Uint8Array): HeaderResponse {
  return readHeaderResponse(new MessageReader(bytes))
}
const fieldsOfHeaderResponse: readonly number[] = [1]
export function readHeaderResponse(reader: MessageReader): HeaderResponse {
  let header: ResponseHeader | undefined
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfHeaderResponse)
    }
  }
  return { header }
}

export function encodeHeaderResponse(message: HeaderResponse): Uint8Array {
  writer.begin()
  writeHeaderResponse(writer, message)
  return writer.finish()
}
export function writeHeaderResponse(to: MessageWriter, message: HeaderResponse): void {
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
