import {
  ByteReader,
  ByteWriter,
  type ErrorCode,
  errorCodes,
  QuorateError,
  unreachable,
} from '../base/index.ts'
import type { Applied, DeleteRangeResult, KeyValue, OperationResult, RangeResult } from './contract.ts'

/**
 * Answers as they are kept in the state for retries; docs/formats/state.md has every byte.
 *   answer = varint revision | result;  result = u8 kind | body
 */
const kindCode = {
  put: 1,
  deleteRange: 2,
  transaction: 3,
  range: 4,
  leaseGrant: 5,
  done: 6,
  doneBefore: 7,
  refused: 8,
} as const

type Result = Applied['result']

export function encodeAnswer(answer: Applied): Uint8Array {
  const writer = new ByteWriter(64)
  writer.varint(answer.revision)
  writeResult(writer, answer.result)
  return writer.copy()
}

function writeResult(writer: ByteWriter, result: Result): void {
  switch (result.kind) {
    case 'put':
    case 'deleteRange':
    case 'transaction':
      writeOperationResult(writer, result)
      return
    case 'leaseGrant':
      writer.u8(kindCode.leaseGrant)
      writer.u64(result.id)
      writer.varint(result.ttlSeconds)
      return
    case 'done':
    case 'doneBefore':
      writer.u8(kindCode[result.kind])
      return
    case 'refused':
      writer.u8(kindCode.refused)
      writer.sized(encoder.encode(result.code))
      writer.sized(encoder.encode(result.detail))
      return
    default:
      unreachable(result, 'an answer has a kind')
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

function writeOperationResult(writer: ByteWriter, result: OperationResult): void {
  writer.u8(kindCode[result.kind])
  writer.varint(result.revision)
  switch (result.kind) {
    case 'put':
      writePairs(writer, result.previous === undefined ? [] : [result.previous])
      return
    case 'deleteRange':
      writer.varint(result.deleted)
      writePairs(writer, result.previous)
      return
    case 'range':
      writer.varint(result.count)
      writer.u8(result.more ? 1 : 0)
      writePairs(writer, result.pairs)
      return
    case 'transaction':
      writer.u8(result.succeeded ? 1 : 0)
      writer.varint(result.results.length)
      for (const inner of result.results) writeOperationResult(writer, inner)
      return
    default:
      unreachable(result, 'an operation has a result')
  }
}

function writePairs(writer: ByteWriter, pairs: readonly KeyValue[]): void {
  writer.varint(pairs.length)
  for (const pair of pairs) {
    writer.sized(pair.key)
    writer.sized(pair.value)
    writer.varint(pair.createRevision)
    writer.varint(pair.modRevision)
    writer.varint(pair.version)
    writer.u64(pair.lease)
  }
}

export function decodeAnswer(bytes: Uint8Array): Applied {
  const reader = new ByteReader(bytes)
  const revision = reader.varint()
  const result = readResult(reader)
  reader.finish('a kept answer')
  return { revision, result }
}

function readResult(reader: ByteReader): Result {
  const kind = reader.u8()
  switch (kind) {
    case kindCode.leaseGrant:
      return { kind: 'leaseGrant', id: reader.u64(), ttlSeconds: reader.varint() }
    case kindCode.done:
      return { kind: 'done' }
    case kindCode.doneBefore:
      return { kind: 'doneBefore' }
    case kindCode.refused: {
      const code = readCode(reader)
      return { kind: 'refused', code, detail: decoder.decode(reader.sized()) }
    }
    default: {
      const result = readOperationResult(reader, kind)
      if (result.kind !== 'range') return result
      throw new QuorateError('data-damaged', 'a kept answer is a range')
    }
  }
}

function readCode(reader: ByteReader): ErrorCode {
  const text = decoder.decode(reader.sized())
  const code = errorCodes.find((known) => known === text)
  if (code === undefined) throw new QuorateError('format-unsupported', `a kept refusal has the code ${text}`)
  return code
}

function readOperationResult(reader: ByteReader, kind: number): OperationResult {
  const revision = reader.varint()
  switch (kind) {
    case kindCode.put: {
      const [previous] = readPairs(reader)
      return { kind: 'put', previous, revision }
    }
    case kindCode.deleteRange: {
      const deleted = reader.varint()
      const result: DeleteRangeResult = {
        kind: 'deleteRange',
        deleted,
        previous: readPairs(reader),
        revision,
      }
      return result
    }
    case kindCode.range: {
      const count = reader.varint()
      const more = reader.u8() === 1
      const result: RangeResult = { kind: 'range', pairs: readPairs(reader), count, more }
      return { ...result, revision }
    }
    case kindCode.transaction: {
      const succeeded = reader.u8() === 1
      const results: OperationResult[] = []
      for (let left = reader.varint(); left > 0; left--)
        results.push(readOperationResult(reader, reader.u8()))
      return { kind: 'transaction', succeeded, results, revision }
    }
    default:
      throw new QuorateError('format-unsupported', `a kept answer has the unknown kind ${kind}`)
  }
}

function readPairs(reader: ByteReader): KeyValue[] {
  const pairs: KeyValue[] = []
  for (let left = reader.varint(); left > 0; left--) {
    pairs.push({
      key: reader.sized(),
      value: reader.sized(),
      createRevision: reader.varint(),
      modRevision: reader.varint(),
      version: reader.varint(),
      lease: reader.u64(),
    })
  }
  return pairs
}
