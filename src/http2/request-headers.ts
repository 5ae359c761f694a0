import type { HeaderList } from '../hpack/index.ts'

const connectionFields: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
const requestPseudoFields: ReadonlySet<string> = new Set([':method', ':scheme', ':authority', ':path'])

/**
 * Why the list is no proper request of HTTP/2; undefined: it is one. Such a request is refused before anybody looks at
 * it. Source: RFC 9113, sections 8.2 and 8.3.
 */
export function requestProblem({ fields }: HeaderList): string | undefined {
  const seen = new Set<string>()
  let isPastPseudo = false
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    if (!name.startsWith(':')) {
      isPastPseudo = true
      const problem = fieldProblem(name, value)
      if (problem !== undefined) return problem
      continue
    }
    if (isPastPseudo) return `${name} after a field that is none of HTTP/2's own`
    if (!requestPseudoFields.has(name)) return `${JSON.stringify(name)} stands in no request`
    if (seen.has(name)) return `${name} twice`
    if (!isFieldValue(value)) return `${name} has a value that no field can have`
    seen.add(name)
  }
  return missingProblem(fields, seen) ?? contentLengthProblem(fields)
}

/** Why the list cannot end a request (section 8.1). */
export function trailersProblem({ fields }: HeaderList): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (name.startsWith(':')) return `${JSON.stringify(name)} in trailers`
    const problem = fieldProblem(name, fields[i + 1] as string)
    if (problem !== undefined) return problem
  }
  return undefined
}

function missingProblem(fields: readonly string[], seen: ReadonlySet<string>): string | undefined {
  if (!seen.has(':method')) return 'no :method'
  const method = fields[fields.indexOf(':method') + 1]
  if (method === 'CONNECT')
    return seen.has(':scheme') || seen.has(':path') ? 'CONNECT with a path' : undefined
  if (!seen.has(':scheme')) return 'no :scheme'
  if (!seen.has(':path')) return 'no :path'
  if (fields[fields.indexOf(':path') + 1] === '') return 'an empty :path'
  return undefined
}

/** Why no message can have that field (RFC 9113, sections 8.2.1 and 8.2.2). */
export function fieldProblem(name: string, value: string): string | undefined {
  if (!isFieldName(name)) return `${JSON.stringify(name)} is no name of a field`
  if (connectionFields.has(name)) return `${name} belongs to HTTP/1`
  if (name === 'te' && value !== 'trailers') return `te: ${JSON.stringify(value)}`
  if (!isFieldValue(value)) return `${name} has a value that no field can have`
  return undefined
}

/** A token in lower case (RFC 9110, section 5.6.2). */
function isFieldName(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    if (!isNameCharacter(name.charCodeAt(i))) return false
  }
  return name.length > 0
}

const nameCharacters: Uint8Array = characterTable("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

function isNameCharacter(code: number): boolean {
  return nameCharacters[code] === 1
}

function characterTable(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const character of characters) table[character.charCodeAt(0)] = 1
  return table
}

/** No NUL, line feed or carriage return; no space around it (RFC 9113, section 8.2.1). */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i)
    if (code === 0 || code === 10 || code === 13) return false
  }
  return !isSpace(value.charCodeAt(0)) && !isSpace(value.charCodeAt(value.length - 1))
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** The length that the request says its body has; undefined: it says none. Only of a list without a problem. */
export function contentLength({ fields }: HeaderList): number | undefined {
  const at = fields.indexOf('content-length')
  return at < 0 ? undefined : Number(fields[at + 1])
}

function contentLengthProblem(fields: readonly string[]): string | undefined {
  let found: string | undefined
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'content-length') continue
    const value = fields[i + 1] as string
    if (!/^[0-9]{1,15}$/.test(value)) return `content-length: ${JSON.stringify(value)}`
    if (found !== undefined && found !== value) return 'two lengths of the content'
    found = value
  }
  return undefined
}
