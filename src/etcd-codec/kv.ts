// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { emptyBytes } from '../base/index.ts'
import {
  type KeyValue,
  type ResponseHeader,
  readKeyValue,
  readResponseHeader,
  writeKeyValue,
  writeResponseHeader,
} from './common.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/**
 * RangeRequest { key bytes=1, rangeEnd bytes=2, limit count=3, revision count=4, sortOrder enum=5,
 * sortTarget enum=6, serializable bool=7, keysOnly bool=8, countOnly bool=9, minModRevision count=10,
 * maxModRevision count=11, minCreateRevision count=12, maxCreateRevision count=13 }
 */
export interface RangeRequest {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  readonly limit: number
  readonly revision: number
  readonly sortOrder: number
  readonly sortTarget: number
  readonly serializable: boolean
  readonly keysOnly: boolean
  readonly countOnly: boolean
  readonly minModRevision: number
  readonly maxModRevision: number
  readonly minCreateRevision: number
  readonly maxCreateRevision: number
}

export function decodeRangeRequest(bytes: Uint8Array): RangeRequest {
  return readRangeRequest(new MessageReader(bytes))
}
const fieldsOfRangeRequest: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
export function readRangeRequest(reader: MessageReader): RangeRequest {
  let key: Uint8Array = emptyBytes
  let rangeEnd: Uint8Array = emptyBytes
  let limit: number = 0
  let revision: number = 0
  let sortOrder: number = 0
  let sortTarget: number = 0
  let serializable: boolean = false
  let keysOnly: boolean = false
  let countOnly: boolean = false
  let minModRevision: number = 0
  let maxModRevision: number = 0
  let minCreateRevision: number = 0
  let maxCreateRevision: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa:
        key = reader.byteString()
        break
      case 0x12:
        rangeEnd = reader.byteString()
        break
      case 0x18:
        limit = reader.count()
        break
      case 0x20:
        revision = reader.count()
        break
      case 0x28:
        sortOrder = reader.enumeration()
        break
      case 0x30:
        sortTarget = reader.enumeration()
        break
      case 0x38:
        serializable = reader.bool()
        break
      case 0x40:
        keysOnly = reader.bool()
        break
      case 0x48:
        countOnly = reader.bool()
        break
      case 0x50:
        minModRevision = reader.count()
        break
      case 0x58:
        maxModRevision = reader.count()
        break
      case 0x60:
        minCreateRevision = reader.count()
        break
      case 0x68:
        maxCreateRevision = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfRangeRequest)
    }
  }
  return {
    key,
    rangeEnd,
    limit,
    revision,
    sortOrder,
    sortTarget,
    serializable,
    keysOnly,
    countOnly,
    minModRevision,
    maxModRevision,
    minCreateRevision,
    maxCreateRevision,
  }
}

export function encodeRangeRequest(message: RangeRequest): Uint8Array {
  writer.begin()
  writeRangeRequest(writer, message)
  return writer.finish()
}
export function writeRangeRequest(to: MessageWriter, message: RangeRequest): void {
  to.count(0x68, message.maxCreateRevision)
  to.count(0x60, message.minCreateRevision)
  to.count(0x58, message.maxModRevision)
  to.count(0x50, message.minModRevision)
  to.bool(0x48, message.countOnly)
  to.bool(0x40, message.keysOnly)
  to.bool(0x38, message.serializable)
  to.enumeration(0x30, message.sortTarget)
  to.enumeration(0x28, message.sortOrder)
  to.count(0x20, message.revision)
  to.count(0x18, message.limit)
  to.byteString(0x12, message.rangeEnd)
  to.byteString(0xa, message.key)
}

/** RangeResponse { header ResponseHeader=1, kvs repeated KeyValue=2, more bool=3, count count=4 } */
export interface RangeResponse {
  readonly header: ResponseHeader | undefined
  readonly kvs: readonly KeyValue[]
  readonly more: boolean
  readonly count: number
}

export function decodeRangeResponse(bytes: Uint8Array): RangeResponse {
  return readRangeResponse(new MessageReader(bytes))
}
const fieldsOfRangeResponse: readonly number[] = [1, 2, 3, 4]
export function readRangeResponse(reader: MessageReader): RangeResponse {
  let header: ResponseHeader | undefined
  const kvs: KeyValue[] = []
  let more: boolean = false
  let count: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        kvs.push(readKeyValue(reader))
        reader.close(outer)
        break
      }
      case 0x18:
        more = reader.bool()
        break
      case 0x20:
        count = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfRangeResponse)
    }
  }
  return { header, kvs, more, count }
}

export function encodeRangeResponse(message: RangeResponse): Uint8Array {
  writer.begin()
  writeRangeResponse(writer, message)
  return writer.finish()
}
export function writeRangeResponse(to: MessageWriter, message: RangeResponse): void {
  to.count(0x20, message.count)
  to.bool(0x18, message.more)
  for (let i = message.kvs.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeKeyValue(to, message.kvs[i] as KeyValue)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/**
 * PutRequest { key bytes=1, value bytes=2, lease id=3, prevKv bool=4, ignoreValue bool=5, ignoreLease
 * bool=6 }
 */
export interface PutRequest {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly lease: bigint
  readonly prevKv: boolean
  readonly ignoreValue: boolean
  readonly ignoreLease: boolean
}

export function decodePutRequest(bytes: Uint8Array): PutRequest {
  return readPutRequest(new MessageReader(bytes))
}
const fieldsOfPutRequest: readonly number[] = [1, 2, 3, 4, 5, 6]
export function readPutRequest(reader: MessageReader): PutRequest {
  let key: Uint8Array = emptyBytes
  let value: Uint8Array = emptyBytes
  let lease: bigint = 0n
  let prevKv: boolean = false
  let ignoreValue: boolean = false
  let ignoreLease: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa:
        key = reader.byteString()
        break
      case 0x12:
        value = reader.byteString()
        break
      case 0x18:
        lease = reader.id()
        break
      case 0x20:
        prevKv = reader.bool()
        break
      case 0x28:
        ignoreValue = reader.bool()
        break
      case 0x30:
        ignoreLease = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfPutRequest)
    }
  }
  return { key, value, lease, prevKv, ignoreValue, ignoreLease }
}

