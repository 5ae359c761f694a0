import { type ByteReader, type ByteWriter, type NodeId, QuorateError } from '../base/index.ts'
import {
  type Configuration,
  type Entry,
  type EntryKind,
  entryKind,
  type Message,
  type SnapshotMark,
} from '../raft/index.ts'
import { readCount, readEnd, writeEnd } from './wire-fields.ts'

/** Raft's own messages, after their type byte; from and to are given by the connection. docs/formats/peer-frame.md. */
export function writeRaftMessage(writer: ByteWriter, message: Message): void {
  switch (message.kind) {
    case 'voteRequest':
      writer.u53(message.term)
      writer.u8((message.pre ? 1 : 0) | (message.transfer ? 2 : 0))
      writeEnd(writer, message.end)
      break
    case 'voteResponse':
      writer.u53(message.term)
      writer.u8((message.pre ? 1 : 0) | (message.granted ? 2 : 0))
      break
    case 'appendRequest':
      writer.u53(message.term)
      writeEnd(writer, message.previous)
      writer.u53(message.commit)
      writer.varint(message.entries.length)
      for (const entry of message.entries) writeEntry(writer, entry)
      break
    case 'appendResponse':
      writer.u53(message.term)
      writer.u8((message.accepted ? 1 : 0) | (message.forget ? 2 : 0))
      writer.u53(message.index)
      writeEnd(writer, message.hint)
      break
    case 'heartbeat':
      writer.u53(message.term)
      writer.u53(message.commit)
      writer.u53(message.round)
      writer.sized(message.context)
      break
    case 'heartbeatResponse':
      writer.u53(message.term)
      writer.u53(message.round)
      writer.sized(message.context)
      break
    case 'readIndexRequest':
      writer.u53(message.term)
      writer.u53(message.request)
      break
    case 'readIndexResponse':
      writer.u53(message.term)
      writer.u53(message.request)
      writer.u53(message.index)
      break
    case 'timeoutNow':
      writer.u53(message.term)
      break
    case 'installSnapshot':
      writer.u53(message.term)
      writeMark(writer, message.snapshot)
      break
  }
}

export function readRaftMessage(
  reader: ByteReader,
  kind: Message['kind'],
  { from, to }: { from: NodeId; to: NodeId },
): Message {
  switch (kind) {
    case 'voteRequest': {
      const term = reader.u53()
      const flags = reader.u8()
      return {
        kind,
        from,
        to,
        term,
        pre: (flags & 1) !== 0,
        transfer: (flags & 2) !== 0,
        end: readEnd(reader),
      }
    }
    case 'voteResponse': {
      const term = reader.u53()
      const flags = reader.u8()
      return { kind, from, to, term, pre: (flags & 1) !== 0, granted: (flags & 2) !== 0 }
    }
    case 'appendRequest': {
      const term = reader.u53()
      const previous = readEnd(reader)
      const commit = reader.u53()
      return { kind, from, to, term, previous, commit, entries: readEntries(reader, previous.index) }
    }
    case 'appendResponse': {
      const term = reader.u53()
      const flags = reader.u8()
      const accepted = (flags & 1) !== 0
      const forget = (flags & 2) !== 0
      return { kind, from, to, term, accepted, forget, index: reader.u53(), hint: readEnd(reader) }
    }
    case 'heartbeat':
      return {
        kind,
        from,
        to,
        term: reader.u53(),
        commit: reader.u53(),
        round: reader.u53(),
        context: reader.sized(),
      }
    case 'heartbeatResponse':
      return { kind, from, to, term: reader.u53(), round: reader.u53(), context: reader.sized() }
    case 'readIndexRequest':
      return { kind, from, to, term: reader.u53(), request: reader.u53() }
    case 'readIndexResponse':
      return { kind, from, to, term: reader.u53(), request: reader.u53(), index: reader.u53() }
    case 'timeoutNow':
      return { kind, from, to, term: reader.u53() }
    case 'installSnapshot':
      return { kind, from, to, term: reader.u53(), snapshot: readMark(reader) }
  }
}

/** The index is implied: entries of one request follow each other. */
function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer.u53(entry.term)
  writer.u8(entry.kind)
  writer.u32(entry.payloadChecksum)
  writer.u32(entry.chain)
  writer.sized(entry.payload)
}

function readEntries(reader: ByteReader, previousIndex: number): Entry[] {
  const entries: Entry[] = []
  let index = previousIndex
  for (let count = readCount(reader); count > 0; count--) {
    index++
    const term = reader.u53()
    const kind = readEntryKind(reader)
    const payloadChecksum = reader.u32()
    const chain = reader.u32()
    entries.push({ index, term, kind, payload: reader.sized(), payloadChecksum, chain })
  }
  return entries
}

function readEntryKind(reader: ByteReader): EntryKind {
  const kind = reader.u8()
  for (const known of Object.values(entryKind)) if (known === kind) return known
  throw new QuorateError('format-unsupported', `a peer sent an entry of the unknown kind ${kind}`)
}

function writeMark(writer: ByteWriter, mark: SnapshotMark): void {
  writeEnd(writer, mark.end)
  writer.u53(mark.configurationIndex)
  for (const ids of [mark.configuration.voters, mark.configuration.outgoing, mark.configuration.learners]) {
    writer.varint(ids.length)
    for (const id of ids) writer.u64(id)
  }
  writer.sized(mark.configuration.context)
}

function readMark(reader: ByteReader): SnapshotMark {
  const end = readEnd(reader)
  const configurationIndex = reader.u53()
  const readIds = (): NodeId[] => {
    const ids: NodeId[] = []
    for (let count = readCount(reader); count > 0; count--) ids.push(reader.u64())
    return ids
  }
  const configuration: Configuration = {
    voters: readIds(),
    outgoing: readIds(),
    learners: readIds(),
    context: reader.sized(),
  }
  return { end, configuration, configurationIndex }
}
