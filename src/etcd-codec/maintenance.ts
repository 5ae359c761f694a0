// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { emptyBytes } from '../base/index.ts'
import { type ResponseHeader, readResponseHeader, writeResponseHeader } from './common.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/** AlarmRequest { action enum=1, memberId uid=2, alarm enum=3 } */
export interface AlarmRequest {
  readonly action: number
  readonly memberId: bigint
  readonly alarm: number
}

export function decodeAlarmRequest(bytes: Uint8Array): AlarmRequest {
  return readAlarmRequest(new MessageReader(bytes))
}
const fieldsOfAlarmRequest: readonly number[] = [1, 2, 3]
export function readAlarmRequest(reader: MessageReader): AlarmRequest {
  let action: number = 0
  let memberId: bigint = 0n
  let alarm: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        action = reader.enumeration()
        break
      case 0x10:
        memberId = reader.uid()
        break
      case 0x18:
        alarm = reader.enumeration()
        break
      default:
        reader.skip(tag, fieldsOfAlarmRequest)
    }
  }
  return { action, memberId, alarm }
}

export function encodeAlarmRequest(message: AlarmRequest): Uint8Array {
  writer.begin()
  writeAlarmRequest(writer, message)
  return writer.finish()
}
export function writeAlarmRequest(to: MessageWriter, message: AlarmRequest): void {
  to.enumeration(0x18, message.alarm)
  to.id(0x10, message.memberId)
  to.enumeration(0x8, message.action)
}

/** AlarmMember { memberId uid=1, alarm enum=2 } */
export interface AlarmMember {
  readonly memberId: bigint
  readonly alarm: number
}

const fieldsOfAlarmMember: readonly number[] = [1, 2]
export function readAlarmMember(reader: MessageReader): AlarmMember {
  let memberId: bigint = 0n
  let alarm: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        memberId = reader.uid()
        break
      case 0x10:
        alarm = reader.enumeration()
        break
      default:
        reader.skip(tag, fieldsOfAlarmMember)
    }
  }
  return { memberId, alarm }
}

export function writeAlarmMember(to: MessageWriter, message: AlarmMember): void {
  to.enumeration(0x10, message.alarm)
  to.id(0x8, message.memberId)
}

/** AlarmResponse { header ResponseHeader=1, alarms repeated AlarmMember=2 } */
export interface AlarmResponse {
  readonly header: ResponseHeader | undefined
  readonly alarms: readonly AlarmMember[]
}

export function decodeAlarmResponse(bytes: Uint8Array): AlarmResponse {
  return readAlarmResponse(new MessageReader(bytes))
}
const fieldsOfAlarmResponse: readonly number[] = [1, 2]
export function readAlarmResponse(reader: MessageReader): AlarmResponse {
  let header: ResponseHeader | undefined
  const alarms: AlarmMember[] = []
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
        alarms.push(readAlarmMember(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfAlarmResponse)
    }
  }
  return { header, alarms }
}

export function encodeAlarmResponse(message: AlarmResponse): Uint8Array {
  writer.begin()
  writeAlarmResponse(writer, message)
  return writer.finish()
}
export function writeAlarmResponse(to: MessageWriter, message: AlarmResponse): void {
  for (let i = message.alarms.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeAlarmMember(to, message.alarms[i] as AlarmMember)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** DowngradeInfo { enabled bool=1, targetVersion string=2 } */
export interface DowngradeInfo {
  readonly enabled: boolean
  readonly targetVersion: string
}

const fieldsOfDowngradeInfo: readonly number[] = [1, 2]
export function readDowngradeInfo(reader: MessageReader): DowngradeInfo {
  let enabled: boolean = false
  let targetVersion: string = ''
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        enabled = reader.bool()
        break
      case 0x12:
        targetVersion = reader.text()
        break
      default:
        reader.skip(tag, fieldsOfDowngradeInfo)
    }
  }
  return { enabled, targetVersion }
}

