import type { ByteReader, ByteWriter, ErrorCode } from '../base/index.ts'
import type { LogEnd } from '../raft/index.ts'
import { readCode, readCount, readEnd, readText, writeEnd, writeText } from './wire-fields.ts'

/**
 * What two nodes say to each other, besides raft's own messages.
 * - forward: a follower hands commands to the leader, once; `forwardRefused` names those that left no trace.
 * - question/answer: something only the leader can tell or do, without a log entry.
 * - snapshotRequest/Part/Gone: the receiver pulls a snapshot file piece by piece, which is its own back-pressure.
 * - digest: state digests for the comparison of replicas.
 * - stateRequest: a member that lost its state asks the leader to announce a snapshot at or above `leastIndex`.
 * - ping/pong: life signs on a quiet connection.
 */
export type NodeMessage =
  | {
      readonly kind: 'forward'
      readonly high: number
      readonly low: number
      readonly commands: readonly ForwardedCommand[]
    }
  | { readonly kind: 'forwardRefused'; readonly code: ErrorCode; readonly sequences: readonly number[] }
  | {
      readonly kind: 'question'
      readonly id: number
      readonly audience: Audience
      readonly bytes: Uint8Array
    }
  | {
      readonly kind: 'answer'
      readonly id: number
      readonly code: ErrorCode | undefined
      readonly text: string
      readonly bytes: Uint8Array
    }
  | {
      readonly kind: 'snapshotRequest'
      readonly end: LogEnd
      readonly position: number
      readonly bytesMax: number
    }
  | {
      readonly kind: 'snapshotPart'
      readonly end: LogEnd
      readonly position: number
      readonly sizeBytes: number
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'snapshotGone'; readonly end: LogEnd }
  | { readonly kind: 'digest'; readonly index: number; readonly digest: number }
  | { readonly kind: 'stateRequest'; readonly leastIndex: number }
  | { readonly kind: 'ping' }
  | { readonly kind: 'pong' }

export interface ForwardedCommand {
  readonly sequence: number
  readonly command: Uint8Array
}
/** Who answers a question: the node itself (membership) or the door that was registered. */
export type Audience = 'node' | 'door'
/** The messages of the node itself, after their type byte. docs/formats/peer-frame.md. */
export function writeNodeMessage(writer: ByteWriter, message: NodeMessage): void {
  switch (message.kind) {
    case 'forward':
      writer.u32(message.high)
      writer.u32(message.low)
      writer.varint(message.commands.length)
      for (const { sequence, command } of message.commands) {
        writer.varint(sequence)
        writer.sized(command)
      }
      break
    case 'forwardRefused':
      writeText(writer, message.code)
      writer.varint(message.sequences.length)
      for (const sequence of message.sequences) writer.varint(sequence)
      break
    case 'question':
      writer.varint(message.id)
      writer.u8(message.audience === 'node' ? 0 : 1)
      writer.sized(message.bytes)
      break
    case 'answer':
      writer.varint(message.id)
      writeText(writer, message.code ?? '')
      writeText(writer, message.text)
      writer.sized(message.bytes)
      break
    case 'snapshotRequest':
      writeEnd(writer, message.end)
      writer.u53(message.position)
      writer.varint(message.bytesMax)
      break
    case 'snapshotPart':
      writeEnd(writer, message.end)
      writer.u53(message.position)
      writer.u53(message.sizeBytes)
      writer.sized(message.bytes)
      break
    case 'snapshotGone':
      writeEnd(writer, message.end)
      break
    case 'digest':
      writer.u53(message.index)
      writer.u53(message.digest)
      break
    case 'stateRequest':
      writer.u53(message.leastIndex)
      break
    case 'ping':
    case 'pong':
      break
  }
}

export function readNodeMessage(reader: ByteReader, kind: NodeMessage['kind']): NodeMessage {
  switch (kind) {
    case 'forward': {
      const high = reader.u32()
      const low = reader.u32()
      const commands: ForwardedCommand[] = []
      for (let count = readCount(reader); count > 0; count--) {
        commands.push({ sequence: reader.varint(), command: reader.sized() })
      }
      return { kind, high, low, commands }
    }
    case 'forwardRefused': {
      const code = readCode(reader) ?? 'no-leader'
      const sequences: number[] = []
      for (let count = readCount(reader); count > 0; count--) sequences.push(reader.varint())
      return { kind, code, sequences }
    }
    case 'question':
      return {
        kind,
        id: reader.varint(),
        audience: reader.u8() === 0 ? 'node' : 'door',
        bytes: reader.sized(),
      }
    case 'answer':
      return {
        kind,
        id: reader.varint(),
        code: readCode(reader),
        text: readText(reader),
        bytes: reader.sized(),
      }
    case 'snapshotRequest':
      return { kind, end: readEnd(reader), position: reader.u53(), bytesMax: reader.varint() }
    case 'snapshotPart':
      return {
        kind,
        end: readEnd(reader),
        position: reader.u53(),
        sizeBytes: reader.u53(),
        bytes: reader.sized(),
      }
    case 'snapshotGone':
      return { kind, end: readEnd(reader) }
    case 'digest':
      return { kind, index: reader.u53(), digest: reader.u53() }
    case 'stateRequest':
      return { kind, leastIndex: reader.u53() }
    case 'ping':
    case 'pong':
      return { kind }
  }
}
