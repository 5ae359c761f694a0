// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { type ResponseHeader, readResponseHeader, writeResponseHeader } from './common.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/** LeaseGrantRequest { ttl count=1, id id=2 } */
export interface LeaseGrantRequest {
  readonly ttl: number
  readonly id: bigint
}

export function decodeLeaseGrantRequest(bytes: Uint8Array): LeaseGrantRequest {
  return readLeaseGrantRequest(new MessageReader(bytes))
}
const fieldsOfLeaseGrantRequest: readonly number[] = [1, 2]
export function readLeaseGrantRequest(reader: MessageReader): LeaseGrantRequest {
  let ttl: number = 0
  let id: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        ttl = reader.count()
        break
      case 0x10:
        id = reader.id()
        break
      default:
        reader.skip(tag, fieldsOfLeaseGrantRequest)
    }
  }
  return { ttl, id }
}

export function encodeLeaseGrantRequest(message: LeaseGrantRequest): Uint8Array {
  writer.begin()
  writeLeaseGrantRequest(writer, message)
  return writer.finish()
}
export function writeLeaseGrantRequest(to: MessageWriter, message: LeaseGrantRequest): void {
  to.id(0x10, message.id)
  to.count(0x8, message.ttl)
}

/** LeaseGrantResponse { header ResponseHeader=1, id id=2, ttl count=3, error string=4 } */
export interface LeaseGrantResponse {
  readonly header: ResponseHeader | undefined
  readonly id: bigint
  readonly ttl: number
  readonly error: string
}

export function decodeLeaseGrantResponse(bytes: Uint8Array): LeaseGrantResponse {
  return readLeaseGrantResponse(new MessageReader(bytes))
}
const fieldsOfLeaseGrantResponse: readonly number[] = [1, 2, 3, 4]
export function readLeaseGrantResponse(reader: MessageReader): LeaseGrantResponse {
  let header: ResponseHeader | undefined
  let id: bigint = 0n
  let ttl: number = 0
  let error: string = ''
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
        id = reader.id()
        break
      case 0x18:
        ttl = reader.count()
        break
      case 0x22:
        error = reader.text()
        break
      default:
        reader.skip(tag, fieldsOfLeaseGrantResponse)
    }
  }
  return { header, id, ttl, error }
}

export function encodeLeaseGrantResponse(message: LeaseGrantResponse): Uint8Array {
  writer.begin()
  writeLeaseGrantResponse(writer, message)
  return writer.finish()
}
export function writeLeaseGrantResponse(to: MessageWriter, message: LeaseGrantResponse): void {
  to.text(0x22, message.error)
  to.count(0x18, message.ttl)
  to.id(0x10, message.id)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** LeaseIdRequest, LeaseRevokeRequest, LeaseKeepAliveRequest { id id=1 } */
export interface LeaseIdRequest {
  readonly id: bigint
}

export function decodeLeaseIdRequest(bytes: Uint8Array): LeaseIdRequest {
  return readLeaseIdRequest(new MessageReader(bytes))
}
const fieldsOfLeaseIdRequest: readonly number[] = [1]
export function readLeaseIdRequest(reader: MessageReader): LeaseIdRequest {
  let id: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.id()
        break
      default:
        reader.skip(tag, fieldsOfLeaseIdRequest)
    }
  }
  return { id }
}

export function encodeLeaseIdRequest(message: LeaseIdRequest): Uint8Array {
  writer.begin()
  writeLeaseIdRequest(writer, message)
  return writer.finish()
}
export function writeLeaseIdRequest(to: MessageWriter, message: LeaseIdRequest): void {
  to.id(0x8, message.id)
}

/** LeaseKeepAliveResponse { header ResponseHeader=1, id id=2, ttl count=3 } */
export interface LeaseKeepAliveResponse {
  readonly header: ResponseHeader | undefined
  readonly id: bigint
  readonly ttl: number
}

export function decodeLeaseKeepAliveResponse(bytes: Uint8Array): LeaseKeepAliveResponse {
  return readLeaseKeepAliveResponse(new MessageReader(bytes))
}
const fieldsOfLeaseKeepAliveResponse: readonly number[] = [1, 2, 3]
export function readLeaseKeepAliveResponse(reader: MessageReader): LeaseKeepAliveResponse {
  let header: ResponseHeader | undefined
  let id: bigint = 0n
  let ttl: number = 0
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
        id = reader.id()
        break
      case 0x18:
        ttl = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfLeaseKeepAliveResponse)
    }
  }
  return { header, id, ttl }
}