export function writeDowngradeInfo(to: MessageWriter, message: DowngradeInfo): void {
  to.text(0x12, message.targetVersion)
  to.bool(0x8, message.enabled)
}

/**
 * StatusResponse { header ResponseHeader=1, version string=2, dbSize count=3, leader uid=4, raftIndex
 * count=5, raftTerm count=6, raftAppliedIndex count=7, errors repeated string=8, dbSizeInUse count=9,
 * isLearner bool=10, storageVersion string=11, dbSizeQuota count=12, downgradeInfo DowngradeInfo=13 }
 */
export interface StatusResponse {
  readonly header: ResponseHeader | undefined
  readonly version: string
  readonly dbSize: number
  readonly leader: bigint
  readonly raftIndex: number
  readonly raftTerm: number
  readonly raftAppliedIndex: number
  readonly errors: readonly string[]
  readonly dbSizeInUse: number
  readonly isLearner: boolean
  readonly storageVersion: string
  readonly dbSizeQuota: number
  readonly downgradeInfo: DowngradeInfo | undefined
}

export function decodeStatusResponse(bytes: Uint8Array): StatusResponse {
  return readStatusResponse(new MessageReader(bytes))
}
const fieldsOfStatusResponse: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
export function readStatusResponse(reader: MessageReader): StatusResponse {
  let header: ResponseHeader | undefined
  let version: string = ''
  let dbSize: number = 0
  let leader: bigint = 0n
  let raftIndex: number = 0
  let raftTerm: number = 0
  let raftAppliedIndex: number = 0
  const errors: string[] = []
  let dbSizeInUse: number = 0
  let isLearner: boolean = false
  let storageVersion: string = ''
  let dbSizeQuota: number = 0
  let downgradeInfo: DowngradeInfo | undefined
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      case 0x12:
        version = reader.text()
        break
      case 0x18:
        dbSize = reader.count()
        break
      case 0x20:
        leader = reader.uid()
        break
      case 0x28:
        raftIndex = reader.count()
        break
      case 0x30:
        raftTerm = reader.count()
        break
      case 0x38:
        raftAppliedIndex = reader.count()
        break
      case 0x42:
        errors.push(reader.text())
        break
      case 0x48:
        dbSizeInUse = reader.count()
        break
      case 0x50:
        isLearner = reader.bool()
        break
      case 0x5a:
        storageVersion = reader.text()
        break
      case 0x60:
        dbSizeQuota = reader.count()
        break
      case 0x6a: {
        const outer = reader.open()
        downgradeInfo = readDowngradeInfo(reader)
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfStatusResponse)
    }
  }
  return {
    header,
    version,
    dbSize,
    leader,
    raftIndex,
    raftTerm,
    raftAppliedIndex,
    errors,
    dbSizeInUse,
    isLearner,
    storageVersion,
    dbSizeQuota,
    downgradeInfo,
  }
}

export function encodeStatusResponse(message: StatusResponse): Uint8Array {
  writer.begin()
  writeStatusResponse(writer, message)
  return writer.finish()
}
export function writeStatusResponse(to: MessageWriter, message: StatusResponse): void {
  if (message.downgradeInfo !== undefined) {
    const mark = to.mark()
    writeDowngradeInfo(to, message.downgradeInfo)
    to.embedded(0x6a, mark)
  }
  to.count(0x60, message.dbSizeQuota)
  to.text(0x5a, message.storageVersion)
  to.bool(0x50, message.isLearner)
  to.count(0x48, message.dbSizeInUse)
  for (let i = message.errors.length - 1; i >= 0; i--) {
    to.textAlways(0x42, message.errors[i] as string)
  }
  to.count(0x38, message.raftAppliedIndex)
  to.count(0x30, message.raftTerm)
  to.count(0x28, message.raftIndex)
  to.id(0x20, message.leader)
  to.count(0x18, message.dbSize)
  to.text(0x12, message.version)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** HashResponse { header ResponseHeader=1, hash u32=2 } */
export interface HashResponse {
  readonly header: ResponseHeader | undefined
  readonly hash: number
}

export function decodeHashResponse(bytes: Uint8Array): HashResponse {
  return readHashResponse(new MessageReader(bytes))
}
const fieldsOfHashResponse: readonly number[] = [1, 2]
export function readHashResponse(reader: MessageReader): HashResponse {
  let header: ResponseHeader | undefined
  let hash: number = 0
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
        hash = reader.u32()
        break
      default:
        reader.skip(tag, fieldsOfHashResponse)
    }
  }
  return { header, hash }
}

