// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { emptyBytes } from '../base/index.ts'
import { type ResponseHeader, readResponseHeader, writeResponseHeader } from './common.ts'
import {
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  readDeleteRangeRequest,
  readDeleteRangeResponse,
  readPutRequest,
  readPutResponse,
  readRangeRequest,
  readRangeResponse,
  writeDeleteRangeRequest,
  writeDeleteRangeResponse,
  writePutRequest,
  writePutResponse,
  writeRangeRequest,
  writeRangeResponse,
} from './kv.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/**
 * Compare { result enum=1, target enum=2, key bytes=3, version count=4, createRevision count=5,
 * modRevision count=6, value bytes=7, lease id=8, rangeEnd bytes=64 }
 */
export interface Compare {
  readonly result: number
  readonly target: number
  readonly key: Uint8Array
  readonly version: number
  readonly createRevision: number
  readonly modRevision: number
  readonly value: Uint8Array
  readonly lease: bigint
  readonly rangeEnd: Uint8Array
}

const fieldsOfCompare: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 64]
export function readCompare(reader: MessageReader): Compare {
  let result: number = 0
  let target: number = 0
  let key: Uint8Array = emptyBytes
  let version: number = 0
  let createRevision: number = 0
  let modRevision: number = 0
  let value: Uint8Array = emptyBytes
  let lease: bigint = 0n
  let rangeEnd: Uint8Array = emptyBytes
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        result = reader.enumeration()
        break
      case 0x10:
        target = reader.enumeration()
        break
      case 0x1a:
        key = reader.byteString()
        break
      case 0x20:
        createRevision = 0
        modRevision = 0
        value = emptyBytes
        lease = 0n
        version = reader.count()
        break
      case 0x28:
        version = 0
        modRevision = 0
        value = emptyBytes
        lease = 0n
        createRevision = reader.count()
        break
      case 0x30:
        version = 0
        createRevision = 0
        value = emptyBytes
        lease = 0n
        modRevision = reader.count()
        break
      case 0x3a:
        version = 0
        createRevision = 0
        modRevision = 0
        lease = 0n
        value = reader.byteString()
        break
      case 0x40:
        version = 0
        createRevision = 0
        modRevision = 0
        value = emptyBytes
        lease = reader.id()
        break
      case 0x202:
        rangeEnd = reader.byteString()
        break
      default:
        reader.skip(tag, fieldsOfCompare)
    }
  }
  return { result, target, key, version, createRevision, modRevision, value, lease, rangeEnd }
}

export function writeCompare(to: MessageWriter, message: Compare): void {
  to.byteString(0x202, message.rangeEnd)
  to.id(0x40, message.lease)
  to.byteString(0x3a, message.value)
  to.count(0x30, message.modRevision)
  to.count(0x28, message.createRevision)
  to.count(0x20, message.version)
  to.byteString(0x1a, message.key)
  to.enumeration(0x10, message.target)
  to.enumeration(0x8, message.result)
}

/**
 * RequestOp one of { requestRange RangeRequest=1 | requestPut PutRequest=2 | requestDeleteRange
 * DeleteRangeRequest=3 | requestTxn TxnRequest=4 }
 */
export type RequestOp =
  | { readonly kind: 'requestRange'; readonly requestRange: RangeRequest }
  | { readonly kind: 'requestPut'; readonly requestPut: PutRequest }
  | { readonly kind: 'requestDeleteRange'; readonly requestDeleteRange: DeleteRangeRequest }
  | { readonly kind: 'requestTxn'; readonly requestTxn: TxnRequest }
  | { readonly kind: 'none' }

const fieldsOfRequestOp: readonly number[] = [1, 2, 3, 4]
export function readRequestOp(reader: MessageReader): RequestOp {
  let choice: RequestOp = { kind: 'none' }
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        choice = { kind: 'requestRange', requestRange: readRangeRequest(reader) }
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        choice = { kind: 'requestPut', requestPut: readPutRequest(reader) }
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        choice = { kind: 'requestDeleteRange', requestDeleteRange: readDeleteRangeRequest(reader) }
        reader.close(outer)
        break
      }
      case 0x22: {
        const outer = reader.open()
        choice = { kind: 'requestTxn', requestTxn: readTxnRequest(reader) }
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfRequestOp)
    }
  }
  return choice
}

export function writeRequestOp(to: MessageWriter, message: RequestOp): void {
  const mark = to.mark()
  switch (message.kind) {
    case 'requestRange':
      writeRangeRequest(to, message.requestRange)
      to.embedded(0xa, mark)
      break
    case 'requestPut':
      writePutRequest(to, message.requestPut)
      to.embedded(0x12, mark)
      break
    case 'requestDeleteRange':
      writeDeleteRangeRequest(to, message.requestDeleteRange)
      to.embedded(0x1a, mark)
      break
    case 'requestTxn':
      writeTxnRequest(to, message.requestTxn)
      to.embedded(0x22, mark)
      break
  }
}

