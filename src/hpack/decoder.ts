import { copyBytes, ErrorWithoutStack, emptyBytes, equalBytes, latin1FromBytes } from '../base/index.ts'
import { DynamicTable } from './dynamic-table.ts'
import { fieldBytes, type HeaderList } from './header-list.ts'
import { decodeHuffman, huffmanDecodedMax } from './huffman.ts'

export interface HpackDecoderLimits {
  /** The size of the dynamic table that was announced to the peer. */
  readonly tableBytesMax: number
  /** The size of a list, each field counted with 32 bytes of its own. */
  readonly listBytesMax: number
}

/** The block cannot be decoded: the connection has to end with COMPRESSION_ERROR. */
export class HpackError extends ErrorWithoutStack {
  override readonly name = 'HpackError'
}

/** Blocks that are remembered a connection: a client has a few calls that it makes again and again. */
const rememberedCountMax = 8
const rememberedBytesMax = 256
const scratchBytesMin = 256
/** No number in a block is larger: more than any limit allows, and far from where integers end. */
const integerMax = 2 ** 28

interface Remembered {
  readonly block: Uint8Array
  readonly list: HeaderList
}

/** The receiving end of one direction. Every block of the connection passes through it, in order. */
export class HpackDecoder {
  readonly #table: DynamicTable
  readonly #limits: HpackDecoderLimits
  #scratch: Uint8Array = emptyBytes
  /** What was decoded at this version of the table. */
  #remembered: Remembered[] = []
  #rememberedVersion = 0
  #rememberedNext = 0
  #block: Uint8Array = emptyBytes
  #position = 0

  constructor(limits: HpackDecoderLimits) {
    this.#limits = limits
    this.#table = new DynamicTable(limits.tableBytesMax)
  }

  /** The list; the same object for the same block when possible. Throws HpackError, after which it is of no use. */
  decode(block: Uint8Array): HeaderList {
    const known = this.#recall(block)
    if (known !== undefined) return known
    const { version } = this.#table
    const list = this.#decodeFields(block)
    if (this.#table.version === version) this.#remember(block, list)
    return list
  }

  #recall(block: Uint8Array): HeaderList | undefined {
    if (this.#rememberedVersion !== this.#table.version) return undefined
    for (const { block: known, list } of this.#remembered) {
      if (equalBytes(known, block)) return list
    }
    return undefined
  }

  #remember(block: Uint8Array, list: HeaderList): void {
    if (block.length > rememberedBytesMax) return
    if (this.#rememberedVersion !== this.#table.version) {
      this.#rememberedVersion = this.#table.version
      this.#remembered = []
      this.#rememberedNext = 0
    }
    this.#remembered[this.#rememberedNext] = { block: copyBytes(block), list }
    this.#rememberedNext = (this.#rememberedNext + 1) % rememberedCountMax
  }

  #decodeFields(block: Uint8Array): HeaderList {
    this.#block = block
    this.#position = 0
    const fields: string[] = []
    let bytes = 0
    let isTooLarge = false
    let mayResize = true
    while (this.#position < block.length) {
      const first = block[this.#position] as number
      if ((first & 0xe0) === 0x20) {
        if (!mayResize) throw new HpackError('a change of the table size after a field')
        this.#resize()
        continue
      }
      mayResize = false
      // What a list that is too large goes on with counts for the table alone: a byte may name a field of 4 KiB.
      if (isTooLarge && first >= 0x80) {
        this.#fieldIndex()
        continue
      }
      const at = fields.length
      if (first >= 0x80) this.#indexed(fields)
      else if (first >= 0x40) this.#literal(6, fields, true)
      else this.#literal(4, fields, false)
      bytes += fieldBytes(fields[at] as string, fields[at + 1] as string)
      isTooLarge = bytes > this.#limits.listBytesMax
      if (isTooLarge) fields.length = 0
    }
    return { fields, isTooLarge }
  }

  /** Section 6.3. */
  #resize(): void {
    const bytesMax = this.#integer(5)
    if (bytesMax > this.#limits.tableBytesMax) {
      throw new HpackError(`a table of ${bytesMax} bytes where ${this.#limits.tableBytesMax} were allowed`)
    }
    this.#table.resize(bytesMax)
  }

  /** Section 6.1. */
  #indexed(fields: string[]): void {
    const index = this.#fieldIndex()
    fields.push(this.#table.name(index) as string, this.#table.value(index) as string)
  }

  #fieldIndex(): number {
    const index = this.#integer(7)
    if (this.#table.name(index) === undefined) throw new HpackError(`no field has index ${index}`)
    return index
  }

  /** Section 6.2. */
  #literal(prefixBits: number, fields: string[], isInserted: boolean): void {
    const index = this.#integer(prefixBits)
    const name = index === 0 ? this.#string() : this.#table.name(index)
    if (name === undefined) throw new HpackError(`no name has index ${index}`)
    const value = this.#string()
    if (isInserted) this.#table.insert(name, value)
    fields.push(name, value)
  }

  /** Section 5.1. */
  #integer(prefixBits: number): number {
    const prefixMax = (1 << prefixBits) - 1
    const prefix = this.#byte() & prefixMax
    if (prefix < prefixMax) return prefix
    let value = prefixMax
    for (let scale = 1; scale <= integerMax; scale *= 128) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (value > integerMax) break
      if (byte < 0x80) return value
    }
    throw new HpackError('a number is too large')
  }

  /** Section 5.2. */
  #string(): string {
    const isCoded = ((this.#block[this.#position] ?? 0) & 0x80) !== 0
    const length = this.#integer(7)
    const start = this.#position
    const end = start + length
    if (end > this.#block.length) throw new HpackError(`a string of ${length} bytes goes beyond its block`)
    this.#position = end
    if (!isCoded) return latin1FromBytes(this.#block.subarray(start, end))
    const roomBytes = huffmanDecodedMax(length)
    if (this.#scratch.length < roomBytes) this.#scratch = new Uint8Array(Math.max(roomBytes, scratchBytesMin))
    const count = decodeHuffman(this.#block, start, end, this.#scratch)
    if (count < 0) throw new HpackError('a string is not in the Huffman code')
    return latin1FromBytes(this.#scratch.subarray(0, count))
  }

  #byte(): number {
    const byte = this.#block[this.#position]
    if (byte === undefined) throw new HpackError('the block ends inside a field')
    this.#position++
    return byte
  }
}