export function encodeHashResponse(message: HashResponse): Uint8Array {
  writer.begin()
  writeHashResponse(writer, message)
  return writer.finish()
}
export function writeHashResponse(to: MessageWriter, message: HashResponse): void {
  to.u32(0x10, message.hash)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** HashKVRequest { revision count=1 } */
export interface HashKVRequest {
  readonly revision: number
}

export function decodeHashKVRequest(bytes: Uint8Array): HashKVRequest {
  return readHashKVRequest(new MessageReader(bytes))
}
const fieldsOfHashKVRequest: readonly number[] = [1]
export function readHashKVRequest(reader: MessageReader): HashKVRequest {
  let revision: number = 0
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        revision = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfHashKVRequest)
    }
  }
  return { revision }
}

export function encodeHashKVRequest(message: HashKVRequest): Uint8Array {
  writer.begin()
  writeHashKVRequest(writer, message)
  return writer.finish()
}
export function writeHashKVRequest(to: MessageWriter, message: HashKVRequest): void {
  to.count(0x8, message.revision)
}

/**
 * HashKVResponse { header ResponseHeader=1, hash u32=2, compactRevision count=3, hashRevision count=4
 * }
 */
export interface HashKVResponse {
  readonly header: ResponseHeader | undefined
  readonly hash: number
  readonly compactRevision: number
  readonly hashRevision: number
}

export function decodeHashKVResponse(bytes: Uint8Array): HashKVResponse {
  return readHashKVResponse(new MessageReader(bytes))
}
const fieldsOfHashKVResponse: readonly number[] = [1, 2, 3, 4]
export function readHashKVResponse(reader: MessageReader): HashKVResponse {
  let header: ResponseHeader | undefined
  let hash: number = 0
  let compactRevision: number = 0
  let hashRevision: number = 0
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
        hash = reader.u32()
        break
      case 0x18:
        compactRevision = reader.count()
        break
      case 0x20:
        hashRevision = reader.count()
        break
      default:
        reader.skip(tag, fieldsOfHashKVResponse)
    }
  }
  return { header, hash, compactRevision, hashRevision }
}

export function encodeHashKVResponse(message: HashKVResponse): Uint8Array {
  writer.begin()
  writeHashKVResponse(writer, message)
  return writer.finish()
}
export function writeHashKVResponse(to: MessageWriter, message: HashKVResponse): void {
  to.count(0x20, message.hashRevision)
  to.count(0x18, message.compactRevision)
  to.u32(0x10, message.hash)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** SnapshotResponse { header ResponseHeader=1, remainingBytes count=2, blob bytes=3, version string=4 } */
export interface SnapshotResponse {
  readonly header: ResponseHeader | undefined
  readonly remainingBytes: number
  readonly blob: Uint8Array
  readonly version: string
}

export function decodeSnapshotResponse(bytes: Uint8Array): SnapshotResponse {
  return readSnapshotResponse(new MessageReader(bytes))
}
const fieldsOfSnapshotResponse: readonly number[] = [1, 2, 3, 4]
export function readSnapshotResponse(reader: MessageReader): SnapshotResponse {
  let header: ResponseHeader | undefined
  let remainingBytes: number = 0
  let blob: Uint8Array = emptyBytes
  let version: string = ''
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
        remainingBytes = reader.count()
        break
      case 0x1a:
        blob = reader.byteString()
        break
      case 0x22:
        version = reader.text()
        break
      default:
        reader.skip(tag, fieldsOfSnapshotResponse)
    }
  }
  return { header, remainingBytes, blob, version }
}

