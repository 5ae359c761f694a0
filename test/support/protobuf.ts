// Protocol buffers by table: a schema names fields, numbers and types, and messages are plain objects. Written for
// tests: independent of the server's own codec, so that an error there cannot hide here.

export type Scalar = 'bytes' | 'string' | 'bool' | 'int64' | 'uint64' | 'uint32' | 'enum'
export type Field = { number: number; type: Scalar | Schema; repeated: boolean }
export type Schema = { readonly name: string; readonly fields: ReadonlyMap<string, Field> }

/** int64, uint32 and enum are `number`; uint64 (ids) is `bigint`. Absent scalar fields stand for zero. */
export type Value = number | bigint | string | boolean | Uint8Array | Message | Value[]
export type Message = { [field: string]: Value | undefined }

/** `fields` maps a name to [number, type], or [number, type, 'repeated']. */
export function schema(
  name: string,
  fields: Record<string, readonly [number, Scalar | Schema, 'repeated'?]>,
): Schema {
  return {
    name,
    fields: new Map(
      Object.entries(fields).map(([field, [number, type, repeated]]) => [
        field,
        { number, type, repeated: repeated !== undefined },
      ]),
    ),
  }
}

export function encode(message: Message, shape: Schema): Uint8Array {
  const writer = new Writer()
  writer.message(message, shape)
  return writer.finish()
}

/**
 * Zero scalars are left out, as if absent. Sub-messages that are present stay, empty ones too. A field that the
 * schema does not know appears as `unknown_<number>`.
 */
export function decode(bytes: Uint8Array, shape: Schema): Message {
  const byNumber = numbersOf(shape)
  const message: Message = {}
  const reader = new Reader(bytes)
  while (!reader.ended) {
    const tag = Number(reader.varint())
    const wireType = tag & 7
    const known = byNumber.get(tag >>> 3)
    if (known === undefined) {
      message[`unknown_${tag >>> 3}`] = reader.raw(wireType)
      continue
    }
    const { name, field } = known
    if (
      wireType === 2 &&
      field.repeated &&
      typeof field.type === 'string' &&
      !isLengthDelimited(field.type)
    ) {
      const packed = new Reader(reader.bytes())
      const list = listOf(message, name)
      while (!packed.ended) list.push(scalar(packed, field.type))
      continue
    }
    const value =
      typeof field.type === 'string' ? scalar(reader, field.type) : decode(reader.bytes(), field.type)
    if (field.repeated) listOf(message, name).push(value)
    else if (typeof field.type !== 'string' || !isZero(value)) message[name] = value
  }
  return message
}

const numberCache = new WeakMap<Schema, Map<number, { name: string; field: Field }>>()

function numbersOf(shape: Schema): Map<number, { name: string; field: Field }> {
  let found = numberCache.get(shape)
  if (found === undefined) {
    found = new Map([...shape.fields].map(([name, field]) => [field.number, { name, field }]))
    numberCache.set(shape, found)
  }
  return found
}

function listOf(message: Message, name: string): Value[] {
  const existing = message[name]
  if (Array.isArray(existing)) return existing
  const list: Value[] = []
  message[name] = list
  return list
}

function isLengthDelimited(type: Scalar): boolean {
  return type === 'bytes' || type === 'string'
}

function isZero(value: Value): boolean {
  return (
    value === 0 ||
    value === 0n ||
    value === false ||
    value === '' ||
    (value instanceof Uint8Array && value.length === 0)
  )
}

function scalar(reader: Reader, type: Scalar): Value {
  if (type === 'bytes') return reader.bytes()
  if (type === 'string') return Buffer.from(reader.bytes()).toString('utf8')
  const raw = reader.varint()
  if (type === 'bool') return raw !== 0n
  if (type === 'uint64') return raw
  const signed = BigInt.asIntN(64, raw)
  return Number(signed)
}

class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length
  }

  varint(): bigint {
    let low = 0
    // Up to 28 bits without bigint: nearly all values.
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#next()
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) return BigInt(low)
    }
    let value = BigInt(low)
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#next()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw new Error('varint longer than 10 bytes')
  }

  bytes(): Uint8Array {
    const size = Number(this.varint())
    if (this.#at + size > this.#bytes.length) throw new Error('message is cut short')
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  raw(wireType: number): Value {
    if (wireType === 0) return this.varint()
    if (wireType === 2) return this.bytes()
    if (wireType === 1 || wireType === 5) {
      const size = wireType === 1 ? 8 : 4
      this.#at += size
      return this.#bytes.subarray(this.#at - size, this.#at)
    }
    throw new Error(`wire type ${wireType}`)
  }

  #next(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new Error('message is cut short')
    return byte
  }
}

class Writer {
  #buffer = Buffer.allocUnsafe(256)
  #size = 0

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#size)
  }

  message(message: Message, shape: Schema): void {
    for (const name in message) {
      const value = message[name]
      if (value === undefined) continue
      const field = shape.fields.get(name)
      if (field === undefined) throw new Error(`${shape.name} has no field ${name}`)
      if (Array.isArray(value)) for (const item of value) this.#field(field, item)
      else if (typeof field.type !== 'string' || !isZero(value)) this.#field(field, value)
    }
  }

  #field(field: Field, value: Value): void {
    const { type } = field
    if (typeof type !== 'string') {
      const inner = new Writer()
      inner.message(value as Message, type)
      this.#tag(field.number, 2)
      this.#bytes(inner.finish())
    } else if (type === 'bytes' || type === 'string') {
      this.#tag(field.number, 2)
      this.#bytes(typeof value === 'string' ? Buffer.from(value, 'utf8') : (value as Uint8Array))
    } else {
      this.#tag(field.number, 0)
      this.#varint(typeof value === 'boolean' ? (value ? 1 : 0) : (value as number | bigint))
    }
  }

  #tag(number: number, wireType: number): void {
    this.#varint((number << 3) | wireType)
  }

  #bytes(bytes: Uint8Array): void {
    this.#varint(bytes.length)
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#size)
    this.#size += bytes.length
  }

  #varint(value: number | bigint): void {
    this.#reserve(10)
    if (typeof value === 'bigint' || value < 0 || value > 0x7fffffff) {
      let rest = BigInt.asUintN(64, BigInt(value))
      while (rest > 0x7fn) {
        this.#buffer[this.#size++] = Number(rest & 0x7fn) | 0x80
        rest >>= 7n
      }
      this.#buffer[this.#size++] = Number(rest)
      return
    }
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#size++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#buffer[this.#size++] = rest
  }

  #reserve(size: number): void {
    if (this.#size + size <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#size + size))
    larger.set(this.#buffer.subarray(0, this.#size))
    this.#buffer = larger
  }
}
