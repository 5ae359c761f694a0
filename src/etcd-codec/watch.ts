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

/** Event { type enum=1, kv KeyValue=2, prevKv KeyValue=3 } */
export interface Event {
  readonly type: number
  readonly kv: KeyValue | undefined
  readonly prevKv: KeyValue | undefined
}

const fieldsOfEvent: readonly number[] = [1, 2, 3]
export function readEvent(reader: MessageReader): Event {
  let type: number = 0
  let kv: KeyValue | undefined
  let prevKv: KeyValue | undefined
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        type = reader.enumeration()
        break
      case 0x12: {
        const outer = reader.open()
        kv = readKeyValue(reader)
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        prevKv = readKeyValue(reader)
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfEvent)
    }
  }
  return { type, kv, prevKv }
}

export function writeEvent(to: MessageWriter, message: Event): void {
  if (message.prevKv !== undefined) {
    const mark = to.mark()
    writeKeyValue(to, message.prevKv)
    to.embedded(0x1a, mark)
  }
  if (message.kv !== undefined) {
    const mark = to.mark()
    writeKeyValue(to, message.kv)
    to.embedded(0x12, mark)
  }
  to.enumeration(0x8, message.type)
}

/**
 * WatchCreateRequest { key bytes=1, rangeEnd bytes=2, startRevision count=3, progressNotify bool=4,
 * filters repeated enum=5, prevKv bool=6, watchId count=7, fragment bool=8 }
 */
export interface WatchCreateRequest {
  readonly key: Uint8Array
  readonly rangeEnd: Uint8Array
  readonly startRevision: number
  readonly progressNotify: boolean
  readonly filters: readonly number[]
  readonly prevKv: boolean
  readonly watchId: number
  readonly fragment: boolean
}

export function decodeWatchCreateRequest(bytes: Uint8Array): WatchCreateRequest {
  return readWatchCreateRequest(new MessageReader(bytes))
}
const fieldsOfWatchCreateRequest: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8]
export function readWatchCreateRequest(reader: MessageReader): WatchCreateRequest {
  let key: Uint8Array = emptyBytes
  let rangeEnd: Uint8Array = emptyBytes
  let startRevision: number = 0
  let progressNotify: boolean = false
  const filters: number[] = []
  let prevKv: boolean = false
  let watchId: number = 0
  let fragment: boolean = false
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
        startRevision = reader.count()
        break
      case 0x20:
        progressNotify = reader.bool()
        break
      case 0x28:
        filters.push(reader.enumeration())
        break
      case 0x2a:
        reader.packedEnumerations(filters)
        break
      case 0x30:
        prevKv = reader.bool()
        break
      case 0x38:
        watchId = reader.count()
        break
      case 0x40:
        fragment = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfWatchCreateRequest)
    }
  }
  return { key, rangeEnd, startRevision, progressNotify, filters, prevKv, watchId, fragment }
}

export function encodeWatchCreateRequest(message: WatchCreateRequest): Uint8Array {
  writer.begin()
  writeWatchCreateRequest(writer, message)
  return writer.finish()
}
export function writeWatchCreateRequest(to: MessageWriter, message: WatchCreateRequest): void {
  to.bool(0x40, message.fragment)
  to.count(0x38, message.watchId)
  to.bool(0x30, message.prevKv)
  to.packedEnumerations(0x2a, message.filters)
  to.bool(0x20, message.progressNotify)
  to.count(0x18, message.startRevision)
  to.byteString(0x12, message.rangeEnd)
  to.byteString(0xa, message.key)
}

/** WatchCancelRequest { watchId count=1 } */
export interface WatchCancelRequest {
  readonly watchId: number
}

export function decodeWatchCancelRequest(bytes: Uint8Array): WatchCancelRequest {
  return readWatchCancelRequest(new MessageReader(bytes))
}
const fieldsOfWatchCancelRequest: readonly number[] = [1]
export function readWatchCancelRequest(reader: MessageReader): WatchCancelRequest {
  let watchId: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        watchId = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfWatchCancelRequest)
    }
  }
  return { watchId }
}

export function encodeWatchCancelRequest(message: WatchCancelRequest): Uint8Array {
  writer.begin()
  writeWatchCancelRequest(writer, message)
  return writer.finish()
}
export function writeWatchCancelRequest(to: MessageWriter, message: WatchCancelRequest): void {
  to.count(0x8, message.watchId)
}

/** WatchProgressRequest {  } */
export type WatchProgressRequest = object