/**
 * TxnRequest { compare repeated Compare=1, success repeated RequestOp=2, failure repeated RequestOp=3
 * }
 */
export interface TxnRequest {
  readonly compare: readonly Compare[]
  readonly success: readonly RequestOp[]
  readonly failure: readonly RequestOp[]
}

export function decodeTxnRequest(bytes: Uint8Array): TxnRequest {
  return readTxnRequest(new MessageReader(bytes))
}
const fieldsOfTxnRequest: readonly number[] = [1, 2, 3]
export function readTxnRequest(reader: MessageReader): TxnRequest {
  const compare: Compare[] = []
  const success: RequestOp[] = []
  const failure: RequestOp[] = []
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        compare.push(readCompare(reader))
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        success.push(readRequestOp(reader))
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        failure.push(readRequestOp(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfTxnRequest)
    }
  }
  return { compare, success, failure }
}

export function encodeTxnRequest(message: TxnRequest): Uint8Array {
  writer.begin()
  writeTxnRequest(writer, message)
  return writer.finish()
}
export function writeTxnRequest(to: MessageWriter, message: TxnRequest): void {
  for (let i = message.failure.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeRequestOp(to, message.failure[i] as RequestOp)
    to.embedded(0x1a, mark)
  }
  for (let i = message.success.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeRequestOp(to, message.success[i] as RequestOp)
    to.embedded(0x12, mark)
  }
  for (let i = message.compare.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeCompare(to, message.compare[i] as Compare)
    to.embedded(0xa, mark)
  }
}

/**
 * ResponseOp one of { responseRange RangeResponse=1 | responsePut PutResponse=2 | responseDeleteRange
 * DeleteRangeResponse=3 | responseTxn TxnResponse=4 }
 */
export type ResponseOp =
  | { readonly kind: 'responseRange'; readonly responseRange: RangeResponse }
  | { readonly kind: 'responsePut'; readonly responsePut: PutResponse }
  | { readonly kind: 'responseDeleteRange'; readonly responseDeleteRange: DeleteRangeResponse }
  | { readonly kind: 'responseTxn'; readonly responseTxn: TxnResponse }
  | { readonly kind: 'none' }

const fieldsOfResponseOp: readonly number[] = [1, 2, 3, 4]
export function readResponseOp(reader: MessageReader): ResponseOp {
  let choice: ResponseOp = { kind: 'none' }
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        choice = { kind: 'responseRange', responseRange: readRangeResponse(reader) }
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        choice = { kind: 'responsePut', responsePut: readPutResponse(reader) }
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        choice = { kind: 'responseDeleteRange', responseDeleteRange: readDeleteRangeResponse(reader) }
        reader.close(outer)
        break
      }
      case 0x22: {
        const outer = reader.open()
        choice = { kind: 'responseTxn', responseTxn: readTxnResponse(reader) }
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfResponseOp)
    }
  }
  return choice
}

export function writeResponseOp(to: MessageWriter, message: ResponseOp): void {
  const mark = to.mark()
  switch (message.kind) {
    case 'responseRange':
      writeRangeResponse(to, message.responseRange)
      to.embedded(0xa, mark)
      break
    case 'responsePut':
      writePutResponse(to, message.responsePut)
      to.embedded(0x12, mark)
      break
    case 'responseDeleteRange':
      writeDeleteRangeResponse(to, message.responseDeleteRange)
      to.embedded(0x1a, mark)
      break
    case 'responseTxn':
      writeTxnResponse(to, message.responseTxn)
      to.embedded(0x22, mark)
      break
  }
}

/** TxnResponse { header ResponseHeader=1, succeeded bool=2, responses repeated ResponseOp=3 } */
export interface TxnResponse {
  readonly header: ResponseHeader | undefined
  readonly succeeded: boolean
  readonly responses: readonly ResponseOp[]
}

export function decodeTxnResponse(bytes: Uint8Array): TxnResponse {
  return readTxnResponse(new MessageReader(bytes))
}
const fieldsOfTxnResponse: readonly number[] = [1, 2, 3]
export function readTxnResponse(reader: MessageReader): TxnResponse {
  let header: ResponseHeader | undefined
  let succeeded: boolean = false
  const responses: ResponseOp[] = []
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
        succeeded = reader.bool()
        break
      case 0x1a: {
        const outer = reader.open()
        responses.push(readResponseOp(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfTxnResponse)
    }
  }
  return { header, succeeded, responses }
}

export function encodeTxnResponse(message: TxnResponse): Uint8Array {
  writer.begin()
  writeTxnResponse(writer, message)
  return writer.finish()
}
export function writeTxnResponse(to: MessageWriter, message: TxnResponse): void {
  for (let i = message.responses.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeResponseOp(to, message.responses[i] as ResponseOp)
    to.embedded(0x1a, mark)
  }
  to.bool(0x10, message.succeeded)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
