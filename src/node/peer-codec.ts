import { ByteReader, ByteWriter, type NodeId, QuorateError } from '../base/index.ts'
import type { Message } from '../raft/index.ts'
import { type NodeMessage, readNodeMessage, writeNodeMessage } from './node-message-codec.ts'
import { type FrameClass, frameClass } from './peer-frame.ts'
import { readRaftMessage, writeRaftMessage } from './raft-message-codec.ts'

/** Everything that travels in frames after the handshake: raft's messages and the node's own. */
export type PeerMessage = Message | NodeMessage

const raftTypes = {
  voteRequest: 1,
  voteResponse: 2,
  appendRequest: 3,
  appendResponse: 4,
  heartbeat: 5,
  heartbeatResponse: 6,
  readIndexRequest: 7,
  readIndexResponse: 8,
  timeoutNow: 9,
  installSnapshot: 10,
} as const satisfies Record<Message['kind'], number>
const nodeTypes = {
  forward: 20,
  forwardRefused: 21,
  question: 22,
  answer: 23,
  snapshotRequest: 24,
  snapshotPart: 25,
  snapshotGone: 26,
  digest: 27,
  stateRequest: 28,
  ping: 30,
  pong: 31,
} as const satisfies Record<NodeMessage['kind'], number>
const raftKinds: ReadonlyMap<number, Message['kind']> = new Map(
  Object.entries(raftTypes).map(([kind, type]) => [type, kind as Message['kind']]),
)
const nodeKinds: ReadonlyMap<number, NodeMessage['kind']> = new Map(
  Object.entries(nodeTypes).map(([kind, type]) => [type, kind as NodeMessage['kind']]),
)

const bulkKinds: ReadonlySet<PeerMessage['kind']> = new Set([
  'appendRequest',
  'forward',
  'question',
  'answer',
  'snapshotPart',
])

export function classOf(message: PeerMessage): FrameClass {
  return bulkKinds.has(message.kind) ? frameClass.bulk : frameClass.control
}

/** Messages up to this size are written into memory that all share: a part of a snapshot with what is around it. */
const scratchBytes = 320 * 1024
const scratch = new Uint8Array(scratchBytes)

/**
 * The payload of a peer message; the sender is known from the connection. docs/formats/peer-frame.md.
 * Valid until the next call: it is copied into frames at once.
 */
export function encodePeerMessage(message: PeerMessage): Uint8Array {
  const writer = new ByteWriter(scratch)
  if (isRaftMessage(message)) {
    writer.u8(raftTypes[message.kind])
    writeRaftMessage(writer, message)
  } else {
    writer.u8(nodeTypes[message.kind])
    writeNodeMessage(writer, message)
  }
  return writer.view()
}

/**
 * The message in `payload`, from and to given by the connection. Bytes inside are views on the payload.
 * Errors: `frame-malformed`, `format-unsupported` for a type that this build does not know.
 */
export function decodePeerMessage(payload: Uint8Array, route: { from: NodeId; to: NodeId }): PeerMessage {
  const reader = new ByteReader(payload)
  const type = reader.u8()
  const raftKind = raftKinds.get(type)
  const nodeKind = nodeKinds.get(type)
  let message: PeerMessage
  if (raftKind !== undefined) message = readRaftMessage(reader, raftKind, route)
  else if (nodeKind !== undefined) message = readNodeMessage(reader, nodeKind)
  else throw new QuorateError('format-unsupported', `a peer sent the unknown message type ${type}`)
  reader.finish(`a peer message of kind ${message.kind}`)
  return message
}

function isRaftMessage(message: PeerMessage): message is Message {
  return message.kind in raftTypes
}