export function decodeWatchProgressRequest(bytes: Uint8Array): WatchProgressRequest {
  return readWatchProgressRequest(new MessageReader(bytes))
}
const fieldsOfWatchProgressRequest: readonly number[] = []
export function readWatchProgressRequest(reader: MessageReader): WatchProgressRequest {
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      default:
        reader.skip(tag, fieldsOfWatchProgressRequest)
    }
  }
  return {}
}

export function encodeWatchProgressRequest(message: WatchProgressRequest): Uint8Array {
  writer.begin()
  writeWatchProgressRequest(writer, message)
  return writer.finish()
}
export function writeWatchProgressRequest(_to: MessageWriter, _message: WatchProgressRequest): void {}

/**
 * WatchRequest one of { createRequest WatchCreateRequest=1 | cancelRequest WatchCancelRequest=2 |
 * progressRequest WatchProgressRequest=3 }
 */
export type WatchRequest =
  | { readonly kind: 'createRequest'; readonly createRequest: WatchCreateRequest }
  | { readonly kind: 'cancelRequest'; readonly cancelRequest: WatchCancelRequest }
  | { readonly kind: 'progressRequest'; readonly progressRequest: WatchProgressRequest }
  | { readonly kind: 'none' }

export function decodeWatchRequest(bytes: Uint8Array): WatchRequest {
  return readWatchRequest(new MessageReader(bytes))
}
const fieldsOfWatchRequest: readonly number[] = [1, 2, 3]
export function readWatchRequest(reader: MessageReader): WatchRequest {
  let choice: WatchRequest = { kind: 'none' }
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        choice = { kind: 'createRequest', createRequest: readWatchCreateRequest(reader) }
        reader.close(outer)
        break
      }
      case 0x12: {
        const outer = reader.open()
        choice = { kind: 'cancelRequest', cancelRequest: readWatchCancelRequest(reader) }
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        choice = { kind: 'progressRequest', progressRequest: readWatchProgressRequest(reader) }
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfWatchRequest)
    }
  }
  return choice
}

export function encodeWatchRequest(message: WatchRequest): Uint8Array {
  writer.begin()
  writeWatchRequest(writer, message)
  return writer.finish()
}
export function writeWatchRequest(to: MessageWriter, message: WatchRequest): void {
  const mark = to.mark()
  switch (message.kind) {
    case 'createRequest':
      writeWatchCreateRequest(to, message.createRequest)
      to.embedded(0xa, mark)
      break
    case 'cancelRequest':
      writeWatchCancelRequest(to, message.cancelRequest)
      to.embedded(0x12, mark)
      break
    case 'progressRequest':
      writeWatchProgressRequest(to, message.progressRequest)
      to.embedded(0x1a, mark)
      break
  }
}

/**
 * WatchResponse { header ResponseHeader=1, watchId count=2, created bool=3, canceled bool=4,
 * compactRevision count=5, cancelReason string=6, fragment bool=7, events repeated Event=11 }
 */
export interface WatchResponse {
  readonly header: ResponseHeader | undefined
  readonly watchId: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: number
  readonly cancelReason: string
  readonly fragment: boolean
  readonly events: readonly Event[]
}

export function decodeWatchResponse(bytes: Uint8Array): WatchResponse {
  return readWatchResponse(new MessageReader(bytes))
}
const fieldsOfWatchResponse: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 11]
export function readWatchResponse(reader: MessageReader): WatchResponse {
  let header: ResponseHeader | undefined
  let watchId: number = 0
  let created: boolean = false
  let canceled: boolean = false
  let compactRevision: number = 0
  let cancelReason: string = ''
  let fragment: boolean = false
  const events: Event[] = []
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
        watchId = reader.count()
        break
      case 0x18:
        created = reader.bool()
        break
      case 0x20:
        canceled = reader.bool()
        break
      case 0x28:
        compactRevision = reader.count()
        break
      case 0x32:
        cancelReason = reader.text()
        break
      case 0x38:
        fragment = reader.bool()
        break
      case 0x5a: {
        const outer = reader.open()
        events.push(readEvent(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfWatchResponse)
    }
  }
  return { header, watchId, created, canceled, compactRevision, cancelReason, fragment, events }
}

export function encodeWatchResponse(message: WatchResponse): Uint8Array {
  writer.begin()
  writeWatchResponse(writer, message)
  return writer.finish()
}
export function writeWatchResponse(to: MessageWriter, message: WatchResponse): void {
  for (let i = message.events.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeEvent(to, message.events[i] as Event)
    to.embedded(0x5a, mark)
  }
  to.bool(0x38, message.fragment)
  to.text(0x32, message.cancelReason)
  to.count(0x28, message.compactRevision)
  to.bool(0x20, message.canceled)
  to.bool(0x18, message.created)
  to.count(0x10, message.watchId)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
