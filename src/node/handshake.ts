import { ByteReader, ByteWriter, type ClusterId, type NodeId, QuorateError } from '../base/index.ts'
import { readText, readTexts, writeText, writeTexts } from './wire-fields.ts'

/**
 * The first message each way on a peer connection. It names who speaks to whom, in which cluster, from which data
 * directory and in which protocol version, so that a stranger, a removed member, or a member that lost its disk is
 * refused by name before it can vote.
 */
export const peerProtocolVersion = 2

export interface Hello {
  readonly clusterId: ClusterId
  readonly from: NodeId
  readonly to: NodeId
  readonly directoryId: bigint
  /** Where the dialler is reached: the acceptor may be so far behind that it does not know it yet. */
  readonly peerUrls: readonly string[]
}

export type HelloAnswer =
  | { readonly kind: 'welcome'; readonly directoryId: bigint }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly text: string }

/** wiped: the data directory is not the one this member had; removed: the member was taken out of the cluster. */
export const refusalReasons = ['version', 'cluster', 'identity', 'wiped', 'removed'] as const
export type RefusalReason = (typeof refusalReasons)[number]

/** A node that was added and has no data yet asks any member who it is, by the peer URLs it was added with. */
export interface WhoAmI {
  readonly peerUrls: readonly string[]
}
export interface YouAre {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
  /** The member list, encoded as in a configuration's context. */
  readonly directory: Uint8Array
}

const typeHello = 40
const typeWelcome = 41
const typeRefused = 42
const typeWhoAmI = 43
const typeYouAre = 44

export function encodeHello(hello: Hello): Uint8Array {
  const writer = new ByteWriter(64)
  writer.u8(typeHello)
  writer.u16(peerProtocolVersion)
  writer.u64(hello.clusterId)
  writer.u64(hello.from)
  writer.u64(hello.to)
  writer.u64(hello.directoryId)
  writeTexts(writer, hello.peerUrls)
  return writer.copy()
}

/** Error: `handshake-refused` when it is no hello or of another protocol version. */
export function decodeHello(payload: Uint8Array): Hello {
  const reader = new ByteReader(payload)
  if (reader.u8() !== typeHello)
    throw new QuorateError('handshake-refused', 'a connection did not begin with a hello')
  const version = reader.u16()
  if (version !== peerProtocolVersion) {
    throw new QuorateError(
      'handshake-refused',
      `a peer speaks protocol version ${version}, this node ${peerProtocolVersion}`,
    )
  }
  const hello = {
    clusterId: reader.u64(),
    from: reader.u64(),
    to: reader.u64(),
    directoryId: reader.u64(),
    peerUrls: readTexts(reader),
  }
  reader.finish('a hello')
  return hello
}

export function encodeHelloAnswer(answer: HelloAnswer): Uint8Array {
  const writer = new ByteWriter(64)
  if (answer.kind === 'welcome') {
    writer.u8(typeWelcome)
    writer.u64(answer.directoryId)
  } else {
    writer.u8(typeRefused)
    writer.u8(refusalReasons.indexOf(answer.reason))
    writeText(writer, answer.text)
  }
  return writer.copy()
}

export function decodeHelloAnswer(payload: Uint8Array): HelloAnswer {
  const reader = new ByteReader(payload)
  const type = reader.u8()
  if (type === typeWelcome) return { kind: 'welcome', directoryId: reader.u64() }
  if (type !== typeRefused) throw new QuorateError('frame-malformed', 'a hello was not answered')
  const reason = refusalReasons[reader.u8()] ?? 'identity'
  return { kind: 'refused', reason, text: readText(reader) }
}

export function encodeWhoAmI(question: WhoAmI): Uint8Array {
  const writer = new ByteWriter(64)
  writer.u8(typeWhoAmI)
  writer.u16(peerProtocolVersion)
  writeTexts(writer, question.peerUrls)
  return writer.copy()
}

/** The question, or undefined when the payload is another first message. */
export function decodeWhoAmI(payload: Uint8Array): WhoAmI | undefined {
  const reader = new ByteReader(payload)
  if (reader.u8() !== typeWhoAmI) return undefined
  reader.u16()
  return { peerUrls: readTexts(reader) }
}

export function encodeYouAre(answer: YouAre): Uint8Array {
  const writer = new ByteWriter(64 + answer.directory.length)
  writer.u8(typeYouAre)
  writer.u64(answer.clusterId)
  writer.u64(answer.nodeId)
  writer.sized(answer.directory)
  return writer.copy()
}

/** Error `handshake-refused` with the other side's reason when it is a refusal. */
export function decodeYouAre(payload: Uint8Array): YouAre {
  const reader = new ByteReader(payload)
  if (reader.u8() !== typeYouAre) {
    const answer = decodeHelloAnswer(payload)
    throw new QuorateError(
      'handshake-refused',
      answer.kind === 'refused' ? `a member refused: ${answer.text}` : 'an unexpected answer',
    )
  }
  return { clusterId: reader.u64(), nodeId: reader.u64(), directory: reader.sized() }
}
