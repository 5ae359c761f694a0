// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.
import { type ResponseHeader, readResponseHeader, writeResponseHeader } from './common.ts'
import { MessageReader } from './message-reader.ts'
import { type MessageWriter, writer } from './message-writer.ts'

/**
 * Member { id uid=1, name string=2, peerUrls repeated string=3, clientUrls repeated string=4,
 * isLearner bool=5 }
 */
export interface Member {
  readonly id: bigint
  readonly name: string
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
  readonly isLearner: boolean
}

const fieldsOfMember: readonly number[] = [1, 2, 3, 4, 5]
export function readMember(reader: MessageReader): Member {
  let id: bigint = 0n
  let name: string = ''
  const peerUrls: string[] = []
  const clientUrls: string[] = []
  let isLearner: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.uid()
        break
      case 0x12:
        name = reader.text()
        break
      case 0x1a:
        peerUrls.push(reader.text())
        break
      case 0x22:
        clientUrls.push(reader.text())
        break
      case 0x28:
        isLearner = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfMember)
    }
  }
  return { id, name, peerUrls, clientUrls, isLearner }
}

export function writeMember(to: MessageWriter, message: Member): void {
  to.bool(0x28, message.isLearner)
  for (let i = message.clientUrls.length - 1; i >= 0; i--) {
    to.textAlways(0x22, message.clientUrls[i] as string)
  }
  for (let i = message.peerUrls.length - 1; i >= 0; i--) {
    to.textAlways(0x1a, message.peerUrls[i] as string)
  }
  to.text(0x12, message.name)
  to.id(0x8, message.id)
}

/** MemberAddRequest { peerUrls repeated string=1, isLearner bool=2 } */
export interface MemberAddRequest {
  readonly peerUrls: readonly string[]
  readonly isLearner: boolean
}

export function decodeMemberAddRequest(bytes: Uint8Array): MemberAddRequest {
  return readMemberAddRequest(new MessageReader(bytes))
}
const fieldsOfMemberAddRequest: readonly number[] = [1, 2]
export function readMemberAddRequest(reader: MessageReader): MemberAddRequest {
  const peerUrls: string[] = []
  let isLearner: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0xa:
        peerUrls.push(reader.text())
        break
      case 0x10:
        isLearner = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfMemberAddRequest)
    }
  }
  return { peerUrls, isLearner }
}

export function encodeMemberAddRequest(message: MemberAddRequest): Uint8Array {
  writer.begin()
  writeMemberAddRequest(writer, message)
  return writer.finish()
}
export function writeMemberAddRequest(to: MessageWriter, message: MemberAddRequest): void {
  to.bool(0x10, message.isLearner)
  for (let i = message.peerUrls.length - 1; i >= 0; i--) {
    to.textAlways(0xa, message.peerUrls[i] as string)
  }
}

/** MemberAddResponse { header ResponseHeader=1, member Member=2, members repeated Member=3 } */
export interface MemberAddResponse {
  readonly header: ResponseHeader | undefined
  readonly member: Member | undefined
  readonly members: readonly Member[]
}

export function decodeMemberAddResponse(bytes: Uint8Array): MemberAddResponse {
  return readMemberAddResponse(new MessageReader(bytes))
}
const fieldsOfMemberAddResponse: readonly number[] = [1, 2, 3]
export function readMemberAddResponse(reader: MessageReader): MemberAddResponse {
  let header: ResponseHeader | undefined
  let member: Member | undefined
  const members: Member[] = []
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
        member = readMember(reader)
        reader.close(outer)
        break
      }
      case 0x1a: {
        const outer = reader.open()
        members.push(readMember(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfMemberAddResponse)
    }
  }
  return { header, member, members }
}

export function encodeMemberAddResponse(message: MemberAddResponse): Uint8Array {
  writer.begin()
  writeMemberAddResponse(writer, message)
  return writer.finish()
}
export function writeMemberAddResponse(to: MessageWriter, message: MemberAddResponse): void {
  for (let i = message.members.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeMember(to, message.members[i] as Member)
    to.embedded(0x1a, mark)
  }
  if (message.member !== undefined) {
    const mark = to.mark()
    writeMember(to, message.member)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}

/** MemberIdRequest, MemberRemoveRequest, MemberPromoteRequest { id uid=1 } */
export interface MemberIdRequest {
  readonly id: bigint
}

export function decodeMemberIdRequest(bytes: Uint8Array): MemberIdRequest {
  return readMemberIdRequest(new MessageReader(bytes))
}
const fieldsOfMemberIdRequest: readonly number[] = [1]
export function readMemberIdRequest(reader: MessageReader): MemberIdRequest {
  let id: bigint = 0n
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.uid()
        break
      default:
        reader.skip(tag, fieldsOfMemberIdRequest)
    }
  }
  return { id }
}