export function encodeLeaseKeepAliveResponse(message: LeaseKeepAliveResponse): Uint8Array {
  writer.begin()
  writeLeaseKeepAliveResponse(writer, message)
  return writer.finish()
}
export function writeLeaseKeepAliveResponse(to: MessageWriter, message: LeaseKeepAliveResponse): void {
  to.count(0x18, message.ttl)
  to.id(0x10, message.id)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** LeaseTimeToLiveRequest { id id=1, keys bool=2 } */
export interface LeaseTimeToLiveRequest {
  readonly id: bigint
  readonly keys: boolean
}

export function decodeLeaseTimeToLiveRequest(bytes: Uint8Array): LeaseTimeToLiveRequest {
  return readLeaseTimeToLiveRequest(new MessageReader(bytes))
}
const fieldsOfLeaseTimeToLiveRequest: readonly number[] = [1, 2]
export function readLeaseTimeToLiveRequest(reader: MessageReader): LeaseTimeToLiveRequest {
  let id: bigint = 0n
  let keys: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.id()
        break
      case 0x10:
        keys = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfLeaseTimeToLiveRequest)
    }
  }
  return { id, keys }
}

export function encodeLeaseTimeToLiveRequest(message: LeaseTimeToLiveRequest): Uint8Array {
  writer.begin()
  writeLeaseTimeToLiveRequest(writer, message)
  return writer.finish()
}
export function writeLeaseTimeToLiveRequest(to: MessageWriter, message: LeaseTimeToLiveRequest): void {
  to.bool(0x10, message.keys)
  to.id(0x8, message.id)
}

/**
 * LeaseTimeToLiveResponse { header ResponseHeader=1, id id=2, ttl count=3, grantedTtl count=4, keys
 * repeated bytes=5 }
 */
export interface LeaseTimeToLiveResponse {
  readonly header: ResponseHeader | undefined
  readonly id: bigint
  readonly ttl: number
  readonly grantedTtl: number
  readonly keys: readonly Uint8Array[]
}

export function decodeLeaseTimeToLiveResponse(bytes: Uint8Array): LeaseTimeToLiveResponse {
  return readLeaseTimeToLiveResponse(new MessageReader(bytes))
}
const fieldsOfLeaseTimeToLiveResponse: readonly number[] = [1, 2, 3, 4, 5]
export function readLeaseTimeToLiveResponse(reader: MessageReader): LeaseTimeToLiveResponse {
  let header: ResponseHeader | undefined
  let id: bigint = 0n
  let ttl: number = 0
  let grantedTtl: number = 0
  const keys: Uint8Array[] = []
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
        id = reader.id()
        break
      case 0x18:
        ttl = reader.count()
        break
      case 0x20:
        grantedTtl = reader.count()
        break
      case 0x2a:
        keys.push(reader.byteString())
        break
      default:
        reader.skip(tag, fieldsOfLeaseTimeToLiveResponse)
    }
  }
  return { header, id, ttl, grantedTtl, keys }
}

export function encodeLeaseTimeToLiveResponse(message: LeaseTimeToLiveResponse): Uint8Array {
  writer.begin()
  writeLeaseTimeToLiveResponse(writer, message)
  return writer.finish()
}
export function writeLeaseTimeToLiveResponse(to: MessageWriter, message: LeaseTimeToLiveResponse): void {
  for (let i = message.keys.length - 1; i >= 0; i--) {
    to.byteStringAlways(0x2a, message.keys[i] as Uint8Array)
  }
  to.count(0x20, message.grantedTtl)
  to.count(0x18, message.ttl)
  to.id(0x10, message.id)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** LeaseStatus { id id=1 } */
export interface LeaseStatus {
  readonly id: bigint
}

const fieldsOfLeaseStatus: readonly number[] = [1]
export function readLeaseStatus(reader: MessageReader): LeaseStatus {
  let id: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.id()
        break
      default:
        reader.skip(tag, fieldsOfLeaseStatus)
    }
  }
  return { id }
}

export function writeLeaseStatus(to: MessageWriter, message: LeaseStatus): void {
  to.id(0x8, message.id)
}

/** LeaseLeasesResponse { header ResponseHeader=1, leases repeated LeaseStatus=2 } */
export interface LeaseLeasesResponse {
  readonly header: ResponseHeader | undefined
  readonly leases: readonly LeaseStatus[]
}

export function decodeLeaseLeasesResponse(bytes: Uint8Array): LeaseLeasesResponse {
  return readLeaseLeasesResponse(new MessageReader(bytes))
}
const fieldsOfLeaseLeasesResponse: readonly number[] = [1, 2]
export function readLeaseLeasesResponse(reader: MessageReader): LeaseLeasesResponse {
  let header: ResponseHeader | undefined
  const leases: LeaseStatus[] = []
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
        leases.push(readLeaseStatus(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfLeaseLeasesResponse)
    }
  }
  return { header, leases }
}

export function encodeLeaseLeasesResponse(message: LeaseLeasesResponse): Uint8Array {
  writer.begin()
  writeLeaseLeasesResponse(writer, message)
  return writer.finish()
}
export function writeLeaseLeasesResponse(to: MessageWriter, message: LeaseLeasesResponse): void {
  for (let i = message.leases.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeLeaseStatus(to, message.leases[i] as LeaseStatus)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