export function encodePutRequest(message: PutRequest): Uint8Array {
  writer.begin()
  writePutRequest(writer, message)
  return writer.finish()
}
export function writePutRequest(to: MessageWriter, message: PutRequest): void {
  to.bool(0x30, message.ignoreLease)
  to.bool(0x28, message.ignoreValue)
  to.bool(0x20, message.prevKv)
  to.id(0x18, message.lease)
  to.byteString(0x12, message.value)
  to.byteString(0xa, message.key)
}

/** PutResponse { header ResponseHeader=1, prevKv KeyValue=2 } */
export interface PutResponse {
  readonly header: ResponseHeader | undefined
  readonly prevKv: KeyValue | undefined
}

export function decodePutResponse(bytes: Uint8Array): PutResponse {
  return readPutResponse(new MessageReader(bytes))
}
const fieldsOfPutResponse: readonly number[] = [1, 2]
export function readPutResponse(reader: MessageReader): PutResponse {
  let header: ResponseHeader | undefined
  let prevKv: KeyValue | undefined
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        prevKv = readKeyValue(reader)
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfPutResponse)
    }
  }
  return { header, prevKv }
}

export function encodePutResponse(message: PutResponse): Uint8Array {
  writer.begin()
  writePutResponse(writer, message)
  return writer.finish()
}
export function writePutResponse(to: MessageWriter, message: PutResponse): void {
  if (message.prevKv !== undefined) {
    const mark = to.mark()
    writeKeyValue(to, message.prevKv)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** DeleteRangeRequest { key bytes=1, rangeEnd bytes=2, prevKv bool=3 } */
export interface DeleteRangeRequest {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  readonly prevKv: boolean
}

export function decodeDeleteRangeRequest(bytes: Uint8Array): DeleteRangeRequest {
  return readDeleteRangeRequest(new MessageReader(bytes))
}
const fieldsOfDeleteRangeRequest: readonly number[] = [1, 2, 3]
export function readDeleteRangeRequest(reader: MessageReader): DeleteRangeRequest {
  let key: Uint8Array = emptyBytes
  let rangeEnd: Uint8Array = emptyBytes
  let prevKv: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa:
        key = reader.byteString()
        break
      case 0x12:
        rangeEnd = reader.byteString()
        break
      case 0x18:
        prevKv = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfDeleteRangeRequest)
    }
  }
  return { key, rangeEnd, prevKv }
}

export function encodeDeleteRangeRequest(message: DeleteRangeRequest): Uint8Array {
  writer.begin()
  writeDeleteRangeRequest(writer, message)
  return writer.finish()
}
export function writeDeleteRangeRequest(to: MessageWriter, message: DeleteRangeRequest): void {
  to.bool(0x18, message.prevKv)
  to.byteString(0x12, message.rangeEnd)
  to.byteString(0xa, message.key)
}

/** DeleteRangeResponse { header ResponseHeader=1, deleted count=2, prevKvs repeated KeyValue=3 } */
export interface DeleteRangeResponse {
  readonly header: ResponseHeader | undefined
  readonly deleted: number
  readonly prevKvs: readonly KeyValue[]
}

export function decodeDeleteRangeResponse(bytes: Uint8Array): DeleteRangeResponse {
  return readDeleteRangeResponse(new MessageReader(bytes))
}
const fieldsOfDeleteRangeResponse: readonly number[] = [1, 2, 3]
export function readDeleteRangeResponse(reader: MessageReader): DeleteRangeResponse {
  let header: ResponseHeader | undefined
  let deleted: number = 0
  const prevKvs: KeyValue[] = []
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
        deleted = reader.count()
        break
      case 0x1a: {
        const outer = reader.open()
        prevKvs.push(readKeyValue(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfDeleteRangeResponse)
    }
  }
  return { header, deleted, prevKvs }
}

export function encodeDeleteRangeResponse(message: DeleteRangeResponse): Uint8Array {
  writer.begin()
  writeDeleteRangeResponse(writer, message)
  return writer.finish()
}
export function writeDeleteRangeResponse(to: MessageWriter, message: DeleteRangeResponse): void {
  for (let i = message.prevKvs.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeKeyValue(to, message.prevKvs[i] as KeyValue)
    to.embedded(0x1a, mark)
  }
  to.count(0x10, message.deleted)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** CompactionRequest { revision count=1, physical bool=2 } */
export interface CompactionRequest {
  readonly revision: number
  readonly physical: boolean
}

export function decodeCompactionRequest(bytes: Uint8Array): CompactionRequest {
  return readCompactionRequest(new MessageReader(bytes))
}
const fieldsOfCompactionRequest: readonly number[] = [1, 2]
export function readCompactionRequest(reader: MessageReader): CompactionRequest {
  let revision: number = 0
  let physical: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        revision = reader.count()
        break
      case 0x10:
        physical = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfCompactionRequest)
    }
  }
  return { revision, physical }
}

export function encodeCompactionRequest(message: CompactionRequest): Uint8Array {
  writer.begin()
  writeCompactionRequest(writer, message)
  return writer.finish()
}
export function writeCompactionRequest(to: MessageWriter, message: CompactionRequest): void {
  to.bool(0x10, message.physical)
  to.count(0x8, message.revision)
}