export function encodeMemberIdRequest(message: MemberIdRequest): Uint8Array {
  writer.begin()
  writeMemberIdRequest(writer, message)
  return writer.finish()
}
export function writeMemberIdRequest(to: MessageWriter, message: MemberIdRequest): void {
  to.id(0x8, message.id)
}

/** MemberUpdateRequest { id uid=1, peerUrls repeated string=2 } */
export interface MemberUpdateRequest {
  readonly id: bigint
  readonly peerUrls: readonly string[]
}

export function decodeMemberUpdateRequest(bytes: Uint8Array): MemberUpdateRequest {
  return readMemberUpdateRequest(new MessageReader(bytes))
}
const fieldsOfMemberUpdateRequest: readonly number[] = [1, 2]
export function readMemberUpdateRequest(reader: MessageReader): MemberUpdateRequest {
  let id: bigint = 0n
  const peerUrls: string[] = []
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        id = reader.uid()
        break
      case 0x12:
        peerUrls.push(reader.text())
        break
      default:
        reader.skip(tag, fieldsOfMemberUpdateRequest)
    }
  }
  return { id, peerUrls }
}

export function encodeMemberUpdateRequest(message: MemberUpdateRequest): Uint8Array {
  writer.begin()
  writeMemberUpdateRequest(writer, message)
  return writer.finish()
}
export function writeMemberUpdateRequest(to: MessageWriter, message: MemberUpdateRequest): void {
  for (let i = message.peerUrls.length - 1; i >= 0; i--) {
    to.textAlways(0x12, message.peerUrls[i] as string)
  }
  to.id(0x8, message.id)
}

/** MemberListRequest { linearizable bool=1 } */
export interface MemberListRequest {
  readonly linearizable: boolean
}

export function decodeMemberListRequest(bytes: Uint8Array): MemberListRequest {
  return readMemberListRequest(new MessageReader(bytes))
}
const fieldsOfMemberListRequest: readonly number[] = [1]
export function readMemberListRequest(reader: MessageReader): MemberListRequest {
  let linearizable: boolean = false
  while (reader.position < reader.end) {
    const tag = reader.tag()
    switch (tag) {
      case 0x8:
        linearizable = reader.bool()
        break
      default:
        reader.skip(tag, fieldsOfMemberListRequest)
    }
  }
  return { linearizable }
}

export function encodeMemberListRequest(message: MemberListRequest): Uint8Array {
  writer.begin()
  writeMemberListRequest(writer, message)
  return writer.finish()
}
export function writeMemberListRequest(to: MessageWriter, message: MemberListRequest): void {
  to.bool(0x8, message.linearizable)
}

/**
 * MembersResponse, MemberRemoveResponse, MemberUpdateResponse, MemberPromoteResponse,
 * MemberListResponse { header ResponseHeader=1, members repeated Member=2 }
 */
export interface MembersResponse {
  readonly header: ResponseHeader | undefined
  readonly members: readonly Member[]
}

export function decodeMembersResponse(bytes: Uint8Array): MembersResponse {
  return readMembersResponse(new MessageReader(bytes))
}
const fieldsOfMembersResponse: readonly number[] = [1, 2]
export function readMembersResponse(reader: MessageReader): MembersResponse {
  let header: ResponseHeader | undefined
  const members: Member[] = []
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
        members.push(readMember(reader))
        reader.close(outer)
        break
      }
      default:
        reader.skip(tag, fieldsOfMembersResponse)
    }
  }
  return { header, members }
}

export function encodeMembersResponse(message: MembersResponse): Uint8Array {
  writer.begin()
  writeMembersResponse(writer, message)
  return writer.finish()
}
export function writeMembersResponse(to: MessageWriter, message: MembersResponse): void {
  for (let i = message.members.length - 1; i >= 0; i--) {
    const mark = to.mark()
    writeMember(to, message.members[i] as Member)
    to.embedded(0x12, mark)
  }
  if (message.header !== undefined) {
    const mark = to.mark()
    writeResponseHeader(to, message.header)
    to.embedded(0xa, mark)
  }
}
