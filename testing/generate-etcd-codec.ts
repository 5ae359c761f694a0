// Makes the codecs of src/etcd-codec from its messages.txt: straight-line code, one file a section. Run without
// arguments it writes the files; the room's test calls `generate` and compares.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const room: string = join(import.meta.dirname, '..', 'src', 'etcd-codec')

export interface Field {
  readonly number: number
  readonly name: string
  readonly type: string
  readonly repeated: boolean
  readonly oneof: boolean
}
export interface Message {
  readonly name: string
  /** Other messages of etcd with the same fields. */
  readonly aliases: readonly string[]
  readonly isChoice: boolean
  readonly file: string
  readonly fields: Field[]
}

interface Scalar {
  readonly typescript: string
  readonly initial: string
  readonly wireType: number
  readonly read: string
  readonly write: string
  readonly writeElement?: string
}
const scalars: Readonly<Record<string, Scalar>> = {
  count: { typescript: 'number', initial: '0', wireType: 0, read: 'count', write: 'count' },
  id: { typescript: 'bigint', initial: '0n', wireType: 0, read: 'id', write: 'id' },
  uid: { typescript: 'bigint', initial: '0n', wireType: 0, read: 'uid', write: 'id' },
  enum: { typescript: 'number', initial: '0', wireType: 0, read: 'enumeration', write: 'enumeration' },
  u32: { typescript: 'number', initial: '0', wireType: 0, read: 'u32', write: 'u32' },
  bool: { typescript: 'boolean', initial: 'false', wireType: 0, read: 'bool', write: 'bool' },
  bytes: {
    typescript: 'Uint8Array',
    initial: 'emptyBytes',
    wireType: 2,
    read: 'byteString',
    write: 'byteString',
    writeElement: 'byteStringAlways',
  },
  string: {
    typescript: 'string',
    initial: "''",
    wireType: 2,
    read: 'text',
    write: 'text',
    writeElement: 'textAlways',
  },
}

export function readMessages(): Message[] {
  const messages: Message[] = []
  let file = ''
  for (const line of readFileSync(join(room, 'messages.txt'), 'utf8').split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const header = /^(file|message|choice) (\w+)(?: \((.*)\))?$/.exec(line)
    if (header?.[1] === 'file') file = header[2] ?? ''
    else if (header) {
      const aliases = (header[3] ?? '').split(', ').filter((alias) => alias !== '')
      messages.push({ name: header[2] ?? '', aliases, isChoice: header[1] === 'choice', file, fields: [] })
    } else {
      const field = /^ {2}(oneof )?(\d+) (\w+) (repeated )?(\w+)$/.exec(line)
      if (!field) throw new Error(`messages.txt: what is "${line}"?`)
      messages.at(-1)?.fields.push({
        oneof: field[1] !== undefined,
        number: Number(field[2]),
        name: field[3] ?? '',
        repeated: field[4] !== undefined,
        type: field[5] ?? '',
      })
    }
  }
  return messages
}

/** File name to unformatted text. */
export function generate(): Map<string, string> {
  const messages = readMessages()
  const files = new Map<string, string>()
  for (const file of new Set(messages.map((message) => message.file))) {
    const own = messages.filter((message) => message.file === file)
    const body = own.flatMap((message) => [...typeOf(message), ...decoderOf(message), ...encoderOf(message)])
    const imports = importsOf(file, body.join('\n'), messages)
    const head = '// Made from messages.txt by testing/generate-etcd-codec.ts. Change those and run it.'
    files.set(`${file}.ts`, [head, ...imports, '', ...body, ''].join('\n'))
  }
  return files
}

/** The text as the formatter wants it. */
export function format(name: string, text: string): string {
  const biome = join(import.meta.dirname, '..', 'node_modules', '.bin', 'biome')
  const path = join(room, name)
  const result = spawnSync(biome, ['check', '--write', `--stdin-file-path=${path}`], {
    input: text,
    encoding: 'utf8',
    cwd: join(import.meta.dirname, '..'),
  })
  if (result.status !== 0) throw new Error(`biome refuses ${name}: ${result.stderr}`)
  return result.stdout
}

