// The real input: Debian's package index as a service registry, one key a package and field.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A field name and its whole text, continuation lines included. */
export type PackageField = { name: string; value: string }
export type DebianPackage = { name: string; fields: PackageField[] }

/** The packages of `apt-cache dumpavail`, in its order, at most `countMax`. */
export async function* readPackages(countMax: number): AsyncGenerator<DebianPackage> {
  const child = spawn('apt-cache', ['dumpavail'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  failed.catch(() => undefined)
  let count = 0
  try {
    for await (const found of parseStanzas(createInterface({ input: child.stdout }))) {
      yield found
      if (++count >= countMax) return
    }
  } finally {
    child.kill()
  }
  if (count === 0) {
    await Promise.race([failed, Promise.resolve()])
    throw new Error('apt-cache dumpavail lists no package: run apt-get update')
  }
}

/**
 * Stanzas are separated by empty lines. A line is `Field: text`, or starts with a blank and continues the field
 * above it; its line break stays part of the text.
 */
export async function* parseStanzas(lines: AsyncIterable<string>): AsyncGenerator<DebianPackage> {
  let fields: PackageField[] = []
  for await (const line of lines) {
    if (line === '') {
      const found = asPackage(fields)
      if (found !== undefined) yield found
      fields = []
      continue
    }
    const last = fields.at(-1)
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (last === undefined) throw new Error(`a continuation without a field: ${line}`)
      last.value += `\n${line}`
      continue
    }
    const colon = line.indexOf(':')
    if (colon <= 0) throw new Error(`no field: ${line}`)
    fields.push({ name: line.slice(0, colon), value: line.slice(colon + 1).trim() })
  }
  const found = asPackage(fields)
  if (found !== undefined) yield found
}

function asPackage(fields: PackageField[]): DebianPackage | undefined {
  const name = fields.find((field) => field.name === 'Package')?.value
  return name === undefined ? undefined : { name, fields }
}

export function keyOf(packageName: string, fieldName: string): string {
  return `/packages/${packageName}/${fieldName}`
}