export function encodeSnapshotResponse(message: SnapshotResponse): Uint8Array {
  writer.begin()
  writeSnapshotResponse(writer, message)
  return writer.finish()
}
export function writeSnapshotResponse(to: MessageWriter, message: SnapshotResponse): void {
  to.text(0x22, message.version)
  to.byteString(0x1a, message.blob)
  to.count(0x10, message.remainingBytes)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** MoveLeaderRequest { targetId uid=1 } */
export interface MoveLeaderRequest {
  readonly targetId: bigint
}

export function decodeMoveLeaderRequest(bytes: Uint8Array): MoveLeaderRequest {
  return readMoveLeaderRequest(new MessageReader(bytes))
}
const fieldsOfMoveLeaderRequest: readonly number[] = [1]
export function readMoveLeaderRequest(reader: MessageReader): MoveLeaderRequest {
  let targetId: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        targetId = reader.uid()
        break
      default:
        reader.skip(tag, fieldsOfMoveLeaderRequest)
    }
  }
  return { targetId }
}

export function encodeMoveLeaderRequest(message: MoveLeaderRequest): Uint8Array {
  writer.begin()
  writeMoveLeaderRequest(writer, message)
  return writer.finish()
}
export function writeMoveLeaderRequest(to: MessageWriter, message: MoveLeaderRequest): void {
  to.id(0x8, message.targetId)
}

/** DowngradeRequest { action enum=1, version string=2 } */
export interface DowngradeRequest {
  readonly action: number
  readonly version: string
}

export function decodeDowngradeRequest(bytes: Uint8Array): DowngradeRequest {
  return readDowngradeRequest(new MessageReader(bytes))
}
const fieldsOfDowngradeRequest: readonly number[] = [1, 2]
export function readDowngradeRequest(reader: MessageReader): DowngradeRequest {
  let action: number = 0
  let version: string = ''
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        action = reader.enumeration()
        break
      case 0x12:
        version = reader.text()
        break
      default:
        reader.skip(tag, fieldsOfDowngradeRequest)
    }
  }
  return { action, version }
}

export function encodeDowngradeRequest(message: DowngradeRequest): Uint8Array {
  writer.begin()
  writeDowngradeRequest(writer, message)
  return writer.finish()
}
export function writeDowngradeRequest(to: MessageWriter, message: DowngradeRequest): void {
  to.text(0x12, message.version)
  to.enumeration(0x8, message.action)
}

/** DowngradeResponse { header ResponseHeader=1, version string=2 } */
export interface DowngradeResponse {
  readonly header: ResponseHeader | undefined
  readonly version: string
}

export function decodeDowngradeResponse(bytes: Uint8Array): DowngradeResponse {
  return readDowngradeResponse(new MessageReader(bytes))
}
const fieldsOfDowngradeResponse: readonly number[] = [1, 2]
export function readDowngradeResponse(reader: MessageReader): DowngradeResponse {
  let header: ResponseHeader | undefined
  let version: string = ''
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa: {
        const outer = reader.open()
        header = readResponseHeader(reader)
        reader.close(outer)
        break
      }
      case 0x12:
        version = reader.text()
        break
      default:
        reader.skip(tag, fieldsOfDowngradeResponse)
    }
  }
  return { header, version }
}

export function encodeDowngradeResponse(message: DowngradeResponse): Uint8Array {
  writer.begin()
  writeDowngradeResponse(writer, message)
  return writer.finish()
}
export function writeDowngradeResponse(to: MessageWriter, message: DowngradeResponse): void {
  to.text(0x12, message.version)
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
