import {
  type ByteReader,
  type ByteWriter,
  type ErrorCode,
  errorCodes,
  QuorateError,
  utf8Decode,
  utf8Encode,
} from '../base/index.ts'
import type { LogEnd } from '../raft/index.ts'

/** Fields that several messages and records of this room have. */

export function writeEnd(writer: ByteWriter, end: LogEnd): void {
  writer.u53(end.index)
  writer.u53(end.term)
  writer.u32(end.chain)
}

export function readEnd(reader: ByteReader): LogEnd {
  return { index: reader.u53(), term: reader.u53(), chain: reader.u32() }
}

/** A count of things that each take at least one byte cannot be larger than what is left. */
export function readCount(reader: ByteReader): number {
  const count = reader.varint()
  if (count > reader.remaining)
    throw new QuorateError('frame-malformed', `a list of ${count} entries does not fit its message`)
  return count
}

export function writeText(writer: ByteWriter, text: string): void {
  writer.sized(utf8Encode(text))
}

export function readText(reader: ByteReader): string {
  const text = utf8Decode(reader.sized())
  if (text === undefined) throw new QuorateError('frame-malformed', 'a text is not UTF-8')
  return text
}

export function writeTexts(writer: ByteWriter, texts: readonly string[]): void {
  writer.varint(texts.length)
  for (const text of texts) writeText(writer, text)
}

export function readTexts(reader: ByteReader): string[] {
  const texts: string[] = []
  for (let count = readCount(reader); count > 0; count--) texts.push(readText(reader))
  return texts
}

/** A code that this build does not know comes from a newer one: it is still a refusal. */
export function readCode(reader: ByteReader): ErrorCode | undefined {
  const text = readText(reader)
  if (text === '') return undefined
  return errorCodes.find((code) => code === text) ?? 'outcome-unknown'
}