function importsOf(file: string, body: string, messages: readonly Message[]): string[] {
  const uses = (word: string): boolean => new RegExp(`\\b${word}\\b`).test(body)
  const lines: string[] = []
  if (uses('emptyBytes')) lines.push("import { emptyBytes } from '../base/index.ts'")
  for (const other of new Set(messages.map((message) => message.file))) {
    if (other === file) continue
    const names = messages
      .filter((message) => message.file === other)
      .flatMap((message) => [`type ${message.name}`, `read${message.name}`, `write${message.name}`])
      .filter((name) => uses(name.replace('type ', '')))
    if (names.length > 0) lines.push(`import { ${names.join(', ')} } from './${other}.ts'`)
  }
  lines.push(`import { ${uses('new MessageReader') ? '' : 'type '}MessageReader } from './message-reader.ts'`)
  lines.push(`import { type MessageWriter${uses('writer') ? ', writer' : ''} } from './message-writer.ts'`)
  return lines
}

/** The rest are only parts of others and have no encoder and decoder of their own. */
function isWhole(message: Message): boolean {
  return /(Request|Response)$/.test(message.name)
}

function grammarOf(message: Message): string[] {
  const names = [message.name, ...message.aliases].join(', ')
  const fields = message.fields.map(
    (field) => `${field.name} ${field.repeated ? 'repeated ' : ''}${field.type}=${field.number}`,
  )
  const rule = message.isChoice ? `one of { ${fields.join(' | ')} }` : `{ ${fields.join(', ')} }`
  const words = `${names} ${rule}`.replaceAll(', }', ' }').split(' ')
  const lines = ['']
  for (const word of words) {
    if ((lines.at(-1) ?? '').length + word.length > 100) lines.push('')
    lines[lines.length - 1] += ` ${word}`
  }
  return lines.length === 1 ? [`/**${lines[0]} */`] : ['/**', ...lines.map((line) => ` *${line}`), ' */']
}

function typescriptOf(field: Field): string {
  const scalar = scalars[field.type]
  const type = scalar ? scalar.typescript : field.type
  if (field.repeated) return `readonly ${type}[]`
  return scalar ? type : `${type} | undefined`
}

function typeOf(message: Message): string[] {
  const lines = grammarOf(message)
  if (message.isChoice) {
    lines.push(`export type ${message.name} =`)
    for (const field of message.fields) {
      lines.push(`  | { readonly kind: '${field.name}'; readonly ${field.name}: ${field.type} }`)
    }
    return [...lines, "  | { readonly kind: 'none' }", '']
  }
  if (message.fields.length === 0) return [...lines, `export type ${message.name} = object`, '']
  lines.push(`export interface ${message.name} {`)
  for (const field of message.fields) lines.push(`  readonly ${field.name}: ${typescriptOf(field)}`)
  return [...lines, '}', '']
}

function decoderOf(message: Message): string[] {
  const { name, fields } = message
  const known = fields.map((field) => field.number).join(', ')
  const lines = isWhole(message)
    ? [
        `export function decode${name}(bytes: Uint8Array): ${name} {`,
        `  return read${name}(new MessageReader(bytes))`,
        '}',
      ]
    : []
  lines.push(
    `const fieldsOf${name}: readonly number[] = [${known}]`,
    `export function read${name}(reader: MessageReader): ${name} {`,
  )
  if (message.isChoice) lines.push(`  let choice: ${name} = { kind: 'none' }`)
  else for (const field of fields) lines.push(`  ${initialOf(field)}`)
  lines.push('  while (reader.position < reader.end) {', '    const tag = reader.tag()', '    switch (tag) {')
  const isOneof = message.isChoice || fields.some((field) => field.oneof)
  for (const field of fields) lines.push(...decoderCaseOf(message, field, isOneof))
  lines.push('      default:', `        reader.skip(tag, fieldsOf${name})`, '    }', '  }')
  const result = message.isChoice ? 'choice' : `{ ${fields.map((field) => field.name).join(', ')} }`
  return [...lines, `  return ${result}`, '}', '']
}

