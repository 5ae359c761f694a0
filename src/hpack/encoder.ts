import { ByteWriter } from '../base/index.ts'
import { DynamicTable } from './dynamic-table.ts'
import type { HeaderList } from './header-list.ts'
import { staticFieldCount, staticFields } from './static-table.ts'

/** The table that is used at most, whatever the peer allows: what is sent again and again are a few short fields. */
const tableBytesMax = 4096
/** Constant lists whose blocks are kept. */
const rememberedCountMax = 16

const staticIndexes: ReadonlyMap<string, number> = indexStaticFields()

/** The sending end of one direction. Its blocks have to leave in the order in which they were made. */
export class HpackEncoder {
  readonly #table = new DynamicTable(tableBytesMax)
  #blocks = new Map<HeaderList, Uint8Array>()
  #blocksVersion = 0
  /** The smallest and the last size that the peer allowed since the last block. */
  #smallest: number | undefined

  /** The peer's SETTINGS_HEADER_TABLE_SIZE: takes effect in the next block (sections 4.2 and 6.3). */
  allowTable(bytes: number): void {
    const bytesMax = Math.min(bytes, tableBytesMax)
    if (bytesMax === this.#table.bytesMax) return
    this.#smallest = Math.min(this.#smallest ?? bytesMax, bytesMax)
    this.#table.resize(this.#smallest)
    this.#table.resize(bytesMax)
  }

  /**
   * The block of a list that is sent again and again, which must be the same object each time: its fields enter the
   * table, and from the second time on it is a few indexes. The bytes must not be changed.
   */
  encodeConstant(list: HeaderList): Uint8Array {
    if (this.#smallest === undefined && this.#blocksVersion === this.#table.version) {
      const known = this.#blocks.get(list)
      if (known !== undefined) return known
    }
    const { version } = this.#table
    const isResized = this.#smallest !== undefined
    const block = this.#encode(list, true)
    if (this.#table.version === version && !isResized) this.#remember(list, block)
    return block
  }

  /** The block of a list that is sent once. Nothing enters the table. */
  encode(list: HeaderList): Uint8Array {
    return this.#encode(list, false)
  }

  #remember(list: HeaderList, block: Uint8Array): void {
    if (this.#blocksVersion !== this.#table.version || this.#blocks.size >= rememberedCountMax) {
      this.#blocksVersion = this.#table.version
      this.#blocks = new Map()
    }
    this.#blocks.set(list, block)
  }

  #encode(list: HeaderList, isConstant: boolean): Uint8Array {
    const writer = new ByteWriter()
    this.#announceSize(writer)
    const { fields } = list
    for (let i = 0; i < fields.length; i += 2) {
      this.#field(writer, fields[i] as string, fields[i + 1] as string, isConstant)
    }
    return writer.copy()
  }

  #announceSize(writer: ByteWriter): void {
    const smallest = this.#smallest
    if (smallest === undefined) return
    this.#smallest = undefined
    if (smallest < this.#table.bytesMax) writeInteger(writer, 0x20, 5, smallest)
    writeInteger(writer, 0x20, 5, this.#table.bytesMax)
  }

  #field(writer: ByteWriter, name: string, value: string, isInserted: boolean): void {
    const index = staticIndexes.get(`${name}\n${value}`) ?? this.#table.find(name, value)
    if (index !== undefined) {
      writeInteger(writer, 0x80, 7, index)
      return
    }
    const nameIndex = staticIndexes.get(name) ?? 0
    if (isInserted) writeInteger(writer, 0x40, 6, nameIndex)
    else writeInteger(writer, 0, 4, nameIndex)
    if (nameIndex === 0) writeString(writer, name)
    writeString(writer, value)
    if (isInserted) this.#table.insert(name, value)
  }
}

/** The index of each static field, and of the first with each name. */
function indexStaticFields(): ReadonlyMap<string, number> {
  const indexes = new Map<string, number>()
  for (let index = staticFieldCount; index >= 1; index--) {
    const name = staticFields[2 * (index - 1)] as string
    const value = staticFields[2 * (index - 1) + 1] as string
    if (value !== '') indexes.set(`${name}\n${value}`, index)
    indexes.set(name, index)
  }
  return indexes
}

/** Section 5.1. */
function writeInteger(writer: ByteWriter, pattern: number, prefixBits: number, value: number): void {
  const prefixMax = (1 << prefixBits) - 1
  if (value < prefixMax) {
    writer.u8(pattern | value)
    return
  }
  writer.u8(pattern | prefixMax)
  let rest = value - prefixMax
  for (; rest >= 128; rest = Math.floor(rest / 128)) writer.u8((rest % 128) | 0x80)
  writer.u8(rest)
}

/** Section 5.2, as it is. */
function writeString(writer: ByteWriter, text: string): void {
  writeInteger(writer, 0, 7, text.length)
  for (let i = 0; i < text.length; i++) writer.u8(text.charCodeAt(i))
}