function initialOf(field: Field): string {
  const scalar = scalars[field.type]
  const type = scalar ? scalar.typescript : field.type
  if (field.repeated) return `const ${field.name}: ${type}[] = []`
  if (scalar === undefined) return `let ${field.name}: ${type} | undefined`
  return `let ${field.name}: ${type} = ${scalar.initial}`
}

function tagOf(field: Field, wireType: number): string {
  return `0x${((field.number << 3) | wireType).toString(16)}`
}

function decoderCaseOf(message: Message, field: Field, isOneof: boolean): string[] {
  const scalar = scalars[field.type]
  if (scalar === undefined) {
    const read = `read${field.type}(reader)`
    const take = message.isChoice
      ? `choice = { kind: '${field.name}', ${field.name}: ${read} }`
      : field.repeated
        ? `${field.name}.push(${read})`
        : `${field.name} = ${read}`
    return [
      `      case ${tagOf(field, 2)}: {`,
      '        const outer = reader.open()',
      `        ${take}`,
      '        reader.close(outer)',
      '        break',
      '      }',
    ]
  }
  const read = `reader.${scalar.read}()`
  const lines = [`      case ${tagOf(field, scalar.wireType)}:`]
  if (isOneof && field.oneof) {
    for (const other of message.fields) {
      if (!other.oneof || other === field) continue
      lines.push(`        ${other.name} = ${scalars[other.type]?.initial}`)
    }
  }
  lines.push(field.repeated ? `        ${field.name}.push(${read})` : `        ${field.name} = ${read}`)
  lines.push('        break')
  if (field.repeated && field.type === 'enum') {
    lines.push(
      `      case ${tagOf(field, 2)}:`,
      `        reader.packedEnumerations(${field.name})`,
      '        break',
    )
  }
  return lines
}

function encoderOf(message: Message): string[] {
  const { name } = message
  const lines = isWhole(message)
    ? [
        `export function encode${name}(message: ${name}): Uint8Array {`,
        '  writer.begin()',
        `  write${name}(writer, message)`,
        '  return writer.finish()',
        '}',
      ]
    : []
  if (message.fields.length === 0) {
    return [...lines, `export function write${name}(_to: MessageWriter, _message: ${name}): void {}`, '']
  }
  lines.push(`export function write${name}(to: MessageWriter, message: ${name}): void {`)
  if (message.isChoice) {
    lines.push('  const mark = to.mark()', '  switch (message.kind) {')
    for (const field of message.fields) {
      lines.push(`    case '${field.name}':`, `      write${field.type}(to, message.${field.name})`)
      lines.push(`      to.embedded(${tagOf(field, 2)}, mark)`, '      break')
    }
    return [...lines, '  }', '}', '']
  }
  const falling = [...message.fields].sort((left, right) => right.number - left.number)
  for (const field of falling) lines.push(...encoderStepOf(field))
  return [...lines, '}', '']
}

function encoderStepOf(field: Field): string[] {
  const scalar = scalars[field.type]
  const value = `message.${field.name}`
  if (scalar && field.repeated && field.type === 'enum') {
    return [`  to.packedEnumerations(${tagOf(field, 2)}, ${value})`]
  }
  const loop = [`  for (let i = ${value}.length - 1; i >= 0; i--) {`]
  if (scalar) {
    const tag = tagOf(field, scalar.wireType)
    if (!field.repeated) return [`  to.${scalar.write}(${tag}, ${value})`]
    return [...loop, `    to.${scalar.writeElement}(${tag}, ${value}[i] as ${scalar.typescript})`, '  }']
  }
  const embedded = (element: string): string[] => [
    '    const mark = to.mark()',
    `    write${field.type}(to, ${element})`,
    `    to.embedded(${tagOf(field, 2)}, mark)`,
    '  }',
  ]
  if (field.repeated) return [...loop, ...embedded(`${value}[i] as ${field.type}`)]
  return [`  if (${value} !== undefined) {`, ...embedded(value)]
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of generate()) writeFileSync(join(room, name), format(name, text))
}
